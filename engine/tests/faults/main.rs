//! Real processes, sockets and clients under the faults of machines: kills, pauses, network cuts.
//!
//! In every case each acknowledged update was applied exactly once, in the order of the
//! acknowledgements, and no read is older than the updates that were acknowledged before it began.
//!
//! `CATENA_KILLS=50 cargo test -p catena-engine --test faults -- --nocapture` kills more often than a
//! test run does by default, and prints the counts. With `--features s3` there are also tests of a
//! cluster whose record is in a store that speaks S3.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test fails by a panic, and prints its counts

mod cluster;
mod cuts;
mod kills;
mod kmeans;
mod load;
mod stops;
#[cfg(feature = "s3")]
mod store;
