//! Every limit of the client, with the arithmetic that ties them together, and the choices of the
//! caller.
//!
//! Limits that both ends of a connection must agree on are in [`catena_protocol::limits`].

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use catena_protocol::limits;

/// What the methods of the builder set.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Maximum time to open a connection, and to notice that a path is dead.
    pub(crate) connect_timeout: Duration,
    /// Maximum time from a call to its result, without the time that it may wait inside the engine.
    pub(crate) call_timeout: Duration,
    /// How long to poll the socket before the thread sleeps.
    pub(crate) spin: Duration,
    /// After how much silence the engine may forget a session, in milliseconds.
    pub(crate) session_ttl_ms: u32,
    /// Largest reply to accept, in bytes.
    pub(crate) reply_bytes_max: u32,
    /// Which members serve reads.
    pub(crate) read_from: ReadFrom,
    /// How the store with a cluster's record is reached; the environment supplies what is missing.
    #[cfg(feature = "s3")]
    pub(crate) s3: catena_location::S3Settings,
    /// Whether an update makes the object if it does not exist.
    pub(crate) makes_objects: bool,
    /// Calls end early while this is true.
    pub(crate) cancel: Option<Arc<AtomicBool>>,
    /// Maximum number of calls in progress, at least 2.
    pub(crate) calls_max: u32,
}

impl Config {
    /// Maximum number of calls in progress that may wait inside the engine: fewer than calls, so that
    /// others always find room.
    pub(crate) fn waits_max(&self) -> u32 {
        self.calls_max - (self.calls_max / 8).max(1)
    }
}

/// Which members of a cluster serve reads, see [`Builder::read_from`].
///
/// [`Builder::read_from`]: crate::Builder::read_from
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The head of the shard's chain, which also takes the updates.
    #[default]
    Head,
    /// Any member: one for each client and shard, drawn at random once.
    Any,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(5),
            spin: Duration::ZERO,
            session_ttl_ms: limits::SESSION_TTL_MS_DEFAULT,
            reply_bytes_max: limits::FRAME_BYTES_MAX,
            read_from: ReadFrom::default(),
            #[cfg(feature = "s3")]
            s3: catena_location::S3Settings::default(),
            makes_objects: true,
            cancel: None,
            calls_max: CALLS_MAX_DEFAULT,
        }
    }
}

/// Largest timeout; larger ones are reduced to it, so that adding one to a clock cannot overflow.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a call looks whether it is cancelled.
pub(crate) const CANCEL_POLL: Duration = Duration::from_millis(50);

/// Maximum number of holds without a guard of which the client remembers the session.
pub(crate) const KEPT_HOLDS_MAX: usize = 1_024;

/// Sessions that were given up and are closed with the others; the oldest is left to its time to live
/// if there are more.
pub(crate) const ABANDONED_MAX: usize = 256;

/// Maximum time to close the sessions of a call that was cancelled.
pub(crate) const ABANDON_MAX: Duration = Duration::from_millis(200);

/// Maximum number of calls in progress unless set: as many as the threads that async runtimes keep for
/// blocking calls.
pub(crate) const CALLS_MAX_DEFAULT: u32 = 512;

/// The connections and sessions of a call are closed once no call has used them for this long.
pub(crate) const IDLE_NODE_MAX: Duration = Duration::from_secs(60);

/// Smallest timeout of a socket; zero would mean no timeout.
pub(crate) const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// How far a socket's timeout may be off before it is set again, which costs a system call.
pub(crate) const TIMEOUT_SLACK: Duration = Duration::from_millis(10);

/// Size of a receive buffer until a larger reply arrives.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Maximum number of receive buffers kept for reuse …
pub(crate) const POOL_BUFFERS_MAX: usize = 8;

/// … and their maximum size together.
pub(crate) const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Encoding pauses once this many bytes are ready to be sent on a connection.
pub(crate) const OUT_BYTES_TARGET: usize = 256 * 1024;

