//! The Catena node.
//!
//! A node is one pinned thread per core, each with its own ring, port, connections and shards; see
//! `ARCHITECTURE.md` at the root of the repository for the whole picture. The layers, inside out:
//!
//! - `objects`: the shared objects, plain state with deterministic operations;
//! - [`shard`]: a slice of the object space as a pure state machine, with sessions and waiters;
//! - [`chain`]: which nodes hold a shard, and in which order;
//! - [`register`]: where the cluster's configuration lies;
//! - `io`: monoio tasks that carry bytes between sockets and shards;
//! - `metrics`: what the cores count, for whoever asks;
//! - `control`: a thread beside the cores, the node's part in its [`Cluster`];
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
//!
//! # Objects of your own
//!
//! A program that embeds the engine can teach it types of objects: [`Object`] says what one has to
//! say of itself, [`rehearse`] tries whether it keeps its promises, and [`Builder::register`] hands it
//! to the engine. Clients get at such objects with the same [`UserType`].

#![deny(unsafe_code)]

mod clock;
mod cluster;
mod config;
mod control;
mod engine;
mod io;
mod metrics;
mod register;

pub use catena_core::chain::record::{Heads, OnTotalLoss, Settings as ClusterSettings};
pub use catena_core::objects::user::{BadSnapshot, Context, Object, Rejection};
pub use catena_core::rehearse;
pub use catena_location::{BadLocation, Location, S3Settings, Secret, SettingsError};
pub use catena_protocol::{UserType, rkyv};
pub use cluster::{CancelHandle, Cluster};
pub use engine::{Builder, Driver, Engine, StartError};
pub use io::CoreCensus;
pub use metrics::{Histogram, Latency, Metrics, OpCount};
pub use register::RegisterError;
