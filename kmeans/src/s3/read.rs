//! Reads one object, with ranges requested ahead of the consumer.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;

use super::{RANGE_BYTES, RANGES_AHEAD, S3Store, S3Url, store};
use crate::error::{Error, Result, one_line};
use crate::runtime::runtime;

/// How often a range is requested again without receiving a single byte.
const RETRIES_MAX: u32 = 5;

/// The longest first pause before that. Each further one may be twice as long.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Bytes per request beyond the range that a reader expects.
const OVERHANG_BYTES: u64 = 256 << 10;

/// An object, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedObject {
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// Entity tag of this version.
    pub(crate) tag: Option<String>,
    /// Size in bytes.
    pub(crate) size: u64,
}

impl ListedObject {
    pub(crate) fn url(&self) -> S3Url {
        S3Url { bucket: Some(self.bucket.clone()), key: self.key.clone() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(self.url().to_string())
    }
}

/// A reader of an object's bytes.
///
/// The expected bytes are requested ahead; bytes beyond them when they are needed.
#[derive(Debug)]
pub(crate) struct S3Reader {
    store: Arc<S3Store>,
    object: ListedObject,
    /// Where the next range begins.
    next: u64,
    /// The end of the expected bytes.
    expected: u64,
    ranges: VecDeque<PendingRange>,
    current: bytes::Bytes,
}

/// A requested range.
#[derive(Debug)]
struct PendingRange {
    pieces: UnboundedReceiver<Result<bytes::Bytes>>,
    task: AbortHandle,
}

impl S3Reader {
    /// Creates a reader from `bytes.start` on that is expected to be read up to `bytes.end`.
    /// Nothing is requested yet.
    pub(crate) fn new(store: Arc<S3Store>, object: ListedObject, bytes: Range<u64>) -> Self {
        let expected = bytes.end.min(object.size);
        Self {
            store,
            next: bytes.start,
            expected,
            object,
            ranges: VecDeque::new(),
            current: bytes::Bytes::new(),
        }
    }

    /// Returns the next bytes of the object; none at its end.
    pub(crate) fn fill(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            self.request();
            let Some(range) = self.ranges.front_mut() else { break };
            match range.pieces.blocking_recv() {
                Some(Ok(piece)) => self.current = piece,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => drop(self.ranges.pop_front()),
            }
        }
        Ok(&self.current)
    }

    /// Skips `amount` of the bytes that [`S3Reader::fill`] returned.
    pub(crate) fn consume(&mut self, amount: usize) {
        // The rest of the piece is not copied.
        drop(self.current.split_to(amount));
    }

    /// Requests as many ranges as are permitted.
    fn request(&mut self) {
        while self.ranges.len() < RANGES_AHEAD && self.next < self.object.size {
            let end = if self.next < self.expected {
                self.expected.min(self.next + RANGE_BYTES)
            } else if self.ranges.is_empty() {
                self.object.size.min(self.next + OVERHANG_BYTES)
            } else {
                return;
            };
            let (sender, pieces) = mpsc::unbounded_channel();
            let range = self.next..end;
            let (store, object) = (self.store.clone(), self.object.clone());
            let task = runtime().spawn(async move { fetch(&store, &object, range, &sender).await });
            self.ranges.push_back(PendingRange { pieces, task: task.abort_handle() });
            self.next = end;
        }
    }
}

impl Drop for PendingRange {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a range piece by piece. If it breaks off, it is requested again from there.
async fn fetch(
    store: &S3Store,
    object: &ListedObject,
    mut range: Range<u64>,
    pieces: &UnboundedSender<Result<bytes::Bytes>>,
) {
    let mut retries = 0;
    while !range.is_empty() {
        let start = range.start;
        let broke = match once(store, object, &mut range, pieces).await {
            Ok(None) => return,
            Ok(Some(broke)) => broke,
            // Sending fails if the reader was dropped.
            Err(error) => return drop(pieces.send(Err(error))),
        };
        retries = if range.start > start { 0 } else { retries + 1 };
        if retries > RETRIES_MAX {
            let error = Error::Store { action: "read", path: object.path(), reason: broke };
            return drop(pieces.send(Err(error)));
        }
        tokio::time::sleep(pause(retries)).await;
    }
}

/// Requests the rest of the range once; returns how it broke off, if it did.
async fn once(
    store: &S3Store,
    object: &ListedObject,
    range: &mut Range<u64>,
    pieces: &UnboundedSender<Result<bytes::Bytes>>,
) -> Result<Option<String>> {
    let get = store.client.get_object().bucket(&object.bucket).key(&object.key);
    let get = get.set_if_match(object.tag.clone());
    let mut body = match get.range(format!("bytes={}-{}", range.start, range.end - 1)).send().await
    {
        Ok(output) => output.body,
        Err(SdkError::ServiceError(answer)) if answer.raw().status().as_u16() == 412 => {
            return Err(Error::Changed { path: object.path() });
        }
        // The SDK has retried already.
        Err(cause) => return Err(store::failed("read", &object.url(), &cause)),
    };
    while !range.is_empty() {
        match body.next().await {
            Some(Ok(piece)) if piece.len() as u64 <= range.end - range.start => {
                range.start += piece.len() as u64;
                if pieces.send(Ok(piece)).is_err() {
                    return Ok(None);
                }
            }
            Some(Ok(_)) => return Ok(Some("the reply is longer than the range".to_string())),
            Some(Err(cause)) => return Ok(Some(one_line(&cause))),
            None => return Ok(Some("the reply ended early".to_string())),
        }
    }
    Ok(None)
}

/// Returns a random part of the longest pause, so that readers that failed together do not retry
/// together.
fn pause(retries: u32) -> Duration {
    let most = PAUSE_MAX.saturating_mul(1 << retries.min(5));
    // The keys of the hasher are random.
    let part = RandomState::new().hash_one(retries) >> 32;
    most.mul_f64(part as f64 / f64::from(u32::MAX))
}
