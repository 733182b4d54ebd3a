//! The model of a barrier.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::seats::{self, SeatsModel};
use super::{Model, Replies, Ticket, compare, steps};

proptest! {
    #[test]
    fn a_barrier_is_a_table_of_names(steps in steps(barrier_ops())) {
        compare::<BarrierModel>(&steps);
    }
}

fn barrier_ops() -> impl Strategy<Value = String> {
    let how = prop::sample::select(&["wait", "wait", "arrive"][..]);
    let parties = prop_oneof![19 => Just(3_u32), 1 => 0..5_u32];
    let generation =
        prop_oneof![4 => Just(""), 1 => Just("NOW-0"), 1 => Just("NOW-1"), 1 => Just("NOW+1")];
    let arrival = (how, "[a-e]", parties, generation, seats::terms());
    prop_oneof![
        2 => Just("state".to_owned()),
        1 => Just("reset".to_owned()),
        1 => Just("break fire".to_owned()),
        20 => arrival.prop_map(|(how, party, parties, generation, terms)| {
            format!("{how} {party}/{parties} {generation} {terms}")
        }),
    ]
}

#[derive(Default)]
struct BarrierModel {
    generation: u64,
    parties: usize,
    loss: Option<String>,
    arrived: BTreeMap<String, ArrivedModel>,
    missing: BTreeSet<String>,
    dropped: BTreeSet<String>,
    /// Waiting requests and their parties, in the order of their arrival.
    parked: Vec<(Ticket, String)>,
    seats: SeatsModel,
    broken: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct ArrivedModel {
    firm: bool,
    known: bool,
    leaving: bool,
}

impl BarrierModel {
    fn needed(&self) -> usize {
        self.parties - self.dropped.len()
    }

    fn is_full(&self) -> bool {
        self.arrived.len() + self.missing.len() + self.dropped.len() >= self.parties
    }

    fn missing(&self) -> String {
        let missing: Vec<&str> = self.missing.iter().map(String::as_str).collect();
        if missing.is_empty() { String::new() } else { format!(", missing {}", missing.join(" ")) }
    }

    fn timeout(&self) -> String {
        format!("Timeout {}/{}{}", self.arrived.len(), self.needed(), self.missing())
    }

    /// Releases all waiting requests, or those of one party.
    fn let_go(&mut self, party: Option<&str>, answer: &str) -> Replies {
        let (gone, left) = core::mem::take(&mut self.parked)
            .into_iter()
            .partition(|(_, other)| party.is_none_or(|party| party == other));
        self.parked = left;
        let gone: Vec<(Ticket, String)> = gone;
        gone.into_iter().map(|(ticket, _)| (ticket, answer.to_owned())).collect()
    }

    fn withdraw(&mut self, party: &str) {
        let Some(arrived) = self.arrived.remove(party) else { return };
        match arrived {
            ArrivedModel { leaving: true, .. } if self.is_full() => {}
            ArrivedModel { leaving: true, .. } => _ = self.dropped.insert(party.to_owned()),
            ArrivedModel { known: false, .. } if self.is_full() => self.seats.leave(party),
            _ => _ = self.missing.insert(party.to_owned()),
        }
    }

    fn send_away(&mut self, reason: &str) -> Replies {
        let told = self.let_go(None, &format!("Broken {reason}"));
        for party in self.arrived.keys().cloned().collect::<Vec<_>>() {
            self.withdraw(&party);
        }
        told
    }

    fn complete(&mut self) -> Replies {
        let told = self.let_go(None, &self.generation.to_string());
        for party in core::mem::take(&mut self.missing) {
            self.seats.leave(&party);
        }
        for (party, arrived) in core::mem::take(&mut self.arrived) {
            let others = if arrived.leaving { &mut self.dropped } else { &mut self.missing };
            others.insert(party);
        }
        self.generation += 1;
        told
    }

    fn lose(&mut self, party: &str, is_late: bool) -> Replies {
        let loss = self.loss.clone().expect("agreed by the first");
        if loss == "break" && is_late && self.broken.is_none() {
            let reason = format!("party {party} is past its deadline");
            let told = self.send_away(&reason);
            self.broken = Some(reason);
            return told;
        }
        let timeout = self.timeout();
        let mut told = self.let_go(Some(party), &timeout);
        if loss != "drop" {
            self.withdraw(party);
            return told;
        }
        if let Some(arrived) = self.arrived.get_mut(party) {
            arrived.leaving = true;
            return told;
        }
        self.missing.remove(party);
        if !self.is_full() {
            self.dropped.insert(party.to_owned());
        }
        if !self.arrived.is_empty() && self.arrived.len() == self.needed() {
            told.extend(self.complete());
        }
        told
    }

