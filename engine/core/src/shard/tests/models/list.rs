//! The model of a list.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::holds::{self, HoldModel, HoldsModel};
use super::{Model, Replies, Ticket, compare, steps};

proptest! {
    #[test]
    fn a_list_is_a_row_and_a_line(steps in steps(list_ops())) {
        compare::<ListModel>(&steps);
    }
}

fn list_ops() -> impl Strategy<Value = String> {
    let item = || prop::sample::select(&["a", "b", "c", "dd", "\"\"", "x*40"][..]);
    let items = || prop::collection::vec(item(), 0..4).prop_map(|items| items.join(" "));
    let index = || 0..6_u64;
    let all = &["contains", "extend", "retain_all", "remove_all"][..];
    prop_oneof![
        2 => prop::sample::select(&["len", "pop", "pop_back", "clear"][..]).prop_map(str::to_owned),
        1 => index().prop_map(|index| format!("get {index}")),
        1 => (index(), 0..4_u32).prop_map(|(from, limit)| format!("range {from} {limit}")),
        1 => item().prop_map(|item| format!("index {item}")),
        1 => item().prop_map(|item| format!("last_index {item}")),
        6 => item().prop_map(|item| format!("push {item}")),
        2 => item().prop_map(|item| format!("push_front {item}")),
        1 => (index(), item()).prop_map(|(index, item)| format!("set {index} {item}")),
        1 => (index(), item()).prop_map(|(index, item)| format!("insert {index} {item}")),
        1 => index().prop_map(|index| format!("remove_at {index}")),
        1 => item().prop_map(|item| format!("remove {item}")),
        3 => (prop::sample::select(all), items()).prop_map(|(op, items)| format!("{op} {items}")),
        3 => Just("pop_wait".to_owned()),
        4 => holds::terms().prop_map(|terms| format!("claim {terms}")),
        1 => holds::terms().prop_map(|terms| format!("try_claim {terms}")),
        2 => holds::token().prop_map(|token| format!("done {token}")),
        2 => holds::token().prop_map(|token| format!("return {token}")),
    ]
}

#[derive(Default)]
struct ListModel {
    /// Items as text.
    items: Vec<String>,
    /// Token, hold and item.
    claims: Vec<(String, HoldModel, String)>,
    /// Waiting requests, with the holds of those that claim.
    line: Vec<(Ticket, Option<HoldModel>)>,
    holds: HoldsModel,
}

impl ListModel {
    fn serve(&mut self) -> Replies {
        let (mut told, mut nth) = (Replies::new(), 0);
        while !self.items.is_empty() && !self.line.is_empty() {
            let (ticket, hold) = self.line.remove(0);
            match hold {
                None => told.push((ticket, self.items.remove(0))),
                Some(hold) => {
                    told.push((ticket, self.lend(nth, hold)));
                    nth += 1;
                }
            }
        }
        told
    }

    fn lend(&mut self, nth: usize, hold: HoldModel) -> String {
        let (token, item) = (self.holds.token(nth), self.items.remove(0));
        let told = format!("{token} {item}");
        self.claims.push((token, hold, item));
        told
    }

    fn take_claim(&mut self, token: &str) -> Option<String> {
        let at = self.claims.iter().position(|(other, ..)| other == token)?;
        Some(self.claims.remove(at).2)
    }

    /// Returns an item to the front.
    fn put_back(&mut self, item: String) -> Replies {
        self.items.insert(0, item);
        self.serve()
    }

    fn retain(&mut self, keep: impl Fn(&str) -> bool) -> String {
        let before = self.items.len();
        self.items.retain(|item| keep(item));
        (before - self.items.len()).to_string()
    }

