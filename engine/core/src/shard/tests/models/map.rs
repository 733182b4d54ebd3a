//! The model of a map.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Model, Replies, Ticket, compare, steps};
use crate::shard::tests::spoken::{bytes, shown};

proptest! {
    #[test]
    fn a_map_is_a_map(steps in steps(map_ops())) {
        compare::<MapModel>(&steps);
    }
}

fn map_ops() -> impl Strategy<Value = String> {
    let key = || prop::sample::select(&["a", "b", "c", "d", "\"\""][..]);
    let value = || {
        let int = prop_oneof![4 => -3..9_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
        let text = prop::sample::select(&["x", "yy", "\"\"", "z*30"][..]);
        prop_oneof![int.prop_map(|int| format!("i64:{int}")), text.prop_map(str::to_owned)]
    };
    let maybe = || prop_oneof![2 => value(), 1 => Just("none".to_owned())];
    let keys = prop::collection::vec(key(), 0..4).prop_map(|keys| keys.join(" "));
    let pairs = || {
        let pair = (key(), value()).prop_map(|(key, value)| format!("{key} {value}"));
        prop::collection::vec(pair, 0..4).prop_map(|pairs| pairs.join(" "))
    };
    let merge = || {
        let ways = &["add", "add", "min", "max", "append", "replace_if_greater"][..];
        prop::sample::select(ways)
    };
    let by_key = prop::sample::select(&["get", "has", "remove", "take"][..]);
    let by_entry = prop::sample::select(&["put", "put", "put_new", "swap"][..]);
    prop_oneof![
        1 => Just("len".to_owned()),
        1 => Just("clear".to_owned()),
        4 => prop::sample::select(&["keys", "values", "entries"][..]).prop_flat_map(scans),
        4 => (by_key, key()).prop_map(|(op, key)| format!("{op} {key}")),
        1 => value().prop_map(|value| format!("has_value {value}")),
        5 => (by_entry, key(), value()).prop_map(|(op, key, value)| format!("{op} {key} {value}")),
        2 => (key(), maybe(), maybe()).prop_map(|(key, expected, value)| {
            format!("cas {key} {expected} {value}")
        }),
        2 => (0..5_u64, key(), value()).prop_map(|(token, key, value)| {
            format!("put_token {token} {key} {value}")
        }),
        2 => pairs().prop_map(|pairs| format!("put_all {pairs}")),
        1 => keys.prop_map(|keys| format!("remove_all {keys}")),
        5 => (merge(), key(), value()).prop_map(|(how, key, value)| format!("merge {how} {key} {value}")),
        3 => (merge(), pairs()).prop_map(|(how, pairs)| format!("merge_all {how} {pairs}")),
    ]
}

/// Generates scans of keys, values or entries, with various bounds.
pub(super) fn scans(what: &'static str) -> impl Strategy<Value = String> {
    let edge = |words: &'static [&'static str]| {
        let key = prop::sample::select(&["a", "b", "c", "d", "\"\"", "bb"][..]);
        prop_oneof![
            Just(String::new()),
            (prop::sample::select(words), key).prop_map(|(word, key)| format!(" {word} {key}")),
        ]
    };
    let reverse = prop::sample::select(&["", " reverse"][..]);
    (reverse, 0..4_u32, edge(&["from", "after"]), edge(&["to", "before"])).prop_map(
        move |(reverse, limit, from, to)| format!("scan {what}{reverse} limit {limit}{from}{to}"),
    )
}

/// Returns the page of a scan over all entries.
pub(super) fn page<'e>(entries: impl Iterator<Item = (&'e str, String)>, words: &[&str]) -> String {
    let edge = |word: &str| {
        let at = words.iter().position(|other| *other == word)?;
        Some(words[at + 1])
    };
    let within = |(key, _): &(&str, String)| {
        edge("from").is_none_or(|from| *key >= from)
            && edge("after").is_none_or(|after| *key > after)
            && edge("to").is_none_or(|to| *key <= to)
            && edge("before").is_none_or(|before| *key < before)
    };
    let mut entries: Vec<(&str, String)> = entries.filter(within).collect();
    if words.contains(&"reverse") {
        entries.reverse();
    }
    let limit = edge("limit").map_or(0, |limit| limit.parse().expect("a limit"));
    let limit = if limit == 0 { entries.len() } else { limit };
    let more = if limit < entries.len() { " +" } else { "" };
    let shown = entries.into_iter().take(limit).map(|(key, value)| match words[1] {
        "keys" => format!(" {key}"),
        "values" => format!(" {value}"),
        _ => format!(" {key} {value}"),
    });
    format!("0:{}{more}", shown.collect::<String>())
}

