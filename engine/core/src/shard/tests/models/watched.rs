//! The model of a counter that is watched, and that may expire.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::{Model, Replies, Ticket, compare, steps};

proptest! {
    #[test]
    fn a_change_is_waited_for_until_it_comes(steps in steps(watched_ops())) {
        compare::<WatchedModel>(&steps);
    }
}

fn watched_ops() -> impl Strategy<Value = String> {
    let seen = prop_oneof![
        4 => Just("VERSION".to_owned()),
        2 => Just("LATER".to_owned()),
        1 => Just("0".to_owned()),
    ];
    prop_oneof![
        1 => Just("get".to_owned()),
        3 => Just("add 1".to_owned()),
        1 => (0..3_i64).prop_map(|expected| format!("cas {expected} 7")),
        6 => seen.prop_map(|seen| format!("wait_newer {seen}")),
        1 => (0..90_u64).prop_map(|ttl_ms| format!("expire {ttl_ms}")),
    ]
}

#[derive(Default)]
struct WatchedModel {
    now_ms: u64,
    /// `None` if the object does not exist.
    value: Option<i64>,
    version: u64,
    /// When the object expires.
    ends_ms: Option<u64>,
    waiting: Vec<(Ticket, u64)>,
}

impl WatchedModel {
    /// Changes the object, and releases its watchers.
    fn change(&mut self, value: i64, version: u64) -> Replies {
        (self.value, self.version) = (Some(value), version);
        let (due, later): (Vec<_>, Vec<_>) =
            self.waiting.iter().partition(|(_, seen)| *seen < version);
        self.waiting = later;
        due.into_iter().map(|(ticket, _)| (ticket, version.to_string())).collect()
    }
}

impl Model for WatchedModel {
    const KIND: &'static str = "counter";

    fn ask(&mut self, ticket: Ticket, version: u64, words: &[&str]) -> Replies {
        let value = self.value.unwrap_or_default();
        let (answer, told) = match *words {
            ["get"] => (value.to_string(), Replies::new()),
            ["add", _] => ((value + 1).to_string(), self.change(value + 1, version)),
            ["cas", expected, _] if expected == value.to_string() => {
                ("7 swapped".to_owned(), self.change(7, version))
            }
            ["cas", ..] => (format!("{value} kept"), Replies::new()),
            ["expire", ttl_ms] => {
                let ttl_ms: u64 = ttl_ms.parse().expect("a time");
                let is_there = self.value.is_some();
                self.ends_ms = (is_there && ttl_ms != 0).then_some(self.now_ms + ttl_ms);
                (is_there.to_string(), Replies::new())
            }
            ["wait_newer", seen] => {
                let seen: u64 = seen.parse().expect("a version");
                if seen >= self.version {
                    self.waiting.push((ticket, seen));
                    return Replies::new();
                }
                (self.version.to_string(), Replies::new())
            }
            _ => unreachable!("{words:?}"),
        };
        [told, vec![(ticket, answer)]].concat()
    }

    fn fill(&self, words: &str) -> String {
        words
            .replace("VERSION", &self.version.to_string())
            .replace("LATER", &(self.version + 3).to_string())
    }

    fn clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    fn delete(&mut self) -> Vec<Ticket> {
        if self.value.take().is_none() {
            return Vec::new();
        }
        (self.version, self.ends_ms) = (0, None);
        core::mem::take(&mut self.waiting).into_iter().map(|(ticket, _)| ticket).collect()
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        self.waiting.retain(|(other, _)| *other != ticket);
        "Timeout".to_owned()
    }

    fn next_end(&self) -> Option<u64> {
        self.ends_ms
    }

    fn end(&mut self) -> Replies {
        self.delete().into_iter().map(|gone| (gone, "Deleted".to_owned())).collect()
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.waiting.iter().map(|(ticket, _)| *ticket).collect()
    }
}
