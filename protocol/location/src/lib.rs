#![doc = include_str!("../README.md")]
//!
//! # The crate
//!
//! 1. A [`Location`] is the URL below which the records of all clusters are. Credentials and other
//!    settings for S3 are [`S3Settings`].
//! 2. The feature `s3` adds the one way to make a client of an object store (`s3_client`), to read
//!    an object once (`read`), and to interpret a refusal (`ReadError`).
//! 3. This crate does not know what a record contains, and does not retry.

#![forbid(unsafe_code)]

mod location;
#[cfg(feature = "s3")]
mod s3;
mod settings;

pub use location::{BadLocation, Location, record_key};
#[cfg(feature = "s3")]
pub use s3::{
    ObjectRead, ReadError, is_transient, read, refusal_text, s3_client, s3_client_once, with_causes,
};
pub use settings::{S3Settings, Secret, SettingsError};
