//! A cluster in one thread, in which one number decides everything.
//!
//! Nodes are the real [`Member`](crate::chain::member::Member)s and
//! [`Replica`](crate::chain::replica::Replica)s; what they stand on is made up: clocks that drift,
//! links that delay and break, a register that answers late or not at all, processes that stop and
//! start. Clients ask for real frames and remember what they were told. Which of the faults a seed
//! has, and how often, it draws first.
//!
//! Checked after every event:
//! 1. what a client was told is in the log of every member of the newest record;
//! 2. logs of members nest along the chain, and have equal hashes at equal places;
//! 3. what is committed stays committed, and nobody commits two things in one place.
//!
//! Checked at the end:
//! 4. a linearizable store could have given the answers that the clients got;
//! 5. once the faults are over, every call ends and the members that are left work in one epoch;
//! 6. members that have applied the same have the same state.
//!
//! The same seed gives the same events, bit by bit: [`Summary::trace`] says whether it did.

// For what it prints.
extern crate std;

mod client;
mod history;
mod network;
mod node;
mod oracle;
mod profile;
mod random;
mod register;
mod simulation;
#[cfg(test)]
mod tests;
mod trace;

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use core::panic::AssertUnwindSafe;

use self::simulation::World;
use crate::chain::rules::Rules;
use crate::unwind;

/// What came of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The hash of everything that happened.
    pub trace: u64,
    /// How many events there were.
    pub events: u64,
    /// How many calls of clients were answered.
    pub answered: u64,
    /// How many calls will never be known to have happened.
    pub open: u64,
    /// The last epoch.
    pub epoch: u32,
    /// Whether no member survived, so that nothing could be asked of the cluster any more.
    pub lost: bool,
}

/// Runs a seed, without one of the rules if it is named; says what went wrong. With `trace`,
/// every event is printed.
///
/// # Errors
///
/// What was found, in words.
pub fn run(seed: u64, without: Option<&str>, trace: bool) -> Result<Summary, String> {
    let rules = match without {
        Some(rule) => Rules::without(rule).map_err(|unknown| unknown.to_string())?,
        None => Rules::default(),
    };
    let ran = unwind::catch(AssertUnwindSafe(|| World::new(seed, rules, trace).run()));
    ran.unwrap_or_else(|panic| Err(format!("panicked: {}", unwind::panic_text(&*panic))))
}
