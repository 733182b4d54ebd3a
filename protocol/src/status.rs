//! How a request ended, and whether it can be retried.

use crate::object::Kind;
use crate::wire_enum::wire_enum;

/// Whether a client that got a [`Status`] may send the request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A retry would end the same way: the request is wrong, or it is done.
    Never,
    /// Nothing was changed. The same request may be sent again later, here or where the status
    /// says.
    Later,
    /// The wait ended before its event. A new request may wait again.
    Anew,
    /// It is not known whether the request took effect. Only the caller can decide whether to
    /// repeat it.
    Unknown,
}

wire_enum! {
    /// How a request ended. With every status but `Ok`, nothing was changed, unless its [`Retry`]
    /// says otherwise.
    pub enum Status: u16 {
        /// Done; the body is the op's reply.
        Ok = 0,

        /// The wait timed out. The body may name the missing parties.
        Timeout = 1,
        /// A barrier or reduction is broken, or was reset during the wait, or a future was
        /// cancelled. The body is the reason.
        Broken = 2,
        /// The object was deleted during the wait.
        Deleted = 3,

        /// The shard is on another core of this node; `expected` is the number of that core.
        WrongShard = 16,
        /// The frame names another epoch than the shard's; `expected` is the shard's.
        WrongEpoch = 17,
        /// The node has no room right now; try again in `expected` milliseconds.
        Busy = 18,
        /// The node is shutting down and accepts no more requests.
        ShuttingDown = 19,
        /// The core has as many connections as it allows; `expected` is the limit.
        TooManyConnections = 20,
        /// The shard has as many sessions as it allows, in all or from this client's address;
        /// `expected` is the limit.
        TooManySessions = 21,
        /// The shard has as many objects as it allows; `expected` is the limit.
        TooManyObjects = 22,
        /// The object has as many waiting requests as it allows; `expected` is the limit.
        TooManyWaiters = 23,
        /// The memory budget has no room for this write; `expected` bytes are the budget.
        OutOfMemory = 24,
        /// The request would create an object, whose name is wanted: repeat it with
        /// [`flags::NAMED`](crate::flags::NAMED).
        NameNeeded = 25,
        /// The objects with some prefix would exceed their quota in this shard; `expected` is the
        /// quota, `got` what they would take.
        QuotaExceeded = 26,
        /// This node is not the head of the shard's chain, which accepts the updates.
        NotHead = 27,
        /// The chain has fewer members than updates need; reads are served.
        UnderReplicated = 28,
        /// The connection is closed because the client was too slow: to send its Hello or the rest of
        /// a frame within `expected` milliseconds, or, if that is 0, to read its replies, of which
        /// `got` bytes waited.
        TooSlow = 29,

        /// The session is not open: it expired, was closed, or was never opened.
        SessionUnknown = 32,
        /// The number of the request was already acknowledged; `expected` is the lowest open one.
        Stale = 33,
        /// More requests are in flight than the session's window; `expected` is the window.
        WindowExceeded = 34,
        /// A session of another client has this id. Draw another id.
        SessionConflict = 35,

        /// The object is of another kind; `expected` is that of the op, `got` the object's.
        WrongKind = 48,
        /// The result does not fit a signed 64-bit integer.
        Overflow = 49,
        /// An index or range is outside the object; `expected` is its length.
        OutOfRange = 50,
        /// A value is larger than allowed; `expected` is the limit.
        TooLarge = 51,
        /// The object does not exist.
        Absent = 52,
        /// Type, length, shape, parties or permits differ from the object's.
        Mismatch = 53,
        /// The round or generation is in the future, or too far back; `expected` is the current
        /// one.
        WrongRound = 54,
        /// An argument is invalid, such as an empty party name, no parties, or a reason that is too
        /// long.
        BadArgument = 55,
        /// The object has seen a higher fencing token: `expected`; `got` is the request's.
        StaleToken = 56,
        /// A user-defined object refused the op; `expected` is its code.
        Rejected = 57,
        /// The engine was built without this user-defined type; `got` is its id.
        UnknownType = 58,
        /// The check of a user-defined object panicked; nothing was changed.
        Panicked = 59,

        /// The frame does not begin with the magic number.
        BadMagic = 64,
        /// The engine does not support this version; `expected` is the one it supports.
        BadVersion = 65,
        /// The lengths in the header contradict each other or the limit in `expected`.
        BadLength = 66,
        /// The checksum does not match the bytes.
        BadChecksum = 67,
        /// This kind of frame is not allowed here.
        BadFrameKind = 68,
        /// The first frame of a connection has to be a Hello.
        HelloRequired = 69,
        /// The client needs features that the engine lacks; `expected` are those it has.
        MissingFeature = 70,
        /// The flags contain bits that this version does not know.
        BadFlags = 71,
        /// The op code is unknown.
        UnknownOp = 72,
        /// The body is not a valid archive for the op.
        BadBody = 73,
        /// The object does not belong to the shard in the header; `expected` is the right one.
        BadShard = 74,
        /// The node belongs to another cluster.
        WrongCluster = 75,
        /// Another node, or another incarnation of it, is at this address.
        WrongNode = 76,
        /// This incarnation of the node was removed from the cluster; it has to rejoin with a new
        /// one.
        Retired = 77,
    }
}

