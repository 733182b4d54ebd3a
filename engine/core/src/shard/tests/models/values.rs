//! Models of plain values: counter, flag, cell, vector.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::{Model, Replies, Ticket, compare, steps};
use crate::shard::tests::spoken::{Numbers, numbers};

proptest! {
    #[test]
    fn a_counter_is_a_number(steps in steps(counter_ops())) {
        compare::<CounterModel>(&steps);
    }

    #[test]
    fn a_flag_is_a_boolean(steps in steps(flag_ops())) {
        compare::<FlagModel>(&steps);
    }

    #[test]
    fn a_cell_is_a_string_with_a_version(steps in steps(cell_ops())) {
        compare::<CellModel>(&steps);
    }

    #[test]
    fn a_vector_is_a_list_with_a_version(steps in steps(vector_ops())) {
        compare::<VectorModel>(&steps);
    }
}

fn counter_ops() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        8 => -5..=5_i64,
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
        1 => any::<i64>(),
    ];
    let ops = &["set", "add", "fetch_add", "swap", "multiply", "min", "max"][..];
    prop_oneof![
        1 => Just("get".to_owned()),
        8 => (prop::sample::select(ops), number.clone()).prop_map(|(op, n)| format!("{op} {n}")),
        1 => (number.clone(), number).prop_map(|(expected, n)| format!("cas {expected} {n}")),
    ]
}

#[derive(Default)]
struct CounterModel(i128);

impl Model for CounterModel {
    const KIND: &'static str = "counter";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        let number: i128 = words.last().and_then(|word| word.parse().ok()).unwrap_or(0);
        let before = self.0;
        let after = match *words {
            ["get"] => before,
            ["set" | "swap", _] => number,
            ["add" | "fetch_add", _] => before + number,
            ["multiply", _] => before * number,
            ["min", _] => before.min(number),
            ["max", _] => before.max(number),
            ["cas", expected, _] if expected == before.to_string() => number,
            ["cas", ..] => before,
            _ => unreachable!("{words:?}"),
        };
        if i64::try_from(after).is_err() {
            return vec![(ticket, "Overflow".to_owned())];
        }
        self.0 = after;
        let answer = match *words {
            ["fetch_add" | "swap", _] => before.to_string(),
            ["cas", expected, _] if expected == before.to_string() => format!("{after} swapped"),
            ["cas", ..] => format!("{after} kept"),
            _ => after.to_string(),
        };
        vec![(ticket, answer)]
    }
}

fn flag_ops() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "get".to_owned(),
        "set true".to_owned(),
        "set false".to_owned(),
        "swap true".to_owned(),
        "swap false".to_owned(),
        "cas true false".to_owned(),
        "cas false true".to_owned(),
        "cas true true".to_owned(),
    ])
}

#[derive(Default)]
struct FlagModel(bool);

impl Model for FlagModel {
    const KIND: &'static str = "flag";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        let before = self.0.to_string();
        let value = words.last() == Some(&"true");
        let answer = match *words {
            ["get"] => before,
            ["set", _] => {
                self.0 = value;
                value.to_string()
            }
            ["swap", _] => {
                self.0 = value;
                before
            }
            ["cas", expected, _] if expected == before => {
                self.0 = value;
                format!("{value} swapped")
            }
            ["cas", ..] => format!("{before} kept"),
            _ => unreachable!("{words:?}"),
        };
        vec![(ticket, answer)]
    }
}

fn cell_ops() -> impl Strategy<Value = String> {
    let seen = versions();
    let text = prop_oneof![Just("x*0".to_owned()), "[ab]{1,3}", Just("x*90".to_owned())];
    prop_oneof![
        1 => Just("get".to_owned()),
        1 => seen.clone().prop_map(|version| format!("newer {version}")),
        1 => (0..9_u64, 0..9_u64).prop_map(|(from, length)| format!("range {from} {length}")),
        2 => text.clone().prop_map(|text| format!("set {text}")),
        2 => text.clone().prop_map(|text| format!("swap {text}")),
        2 => text.clone().prop_map(|text| format!("append {text}")),
        1 => (seen, text.clone()).prop_map(|(seen, text)| format!("cas_version {seen} {text}")),
        1 => (text.clone(), text).prop_map(|(expected, text)| format!("cas {expected} {text}")),
    ]
}

#[derive(Default)]
struct CellModel {
    version: u64,
    text: String,
}

impl Model for CellModel {
    const KIND: &'static str = "cell";

    fn fill(&self, words: &str) -> String {
        words.replace("VERSION", &self.version.to_string())
    }

    fn ask(&mut self, ticket: Ticket, now: u64, words: &[&str]) -> Replies {
        let text = words.last().map_or(String::new(), |word| written(word));
        let number = |word: &str| word.parse::<u64>().expect("a number");
        let old = shown(self.version, &self.text);
        let swaps = match *words {
            ["set" | "swap" | "append", _] => true,
            ["cas_version", seen, _] => number(seen) == self.version,
            ["cas", expected, _] => written(expected) == self.text,
            _ => false,
        };
        if swaps {
            self.version = now;
            self.text = if words[0] == "append" { format!("{}{text}", self.text) } else { text };
        }
        let (version, len) = (self.version, self.text.len());
        let answer = match *words {
            ["get"] | ["swap", _] => old,
            ["newer", seen] if number(seen) >= version => format!("v{version} seen"),
            ["newer", _] => old,
            ["range", from, _] if number(from) > len as u64 => format!("OutOfRange({len},{from})"),
            ["range", from, length] => {
                let rest = self.text.chars().skip(from.parse().expect("a number"));
                let part: String = rest.take(length.parse().expect("a number")).collect();
                shown(version, &part)
            }
            ["set", _] => version.to_string(),
            ["append", _] => format!("v{version} {len} long"),
            ["cas_version" | "cas", ..] if swaps => format!("v{version} swapped"),
            ["cas_version" | "cas", ..] => format!("v{version} kept"),
            _ => unreachable!("{words:?}"),
        };
        vec![(ticket, answer)]
    }
}

