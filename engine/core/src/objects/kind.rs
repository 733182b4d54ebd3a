//! The traits that a kind of object implements.
//!
//! A new kind is a file with its state and both traits, and a line in the table in `any`; its ops are
//! defined in `catena_protocol`.

use alloc::vec::Vec;
use core::fmt::Debug;

use catena_protocol::{Missing, Refusal, Reply};

use super::state::check;
use super::walked_items::WalkedItems;
use super::{
    Applied, Description, HoldId, LossCause, Reader, RestoreError, Turn, WaiterId, Writer,
};

/// A built-in kind of object: how it executes its ops, and how it is restored. `Default` is the
/// object before its first update.
pub(super) trait ObjectKind: SharedObject + Default {
    /// The ops of the kind.
    type Op<'o>;

    /// Returns what an op may add to its object's memory.
    fn growth(op: &Self::Op<'_>) -> Growth {
        let _ = op;
        Growth::Body
    }

    /// Executes a read of the object, whose version is `version`; changes nothing.
    fn read(&self, op: &Self::Op<'_>, version: u64) -> Result<Reply<'_>, Refusal>;

    /// Decides whether an update can be applied; changes nothing.
    fn check(&self, op: &Self::Op<'_>) -> Result<(), Refusal>;

    /// Applies an update that [`check`](ObjectKind::check) allowed. Cannot fail, and depends on
    /// nothing but the state, the op and the turn.
    fn apply(&mut self, op: &Self::Op<'_>, turn: &mut Turn<'_>) -> Applied;

    /// Computes the fields that a snapshot leaves out, and refuses a state that no sequence of ops
    /// leads to, as far as later ops rely on it. The shard's last update is `seq`.
    fn complete_restored(&mut self, seq: u64) -> Result<(), RestoreError> {
        let _ = seq;
        Ok(())
    }
}

/// The state of an object of any kind: what the shard needs of it besides executing ops.
pub(super) trait SharedObject: Debug {
    /// Describes the object for people who inspect it.
    fn describe(&self) -> Description;

    /// Returns the heap that the object takes, in bytes, near enough for a budget.
    fn bytes(&self) -> u64;

    /// Returns whether the object takes any heap; if not, [`bytes`](SharedObject::bytes) is always
    /// 0.
    fn has_heap(&self) -> bool {
        true
    }

    /// Returns the requests that wait for the object, in no particular order.
    fn waiters(&self) -> Vec<WaiterId> {
        Vec::new()
    }

    /// Returns everything that sessions hold of the object, including what waiting requests are
    /// going to hold.
    fn holds(&self) -> Vec<HoldId> {
        Vec::new()
    }

    /// Removes a waiter whose deadline has passed, and returns which parties it was waiting for.
    /// May release other waiters.
    fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        let _ = turn;
        unreachable!("{waiter:?} waits for {self:?}, a kind that no request waits for")
    }

    /// Passes a waiter over from now on, because its connection has ended, or no longer does so; in
    /// both cases it keeps its place. Has no other effect: [`serve`](SharedObject::serve) follows.
    fn set_attended(&mut self, waiter: WaiterId, attended: bool) {
        let _ = (waiter, attended);
    }

    /// Gives attended waiters what they can have now.
    fn serve(&mut self, turn: &mut Turn<'_>) {
        turn.unchanged();
    }

    /// Takes back what a session no longer holds; the shard has removed the hold.
    fn lose(&mut self, hold: HoldId, cause: LossCause, turn: &mut Turn<'_>) {
        let _ = turn;
        unreachable!("{hold:?} ({cause:?}) is of {self:?}, a kind that no session holds")
    }

    /// Returns its items, if it is of a kind that may have very many. A snapshot has the items of a
    /// large object in parts.
    fn items(&self) -> Option<&dyn WalkedItems> {
        None
    }

    /// Returns its items, to be walked over.
    fn items_mut(&mut self) -> Option<&mut dyn WalkedItems> {
        None
    }

    /// Writes the state as if there were no items.
    fn write_without_items(&self, out: &mut Writer) {
        let _ = out;
        unreachable!("{self:?} is of a kind without items")
    }

    /// Restores items that [`WalkedItems`] wrote, behind those that it has.
    fn read_items(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let _ = input;
        check(false, "an object of a kind without items has items")
    }

    /// Begins to load into the cache what the object has on the heap.
    fn prefetch(&self) {}

    /// Begins to load into the cache what [`prefetch`](SharedObject::prefetch) points to.
    fn prefetch_contents(&self) {}
}

/// How much memory an op may add to its object.
pub(crate) enum Growth {
    /// None.
    None,
    /// As much as its body.
    Body,
    /// As much as its body, which has so many items, and the table entries of the items.
    Items(usize),
}
