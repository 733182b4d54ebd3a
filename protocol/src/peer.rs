//! Frames between nodes about the shards they replicate.
//!
//! A link carries frames of many shards; the header of each names shard and epoch. Log entries go
//! down a chain in [`Forward`](FrameKind::Forward) frames, each with the client's request as it was
//! received; [`Ack`](FrameKind::Ack) frames come back up. A request is never encoded again on its
//! way. Two more frames are only ever in a log: [`Detach`](FrameKind::Detach), which the head writes
//! when the connections of waiting requests have ended, and [`Acknowledge`](FrameKind::Acknowledge),
//! when it takes the acknowledgement of a request before the request itself.
//!
//! ```text
//! Forward   number: index of the first entry                 body: entries, one after another
//! Ack       number: index of the last entry that the sender and all nodes after it have
//! Resume    number: index of the sender's last entry         session: its hash
//! Snapshot  number: index of the last entry in the state     session: its hash
//!           flags: 1 on the last chunk                       body: a chunk of the state
//! Digest    number: index of an entry that the sender has    session: the digest of all outcomes
//! ```

use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body;
use crate::frame::{self, Frame};
use crate::hash::xxh3;
use crate::header::{FrameKind, Header};
use crate::object::ShardId;
use crate::status::{Fault, Status};

/// The flag of the last chunk of a Snapshot.
pub const LAST_PIECE: u16 = 1;

/// The version of what nodes compute, store and send each other: log entries, snapshots, and what an
/// op does. A PeerHello has it in `number` of its header. Nodes of different versions are never in
/// one cluster, because their copies of a shard could differ.
pub const STATE_VERSION: u64 = 3;

/// Size of the fields before the request in an entry of a Forward, in bytes.
pub const ENTRY_BYTES: usize = 32;

/// The first frame from one node to another: who it is, and whom it expects to reach.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PeerHello {
    /// The incarnation of the node that connects.
    pub from: u128,
    /// The incarnation it expects to reach.
    pub to: u128,
    /// How many shards the cluster has; 0 at a control port.
    pub shards: u32,
    /// The core of the sender that this link belongs to.
    pub core: u16,
    /// How many cores the sender has.
    pub cores: u16,
    /// The name of the cluster.
    pub cluster: String,
}

impl PeerHello {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_as(STATE_VERSION, out);
    }

    /// Appends the frame as a node of another version does, for tests.
    #[doc(hidden)]
    pub fn write_as(&self, version: u64, out: &mut Vec<u8>) {
        let header = Header { number: version, ..Header::new(FrameKind::PeerHello) };
        frame::write(out, &header, |out| {
            let written = rkyv::api::high::to_bytes_in::<_, Failure>(self, &mut *out);
            assert!(written.is_ok(), "a Vec takes all that is written");
        })
        .expect("a PeerHello is a few hundred bytes");
    }

    /// Reads the body of a PeerHello frame.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(bytes: &[u8]) -> Result<PeerHello, Fault> {
        let archived = body::decode::<ArchivedPeerHello>(bytes)?;
        rkyv::deserialize::<_, Failure>(archived).map_err(|Failure| Fault::new(Status::BadBody))
    }
}

/// Checks that the sender of a PeerHello is of this version.
///
/// # Errors
///
/// `BadVersion`.
pub fn check_version(hello: &Header) -> Result<(), Fault> {
    if hello.number == STATE_VERSION {
        Ok(())
    } else {
        Err(Fault::expected(Status::BadVersion, STATE_VERSION, hello.number))
    }
}

/// Appends the reply to a PeerHello that was accepted.
pub fn write_welcome(out: &mut Vec<u8>) {
    frame::write(out, &Header::new(FrameKind::PeerWelcome), |_| {}).expect("an empty body fits");
}

/// Returns the header of a frame about a shard.
pub fn header(kind: FrameKind, shard: ShardId, epoch: u32, number: u64) -> Header {
    Header { shard, epoch, number, ..Header::new(kind) }
}

/// Appends a frame without a body.
pub fn write_bare(out: &mut Vec<u8>, header: &Header) {
    frame::write(out, header, |_| {}).expect("an empty body fits");
}

