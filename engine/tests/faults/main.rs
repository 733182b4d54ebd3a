//! Real processes, real sockets, real clients, and what happens to machines: kills, stops, cuts.
//!
//! Whatever happens, every update that a client was told of is there once, in the order in which it
//! was told, and no read is older than what was told before it began.
//!
//! `CATENA_KILLS=50 cargo test -p catena-engine --test faults -- --nocapture` kills more often than the
//! few times that a test run takes, and prints what was counted. With `--features s3` a cluster whose record
//! lies in a store that speaks S3 is among those that are tried.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test's way to fail, and to say what it counted

mod cluster;
mod cuts;
mod kills;
mod kmeans;
mod load;
mod stops;
#[cfg(feature = "s3")]
mod store;
