//! The held seats, for the models of barriers and reductions.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

/// Held seats by the name of the party.
#[derive(Clone, Debug, Default)]
pub(super) struct SeatsModel {
    now_ms: u64,
    held: BTreeMap<String, SeatModel>,
    /// The number of seats taken so far, which orders seats that end at the same time.
    taken: u64,
}

#[derive(Clone, Debug)]
struct SeatModel {
    nth: u64,
    session: u64,
    ends_ms: Option<u64>,
}

impl SeatsModel {
    pub(super) fn clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// A party takes its seat with terms like `hold 50 loss drop`.
    pub(super) fn take(&mut self, party: &str, session: u64, hold_ms: u64, loss: &str) {
        if hold_ms == 0 && loss == "wait" {
            self.held.remove(party);
            return;
        }
        let nth = self.held.get(party).map_or(self.taken, |seat| seat.nth);
        self.taken = self.taken.max(nth + 1);
        let ends_ms = (hold_ms != 0).then_some(self.now_ms + hold_ms);
        self.held.insert(party.to_owned(), SeatModel { nth, session, ends_ms });
    }

    pub(super) fn leave(&mut self, party: &str) {
        self.held.remove(party);
    }

    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// Returns when the first seat ends.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.held.values().filter_map(|seat| seat.ends_ms).min()
    }

    /// Ends that seat. Returns its party.
    pub(super) fn end(&mut self) -> String {
        let dated = self.held.iter().filter_map(|(party, seat)| Some((seat.ends_ms?, seat, party)));
        let (_, _, party) =
            dated.min_by_key(|(ends_ms, seat, _)| (*ends_ms, seat.nth)).expect("ends");
        let party = party.clone();
        self.held.remove(&party);
        party
    }

    /// Ends the newest seat of a session. Returns its party.
    pub(super) fn end_of(&mut self, session: u64) -> Option<String> {
        let held = self.held.iter().filter(|(_, seat)| seat.session == session);
        let party = held.max_by_key(|(_, seat)| seat.nth).map(|(party, _)| party.clone())?;
        self.held.remove(&party);
        Some(party)
    }
}

/// Generates the terms of a seat: `LOSS-drop` is the agreed policy, or `drop` if there is none yet.
pub(super) fn terms() -> impl Strategy<Value = String> {
    let hold_ms = prop_oneof![2 => Just(0_u64), 3 => 1..120_u64];
    let loss = prop::sample::select(&["wait", "drop", "drop", "break"][..]);
    (hold_ms, loss, 0..20_u8).prop_map(|(hold_ms, loss, stubborn)| {
        let agreed = if stubborn == 0 { "" } else { "LOSS-" };
        format!("hold {hold_ms} loss {agreed}{loss}")
    })
}

/// Replaces `LOSS-…` by the agreed policy.
pub(super) fn agree(words: &str, loss: Option<&str>) -> String {
    words
        .split_whitespace()
        .map(|word| word.strip_prefix("LOSS-").map_or(word, |own| loss.unwrap_or(own)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns the time and the policy of a seat's terms.
pub(super) fn spoken<'w>(words: &[&'w str]) -> (u64, &'w str) {
    let [.., "hold", hold_ms, "loss", loss] = *words else { panic!("no terms: {words:?}") };
    (hold_ms.parse().expect("a time"), loss)
}

/// Returns the wire code of a policy.
pub(super) fn loss_code(loss: &str) -> usize {
    ["wait", "drop", "break"].iter().position(|name| *name == loss).expect("a policy")
}