impl Status {
    /// Returns whether a request that ended with this status may be sent again.
    pub const fn retry(self) -> Retry {
        match self {
            Status::Timeout | Status::Broken | Status::Deleted => Retry::Anew,
            Status::WrongShard
            | Status::WrongEpoch
            | Status::Busy
            | Status::ShuttingDown
            | Status::TooManyConnections
            | Status::TooManySessions
            | Status::TooManyObjects
            | Status::TooManyWaiters
            | Status::OutOfMemory
            | Status::NameNeeded
            | Status::QuotaExceeded
            | Status::NotHead
            | Status::UnderReplicated
            | Status::TooSlow
            | Status::WindowExceeded
            | Status::SessionConflict => Retry::Later,
            Status::SessionUnknown | Status::Stale => Retry::Unknown,
            Status::Ok
            | Status::WrongKind
            | Status::Overflow
            | Status::OutOfRange
            | Status::TooLarge
            | Status::Absent
            | Status::Mismatch
            | Status::WrongRound
            | Status::BadArgument
            | Status::StaleToken
            | Status::Rejected
            | Status::UnknownType
            | Status::Panicked
            | Status::BadMagic
            | Status::BadVersion
            | Status::BadLength
            | Status::BadChecksum
            | Status::BadFrameKind
            | Status::HelloRequired
            | Status::MissingFeature
            | Status::BadFlags
            | Status::UnknownOp
            | Status::BadBody
            | Status::BadShard
            | Status::WrongCluster
            | Status::WrongNode
            | Status::Retired => Retry::Never,
        }
    }
}

/// A refusal: a status and two numbers that explain it.
///
/// Each [`Status`] says what `expected` and `got` are; otherwise they are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why the request was refused; never `Ok`.
    pub status: Status,
    /// The limit, the current value, or the right value.
    pub expected: u64,
    /// The value that the request has or needs.
    pub got: u64,
}

impl Fault {
    /// Returns a fault without numbers.
    pub const fn new(status: Status) -> Fault {
        Fault { status, expected: 0, got: 0 }
    }

