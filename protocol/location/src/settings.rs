//! The settings of a register in S3 besides its URL: keys, an endpoint, a region. All of them may
//! be left to the usual AWS sources (environment, profile, role of the instance).
//!
//! `location`, `access_key` and `secret_access_key` have the names that JGroups' `S3_PING` gives
//! them.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::location::is_bucket;

/// Settings of a register in S3. Those that are `None` are left to the usual AWS sources.
///
/// In a file they are a JSON object with these fields. In the environment, each is a variable whose
/// name is `CATENA_S3_` and the field in capitals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// The bucket, for a URL without one.
    pub location: Option<String>,
    /// Key id.
    pub access_key: Option<String>,
    /// The secret key that belongs to the key id.
    pub secret_access_key: Option<Secret>,
    /// URL of a store that is not AWS. The bucket is then a part of the path.
    pub endpoint_url: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Users other than the owner can read the secret key.
    #[error(
        "{} contains a secret, but has mode {mode:03o} instead of 600: run `chmod 600 {}`",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file does not contain settings.
    #[error("{} is not valid: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, without quoting the contents.
        reason: String,
    },
    /// One key without the other.
    #[error("expected both access_key and secret_access_key or neither, got only {0}")]
    HalfAKey(&'static str),
    /// Neither the URL nor the settings name a bucket.
    #[error("no bucket: expected s3://bucket/prefix, or one in the setting location")]
    NoBucket,
    /// URL and settings name different buckets.
    #[error("two buckets: {url:?} in the URL, {location:?} as location. Remove one of them")]
    TwoBuckets {
        /// The one in the URL.
        url: String,
        /// The one in the settings.
        location: String,
    },
    /// `location` is not the name of a bucket.
    #[error("location: expected 3 to 63 of the characters a-z 0-9 . -, got {0:?}")]
    BadBucket(String),
    /// No source has a region.
    #[error("no region: set AWS_REGION or CATENA_S3_REGION, or give one in an AWS profile")]
    NoRegion,
}

/// Longest settings file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

impl S3Settings {
    /// Reads the settings from the environment.
    pub fn from_env() -> S3Settings {
        // An empty variable counts as unset, because that is how a shell clears one for a command.
        S3Settings::from_vars(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_vars(var: impl Fn(&str) -> Option<String>) -> S3Settings {
        S3Settings {
            location: var("CATENA_S3_LOCATION"),
            access_key: var("CATENA_S3_ACCESS_KEY"),
            secret_access_key: var("CATENA_S3_SECRET_ACCESS_KEY").map(Secret),
            endpoint_url: var("CATENA_S3_ENDPOINT_URL"),
            region: var("CATENA_S3_REGION"),
        }
    }

    /// Reads the settings from a file. If it contains a secret, only its owner may have access to
    /// it.
    pub fn from_file(path: &Path) -> Result<S3Settings, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable { path: path.into(), source };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
        let settings: S3Settings = serde_json::from_slice(&bytes).map_err(|error| {
            // The error itself may quote the contents.
            let at = format!("line {}, column {}", error.line(), error.column());
            let fields = "location, access_key, secret_access_key, endpoint_url, region";
            let reason =
                format!("{at}: expected a JSON object of strings with the fields {fields}");
            SettingsError::Syntax { path: path.into(), reason }
        })?;
        if settings.secret_access_key.is_some() && mode & 0o077 != 0 {
            return Err(SettingsError::Exposed { path: path.into(), mode });
        }
        Ok(settings)
    }

    /// Returns these settings, completed by `other`. The two keys are taken from the same source.
    #[must_use]
    pub fn or(self, other: S3Settings) -> S3Settings {
        let keyless = self.access_key.is_none() && self.secret_access_key.is_none();
        let keys = if keyless { other.clone() } else { self.clone() };
        S3Settings {
            location: self.location.or(other.location),
            access_key: keys.access_key,
            secret_access_key: keys.secret_access_key,
            endpoint_url: self.endpoint_url.or(other.endpoint_url),
            region: self.region.or(other.region),
        }
    }

    /// Returns both keys if they are set.
    pub fn keys(&self) -> Result<Option<(&str, &Secret)>, SettingsError> {
        match (&self.access_key, &self.secret_access_key) {
            (Some(id), Some(secret)) => Ok(Some((id, secret))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(SettingsError::HalfAKey("access_key")),
            (None, Some(_)) => Err(SettingsError::HalfAKey("secret_access_key")),
        }
    }

    /// Returns the bucket, given the one in the URL.
    pub fn bucket<'a>(&'a self, in_url: Option<&'a str>) -> Result<&'a str, SettingsError> {
        match (in_url, self.location.as_deref()) {
            (Some(url), Some(location)) if url != location => {
                Err(SettingsError::TwoBuckets { url: url.into(), location: location.into() })
            }
            (Some(url), _) => Ok(url),
            (None, Some(location)) if is_bucket(location) => Ok(location),
            (None, Some(location)) => Err(SettingsError::BadBucket(location.into())),
            (None, None) => Err(SettingsError::NoBucket),
        }
    }
}

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }

