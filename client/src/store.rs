//! Reads the record of a cluster in a bucket.
//!
//! The SDK needs an async runtime. The caller may have none, or be on a thread of one, where
//! blocking is not allowed. So each read starts a thread with a runtime; reads are too rare to keep
//! either.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use catena_location::{Location, ReadError, S3Settings, read as get, record_key, s3_client_once};
use tokio::time::{sleep, timeout};

use crate::config::{CLUSTER_DEFAULT, RECORD_BYTES_MAX, STORE_TIMEOUT};
use crate::random::backoff;

/// Reads the record at `s3://bucket/prefix#cluster`. Tries again until `time` is over if the store
/// cannot be reached or is busy.
pub(crate) fn read(place: &str, settings: &S3Settings, time: Duration) -> Result<String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("catena-record".into());
        let reading = thread.spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let record = runtime.block_on(read_within(place, settings, time));
            // Does not wait for a name lookup that is still running.
            runtime.shutdown_background();
            record
        })?;
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

async fn read_within(place: &str, settings: &S3Settings, time: Duration) -> Result<String> {
    let mut failure = format!("the store did not reply within {time:?}");
    let record = timeout(time, read_with_retries(place, settings, &mut failure)).await;
    record.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, failure)))
}

/// Keeps the last failure in `failure`.
async fn read_with_retries(
    place: &str,
    settings: &S3Settings,
    failure: &mut String,
) -> Result<String> {
    let invalid =
        |error: &dyn std::error::Error| Error::new(ErrorKind::InvalidInput, error.to_string());
    let settings = settings.clone().or(S3Settings::from_env());
    let (url, cluster) = place.rsplit_once('#').unwrap_or((place, CLUSTER_DEFAULT));
    let Location::S3 { bucket, prefix } = url.parse().map_err(|error| invalid(&error))? else {
        unreachable!("the place begins with s3://");
    };
    let bucket = settings.bucket(bucket.as_deref()).map_err(|error| invalid(&error))?;
    let key = record_key(&prefix, cluster);
    let object = format!("s3://{bucket}/{key}");
    let client = s3_client_once(&settings).await.map_err(|error| invalid(&error))?;
    for tries in 1.. {
        sleep(backoff(tries) * PAUSE_FACTOR).await;
        *failure = match timeout(STORE_TIMEOUT, get(&client, bucket, &key, RECORD_BYTES_MAX)).await
        {
            Ok(Ok(Some(record))) => {
                return String::from_utf8(record.bytes).map_err(|_| {
                    Error::new(ErrorKind::InvalidData, format!("{object} is not a record"))
                });
            }
            Ok(Ok(None)) => {
                let what = format!("there is no record at {object}: no cluster was created there");
                return Err(Error::new(ErrorKind::NotFound, what));
            }
            Ok(Err(error @ ReadError::Refused { status, .. })) => {
                let kind = match status {
                    401 | 403 => ErrorKind::PermissionDenied,
                    _ => ErrorKind::InvalidInput,
                };
                let what = format!("the store refused to read {object}: {error}");
                return Err(Error::new(kind, what));
            }
            Ok(Err(error @ ReadError::TooLong { .. })) => {
                let what = format!("{object} is not a record: {error}");
                return Err(Error::new(ErrorKind::InvalidData, what));
            }
            Ok(Err(error)) => format!("{object} cannot be read: {error}"),
            Err(_) => {
                format!("{object} cannot be read: the store did not reply within {STORE_TIMEOUT:?}")
            }
        };
    }
    unreachable!("tries have no end")
}

/// How much longer the pauses are than those between requests to a node: up to a second.
const PAUSE_FACTOR: u32 = 10;
