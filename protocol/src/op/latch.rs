//! Ops on a latch: opens for good once enough named parties have counted down.

/// An op on a latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatchOp<'a> {
    /// Returns how many parties have counted down and how many are needed; `Absent` if the latch
    /// was never used.
    State,
    /// Counts down for a party; doing so again for the same name changes nothing. Returns how many
    /// parties are still missing.
    CountDown {
        /// The name of the party, 1 to 64 bytes.
        party: &'a str,
        /// How many parties open the latch; all parties give the same number.
        parties: u32,
    },
    /// Waits until the latch is open. Returns 0.
    Wait {
        /// How many parties open the latch; all parties give the same number.
        parties: u32,
    },
}
