//! Points and results in S3, or in a store with the same interface.
//!
//! `s3://bucket/key` can be used wherever a path can: an object is a file, `s3://bucket/prefix/` a
//! folder. Reading and writing need a build with the feature `s3`; without it, such a path is an
//! error. This module guarantees:
//!
//! 1. An object is read by ranged GETs, several at a time, at most [`AHEAD_BYTES_MAX`] ahead of the
//!    parser. A range that breaks off is requested again from there, after random pauses that grow.
//!    Another version of the object than the one inspected first is refused.
//! 2. An object is written in parts, several at a time. It appears with all its contents or not at
//!    all.
//! 3. Credentials come from `CATENA_S3_ACCESS_KEY` and `CATENA_S3_SECRET_ACCESS_KEY`, which must be
//!    set together, or from where the AWS command line finds them: environment, profile, role. They
//!    are in no job and no message.
//!
//! `CATENA_S3_LOCATION` is the bucket of a URL without one (`s3:///prefix/`), as for a cluster's
//! register.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

#[cfg(feature = "s3")]
mod read;
#[cfg(feature = "s3")]
mod store;
#[cfg(feature = "s3")]
mod write;

#[cfg(feature = "s3")]
pub(crate) use read::{ListedObject, S3Reader};
#[cfg(feature = "s3")]
pub(crate) use store::S3Store;
#[cfg(feature = "s3")]
pub(crate) use write::S3Writer;

/// Bytes per ranged GET.
pub const RANGE_BYTES: u64 = 4 << 20;

/// The most ranges of one object that are requested, or received and not parsed yet.
pub const RANGES_AHEAD: usize = 8;

/// The most bytes that one reader holds in memory, in addition to the parsed points.
pub const AHEAD_BYTES_MAX: u64 = RANGE_BYTES * RANGES_AHEAD as u64;

/// A store. What is `None` here comes from `CATENA_S3_ENDPOINT_URL`, `CATENA_S3_REGION`, and the
/// variables and files of the AWS command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::Args)]
pub struct S3Endpoint {
    /// Use this store, which is not AWS [default: CATENA_S3_ENDPOINT_URL, or AWS].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// The region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(skip)]
    pub region: Option<String>,
}

#[cfg(feature = "s3")]
impl S3Endpoint {
    /// Returns the settings of the store, with those of the environment for the rest.
    pub(crate) fn settings(&self) -> catena_location::S3Settings {
        let stated = catena_location::S3Settings {
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            ..Default::default()
        };
        stated.or(catena_location::S3Settings::from_env())
    }
}

/// An object or a folder in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    /// The bucket; `None` for that of the settings.
    pub bucket: Option<String>,
    /// The key of an object, or the prefix of the keys in a folder. It is literal: nothing is
    /// percent-encoded.
    pub key: String,
}

impl S3Url {
    /// Parses a path; returns `None` if it is in the file system.
    ///
    /// # Errors
    ///
    /// A path that begins with `s3://` but is not a URL.
    pub fn of(path: &Path) -> Result<Option<Self>> {
        let Some(rest) = path.to_str().and_then(|text| text.strip_prefix("s3://")) else {
            return Ok(None);
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() && key.is_empty() {
            return Err(Error::Url { path: path.to_path_buf() });
        }
        let bucket = Some(bucket.to_string()).filter(|bucket| !bucket.is_empty());
        Ok(Some(Self { bucket, key: key.to_string() }))
    }

    /// Returns whether it is a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// Returns the object or folder of that name in this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let slash = if self.is_folder() { "" } else { "/" };
        Self { bucket: self.bucket.clone(), key: format!("{}{slash}{name}", self.key) }
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket.as_deref().unwrap_or_default(), self.key)
    }
}

/// Returns whether a path may be a pattern of several files.
pub(crate) fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// Returns the error for a URL in a program without the feature `s3`.
#[cfg(not(feature = "s3"))]
pub(crate) fn not_built<T>(url: &S3Url) -> Result<T> {
    Err(Error::NotBuilt { what: url.to_string(), feature: "s3" })
}

#[cfg(test)]
#[cfg(feature = "s3")]
mod tests;

#[cfg(test)]
mod url_tests {
    use super::*;

    fn url(text: &str) -> Option<(Option<String>, String)> {
        S3Url::of(Path::new(text)).unwrap().map(|url| (url.bucket, url.key))
    }

    #[test]
    fn urls_are_distinguished_from_paths() {
        let some =
            |bucket: Option<&str>, key: &str| Some((bucket.map(str::to_string), key.to_string()));
        assert_eq!(url("s3://points/a/b.npy"), some(Some("points"), "a/b.npy"));
        assert_eq!(url("s3://points"), some(Some("points"), ""));
        assert_eq!(url("s3:///a%20b/"), some(None, "a%20b/"));
        assert_eq!(url("s3"), None);
        assert_eq!(url("./s3:/points"), None);
        assert_eq!(url("/srv/points.npy"), None);
        let error = S3Url::of(Path::new("s3://")).unwrap_err();
        assert_eq!(error.to_string(), "s3://: expected s3://bucket/key");
    }

    #[test]
    fn names_are_joined_once() {
        let join = |text: &str| S3Url::of(Path::new(text)).unwrap().unwrap().join("x").to_string();
        assert_eq!(join("s3://points"), "s3://points/x");
        assert_eq!(join("s3://points/a"), "s3://points/a/x");
        assert_eq!(join("s3://points/a/"), "s3://points/a/x");
    }
}
