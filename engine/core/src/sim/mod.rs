//! A simulated cluster in one thread, in which the seed decides everything.
//!
//! Nodes are the real [`Member`](crate::chain::member::Member)s and
//! [`Replica`](crate::chain::replica::Replica)s. Everything below them is simulated: clocks that
//! drift, links that delay and break, a register that replies late or never, processes that stop
//! and start. Clients send real frames and record the replies. Each seed first draws a profile: the
//! size of the cluster, the workload, and which faults occur how often.
//!
//! [`Invariant`] lists what is checked: some invariants after every event, the others at the end.
//!
//! The same seed gives the same events, bit by bit; [`RunSummary::trace`] is a hash of all of them.

// For the printed trace.
extern crate std;

mod client;
mod event;
mod history;
mod network;
mod node;
mod oracle;
mod outcome;
mod profile;
mod random;
mod register;
mod simulation;
#[cfg(test)]
mod tests;
mod trace;

use core::panic::AssertUnwindSafe;

pub use self::outcome::{FailureKind, Invariant, RunSummary, SimFailure};
use self::simulation::Simulation;
use crate::chain::rules::Rules;
use crate::unwind;

/// Runs the cluster of a seed; with `print_trace`, prints every event.
///
/// # Errors
///
/// The first invariant that did not hold, or another [`FailureKind`].
pub fn run(seed: u64, rules: Rules, print_trace: bool) -> Result<RunSummary, SimFailure> {
    let simulate = AssertUnwindSafe(|| Simulation::new(seed, rules, print_trace).run());
    unwind::catch(simulate).unwrap_or_else(|panic| {
        let kind = FailureKind::Panicked(unwind::panic_text(&*panic).into());
        Err(SimFailure { seed, without: rules.left_out(), at_us: None, kind })
    })
}
