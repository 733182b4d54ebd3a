//! The model of a latch.

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
    fn a_latch_is_a_list_of_names(steps in steps(latch_ops())) {
        compare::<LatchModel>(&steps);
    }
}

fn latch_ops() -> impl Strategy<Value = String> {
    let parties = prop_oneof![9 => Just(3_u32), 1 => 0..5_u32];
    prop_oneof![
        1 => Just("state".to_owned()),
        2 => parties.clone().prop_map(|parties| format!("wait {parties}")),
        2 => ("[a-d]", parties).prop_map(|(party, parties)| format!("count {party}/{parties}")),
    ]
}

#[derive(Default)]
struct LatchModel {
    parties: usize,
    names: Vec<String>,
    waiting: Vec<Ticket>,
}

impl LatchModel {
    fn arrived(&self) -> String {
        format!("{}/{}", self.names.len(), self.parties)
    }
}

impl Model for LatchModel {
    const KIND: &'static str = "latch";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        let (party, parties) = match *words {
            ["state"] if self.parties == 0 => return vec![(ticket, "Absent".to_owned())],
            ["state"] => {
                let state = format!("round 0 {} {} waiting", self.arrived(), self.waiting.len());
                return vec![(ticket, state)];
            }
            [_, words] => words.split_once('/').unwrap_or(("", words)),
            _ => unreachable!("{words:?}"),
        };
        let parties: usize = parties.parse().expect("parties");
        if parties == 0 {
            return vec![(ticket, "BadArgument(65536,0)".to_owned())];
        }
        if self.parties != 0 && self.parties != parties {
            return vec![(ticket, format!("Mismatch({},{parties})", self.parties))];
        }
        self.parties = parties;
        let is_open = self.names.len() == parties;
        if words[0] == "wait" {
            if is_open {
                return vec![(ticket, "0".to_owned())];
            }
            self.waiting.push(ticket);
            return Vec::new();
        }
        if !is_open && !self.names.iter().any(|name| name == party) {
            self.names.push(party.to_owned());
        }
        let missing = parties - self.names.len();
        let mut told = vec![(ticket, missing.to_string())];
        if missing == 0 {
            told.extend(self.waiting.drain(..).map(|ticket| (ticket, "0".to_owned())));
        }
        told
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        self.waiting.retain(|other| *other != ticket);
        format!("Timeout {}", self.arrived())
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.waiting.clone()
    }
}
