//! What becomes of the others when a party is lost.

use crate::wire_enum::wire_enum;

wire_enum! {
    /// What a barrier or reduction does about a party past its deadline, or whose session ended.
    pub enum Loss: u8 {
        /// Nothing: the others wait on, as long as their own deadlines allow. Its arrival at a barrier
        /// is taken back, and it is missing by name; what it contributed to a reduction stays.
        Wait = 0,
        /// Goes on without it, in this round and those that follow, until it comes again. If it had
        /// come to this round, it counts there.
        Drop = 1,
        /// Breaks with its name in the reason if it is past its deadline: whoever waits or comes gets
        /// `Broken` until a reset. If only its session ended, as with `Wait`.
        Break = 2,
    }
}
