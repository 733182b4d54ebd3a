//! k-means over Catena: exact Lloyd iterations whose workers agree by one all-reduce call an iteration.
//!
//! The same data, seed and flags give bit-equal centroids whatever the number of workers, threads or processes, and
//! whatever vector instructions they have. The parts, from the inside out:
//!
//! - [`kernel`]: nearest centres and distances, with the instructions the processor has;
//! - [`pruning`]: which points need not be compared with all centres again;
//! - [`fixed`]: sums that do not depend on who adds what;
//! - [`coordination`]: the all-reduce step, its phases, and how a worker catches up;
//! - [`init`] and [`lloyd`]: the algorithm, for one worker;
//! - [`data`]: CSV, `.npy` and packed files, whole or in parts;
//! - [`s3`], [`upload`]: data and results in a store;
//! - [`job`], [`worker`], [`threads`], [`workers`]: a run, its workers here or elsewhere;
//! - `event` (feature `lambda`): uploads as jobs;
//! - [`generate`], [`report`]: data to try it on, and a picture of what came out.

pub mod coordination;
pub mod data;
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
pub mod output;
mod pca;
pub mod pruning;
pub mod report;
#[cfg(feature = "s3")]
mod runtime;
pub mod s3;
pub mod settings;
pub mod threads;
pub mod upload;
pub mod worker;
pub mod workers;

pub use error::{Error, FormatError, Result, RowError};
pub use settings::Settings;
