//! Every limit of a node except those of its shards, with the arithmetic that ties them together.
//!
//! The limits on which both ends of the wire must agree are in [`catena_protocol::limits`], those of
//! shards in [`catena_core::config`]; here are sockets, buffers, threads and the control port. Nothing
//! in the engine grows without a limit: when one is reached, the engine returns a status that says so
//! or stops reading from a socket, and never drops a request.

use std::time::Duration;

use catena_core::chain::member::timing::VIEWS_MAX;
use catena_core::chain::record::RECORD_BYTES_MAX;
use catena_core::config::{CELL_BYTES_MAX, SESSIONS_MAX};
use catena_protocol::limits;

/// Default number of shards for each core. It is enough to move load between cores; more would cost
/// memory, because a client has a session in every shard that it uses, and many sessions do not fit
/// the cache (compare `catena-bench ops --connections 64 --depth 64` on engines with more).
pub(crate) const SHARDS_PER_CORE: u32 = 8;

/// First port of a node; core `n` listens on this plus `n`.
pub(crate) const PORT_DEFAULT: u16 = 7400;

/// Default number of connections of a core. A further one takes the place of the oldest that has not
/// said Hello; if all have, it gets `TooManyConnections` and is closed.
pub(crate) const CONNECTIONS_DEFAULT: usize = 8_192;

/// The largest number of connections of a core that can be set.
pub(crate) const CONNECTIONS_MAX: usize = 65_536;

/// The share of these connections that one source may have before they say Hello: a quarter. With
/// more, the source's oldest goes first, so that it keeps no other source out.
pub(crate) const SOURCE_SHARE: usize = 4;

/// How many sessions of a shard are open when a source may have no more than its share, and that share:
/// a quarter of all.
pub(crate) const SESSIONS_CROWDED: u64 = SESSIONS_MAX as u64 / 2;
pub(crate) const SESSION_SOURCE_SHARE: usize = SESSIONS_MAX / 4;

/// How full the table of connections is when the log warns, and how full when it may warn again, in
/// percent.
pub(crate) const CROWDED_PERCENT: usize = 80;
pub(crate) const ROOMY_PERCENT: usize = 70;

/// The largest first frame of a connection, in bytes: nothing is received behind it before it is
/// served.
pub(crate) const HELLO_BYTES_MAX: u32 = 4 * 1024;

/// The period in which a core looks for connections that are late. It counts these periods instead
/// of reading a clock, so time that the core was busy itself does not count against its clients.
pub(crate) const SWEEP_MS: u64 = 1_000;

/// Periods that a new connection has for its Hello.
pub(crate) const HELLO_SWEEPS_MAX: u8 = 5;

/// Periods that may pass without a further byte of a frame once it has begun.
pub(crate) const FRAME_SWEEPS_MAX: u8 = 30;

/// A frame that has memory for which other connections wait makes progress if so many bytes of it arrive
/// in a period. It may miss that in as many periods in a row: the first of them may have begun just
/// before …
pub(crate) const LENT_BYTES_PER_SWEEP_MIN: usize = 128 * 1024;
pub(crate) const LENT_SLOW_SWEEPS_MAX: u8 = 1;

/// … and this is how many periods of waiting by others such a frame may take in all.
pub(crate) const LENT_SWEEPS_MAX: u8 = 30;

/// After how long without bytes from a client the kernel asks its host whether the connection is
/// still there, how often it asks again, and how many times.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
pub(crate) const KEEPALIVE_PROBES: u32 = 4;

/// How long bytes to a client may stay unacknowledged, or untaken because the client does not read,
/// before the kernel breaks the connection.
pub(crate) const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections in the backlog of a core's listener.
pub(crate) const BACKLOG: i32 = 1_024;

/// Least memory of a core for its objects and sessions, in bytes: the largest cell fits and can be
/// replaced.
pub(crate) const MEMORY_BYTES_MIN: u64 = 24 * 1024 * 1024;

/// Default memory of a core for its objects and sessions, in bytes.
pub(crate) const MEMORY_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;

/// The memory of the process above which `catena-engine` refuses what needs more: so many times the memory
/// of each core, and so much more for each. Within it are the replies that wait (as much as the memory
/// again), receive buffers (a quarter of it), and a state that is being transferred.
pub(crate) const RESIDENT_FACTOR: u64 = 3;
pub(crate) const RESIDENT_BYTES: u64 = 256 * 1024 * 1024;

/// Initial size of the receive buffer of a connection, and of the reply buffers of a core. It is small
/// so that idle connections cost little.
pub(crate) const BUFFER_BYTES_MIN: usize = 4 * 1024;

/// Size to which these buffers grow while a connection is busy. A larger frame gets a larger buffer
/// for as long as it needs it.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Reply buffers that a core keeps while no connection needs them: 32 MiB at most.
pub(crate) const REPLY_BUFFERS_MAX: usize = 512;

/// Size of the largest receive buffer that a connection keeps between frames. A larger frame is
/// received into memory that is lent for it alone, so an idle connection has none of that.
pub(crate) const KEPT_BUFFER_BYTES_MAX: usize = 128 * 1024;

/// Returns the memory that a core lends for unfinished large frames, and the memory that receive
/// buffers keep beyond their initial size: each an eighth of the memory for objects, and at least two
/// of the largest frames. A connection that finds none of the first is left unread, and one that finds
/// none of the second keeps its small buffer.
pub(crate) fn receive_bytes_max(memory_bytes: u64) -> usize {
    let share = usize::try_from(memory_bytes / 8).unwrap_or(usize::MAX);
    share.max(2 * limits::FRAME_BYTES_MAX as usize)
}

