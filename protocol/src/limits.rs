//! Limits that both ends of the wire have to agree on.
//!
//! The engine may lower some of them and announces those in its [`Welcome`](crate::Welcome). How
//! much a node can hold (sessions, objects, memory) is up to the engine.

use crate::header::HEADER_BYTES;

/// Largest frame, header and padding included, in bytes.
pub const FRAME_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Largest body, in bytes.
pub const BODY_BYTES_MAX: u32 = FRAME_BYTES_MAX - HEADER_BYTES;

/// Frames begin and end on multiples of this many bytes, so that an archive read in place is
/// aligned.
pub const FRAME_ALIGNMENT: u32 = 16;

/// Most updates that a session may have without a reply.
pub const SESSION_WINDOW_MAX: u16 = 256;

/// Longest name of an object, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 1024;

/// Longest key of a map and longest member of a set, in bytes.
pub const KEY_BYTES_MAX: usize = 4096;

/// Longest item of a list, in bytes. Any item fits the reply that a session keeps when it is taken
/// out.
pub const ITEM_BYTES_MAX: usize = 60 * 1024;

/// Longest line of a log, in bytes of UTF-8.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// Most items in one page of a list, map, set, log or listing; a limit of 0 and a larger one are
/// taken as this.
pub const PAGE_ITEMS_MAX: u32 = 4096;

/// Most items in a body, where an entry of a map is two: what a request does to them takes an engine
/// a few milliseconds. More need several requests.
pub const ITEMS_MAX: u32 = 2 * PAGE_ITEMS_MAX;

/// Most permits of a semaphore.
pub const PERMITS_MAX: u32 = 65_536;

/// Longest time for which anything can be held, in milliseconds; a longer one is taken as this.
pub const HOLD_MS_MAX: u32 = 24 * 60 * 60 * 1000;

/// Added to the time for which something is held: it is counted from the grant, not from when the
/// request arrived.
pub const HOLD_FROM_GRANT: u32 = 1 << 31;

/// Longest name of a party of a barrier or latch, in bytes of UTF-8.
pub const PARTY_BYTES_MAX: usize = 64;

/// Most parties of a barrier, latch or reduction.
pub const PARTIES_MAX: u32 = 65_536;

/// Most missing parties that are named after a timeout; the rest are only counted.
pub const MISSING_NAMED_MAX: usize = 64;

/// Longest reason for which something is broken or cancelled, in bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 256;

/// Longest time that a request may wait inside the engine, in milliseconds: 15 minutes, as long as
/// a Lambda function may run.
pub const WAIT_MS_MAX: u32 = 15 * 60 * 1000;

/// How long a waiting request whose connection has ended keeps its place, in milliseconds: longer
/// than a client takes to find the next head.
pub const DETACHED_MS: u32 = 5_000;

/// Default time without an update after which a session expires, in milliseconds.
pub const SESSION_TTL_MS_DEFAULT: u32 = 20 * 60 * 1000;

/// Longest time without an update that a session can ask to survive, in milliseconds.
pub const SESSION_TTL_MS_MAX: u32 = 60 * 60 * 1000;

const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(FRAME_ALIGNMENT));
const _: () = assert!(HEADER_BYTES.is_multiple_of(FRAME_ALIGNMENT));
// A retry may come after the longest wait, and the session must still have the reply then.
const _: () = assert!(SESSION_TTL_MS_DEFAULT > WAIT_MS_MAX);
// A hold can outlast every wait, because what was waited for has to be usable afterwards.
const _: () = assert!(HOLD_MS_MAX > WAIT_MS_MAX);
// The length of a name has 16 bits on the wire.
const _: () = assert!(NAME_BYTES_MAX <= u16::MAX as usize);