    /// Returns the secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_precedence_over_the_file() {
        let file = S3Settings {
            location: Some("from-file".into()),
            access_key: Some("FILE".into()),
            secret_access_key: Some(Secret::new("file")),
            region: Some("eu-west-1".into()),
            ..S3Settings::default()
        };
        let env = S3Settings::from_vars(|name| match name {
            "CATENA_S3_LOCATION" => Some("from-env".into()),
            "CATENA_S3_ENDPOINT_URL" => Some("http://127.0.0.1:1".into()),
            _ => None,
        });
        let both = env.or(file.clone());
        assert_eq!(both.location.as_deref(), Some("from-env"));
        assert_eq!(both.endpoint_url.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(both.region.as_deref(), Some("eu-west-1"));
        assert_eq!(both.keys().expect("both"), Some(("FILE", &Secret::new("file"))));

        let half = S3Settings { access_key: Some("ENV".into()), ..S3Settings::default() }.or(file);
        let error = half.keys().expect_err("a key of one, a secret of the other");
        assert!(matches!(error, SettingsError::HalfAKey("access_key")), "{error}");
    }

    #[test]
    fn one_bucket_is_named() {
        let named = |location: &str| S3Settings {
            location: Some(location.into()),
            ..S3Settings::default()
        };
        assert_eq!(named("abc").bucket(None).expect("one"), "abc");
        assert_eq!(named("abc").bucket(Some("abc")).expect("one"), "abc");
        assert_eq!(S3Settings::default().bucket(Some("abc")).expect("one"), "abc");
        for (settings, in_url) in
            [(S3Settings::default(), None), (named("abc"), Some("abd")), (named("A/b"), None)]
        {
            settings.bucket(in_url).expect_err("none, or two");
        }
    }

    #[test]
    fn a_file_with_a_secret_is_its_owners() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s3.json");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).expect("a file");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("a mode");
        };
        let text = r#"{"access_key": "K", "secret_access_key": "hush", "location": "abc"}"#;
        write(text, 0o600);
        let settings = S3Settings::from_file(&path).expect("settings");
        assert_eq!(settings.keys().expect("both"), Some(("K", &Secret::new("hush"))));
        assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");

        write(text, 0o640);
        let error = S3Settings::from_file(&path).expect_err("readable by others");
        assert!(error.to_string().contains("has mode 640"), "{error}");

        write(r#"{"location": "abc"}"#, 0o644);
        S3Settings::from_file(&path).expect("no secret");

        write(r#"{"secret_access_key": {"hush": 1}}"#, 0o600);
        let error = S3Settings::from_file(&path).expect_err("another shape");
        assert!(!error.to_string().contains("hush"), "{error}");
        write(r#"{"secret": "x"}"#, 0o600);
        S3Settings::from_file(&path).expect_err("a field of another name");
        S3Settings::from_file(&directory.path().join("none")).expect_err("no file");
    }
}