    fn refusal(&self, parties: usize, meant: u64, loss: &str) -> Option<String> {
        let now = self.generation;
        let ours = self.loss.as_deref().unwrap_or(loss);
        match () {
            () if parties == 0 => Some("BadArgument(65536,0)".to_owned()),
            () if self.parties != 0 && self.parties != parties => {
                Some(format!("Mismatch({},{parties})", self.parties))
            }
            () if ours != loss => {
                let (ours, theirs) = (seats::loss_code(ours), seats::loss_code(loss));
                Some(format!("Mismatch({ours},{theirs})"))
            }
            () if meant != u64::MAX && meant > now => Some(format!("WrongRound({now},{meant})")),
            () if meant < now => None,
            () => self.broken.as_ref().map(|reason| format!("Broken {reason}")),
        }
    }

    /// A party arrives for a past generation.
    fn come_late(&mut self, session: u64, party: &str, hold_ms: u64, loss: &str) {
        if self.broken.is_some() {
            return;
        }
        if self.dropped.remove(party) {
            self.missing.insert(party.to_owned());
        }
        if let Some(arrived) = self.arrived.get_mut(party) {
            arrived.leaving = false;
        } else if !self.missing.contains(party) {
            return;
        }
        self.seats.take(party, session, hold_ms, loss);
    }
}

impl Model for BarrierModel {
    const KIND: &'static str = "barrier";

    fn fill(&self, words: &str) -> String {
        let now = self.generation;
        let words = words
            .replace("NOW-0", &now.to_string())
            .replace("NOW-1", &now.saturating_sub(1).to_string())
            .replace("NOW+1", &(now + 1).to_string());
        seats::agree(&words, self.loss.as_deref())
    }

    fn clock(&mut self, now_ms: u64) {
        self.seats.clock(now_ms);
    }

    fn ask(&mut self, ticket: Ticket, _version: u64, words: &[&str]) -> Replies {
        let now = self.generation;
        let (seat, meant) = match *words {
            ["state"] => {
                let (arrived, waiting) = (self.arrived.len(), self.parked.len());
                let (needed, missing) = (self.needed(), self.missing());
                let state = format!("round {now} {arrived}/{needed} {waiting} waiting{missing}");
                return vec![(ticket, state)];
            }
            ["reset"] => {
                let mut told = self.send_away("the barrier was reset");
                self.missing.append(&mut self.dropped);
                self.seats.clear();
                self.broken = None;
                self.generation += 1;
                told.push((ticket, self.generation.to_string()));
                return told;
            }
            ["break", reason] => {
                let mut told = self.send_away(reason);
                self.broken = Some(reason.to_owned());
                told.push((ticket, now.to_string()));
                return told;
            }
            [_, seat, "hold", ..] => (seat, u64::MAX),
            [_, seat, generation, ..] => (seat, generation.parse().expect("a generation")),
            _ => unreachable!("{words:?}"),
        };
        let (hold_ms, loss) = seats::spoken(words);
        let (party, parties) = seat.split_once('/').expect("a seat");
        let parties: usize = parties.parse().expect("parties");
        if let Some(refusal) = self.refusal(parties, meant, loss) {
            return vec![(ticket, refusal)];
        }
        if meant < now {
            self.come_late(ticket.0, party, hold_ms, loss);
            return vec![(ticket, meant.to_string())];
        }
        (self.parties, self.loss) = (parties, Some(loss.to_owned()));
        if !self.arrived.contains_key(party) {
            let known = self.missing.remove(party) | self.dropped.remove(party);
            if !known && self.is_full() {
                self.dropped.pop_first();
            }
            self.arrived
                .insert(party.to_owned(), ArrivedModel { known, ..ArrivedModel::default() });
        }
        self.seats.take(party, ticket.0, hold_ms, loss);
        let is_complete = self.arrived.len() == self.needed();
        let arrived = self.arrived.get_mut(party).expect("just came");
        arrived.leaving = false;
        if is_complete {
            let mut told = self.complete();
            told.push((ticket, now.to_string()));
            return told;
        }
        if words[0] == "wait" {
            self.parked.push((ticket, party.to_owned()));
            return Vec::new();
        }
        arrived.firm = true;
        vec![(ticket, now.to_string())]
    }

    fn expire(&mut self, ticket: Ticket) -> String {
        let answer = self.timeout();
        let at = self.parked.iter().position(|(other, _)| *other == ticket).expect("it waits");
        let (_, party) = self.parked.remove(at);
        let waits_on = self.parked.iter().any(|(_, other)| *other == party);
        if !waits_on && !self.arrived[&party].firm {
            self.withdraw(&party);
        }
        answer
    }

    fn next_end(&self) -> Option<u64> {
        self.seats.next_end()
    }

    fn end(&mut self) -> Replies {
        let party = self.seats.end();
        self.lose(&party, true)
    }

    fn end_of(&mut self, session: u64) -> Option<Replies> {
        let party = self.seats.end_of(session)?;
        Some(self.lose(&party, false))
    }

    fn waiting(&self) -> Vec<Ticket> {
        self.parked.iter().map(|(ticket, _)| *ticket).collect()
    }
}
