//! The shard's tests: scenarios as data, comparisons with models, limits, and fuzz seeds.

mod attendance;
mod barriers;
mod cells;
mod crowds;
mod futures;
mod latches;
mod limits;
mod lists;
mod locks;
mod logs;
mod manage;
mod maps;
mod memory;
mod models;
mod names;
mod numbers;
mod reductions;
mod script;
mod seats;
mod seeds;
mod semaphores;
mod sessions;
mod sets;
mod snapshots;
mod spoken;
mod users;
mod vectors;
mod waits;
mod ways;

use self::script::check;
