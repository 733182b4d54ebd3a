//! The shared objects: a file per kind, each with the state of the kind and its implementations of
//! `ObjectKind` and `SharedObject`.
//!
//! An object is plain state that only the shard calls:
//!
//! - `read` executes a read, which changes nothing;
//! - `check` decides whether an update can be applied, and changes nothing;
//! - `apply` applies an update that `check` allowed. It cannot fail, and it depends on nothing but
//!   the state, the op and the `Turn`, so all nodes that apply the same updates in the same order
//!   have the same state.
//!
//! Objects never see sessions, connections or clocks. A request that has to wait is a `WaiterId`
//! that the object keeps until a later update releases it or the shard cancels it. What a session
//! holds of an object is a `HoldId` that the object keeps until it ends the hold or the shard
//! calls `lose`.

mod any;
mod barrier;
mod byte_string;
mod cell;
mod counter;
mod discarded;
mod entries;
mod flag;
mod future;
pub(crate) mod holds;
mod kind;
mod latch;
mod list;
mod listed;
mod log;
mod map;
mod numbers;
mod queue;
mod reduction;
mod restore_error;
mod round;
mod seats;
mod semaphore;
mod sequence;
mod set;
mod small_map;
mod state;
mod stored_reply;
mod tree;
mod turn;
pub mod user;
mod vector;
mod walked_items;

use alloc::string::String;
use alloc::vec::Vec;

use catena_protocol::op::Loss;
use catena_protocol::{Fault, ItemsBuf, Status};
use serde::{Deserialize, Serialize};

pub(crate) use self::any::AnyObject;
pub(crate) use self::discarded::Discarded;
pub(crate) use self::kind::Growth;
pub use self::restore_error::RestoreError;
pub(crate) use self::state::{Reader, Writer, check};
pub use self::stored_reply::StoredReply;
pub(crate) use self::turn::{Applied, Turn, UpdatePlace, Workspace};
pub use self::user::Types;
pub(crate) use self::walked_items::{ITEMS_BYTES, WalkedItems};

/// The id of a waiting request.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(crate) struct WaiterId(pub(crate) u64);

/// The id of something that a session holds of an object.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(crate) struct HoldId(pub(crate) u64);

/// Why a session lost a hold that the object did not take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossCause {
    /// Its deadline has passed: the function that took it cannot be running any more.
    Expired,
    /// Its session was closed or has expired.
    SessionEnded,
}

/// The description of an object for people who inspect it.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// The state in a line.
    pub(crate) detail: String,
    /// The parties that have not arrived yet.
    pub(crate) missing: Vec<String>,
    /// What sessions hold of it; at most [`HOLDERS_NAMED_MAX`].
    pub(crate) held: Vec<HeldItem>,
}

/// Holds that a description lists.
const HOLDERS_NAMED_MAX: usize = 64;

/// One hold in a description.
#[derive(Debug)]
pub(crate) struct HeldItem {
    pub(crate) hold: HoldId,
    /// Its fencing token; 0 if it has none.
    pub(crate) token: u64,
    pub(crate) permits: u32,
    /// The party, if the hold is a seat.
    pub(crate) party: String,
}

/// Refuses a party count that is 0 or too large, and a party's name that is empty or too long.
fn check_seat(party: Option<&str>, parties: u32) -> Result<(), Fault> {
    use catena_protocol::limits::{PARTIES_MAX, PARTY_BYTES_MAX};
    if parties == 0 || parties > PARTIES_MAX {
        let (limit, got) = (PARTIES_MAX.into(), parties.into());
        return Err(Fault::expected(Status::BadArgument, limit, got));
    }
    match party.map(str::len) {
        Some(len) if len == 0 || len > PARTY_BYTES_MAX => {
            let (limit, got) = (PARTY_BYTES_MAX as u64, len as u64);
            Err(Fault::expected(Status::BadArgument, limit, got))
        }
        _ => Ok(()),
    }
}

/// Refuses a policy for lost parties that differs from the agreed one.
fn check_loss(ours: Option<Loss>, theirs: Loss) -> Result<(), Fault> {
    match ours {
        Some(ours) if ours != theirs => {
            let (expected, got) = (ours.to_wire().into(), theirs.to_wire().into());
            Err(Fault::expected(Status::Mismatch, expected, got))
        }
        _ => Ok(()),
    }
}

/// Refuses a reason that is too long.
fn check_reason(reason: &str) -> Result<(), Fault> {
    use catena_protocol::limits::REASON_BYTES_MAX;
    if reason.len() <= REASON_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::expected(Status::BadArgument, REASON_BYTES_MAX as u64, reason.len() as u64))
}

/// Refuses one more waiter if the object has as many as it may.
fn check_waiters(waiting: usize) -> Result<(), Fault> {
    use crate::config::WAITERS_MAX;
    if waiting < WAITERS_MAX {
        return Ok(());
    }
    Err(Fault::expected(Status::TooManyWaiters, WAITERS_MAX as u64, waiting as u64 + 1))
}

/// Refuses a value that is longer than `limit`.
fn check_len(len: usize, limit: usize) -> Result<(), Fault> {
    if len <= limit {
        return Ok(());
    }
    Err(Fault::expected(Status::TooLarge, limit as u64, len as u64))
}

/// Refuses a value that is too long for the reply to an update, which its session has to keep.
fn check_stored(len: usize) -> Result<(), Fault> {
    check_len(len, crate::config::STORED_REPLY_BYTES_MAX)
}

/// Converts a count to 32 bits: everything that is counted has a far lower limit.
fn count(len: usize) -> u32 {
    u32::try_from(len).expect("counts are bounded")
}

/// Returns whether a page is full for an item of `more` bytes. An empty page never is.
fn page_is_full(page: &ItemsBuf, more: usize) -> bool {
    !page.is_empty() && page.bytes_len() + more > crate::config::PAGE_BYTES_MAX
}
