//! The model of a set.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use super::map::{page, scans};
use super::{Model, Replies, Ticket, compare, steps};

proptest! {
    #[test]
    fn a_set_is_a_set(steps in steps(set_ops())) {
        compare::<SetModel>(&steps);
    }
}

fn set_ops() -> impl Strategy<Value = String> {
    let member = || prop::sample::select(&["a", "b", "c", "d", "\"\""][..]);
    let members = || prop::collection::vec(member(), 0..5).prop_map(|members| members.join(" "));
    let one = prop::sample::select(&["has", "add", "add", "remove"][..]);
    let all = prop::sample::select(&["has_all", "add_all", "remove_all", "retain_all"][..]);
    prop_oneof![
        1 => Just("len".to_owned()),
        1 => Just("clear".to_owned()),
        3 => scans("keys"),
        6 => (one, member()).prop_map(|(op, member)| format!("{op} {member}")),
        4 => (all, members()).prop_map(|(op, members)| format!("{op} {members}")),
    ]
}

/// Members as text; the empty one is `""`, which is the first one as well.
#[derive(Default)]
struct SetModel(BTreeSet<String>);

impl Model for SetModel {
    const KIND: &'static str = "set";

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        let before = self.0.len();
        let members = words[1..].iter().map(|member| (*member).to_owned());
        let answer = match words[0] {
            "len" => Some(before.to_string()),
            "has" | "has_all" => Some(members.into_iter().all(|m| self.0.contains(&m)).to_string()),
            "scan" => Some(page(self.0.iter().map(|key| (&**key, String::new())), words)),
            "add" | "add_all" => {
                self.0.extend(members);
                None
            }
            "remove" | "remove_all" => {
                members.for_each(|member| _ = self.0.remove(&member));
                None
            }
            "retain_all" => {
                self.0.retain(|member| words[1..].contains(&&**member));
                None
            }
            "clear" => {
                self.0.clear();
                None
            }
            _ => unreachable!("{words:?}"),
        };
        let changed = before.abs_diff(self.0.len());
        let changed = match words[0] {
            "add" | "remove" => (changed == 1).to_string(),
            _ => changed.to_string(),
        };
        vec![(ticket, answer.unwrap_or(changed))]
    }
}
