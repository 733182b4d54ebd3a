//! How a request ended, and whether it may be repeated.

use crate::wire_enum::wire_enum;

/// Whether a client that got a [`Status`] may ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Asking again gives the same answer: the request is wrong, or it is done.
    Never,
    /// Nothing was changed. The same request may be repeated later, here or where the status says.
    Later,
    /// The wait ended without what was waited for. A new request may wait again.
    Anew,
    /// It is not known whether the request took effect. Only the caller can decide.
    Unknown,
}

wire_enum! {
    /// How a request ended. Every status but `Ok` changed nothing, unless its [`Retry`] says
    /// otherwise.
    pub enum Status: u16 {
        /// Done; the body is the op's reply.
        Ok = 0,

        /// The wait ran out of time. The body may name who is missing.
        Timeout = 1,
        /// A barrier or reduction is broken, or was reset while waiting, or a future was cancelled. The
        /// body is the reason.
        Broken = 2,
        /// The object was deleted while waiting.
        Deleted = 3,

        /// The shard lives on another core; `expected` is its number on this node.
        WrongShard = 16,
        /// The frame names another epoch than the shard's; `expected` is the shard's.
        WrongEpoch = 17,
        /// No room right now; try again in `expected` milliseconds.
        Busy = 18,
        /// The node is shutting down and takes no more requests.
        ShuttingDown = 19,
        /// The node has as many connections as it allows; `expected` is the limit.
        TooManyConnections = 20,
        /// The shard has as many sessions as it allows; `expected` is the limit.
        TooManySessions = 21,
        /// The shard has as many objects as it allows; `expected` is the limit.
        TooManyObjects = 22,
        /// The object has as many waiting requests as it allows; `expected` is the limit.
        TooManyWaiters = 23,
        /// The memory budget has no room for this write; `expected` bytes are the budget.
        OutOfMemory = 24,
        /// This would make an object, and its name is wanted: repeat it with
        /// [`flags::NAMED`](crate::flags::NAMED).
        NameNeeded = 25,
        /// The names with some prefix have a quota in this shard; `expected` is the limit, `got` what it
        /// would be.
        QuotaExceeded = 26,
        /// This node is not the head of the shard's chain; the one that is takes updates.
        NotHead = 27,
        /// The chain has fewer members than its updates need; reads go on.
        UnderReplicated = 28,

        /// The session is not open: it expired, was closed, or was never opened.
        SessionUnknown = 32,
        /// The request number was already acknowledged; `expected` is the lowest still open.
        Stale = 33,
        /// More requests are in flight than the session's window; `expected` is the window.
        WindowExceeded = 34,
        /// Somebody else's session has this id. Draw another.
        SessionConflict = 35,

        /// The object is of another kind; `expected` is the asked one, `got` the object's.
        WrongKind = 48,
        /// The result would not fit a signed 64-bit integer.
        Overflow = 49,
        /// An index or range lies outside the object; `expected` is its length.
        OutOfRange = 50,
        /// A value is larger than allowed; `expected` is the limit.
        TooLarge = 51,
        /// There is no such object.
        Absent = 52,
        /// Shape, element type or number of parties differ from the object's.
        Mismatch = 53,
        /// The round or generation lies in the future, or too far back; `expected` is the current one.
        WrongRound = 54,
        /// An argument has no meaning: an empty party name, no parties, a reason too long.
        BadArgument = 55,
        /// The token of another holder was seen since; `expected` is the highest, `got` the request's.
        StaleToken = 56,
        /// A user-defined object refused; `expected` is the code it gave.
        Rejected = 57,
        /// The engine has no such user-defined type; `got` is the id asked for.
        UnknownType = 58,
        /// The check of a user-defined object panicked. Nothing was changed.
        Panicked = 59,

        /// The frame does not begin with the magic number.
        BadMagic = 64,
        /// The engine does not speak this version; `expected` is the one it speaks.
        BadVersion = 65,
        /// The lengths in the header contradict each other or the limit in `expected`.
        BadLength = 66,
        /// The checksum does not match the bytes.
        BadChecksum = 67,
        /// This kind of frame makes no sense here.
        BadFrameKind = 68,
        /// The first frame of a connection has to be a Hello.
        HelloRequired = 69,
        /// The client asked for features that the engine has not; `expected` are the ones it has.
        MissingFeature = 70,
        /// The flags contain bits that this version does not know.
        BadFlags = 71,
        /// The op code is unknown.
        UnknownOp = 72,
        /// The body is not a valid archive for the op.
        BadBody = 73,
        /// The object does not belong to the shard in the header; `expected` is the right one.
        BadShard = 74,
        /// A node of another cluster.
        WrongCluster = 75,
        /// At this address there is another node, or another life of it, than was meant.
        WrongNode = 76,
        /// The node was a member and left; it has to come back under a new id.
        Retired = 77,
    }
}

