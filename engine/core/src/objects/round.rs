//! A round of a reduction: folds contributions into one result.
//!
//! Integers, minima and maxima are folded as they arrive. Float sums are folded in the order of the
//! parties, so that the result does not depend on the order of arrival: a contribution ahead of its
//! turn is kept until those before it have arrived.
//!
//! The turn of a dropped party is skipped. If a party that was dropped during the round contributes
//! after all, its contribution is added last, whenever it arrives, so that the order of arrival
//! does not matter in this case either.

use alloc::collections::{BTreeMap, BTreeSet};

use catena_protocol::op::{Contribution, ReduceOp};
use catena_protocol::{Elements, Fault, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::numbers::Numbers;
use super::seats::SeatSet;
use super::state::{check, reduce_op};
use super::tree::tree_bytes;
use super::{WaiterId, check_waiters, count};

/// A round in progress.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Round {
    parties: u32,
    #[serde(with = "reduce_op")]
    op: ReduceOp,
    arrived: SeatSet,
    /// The number of parties that have neither arrived nor been dropped.
    #[serde(skip)]
    missing_count: u32,
    /// Parties that were dropped during the round before they arrived; their turns are skipped.
    skipped: SeatSet,
    /// The result so far.
    folded: Option<Numbers>,
    /// The seat whose turn is next when floats are summed.
    turn: u32,
    /// Contributions ahead of their turn, or without a turn, by seat.
    early: BTreeMap<u32, Numbers>,
    /// Heap that the early contributions take, in bytes.
    #[serde(skip)]
    early_bytes: u64,
    pub(super) waiters: BTreeSet<WaiterId>,
}

impl Round {
    /// Returns the round that begins with a contribution, while these parties are dropped.
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

    /// Refuses a contribution that does not match the earlier ones.
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

    /// Adds a contribution. Returns whether it counts: only the first one of a party does.
    /// `is_back` says that the party was dropped until now.
    pub(super) fn take(&mut self, part: &Contribution<'_>, is_back: bool) -> bool {
        let is_first = self.arrived.insert(part.party);
        if is_first {
            self.missing_count -= u32::from(!is_back);
            self.fold(part);
        }
        is_first
    }

    /// Stops waiting for a party. Its contribution stays.
    pub(super) fn drop_party(&mut self, party: u32) {
        if !self.arrived.contains(party) {
            self.missing_count -= 1;
            self.skipped.insert(party);
            self.take_turns();
        }
    }

    /// Waits again for a party that was dropped and is back.
    pub(super) fn expect(&mut self, party: u32) {
        self.missing_count += u32::from(!self.arrived.contains(party));
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing_count == 0
    }

    /// Returns the number of parties that have arrived.
    pub(super) fn arrived(&self) -> u32 {
        self.arrived.len()
    }

    /// Returns the number of parties that complete the round.
    pub(super) fn needed(&self) -> u32 {
        self.arrived.len() + self.missing_count
    }

    /// Iterates over the missing parties, in order.
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

    /// Folds the early contributions whose turn has come.
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

    /// Returns the result and the requests that wait for it.
    pub(super) fn finish(mut self) -> (Numbers, BTreeSet<WaiterId>) {
        for (party, numbers) in core::mem::take(&mut self.early) {
            assert!(
                self.skipped.contains(party),
                "only skipped parties have had no turn, not {party}"
            );
            self.combine(numbers.elements());
        }
        let mut result = self.folded.expect("a complete round has contributions");
        if self.op == ReduceOp::Mean {
            result.divide(self.arrived.len());
        }
        (result, self.waiters)
    }

    /// Computes the fields that a snapshot leaves out, and refuses a state that no round of so many
    /// parties reaches while these are dropped.
    pub(super) fn complete_restored(
        &mut self,
        parties: u32,
        dropped: &SeatSet,
    ) -> Result<(), RestoreError> {
        check(self.parties == parties, "a round and its reduction differ in their parties")?;
        self.arrived.complete_restored(parties)?;
        self.skipped.complete_restored(parties)?;
        self.missing_count = count(self.arrived.absent(dropped, parties).count());
        self.early_bytes = self.early.values().map(Numbers::bytes).sum();
        check(self.missing_count > 0, "a round is complete but not over")?;
        let Some(like) = self.folded.as_ref().or(self.early.values().next()) else {
            return check(false, "a round has no contribution");
        };
        let are_alike =
            self.early.values().all(|numbers| like.check_like(numbers.elements()).is_ok());
        let is_mean_of_ints =
            self.op == ReduceOp::Mean && matches!(like.elements(), Elements::I64(_));
        check(are_alike && !is_mean_of_ints, "contributions of a round do not match")?;
        // `finish` relies on it: when all parties have arrived, only skipped ones are still early.
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
            "a round of a float sum is out of order",
        )
    }

    pub(super) fn bytes(&self) -> u64 {
        let folded = self.folded.as_ref().map_or(0, Numbers::bytes);
        let seats = self.arrived.bytes() + self.skipped.bytes();
        let trees = tree_bytes::<u32, Numbers>(self.early.len())
            + tree_bytes::<WaiterId, ()>(self.waiters.len());
        size_of::<Round>() as u64 + trees + folded + self.early_bytes + seats
    }
}

/// Returns whether the result depends on the order of folding.
fn is_ordered(op: ReduceOp, elements: Elements<'_>) -> bool {
    match op {
        ReduceOp::Mean => true,
        ReduceOp::Sum => !matches!(elements, Elements::I64(_)),
        ReduceOp::Min | ReduceOp::Max => false,
    }
}
