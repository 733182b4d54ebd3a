//! Checks of the memory budget and of quotas.

use catena_protocol::{Fault, ObjectId, Op, Status};

use super::Shard;
use super::quotas::Used;
use crate::config::WAITING_BYTES;
use crate::objects::{AnyObject, Growth};

impl Shard {
    pub(super) fn check_memory(&self, growth: u64) -> Result<(), Fault> {
        check_memory(growth, self.bytes(), self.memory_bytes_max)
    }

    /// Refuses growth of an object that exceeds a quota of its name.
    pub(super) fn check_quota(&self, id: ObjectId, growth: u64) -> Result<(), Fault> {
        if self.directory.quotas.is_empty() {
            return Ok(());
        }
        match self.directory.name(id) {
            Some(name) => self.directory.quotas.check(name, Used { objects: 0, bytes: growth }),
            None => Ok(()),
        }
    }
}

/// Returns what an op may add to its object, in bytes, near enough.
pub(super) fn growth(op: &Op<'_>, body: &[u8]) -> u64 {
    /// Bytes that an item takes in an object besides its own bytes.
    const ITEM_BYTES: usize = 64;
    let items = match AnyObject::growth(op) {
        Growth::None => return 0,
        Growth::Body => 0,
        Growth::Items(items) => items,
    };
    // An op without a body adds nothing.
    let bytes = (body.len() + items * ITEM_BYTES) as u64;
    if bytes > 0 && op.code().may_wait() { bytes + WAITING_BYTES } else { bytes }
}

/// Refuses growth beyond 85 % of the budget: the rest is for deletions, retries and pending waits.
pub(super) fn check_memory(growth: u64, used: u64, budget: u64) -> Result<(), Fault> {
    if used.saturating_add(growth) <= budget / 100 * 85 {
        return Ok(());
    }
    Err(Fault::expected(Status::OutOfMemory, budget, growth))
}
