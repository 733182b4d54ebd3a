//! Access to an object store with the S3 API: makes a client, and reads an object once.

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

/// An object that was read.
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
    /// The store refused; a retry would be refused too.
    #[error("status {status}, {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The error code and message of the store.
        message: String,
    },
    /// The store could not be reached or was busy, or its response was invalid; a retry may
    /// succeed.
    #[error("{0}")]
    Unreadable(String),
    /// The object is longer than the caller accepts.
    #[error("it has more than {most} bytes")]
    TooLong {
        /// The most bytes that the caller accepts.
        most: usize,
        /// The bytes received until then.
        got: usize,
    },
}

/// Makes a client of the store that the settings describe. `loader` brings the rest of the
/// configuration, such as retries and timeouts.
///
/// # Errors
///
/// If the settings contradict each other, or no source has a region.
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
        // A store that is not AWS has no regions, but requests are signed with one.
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

/// Makes a client that does not retry, because only the caller knows whether a retry is safe.
///
/// # Errors
///
/// Those of [`s3_client`].
pub async fn s3_client_once(settings: &S3Settings) -> Result<Client, SettingsError> {
    let loader = aws_config::defaults(BehaviorVersion::latest());
    s3_client(settings, loader.retry_config(RetryConfig::disabled())).await
}

/// Reads an object of at most `bytes_max` bytes; returns `None` if it does not exist.
///
/// # Errors
///
/// Why the object cannot be read.
pub async fn read(
    client: &Client,
    bucket: &str,
    key: &str,
    bytes_max: usize,
) -> Result<Option<ObjectRead>, ReadError> {
    let mut output = match client.get_object().bucket(bucket).key(key).send().await {
        Ok(output) => output,
        Err(error) => return check_absent(&error).map(|()| None),
    };
    let mut bytes = Vec::new();
    while let Some(chunk) = output.body.next().await {
        let chunk = chunk.map_err(|error| ReadError::Unreadable(with_causes(&error)))?;
        bytes.extend_from_slice(&chunk);
        if bytes.len() > bytes_max {
            return Err(ReadError::TooLong { most: bytes_max, got: bytes.len() });
        }
    }
    Ok(Some(ObjectRead { bytes, tag: output.e_tag }))
}

/// Returns `Ok` if a failed read means that the object does not exist.
fn check_absent(error: &SdkError<GetObjectError>) -> Result<(), ReadError> {
    let unreadable = || ReadError::Unreadable(with_causes(error));
    let SdkError::ServiceError(response) = error else { return Err(unreadable()) };
    let refused = |status, hint: &str| {
        Err(ReadError::Refused { status, message: format!("{}{hint}", refusal_text(error)) })
    };
    match (response.raw().status().as_u16(), error.code()) {
        (404, code) if code != Some("NoSuchBucket") => Ok(()),
        (403, _) => refused(
            403,
            "; AWS also returns this for an object that does not exist if the caller may not list \
             the bucket",
        ),
        (status @ 300..500, code) if !is_transient(status, code) => refused(status, ""),
        _ => Err(unreadable()),
    }
}

/// Returns an error and its causes, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        // Some errors include the text of their cause.
        if parts.last().is_some_and(|last| !last.ends_with(&part)) {
            parts.push(part);
        }
        cause = error.source();
    }
    parts.join(": ")
}

/// Returns the error code and message of a store's refusal.
pub fn refusal_text(refusal: &impl ProvideErrorMetadata) -> String {
    let code = refusal.code().unwrap_or("no code");
    match refusal.message() {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    }
}

/// Returns whether a refusal is about the state of the store or the connection, and not about the
/// request.
pub fn is_transient(status: u16, code: Option<&str>) -> bool {
    matches!(status, 408 | 425 | 429) || code == Some("RequestTimeout")
}
