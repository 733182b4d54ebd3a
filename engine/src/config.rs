//! Every limit of a node except those of its shards, with the arithmetic that ties them together.
//!
//! The limits on which both ends of the wire must agree are in [`catena_protocol::limits`], those of
//! shards in [`catena_core::config`]; here are sockets, buffers, threads and the control port. Nothing
//! in the engine grows without a limit: when one is reached, the engine returns a status that says so
//! or stops reading from a socket, and never drops a request.

use std::time::Duration;

use catena_core::chain::member::timing::VIEWS_MAX;
use catena_core::chain::record::RECORD_BYTES_MAX;
use catena_protocol::limits;

/// Default number of shards for each core. It is enough to move load between cores; more would cost
/// memory, because a client has a session in every shard that it uses, and many sessions do not fit
/// the cache (compare `catena-bench ops --connections 64 --depth 64` on engines with more).
pub(crate) const SHARDS_PER_CORE: u32 = 8;

/// First port of a node; core `n` listens on this plus `n`.
pub(crate) const PORT_DEFAULT: u16 = 7400;

/// Connections that a core accepts. A further one gets `TooManyConnections` and is closed.
pub(crate) const CONNECTIONS_MAX: usize = 8_192;

/// Connections in the backlog of a core's listener.
pub(crate) const BACKLOG: i32 = 1_024;

/// Default memory of a core for its objects and sessions, in bytes.
pub(crate) const MEMORY_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;

/// Initial size of the receive buffer of a connection, and of the reply buffers of a core. It is small
/// so that idle connections cost little.
pub(crate) const BUFFER_BYTES_MIN: usize = 4 * 1024;

/// Size to which these buffers grow while a connection is busy. A larger frame gets a larger buffer
/// for as long as it needs it.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Size that the buffers of a link to another node keep: a turn sends more to a node than to a client.
pub(crate) const LINK_BUFFER_BYTES: usize = 1024 * 1024;

/// Bytes of replies that may wait for a slow reader before its requests are left in the socket.
pub(crate) const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// How long a node that stops waits until its connections have taken their last replies, in
/// milliseconds.
pub(crate) const DRAIN_MS_MAX: u64 = 5_000;

/// Entries of a core's io_uring submission queue.
pub(crate) const RING_ENTRIES: u32 = 1_024;

/// Commands to a core that it has not taken.
pub(crate) const COMMANDS_MAX: usize = 16;

/// How long cores may take to report what they hold.
pub(crate) const CENSUS_TIME_MAX: Duration = Duration::from_secs(1);

/// How far the control port is below the first port for clients.
pub(crate) const CONTROL_PORT_BELOW: u16 = 1;

/// How long a node that starts waits for another one to create the cluster, in milliseconds.
pub(crate) const JOIN_TIMEOUT_MS: u64 = 30_000;

/// How often it reads the register while it waits, in milliseconds.
pub(crate) const RECORD_POLL_MS: u64 = 500;

/// How long a node that stops waits for the other members to remove it, in milliseconds.
pub(crate) const LEAVE_MS_MAX: u32 = 3_000;

/// Reports of the cores that the control thread has not taken.
pub(crate) const NOTICES_MAX: usize = 1_024;

/// Other events that it has not taken. A task with a further one waits.
pub(crate) const CONTROL_EVENTS_MAX: usize = 256;

/// After what time the control thread retries commands for which a core had no room, in milliseconds.
pub(crate) const COMMAND_RETRY_MS: u32 = 20;

/// Connections to the control port whose handshake is under way. A further one is refused.
pub(crate) const HANDSHAKES_MAX: usize = 64;

/// Connections of operators. A further one is refused.
pub(crate) const OPERATORS_MAX: usize = 64;

/// Connections of other nodes. A further one is refused.
pub(crate) const PEER_LINKS_MAX: usize = 128;

/// Connections with one node. The newest is used; a further one closes the oldest.
pub(crate) const PEER_LINKS_PER_NODE_MAX: usize = 2;

/// How long a handshake at the control port may take, in milliseconds.
pub(crate) const HANDSHAKE_MS_MAX: u64 = 5_000;

/// How long it may take to connect to another node, in milliseconds.
pub(crate) const DIAL_MS_MAX: u64 = 1_000;

/// How long a node waits after it could not connect to another node, in milliseconds; doubled with
/// every failure.
pub(crate) const DIAL_RETRY_MS: u32 = 50;

/// The longest such wait, in milliseconds.
pub(crate) const DIAL_RETRY_MS_MAX: u32 = 1_000;

/// The largest frame of a handshake and of an operator, in bytes.
pub(crate) const SMALL_FRAME_BYTES_MAX: u32 = 4 * 1024;

/// The largest frame of another node, in bytes: a record, and the message around it.
pub(crate) const PEER_FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024 + 64 * 1024;

/// Messages that wait for a connection to another node, in bytes. Further ones are dropped, which the
/// protocol allows for every message.
pub(crate) const PEER_UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest time to poll before sleeping, in microseconds; beyond it the CPU is better left to others.
pub(crate) const SPIN_US_MAX: u64 = 1_000;

const _: () = assert!(BUFFER_BYTES_MIN.is_multiple_of(limits::FRAME_ALIGNMENT as usize));
const _: () = assert!(BUFFER_BYTES_MIN <= BUFFER_BYTES);
const _: () = assert!(BUFFER_BYTES <= limits::FRAME_BYTES_MAX as usize);
// A message with the largest record can be sent and received.
const _: () = assert!(RECORD_BYTES_MAX < PEER_FRAME_BYTES_MAX as usize);
const _: () = assert!(PEER_FRAME_BYTES_MAX as usize <= PEER_UNSENT_BYTES_MAX);
// A core has room for all views that may be unconfirmed, the beginning of an incarnation, and two
// requests for a report.
const _: () = assert!(VIEWS_MAX + 3 <= COMMANDS_MAX as u64);
