//! The models of semaphores and locks.

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
    fn a_semaphore_is_a_line_for_permits(steps in steps(semaphore_ops())) {
        compare::<SemaphoreModel>(&steps);
    }

    #[test]
    fn a_lock_is_a_line_for_one(steps in steps(lock_ops())) {
        compare::<LockModel>(&steps);
    }
}

fn semaphore_ops() -> impl Strategy<Value = String> {
    let how = prop::sample::select(&["acquire", "acquire", "try"][..]);
    let permits = prop_oneof![19 => Just(3_u32), 1 => 0..5_u32];
    let count = prop_oneof![9 => 1..=3_u32, 1 => 0..5_u32];
    prop_oneof![
        2 => Just("state".to_owned()),
        8 => (how, count, permits, holds::terms()).prop_map(|(how, count, permits, terms)| {
            format!("{how} {count}/{permits} {terms}")
        }),
        4 => holds::token().prop_map(|token| format!("release {token}")),
        1 => (holds::token(), holds::terms()).prop_map(|(token, terms)| format!("extend {token} {terms}")),
    ]
}

fn lock_ops() -> impl Strategy<Value = String> {
    let how = prop::sample::select(&["acquire", "acquire", "try"][..]);
    prop_oneof![
        2 => Just("state".to_owned()),
        6 => (how, holds::terms()).prop_map(|(how, terms)| format!("{how} {terms}")),
        4 => holds::token().prop_map(|token| format!("release {token}")),
        1 => (holds::token(), holds::terms()).prop_map(|(token, terms)| format!("extend {token} {terms}")),
    ]
}

#[derive(Default)]
struct SemaphoreModel {
    permits: u32,
    /// Token, hold and number of permits of each grant.
    granted: Vec<(String, HoldModel, u32)>,
    /// Waiting requests, with their numbers of permits.
    line: Vec<(Ticket, HoldModel, u32)>,
    holds: HoldsModel,
    let_through: Replies,
}

impl SemaphoreModel {
    fn available(&self) -> u32 {
        self.permits - self.granted.iter().map(|(_, _, count)| count).sum::<u32>()
    }

    fn serve(&mut self) -> Replies {
        let mut told = Replies::new();
        while let Some((ticket, hold, count)) =
            self.line.first().copied().filter(|(_, _, count)| *count <= self.available())
        {
            self.line.remove(0);
            let token = self.holds.token(told.len());
            self.granted.push((token.clone(), hold, count));
            told.push((ticket, token));
        }
        told
    }

    fn refusal(&self, count: u32, permits: u32) -> Option<String> {
        match () {
            () if permits == 0 || count == 0 => Some("BadArgument(65536,0)".to_owned()),
            () if self.permits != 0 && self.permits != permits => {
                Some(format!("Mismatch({},{permits})", self.permits))
            }
            () if count > permits => Some(format!("OutOfRange({permits},{count})")),
            () => None,
        }
    }

    fn ask(&mut self, ticket: Ticket, words: &[&str]) -> Replies {
        match *words {
            ["state"] if self.permits == 0 => vec![(ticket, "Absent".to_owned())],
            ["state"] => {
                let (available, permits) = (self.available(), self.permits);
                let (held, waiting) = (self.granted.len(), self.line.len());
                let state = format!("{available}/{permits} free, {held} held, {waiting} waiting");
                vec![(ticket, state)]
            }
            ["release", token] => {
                let at = self.granted.iter().position(|(other, ..)| other == token);
                let told = at.map(|at| {
                    self.granted.remove(at);
                    self.serve()
                });
                let mut all = vec![(ticket, told.is_some().to_string())];
                all.extend(told.unwrap_or_default());
                all
            }
            ["extend", token, ..] => {
                let ends_ms = self.holds.end(words);
                let at = self.granted.iter().position(|(other, ..)| other == token);
                if let Some(at) = at {
                    self.granted[at].1.extend(ends_ms);
                }
                vec![(ticket, at.is_some().to_string())]
            }
            [how, share, ..] => {
                let (count, permits) = share.split_once('/').expect("a share");
                let (count, permits) =
                    (count.parse().expect("a count"), permits.parse().expect("permits"));
                if let Some(refusal) = self.refusal(count, permits) {
                    return vec![(ticket, refusal)];
                }
                self.permits = permits;
                let is_free = self.line.is_empty() && self.available() >= count;
                if !is_free && how == "try" {
                    return vec![(ticket, "denied".to_owned())];
                }
                let hold = self.holds.take(ticket.0, words);
                if !is_free {
                    self.line.push((ticket, hold, count));
                    return Replies::new();
                }
                let token = self.holds.token(0);
                self.granted.push((token.clone(), hold, count));
                vec![(ticket, token)]
            }
            _ => unreachable!("{words:?}"),
        }
    }
}

