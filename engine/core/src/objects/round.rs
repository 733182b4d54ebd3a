//! A round of a reduction: contributions as they come in, folded into one result.
//!
//! Integers, minima and maxima are folded as they arrive. Float sums are folded in party order, so
//! that the result does not depend on who came first: a contribution that is ahead of its turn is
//! kept until the ones before it have come.
//!
//! Nobody's turn is waited for who is dropped. Whoever was dropped while the round lasted and comes to
//! it all the same is added last, whenever that is, so that the order of arrival does not show here
//! either.

use alloc::collections::{BTreeMap, BTreeSet};

use catena_protocol::op::{Contribution, ReduceOp};
use catena_protocol::{Elements, Fault, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::numbers::Numbers;
use super::seats::SeatSet;
use super::state::{check, reduce_op};
use super::{WAITER_BYTES, WaiterId, check_waiters, count};

/// A round in progress.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Round {
    parties: u32,
    #[serde(with = "reduce_op")]
    op: ReduceOp,
    arrived: SeatSet,
    /// How many are waited for: neither arrived nor dropped.
    #[serde(skip)]
    missing_count: u32,
    /// Who was dropped at some time of the round, without having arrived before: has no turn.
    skipped: SeatSet,
    /// All that was folded so far.
    folded: Option<Numbers>,
    /// The seat whose turn it is when floats are summed.
    turn: u32,
    /// Contributions ahead of their turn, or without one, by seat.
    early: BTreeMap<u32, Numbers>,
    /// Heap that these take, in bytes.
    #[serde(skip)]
    early_bytes: u64,
    pub(super) waiters: BTreeSet<WaiterId>,
}

impl Round {
    /// A round that begins with this contribution, while these are dropped.
    pub(super) fn new(part: &Contribution<'_>, dropped: &SeatSet) -> Round {
        Round {
            parties: part.parties,
            op: part.op,
            arrived: SeatSet::with_room(part.parties),
            missing_count: part.parties - dropped.len(),
            skipped: dropped.clone(),
            folded: None,
            turn: dropped.next_absent(0),
            early: BTreeMap::new(),
            early_bytes: 0,
            waiters: BTreeSet::new(),
        }
    }

    /// Refuses a contribution that does not fit the ones before it.
    pub(super) fn check(&self, part: &Contribution<'_>) -> Result<(), Fault> {
        if part.parties != self.parties {
            let (expected, got) = (self.parties.into(), part.parties.into());
            return Err(Fault::expected(Status::Mismatch, expected, got));
        }
        if part.op != self.op {
            let (expected, got) = (self.op.to_wire().into(), part.op.to_wire().into());
            return Err(Fault::expected(Status::Mismatch, expected, got));
        }
        check_waiters(self.waiters.len())?;
        let like = self.folded.as_ref().or(self.early.values().next());
        match like {
            Some(folded) if self.op == ReduceOp::Sum && !self.arrived.contains(part.party) => {
                folded.check_like(part.elements).and_then(|()| folded.check_add(0, part.elements))
            }
            Some(folded) => folded.check_like(part.elements),
            None => Ok(()),
        }
    }

    /// Takes a contribution, and answers whether it counts: the first one of a party does. `is_back`
    /// says that the party was dropped until now.
    pub(super) fn take(&mut self, part: &Contribution<'_>, is_back: bool) -> bool {
        let is_first = self.arrived.insert(part.party);
        if is_first {
            self.missing_count -= u32::from(!is_back);
            self.fold(part);
        }
        is_first
    }

    /// Does not wait for a party any longer. What it contributed stays.
    pub(super) fn drop_party(&mut self, party: u32) {
        if !self.arrived.contains(party) {
            self.missing_count -= 1;
            self.skipped.insert(party);
            self.take_turns();
        }
    }

    /// Waits for a party that was dropped and is back.
    pub(super) fn expect(&mut self, party: u32) {
        self.missing_count += u32::from(!self.arrived.contains(party));
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing_count == 0
    }

    /// How many have arrived.
    pub(super) fn arrived(&self) -> u32 {
        self.arrived.len()
    }

    /// How many that have to be, as things are.
    pub(super) fn needed(&self) -> u32 {
        self.arrived.len() + self.missing_count
    }

    /// Who is waited for, in order.
    pub(super) fn missing<'s>(&'s self, dropped: &'s SeatSet) -> impl Iterator<Item = u32> + 's {
        self.arrived.absent(dropped, self.parties)
    }

