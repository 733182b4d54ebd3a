//! Answers as they are kept: encoded once, and cheap to hand to many.

use alloc::sync::Arc;
use alloc::vec::Vec;

use catena_protocol::{Header, Refusal, Reply, Status, frame};

/// An answer that is kept: encoded, and cheap to hand to many.
#[derive(Clone, Debug)]
pub enum StoredReply {
    /// Done, and the reply is one number. Kept apart from the others, as its moves are cheap.
    Word(u64),
    /// Short enough to lie here.
    Short {
        /// How it ended.
        status: Status,
        /// How much of `body` counts.
        len: u8,
        /// The encoded body.
        body: [u8; SHORT_BYTES],
    },
    /// Done, and the reply is a value, short enough to lie here without what is around it.
    Value {
        /// How much of `bytes` counts.
        len: u8,
        /// The value.
        bytes: [u8; SHORT_BYTES],
    },
    /// Shares its bytes with whoever gets the same answer.
    Long {
        /// How it ended.
        status: Status,
        /// The encoded body.
        body: Arc<[u8]>,
    },
}

/// Two numbers.
const SHORT_BYTES: usize = 16;

const _: () = assert!(size_of::<StoredReply>() <= 24, "sessions keep many");

impl StoredReply {
    /// Keeps an encoded body.
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

    /// Keeps a value that is short enough to lie here.
    pub(super) fn short_value(value: &[u8]) -> Option<StoredReply> {
        let mut bytes = [0; SHORT_BYTES];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        let len = u8::try_from(value.len()).expect("it is short");
        Some(StoredReply::Value { len, bytes })
    }

    /// Keeps a reply, encoding it in `scratch` if it is neither a number nor a short value.
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

    /// How the request ended.
    pub(crate) fn status(&self) -> Status {
        match self {
            StoredReply::Word(_) | StoredReply::Value { .. } => Status::Ok,
            StoredReply::Short { status, .. } | StoredReply::Long { status, .. } => *status,
        }
    }

    /// Appends it as the reply to the request with header `to`.
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

    /// The heap it takes, in bytes. Those who share it each count it whole, which errs on the safe
    /// side of a budget.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            StoredReply::Word(_) | StoredReply::Short { .. } | StoredReply::Value { .. } => 0,
            StoredReply::Long { body, .. } => body.len() as u64,
        }
    }
}
