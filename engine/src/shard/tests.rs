//! The shard's tests: scenarios as data, models that it is compared with, and its purity.

mod barriers;
mod cells;
mod latches;
mod limits;
mod memory;
mod models;
mod numbers;
mod purity;
mod reductions;
mod script;
mod seeds;
mod sessions;
mod spoken;
mod users;
mod vectors;
mod waits;

use self::script::check;