/// Size that the buffers of a link to another node keep: a turn sends more to a node than to a client.
pub(crate) const LINK_BUFFER_BYTES: usize = 1024 * 1024;

/// Bytes of replies that may wait for a slow reader before its requests are left in the socket.
pub(crate) const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of replies that may wait for one client before its connection is closed. Replies to its own
/// requests stop at [`UNSENT_BYTES_MAX`] and one reply; beyond are only those that end its waits.
pub(crate) const UNSENT_OF_CLIENT_BYTES_MAX: usize =
    32 * 1024 * 1024 + limits::FRAME_BYTES_MAX as usize;

/// Bytes that the kernel takes for a client's socket before they can be sent. A client that does not
/// read costs this much in the kernel instead of the several MiB to which send buffers grow.
pub(crate) const UNSENT_IN_SOCKET_BYTES_MAX: u32 = 512 * 1024;

/// Returns the bytes of replies that may wait for all clients of a core before the connection that has
/// most is closed: as much as the memory for objects. A large result that many get counts once.
pub(crate) fn unsent_bytes_max(memory_bytes: u64) -> usize {
    usize::try_from(memory_bytes).unwrap_or(usize::MAX).max(UNSENT_OF_CORE_BYTES_MIN)
}

const UNSENT_OF_CORE_BYTES_MIN: usize = 64 * 1024 * 1024;

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

/// Connections to the control port whose handshake is under way. A further one takes the place of the
/// oldest that has sent nothing yet.
pub(crate) const HANDSHAKES_MAX: usize = 64;

/// Connections of operators. A further one takes the place of the oldest whose request is not under
/// way.
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

/// How long a connection to another node that is closed may take to send what waits, in
/// milliseconds.
pub(crate) const LINK_FINISH_MS_MAX: u64 = 200;

/// The largest frame of a handshake and of an operator, in bytes.
pub(crate) const SMALL_FRAME_BYTES_MAX: u32 = 4 * 1024;

/// The largest frame of another node, in bytes: a record, and the message around it.
pub(crate) const PEER_FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024 + 64 * 1024;

/// Messages that wait for a connection to another node, in bytes. Further ones are dropped, which the
/// protocol allows for every message.
pub(crate) const PEER_UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Returns how much a core keeps for a node that joins, in bytes, before it gives up: what changes
/// while the state is written, and the updates since then.
pub(crate) fn transfer_bytes_max(memory_bytes: u64) -> u64 {
    (memory_bytes / 4).max(16 * 1024 * 1024)
}

/// Returns how many bytes of updates a shard may be ahead of a node that joins before the pace of that
/// node limits them: half of what the core keeps for it, over all of its shards.
pub(crate) fn transfer_lag_bytes(memory_bytes: u64, shards: u32) -> usize {
    let lag_bytes = transfer_bytes_max(memory_bytes) / 2 / u64::from(shards);
    usize::try_from(lag_bytes).unwrap_or(usize::MAX)
}

/// A node that joins is given up if updates wait for it and it takes none for this long.
pub(crate) const LEARNER_STALL_MS: u32 = 1_000;

/// Requests of a shard that are noted for people who monitor it: at most so many a second, of which
/// the last are kept, until nobody has asked for so many milliseconds.
pub(crate) const MONITORED_PER_SECOND_MAX: u32 = 1_000;
pub(crate) const MONITORED_MAX: usize = 1_024;
pub(crate) const MONITOR_MS: u32 = 5_000;

/// Longest time to poll before sleeping, in microseconds; beyond it the CPU is better left to others.
pub(crate) const SPIN_US_MAX: u64 = 1_000;

const _: () = assert!(BUFFER_BYTES_MIN.is_multiple_of(limits::FRAME_ALIGNMENT as usize));
const _: () = assert!(BUFFER_BYTES_MIN <= BUFFER_BYTES);
const _: () = assert!(BUFFER_BYTES <= KEPT_BUFFER_BYTES_MAX);
const _: () = assert!(KEPT_BUFFER_BYTES_MAX <= limits::FRAME_BYTES_MAX as usize);
// The smallest buffer has room for a Hello, and for nothing behind it that it could be made to keep.
const _: () = assert!(HELLO_BYTES_MAX as usize == BUFFER_BYTES_MIN);
// At 85 % of its memory, a core refuses updates that need more; a cell that is replaced counts twice.
const _: () = assert!(2 * CELL_BYTES_MAX as u64 * 100 / 85 < MEMORY_BYTES_MIN);
// One client cannot make the core close the connection of another.
const _: () = assert!(UNSENT_OF_CLIENT_BYTES_MAX < UNSENT_OF_CORE_BYTES_MIN);
// Replies to a client's own requests never reach the limit at which it is closed.
const _: () =
    assert!(2 * UNSENT_BYTES_MAX + limits::FRAME_BYTES_MAX as usize <= UNSENT_OF_CLIENT_BYTES_MAX);
const _: () = assert!(CONNECTIONS_DEFAULT <= CONNECTIONS_MAX);
const _: () = assert!(REPLY_BUFFERS_MAX * BUFFER_BYTES == 32 * 1024 * 1024);
const _: () = assert!(ROOMY_PERCENT < CROWDED_PERCENT);
// A message with the largest record can be sent and received.
const _: () = assert!(RECORD_BYTES_MAX < PEER_FRAME_BYTES_MAX as usize);
const _: () = assert!(PEER_FRAME_BYTES_MAX as usize <= PEER_UNSENT_BYTES_MAX);
// A core has room for all views that may be unconfirmed, the beginning of an incarnation, and two
// requests for a report.
const _: () = assert!(VIEWS_MAX + 3 <= COMMANDS_MAX as u64);
