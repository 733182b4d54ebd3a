//! Every limit of what a shard and its place in a chain hold, with the arithmetic that ties them
//! together.
//!
//! What both ends of the wire must agree on is in [`catena_protocol::limits`]; the limits of sockets,
//! buffers and threads are the engine's. Nothing grows without a limit: a limit that is reached gives a
//! status that says so and changes nothing.

use catena_protocol::limits;

/// Sessions a shard keeps. A new one is refused; a live one is never evicted.
pub const SESSIONS_MAX: usize = 65_536;

/// Objects a shard keeps.
pub const OBJECTS_MAX: usize = 16_777_216;

/// Requests that may wait on one object.
pub const WAITERS_MAX: usize = 65_536;

/// Bytes of a cell.
pub const CELL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of the elements of a vector or a contribution.
pub const VECTOR_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of a reply that a session keeps for a retry. An update whose reply could be longer is
/// refused before it is applied, except for the result of a reduction, which all parties share.
pub const STORED_REPLY_BYTES_MAX: usize = 64 * 1024;

/// What an entry of the object table costs beside the object's own heap: key, value, control byte,
/// at the table's emptiest.
pub const OBJECT_BYTES: u64 = 72;

/// What a name costs beside its bytes: its places among names and ids, and the string itself.
pub const NAMED_BYTES: u64 = 160;

/// What it costs that an object is to be deleted: its places among ends and ids.
pub const DATED_BYTES: u64 = 128;

/// What a request that waits costs beside its place in its object and its session: its header, and
/// its place among the deadlines.
pub const WAITING_BYTES: u64 = 192;

/// What a hold costs beside its place in its object: its record, and its places among the deadlines
/// and by session.
pub const HOLD_BYTES: u64 = 160;

/// Quotas a shard keeps.
pub const QUOTAS_MAX: usize = 256;

/// Objects that one request deletes by prefix; whoever asked goes on from there.
pub const DELETED_MAX: u32 = 1_024;

/// Bytes of the items of a page. It has at least one, however large.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Lines a log keeps; the oldest make room.
pub const LOG_LINES_MAX: usize = 4_096;

/// Entries of a shard that not all members have yet. At so many, the head takes no more updates until
/// some are acknowledged.
pub const UNCOMMITTED_MAX: u64 = 4_096;

/// … or if they take so many bytes. One more entry fits, however large.
pub const UNCOMMITTED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of entries in one frame to a successor, unless a single one has more: what they need fits the
/// cache, and they fit the buffer that receives them.
pub const FORWARD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of acknowledged entries that a shard keeps, to compare with those of a successor whose link
/// broke. Nobody needs to be sent them again.
pub const LOG_BYTES_KEPT: usize = 64 * 1024;

/// What a session costs with the ring it begins with: itself, its place in the index and among the
/// expiries.
pub const SESSION_BYTES: u64 = 320;

/// How long a closed session is remembered, in milliseconds: far longer than what a client gave up
/// on can stay unread in the engine's sockets.
pub const CLOSED_MS: u32 = 60_000;

// A cell, a vector and a round have to fit a frame with room for the rest of the body.
const _: () = assert!(CELL_BYTES_MAX + 4096 <= limits::BODY_BYTES_MAX as usize);
const _: () = assert!(VECTOR_BYTES_MAX + 4096 <= limits::BODY_BYTES_MAX as usize);
// A barrier that is full of its parties, each waiting once.
const _: () = assert!(WAITERS_MAX >= limits::PARTIES_MAX as usize);
