//! Ops and replies as text.
//!
//! Long text and elements are shortened: `x*3` is `xxx`, `i64:1*3` is `i64:1,1,1`; `""` is empty.
//! As bytes, `i64:5` and `f64:1.5` are the eight bytes of the number, in ops and replies. A fencing
//! token is `t7`, or `t7.1` for the second grant of the shard's seventh update.

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

/// Numbers as text.
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

    /// Returns the first number.
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

/// Formats elements.
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

/// Expands `x*3` to `xxx`, and `""` to the empty text.
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

/// Parses text, or a number as its eight bytes.
pub(super) fn bytes(word: &str) -> Vec<u8> {
    match Numbers::parse(word) {
        Some(Numbers::I64(values)) if !values.is_empty() => values[0].to_le_bytes().to_vec(),
        Some(Numbers::F64(values)) if !values.is_empty() => values[0].to_le_bytes().to_vec(),
        _ => text(word).into_bytes(),
    }
}

/// Parses a token like `t7.1`, or a plain number.
fn token(word: &str) -> u64 {
    let Some(grant) = word.strip_prefix('t') else { return number(word) };
    let (version, nth) = grant.split_once('.').unwrap_or((grant, "0"));
    number::<u64>(version) << 16 | number::<u64>(nth)
}

fn number<T: FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is no {}", core::any::type_name::<T>()))
}
