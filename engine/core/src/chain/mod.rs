//! Chain replication: who holds a shard and in which order, decided without a clock, a socket or
//! chance, so that the simulator can replay every decision.
//!
//! - [`record`]: the cluster's configuration, one value that changes by compare-and-swap;
//! - [`member`]: one node's part in the cluster: leases, suspicion, proposals, joining;
//! - `replica`: a shard in its chain: its log, what it forwards, acknowledges and answers when.

mod log;
pub mod member;
mod pending_replies;
pub mod record;
pub mod replica;
pub mod rules;