/// Largest Welcome: the maximum number of ports and some text, or a cluster with its chains and
/// addresses.
pub(crate) const WELCOME_BYTES_MAX: u32 = 1024 * 1024;

/// A connection that was idle this long is checked before it is used again.
pub(crate) const IDLE_MAX: Duration = Duration::from_millis(100);

/// How long to wait on one of several sockets when none is ready.
pub(crate) const STALL: Duration = Duration::from_millis(1);

/// Pause before the second retry; it doubles from one to the next …
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(1);

/// … up to this.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_millis(100);

/// Maximum time for one member of a cluster to accept a connection and reply to the Hello, because
/// there are others to ask.
pub(crate) const MEMBER_TIMEOUT: Duration = Duration::from_millis(500);

/// In a cluster another member is asked for the current configuration once a request has had no
/// reply for this long, then after pauses that double …
pub(crate) const REFRESH_AFTER: Duration = Duration::from_secs(1);

/// … up to this.
pub(crate) const REFRESH_PAUSE_MAX: Duration = Duration::from_secs(16);

/// How long reads avoid a member that could not serve one.
pub(crate) const AVOID_READS: Duration = Duration::from_secs(1);

/// How often a member may be busy before a read goes to the head.
pub(crate) const BUSY_READS_MAX: u32 = 2;

/// Minimum time between two reads of a record in a store, because all clients that lose the cluster
/// read it at once.
pub(crate) const RECORD_AGE_MIN: Duration = Duration::from_secs(1);

/// Maximum time for a store to reply before it is asked again.
#[cfg(feature = "s3")]
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest record to read, in bytes.
#[cfg(feature = "s3")]
pub(crate) const RECORD_BYTES_MAX: usize = 4 << 20;

/// How far a session's birth is set back, as a part of its time to live …
pub(crate) const CLOCK_MARGIN_OF_TTL: u32 = 8;

/// … and at most: the largest difference between synchronised clocks of nodes.
pub(crate) const CLOCK_MARGIN_MAX: Duration = Duration::from_secs(10);

/// How often to try when the node is full.
pub(crate) const SCARCE_TRIES_MAX: u32 = 3;

/// How often to connect again after receiving an invalid frame.
pub(crate) const GARBLED_TRIES_MAX: u32 = 3;

/// How often a request may move to a new session because the engine does not know the old one.
pub(crate) const RENEWALS_MAX: u32 = 2;

/// How long holds outlast the calling function: its last requests have to arrive, and clocks
/// differ.
pub(crate) const HOLD_MARGIN: Duration = Duration::from_secs(2);

/// Names of a shard in a page of a listing, unless set.
pub(crate) const LIST_PAGE_ITEMS: u32 = 256;

/// Maximum number of objects of a shard that one request deletes.
pub(crate) const DELETE_ITEMS: u32 = 1_024;

/// An idle connection is probed after this …
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);

/// … and then at this interval.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The name of a cluster unless another is given.
pub(crate) const CLUSTER_DEFAULT: &str = "catena";

const _: () = assert!(BUFFER_BYTES.is_multiple_of(limits::FRAME_ALIGNMENT as usize));
const _: () = assert!(BUFFER_BYTES <= POOL_BYTES_MAX);
// A pool must be able to hold the largest reply twice: one that a view holds, one being received.
const _: () = assert!(POOL_BYTES_MAX >= 2 * limits::FRAME_BYTES_MAX as usize);
// 65,536 ports of two bytes and some text have to fit a Welcome …
const _: () = assert!(WELCOME_BYTES_MAX > 2 * 65_536 + 4096);
// … and so do 4,096 chains of 16 members with 256 addresses each.
const _: () = assert!(WELCOME_BYTES_MAX > 2 * 4_096 * 16 + 16 * 256 * 64 + 65_536);
const _: () = assert!(BACKOFF_MIN.as_nanos() < BACKOFF_MAX.as_nanos());
