//! Points and results in S3, or in a store that speaks as S3 does.
//!
//! Wherever a path is taken, `s3://bucket/key` is one too: an object is a file, `s3://bucket/prefix/` a folder. Reading
//! and writing take a build with the feature `s3`; without it such a path is a clear error. Promised:
//!
//! 1. An object is read by ranged GETs, several at a time and ahead of whoever parses it, at most
//!    [`AHEAD_BYTES_MAX`] ahead. A range that breaks off is asked for again from where it broke, with growing, random
//!    pauses; answers of another version of the object than was looked at first are refused.
//! 2. An object is written in parts, several at a time, and is there once all of it is, or not at all.
//! 3. Keys come from `CATENA_S3_ACCESS_KEY` and `CATENA_S3_SECRET_ACCESS_KEY`, which go together, or from where AWS'
//!    own tools have them: environment, profile, role. They are in no job and no message.
//!
//! `CATENA_S3_LOCATION` is the bucket of an URL that names none (`s3:///prefix/`), as for a cluster's register.

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
pub(crate) use read::{Object, Stream};
#[cfg(feature = "s3")]
pub(crate) use store::Store;
#[cfg(feature = "s3")]
pub(crate) use write::Sink;

/// What a range asks for.
pub const RANGE_BYTES: u64 = 4 << 20;

/// Ranges of one object that are under way, or arrived and not parsed yet.
pub const RANGES_AHEAD: usize = 8;

/// What one reader holds in memory at most, beside what it has parsed.
pub const AHEAD_BYTES_MAX: u64 = RANGE_BYTES * RANGES_AHEAD as u64;

/// Which store, for what the environment leaves open: without a word in here, what `CATENA_S3_ENDPOINT_URL`,
/// `CATENA_S3_REGION` and AWS' own variables and files say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::Args)]
pub struct Endpoint {
    /// Use this store, which is not AWS [default: CATENA_S3_ENDPOINT_URL, or AWS].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// Of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(skip)]
    pub region: Option<String>,
}

#[cfg(feature = "s3")]
impl Endpoint {
    /// With what the environment says of the rest.
    pub(crate) fn settings(&self) -> catena_location::S3Settings {
        let stated = catena_location::S3Settings {
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            ..Default::default()
        };
        stated.or(catena_location::S3Settings::from_env())
    }
}

/// A place in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `None` for the one that the settings name.
    pub bucket: Option<String>,
    /// An object's, or what objects' keys begin with; literally, a percent sign is a percent sign.
    pub key: String,
}

impl Url {
    /// The place that a path means, if it is none in the file system.
    ///
    /// # Errors
    ///
    /// A path that begins as an URL does and is none.
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

    /// Whether it means all objects below it.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// The object or folder of that name in this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let slash = if self.is_folder() { "" } else { "/" };
        Self { bucket: self.bucket.clone(), key: format!("{}{slash}{name}", self.key) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket.as_deref().unwrap_or_default(), self.key)
    }
}

/// What to say about an URL in a program that cannot use it.
#[cfg(not(feature = "s3"))]
pub(crate) fn not_built<T>(url: &Url) -> Result<T> {
    Err(Error::NotBuilt { what: url.to_string(), feature: "s3" })
}

#[cfg(test)]
#[cfg(feature = "s3")]
mod tests;

#[cfg(test)]
mod url_tests {
    use super::*;

    fn url(text: &str) -> Option<(Option<String>, String)> {
        Url::of(Path::new(text)).unwrap().map(|url| (url.bucket, url.key))
    }

    #[test]
    fn urls_are_told_from_paths() {
        let some =
            |bucket: Option<&str>, key: &str| Some((bucket.map(str::to_string), key.to_string()));
        assert_eq!(url("s3://points/a/b.npy"), some(Some("points"), "a/b.npy"));
        assert_eq!(url("s3://points"), some(Some("points"), ""));
        assert_eq!(url("s3:///a%20b/"), some(None, "a%20b/"));
        assert_eq!(url("s3"), None);
        assert_eq!(url("./s3:/points"), None);
        assert_eq!(url("/srv/points.npy"), None);
        let error = Url::of(Path::new("s3://")).unwrap_err();
        assert_eq!(error.to_string(), "s3://: expected s3://bucket/key");
    }

    #[test]
    fn names_are_joined_once() {
        let join = |text: &str| Url::of(Path::new(text)).unwrap().unwrap().join("x").to_string();
        assert_eq!(join("s3://points"), "s3://points/x");
        assert_eq!(join("s3://points/a"), "s3://points/a/x");
        assert_eq!(join("s3://points/a/"), "s3://points/a/x");
    }
}
