//! What happens to the other parties when one is lost.

use crate::wire_enum::wire_enum;

wire_enum! {
    /// What a barrier or reduction does about a party whose hold or session ended.
    pub enum Loss: u8 {
        /// The others keep waiting, as long as their own deadlines allow. The arrival of the lost
        /// party at a barrier is withdrawn and it is named as missing; its contribution to a
        /// reduction stays.
        Wait = 0,
        /// The others go on without the lost party, in this round and the following ones, until it
        /// comes again. If it had already come to this round, it counts there.
        Drop = 1,
        /// If the hold ended, the object breaks with the name of the lost party in the reason:
        /// parties that wait or come get `Broken` until a reset. If only the session ended, as with
        /// `Wait`.
        Break = 2,
    }
}
