//! Chain replication: which nodes hold a shard and in which order.
//!
//! Nothing in here reads a clock, opens a socket or draws random numbers, so the simulator can
//! replay every decision.
//!
//! - [`record`]: the cluster's configuration, one value that changes by compare-and-swap;
//! - [`member`]: one node's membership: leases, failure detection, proposals, joining;
//! - [`assignment`]: what a member's epoch means for one replica: neighbours and permissions;
//! - [`outbox`]: what a replica needs from its driver;
//! - [`replica`]: a shard in its chain: its log, what it forwards and acknowledges, and when it
//!   replies;
//! - [`rules`]: the rules of the protocol, which tests can leave out one at a time.

pub mod assignment;
mod log;
pub mod member;
pub mod outbox;
mod pending_replies;
pub mod record;
pub mod replica;
pub mod rules;
