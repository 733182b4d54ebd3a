//! Ops on a latch: opens for good once enough named parties have counted down.

/// What can be asked of a latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatchOp<'a> {
    /// Answers how many parties have counted down and how many are needed; `Absent` if nobody asked
    /// for the latch yet.
    State,
    /// Counts down in the name of a party; the same name again changes nothing. Answers how many
    /// are still missing.
    CountDown {
        /// Who counts down: a name of 1 to 64 bytes.
        party: &'a str,
        /// How many parties open the latch; the same for all of them.
        parties: u32,
    },
    /// Waits until the latch is open. Answers 0.
    Wait {
        /// How many parties open the latch; the same for all of them.
        parties: u32,
    },
}
