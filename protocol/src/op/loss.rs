//! What becomes of the others when a party is lost.

use crate::wire_enum::wire_enum;

wire_enum! {
    /// What a barrier or reduction does about a party past its deadline, or whose session ended.
    pub enum Loss: u8 {
        /// Nothing: the others wait on, as long as their own deadlines allow.
        Wait = 0,
        /// Goes on without it.
        Drop = 1,
        /// Breaks: whoever waits gets `Broken`.
        Break = 2,
    }
}
