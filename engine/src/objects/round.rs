//! A round of a reduction: contributions as they come in, folded into one result.
//!
//! Integers, minima and maxima are folded as they arrive. Float sums are folded in party order, so
//! that the result does not depend on who came first: a contribution that is ahead of its turn is
//! kept until the ones before it have come.

use std::collections::{BTreeMap, BTreeSet};

use catena_protocol::op::{Contribution, ReduceOp};
use catena_protocol::{Elements, Fault, Status};

use super::numbers::Numbers;
use super::{WAITER_BYTES, WaiterId, check_waiters};

/// A round in progress.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) parties: u32,
    op: ReduceOp,
    /// Who has come, a bit a seat.
    arrived: Vec<u64>,
    pub(super) arrived_count: u32,
    /// All that was folded so far.
    folded: Option<Numbers>,
    /// The seat whose turn it is when floats are summed.
    turn: u32,
    /// Contributions ahead of their turn, by seat.
    early: BTreeMap<u32, Numbers>,
    /// Heap that these take, in bytes.
    early_bytes: u64,
    pub(super) waiters: BTreeSet<WaiterId>,
}

impl Progress {
    pub(super) fn new(part: &Contribution<'_>) -> Progress {
        Progress {
            parties: part.parties,
            op: part.op,
            arrived: vec![0; part.parties.div_ceil(64) as usize],
            arrived_count: 0,
            folded: None,
            turn: 0,
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
            Some(folded) if self.op == ReduceOp::Sum && !self.has_arrived(part.party) => {
                folded.check_like(part.elements).and_then(|()| folded.check_add(0, part.elements))
            }
            Some(folded) => folded.check_like(part.elements),
            None => Ok(()),
        }
    }

    /// Marks a seat taken; false if it was already.
    pub(super) fn take_seat(&mut self, party: u32) -> bool {
        if self.has_arrived(party) {
            return false;
        }
        self.arrived[(party / 64) as usize] |= 1 << (party % 64);
        self.arrived_count += 1;
        true
    }

    fn has_arrived(&self, party: u32) -> bool {
        self.arrived[(party / 64) as usize] & (1 << (party % 64)) != 0
    }

    /// The seats that are free, in order. Skips full words: many waits may end at once, and each
    /// asks.
    pub(super) fn missing(&self) -> impl Iterator<Item = u32> {
        let words = self.arrived.iter().zip((0..).step_by(64));
        words
            .filter(|(word, _)| **word != u64::MAX)
            .flat_map(|(word, first)| {
                (0..64).filter(move |bit| word & (1 << bit) == 0).map(move |bit| first + bit)
            })
            .take_while(|seat| *seat < self.parties)
    }

    pub(super) fn fold(&mut self, part: &Contribution<'_>) {
        let ordered = match part.op {
            ReduceOp::Mean => true,
            ReduceOp::Sum => !matches!(part.elements, Elements::I64(_)),
            ReduceOp::Min | ReduceOp::Max => false,
        };
        if !ordered {
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
        while let Some(next) = self.early.remove(&self.turn) {
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
    pub(super) fn finish(self) -> (Numbers, BTreeSet<WaiterId>) {
        assert!(self.early.is_empty(), "all seats are taken, so all had their turn");
        assert_eq!(self.early_bytes, 0, "what is gone takes no memory");
        let mut result = self.folded.expect("a complete round has contributions");
        if self.op == ReduceOp::Mean {
            result.divide(self.parties);
        }
        (result, self.waiters)
    }

    pub(super) fn bytes(&self) -> u64 {
        let folded = self.folded.as_ref().map_or(0, Numbers::bytes);
        folded
            + self.early_bytes
            + (size_of::<Progress>() + self.arrived.len() * 8 + self.waiters.len() * WAITER_BYTES)
                as u64
    }
}
