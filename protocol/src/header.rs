//! The fixed 64 bytes in front of every frame.

use crate::object::{ObjectId, ShardId};
use crate::status::{Fault, Status};
use crate::wire_enum::wire_enum;

/// First two bytes of every frame, little-endian.
pub const MAGIC: u16 = 0xCA7E;

/// The version of the protocol that this crate implements.
pub const VERSION: u8 = 1;

/// Size of the header, in bytes.
pub const HEADER_BYTES: u32 = 64;

pub(crate) const HEADER_LEN: usize = HEADER_BYTES as usize;

wire_enum! {
    /// The kind of a frame. Values from 16 on belong to nodes and operators.
    pub enum FrameKind: u8 {
        /// The first frame of a client.
        Hello = 1,
        /// The engine's reply to a Hello.
        Welcome = 2,
        /// An op on an object.
        Request = 3,
        /// The result of a request, or why a frame was refused.
        Reply = 4,
        /// The first frame from one node to another.
        PeerHello = 16,
        /// The other node's reply to a PeerHello.
        PeerWelcome = 17,
        /// Entries of a shard's log, from predecessor to successor.
        Forward = 18,
        /// The last entry that the successor and all nodes after it have.
        Ack = 19,
        /// The last entry that a successor has, from which its predecessor continues.
        Resume = 20,
        /// A chunk of a shard's state, for a node that joins.
        Snapshot = 21,
        /// A message about membership, between the control ports of two nodes.
        PeerMessage = 22,
        /// A request of an operator to a node.
        Operator = 23,
        /// The node's reply to an operator.
        OperatorReply = 24,
        /// In a log only: the connections of waiting requests have ended.
        Detach = 25,
        /// In a log only: a client has the replies up to a number.
        Acknowledge = 26,
        /// What a successor's entries have come to, for its predecessor to compare.
        Digest = 27,
    }
}

/// Bits of [`Header::flags`] in a request.
pub mod flags {
    /// The object's name precedes the op's body; see [`named`](crate::named).
    pub const NAMED: u16 = 1;
    /// If this request would create an object and does not carry its name, refuse it with
    /// [`NameNeeded`](crate::Status::NameNeeded).
    pub const NAME_WANTED: u16 = 2;
    /// All flags of this version; others are refused with [`BadFlags`](crate::Status::BadFlags).
    pub const ALL: u16 = NAMED | NAME_WANTED;
}

/// The header of a frame, without the fields that [`frame`](crate::frame) fills in: magic, version,
/// lengths and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of the frame.
    pub kind: FrameKind,
    /// The op; a reply repeats it. 0 in Hello and Welcome.
    pub op: u16,
    /// Request: the bits in [`flags`]. Reply: the [`Status`].
    pub flags: u16,
    /// Request: how long it may wait inside the engine, in milliseconds; 0 for not at all.
    pub deadline_ms: u32,
    /// The shard of the object.
    pub shard: ShardId,
    /// `number - acked_gap` is the highest number up to which the client has every reply.
    pub acked_gap: u16,
    /// The epoch of the cluster that the sender knows; 0 on a single node, and in requests that are
    /// valid in any epoch.
    pub epoch: u32,
    /// The session, 0 for none. Reads need no session.
    pub session: u64,
    /// The number of the request in its session, from 1. A reply repeats it.
    pub number: u64,
    /// The object, 0 where there is none.
    pub object: ObjectId,
}

impl Header {
    /// Returns a header of the given kind with all other fields 0.
    pub fn new(kind: FrameKind) -> Header {
        Header {
            kind,
            op: 0,
            flags: 0,
            deadline_ms: 0,
            shard: ShardId(0),
            acked_gap: 0,
            epoch: 0,
            session: 0,
            number: 0,
            object: ObjectId(0),
        }
    }

    /// Returns the header of a reply to the request with this header.
    pub fn reply(&self, status: Status) -> Header {
        Header {
            kind: FrameKind::Reply,
            flags: status.to_wire(),
            deadline_ms: 0,
            acked_gap: 0,
            ..*self
        }
    }

