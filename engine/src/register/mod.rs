//! The register: where a cluster's configuration record is stored, and replaced by compare-and-swap.
//!
//! The register decides who is in a cluster when its members cannot agree, so it makes one promise and
//! keeps it under every failure. It is used when a node starts, when a member is suspected, and
//! occasionally in between; never for a request of a client. It runs on the control thread.
//!
//! 1. Of all attempts to replace one record, at most one is stored. Records never repeat, so a hash of
//!    the contents may stand for them in a comparison.
//! 2. [`Won`](StoreOutcome::Won): the record is stored. [`Lost`](StoreOutcome::Lost): *this attempt*
//!    stored nothing. If an earlier attempt with the same bytes was
//!    [`Unknown`](StoreOutcome::Unknown), it may have lost to that one: read the record, and compare
//!    [`RecordChange::id`](catena_core::chain::record::RecordChange::id).
//! 3. [`Unknown`](StoreOutcome::Unknown): the record is stored, or not, or will be. The caller keeps the
//!    change pending and sends the same bytes again until a read returns another record than the base.
//! 4. An error of [`create`](Register::create) or [`cas`](Register::cas): this attempt stored nothing
//!    and never will.
//! 5. The register does not retry, because only the caller knows whether that is right.
//!
//! A register is named by a URL, a [`Location`]: `file:///directory` for nodes on one host, or
//! `s3://bucket/prefix` in a build with the feature `s3`.

use std::future::Future;
use std::time::Duration;

use catena_core::chain::record::{Record, RecordError, RecordToken};

mod file;
#[cfg(feature = "s3")]
mod s3;

use catena_location::{Location, S3Settings, SettingsError};
pub(crate) use file::FileRegister;
#[cfg(feature = "s3")]
pub(crate) use s3::S3Register;

/// A place for the record of one cluster.
///
/// Implementations store bytes under a [`Condition`]; what the bytes mean is decided once, here.
pub(crate) trait Register {
    /// Returns the name of the cluster.
    fn cluster(&self) -> &str;

    /// Returns the stored bytes and the token to replace them by; `None` if nothing is stored.
    fn load(&self) -> impl Future<Output = Result<Option<(Vec<u8>, RecordToken)>, RegisterError>>;

    /// Stores bytes if the condition holds, as one atomic step.
    fn store(
        &self,
        condition: &Condition,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<StoreOutcome, RegisterError>>;

    /// Writes in a way that stores nothing that is read, and waits until that is done. It shows how long
    /// a write may take, before one is made that others wait for.
    fn probe(&self) -> impl Future<Output = Result<(), RegisterError>>;

    /// Reads the record; `None` if the cluster has none yet.
    ///
    /// # Errors
    ///
    /// If the read fails or takes too long, or if the stored bytes are not a record of this cluster.
    fn read(&self) -> impl Future<Output = Result<Option<(Record, RecordToken)>, RegisterError>> {
        async {
            let Some((bytes, token)) = self.load().await? else { return Ok(None) };
            let record = Record::from_bytes(&bytes)?;
            expect_cluster(self.cluster(), &record)?;
            Ok(Some((record, token)))
        }
    }

    /// Stores the first record of the cluster, if it has none.
    fn create(&self, record: &Record) -> impl Future<Output = Result<StoreOutcome, RegisterError>> {
        async {
            expect_cluster(self.cluster(), record)?;
            self.store(&Condition::Absent, record.to_bytes()).await
        }
    }

    /// Replaces the record that was read with this token.
    fn cas(
        &self,
        base: &RecordToken,
        record: &Record,
    ) -> impl Future<Output = Result<StoreOutcome, RegisterError>> {
        async {
            expect_cluster(self.cluster(), record)?;
            self.store(&Condition::Is(base.clone()), record.to_bytes()).await
        }
    }
}

/// A register of the kind that a URL names.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum AnyRegister {
    /// In a directory of this host.
    File(FileRegister),
    /// In an object store.
    #[cfg(feature = "s3")]
    S3(S3Register),
}

