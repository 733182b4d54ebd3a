//! The URL of the register.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the records of clusters are stored. Each cluster has its own directory or prefix below it.
///
/// Parsed from and displayed as `file:///directory` or `s3://bucket/prefix`. Both are taken
/// literally, without percent-encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory of a local file system, for nodes on one host.
    File {
        /// Its absolute path.
        directory: PathBuf,
    },
    /// An object store with the S3 API that supports conditional writes.
    S3 {
        /// The bucket; if it is `None`, [`S3Settings::location`](crate::S3Settings::location) is
        /// the bucket.
        bucket: Option<String>,
        /// The prefix of keys, without slashes at either end; may be empty.
        prefix: String,
    },
}

/// A text that is not a location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got:?}")]
pub struct BadLocation {
    expected: &'static str,
    got: String,
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(url: &str) -> Result<Location, BadLocation> {
        let bad = |expected| BadLocation { expected, got: url.into() };
        if let Some(path) = url.strip_prefix("file://") {
            if !path.starts_with('/') || path.contains('\0') {
                return Err(bad(
                    "file:// and the absolute path of a directory, file:///srv/catena",
                ));
            }
            return Ok(Location::File { directory: path.into() });
        }
        if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if !bucket.is_empty() && !is_bucket(bucket) {
                return Err(bad("a bucket's name: 3 to 63 of the characters a-z 0-9 . -"));
            }
            let prefix = prefix.trim_end_matches('/');
            if !is_prefix(prefix) {
                return Err(bad("a prefix of at most 512 printable characters of ASCII, \
                     without empty parts, \".\" and \"..\""));
            }
            let bucket = Some(bucket.to_owned()).filter(|bucket| !bucket.is_empty());
            return Ok(Location::S3 { bucket, prefix: prefix.into() });
        }
        Err(bad("file:///directory or s3://bucket/prefix"))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File { directory } => write!(f, "file://{}", directory.display()),
            Location::S3 { bucket, prefix } => {
                write!(f, "s3://{}", bucket.as_deref().unwrap_or_default())?;
                if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
            }
        }
    }
}

/// Returns the key of a cluster's record in a bucket.
pub fn record_key(prefix: &str, cluster: &str) -> String {
    let parts = [prefix, cluster, "config.json"];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

pub(crate) fn is_bucket(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| inner(byte) || b".-".contains(&byte))
        && [name.bytes().next(), name.bytes().last()].into_iter().flatten().all(inner)
}

fn is_prefix(prefix: &str) -> bool {
    // A key has at most 1,024 bytes; half of them are left for what follows the prefix.
    prefix.is_empty()
        || prefix.len() <= 512
            && prefix.bytes().all(|byte| byte.is_ascii_graphic())
            && prefix.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_url() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 {
            bucket: Some(bucket.to_owned()).filter(|bucket| !bucket.is_empty()),
            prefix: prefix.into(),
        };
        for (url, location) in [
            ("file:///srv/catena", Location::File { directory: "/srv/catena".into() }),
            ("file:///a%20b", Location::File { directory: "/a%20b".into() }),
            ("s3://bucket", s3("bucket", "")),
            ("s3://my.bucket-1/a/b", s3("my.bucket-1", "a/b")),
            ("s3://", s3("", "")),
            ("s3:///a", s3("", "a")),
        ] {
            assert_eq!(url.parse(), Ok(location.clone()));
            assert_eq!(location.to_string(), url);
        }
        assert_eq!("s3://bucket/a/".parse(), Ok(s3("bucket", "a")));
        for url in [
            "",
            "/srv/catena",
            "srv",
            "file:/srv",
            "file://srv",
            "file://",
            "s3:bucket",
            "s3://B",
            "s3://ab",
            "s3://-ab",
            "s3://a_b",
            "s3://bucket//a",
            "s3://bucket/../a",
            "s3://bucket/a b",
            "http://bucket",
            "etcd://host",
        ] {
            let error = url.parse::<Location>().expect_err(url);
            assert!(error.to_string().ends_with(&format!("got {url:?}")), "{error}");
        }
    }

    #[test]
    fn a_record_lies_below_its_cluster() {
        assert_eq!(record_key("a/b", "km-1"), "a/b/km-1/config.json");
        assert_eq!(record_key("", "catena"), "catena/config.json");
    }
}
