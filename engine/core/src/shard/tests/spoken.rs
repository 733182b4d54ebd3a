//! Ops and answers in words.
//!
//! Text and elements can be long: `x*3` is `xxx`, `i64:1*3` is `i64:1,1,1`; `""` is empty. Where bytes
//! are wanted, `i64:5` and `f64:1.5` are the eight of that number, and what is answered reads alike.
//! A fencing token is written `t7`, or `t7.1` for the second grant of the shard's seventh update.

mod answers;
mod ops;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::str::FromStr;

use catena_protocol::{Elements, Scalar};

pub(super) use self::answers::{answer, shown};
pub(super) use self::ops::with_op;

/// Numbers as they are written.
pub(super) enum Numbers {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I64(Vec<i64>),
}

impl Numbers {
    pub(super) fn parse(word: &str) -> Option<Numbers> {
        let (tag, values) = word.split_once(':')?;
        Some(match tag {
            "f64" => Numbers::F64(parse_list(values)),
            "f32" => Numbers::F32(parse_list(values)),
            "i64" => Numbers::I64(parse_list(values)),
            _ => return None,
        })
    }

    pub(super) fn elements(&self) -> Elements<'_> {
        match self {
            Numbers::F64(values) => Elements::F64(values),
            Numbers::F32(values) => Elements::F32(values),
            Numbers::I64(values) => Elements::I64(values),
        }
    }

    /// The first one alone.
    fn scalar(&self) -> Scalar {
        match self {
            Numbers::F64(values) => Scalar::F64(values[0]),
            Numbers::F32(values) => Scalar::F32(values[0]),
            Numbers::I64(values) => Scalar::I64(values[0]),
        }
    }
}

fn parse_list<T: FromStr + Clone>(values: &str) -> Vec<T> {
    if values.is_empty() {
        return Vec::new();
    }
    match values.split_once('*') {
        Some((value, times)) => vec![number(value); number(times)],
        None => values.split(',').map(number).collect(),
    }
}

/// Elements in words.
pub(super) fn numbers(elements: Elements<'_>) -> String {
    match elements {
        Elements::F64(values) => format!("f64:{}", list(values)),
        Elements::F32(values) => format!("f32:{}", list(values)),
        Elements::I64(values) => format!("i64:{}", list(values)),
    }
}

fn list<T: ToString + PartialEq>(values: &[T]) -> String {
    match values {
        [first, rest @ ..] if rest.len() > 8 && rest.iter().all(|value| value == first) => {
            format!("{}*{}", first.to_string(), values.len())
        }
        _ => values.iter().map(T::to_string).collect::<Vec<_>>().join(","),
    }
}

/// `x*3` is `xxx`, and `""` nothing.
pub(super) fn text(word: &str) -> String {
    match word.split_once('*') {
        Some((part, times)) => match times.parse() {
            Ok(times) => part.repeat(times),
            Err(_) => word.to_owned(),
        },
        None if word == "\"\"" => String::new(),
        None => word.to_owned(),
    }
}

/// Text, or the eight bytes of a number.
pub(super) fn bytes(word: &str) -> Vec<u8> {
    match Numbers::parse(word) {
        Some(Numbers::I64(values)) if !values.is_empty() => values[0].to_le_bytes().to_vec(),
        Some(Numbers::F64(values)) if !values.is_empty() => values[0].to_le_bytes().to_vec(),
        _ => text(word).into_bytes(),
    }
}

/// `t7.1`, or the bare number.
fn token(word: &str) -> u64 {
    let Some(grant) = word.strip_prefix('t') else { return number(word) };
    let (version, nth) = grant.split_once('.').unwrap_or((grant, "0"));
    number::<u64>(version) << 16 | number::<u64>(nth)
}

fn number<T: FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is no {}", core::any::type_name::<T>()))
}
