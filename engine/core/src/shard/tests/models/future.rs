//! The model of a future.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::{Model, Replies, Ticket, compare, steps};

proptest! {
    #[test]
    fn a_future_is_a_value_in_the_end(steps in steps(future_ops())) {
        compare::<FutureModel>(&steps);
    }
}

fn future_ops() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("state".to_owned()),
        2 => Just("peek".to_owned()),
        6 => Just("get".to_owned()),
        1 => prop::sample::select(&["set a", "set b", "set \"\""][..]).prop_map(str::to_owned),
        1 => prop::sample::select(&["cancel fire", "cancel flood"][..]).prop_map(str::to_owned),
    ]
}

#[derive(Default)]
struct FutureModel {
    /// The reply to all waiting requests, once the future is completed.
    end: Option<String>,
    waiting: Vec<Ticket>,
}

impl Model for FutureModel {
    const KIND: &'static str = "future";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        let is_cancelled = self.end.as_ref().is_some_and(|end| end.starts_with("Broken"));
        let answer = match (words[0], &self.end) {
            ("state", None) => "0".to_owned(),
            ("state", Some(_)) => if is_cancelled { "2" } else { "1" }.to_owned(),
            ("peek", None) => "none".to_owned(),
            ("get", None) => {
                self.waiting.push(ticket);
                return Replies::new();
            }
            ("peek" | "get", Some(end)) => end.clone(),
            ("set", Some(end)) if is_cancelled => end.clone(),
            ("set" | "cancel", Some(_)) => "false".to_owned(),
            ("set" | "cancel", None) => {
                let reason = format!("Broken {}", words[1]);
                let end = if words[0] == "set" { words[1].to_owned() } else { reason };
                self.end = Some(end.clone());
                let gone = core::mem::take(&mut self.waiting).into_iter();
                let mut told: Replies = gone.map(|gone| (gone, end.clone())).collect();
                told.push((ticket, "true".to_owned()));
                return told;
            }
            _ => unreachable!("{words:?}"),
        };
        vec![(ticket, answer)]
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        self.waiting.retain(|other| *other != ticket);
        "Timeout".to_owned()
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.waiting.clone()
    }
}