/// What must be stored for an attempt to succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    Absent,
    /// The bytes that were read with this token.
    Is(RecordToken),
}

/// The outcome of an attempt to store a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreOutcome {
    /// The record is stored under this token.
    Won(RecordToken),
    /// This attempt stored nothing, because the condition did not hold or another writer was first.
    Lost,
    /// The record is stored, or not, or will be; the text says what happened.
    Unknown(String),
}

/// Why a register could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The stored bytes are not a record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record belongs to another cluster.
    #[error("the record belongs to cluster {got:?}, expected {expected:?}")]
    Cluster {
        /// The cluster that was expected.
        expected: String,
        /// The one in the record.
        got: String,
    },
    /// This program was built without the feature of this kind of register.
    #[error(
        "this program was built without S3 and cannot use {0}: \
         build it with `cargo build --release -p catena-engine --features s3`"
    )]
    NotBuilt(Location),
    /// The register's settings contradict each other, or one is missing.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// Other writers held the lock.
    #[error("other writers held the lock {} for {waited:?}", path.display())]
    Locked {
        /// The lock file.
        path: std::path::PathBuf,
        /// How long this writer waited.
        waited: Duration,
    },
    /// No reply came in time.
    #[error("no reply to a read within {0:?}")]
    TimedOut(Duration),
    /// The store could not be reached, or its reply not be understood.
    #[error("cannot read from the store: {0}")]
    Unreadable(String),
    /// The store refused the request.
    #[error("the store refused to {action} {object}: status {status}, {message}")]
    Refused {
        /// The attempted action.
        action: &'static str,
        /// The object.
        object: String,
        /// The HTTP status.
        status: u16,
        /// The message of the store.
        message: String,
    },
}

/// How long a read may take.
pub(crate) const READ_TIME_MAX: Duration = Duration::from_secs(3);

/// How long an attempt to store may take before its outcome counts as unknown.
pub(crate) const WRITE_TIME_MAX: Duration = Duration::from_secs(3);

impl AnyRegister {
    /// Opens the register of a cluster. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// If the location takes a feature that is not built in, or the settings make no sense.
    pub(crate) async fn open(
        location: &Location,
        cluster: &str,
        settings: &S3Settings,
    ) -> Result<AnyRegister, RegisterError> {
        match location {
            Location::File { directory } => {
                Ok(AnyRegister::File(FileRegister::new(directory, cluster)))
            }
            #[cfg(feature = "s3")]
            Location::S3 { bucket, prefix } => {
                let bucket = settings.bucket(bucket.as_deref())?;
                S3Register::open(bucket, prefix, cluster, settings).await.map(AnyRegister::S3)
            }
            #[cfg(not(feature = "s3"))]
            Location::S3 { .. } => {
                let _ = settings;
                Err(RegisterError::NotBuilt(location.clone()))
            }
        }
    }
}

impl Register for AnyRegister {
    fn cluster(&self) -> &str {
        match self {
            AnyRegister::File(register) => register.cluster(),
            #[cfg(feature = "s3")]
            AnyRegister::S3(register) => register.cluster(),
        }
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        match self {
            AnyRegister::File(register) => register.load().await,
            #[cfg(feature = "s3")]
            AnyRegister::S3(register) => register.load().await,
        }
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<StoreOutcome, RegisterError> {
        match self {
            AnyRegister::File(register) => register.store(on, bytes).await,
            #[cfg(feature = "s3")]
            AnyRegister::S3(register) => register.store(on, bytes).await,
        }
    }

    async fn probe(&self) -> Result<(), RegisterError> {
        match self {
            AnyRegister::File(register) => register.probe().await,
            #[cfg(feature = "s3")]
            AnyRegister::S3(register) => register.probe().await,
        }
    }
}

fn expect_cluster(expected: &str, record: &Record) -> Result<(), RegisterError> {
    if record.cluster == expected {
        Ok(())
    } else {
        Err(RegisterError::Cluster { expected: expected.into(), got: record.cluster.clone() })
    }
}

#[cfg(test)]
mod tests;
