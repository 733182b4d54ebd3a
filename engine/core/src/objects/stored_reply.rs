//! Replies as sessions keep them for retries: encoded once, and cheap to share among requests.

use alloc::sync::Arc;
use alloc::vec::Vec;

use catena_protocol::{Header, Refusal, Reply, Status, frame};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A reply that is kept: encoded, and cheap to share.
#[derive(Clone, Debug)]
pub enum StoredReply {
    /// Done, and the reply is one number. A variant of its own because it is cheap to move.
    Word(u64),
    /// A body short enough to be stored inline.
    Short {
        /// The outcome of the request.
        status: Status,
        /// The length of `body` in bytes.
        len: u8,
        /// The encoded body.
        body: [u8; SHORT_BYTES],
    },
    /// Done, and the reply is a value that is short enough to be stored inline, without its
    /// encoding.
    Value {
        /// The length of `bytes`.
        len: u8,
        /// The value.
        bytes: [u8; SHORT_BYTES],
    },
    /// A longer body, shared by all requests with the same reply.
    Long {
        /// The outcome of the request.
        status: Status,
        /// The encoded body.
        body: Arc<[u8]>,
    },
}

/// Bytes at each end of a long reply that its fingerprint depends on.
const HASHED_BYTES: usize = 256;

/// A body of so many bytes is large: copying it takes longer than sending it apart from others.
const LARGE_BODY_BYTES: usize = 64 * 1024;

/// Room for two numbers.
const SHORT_BYTES: usize = 16;

const _: () = assert!(size_of::<StoredReply>() <= 24, "a session keeps many of them");

impl StoredReply {
    /// Stores an encoded body.
    pub(super) fn encoded(status: Status, encoded: &[u8]) -> StoredReply {
        let mut body = [0; SHORT_BYTES];
        match body.get_mut(..encoded.len()) {
            Some(room) => {
                room.copy_from_slice(encoded);
                let len = u8::try_from(encoded.len()).expect("it is short");
                StoredReply::Short { status, len, body }
            }
            None => StoredReply::Long { status, body: encoded.into() },
        }
    }

    /// Returns whether two long replies are the same.
    pub(crate) fn is_equal(&self, other: &StoredReply) -> bool {
        match (self, other) {
            (
                StoredReply::Long { status, body },
                StoredReply::Long { status: other_status, body: other_body },
            ) => status == other_status && body == other_body,
            _ => false,
        }
    }

    /// Returns a hash of the reply; of the body of a long one, of its length, its beginning and its end:
    /// many requests may get it in one step.
    pub(crate) fn fingerprint(&self) -> u64 {
        match self {
            StoredReply::Word(word) => *word,
            StoredReply::Value { len, bytes } => xxh3_64(&bytes[..usize::from(*len)]),
            StoredReply::Short { status, len, body } => {
                xxh3_64_with_seed(&body[..usize::from(*len)], status.to_wire().into())
            }
            StoredReply::Long { status, body } => {
                let seed = (body.len() as u64) << 16 | u64::from(status.to_wire());
                let end = body.len().saturating_sub(HASHED_BYTES);
                let first = xxh3_64_with_seed(&body[..body.len().min(HASHED_BYTES)], seed);
                xxh3_64_with_seed(&body[end..], first)
            }
        }
    }

    /// Stores a value if it is short enough to be inline.
    pub(super) fn short_value(value: &[u8]) -> Option<StoredReply> {
        let mut bytes = [0; SHORT_BYTES];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        let len = u8::try_from(value.len()).expect("it is short");
        Some(StoredReply::Value { len, bytes })
    }

    /// Stores a reply, encoding it in `scratch` if it is neither a number nor a short value.
    pub(crate) fn of(reply: &Reply<'_>, scratch: &mut Vec<u8>) -> StoredReply {
        if let Some(word) = reply.word() {
            return StoredReply::Word(word);
        }
        if let Reply::Value(Some(value)) = reply
            && let Some(answer) = StoredReply::short_value(value)
        {
            return answer;
        }
        scratch.clear();
        reply.encode(scratch);
        StoredReply::encoded(Status::Ok, scratch)
    }

    pub(crate) fn refusal(refusal: &Refusal) -> StoredReply {
        let mut body = Vec::new();
        refusal.encode(&mut body);
        StoredReply::encoded(refusal.status(), &body)
    }

    /// Returns the outcome of the request.
    pub(crate) fn status(&self) -> Status {
        match self {
            StoredReply::Word(_) | StoredReply::Value { .. } => Status::Ok,
            StoredReply::Short { status, .. } | StoredReply::Long { status, .. } => *status,
        }
    }

    /// Appends the frame of the reply to the request with header `to`.
    pub(crate) fn write(&self, to: &Header, out: &mut Vec<u8>) {
        match self {
            StoredReply::Word(word) => frame::write_word(out, to, *word),
            StoredReply::Short { status, len, body } => {
                frame::write_encoded(out, to, *status, &body[..usize::from(*len)]);
            }
            StoredReply::Value { len, bytes } => {
                let value = &bytes[..usize::from(*len)];
                frame::write_reply(out, to, Ok(&Reply::Value(Some(value))));
            }
            StoredReply::Long { status, body } => frame::write_encoded(out, to, *status, body),
        }
    }

    /// Returns the status and the encoded body of a reply that is too large to be copied for each of
    /// many that get it.
    pub fn large_body(&self) -> Option<(Status, &Arc<[u8]>)> {
        match self {
            StoredReply::Long { status, body } if body.len() >= LARGE_BODY_BYTES => {
                Some((*status, body))
            }
            _ => None,
        }
    }

    /// Returns the heap that it takes, in bytes. A shared body is counted for each of its requests,
    /// which errs on the safe side of a budget.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            StoredReply::Word(_) | StoredReply::Short { .. } | StoredReply::Value { .. } => 0,
            StoredReply::Long { body, .. } => body.len() as u64,
        }
    }
}
