//! What the entries of a log have come to, compared between neighbours in the chain: a replica that
//! computes something else, because of a defect of the engine or of a machine, is found before it
//! becomes a head.

use alloc::collections::VecDeque;

use catena_protocol::peer::Entry;

use crate::time::Time;

/// The digests of a shard's outcomes at some entries.
#[derive(Debug, Default)]
pub(super) struct OutcomeDigests {
    /// The last ones, with the indices of their entries.
    known: VecDeque<(u64, u64)>,
    /// One that the predecessor does not have.
    due: Option<(u64, u64)>,
}

/// A digest is due after so many entries.
const ENTRIES: u64 = 65_536;

/// A digest is due at the first entry of each such period.
const PERIOD_US: u64 = 60_000_000;

/// How many digests are kept: more than become due while a successor is as far behind as it may be.
const KNOWN_MAX: usize = 8;

impl OutcomeDigests {
    /// Returns whether a digest is due after an entry, the one before which was at `last`. All
    /// replicas agree on that.
    pub(super) fn is_due(last: Time, entry: &Entry<'_>) -> bool {
        entry.index.is_multiple_of(ENTRIES) || last.0 / PERIOD_US != entry.now_us / PERIOD_US
    }

    pub(super) fn add(&mut self, index: u64, digest: u64) {
        if self.known.len() == KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back((index, digest));
        self.due = Some((index, digest));
    }

    /// Takes the digest that the predecessor does not have.
    pub(super) fn take_due(&mut self) -> Option<(u64, u64)> {
        self.due.take()
    }

    /// Returns whether another digest is known for an entry.
    pub(super) fn contradicts(&self, index: u64, digest: u64) -> bool {
        self.known.iter().any(|(known, ours)| *known == index && *ours != digest)
    }
}
