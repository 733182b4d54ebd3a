//! The model of a log.

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
    fn a_log_is_a_row_of_lines(steps in steps(log_ops())) {
        compare::<LogModel>(&steps);
    }
}

fn log_ops() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[a-c]{1,3}".prop_map(|line| format!("print {line}")),
        1 => (0..9_u64, 0..4_u32).prop_map(|(after, limit)| format!("tail {after} {limit}")),
    ]
}

#[derive(Default)]
struct LogModel(Vec<String>);

impl Model for LogModel {
    const KIND: &'static str = "log";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        let answer = match *words {
            ["print", line] => {
                self.0.push(line.to_owned());
                self.0.len().to_string()
            }
            ["tail", after, limit] => {
                let after = after.parse::<usize>().expect("a number").min(self.0.len());
                let limit = limit.parse::<usize>().expect("a limit");
                let limit = if limit == 0 { self.0.len() } else { limit };
                let lines = self.0.iter().skip(after).take(limit).map(|line| format!(" {line}"));
                let more = if after + limit < self.0.len() { " +" } else { "" };
                format!("{}:{}{more}", after + 1, lines.collect::<String>())
            }
            _ => unreachable!("{words:?}"),
        };
        vec![(ticket, answer)]
    }
}
