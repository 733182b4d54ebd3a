//! Ops on a barrier: named parties that wait for one another, generation after generation.

use super::loss::Loss;

/// In place of a generation: whichever is in progress.
pub const GENERATION_CURRENT: u64 = u64::MAX;

/// What can be asked of a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierOp<'a> {
    /// Answers the generation in progress and who is missing in it.
    State,
    /// Arrives without waiting. Answers the generation arrived in.
    Arrive(Arrival<'a>),
    /// Arrives and waits until all parties have. Answers the generation that was completed.
    ///
    /// The same party arriving again in the same generation changes nothing and waits like the first
    /// time. An arrival for a past generation answers at once. An arrival whose wait times out is
    /// withdrawn.
    ArriveAndWait(Arrival<'a>),
    /// Mends a broken barrier and begins a new generation; whoever waits gets `Broken`. Answers the
    /// new generation.
    Reset,
    /// Breaks the barrier: whoever waits or arrives gets `Broken` with the reason until a reset.
    /// Answers the generation that was broken.
    Break {
        /// Why, in words.
        reason: &'a str,
    },
}

/// One party's arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Who arrives: a name of 1 to 64 bytes.
    pub party: &'a str,
    /// How many parties a generation needs; the same for all of them.
    pub parties: u32,
    /// The generation meant, from 0, or [`GENERATION_CURRENT`].
    pub generation: u64,
    /// How long the party holds its seat, in milliseconds from when the request arrives; 0 for as long
    /// as its session lives, or with [`Loss::Wait`] not at all. It is held from one generation to the
    /// next. Each arrival begins it anew, whoever held it before.
    pub hold_ms: u32,
    /// What becomes of the others if the party does not come again in time; the same for all parties.
    pub loss: Loss,
}

impl<'a> Arrival<'a> {
    /// An arrival in whichever generation is in progress, held as long as the session lives, whose loss
    /// the others wait out.
    pub const fn new(party: &'a str, parties: u32) -> Arrival<'a> {
        let (generation, hold_ms, loss) = (GENERATION_CURRENT, 0, Loss::Wait);
        Arrival { party, parties, generation, hold_ms, loss }
    }
}