impl Model for SemaphoreModel {
    const KIND: &'static str = "semaphore";

    fn ask(&mut self, ticket: Ticket, version: u64, words: &[&str]) -> Replies {
        self.holds.version = version;
        self.ask(ticket, words)
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
        self.line.retain(|(other, ..)| *other != ticket);
        self.let_through = self.serve();
        "Timeout".to_owned()
    }

    fn let_through(&mut self) -> Replies {
        core::mem::take(&mut self.let_through)
    }

    fn next_end(&self) -> Option<u64> {
        let granted = self.granted.iter().filter_map(|(_, hold, _)| hold.ends_ms());
        granted.chain(self.line.iter().filter_map(|(_, hold, _)| hold.ends_ms())).min()
    }

    fn end(&mut self) -> Replies {
        let granted = self.granted.iter().map(|(_, hold, _)| hold.order()).min();
        let waiting = self.line.iter().map(|(_, hold, _)| hold.order()).min();
        let mut told = Replies::new();
        if waiting.is_some_and(|waiting| granted.is_none_or(|granted| waiting < granted)) {
            let at = self.line.iter().position(|(_, hold, _)| Some(hold.order()) == waiting);
            let (ticket, ..) = self.line.remove(at.expect("it waits"));
            told.push((ticket, "Timeout".to_owned()));
        } else {
            self.granted.retain(|(_, hold, _)| Some(hold.order()) != granted);
        }
        told.extend(self.serve());
        told
    }

    fn end_of(&mut self, session: u64) -> Option<Replies> {
        let own = self.granted.iter().filter(|(_, hold, _)| hold.is_of(session));
        let last = own.map(|(_, hold, _)| hold.nth()).max()?;
        self.granted.retain(|(_, hold, _)| hold.nth() != last);
        Some(self.serve())
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.line.iter().map(|(ticket, ..)| *ticket).collect()
    }
}

/// A semaphore with one permit.
struct LockModel(SemaphoreModel);

impl Default for LockModel {
    fn default() -> LockModel {
        LockModel(SemaphoreModel { permits: 1, ..SemaphoreModel::default() })
    }
}

impl Model for LockModel {
    const KIND: &'static str = "lock";

    fn ask(&mut self, ticket: Ticket, version: u64, words: &[&str]) -> Replies {
        self.0.holds.version = version;
        match *words {
            [how @ ("acquire" | "try"), ref terms @ ..] => {
                self.0.ask(ticket, &[&[how, "1/1"], terms].concat())
            }
            _ => self.0.ask(ticket, words),
        }
    }

    fn fill(&self, words: &str) -> String {
        self.0.fill(words)
    }

    fn clock(&mut self, now_ms: u64) {
        self.0.clock(now_ms);
    }

    fn at(&mut self, version: u64) {
        self.0.at(version);
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        self.0.expire(ticket)
    }

    fn let_through(&mut self) -> Replies {
        self.0.let_through()
    }

    fn next_end(&self) -> Option<u64> {
        self.0.next_end()
    }

    fn end(&mut self) -> Replies {
        self.0.end()
    }

    fn end_of(&mut self, session: u64) -> Option<Replies> {
        self.0.end_of(session)
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.0.waiting()
    }
}
