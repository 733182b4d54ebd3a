//! Chain replication: who holds a shard and in which order, decided without a clock, a socket or
//! chance, so that the simulator can replay every decision.
//!
//! - [`record`]: the cluster's configuration, one value that changes by compare-and-swap.

pub mod record;
