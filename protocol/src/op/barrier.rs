//! Ops on a barrier: named parties that wait for one another, generation after generation.

use super::loss::Loss;

/// Stands for the generation in progress.
pub const GENERATION_CURRENT: u64 = u64::MAX;

/// What can be asked of a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierOp<'a> {
    /// Returns the generation in progress and the parties that are missing in it.
    State,
    /// Arrives without waiting. Returns the generation that the arrival counts for.
    Arrive(Arrival<'a>),
    /// Arrives and waits until all parties have. Returns the generation that was completed.
    ///
    /// A second arrival of the same party in the same generation changes nothing and waits like the
    /// first. An arrival for a past generation returns at once. An arrival whose wait times out is
    /// withdrawn.
    ArriveAndWait(Arrival<'a>),
    /// Repairs a broken barrier and begins a new generation; waiting parties get `Broken`. Returns
    /// the new generation.
    Reset,
    /// Breaks the barrier: parties that wait or arrive get `Broken` with the reason until a reset.
    /// Returns the generation that was broken.
    Break {
        /// The reason, for people.
        reason: &'a str,
    },
}

/// One party's arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// The name of the party that arrives, 1 to 64 bytes.
    pub party: &'a str,
    /// How many parties complete a generation; all parties give the same number.
    pub parties: u32,
    /// The generation to arrive in, from 0, or [`GENERATION_CURRENT`].
    pub generation: u64,
    /// How long the party holds its seat, in milliseconds from when the request arrives. 0: as long
    /// as its session lives, or with [`Loss::Wait`] not at all. A seat is held across generations.
    /// Each arrival renews it, also one from another session.
    pub hold_ms: u32,
    /// What happens to the other parties if this one does not come again in time; all parties give
    /// the same.
    pub loss: Loss,
}

impl<'a> Arrival<'a> {
    /// Returns an arrival in the generation in progress, with `hold_ms` 0 and [`Loss::Wait`].
    pub const fn new(party: &'a str, parties: u32) -> Arrival<'a> {
        let (generation, hold_ms, loss) = (GENERATION_CURRENT, 0, Loss::Wait);
        Arrival { party, parties, generation, hold_ms, loss }
    }
}
