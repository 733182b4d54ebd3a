//! k-means on Catena: exact Lloyd iterations, with one all-reduce call per worker and iteration.
//!
//! The same data, seed and settings give bit-equal centroids for any number of workers, for
//! threads, processes and invocations of a function, and for all vector instructions. The modules,
//! from the inside out:
//!
//! - [`kernel`]: nearest centres and distances, with the vector instructions of the processor;
//! - [`pruning`]: skips comparisons that cannot change the result;
//! - [`fixed`]: sums that do not depend on the order of summands;
//! - [`coordination`] and [`link`]: the all-reduce calls, their phases, and how a restarted worker
//!   catches up;
//! - [`transform`]: scaled columns, and points at unit length;
//! - [`settings`], [`init`] and [`lloyd`]: the algorithm, for one worker;
//! - `batches`: mini-batches, for data that does not fit in memory;
//! - [`data`]: CSV, `.npy` and packed files, whole or in parts;
//! - [`s3`] and [`upload`]: data and results in a store;
//! - [`job`], [`threads`], [`worker`] and [`workers`]: a run, with its workers in this process or
//!   elsewhere;
//! - `resume`: jobs that outlive their driver;
//! - `event` and `request` (feature `lambda`): uploads as jobs, and jobs whose driver is an invocation;
//! - [`generate`], [`output`] and [`report`]: test data, results, and a picture of them;
//! - [`elbow`] and [`silhouette`]: several numbers of clusters, to choose one;
//! - [`model`]: saved centroids, to which other points are assigned.

mod batches;
pub mod coordination;
pub mod data;
pub mod elbow;
mod error;
#[cfg(feature = "lambda")]
pub mod event;
pub mod fixed;
pub mod generate;
pub mod init;
pub mod job;
pub mod kernel;
pub mod link;
pub mod lloyd;
pub mod model;
pub mod output;
mod pca;
pub mod pruning;
pub mod report;
#[cfg(feature = "lambda")]
mod request;
mod resume;
#[cfg(feature = "s3")]
mod runtime;
pub mod s3;
pub mod settings;
pub mod silhouette;
pub mod threads;
pub mod transform;
pub mod upload;
mod weights;
pub mod worker;
pub mod workers;

pub use error::{Error, FormatError, Result, RowError};
pub use settings::Settings;
