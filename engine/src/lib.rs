//! The Catena node, as a library: shared objects in memory, served by one pinned thread per core.
//!
//! The node's logic is in [`catena_core`], which has no sockets, clocks or threads; this crate drives
//! it. `ARCHITECTURE.md` at the root of the repository has the whole picture. The modules, from the
//! bottom up; each imports only those above it:
//!
//! - `config`: every limit of a node, with the arithmetic that ties them together;
//! - `open_connections`: which connections of the servers beside the cores make room for others;
//! - `clock`, `driver`: the clocks of a node, and the choice between io_uring and epoll;
//! - `register`: where the cluster's record is stored;
//! - `error`: the errors of starting and of running a node;
//! - `metrics`: what the cores count, and its export to Prometheus and CloudWatch;
//! - `io`: monoio tasks that carry bytes between sockets and shards;
//! - `cluster`: the options of a node's part in a [`Cluster`];
//! - `control`: a thread beside the cores, which joins the cluster and follows its changes;
//! - `engine`: starts the threads of an [`Engine`], and stops them.
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
//! # User-defined objects
//!
//! A program that embeds the engine can add types of objects: [`Object`] is the trait of such a type,
//! [`rehearse`] tests whether it keeps its promises, and [`Builder::register`] adds it to an engine.
//! Clients use the objects through the same [`UserType`].
//!
//! # Features
//!
//! - `program` (default): the program `catena-engine`. A program that embeds the engine does without.
//! - `s3`: a register in S3, or in a store that speaks its protocol.

#![deny(unsafe_code)]

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod clock;
mod cluster;
mod config;
mod control;
mod driver;
mod engine;
mod error;
mod io;
mod metrics;
mod open_connections;
mod register;
mod resident;

pub use catena_core::chain::record::{Heads, OnTotalLoss, Settings as ClusterSettings};
pub use catena_core::objects::user::{BadSnapshot, Context, Object, Rejection};
pub use catena_core::rehearse;
pub use catena_location::{BadLocation, Location, S3Settings, Secret, SettingsError};
pub use catena_protocol::{UserType, rkyv};
pub use cluster::{CancelHandle, Cluster};
pub use driver::Driver;
pub use engine::{Builder, Engine};
pub use error::{NodeError, StartError};
pub use metrics::{CoreCensus, Histogram, Latency, Metrics, OpCount};
pub use register::RegisterError;
