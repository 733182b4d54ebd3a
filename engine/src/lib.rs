//! The Catena node.
//!
//! A node is one pinned thread per core, each with its own ring, port, connections and shards; see
//! `ARCHITECTURE.md` at the root of the repository for the whole picture. The layers, inside out:
//!
//! - `objects`: the shared objects, plain state with deterministic operations;
//! - [`shard`]: a slice of the object space as a pure state machine, with sessions and waiters;
//! - `io`: monoio tasks that carry bytes between sockets and shards;
//! - [`Engine`]: starts the cores, hands out their addresses, stops them.
//!
//! # Embedding
//!
//! ```
//! let engine = catena_engine::Engine::builder().cores(1).start()?;
//! println!("listening on {:?}", engine.addresses());
//! // Clients connect to any of the addresses. Dropping the engine stops it.
//! # Ok::<(), catena_engine::StartError>(())
//! ```

#![deny(unsafe_code)]

pub mod config;
mod engine;
mod io;
mod objects;
mod prefetch;
pub mod shard;

pub use engine::{Builder, Driver, Engine, StartError};
pub use io::CoreCensus;
