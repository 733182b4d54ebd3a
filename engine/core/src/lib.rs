//! The pure core of the Catena engine: shared objects, shards and chain replication as state
//! machines.
//!
//! Nothing in here blocks, sleeps, opens a socket, starts a thread or reads a clock. Events and the
//! time are arguments and replies go out through an [`Outbox`](shard::Outbox). So the same events
//! give the same state and the same replies on a node, on its replicas, in a test, in the simulator
//! and in the fuzzer. The compiler enforces this: the crate is `no_std`, and only tests, the
//! simulator and [`unwind`], which catches panics of user-defined types, are linked to `std`.
//!
//! The modules, from the bottom up; each uses only those above it:
//!
//! - [`time`]: logical time;
//! - [`config`]: the limits of everything that a shard and its replicas keep;
//! - `walk`: walks over tables that change meanwhile, for snapshots;
//! - [`objects`]: the shared objects, plain state with deterministic operations;
//! - [`shard`]: a slice of the object space: order, sessions, waiters, limits;
//! - [`chain`]: which nodes hold a shard and in which order, what they forward and acknowledge;
//! - `sim`: whole clusters in one thread, decided by a seed (feature `sim`).
//!
//! Programs use this crate through `catena-engine`, which drives it with sockets and threads. Its
//! own API follows the engine's needs and is not stable.

#![no_std]
#![deny(unsafe_code)]

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

extern crate alloc;
// What `clap` derives names `std`.
#[cfg(any(test, feature = "clap"))]
#[cfg_attr(test, macro_use)]
extern crate std;

pub mod ahead;
pub mod chain;
pub mod config;
pub mod objects;
mod prefetch;
mod rehearse;
pub mod shard;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod time;
pub mod unwind;
mod walk;

pub use catena_protocol::{UserType, rkyv};
pub use objects::user::{BadSnapshot, Context, Object, Rejection};
pub use rehearse::rehearse;