impl Status {
    /// Whether a request that ended like this may be repeated.
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

/// A refusal: a status with the two numbers that explain it.
///
/// What `expected` and `got` mean is said at each [`Status`]; both are 0 where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why it was refused; never `Ok`.
    pub status: Status,
    /// The limit, the current value, or what would have been right.
    pub expected: u64,
    /// What the request had.
    pub got: u64,
}

impl Fault {
    /// A fault that needs no numbers.
    pub const fn new(status: Status) -> Fault {
        Fault { status, expected: 0, got: 0 }
    }

    /// A fault with what was expected and what came.
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
            Status::Timeout => write!(f, "the wait ran out of time"),
            Status::Broken => write!(f, "broken"),
            Status::Deleted => write!(f, "the object was deleted while waiting"),
            Status::WrongShard => write!(f, "the shard lives on core {expected}, not {got}"),
            Status::WrongEpoch => {
                write!(f, "the shard is in epoch {expected}, the request in {got}")
            }
            Status::Busy => write!(f, "no room right now, try again in {expected} ms"),
            Status::ShuttingDown => write!(f, "the node is shutting down"),
            Status::TooManyConnections => {
                write!(f, "the node allows {expected} connections a core")
            }
            Status::TooManySessions => write!(f, "the shard allows {expected} sessions"),
            Status::TooManyObjects => write!(f, "the shard allows {expected} objects"),
            Status::TooManyWaiters => write!(f, "the object allows {expected} waiting requests"),
            Status::OutOfMemory => {
                write!(f, "{got} more bytes do not fit the shard's memory budget of {expected}")
            }
            Status::NameNeeded => write!(f, "the object is new and needs its name"),
            Status::NotHead => write!(f, "another node is the head of the shard's chain"),
            Status::UnderReplicated => write!(f, "too few nodes are left to take updates"),
            Status::QuotaExceeded => {
                write!(f, "the quota of these names is {expected} here, it would be {got}")
            }
            Status::SessionUnknown => write!(f, "the session expired or was never opened"),
            Status::Stale => {
                write!(
                    f,
                    "request {got} was acknowledged before, the lowest open one is {expected}"
                )
            }
            Status::WindowExceeded => {
                write!(f, "{got} requests in flight, the session's window is {expected}")
            }
            Status::SessionConflict => write!(f, "another client has a session with this id"),
            Status::WrongKind => {
                write!(f, "asked as a {}, but it is a {}", kind_name(expected), kind_name(got))
            }
            Status::Overflow => write!(f, "the result does not fit a signed 64-bit integer"),
            Status::OutOfRange => write!(f, "position {got} is outside, the length is {expected}"),
            Status::TooLarge => write!(f, "{got} is larger than the limit of {expected}"),
            Status::Absent => write!(f, "there is no such object"),
            Status::Mismatch => write!(f, "the object has {expected} where the request has {got}"),
            Status::WrongRound => {
                write!(f, "the current round is {expected}, the request is for {got}")
            }
            Status::BadArgument => {
                write!(f, "an argument has no meaning (limit {expected}, got {got})")
            }
            Status::StaleToken => {
                write!(f, "token {got} is stale, token {expected} was seen")
            }
            Status::Rejected => write!(f, "the object refused with code {expected}"),
            Status::UnknownType => write!(f, "the engine has no type {got}"),
            Status::Panicked => write!(f, "the object's own check panicked, nothing was changed"),
            Status::BadMagic => write!(f, "not a Catena frame (magic {got:#06x})"),
            Status::BadVersion => {
                write!(f, "protocol version {got} is not spoken here, version {expected} is")
            }
            Status::BadLength => {
                write!(f, "bad frame length {got} (limit or expected: {expected})")
            }
            Status::BadChecksum => write!(f, "checksum {got:#010x} should be {expected:#010x}"),
            Status::BadFrameKind => write!(f, "frame kind {got} makes no sense here"),
            Status::HelloRequired => write!(f, "the first frame of a connection has to be a Hello"),
            Status::MissingFeature => {
                write!(f, "features {got:#x} were asked for, the engine has {expected:#x}")
            }
            Status::BadFlags => write!(f, "unknown flags {got:#06x}"),
            Status::UnknownOp => write!(f, "unknown op {got:#06x}"),
            Status::BadBody => write!(f, "the body is not a valid archive for the op"),
            Status::BadShard => write!(f, "the object belongs to shard {expected}, not {got}"),
            Status::WrongCluster => write!(f, "this node belongs to another cluster"),
            Status::WrongNode => {
                write!(f, "at this address there is another node, or another life of it")
            }
            Status::Retired => {
                write!(f, "that life of the node was a member and left; it has to begin another")
            }
        }
    }
}

impl std::error::Error for Fault {}

fn kind_name(wire: u64) -> &'static str {
    u8::try_from(wire)
        .ok()
        .and_then(crate::Kind::from_wire)
        .map_or("thing unknown", crate::Kind::name)
}
