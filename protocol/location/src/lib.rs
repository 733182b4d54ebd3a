//! Where a cluster keeps its record: what nodes, clients and k-means are all told alike.
//!
//! 1. The place of all records is a URL, a [`Location`]; what else S3 takes are [`S3Settings`], from a file,
//!    the environment, or where AWS' own tools have them.
//! 2. With the feature `s3` there is one way to make a client of a store (`s3_client`), one to read an
//!    object once (`read`), and one opinion on what a refusal means (`ReadError`).
//! 3. What the record says is not known here, and nothing is tried again.

#![forbid(unsafe_code)]

mod location;
#[cfg(feature = "s3")]
mod s3;
mod settings;

pub use location::{BadLocation, Location, record_key};
#[cfg(feature = "s3")]
pub use s3::{ObjectRead, ReadError, is_passing, read, s3_client, s3_client_once, story, words};
pub use settings::{S3Settings, Secret, SettingsError};
