//! Ops on a reduction: an all-reduce, one round trip per round.

use super::loss::Loss;
use crate::body::Elements;
use crate::wire_enum::wire_enum;

wire_enum! {
    /// How contributions are combined, element by element.
    pub enum ReduceOp: u8 {
        /// Their sum. Floats are added in the order of parties, so the result does not depend on
        /// which came first; those of a party that was dropped in this round and is back are added
        /// last.
        Sum = 0,
        /// Their sum divided by the number of parties that contributed; floats only.
        Mean = 1,
        /// The smallest. A NaN makes the result NaN.
        Min = 2,
        /// The largest. A NaN makes the result NaN.
        Max = 3,
    }
}

/// An op on a reduction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReductionOp<'a> {
    /// Returns the number and the result of the last complete round; `Absent` if there is none.
    Last,
    /// Returns the round in progress and the parties that are missing in it.
    State,
    /// Contributes to a round, waits until all parties have, and returns the result.
    ///
    /// A second contribution of the same party to the same round changes nothing and waits or gets
    /// the result like the first, so that a restarted worker can repeat its step. The last complete
    /// round returns its result at once. The contribution stays when the wait times out.
    Contribute(Contribution<'a>),
    /// Repairs a broken reduction and discards what was contributed to the round in progress;
    /// waiting parties get `Broken`. Returns the round in progress.
    Reset,
    /// Breaks the reduction: parties that wait or contribute get `Broken` with the reason until a
    /// reset. Returns the round in progress.
    Break {
        /// The reason, for people.
        reason: &'a str,
    },
}

/// What one party contributes to one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution<'a> {
    /// The seat of the party, from 0.
    pub party: u32,
    /// How many parties complete a round; all parties give the same number.
    pub parties: u32,
    /// The round. The first contribution to a new reduction chooses the first number; rounds are
    /// consecutive from there.
    pub round: u64,
    /// How contributions are combined; all parties of the round give the same.
    pub op: ReduceOp,
    /// How long the party holds its seat, in milliseconds from when the request arrives. 0: as long
    /// as its session lives, or with [`Loss::Wait`] not at all. A seat is held across rounds. Each
    /// contribution renews it, also one from another session.
    pub hold_ms: u32,
    /// What happens to the other parties if this one does not come again in time; all parties give
    /// the same.
    pub loss: Loss,
    /// The elements; of the same type and number for all parties of the round.
    pub elements: Elements<'a>,
}