    fn fold(&mut self, part: &Contribution<'_>) {
        if !is_ordered(part.op, part.elements) {
            return self.combine(part.elements);
        }
        if part.party != self.turn {
            let numbers = Numbers::of(part.elements);
            self.early_bytes += numbers.bytes();
            self.early.insert(part.party, numbers);
            return;
        }
        self.combine(part.elements);
        self.turn += 1;
        self.take_turns();
    }

    /// Folds the contributions whose turn it is by now.
    fn take_turns(&mut self) {
        loop {
            self.turn = self.skipped.next_absent(self.turn);
            let Some(next) = self.early.remove(&self.turn) else { return };
            self.early_bytes -= next.bytes();
            self.combine(next.elements());
            self.turn += 1;
        }
    }

    fn combine(&mut self, elements: Elements<'_>) {
        match (&mut self.folded, self.op) {
            (None, _) => self.folded = Some(Numbers::of(elements)),
            (Some(folded), ReduceOp::Sum | ReduceOp::Mean) => folded.add(0, elements),
            (Some(folded), ReduceOp::Min) => folded.min(elements),
            (Some(folded), ReduceOp::Max) => folded.max(elements),
        }
    }

    /// The result, and who waits for it.
    pub(super) fn finish(mut self) -> (Numbers, BTreeSet<WaiterId>) {
        for (party, numbers) in core::mem::take(&mut self.early) {
            assert!(self.skipped.contains(party), "all others had their turn: {party}");
            self.combine(numbers.elements());
        }
        let mut result = self.folded.expect("a complete round has contributions");
        if self.op == ReduceOp::Mean {
            result.divide(self.arrived.len());
        }
        (result, self.waiters)
    }

    /// Works out what a snapshot leaves out, and refuses what no round comes to. These are dropped of
    /// so many parties.
    pub(super) fn complete_restored(
        &mut self,
        parties: u32,
        dropped: &SeatSet,
    ) -> Result<(), RestoreError> {
        check(self.parties == parties, "a round has other parties than its reduction")?;
        self.arrived.complete_restored(parties)?;
        self.skipped.complete_restored(parties)?;
        self.missing_count = count(self.arrived.absent(dropped, parties).count());
        self.early_bytes = self.early.values().map(Numbers::bytes).sum();
        check(self.missing_count > 0, "a round is complete and goes on")?;
        let Some(like) = self.folded.as_ref().or(self.early.values().next()) else {
            return check(false, "a round has begun with nothing");
        };
        let are_alike =
            self.early.values().all(|numbers| like.check_like(numbers.elements()).is_ok());
        let is_mean_of_ints =
            self.op == ReduceOp::Mean && matches!(like.elements(), Elements::I64(_));
        check(are_alike && !is_mean_of_ints, "contributions do not fit each other")?;
        // When everybody has come, whoever is still early has no turn: so `finish` needs it.
        let (arrived, skipped, turn) = (&self.arrived, &self.skipped, self.turn);
        let is_in_turn = match is_ordered(self.op, like.elements()) {
            true => !skipped.contains(turn) && !arrived.contains(turn),
            false => self.early.is_empty(),
        };
        let may_be_early =
            |seat: u32| arrived.contains(seat) && (skipped.contains(seat) || seat > turn);
        let are_early = self.early.keys().all(|seat| may_be_early(*seat));
        let have_turns =
            dropped.iter().all(|seat| skipped.contains(seat) || arrived.contains(seat));
        check(
            turn <= parties && is_in_turn && are_early && have_turns,
            "a round does not keep to the turns",
        )
    }

    pub(super) fn bytes(&self) -> u64 {
        let folded = self.folded.as_ref().map_or(0, Numbers::bytes);
        let seats = self.arrived.bytes() + self.skipped.bytes();
        let own = size_of::<Round>() + self.waiters.len() * WAITER_BYTES;
        own as u64 + folded + self.early_bytes + seats
    }
}

/// Whether the result depends on the order in which contributions are folded.
fn is_ordered(op: ReduceOp, elements: Elements<'_>) -> bool {
    match op {
        ReduceOp::Mean => true,
        ReduceOp::Sum => !matches!(elements, Elements::I64(_)),
        ReduceOp::Min | ReduceOp::Max => false,
    }
}