    /// Returns the highest number up to which the sender has every reply.
    pub fn acked_upto(&self) -> u64 {
        self.number.saturating_sub(u64::from(self.acked_gap))
    }

    /// Writes all fields, the checksum as 0. They are written in whole words because the checksum
    /// is computed over words right after, and a load that spans several fresh stores waits for all
    /// of them.
    pub(crate) fn put(&self, lengths: Lengths, out: &mut [u8; HEADER_LEN]) {
        let words: [u64; 6] = [
            u64::from(MAGIC) | u64::from(VERSION) << 16 | u64::from(self.kind.to_wire()) << 24,
            u64::from(self.op) | u64::from(self.flags) << 16 | u64::from(lengths.frame_bytes) << 32,
            u64::from(lengths.body_bytes) | u64::from(self.deadline_ms) << 32,
            u64::from(self.shard.0) | u64::from(self.acked_gap) << 16 | u64::from(self.epoch) << 32,
            self.session,
            self.number,
        ];
        for (place, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        out[48..64].copy_from_slice(&self.object.0.to_le_bytes());
    }

    /// Reads the fields of a header whose [`Lengths::read`] succeeded.
    #[inline(always)]
    pub(crate) fn read(bytes: &[u8; HEADER_LEN]) -> Result<Header, Fault> {
        let kind = FrameKind::from_wire(bytes[3]).ok_or(Fault::expected(
            Status::BadFrameKind,
            0,
            u64::from(bytes[3]),
        ))?;
        Ok(Header {
            kind,
            op: u16_at(bytes, 8),
            flags: u16_at(bytes, 10),
            deadline_ms: u32_at(bytes, 20),
            shard: ShardId(u16_at(bytes, 24)),
            acked_gap: u16_at(bytes, 26),
            epoch: u32_at(bytes, 28),
            session: u64_at(bytes, 32),
            number: u64_at(bytes, 40),
            object: ObjectId(u128::from(u64_at(bytes, 48)) | u128::from(u64_at(bytes, 56)) << 64),
        })
    }
}

/// The two lengths of a frame: its body without padding, and all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) frame_bytes: u32,
    pub(crate) body_bytes: u32,
}

impl Lengths {
    /// Reads and checks the lengths, and the magic and version before them.
    #[inline(always)]
    pub(crate) fn read(bytes: &[u8; HEADER_LEN], frame_bytes_max: u32) -> Result<Lengths, Fault> {
        let magic = u16_at(bytes, 0);
        if magic != MAGIC {
            return Err(Fault::expected(Status::BadMagic, u64::from(MAGIC), u64::from(magic)));
        }
        if bytes[2] != VERSION {
            let (ours, theirs) = (u64::from(VERSION), u64::from(bytes[2]));
            return Err(Fault::expected(Status::BadVersion, ours, theirs));
        }
        let lengths = Lengths { frame_bytes: u32_at(bytes, 12), body_bytes: u32_at(bytes, 16) };
        if lengths.frame_bytes > frame_bytes_max {
            let (limit, got) = (u64::from(frame_bytes_max), u64::from(lengths.frame_bytes));
            return Err(Fault::expected(Status::BadLength, limit, got));
        }
        let right = Lengths::of_body(lengths.body_bytes);
        if right != Some(lengths) {
            let expected = right.map_or(0, |right| u64::from(right.frame_bytes));
            return Err(Fault::expected(Status::BadLength, expected, lengths.frame_bytes.into()));
        }
        Ok(lengths)
    }

    /// Returns the lengths of a frame whose body has `body_bytes`; `None` if a body cannot be that
    /// long.
    pub(crate) const fn of_body(body_bytes: u32) -> Option<Lengths> {
        if body_bytes > crate::limits::BODY_BYTES_MAX {
            return None;
        }
        let padded = body_bytes.next_multiple_of(crate::limits::FRAME_ALIGNMENT);
        Some(Lengths { frame_bytes: HEADER_BYTES + padded, body_bytes })
    }
}

fn u16_at(bytes: &[u8; HEADER_LEN], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_LEN], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