/// Expands `x*3` to `xxx`.
fn written(word: &str) -> String {
    match word.split_once('*') {
        Some((part, times)) => part.repeat(times.parse().expect("a number")),
        None => word.to_owned(),
    }
}

fn shown(version: u64, text: &str) -> String {
    let short = match text.chars().next() {
        Some(first) if text.len() > 20 && text.chars().all(|other| other == first) => {
            format!("{first}*{}", text.len())
        }
        _ => text.to_owned(),
    };
    format!("v{version} {short}").trim_end().to_owned()
}

/// Generates the current version, or any other.
fn versions() -> impl Strategy<Value = String> + Clone {
    prop_oneof![Just("VERSION".to_owned()), (0..200_u64).prop_map(|version| version.to_string())]
}

fn vector_ops() -> impl Strategy<Value = String> {
    let seen = versions();
    let ints = prop::collection::vec(prop_oneof![9 => -9..9_i64, 1 => Just(i64::MAX)], 0..5);
    let ints = ints.prop_map(|values| numbers(Numbers::I64(values).elements()));
    let floats = prop::collection::vec(-9.0..9.0, 0..3);
    let floats = floats.prop_map(|values| numbers(Numbers::F64(values).elements()));
    let elements = prop_oneof![3 => ints, 1 => floats];
    prop_oneof![
        1 => Just("get".to_owned()),
        1 => seen.clone().prop_map(|version| format!("newer {version}")),
        1 => (0..4_u32, elements.clone()).prop_map(|(columns, given)| format!("init {columns} {given}")),
        1 => (0..4_u32, elements.clone()).prop_map(|(columns, given)| format!("set {columns} {given}")),
        3 => elements.prop_map(|given| format!("add {given}")),
    ]
}

#[derive(Default)]
struct VectorModel {
    version: u64,
    columns: usize,
    numbers: Option<Numbers>,
}

impl Model for VectorModel {
    const KIND: &'static str = "vector";

    fn fill(&self, words: &str) -> String {
        words.replace("VERSION", &self.version.to_string())
    }

    fn ask(&mut self, ticket: Ticket, now: u64, words: &[&str]) -> Replies {
        vec![(ticket, self.answer(now, words).unwrap_or_else(|refusal| refusal))]
    }
}

impl VectorModel {
    fn answer(&mut self, now: u64, words: &[&str]) -> Result<String, String> {
        let given = words.last().and_then(|word| Numbers::parse(word));
        let (code, len) = given.as_ref().map_or((0, 0), described);
        let columns = match *words {
            ["init" | "set", columns, _] => columns.parse().expect("a number"),
            _ => len,
        };
        let like = |ours: &Numbers| match described(ours) {
            (other, _) if other != code => Err(format!("Mismatch({other},{code})")),
            (_, other) if other != len => Err(format!("Mismatch({other},{len})")),
            _ => Ok(()),
        };
        match (words[0], &self.numbers) {
            ("get" | "newer", None) => return Err("Absent".to_owned()),
            ("newer", _) if words[1].parse::<u64>().expect("a number") >= self.version => {
                return Ok(format!("v{} seen", self.version));
            }
            ("get" | "newer", Some(ours)) => {
                let elements = numbers(ours.elements());
                return Ok(format!("v{} {} wide {elements}", self.version, self.columns));
            }
            ("init", Some(ours)) => {
                like(ours)?;
                if columns != self.columns {
                    return Err(format!("Mismatch({},{columns})", self.columns));
                }
                return Ok(self.version.to_string());
            }
            ("add", Some(ours)) => {
                like(ours)?;
                self.numbers = Some(sum(ours, &given.expect("elements"))?);
            }
            _ if columns == 0 && len == 0 => return Err("BadArgument".to_owned()),
            _ if columns == 0 || len == 0 || len % columns != 0 => {
                return Err(format!("BadArgument({len},{columns})"));
            }
            _ => {
                self.numbers = given;
                self.columns = columns;
            }
        }
        self.version = now;
        Ok(self.version.to_string())
    }
}

/// Returns type and length of elements.
fn described(numbers: &Numbers) -> (u8, usize) {
    (numbers.elements().type_code(), numbers.elements().len())
}

fn sum(ours: &Numbers, theirs: &Numbers) -> Result<Numbers, String> {
    match (ours, theirs) {
        (Numbers::I64(ours), Numbers::I64(theirs)) => {
            let sums = ours.iter().zip(theirs).map(|(a, b)| i128::from(*a) + i128::from(*b));
            let sums: Result<Vec<i64>, _> = sums.map(i64::try_from).collect();
            sums.map(Numbers::I64).map_err(|_| "Overflow".to_owned())
        }
        (Numbers::F64(ours), Numbers::F64(theirs)) => {
            Ok(Numbers::F64(ours.iter().zip(theirs).map(|(a, b)| a + b).collect()))
        }
        _ => unreachable!("types were compared"),
    }
}
