//! A store that speaks S3: a client of it, and an object read once.

use std::error::Error;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;

use crate::{S3Settings, SettingsError};

/// An object as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRead {
    /// Its contents.
    pub bytes: Vec<u8>,
    /// Its entity tag.
    pub tag: Option<String>,
}

/// Why an object could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store refused, and would again.
    #[error("status {status}, {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the store said.
        message: String,
    },
    /// The store could not be asked, or not be understood, or was busy; this may pass.
    #[error("{0}")]
    Unreadable(String),
    /// There is more than was to be taken.
    #[error("it has more than {most} bytes")]
    TooLong {
        /// What was to be taken at most.
        most: usize,
        /// What came until then.
        got: usize,
    },
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

/// A client that asks once: whether a failure may be repeated is its owner's to know.
///
/// # Errors
///
/// Those of [`s3_client`].
pub async fn s3_client_once(settings: &S3Settings) -> Result<Client, SettingsError> {
    let loader = aws_config::defaults(BehaviorVersion::latest());
    s3_client(settings, loader.retry_config(RetryConfig::disabled())).await
}

/// Reads an object; nothing if there is none. Of its contents no more is taken than `bytes_max`.
///
/// # Errors
///
/// If it cannot be had: why.
pub async fn read(
    client: &Client,
    bucket: &str,
    key: &str,
    bytes_max: usize,
) -> Result<Option<ObjectRead>, ReadError> {
    let mut output = match client.get_object().bucket(bucket).key(key).send().await {
        Ok(output) => output,
        Err(error) => return judge(&error).map(|()| None),
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = output.body.next().await {
        let chunk = chunk.map_err(|error| ReadError::Unreadable(story(&error)))?;
        bytes.extend_from_slice(&chunk);
        if bytes.len() > bytes_max {
            return Err(ReadError::TooLong { most: bytes_max, got: bytes.len() });
        }
    }
    Ok(Some(ObjectRead { bytes, tag: output.e_tag }))
}

/// Whether a failed read means that there is nothing.
fn judge(error: &SdkError<GetObjectError>) -> Result<(), ReadError> {
    let unreadable = || ReadError::Unreadable(story(error));
    let SdkError::ServiceError(answer) = error else { return Err(unreadable()) };
    let refused = |status, hint: &str| {
        Err(ReadError::Refused { status, message: format!("{}{hint}", words(error)) })
    };
    match (answer.raw().status().as_u16(), error.code()) {
        (404, code) if code != Some("NoSuchBucket") => Ok(()),
        (403, _) => refused(
            403,
            "; without the right to list the bucket, AWS answers so as well if there is none",
        ),
        (status @ 300..500, code) if !is_passing(status, code) => refused(status, ""),
        _ => Err(unreadable()),
    }
}

/// What went wrong and what caused it, in one line.
pub fn story(error: &dyn Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        // Some tell their causes themselves.
        if parts.last().is_some_and(|last| !last.ends_with(&part)) {
            parts.push(part);
        }
        cause = error.source();
    }
    parts.join(": ")
}

/// What a store said for its refusal.
pub fn words(refusal: &impl ProvideErrorMetadata) -> String {
    let code = refusal.code().unwrap_or("no code");
    match refusal.message() {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    }
}

/// Whether the store said that something was the matter with it or the line, and not with what was
/// asked.
pub fn is_passing(status: u16, code: Option<&str>) -> bool {
    matches!(status, 408 | 425 | 429) || code == Some("RequestTimeout")
}