/// Values by keys as text; the empty key is `""`, which is the first one as well.
#[derive(Clone, Default)]
struct MapModel {
    entries: BTreeMap<String, Vec<u8>>,
    fence: u64,
}

impl MapModel {
    fn answer(&mut self, words: &[&str]) -> Result<String, String> {
        let value = |value: Option<Vec<u8>>| value.map_or("none".to_owned(), |value| shown(&value));
        Ok(match *words {
            ["len"] => self.entries.len().to_string(),
            ["get", key] => value(self.entries.get(key).cloned()),
            ["has", key] => self.entries.contains_key(key).to_string(),
            ["has_value", value] => {
                self.entries.values().any(|other| *other == bytes(value)).to_string()
            }
            ["scan", ..] => {
                let shown = self.entries.iter().map(|(key, value)| (&**key, shown(value)));
                page(shown, words)
            }
            ["put", key, new] => self.put(key, new).is_some().to_string(),
            ["swap", key, new] => value(self.put(key, new)),
            ["put_new", key, new] => {
                let is_new = !self.entries.contains_key(key);
                if is_new {
                    self.put(key, new);
                }
                is_new.to_string()
            }
            ["put_token", token, key, new] => {
                let token: u64 = token.parse().expect("a token");
                if token < self.fence {
                    return Err(format!("StaleToken({},{token})", self.fence));
                }
                self.fence = token;
                self.put(key, new).is_some().to_string()
            }
            ["cas", key, expected, new] => {
                let expected = (expected != "none").then(|| bytes(expected));
                let swapped = self.entries.get(key) == expected.as_ref();
                match new {
                    _ if !swapped => {}
                    "none" => _ = self.entries.remove(key),
                    new => _ = self.put(key, new),
                }
                swapped.to_string()
            }
            ["remove", key] => self.entries.remove(key).is_some().to_string(),
            ["take", key] => value(self.entries.remove(key)),
            ["put_all", ref pairs @ ..] => {
                let before = self.entries.len();
                for pair in pairs.chunks(2) {
                    self.put(pair[0], pair[1]);
                }
                (self.entries.len() - before).to_string()
            }
            ["remove_all", ref keys @ ..] => {
                let removed = keys.iter().filter(|key| self.entries.remove(**key).is_some());
                removed.count().to_string()
            }
            ["clear"] => core::mem::take(&mut self.entries).len().to_string(),
            ["merge", how, key, new] => {
                self.merge(how, key, new)?;
                shown(&self.entries[key])
            }
            ["merge_all", how, ref pairs @ ..] => {
                let mut tried = self.clone();
                for pair in pairs.chunks(2) {
                    tried.merge(how, pair[0], pair[1])?;
                }
                let new = tried.entries.len() - self.entries.len();
                *self = tried;
                new.to_string()
            }
            _ => unreachable!("{words:?}"),
        })
    }

    fn put(&mut self, key: &str, value: &str) -> Option<Vec<u8>> {
        self.entries.insert(key.to_owned(), bytes(value))
    }

    fn merge(&mut self, how: &str, key: &str, new: &str) -> Result<(), String> {
        let int = |bytes: &[u8]| match bytes.try_into() {
            Ok(word) => Ok(i64::from_le_bytes(word)),
            Err(_) => Err(format!("Mismatch(8,{})", bytes.len())),
        };
        let (old, new) = (self.entries.get(key), bytes(new));
        let merged = match (how, old) {
            ("append", old) => [&old.cloned().unwrap_or_default()[..], &new[..]].concat(),
            ("replace_if_greater", old) => old.filter(|old| **old >= new).cloned().unwrap_or(new),
            (_, None) => {
                int(&new)?;
                new
            }
            (how, Some(old)) => {
                let stored = |_| format!("Mismatch({},8)", old.len());
                let (old, new) = (int(old).map_err(stored)?, int(&new)?);
                let merged = match how {
                    "add" => old.checked_add(new).ok_or("Overflow".to_owned())?,
                    "min" => old.min(new),
                    _ => old.max(new),
                };
                merged.to_le_bytes().to_vec()
            }
        };
        self.entries.insert(key.to_owned(), merged);
        Ok(())
    }
}

impl Model for MapModel {
    const KIND: &'static str = "map";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        vec![(ticket, self.answer(words).unwrap_or_else(|refusal| refusal))]
    }
}
