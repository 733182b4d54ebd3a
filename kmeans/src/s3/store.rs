//! The store: a client of the SDK, kept for as long as the program runs, and requests without
//! streaming.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use catena_location::{S3Settings, s3_client};

use super::{ListedObject, S3Endpoint, S3Url};
use crate::error::{Error, Result, one_line};
use crate::runtime::runtime;

/// How often the SDK tries a request.
const ATTEMPTS_MAX: u32 = 8;

/// The longest first pause of the SDK between attempts. Pauses double and are random.
const PAUSE_MAX: Duration = Duration::from_millis(200);

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the SDK waits for the next bytes of a reply.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// A store, with the credentials of this process.
#[derive(Debug)]
pub(crate) struct S3Store {
    pub(super) client: Client,
    settings: S3Settings,
}

static STORES: OnceLock<Mutex<HashMap<S3Endpoint, Arc<S3Store>>>> = OnceLock::new();

impl S3Store {
    /// Returns the store of an endpoint; always the same one, so that connections are reused.
    pub(crate) fn open(endpoint: &S3Endpoint) -> Result<Arc<Self>> {
        let mut stores =
            STORES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(endpoint) {
            return Ok(store.clone());
        }
        let store = Self::connect(endpoint.settings())?;
        stores.insert(endpoint.clone(), store.clone());
        Ok(store)
    }

    /// Opens the store of an endpoint with these settings instead of those of the environment.
    #[cfg(test)]
    pub(crate) fn open_with(endpoint: &S3Endpoint, settings: S3Settings) -> Result<Arc<Self>> {
        let store = Self::connect(settings)?;
        let stores = STORES.get_or_init(Mutex::default).lock();
        stores.unwrap_or_else(PoisonError::into_inner).insert(endpoint.clone(), store.clone());
        Ok(store)
    }

    fn connect(settings: S3Settings) -> Result<Arc<Self>> {
        let client = wait(connect(&settings))?;
        Ok(Arc::new(Self { client, settings }))
    }

    /// Returns the bucket of a URL.
    pub(super) fn bucket(&self, url: &S3Url) -> Result<String> {
        let bucket = self.settings.bucket(url.bucket.as_deref()).map_err(Error::Settings)?;
        Ok(bucket.to_string())
    }

    /// Returns the object at a URL, the objects of a folder and of the folders in it, or those that
    /// match a pattern, in the order of their keys.
    ///
    /// Names that begin with `.` or `_`, of folders too, are skipped, and are returned as well. Empty
    /// objects are skipped without a word, because consoles create them for folders.
    pub(crate) fn find(&self, url: &S3Url) -> Result<(Vec<ListedObject>, Vec<PathBuf>)> {
        let bucket = self.bucket(url)?;
        if !url.is_folder()
            && let Some(object) = self.list(&bucket, url, &url.key, Some(1))?.pop()
            && object.key == url.key
        {
            return Ok((vec![object], Vec::new()));
        }
        let pattern = super::is_pattern(Path::new(&url.key)).then(|| glob::Pattern::new(&url.key));
        let pattern = match pattern.transpose() {
            Ok(pattern) => pattern,
            Err(_) => return Err(Error::NoMatch { path: PathBuf::from(url.to_string()) }),
        };
        let folder = if pattern.is_some() {
            let end = url.key.find(['*', '?', '[']).unwrap_or_default();
            url.key[..url.key[..end].rfind('/').map_or(0, |slash| slash + 1)].to_string()
        } else if url.is_folder() {
            url.key.clone()
        } else {
            format!("{}/", url.key)
        };
        let options =
            glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
        let mut objects = self.list(&bucket, url, &folder, None)?;
        let mut skipped = Vec::new();
        objects.retain(|object| {
            let is_wanted =
                pattern.as_ref().is_none_or(|pattern| pattern.matches_with(&object.key, options));
            let inside = &object.key[folder.len()..];
            let mut names = inside.split('/');
            let is_hidden = names.any(|name| name.starts_with(['.', '_']));
            if is_wanted && is_hidden {
                let rest = names.map(|name| name.len() + 1).sum::<usize>();
                let hidden = &object.key[..object.key.len() - rest];
                let hidden = S3Url { bucket: url.bucket.clone(), key: hidden.to_string() };
                skipped.push(PathBuf::from(hidden.to_string()));
            }
            is_wanted && object.size > 0 && !is_hidden
        });
        skipped.dedup();
        if objects.is_empty() {
            return Err(Error::NoObjects { path: PathBuf::from(url.to_string()) });
        }
        Ok((objects, skipped))
    }

    /// Lists the objects whose keys begin with `prefix`; the first `most` of them.
    fn list(
        &self,
        bucket: &str,
        url: &S3Url,
        prefix: &str,
        most: Option<i32>,
    ) -> Result<Vec<ListedObject>> {
        let request = self.client.list_objects_v2().bucket(bucket).prefix(prefix);
        let request = request.set_max_keys(most);
        let mut objects = Vec::new();
        let mut token = None;
        loop {
            let page = request.clone().set_continuation_token(token).send();
            let page = wait(page).map_err(|cause| failed("list", url, &cause))?;
            objects.extend(page.contents.into_iter().flatten().filter_map(|listed| {
                Some(ListedObject {
                    bucket: bucket.to_string(),
                    key: listed.key?,
                    tag: listed.e_tag,
                    size: u64::try_from(listed.size?).ok()?,
                })
            }));
            token = page.next_continuation_token;
            if token.is_none() || most.is_some() {
                return Ok(objects);
            }
        }
    }
}

async fn connect(settings: &S3Settings) -> Result<Client> {
    let retries =
        RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX).with_initial_backoff(PAUSE_MAX);
    let times = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIME_MAX)
        .read_timeout(SILENCE_MAX)
        .build();
    let loader =
        aws_config::defaults(BehaviorVersion::latest()).retry_config(retries).timeout_config(times);
    s3_client(settings, loader).await.map_err(Error::Settings)
}

/// Converts the error of a request to one line for the user.
pub(super) fn failed<E>(action: &'static str, url: &S3Url, cause: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let reason = match cause {
        SdkError::ServiceError(reply) => {
            let status = reply.raw().status().as_u16();
            let code = cause.code().unwrap_or("no code");
            let message = cause.message().map(|message| format!(", {message}")).unwrap_or_default();
            // A message of the store may have several lines.
            let text = format!("status {status}, {code}{message}");
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        _ => one_line(cause),
    };
    Error::Store { action, path: PathBuf::from(url.to_string()), reason }
}

/// Waits for a future on this thread, which is not one of the runtime's.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}
