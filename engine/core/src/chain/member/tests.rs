//! The membership's tests: scenarios as data, random ones with a ground truth, each rule left out,
//! and clocks at their limits.

mod chance;
mod clocks;
mod faults;
mod mischief;
mod register;
mod rules;
mod scenarios;
mod script;
mod seeds;
mod truth;
mod world;

use crate::chain::record::{Heads, Settings};

/// Those of a new cluster, with fewer shards.
fn settings() -> Settings {
    Settings { shards: 2, min_members: 1, heads: Heads::One, ..Settings::default() }
}
