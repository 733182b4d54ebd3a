//! Every limit of a node beside those of its shards, with the arithmetic that ties them together.
//!
//! What both ends of the wire must agree on is in [`catena_protocol::limits`], what shards hold in
//! [`catena_core::config`]; here are sockets, buffers, threads and the control port. Nothing in the engine
//! grows without a limit: one that is reached gives a status that says so, or stops reading from a socket,
//! and never drops a request.

use catena_core::chain::member::timing::VIEWS_MAX;
use catena_core::chain::record::RECORD_BYTES_MAX;
use catena_protocol::limits;

/// Shards of a node that was not told how many, for each of its cores. Enough to move load between
/// cores; not more, because a client has a session in every shard it uses, and many sessions do not
/// fit the cache (compare `catena-bench ops --connections 64 --depth 64` on engines with more).
pub(crate) const SHARDS_PER_CORE: u32 = 8;

/// First port of a node; core `n` listens on this plus `n`.
pub(crate) const PORT_DEFAULT: u16 = 7400;

/// Connections a core accepts. One more is told `TooManyConnections` and closed.
pub(crate) const CONNECTIONS_MAX: usize = 8_192;

/// Connections a core keeps in the backlog of its listener.
pub(crate) const BACKLOG: i32 = 1_024;

/// Memory a core may use for its objects and sessions unless told otherwise, in bytes.
pub(crate) const MEMORY_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;

/// Receive buffers of a connection, and reply buffers of a core, begin this small, so that idle ones cost
/// little …
pub(crate) const BUFFER_BYTES_MIN: usize = 4 * 1024;

/// … and grow to this while a connection is busy. A larger frame gets a larger buffer for as long as
/// it takes.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// What the buffers of a link to another node may keep: its turns say more than a client's.
pub(crate) const LINK_BUFFER_BYTES: usize = 1024 * 1024;

/// Replies waiting in front of a slow reader, in bytes, before its requests are left in the socket.
pub(crate) const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// How long a node that is told to stop waits for its connections to take their last replies, in
/// milliseconds.
pub(crate) const DRAIN_MS_MAX: u64 = 5_000;

/// Entries of a core's io_uring submission queue.
pub(crate) const RING_ENTRIES: u32 = 1_024;

/// Commands the control thread may have under way to a core.
pub(crate) const COMMANDS_MAX: usize = 16;

/// How far the control port is below the first port for clients.
pub(crate) const CONTROL_PORT_BELOW: u16 = 1;

/// How long a node that starts waits for another one to found the cluster, in milliseconds …
pub(crate) const RECORD_WAIT_MS: u64 = 30_000;

/// … and how often it looks meanwhile.
pub(crate) const RECORD_LOOK_MS: u64 = 500;

/// How long a node that is told to stop waits for the others to remove it, in milliseconds.
pub(crate) const LEAVE_MS_MAX: u32 = 3_000;

/// Notices of the cores that the control thread has not looked at.
pub(crate) const NOTICES_MAX: usize = 1_024;

/// Everything else that it has not looked at. Whoever has more waits.
pub(crate) const CONTROL_EVENTS_MAX: usize = 256;

/// How long the control thread leaves commands lying that a core has no room for, in milliseconds.
pub(crate) const COMMAND_AGAIN_MS: u32 = 20;

/// Connections to the control port that have not said who they are. One more is turned away.
pub(crate) const STRANGERS_MAX: usize = 64;

/// Operators that are connected. One more is turned away.
pub(crate) const OPERATORS_MAX: usize = 64;

/// Connections of other nodes. One more is turned away.
pub(crate) const PEER_LINKS_MAX: usize = 128;

/// Connections with one node. The newest is used; the oldest makes room.
pub(crate) const PEER_LINKS_EACH_MAX: usize = 2;

/// How long a handshake at the control port may take, in milliseconds.
pub(crate) const HANDSHAKE_MS_MAX: u64 = 5_000;

/// How long it may take to connect to another node, in milliseconds.
pub(crate) const DIAL_MS_MAX: u64 = 1_000;

/// How long a node that could not be connected to is left alone, in milliseconds, doubled every time …
pub(crate) const DIAL_AGAIN_MS: u32 = 50;

/// … up to this.
pub(crate) const DIAL_AGAIN_MS_MAX: u32 = 1_000;

/// The largest frame before it is known who sent it, and of an operator, in bytes.
pub(crate) const STRANGER_FRAME_BYTES_MAX: u32 = 4 * 1024;

/// The largest frame of another node, in bytes: a record, and what is around it.
pub(crate) const PEER_FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024 + 64 * 1024;

/// Messages waiting for a connection to another node, in bytes. More are dropped: any of them may be
/// lost.
pub(crate) const PEER_UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest adaptive spin that makes sense, in microseconds; beyond it a core is better given away.
pub(crate) const SPIN_US_MAX: u64 = 1_000;

const _: () = assert!(BUFFER_BYTES_MIN.is_multiple_of(limits::FRAME_ALIGNMENT as usize));
const _: () = assert!(BUFFER_BYTES_MIN <= BUFFER_BYTES);
const _: () = assert!(BUFFER_BYTES <= limits::FRAME_BYTES_MAX as usize);
// A message with the largest record can be sent and received.
const _: () = assert!(RECORD_BYTES_MAX < PEER_FRAME_BYTES_MAX as usize);
const _: () = assert!(PEER_FRAME_BYTES_MAX as usize <= PEER_UNSENT_BYTES_MAX);
// All views that may be under way, the beginning of a life, and two questions fit a core's commands.
const _: () = assert!(VIEWS_MAX + 3 <= COMMANDS_MAX as u64);
