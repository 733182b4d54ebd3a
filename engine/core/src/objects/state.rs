//! The encoding of objects in snapshots.
//!
//! Most of it is derived: the fields of an object are written one after the other in the format of
//! [postcard](https://postcard.jamesmunns.com/). Fields that follow from others (sums, indices) are
//! left out and computed again by the kind's `complete_restored`, which also refuses a state that
//! could make a later op panic. This module has the reader and the writer, and the encoding of
//! fields that are stored in another form than in memory.
//!
//! 1. The same state gives the same bytes. Spare capacity that is counted as memory is state.
//! 2. Bytes that are not a snapshot give an error, and allocate memory in proportion to their
//!    number.

use alloc::boxed::Box;
use alloc::vec::Vec;
use catena_protocol::Status;
use catena_protocol::limits::BODY_BYTES_MAX;
use postcard::de_flavors::Slice;
use postcard::ser_flavors::Flavor;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RestoreError;
use super::StoredReply;

/// Writes a part of a snapshot.
pub(crate) struct Writer(postcard::Serializer<Bytes>);

impl Writer {
    /// Writes behind these bytes.
    pub(crate) fn behind(bytes: Vec<u8>) -> Writer {
        Writer(postcard::Serializer { output: Bytes(bytes) })
    }

    /// Returns the number of bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.0.output.0.len()
    }

    pub(crate) fn put(&mut self, value: &impl Serialize) {
        value.serialize(&mut self.0).expect("writing to memory does not fail");
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.output.0
    }
}

/// Where a [`Writer`] writes.
struct Bytes(Vec<u8>);

impl Flavor for Bytes {
    type Output = Vec<u8>;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// Reads a snapshot.
pub(crate) struct Reader<'b>(postcard::Deserializer<'b, Slice<'b>>);

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader(postcard::Deserializer::from_bytes(bytes))
    }

    pub(crate) fn take<T: Deserialize<'b>>(&mut self) -> Result<T, RestoreError> {
        Ok(T::deserialize(&mut self.0)?)
    }

    /// Refuses bytes after the end.
    pub(crate) fn end(self) -> Result<(), RestoreError> {
        check(self.0.finalize()?.is_empty(), "bytes follow its end")
    }
}

/// Refuses a snapshot with a problem, unless a condition `holds`.
pub(crate) fn check(holds: bool, problem: &'static str) -> Result<(), RestoreError> {
    if holds { Ok(()) } else { Err(RestoreError::Contradiction(problem)) }
}

/// Bytes in one piece; serde alone would write them one by one.
#[derive(Clone, Copy)]
pub(crate) struct Blob<'b>(pub(crate) &'b [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for Blob<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blob<'b>, D::Error> {
        <&'de [u8]>::deserialize(deserializer).map(Blob)
    }
}

/// A stored reply in a snapshot, independent of its form in memory.
#[derive(Serialize, Deserialize)]
enum ReplySnapshot<'a> {
    Word(u64),
    Value(#[serde(borrow)] Blob<'a>),
    Encoded { status: u16, body: Blob<'a> },
}

impl Serialize for StoredReply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = match self {
            StoredReply::Word(word) => ReplySnapshot::Word(*word),
            StoredReply::Value { len, bytes } => {
                ReplySnapshot::Value(Blob(&bytes[..usize::from(*len)]))
            }
            StoredReply::Short { status, len, body } => ReplySnapshot::Encoded {
                status: status.to_wire(),
                body: Blob(&body[..usize::from(*len)]),
            },
            StoredReply::Long { status, body } => {
                ReplySnapshot::Encoded { status: status.to_wire(), body: Blob(body) }
            }
        };
        kept.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredReply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StoredReply, D::Error> {
        match ReplySnapshot::deserialize(deserializer)? {
            ReplySnapshot::Word(word) => Ok(StoredReply::Word(word)),
            ReplySnapshot::Value(Blob(value)) => StoredReply::short_value(value)
                .ok_or_else(|| D::Error::custom("a value of a stored reply is too long")),
            ReplySnapshot::Encoded { status, body: Blob(body) } => {
                match Status::from_wire(status) {
                    Some(status) if body.len() <= BODY_BYTES_MAX as usize => {
                        Ok(StoredReply::encoded(status, body))
                    }
                    _ => {
                        Err(D::Error::custom("a stored reply has an unknown status or is too long"))
                    }
                }
            }
        }
    }
}

/// Vectors with their capacity: it is counted as memory, so all replicas of an object must have the
/// same.
pub(super) mod roomy {
    use super::*;

    pub(in crate::objects) fn serialize<S: Serializer, T: Serialize>(
        values: &Vec<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (values.capacity() as u64, values).serialize(serializer)
    }

    pub(in crate::objects) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let (room, values): (u64, Vec<T>) = Deserialize::deserialize(deserializer)?;
        let mut roomy = with_room(room, values.len()).map_err(D::Error::custom)?;
        roomy.extend(values);
        Ok(roomy)
    }

    /// Returns an empty vector with the capacity `room` for `used` elements.
    pub(super) fn with_room<T>(room: u64, used: usize) -> Result<Vec<T>, &'static str> {
        // Vectors with much more capacity than they use are shrunk, so more is damage.
        let most = used.saturating_mul(4).saturating_add(3).max(ROOM_MIN);
        match usize::try_from(room) {
            Ok(room) if (used..=most).contains(&room) => Ok(Vec::with_capacity(room)),
            _ => Err("a vector has too much or too little capacity"),
        }
    }

    /// The capacity that a vector has at least when it grows.
    const ROOM_MIN: usize = 8;
}

/// Bytes with their capacity.
pub(super) mod roomy_bytes {
    use super::*;

    pub(in crate::objects) fn serialize<S: Serializer>(
        bytes: &Vec<u8>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (bytes.capacity() as u64, Blob(bytes)).serialize(serializer)
    }

    pub(in crate::objects) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let (room, Blob(bytes)) = Deserialize::deserialize(deserializer)?;
        let mut roomy = roomy::with_room(room, bytes.len()).map_err(D::Error::custom)?;
        roomy.extend_from_slice(bytes);
        Ok(roomy)
    }
}

/// Owned bytes.
pub(super) mod blob {
    use super::*;

    pub(in crate::objects) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Blob(bytes).serialize(serializer)
    }

    pub(in crate::objects) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<[u8]>, D::Error> {
        Blob::deserialize(deserializer).map(|Blob(bytes)| bytes.into())
    }
}

/// The policy for lost parties, if it is agreed.
pub(super) mod loss {
    use catena_protocol::op::Loss;

    use super::*;

    pub(in crate::objects) fn serialize<S: Serializer>(
        loss: &Option<Loss>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        loss.map(Loss::to_wire).serialize(serializer)
    }

    pub(in crate::objects) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Loss>, D::Error> {
        let wire: Option<u8> = Deserialize::deserialize(deserializer)?;
        let known = |wire| {
            Loss::from_wire(wire)
                .ok_or_else(|| D::Error::custom("a policy for lost parties is unknown"))
        };
        wire.map(known).transpose()
    }
}

/// The operator of a reduction.
pub(super) mod reduce_op {
    use catena_protocol::op::ReduceOp;

    use super::*;

    pub(in crate::objects) fn serialize<S: Serializer>(
        op: &ReduceOp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        op.to_wire().serialize(serializer)
    }

    pub(in crate::objects) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ReduceOp, D::Error> {
        let wire = u8::deserialize(deserializer)?;
        ReduceOp::from_wire(wire)
            .ok_or_else(|| D::Error::custom("the operator of a reduction is unknown"))
    }
}
