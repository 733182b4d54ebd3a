//! Where a cluster's configuration record lies: one small thing, changed by compare-and-swap.
//!
//! The register decides who is in a cluster when its members cannot agree, so its one promise is
//! worth its care. It is asked when a node starts, when somebody is suspected, and now and then;
//! never for a request of a client. It runs on the control thread.
//!
//! 1. Of all attempts to replace one record, at most one is stored. Records never repeat, so what is
//!    compared may be a hash of the contents.
//! 2. [`Won`](Outcome::Won): the record is stored. [`Lost`](Outcome::Lost): *this attempt* stored
//!    nothing. If an earlier attempt with the same bytes was [`Unknown`](Outcome::Unknown), that one
//!    may be what it lost to: read, and compare [`RecordChange::id`](catena_core::chain::record::RecordChange::id).
//! 3. [`Unknown`](Outcome::Unknown): stored, or not, or not yet. It may still land, so whoever asked
//!    stays pending and sends the same bytes again until a read shows another record than the base.
//! 4. An error from [`create`](Register::create) or [`cas`](Register::cas): this attempt stored
//!    nothing and never will.
//! 5. Nothing is tried again in here: whether that is right is for those who know what is at stake.
//!
//! Where it lies is a URL, a [`Location`]: `file:///directory` for nodes on one host, or
//! `s3://bucket/prefix`, which takes a build with the feature `s3`.

use std::future::Future;
use std::time::Duration;

use catena_core::chain::record::{Record, RecordError, RecordToken};

mod file;
#[cfg(feature = "s3")]
mod s3;

#[cfg(feature = "s3")]
pub(crate) use catena_location::s3_client;
use catena_location::{Location, S3Settings, SettingsError};
pub(crate) use file::FileRegister;
#[cfg(feature = "s3")]
pub(crate) use s3::S3Register;

/// A place for the record of one cluster.
///
/// Implementations store bytes under a [`Condition`]; what those mean is decided once, here.
pub(crate) trait Register {
    /// The cluster whose record lies here.
    fn cluster(&self) -> &str;

    /// What is stored, and the token to replace it by; nothing if nothing is.
    fn load(&self) -> impl Future<Output = Result<Option<(Vec<u8>, RecordToken)>, RegisterError>>;

    /// Stores bytes if the condition holds, deciding that and storing in one step.
    fn store(
        &self,
        condition: &Condition,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<Outcome, RegisterError>>;

    /// Reads the record; nothing if the cluster has none yet.
    ///
    /// # Errors
    ///
    /// If it cannot be had in time, or if what lies there is no record of this cluster.
    fn read(&self) -> impl Future<Output = Result<Option<(Record, RecordToken)>, RegisterError>> {
        async {
            let Some((bytes, token)) = self.load().await? else { return Ok(None) };
            let record = Record::from_bytes(&bytes)?;
            expect_cluster(self.cluster(), &record)?;
            Ok(Some((record, token)))
        }
    }

    /// Stores the first record of the cluster, if there is none.
    fn create(&self, record: &Record) -> impl Future<Output = Result<Outcome, RegisterError>> {
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
    ) -> impl Future<Output = Result<Outcome, RegisterError>> {
        async {
            expect_cluster(self.cluster(), record)?;
            self.store(&Condition::Is(base.clone()), record.to_bytes()).await
        }
    }
}

/// A register of a kind that is decided by a URL.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum AnyRegister {
    /// In a directory of this host.
    File(FileRegister),
    /// In an object store.
    #[cfg(feature = "s3")]
    S3(S3Register),
}

/// What must lie there for something else to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    Absent,
    /// What was read with this token.
    Is(RecordToken),
}

/// What became of an attempt to store a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is stored, and read with this token.
    Won(RecordToken),
    /// This attempt stored nothing, because something else lies there or another writer was first.
    Lost,
    /// It was stored, or not, or will be; the text says to people what happened.
    Unknown(String),
}

/// Why the register could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// What lies there is no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record is another cluster's.
    #[error("the record is of cluster {got:?}, expected {expected:?}")]
    Cluster {
        /// The cluster asked for.
        expected: String,
        /// The one in the record.
        got: String,
    },
    /// There is no such kind of register in this program.
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
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else was writing all the time.
    #[error("{} was locked for {waited:?}", path.display())]
    Locked {
        /// The lock.
        path: std::path::PathBuf,
        /// For how long it was tried.
        waited: Duration,
    },
    /// No answer came.
    #[error("no answer to a read within {0:?}")]
    TimedOut(Duration),
    /// The store could not be asked, or not be understood.
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
    /// The store refused.
    #[error("the store refused to {action} {object}: status {status}, {message}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// With which object.
        object: String,
        /// HTTP status.
        status: u16,
        /// What the store said.
        message: String,
    },
}

/// How long a read may take.
pub(crate) const READ_TIME_MAX: Duration = Duration::from_secs(3);

/// How long an attempt to store may take before its outcome counts as unknown. Whoever asked serves
/// no reads meanwhile.
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

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<Outcome, RegisterError> {
        match self {
            AnyRegister::File(register) => register.store(on, bytes).await,
            #[cfg(feature = "s3")]
            AnyRegister::S3(register) => register.store(on, bytes).await,
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
