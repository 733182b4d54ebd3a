//! A register in an object store that speaks S3: one object, written with `If-Match` or
//! `If-None-Match`, which AWS has honoured since 2024. A bucket policy should deny deleting it, and
//! writing it without a condition.
//!
//! The SDK's retries are off. It would repeat a PUT whose reply was lost, find that its own success
//! is there now, and report that as a failed condition.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, Region};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::put_object::PutObjectError;

use super::{
    Condition, Outcome, READ_TIME_MAX, Register, RegisterError, S3Settings, SettingsError, Token,
    WRITE_TIME_MAX,
};
use crate::chain::record::{RECORD_BYTES_MAX, RecordError};

/// The register of one cluster in a bucket: the object `prefix/cluster/config.json`.
#[derive(Clone, Debug)]
pub struct S3Register {
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
    pub async fn open(
        bucket: &str,
        prefix: &str,
        cluster: &str,
        settings: &S3Settings,
    ) -> Result<S3Register, RegisterError> {
        let loader = aws_config::defaults(BehaviorVersion::latest());
        let client = s3_client(settings, loader.retry_config(RetryConfig::disabled())).await?;
        let parts = [prefix, cluster, "config.json"];
        let key = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
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

    async fn get(&self) -> Result<Option<(Vec<u8>, Token)>, RegisterError> {
        match self.client.get_object().bucket(&self.bucket).key(&self.key).send().await {
            Ok(output) => self.take(output).await.map(Some),
            Err(error) => self.judge_read(&error).map(|()| None),
        }
    }

    /// The body of an answer, of which no more is taken than a record can have.
    async fn take(&self, mut output: GetObjectOutput) -> Result<(Vec<u8>, Token), RegisterError> {
        let Some(tag) = output.e_tag.take() else {
            return Err(RegisterError::Unreadable(format!("{} has no ETag", self.object())));
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = output.body.next().await {
            let chunk = chunk.map_err(|error| {
                RegisterError::Unreadable(DisplayErrorContext(&error).to_string())
            })?;
            bytes.extend_from_slice(&chunk);
            if bytes.len() > RECORD_BYTES_MAX {
                return Err(RecordError::TooLong { got: bytes.len() }.into());
            }
        }
        Ok((bytes, Token::new(tag)))
    }

    /// Whether a failed read means that there is nothing.
    fn judge_read(&self, error: &SdkError<GetObjectError>) -> Result<(), RegisterError> {
        let SdkError::ServiceError(answer) = error else {
            return Err(RegisterError::Unreadable(DisplayErrorContext(error).to_string()));
        };
        match (answer.raw().status().as_u16(), error.code()) {
            (404, code) if code != Some("NoSuchBucket") => Ok(()),
            (403, _) => Err(self.refused(
                "read",
                403,
                error,
                "; without the right to list the bucket, AWS answers so as well if there is none",
            )),
            (status @ 300..500, _) if !is_passing(status, error.code()) => {
                Err(self.refused("read", status, error, ""))
            }
            _ => Err(RegisterError::Unreadable(DisplayErrorContext(error).to_string())),
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
            return Err(RegisterError::Unreadable(DisplayErrorContext(error).to_string()));
        }
        let SdkError::ServiceError(answer) = error else {
            return Ok(Outcome::Unknown(DisplayErrorContext(error).to_string()));
        };
        match (answer.raw().status().as_u16(), error.code(), condition) {
            // 409 is AWS's for a write that met another one in flight.
            (409 | 412, ..) => Ok(Outcome::Lost),
            // AWS's for a condition on an object that is not there.
            (404, code, Condition::Is(_)) if code != Some("NoSuchBucket") => Ok(Outcome::Lost),
            (status @ 300..500, code, _) if !is_passing(status, code) => {
                Err(self.refused("write", status, error, ""))
            }
            _ => Ok(Outcome::Unknown(DisplayErrorContext(error).to_string())),
        }
    }

    fn refused<E: ProvideErrorMetadata>(
        &self,
        action: &'static str,
        status: u16,
        error: &E,
        hint: &str,
    ) -> RegisterError {
        let code = error.code().unwrap_or("no code");
        let message = match error.message() {
            Some(message) => format!("{code}: {message}{hint}"),
            None => format!("{code}{hint}"),
        };
        RegisterError::Refused { action, object: self.object(), status, message }
    }
}

impl Register for S3Register {
    fn cluster(&self) -> &str {
        &self.cluster
    }

    async fn load(&self) -> Result<Option<(Vec<u8>, Token)>, RegisterError> {
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
                Some(tag) => Ok(Outcome::Won(Token::new(tag))),
                None => Ok(Outcome::Unknown(format!("{} has no ETag", self.object()))),
            },
            Ok(Err(error)) => self.judge_write(on, &error),
            Err(_) => Ok(Outcome::Unknown(format!("no answer within {:?}", self.times.write))),
        }
    }
}

/// Whether the store said that something was the matter with it or the line, and not with what was
/// asked.
fn is_passing(status: u16, code: Option<&str>) -> bool {
    matches!(status, 408 | 425 | 429) || code == Some("RequestTimeout")
}

/// A client of the store that settings describe; `loader` has what else it is to be like.
///
/// # Errors
///
/// If the settings contradict each other, or no region is to be found anywhere.
pub async fn s3_client(
    settings: &S3Settings,
    loader: ConfigLoader,
) -> Result<Client, SettingsError> {
    let mut loader = loader;
    if let Some((id, secret)) = settings.keys()? {
        let keys = Credentials::new(id, secret.reveal(), None, None, "catena settings");
        loader = loader.credentials_provider(keys);
    }
    let stated = settings.region.clone().map(Region::new);
    loader = match (&settings.endpoint_url, stated) {
        (None, None) => loader,
        (None, Some(region)) => loader.region(region),
        // A store of one's own has no regions, but requests are signed with one.
        (Some(url), stated) => loader.endpoint_url(url).region(
            RegionProviderChain::first_try(stated)
                .or_else(EnvironmentVariableRegionProvider::new())
                .or_else("us-east-1"),
        ),
    };
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(SettingsError::NoRegion);
    }
    let config = aws_sdk_s3::config::Builder::from(&config)
        .force_path_style(settings.endpoint_url.is_some())
        .build();
    Ok(Client::from_conf(config))
}
