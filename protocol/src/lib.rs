#![doc = include_str!("../PROTOCOL.md")]
//!
//! # The crate
//!
//! Everything above is implemented here and nowhere else. The layers, bottom up:
//!
//! - [`Header`]: the fixed 64 bytes in front of every frame;
//! - [`Frame`] and [`frame::next`]: a whole frame, checked once and borrowed from the bytes it came
//!   in, and the [`frame::write`] that makes one;
//! - [`Op`] and [`Reply`]: the request to an object and its result, the same borrowed types on both
//!   sides of the wire;
//! - [`Items`], [`Listing`] and [`Inspection`]: the larger values they carry;
//! - [`UserType`]: how ops and replies of user-defined objects are carried inside these;
//! - [`Status`] and [`Fault`]: why a request was refused, and whether a retry is safe.
//!
//! The crate has no `unsafe`, does not panic on any input, and allocates no more than a few times
//! the size of the frame at hand. It knows nothing of sockets, clocks, shards or sessions beyond
//! their numbers.

#![forbid(unsafe_code)]

mod body;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
mod hash;
mod header;
mod hello;
mod items;
pub mod limits;
mod listing;
pub mod named;
mod object;
pub mod op;
pub mod operator;
pub mod peer;
mod refusal;
mod reply;
mod report;
mod status;
pub mod user_type;
mod wire_enum;

pub use body::{Elements, Scalar};
pub use frame::{Frame, FrameError};
pub use header::{FrameKind, HEADER_BYTES, Header, MAGIC, VERSION, flags};
pub use hello::{Hello, Members, Welcome, features};
pub use items::{Items, ItemsBuf, PageItems};
pub use listing::{Listed, Listing, ListingBuf, ListingColumns};
pub use object::{Kind, ObjectId, ShardId, ShardMap};
pub use op::{Op, OpCode};
pub use refusal::{Missing, Refusal};
pub use reply::{Reply, ReplyShape, SeatState};
pub use report::{Holder, Inspection, Monitored, MonitoredRequest, Stats, Usage};
/// The archive format, in the version and with the features that bodies use. User-defined types
/// derive with it: `#[rkyv(crate = catena_protocol::rkyv)]`.
pub use rkyv;
pub use status::{Fault, Retry, Status};
pub use user_type::UserType;

// The archives are little-endian, and slices of numbers are borrowed from the frame as they are.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "Catena frames are read in place, which needs a little-endian machine"
);