/// One entry of a shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its index in the log, from 1.
    pub index: u64,
    /// The shard's time when the head applied it.
    pub now_us: u64,
    /// The hash of the log up to and including it.
    pub hash: u64,
    /// The client's request as it was received, a whole frame, or a
    /// [`Detach`](FrameKind::Detach) or [`Acknowledge`](FrameKind::Acknowledge) of the head; empty if the entry only advances time.
    pub request: &'a [u8],
}

impl Entry<'_> {
    /// Returns how many bytes it takes in a Forward.
    pub fn bytes_len(&self) -> usize {
        ENTRY_BYTES + self.request.len()
    }

    /// Returns whether it only advances time.
    pub fn is_time(&self) -> bool {
        self.request.is_empty()
    }

    /// Appends it to the body of a Forward. The request is a frame, so the next entry begins on a
    /// multiple of 16 too.
    pub fn write(&self, out: &mut Vec<u8>) {
        let len = u32::try_from(self.request.len()).expect("a frame's length has 32 bits");
        for word in [self.index, self.now_us, self.hash, u64::from(len)] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        // Copied into the log, because the receive buffer is reused.
        out.extend_from_slice(self.request);
    }
}

/// Cuts the next entry off the front of the body of a Forward; `None` at its end.
///
/// # Errors
///
/// `BadBody` if the bytes end inside an entry.
pub fn next_entry(bytes: &[u8]) -> Result<Option<Entry<'_>>, Fault> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bad = Fault::new(Status::BadBody);
    let (head, rest) = bytes.split_first_chunk::<ENTRY_BYTES>().ok_or(bad)?;
    let [index, now_us, hash, len] = std::array::from_fn(|word| {
        u64::from_le_bytes(*head.as_chunks::<8>().0.get(word).expect("there are four words"))
    });
    let len = usize::try_from(len).map_err(|_| bad)?;
    let request = rest.get(..len).ok_or(bad)?;
    Ok(Some(Entry { index, now_us, hash, request }))
}

/// Reads the header of an entry's request without checks: a hint of the object it will need.
pub fn guess(entry: &Entry<'_>) -> Option<Header> {
    Header::read(entry.request.first_chunk()?).ok()
}

/// Appends the frame of an entry by which the connections of waiting requests have ended.
pub fn write_detach(out: &mut Vec<u8>, shard: ShardId, waiters: impl Iterator<Item = u64>) {
    frame::write(out, &header(FrameKind::Detach, shard, 0, 0), |out| {
        waiters.for_each(|waiter| out.extend_from_slice(&waiter.to_le_bytes()));
    })
    .expect("a Detach names few requests");
}

/// Appends the frame of an entry by which a client has the replies of its session up to a number.
pub fn write_acknowledge(out: &mut Vec<u8>, shard: ShardId, session: u64, upto: u64) {
    let header = Header { session, ..header(FrameKind::Acknowledge, shard, 0, upto) };
    write_bare(out, &header);
}

/// Reads the waiting requests that a [`Detach`](FrameKind::Detach) names.
///
/// # Errors
///
/// `BadBody` if its body is not a list of them.
pub fn detached(body: &[u8]) -> Result<impl Iterator<Item = u64>, Fault> {
    match body.as_chunks::<8>() {
        (waiters, []) => Ok(waiters.iter().map(|waiter| u64::from_le_bytes(*waiter))),
        _ => Err(Fault::new(Status::BadBody)),
    }
}

/// Returns the hash of a log that continues with an entry: over the entry's index and time and the
/// checksum of its request, which covers every byte of it, seeded with the hash before.
pub fn hash(before: u64, index: u64, now_us: u64, request: &[u8]) -> u64 {
    let checksum = request
        .get(4..8)
        .map_or(0, |sum| u64::from(u32::from_le_bytes(sum.try_into().expect("four bytes"))));
    let mut bytes = [0; 24];
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip([index, now_us, checksum]) {
        *place = word.to_le_bytes();
    }
    xxh3(before, &bytes)
}

/// Returns the frame of an entry, checked like any other frame.
///
/// # Errors
///
/// What is wrong with the frame.
pub fn request<'a>(entry: &Entry<'a>) -> Result<Frame<'a>, Fault> {
    match frame::next(entry.request, crate::limits::FRAME_BYTES_MAX) {
        Ok(frame::Next::Frame(frame)) if frame.bytes.len() == entry.request.len() => Ok(frame),
        Ok(_) => Err(Fault::new(Status::BadLength)),
        Err(error) => Err(error.fault),
    }
}
