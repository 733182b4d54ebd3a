//! Reading one object: ranges ahead of whoever consumes them.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;

use super::{RANGE_BYTES, RANGES_AHEAD, Store, Url, store};
use crate::error::{Error, Result};
use crate::runtime::runtime;

/// How often a range is asked for again without a single byte coming of it.
const RETRIES_MAX: u32 = 5;

/// The first pause before that, at most; each further one may be twice as long.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// What is asked for where a reader has to go on farther than it said.
const OVERHANG_BYTES: u64 = 256 << 10;

/// An object, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// Of this version of it.
    pub(crate) tag: Option<String>,
    /// In bytes.
    pub(crate) size: u64,
}

impl Object {
    pub(crate) fn url(&self) -> Url {
        Url { bucket: Some(self.bucket.clone()), key: self.key.clone() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(self.url().to_string())
    }
}

/// An object's bytes from some place on.
///
/// What is expected to be read is asked for ahead; beyond it as it turns out to be needed.
#[derive(Debug)]
pub(crate) struct Stream {
    store: Arc<Store>,
    object: Object,
    /// Where the next range begins.
    next: u64,
    /// Up to where it is expected to be read.
    expected: u64,
    ranges: VecDeque<Arriving>,
    current: bytes::Bytes,
}

/// A range under way.
#[derive(Debug)]
struct Arriving {
    pieces: UnboundedReceiver<Result<bytes::Bytes>>,
    task: AbortHandle,
}

impl Stream {
    /// Reads from `bytes.start` on, and expects to be read up to `bytes.end`. Nothing is asked for yet.
    pub(crate) fn new(store: Arc<Store>, object: Object, bytes: Range<u64>) -> Self {
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

    /// What comes next of the object; nothing at its end.
    pub(crate) fn fill(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            self.ask();
            let Some(range) = self.ranges.front_mut() else { break };
            match range.pieces.blocking_recv() {
                Some(Ok(piece)) => self.current = piece,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => drop(self.ranges.pop_front()),
            }
        }
        Ok(&self.current)
    }

    /// Goes on `amount` bytes later, of those that [`Stream::fill`] gave.
    pub(crate) fn consume(&mut self, amount: usize) {
        // Keeps what is left of the piece where it arrived.
        drop(self.current.split_to(amount));
    }

    /// Keeps as many ranges under way as there may be.
    fn ask(&mut self) {
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
            self.ranges.push_back(Arriving { pieces, task: task.abort_handle() });
            self.next = end;
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a range piece by piece. One that breaks off is asked for again from there.
async fn fetch(
    store: &Store,
    object: &Object,
    mut range: Range<u64>,
    pieces: &UnboundedSender<Result<bytes::Bytes>>,
) {
    let mut retries = 0;
    while !range.is_empty() {
        let start = range.start;
        let broke = match once(store, object, &mut range, pieces).await {
            Ok(None) => return,
            Ok(Some(broke)) => broke,
            // Nobody listens any more if this cannot be told.
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

/// One request for what is left of the range. Answers how it broke off, if it did.
async fn once(
    store: &Store,
    object: &Object,
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
        // The SDK has asked often enough.
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
            Some(Ok(_)) => return Ok(Some("more came than was asked for".to_string())),
            Some(Err(cause)) => return Ok(Some(DisplayErrorContext(&cause).to_string())),
            None => return Ok(Some("the answer ended early".to_string())),
        }
    }
    Ok(None)
}

/// Some part of what the pause may be, so that many who failed together do not come back together.
fn pause(retries: u32) -> Duration {
    let most = PAUSE_MAX.saturating_mul(1 << retries.min(5));
    // The hasher's keys are random: dozens of bits of it.
    let part = RandomState::new().hash_one(retries) >> 32;
    most.mul_f64(part as f64 / f64::from(u32::MAX))
}
