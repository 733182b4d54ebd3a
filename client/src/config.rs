//! Every limit of the client, with the arithmetic that ties them together, and what a caller may
//! choose.
//!
//! What both ends of the wire must agree on stands in [`catena_protocol::limits`].

use std::time::Duration;

use catena_protocol::limits;

/// What the builder's methods choose.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Longest time to set up a connection, and to notice that a path is dead.
    pub(crate) connect_timeout: Duration,
    /// Longest time from a call to its answer, not counting what it may wait inside the engine.
    pub(crate) call_timeout: Duration,
    /// How long to ask the socket again and again before sleeping on it.
    pub(crate) spin: Duration,
    /// After how much silence the engine may forget a session, in milliseconds.
    pub(crate) session_ttl_ms: u32,
    /// Largest reply to make room for, in bytes.
    pub(crate) reply_bytes_max: u32,
    /// Who is asked what changes nothing.
    pub(crate) read_from: ReadFrom,
    /// How a store with a cluster's record is reached, for what the environment leaves open.
    #[cfg(feature = "s3")]
    pub(crate) s3: catena_location::S3Settings,
    /// Whether an update of an object that is not there makes it.
    pub(crate) makes_objects: bool,
}

/// Which members of a cluster are asked what changes nothing, see [`Builder::read_from`].
///
/// [`Builder::read_from`]: crate::Builder::read_from
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The head of the shard's chain, which takes the updates as well.
    #[default]
    Head,
    /// Any member: one for each client and shard, drawn at random and kept.
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
        }
    }
}

/// Longest timeout that makes sense; anything above is cut to it, so that adding it to a clock is
/// always possible.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Shortest timeout a socket is given; zero would mean none at all.
pub(crate) const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// How far a socket's timeout may be off before it is set anew, which costs a system call.
pub(crate) const TIMEOUT_SLACK: Duration = Duration::from_millis(10);

/// Size of a receive buffer until a larger reply comes.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Most receive buffers kept for reuse …
pub(crate) const POOL_BUFFERS_MAX: usize = 8;

/// … and how many bytes they may have together.
pub(crate) const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Encoding pauses once this many bytes are ready to be sent on a connection.
pub(crate) const OUT_BYTES_TARGET: usize = 256 * 1024;

/// Largest Welcome: all ports there can be, and words; or a cluster with its chains and addresses.
pub(crate) const WELCOME_BYTES_MAX: u32 = 1024 * 1024;

/// A connection that was silent this long is looked at before it is used again.
pub(crate) const IDLE_MAX: Duration = Duration::from_millis(100);

/// How long to sleep on one of several sockets when none has anything.
pub(crate) const STALL: Duration = Duration::from_millis(1);

/// Pause before the second repetition; it doubles from one to the next …
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(1);

/// … up to this.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_millis(100);

/// Longest time that one member of a cluster is given to say what it knows, or to take a connection:
/// there are others.
pub(crate) const MEMBER_TIMEOUT: Duration = Duration::from_millis(500);

/// In a cluster another member is asked for news once a request had no answer for this long, then
/// after pauses that double …
pub(crate) const LOOK_AFTER: Duration = Duration::from_secs(1);

/// … up to this.
pub(crate) const LOOK_PAUSE_MAX: Duration = Duration::from_secs(16);

/// For how long reads keep away from a member that could not answer one.
pub(crate) const AVOID: Duration = Duration::from_secs(1);

/// How often a member may be busy before a read goes to the head.
pub(crate) const BUSY_READS_MAX: u32 = 2;

/// A record in a store is not read anew before this: everybody who lost the cluster asks for it.
pub(crate) const RECORD_AGE_MIN: Duration = Duration::from_secs(1);

/// How long a store is given to answer before it is asked again.
#[cfg(feature = "s3")]
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest record that is read, in bytes.
#[cfg(feature = "s3")]
pub(crate) const RECORD_BYTES_MAX: usize = 4 << 20;

/// A session is said to be born before now by this part of its time to live …
pub(crate) const CLOCK_MARGIN_OF_TTL: u32 = 8;

/// … and at most by this: as far apart as the clocks of nodes that are kept in time ever are.
pub(crate) const CLOCK_MARGIN_MAX: Duration = Duration::from_secs(10);

/// How often to ask again when the node says that it is full.
pub(crate) const SCARCE_TRIES_MAX: u32 = 3;

/// How often to connect again after receiving what makes no sense.
pub(crate) const GARBLED_TRIES_MAX: u32 = 3;

/// How often a request may be given a new session because the old one was forgotten.
pub(crate) const RENEWALS_MAX: u32 = 2;

/// How much longer than the function something is held: what the function still says when its time
/// is up has to arrive, and clocks differ.
pub(crate) const HOLD_MARGIN: Duration = Duration::from_secs(2);

/// Names of a shard that are asked for at once, unless told otherwise.
pub(crate) const LIST_PAGE_ITEMS: u32 = 256;

/// Objects of a shard that one request deletes.
pub(crate) const DELETE_ITEMS: u32 = 1_024;

/// A silent connection is probed after this …
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);

/// … and then this often.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

const _: () = assert!(BUFFER_BYTES.is_multiple_of(limits::FRAME_ALIGNMENT as usize));
const _: () = assert!(BUFFER_BYTES <= POOL_BYTES_MAX);
// A pool must be able to hold the largest reply twice: one lent out, one being received.
const _: () = assert!(POOL_BYTES_MAX >= 2 * limits::FRAME_BYTES_MAX as usize);
// 65,536 ports of two bytes and some text have to fit a Welcome …
const _: () = assert!(WELCOME_BYTES_MAX > 2 * 65_536 + 4096);
// … and so do 4,096 chains of 16 members with 256 addresses each.
const _: () = assert!(WELCOME_BYTES_MAX > 2 * 4_096 * 16 + 16 * 256 * 64 + 65_536);
const _: () = assert!(BACKOFF_MIN.as_nanos() < BACKOFF_MAX.as_nanos());
