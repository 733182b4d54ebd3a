//! Tests of the membership: scenarios as data, random runs with an oracle, each rule left out, and
//! clocks at their limits.

mod clocks;
mod cluster;
mod fault_injection;
mod faults;
mod oracle;
mod random;
mod register;
mod rules;
mod scenarios;
mod script;
mod seeds;

use crate::chain::record::{Heads, Settings};

/// Returns the default settings, with fewer shards.
fn settings() -> Settings {
    Settings { shards: 2, min_members: 1, heads: Heads::One, ..Settings::default() }
}
