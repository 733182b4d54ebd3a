#![doc = include_str!("../PROTOCOL.md")]
//!
//! # The crate
//!
//! Everything above is implemented here and nowhere else. The layers, bottom up:
//!
//! - [`Header`]: the fixed 64 bytes in front of every frame;
//! - [`Frame`] and [`frame::next`]: a whole frame, checked once and borrowed from the bytes it came
//!   in, and the [`frame::write`] that makes one;
//! - [`Op`] and [`Reply`]: what is asked of an object and what it answers, the same borrowed type on
//!   both sides of the wire;
//! - [`Status`] and [`Fault`]: why something was refused, and whether asking again is safe.
//!
//! The crate promises: no `unsafe`, no panic on any input, no allocation larger than the frame at
//! hand. It knows nothing of sockets, clocks, shards or sessions beyond their numbers.

#![forbid(unsafe_code)]

mod body;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
mod header;
mod hello;
pub mod limits;
mod object;
pub mod op;
mod reply;
mod status;
mod wire_enum;

pub use body::Elements;
pub use frame::{Frame, FrameError};
pub use header::{FrameKind, HEADER_BYTES, Header, MAGIC, VERSION};
pub use hello::{Hello, Welcome, features};
pub use object::{Kind, ObjectId, ShardId, ShardMap};
pub use op::{Op, OpCode};
pub use reply::{Missing, Refusal, Reply, SeatState};
pub use status::{Fault, Retry, Status};

// The archives are little-endian and their number slices are lent out as they lie in the frame.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "Catena frames are read in place, which needs a little-endian machine"
);
