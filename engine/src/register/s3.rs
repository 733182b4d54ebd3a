//! A register in an object store that speaks S3: one object, written with `If-Match` or
//! `If-None-Match`, which AWS has honoured since 2024. A bucket policy should deny deleting it, and
//! writing it without a condition.
//!
//! The SDK's retries are off. It would repeat a PUT whose reply was lost, find that its own success
//! is there now, and report that as a failed condition.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use catena_location::{
    ReadError, is_transient, read, record_key, refusal_text, s3_client_once, with_causes,
};

use super::{
    Condition, Outcome, READ_TIME_MAX, RecordToken, Register, RegisterError, S3Settings,
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
    times: Times,
}

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug)]
struct Times {
    read: Duration,
    write: Duration,
}

impl S3Register {
    /// Opens the register of a cluster. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// If the settings make no sense, or nobody says in which region the bucket is.
    pub(crate) async fn open(
        bucket: &str,
        prefix: &str,
        cluster: &str,
        settings: &S3Settings,
    ) -> Result<S3Register, RegisterError> {
        let client = s3_client_once(settings).await?;
        let key = record_key(prefix, cluster);
        let times = Times { read: READ_TIME_MAX, write: WRITE_TIME_MAX };
        Ok(S3Register { client, cluster: cluster.into(), bucket: bucket.into(), key, times })
    }

    /// What people call the object.
    fn object(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// Waits another time than others, for tests.
    #[cfg(test)]
    pub(super) fn waiting(mut self, time: Duration) -> S3Register {
        self.times = Times { read: time, write: time };
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

    /// What a failed write means.
    fn judge_write(
        &self,
        condition: &Condition,
        error: &SdkError<PutObjectError>,
    ) -> Result<Outcome, RegisterError> {
        // It never left this machine.
        if let SdkError::ConstructionFailure(_) = error {
            return Err(RegisterError::Unreadable(with_causes(error)));
        }
        let SdkError::ServiceError(answer) = error else {
            return Ok(Outcome::Unknown(with_causes(error)));
        };
        match (answer.raw().status().as_u16(), error.code(), condition) {
            // 409 is AWS's for a write that met another one in flight.
            (409 | 412, ..) => Ok(Outcome::Lost),
            // AWS's for a condition on an object that is not there.
            (404, code, Condition::Is(_)) if code != Some("NoSuchBucket") => Ok(Outcome::Lost),
            (status @ 300..500, code, _) if !is_transient(status, code) => {
                Err(self.refused("write", status, refusal_text(error)))
            }
            _ => Ok(Outcome::Unknown(with_causes(error))),
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
        match tokio::time::timeout(self.times.read, self.get()).await {
            Ok(read) => read,
            Err(_) => Err(RegisterError::TimedOut(self.times.read)),
        }
    }

    async fn store(&self, on: &Condition, bytes: Vec<u8>) -> Result<Outcome, RegisterError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { got: bytes.len() }.into());
        }
        let put = self.client.put_object().bucket(&self.bucket).key(&self.key);
        let put = match on {
            Condition::Absent => put.if_none_match("*"),
            Condition::Is(base) => put.if_match(base.as_str()),
        };
        let sending = put.content_type("application/json").body(bytes.into()).send();
        match tokio::time::timeout(self.times.write, sending).await {
            Ok(Ok(output)) => match output.e_tag {
                Some(tag) => Ok(Outcome::Won(RecordToken::new(tag))),
                None => Ok(Outcome::Unknown(format!("{} has no ETag", self.object()))),
            },
            Ok(Err(error)) => self.judge_write(on, &error),
            Err(_) => Ok(Outcome::Unknown(format!("no answer within {:?}", self.times.write))),
        }
    }
}
