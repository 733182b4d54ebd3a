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

mod client;
mod history;
mod network;
mod node;
mod random;
mod register;
mod swarm;
#[cfg(test)]
mod tests;
mod trace;
mod truth;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::world::World;
use crate::chain::rules::Rules;

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
    let mut rules = Rules::default();
    if let Some(without) = without {
        let rule = RULES.iter().find(|(name, _)| *name == without);
        let (_, leave_out) = rule.ok_or_else(|| format!("there is no rule {without}"))?;
        leave_out(&mut rules);
    }
    let ran = catch_unwind(AssertUnwindSafe(|| World::new(seed, rules, trace).run()));
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a word")))
    })
}

/// A rule's name, and what leaves it out.
type Rule = (&'static str, fn(&mut Rules));

/// The rules that can be left out.
pub(crate) const RULES: &[Rule] = &[
    ("drain", |rules| rules.drain = false),
    ("gate", |rules| rules.gate = false),
    ("stop_grant", |rules| rules.stop_grant = false),
    ("stop_read", |rules| rules.stop_read = false),
    ("rest", |rules| rules.rest = false),
    ("confirm", |rules| rules.confirm = false),
    ("resolve", |rules| rules.resolve = false),
    ("implied", |rules| rules.implied = false),
    ("all_peers", |rules| rules.all_peers = false),
    ("own_epoch", |rules| rules.own_epoch = false),
    ("drift", |rules| rules.drift = false),
    ("forward", |rules| rules.forward = false),
    ("epoch_check", |rules| rules.epoch_check = false),
    ("bump", |rules| rules.bump = false),
    ("hold", |rules| rules.hold = false),
    ("clean_wait", |rules| rules.clean_wait = false),
    ("fresh_incarnation", |rules| rules.fresh_incarnation = false),
    ("one_change_id", |rules| rules.one_change_id = false),
];
