//! Every limit of a node, with the arithmetic that ties them together.
//!
//! What both ends of the wire must agree on stands in [`catena_protocol::limits`]; here stands what a
//! node can hold. Nothing in the engine grows without one of these: a limit that is reached gives a
//! status that says so, or stops reading from a socket, and never drops a request.

use catena_protocol::limits;

use crate::chain::member::timing::VIEWS_MAX;
use crate::chain::record::RECORD_BYTES_MAX;

/// Shards of a node that was not told how many, for each of its cores. Enough to move load between
/// cores; not more, because a client has a session in every shard it uses, and many sessions do not
/// fit the cache (compare `catena-bench ops --connections 64 --depth 64` on engines with more).
pub const SHARDS_PER_CORE: u32 = 8;

/// First port of a node; core `n` listens on this plus `n`.
pub const PORT_DEFAULT: u16 = 7400;

/// Connections a core accepts. One more is told `TooManyConnections` and closed.
pub const CONNECTIONS_MAX: usize = 8_192;

/// Connections a core keeps in the backlog of its listener.
pub const BACKLOG: i32 = 1_024;

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

/// Memory a core may use for its objects and sessions unless told otherwise, in bytes.
pub const MEMORY_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;

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

/// Receive buffers of a connection, and reply buffers of a core, begin this small, so that idle ones cost
/// little …
pub const BUFFER_BYTES_MIN: usize = 4 * 1024;

/// … and grow to this while a connection is busy. A larger frame gets a larger buffer for as long as
/// it takes.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// What the buffers of a link to another node may keep: its turns say more than a client's.
pub const LINK_BUFFER_BYTES: usize = 1024 * 1024;

/// Replies waiting in front of a slow reader, in bytes, before its requests are left in the socket.
pub const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// How long a node that is told to stop waits for its connections to take their last replies, in
/// milliseconds.
pub const DRAIN_MS_MAX: u64 = 5_000;

/// Entries of a core's io_uring submission queue.
pub const RING_ENTRIES: u32 = 1_024;

/// Commands the control thread may have under way to a core.
pub const COMMANDS_MAX: usize = 16;

/// Shards of a cluster whose founder was not told how many: enough for nodes of many cores.
pub const CLUSTER_SHARDS: u32 = 64;

/// How far the control port is below the first port for clients.
pub const CONTROL_PORT_BELOW: u16 = 1;

/// How long a node that starts waits for another one to found the cluster, in milliseconds …
pub const RECORD_WAIT_MS: u64 = 30_000;

/// … and how often it looks meanwhile.
pub const RECORD_LOOK_MS: u64 = 500;

/// How long a node that is told to stop waits for the others to remove it, in milliseconds.
pub const LEAVE_MS_MAX: u32 = 3_000;

/// Notices of the cores that the control thread has not looked at.
pub const NOTICES_MAX: usize = 1_024;

/// Everything else that it has not looked at. Whoever has more waits.
pub const CONTROL_EVENTS_MAX: usize = 256;

/// How long the control thread leaves commands lying that a core has no room for, in milliseconds.
pub const COMMAND_AGAIN_MS: u32 = 20;

/// Connections to the control port that have not said who they are. One more is turned away.
pub const STRANGERS_MAX: usize = 64;

/// Operators that are connected. One more is turned away.
pub const OPERATORS_MAX: usize = 64;

/// Connections of other nodes. One more is turned away.
pub const PEER_LINKS_MAX: usize = 128;

/// Connections with one node. The newest is used; the oldest makes room.
pub const PEER_LINKS_EACH_MAX: usize = 2;

/// How long a handshake at the control port may take, in milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 5_000;

/// How long it may take to connect to another node, in milliseconds.
pub const DIAL_MS_MAX: u64 = 1_000;

/// How long a node that could not be connected to is left alone, in milliseconds, doubled every time …
pub const DIAL_AGAIN_MS: u32 = 50;

/// … up to this.
pub const DIAL_AGAIN_MS_MAX: u32 = 1_000;

/// The largest frame before it is known who sent it, and of an operator, in bytes.
pub const STRANGER_FRAME_BYTES_MAX: u32 = 4 * 1024;

/// The largest frame of another node, in bytes: a record, and what is around it.
pub const PEER_FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024 + 64 * 1024;

/// Messages waiting for a connection to another node, in bytes. More are dropped: any of them may be
/// lost.
pub const PEER_UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest adaptive spin that makes sense, in microseconds; beyond it a core is better given away.
pub const SPIN_US_MAX: u64 = 1_000;

const _: () = assert!(BUFFER_BYTES_MIN.is_multiple_of(limits::FRAME_ALIGNMENT as usize));
const _: () = assert!(BUFFER_BYTES_MIN <= BUFFER_BYTES);
const _: () = assert!(BUFFER_BYTES <= limits::FRAME_BYTES_MAX as usize);
// A cell, a vector and a round have to fit a frame with room for the rest of the body.
const _: () = assert!(CELL_BYTES_MAX + 4096 <= limits::BODY_BYTES_MAX as usize);
const _: () = assert!(VECTOR_BYTES_MAX + 4096 <= limits::BODY_BYTES_MAX as usize);
// A message with the largest record can be sent and received.
const _: () = assert!(RECORD_BYTES_MAX < PEER_FRAME_BYTES_MAX as usize);
const _: () = assert!(PEER_FRAME_BYTES_MAX as usize <= PEER_UNSENT_BYTES_MAX);
// All views that may be under way, the beginning of a life, and two questions fit a core's commands.
const _: () = assert!(VIEWS_MAX + 3 <= COMMANDS_MAX as u64);
// A barrier that is full of its parties, each waiting once.
const _: () = assert!(WAITERS_MAX >= limits::PARTIES_MAX as usize);
