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

/// Longest name of a party in a barrier or a latch, in bytes of UTF-8.
pub const PARTY_BYTES_MAX: usize = 64;

/// Most parties of a barrier, latch or reduction.
pub const PARTIES_MAX: u32 = 65_536;

/// Most missing parties that a timed-out wait names; the rest are only counted.
pub const MISSING_NAMED_MAX: usize = 64;

/// Longest reason given when a barrier is broken, in bytes of UTF-8.
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