    /// Returns a fault with its numbers.
    pub const fn expected(status: Status, expected: u64, got: u64) -> Fault {
        Fault { status, expected, got }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Fault {
        Fault::new(status)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fault { status, expected, got } = *self;
        match status {
            Status::Ok => write!(f, "done"),
            Status::Timeout => write!(f, "the wait timed out"),
            Status::Broken => write!(f, "the object is broken, reset or cancelled"),
            Status::Deleted => write!(f, "the object was deleted during the wait"),
            Status::WrongShard => {
                write!(f, "the shard is on core {expected}, the request reached core {got}")
            }
            Status::WrongEpoch => {
                write!(f, "the shard is in epoch {expected}, the request names epoch {got}")
            }
            Status::Busy => write!(f, "the node has no room right now, try again in {expected} ms"),
            Status::ShuttingDown => write!(f, "the node is shutting down"),
            Status::TooManyConnections => {
                write!(f, "the core has reached its limit of {expected} connections")
            }
            Status::TooManySessions => {
                write!(
                    f,
                    "the shard has reached its limit of {expected} sessions, of all clients or of this address"
                )
            }
            Status::TooManyObjects => {
                write!(f, "the shard has reached its limit of {expected} objects")
            }
            Status::TooManyWaiters => {
                write!(f, "the object has reached its limit of {expected} waiting requests")
            }
            Status::OutOfMemory => {
                write!(f, "{got} more bytes do not fit the shard's budget of {expected} bytes")
            }
            Status::NameNeeded => {
                write!(f, "the request would create the object but does not carry its name")
            }
            Status::NotHead => write!(f, "another node is the head of the shard's chain"),
            Status::UnderReplicated => {
                write!(f, "the cluster has too few members to accept updates")
            }
            Status::TooSlow if expected == 0 => {
                write!(f, "the client does not read its replies: {got} bytes waited for it")
            }
            Status::TooSlow => {
                write!(f, "the client took longer than {expected} ms for a Hello or a frame")
            }
            Status::QuotaExceeded => {
                write!(f, "{got} would exceed the quota of {expected} for this prefix")
            }
            Status::SessionUnknown => {
                write!(f, "the session expired, was closed, or was never opened")
            }
            Status::Stale => {
                write!(f, "request {got} was already acknowledged, the lowest open is {expected}")
            }
            Status::WindowExceeded => {
                write!(f, "{got} requests in flight exceed the session's window of {expected}")
            }
            Status::SessionConflict => write!(f, "a session of another client has this id"),
            Status::WrongKind => {
                write!(f, "the object is a {}, not a {}", kind_name(got), kind_name(expected))
            }
            Status::Overflow => write!(f, "the result does not fit a signed 64-bit integer"),
            Status::OutOfRange => write!(f, "{got} is out of range, the object has {expected}"),
            Status::TooLarge => write!(f, "{got} bytes exceed the limit of {expected} bytes"),
            Status::Absent => write!(f, "the object does not exist"),
            // Not always the object's and the request's: values to be merged have to have 8 bytes.
            Status::Mismatch => {
                write!(f, "object and request do not match: expected {expected}, got {got}")
            }
            Status::WrongRound => {
                write!(f, "the current round is {expected}, the request names round {got}")
            }
            Status::BadArgument if (expected, got) == (0, 0) => {
                write!(f, "an argument is invalid")
            }
            Status::BadArgument => {
                write!(f, "an argument is invalid: the limit is {expected}, got {got}")
            }
            Status::StaleToken => {
                write!(f, "token {got} is stale, the object has seen token {expected}")
            }
            Status::Rejected => write!(f, "the object refused with code {expected}"),
            Status::UnknownType => write!(f, "the engine was built without type {got}"),
            Status::Panicked => write!(f, "the check of the object's type panicked"),
            Status::BadMagic => write!(f, "not a Catena frame: it begins with {got:#06x}"),
            Status::BadVersion => {
                write!(f, "protocol version {got} is not supported, only version {expected} is")
            }
            Status::BadLength => {
                write!(f, "frame length {got} is invalid (limit or expected: {expected})")
            }
            Status::BadChecksum => write!(f, "checksum {got:#010x} should be {expected:#010x}"),
            Status::BadFrameKind => write!(f, "frame kind {got} is not allowed here"),
            Status::HelloRequired => write!(f, "the first frame of a connection has to be a Hello"),
            Status::MissingFeature => {
                write!(f, "the client needs features {got:#x}, the engine has {expected:#x}")
            }
            Status::BadFlags => write!(f, "unknown flags {got:#06x}"),
            Status::UnknownOp => write!(f, "unknown op {got:#06x}"),
            Status::BadBody => write!(f, "the body is not a valid archive for the op"),
            Status::BadShard => write!(f, "the object belongs to shard {expected}, not {got}"),
            Status::WrongCluster => write!(f, "the node belongs to another cluster"),
            Status::WrongNode => {
                write!(f, "another node, or another incarnation of it, is at this address")
            }
            Status::Retired => {
                write!(f, "this incarnation of the node was removed, it must rejoin as a new one")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// The name of a kind in a sentence.
fn kind_name(wire: u64) -> &'static str {
    match u8::try_from(wire).ok().and_then(Kind::from_wire) {
        Some(Kind::User) => "user-defined object",
        Some(kind) => kind.name(),
        None => "thing of unknown kind",
    }
}
