//! Ops on a reduction: the all-reduce step, one round trip a round.

use super::loss::Loss;
use crate::body::Elements;
use crate::wire_enum::wire_enum;

wire_enum! {
    /// How contributions are combined, element by element.
    pub enum ReduceOp: u8 {
        /// Their sum. Floats are added in party order, so the result does not depend on arrival; those
        /// of a party that was dropped in this round and is back are added last.
        Sum = 0,
        /// Their sum divided by the number of those who contributed; floats only.
        Mean = 1,
        /// The smallest. A NaN contributed makes a NaN.
        Min = 2,
        /// The largest. A NaN contributed makes a NaN.
        Max = 3,
    }
}

/// What can be asked of a reduction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReductionOp<'a> {
    /// Answers round and result of the last complete round; `Absent` if there is none.
    Last,
    /// Answers the round in progress and who is missing in it.
    State,
    /// Contributes to a round, waits until all parties have, answers the result.
    ///
    /// The same party contributing again to the same round changes nothing and waits or gets the
    /// result like the first time, so a worker that was started again repeats its step. A round that
    /// is complete answers at once, as long as it is the last one. The contribution stays when the
    /// wait times out.
    Contribute(Contribution<'a>),
    /// Mends a broken reduction and forgets what was contributed to the round in progress; whoever
    /// waits gets `Broken`. Answers the round in progress.
    Reset,
    /// Breaks the reduction: whoever waits or contributes gets `Broken` with the reason until a reset.
    /// Answers the round in progress.
    Break {
        /// Why, in words.
        reason: &'a str,
    },
}

/// One party's part of one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution<'a> {
    /// Who contributes: its seat, from 0.
    pub party: u32,
    /// How many parties the round needs; the same for all of them.
    pub parties: u32,
    /// The round. The first contribution to a new reduction chooses where it starts; from then on
    /// they follow one another.
    pub round: u64,
    /// How to combine; the same for all parties of the round.
    pub op: ReduceOp,
    /// How long the party holds its seat, in milliseconds from when the request arrives; 0 for as long
    /// as its session lives, or with [`Loss::Wait`] not at all. It is held from one round to the next.
    /// Each contribution begins it anew, whoever held it before.
    pub hold_ms: u32,
    /// What becomes of the others if the party does not come again in time; the same for all parties.
    pub loss: Loss,
    /// What is contributed; the same type and length for all parties of the round.
    pub elements: Elements<'a>,
}
