//! The limits of everything that a shard and its replicas keep, with the arithmetic that ties them
//! together.
//!
//! Limits that both ends of the wire must agree on are in [`catena_protocol::limits`]; limits of
//! sockets, buffers and threads are the engine's. Nothing grows without a limit: a request that
//! would exceed one is refused with a status that says so, and changes nothing.

use catena_protocol::limits;

/// Open sessions of a shard. Beyond that, a new one is refused; an open one is never evicted.
pub const SESSIONS_MAX: usize = 65_536;

/// How far the birth of a session may be in the future, in milliseconds: by that much the clocks of
/// two nodes may differ when one becomes head that has heard nothing of the time of the other.
pub const BORN_AHEAD_MS_MAX: u32 = 15 * 60 * 1000;

/// Closed sessions that a shard remembers: for [`CLOSED_MS`], if 30,000 are closed a second.
pub const CLOSED_MAX: usize = 2 * 1024 * 1024;

/// Bytes that a closed session takes: its entries in the table and in the queue.
pub const CLOSED_BYTES: u64 = 64;

/// Objects of a shard.
pub const OBJECTS_MAX: usize = 16_777_216;

/// Requests that may wait on one object.
pub const WAITERS_MAX: usize = 65_536;

/// Bytes of a cell.
pub const CELL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of the elements of a vector or of a contribution to a reduction.
pub const VECTOR_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of a reply that a session keeps for retries. An update whose reply could be longer is
/// refused before it is applied, except for the result of a reduction, which all parties share.
pub const STORED_REPLY_BYTES_MAX: usize = 64 * 1024;

/// Bytes that an object takes in the object table, besides its own heap: key and value, when the
/// table has the most empty slots.
pub const OBJECT_BYTES: u64 = 72;

/// Bytes that a name takes besides its text: its entries in the maps by name and by id, and the
/// string's header.
pub const NAMED_BYTES: u64 = 256;

/// Bytes that the time to live of an object takes: its entries in the maps by time and by id.
pub const DATED_BYTES: u64 = 128;

/// Bytes that a waiting request takes besides its entries in its object and its session: its
/// header, and its entries among the deadlines and by connection.
pub const WAITING_BYTES: u64 = 256;

/// Bytes that a hold takes besides its entry in its object: its record, and its entries among the
/// deadlines and by session.
pub const HOLD_BYTES: u64 = 200;

/// Waits, holds, objects and sessions that end in one event; others follow in another.
pub const ENDS_MAX: usize = 1_024;

/// Waiting requests that one event detaches; others follow in another.
pub const DETACHED_MAX: usize = 1_024;

/// Quotas of a shard.
pub const QUOTAS_MAX: usize = 256;

/// Objects that one request deletes by prefix; the client repeats it for the rest.
pub const DELETED_MAX: u32 = 1_024;

/// Bytes of the items of a page. A page has at least one item, however large.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Items or values that one request compares with what it looks for: a few milliseconds of work. In a
/// longer list or map it is refused.
pub const COMPARED_MAX: usize = 1024 * 1024;

/// Items of a list that one request compares with many others each, likewise.
pub const FILTERED_MAX: usize = 128 * 1024;

/// Names that one request counts: as many as a core counts in a few milliseconds.
pub const COUNTED_MAX: usize = 32 * 1024;

/// Objects that are counted as soon as a quota is set; more are counted afterwards, a part at a time.
/// Tests have few objects.
pub const COUNTED_AT_ONCE: usize = if cfg!(test) { 128 } else { 4 * 1024 };

/// Lines that a log keeps; a new one replaces the oldest.
pub const LOG_LINES_MAX: usize = 4_096;

/// Entries of a shard that not all replicas have acknowledged. At this number, the head accepts no
/// more updates until some are acknowledged.
pub const UNCOMMITTED_MAX: u64 = 4_096;

/// Bytes of these entries, likewise. One more entry fits, however large.
pub const UNCOMMITTED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of replies of a shard that wait for these entries. At this number, the shard accepts no more
/// requests whose replies would wait.
pub const PENDING_REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of entries in one frame to a successor, unless a single entry has more: what they need
/// fits the cache, and they fit the buffer that receives them.
pub const FORWARD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of acknowledged entries that a shard keeps, to compare with those of a successor after
/// their link broke. They need not be sent again.
pub const LOG_BYTES_KEPT: usize = 64 * 1024;

/// Bytes that a session takes with its initial ring: itself, and its entries in the index and among
/// the expiries.
pub const SESSION_BYTES: u64 = 320;

/// Milliseconds for which a closed session is remembered: far longer than requests that a client
/// has abandoned can stay unread in the engine's sockets.
pub const CLOSED_MS: u32 = 60_000;

// A cell, a vector and a round must fit a frame with room for the rest of the body.
const _: () = assert!(CELL_BYTES_MAX + 4096 <= limits::BODY_BYTES_MAX as usize);
const _: () = assert!(VECTOR_BYTES_MAX + 4096 <= limits::BODY_BYTES_MAX as usize);
// All parties of a barrier can wait at once.
const _: () = assert!(WAITERS_MAX >= limits::PARTIES_MAX as usize);
