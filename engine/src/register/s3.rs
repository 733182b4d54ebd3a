//! A register in an object store that speaks S3: one object, written with `If-Match` or
//! `If-None-Match`, which AWS has supported since 2024. A bucket policy should deny deleting the object,
//! and writing it without a condition.
//!
//! The SDK's retries are off, because it would repeat a PUT whose reply was lost, and report the
//! success of the first attempt as a failed condition.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use catena_location::{
    ReadError, is_transient, read, record_key, refusal_text, s3_client_once, with_causes,
};

use super::{
    Condition, READ_TIME_MAX, RecordToken, Register, RegisterError, S3Settings, StoreOutcome,
    WRITE_TIME_MAX,
};
use catena_core::chain::record::{RECORD_BYTES_MAX, RecordError};

/// The register of one cluster in a bucket: the object `prefix/cluster/config.json`.
#[derive(Clone, Debug)]
pub(crate) struct S3Register {
    client: Client,
    cluster: String,
    bucket: String,
    key: String,
    timeouts: Timeouts,
}

/// How long requests may take.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    read: Duration,
    write: Duration,
}

impl S3Register {
    /// Opens the register of a cluster. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// If the settings contradict each other, or do not give the region of the bucket.
    pub(crate) async fn open(
        bucket: &str,
        prefix: &str,
        cluster: &str,
        settings: &S3Settings,
    ) -> Result<S3Register, RegisterError> {
        let client = s3_client_once(settings).await?;
        let key = record_key(prefix, cluster);
        let timeouts = Timeouts { read: READ_TIME_MAX, write: WRITE_TIME_MAX };
        Ok(S3Register { client, cluster: cluster.into(), bucket: bucket.into(), key, timeouts })
    }

    /// Returns the URL of the object.
    fn object(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// Sets other timeouts, for tests.
    #[cfg(test)]
    pub(super) fn with_timeout(mut self, time: Duration) -> S3Register {
        self.timeouts = Timeouts { read: time, write: time };
        self
    }

    #[cfg(test)]
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    async fn get(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        let object = match read(&self.client, &self.bucket, &self.key, RECORD_BYTES_MAX).await {
            Ok(object) => object,
            Err(ReadError::Refused { status, message }) => {
                return Err(self.refused("read", status, message));
            }
            Err(ReadError::TooLong { got, .. }) => return Err(RecordError::TooLong { got }.into()),
            Err(error) => return Err(RegisterError::Unreadable(error.to_string())),
        };
        let Some(object) = object else { return Ok(None) };
        match object.tag {
            Some(tag) => Ok(Some((object.bytes, RecordToken::new(tag)))),
            None => Err(RegisterError::Unreadable(format!("{} has no ETag", self.object()))),
        }
    }

    /// Returns the outcome of a write that failed.
    fn outcome_of(
        &self,
        condition: &Condition,
        error: &SdkError<PutObjectError>,
    ) -> Result<StoreOutcome, RegisterError> {
        // The request never left this machine.
        if let SdkError::ConstructionFailure(_) = error {
            return Err(RegisterError::Unreadable(with_causes(error)));
        }
        let SdkError::ServiceError(response) = error else {
            return Ok(StoreOutcome::Unknown(with_causes(error)));
        };
        match (response.raw().status().as_u16(), error.code(), condition) {
            // AWS responds with 409 to a write that met another one in flight.
            (409 | 412, ..) => Ok(StoreOutcome::Lost),
            // AWS's response to a condition on an object that does not exist.
            (404, code, Condition::Is(_)) if code != Some("NoSuchBucket") => Ok(StoreOutcome::Lost),
            (status @ 300..500, code, _) if !is_transient(status, code) => {
                Err(self.refused("write", status, refusal_text(error)))
            }
            _ => Ok(StoreOutcome::Unknown(with_causes(error))),
        }
    }

    fn refused(&self, action: &'static str, status: u16, message: String) -> RegisterError {
        RegisterError::Refused { action, object: self.object(), status, message }
    }
}

impl Register for S3Register {
    fn cluster(&self) -> &str {
        &self.cluster
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, RecordToken)>, RegisterError> {
        match tokio::time::timeout(self.timeouts.read, self.get()).await {
            Ok(read) => read,
            Err(_) => Err(RegisterError::TimedOut(self.timeouts.read)),
        }
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<StoreOutcome, RegisterError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { got: bytes.len() }.into());
        }
        let put = self.client.put_object().bucket(&self.bucket).key(&self.key);
        let put = match on {
            Condition::Absent => put.if_none_match("*"),
            Condition::Is(base) => put.if_match(base.as_str()),
        };
        let sending = put.content_type("application/json").body(bytes.into()).send();
        match tokio::time::timeout(self.timeouts.write, sending).await {
            Ok(Ok(output)) => match output.e_tag {
                Some(tag) => Ok(StoreOutcome::Won(RecordToken::new(tag))),
                None => Ok(StoreOutcome::Unknown(format!("{} has no ETag", self.object()))),
            },
            Ok(Err(error)) => self.outcome_of(on, &error),
            Err(_) => {
                Ok(StoreOutcome::Unknown(format!("no reply within {:?}", self.timeouts.write)))
            }
        }
    }

    /// Sends a write whose condition no record meets, because S3 has no write without an effect. It takes
    /// the way of all writes, except for the disks.
    async fn probe(&self) -> Result<(), RegisterError> {
        let never = Condition::Is(RecordToken::new("\"a-write-that-changes-nothing\""));
        match self.store(&never, Vec::new()).await? {
            StoreOutcome::Lost => Ok(()),
            StoreOutcome::Unknown(why) => Err(RegisterError::Unreadable(why)),
            StoreOutcome::Won(_) => Err(RegisterError::Unreadable(format!(
                "{} was replaced although its ETag is another one",
                self.object()
            ))),
        }
    }
}