    /// Returns the reply to an op, or `None` if it waits, and the replies to released requests.
    fn answer(
        &mut self,
        ticket: Ticket,
        words: &[&str],
    ) -> Result<(Option<String>, Replies), String> {
        let len = self.items.len();
        let number = |word: &str| word.parse::<usize>().expect("an index");
        let within = |index: &str, end: usize| match number(index) {
            index if index < end => Ok(index),
            0 => Err("OutOfRange".to_owned()),
            index => Err(format!("OutOfRange({end},{index})")),
        };
        let found = |at: Option<usize>| at.map_or("nowhere".to_owned(), |at| format!("at {at}"));
        let value = |item: Option<String>| item.unwrap_or("none".to_owned());
        let answer = match *words {
            ["len"] => len.to_string(),
            ["get", index] => value(self.items.get(number(index)).cloned()),
            ["range", from, limit] => {
                let from = number(from).min(len);
                let limit = if limit == "0" { len } else { number(limit) };
                let upto = (from + limit).min(len);
                let items: String =
                    self.items[from..upto].iter().map(|item| format!(" {item}")).collect();
                format!("{from}:{items}{}", if upto < len { " +" } else { "" })
            }
            ["index", item] => found(self.items.iter().position(|other| other == item)),
            ["last_index", item] => found(self.items.iter().rposition(|other| other == item)),
            ["contains", ref items @ ..] => {
                let contained = |item: &&str| self.items.iter().any(|other| other == item);
                items.iter().all(contained).to_string()
            }
            ["clear"] => self.retain(|_| false),
            ["remove_all", ref items @ ..] => self.retain(|item| !items.contains(&item)),
            ["retain_all", ref items @ ..] => self.retain(|item| items.contains(&item)),
            ["remove", item] => {
                let at = self.items.iter().position(|other| other == item);
                at.map(|at| self.items.remove(at)).is_some().to_string()
            }
            ["remove_at", index] => {
                let at = within(index, len)?;
                self.items.remove(at)
            }
            ["set", index, item] => {
                let at = within(index, len)?;
                core::mem::replace(&mut self.items[at], item.to_owned())
            }
            ["pop_back"] => value(self.items.pop()),
            ["pop"] => value((len > 0).then(|| self.items.remove(0))),
            ["insert", index, item] => {
                let at = within(index, len + 1)?;
                return Ok(self.put(at, &[item]));
            }
            ["push_front", item] => return Ok(self.put(0, &[item])),
            ["push", item] => return Ok(self.put(len, &[item])),
            ["extend", ref items @ ..] => return Ok(self.put(len, items)),
            ["done", token] => self.take_claim(token).is_some().to_string(),
            ["return", token] => {
                let item = self.take_claim(token);
                let answer = item.is_some().to_string();
                let told = item.map(|item| self.put_back(item)).unwrap_or_default();
                return Ok((Some(answer), told));
            }
            ["pop_wait"] if len > 0 => self.items.remove(0),
            ["try_claim", ..] if len == 0 => "none".to_owned(),
            ["pop_wait"] => {
                self.line.push((ticket, None));
                return Ok((None, Replies::new()));
            }
            ["claim" | "try_claim", ..] => {
                let hold = self.holds.take(ticket.0, words);
                if len == 0 {
                    self.line.push((ticket, Some(hold)));
                    return Ok((None, Replies::new()));
                }
                self.lend(0, hold)
            }
            _ => unreachable!("{words:?}"),
        };
        Ok((Some(answer), Replies::new()))
    }

    fn put(&mut self, at: usize, items: &[&str]) -> (Option<String>, Replies) {
        for item in items.iter().rev() {
            self.items.insert(at, (*item).to_owned());
        }
        let told = self.serve();
        (Some(self.items.len().to_string()), told)
    }
}

impl Model for ListModel {
    const KIND: &'static str = "list";

    fn ask(&mut self, ticket: Ticket, version: u64, words: &[&str]) -> Replies {
        self.holds.version = version;
        match self.answer(ticket, words) {
            Err(refusal) => vec![(ticket, refusal)],
            Ok((own, mut told)) => {
                told.extend(own.map(|answer| (ticket, answer)));
                told
            }
        }
    }

    fn fill(&self, words: &str) -> String {
        self.holds.fill(words)
    }

    fn clock(&mut self, now_ms: u64) {
        self.holds.clock(now_ms);
    }

    fn at(&mut self, version: u64) {
        self.holds.version = version;
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        self.line.retain(|(other, _)| *other != ticket);
        "Timeout".to_owned()
    }

    fn next_end(&self) -> Option<u64> {
        let claimed = self.claims.iter().filter_map(|(_, hold, _)| hold.ends_ms());
        claimed.chain(self.line.iter().filter_map(|(_, hold)| hold.as_ref()?.ends_ms())).min()
    }

    fn end(&mut self) -> Replies {
        let claimed = self.claims.iter().map(|(_, hold, _)| hold.order()).min();
        let waiting = self.line.iter().filter_map(|(_, hold)| Some(hold.as_ref()?.order())).min();
        if waiting.is_some_and(|waiting| claimed.is_none_or(|claimed| waiting < claimed)) {
            let is_first =
                |hold: &Option<HoldModel>| hold.as_ref().map(HoldModel::order) == waiting;
            let at = self.line.iter().position(|(_, hold)| is_first(hold)).expect("it waits");
            return vec![(self.line.remove(at).0, "Timeout".to_owned())];
        }
        let at = self.claims.iter().position(|(_, hold, _)| Some(hold.order()) == claimed);
        let (_, _, item) = self.claims.remove(at.expect("it is claimed"));
        self.put_back(item)
    }

    fn end_of(&mut self, session: u64) -> Option<Replies> {
        let own = self.claims.iter().enumerate().filter(|(_, (_, hold, _))| hold.is_of(session));
        let (at, _) = own.max_by_key(|(_, (_, hold, _))| hold.nth())?;
        let (_, _, item) = self.claims.remove(at);
        Some(self.put_back(item))
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.line.iter().map(|(ticket, _)| *ticket).collect()
    }
}
