//! Limits that both ends of the wire have to agree on.
//!
//! The engine announces in its [`Welcome`](crate::Welcome) the ones it may lower. What a node can
//! hold (sessions, objects, memory) is the engine's own business and lives in its `config.rs`.

use crate::header::HEADER_BYTES;

/// Largest frame, header and padding included, in bytes.
pub const FRAME_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Largest body, in bytes.
pub const BODY_BYTES_MAX: u32 = FRAME_BYTES_MAX - HEADER_BYTES;

/// Frames begin and end on multiples of this many bytes, so an archive read in place is aligned.
pub const FRAME_ALIGNMENT: u32 = 16;

/// Most requests a session may have sent without having the reply.
pub const SESSION_WINDOW_MAX: u16 = 256;

/// Longest name of an object, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 1024;

/// Longest key of a map and longest member of a set, in bytes.
pub const KEY_BYTES_MAX: usize = 4096;

/// Longest item of a list, in bytes: whatever is taken out fits the answer a session keeps.
pub const ITEM_BYTES_MAX: usize = 60 * 1024;

/// Longest line of a log, in bytes of UTF-8.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// Most items in one page of a list, map, set, log or listing; a larger limit, or none, is taken as
/// this one.
pub const PAGE_ITEMS_MAX: u32 = 4096;

/// Most permits of a semaphore.
pub const PERMITS_MAX: u32 = 65_536;

/// Longest time for which anything may be held, in milliseconds; more is taken as this.
pub const HOLD_MS_MAX: u32 = 24 * 60 * 60 * 1000;

/// Longest name of a party in a barrier or a latch, in bytes of UTF-8.
pub const PARTY_BYTES_MAX: usize = 64;

/// Most parties of a barrier, latch or reduction.
pub const PARTIES_MAX: u32 = 65_536;

/// Most missing parties that a timed-out wait names; the rest are only counted.
pub const MISSING_NAMED_MAX: usize = 64;

/// Longest reason given when something is broken or cancelled, in bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 256;

/// Longest a request may wait inside the engine, in milliseconds: Lambda's 15 minutes.
pub const WAIT_MS_MAX: u32 = 15 * 60 * 1000;

/// A session that asked for no other time is forgotten after this much silence, in milliseconds.
pub const SESSION_TTL_MS_DEFAULT: u32 = 20 * 60 * 1000;

/// Longest silence a session may ask to outlive, in milliseconds.
pub const SESSION_TTL_MS_MAX: u32 = 60 * 60 * 1000;

const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(FRAME_ALIGNMENT));
const _: () = assert!(HEADER_BYTES.is_multiple_of(FRAME_ALIGNMENT));
// A retry may come as late as the longest wait; the session must still know the answer then.
const _: () = assert!(SESSION_TTL_MS_DEFAULT > WAIT_MS_MAX);
// A hold outlives every wait, so that what was waited for can be used.
const _: () = assert!(HOLD_MS_MAX > WAIT_MS_MAX);
// The name lies in front of the body, and has to leave room for it.
const _: () = assert!(NAME_BYTES_MAX <= u16::MAX as usize);
