//! The handle to a list, and to an item that was claimed.

use std::ops::{Deref, Range};
use std::time::Duration;

use catena_protocol::op::ListOp;
use catena_protocol::{ItemsBuf, Op, Reply};

use super::{Object, boolean, handle, number};
use crate::Error;
use crate::buffer::Held;
use crate::hold::Hold;
use crate::page::{ItemWalk, PageView, Pages, Route};
use crate::view::ValueView;

handle! {
    /// Byte strings in a row, each of at most 60 KiB: a list, a queue, a queue of work.
    ///
    /// As a queue of work, an item is [claimed](List::claim) rather than popped: if the worker that
    /// has it dies, the item comes back.
    pub struct List: List { hold: Hold }
}

/// All methods fail with [`Error`].
impl<'c> List<'c> {
    /// For how long items are claimed, instead of until the client's deadline.
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> List<'c> {
        self.hold = hold.into();
        self
    }

    /// How many items there are, without those that are claimed.
    pub fn len(&self) -> Result<u64, Error> {
        self.number(ListOp::Len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// The item at `index`, from 0; `None` behind the end.
    pub fn get(&self, index: u64) -> Result<Option<ValueView<'c>>, Error> {
        self.value(ListOp::Get { index })
    }

    /// The first item.
    pub fn first(&self) -> Result<Option<ValueView<'c>>, Error> {
        self.get(0)
    }

    /// The items in a range of places, as many as fit a page.
    pub fn range(&self, range: Range<u64>) -> Result<PageView<'c>, Error> {
        // A limit of 0 would be taken for none.
        let wanted = range.end.saturating_sub(range.start);
        let (from, limit) = match u32::try_from(wanted) {
            Ok(0) => (u64::MAX, 1),
            limit => (range.start, limit.unwrap_or(u32::MAX)),
        };
        self.client.ask_page(&self.target, Op::List(ListOp::Range { from, limit }))
    }

    /// All items from the first on, page by page.
    pub fn pages(&self) -> Pages<'c> {
        Pages::new(self.client, &self.target, Route::List { from: 0 })
    }

    /// All items from the first on.
    pub fn items(&self) -> ItemWalk<'c> {
        ItemWalk::new(self.pages())
    }

    /// Where the first item is that is equal.
    pub fn index_of(&self, item: impl AsRef<[u8]>) -> Result<Option<u64>, Error> {
        self.find(false, item.as_ref())
    }

    /// Where the last item is that is equal.
    pub fn last_index_of(&self, item: impl AsRef<[u8]>) -> Result<Option<u64>, Error> {
        self.find(true, item.as_ref())
    }

    /// Whether there is such an item.
    pub fn contains(&self, item: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(self.index_of(item)?.is_some())
    }

    /// Whether all of these are there.
    pub fn contains_all<T: AsRef<[u8]>>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<bool, Error> {
        let items: ItemsBuf = items.into_iter().collect();
        self.boolean(ListOp::ContainsAll { items: items.items() })
    }

    /// Adds an item at the end. Answers how many there are now.
    pub fn push_back(&self, item: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.number(ListOp::PushBack { bytes: item.as_ref() })
    }

    /// Adds an item at the front. Answers how many there are now.
    pub fn push_front(&self, item: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.number(ListOp::PushFront { bytes: item.as_ref() })
    }

    /// Adds items at the end, all at once. Answers how many there are now.
    pub fn extend<T: AsRef<[u8]>>(&self, items: impl IntoIterator<Item = T>) -> Result<u64, Error> {
        let items: ItemsBuf = items.into_iter().collect();
        self.number(ListOp::Extend { items: items.items() })
    }

    /// Takes the last item, if there is one.
    pub fn pop_back(&self) -> Result<Option<ValueView<'c>>, Error> {
        self.value(ListOp::PopBack)
    }

    /// Takes the first item, if there is one.
    pub fn pop_front(&self) -> Result<Option<ValueView<'c>>, Error> {
        self.value(ListOp::PopFront)
    }

    /// Waits until there is an item and takes the first. Who asks first is served first.
    /// [`Error::TimedOut`] after `timeout`, of at most 15 minutes.
    pub fn pop_front_wait(&self, timeout: Duration) -> Result<ValueView<'c>, Error> {
        self.client.ask_bytes(&self.target, Op::List(ListOp::PopFrontWait), Some(timeout))
    }

    /// Replaces the item at `index`. Answers the old one;
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if there is none.
    pub fn set(&self, index: u64, item: impl AsRef<[u8]>) -> Result<ValueView<'c>, Error> {
        self.bytes(ListOp::Set { index, bytes: item.as_ref() })
    }

    /// Puts an item in front of the one at `index`, or at the end. Answers how many there are now;
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if `index` is behind the end.
    pub fn insert(&self, index: u64, item: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.number(ListOp::Insert { index, bytes: item.as_ref() })
    }

    /// Removes the item at `index`. Answers it; [`Status::OutOfRange`](crate::Status::OutOfRange) if
    /// there is none.
    pub fn remove_at(&self, index: u64) -> Result<ValueView<'c>, Error> {
        self.bytes(ListOp::RemoveAt { index })
    }

    /// Removes the first item that is equal. Answers whether there was one.
    pub fn remove_value(&self, item: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(ListOp::RemoveValue { bytes: item.as_ref() })
    }

    /// Removes all of these, wherever they are. Answers how many were removed.
    pub fn remove_all<T: AsRef<[u8]>>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = items.into_iter().collect();
        self.number(ListOp::RemoveAll { items: items.items() })
    }

    /// Removes all but these. Answers how many were removed.
    pub fn retain_all<T: AsRef<[u8]>>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = items.into_iter().collect();
        self.number(ListOp::RetainAll { items: items.items() })
    }

    /// Removes all items but those that are claimed. Answers how many were removed.
    pub fn clear(&self) -> Result<u64, Error> {
        self.number(ListOp::Clear)
    }

    /// Waits until there is an item and borrows the first. Who asks first is served first.
    ///
    /// The item is gone for good once it is [done](Claim::done). If that does not happen in time,
    /// see [`List::with_hold`], or the client is lost, it goes back to the front of the list.
    /// [`Error::TimedOut`] after `timeout`, of at most 15 minutes.
    pub fn claim(&self, timeout: Duration) -> Result<Claim<'c>, Error> {
        let op = ListOp::Claim { hold_ms: self.client.hold_ms(self.hold) };
        let claim = |held: &Held<'_>, reply: Reply<'_>| claimed(held, reply)?;
        let (held, (token, place)) =
            self.client.ask_held(&self.target, Op::List(op), Some(timeout), claim)?;
        Ok(Claim { list: self.clone(), held, place, token, open: true })
    }

    /// As [`List::claim`], but answers `None` if there is no item.
    pub fn try_claim(&self) -> Result<Option<Claim<'c>>, Error> {
        let op = ListOp::TryClaim { hold_ms: self.client.hold_ms(self.hold) };
        let (held, found) = self.client.ask_held(&self.target, Op::List(op), None, claimed)?;
        Ok(found.map(|(token, place)| Claim { list: self.clone(), held, place, token, open: true }))
    }

    /// What was claimed under `token` is done. Answers whether the claim was still held.
    pub fn done(&self, token: u64) -> Result<bool, Error> {
        self.boolean(ListOp::Done { token })
    }

    /// Gives what was claimed under `token` back, to the front. Answers whether the claim was still
    /// held.
    pub fn give_back(&self, token: u64) -> Result<bool, Error> {
        self.boolean(ListOp::Return { token })
    }

    fn find(&self, from_end: bool, bytes: &[u8]) -> Result<Option<u64>, Error> {
        let op = Op::List(ListOp::IndexOf { from_end, bytes });
        self.client.ask(&self.target, op, None, |reply| match reply {
            Reply::Found { found, at } => Some(found.then_some(at)),
            _ => None,
        })
    }

    fn number(&self, op: ListOp<'_>) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::List(op), None, number)
    }

    fn boolean(&self, op: ListOp<'_>) -> Result<bool, Error> {
        self.client.ask(&self.target, Op::List(op), None, boolean)
    }

    fn value(&self, op: ListOp<'_>) -> Result<Option<ValueView<'c>>, Error> {
        self.client.ask_value(&self.target, Op::List(op), None)
    }

    fn bytes(&self, op: ListOp<'_>) -> Result<ValueView<'c>, Error> {
        self.client.ask_bytes(&self.target, Op::List(op), None)
    }
}

/// Token and place of the item, if one was claimed.
fn claimed(held: &Held<'_>, reply: Reply<'_>) -> Option<Option<(u64, Range<usize>)>> {
    match reply {
        Reply::Claimed { token, bytes } => Some(bytes.map(|bytes| (token, held.place_of(bytes)))),
        _ => None,
    }
}

impl Object for List<'_> {
    type Op<'o> = ListOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::List(op)
    }
}

/// An item on loan, read where it was received. Goes back to the list when it is dropped; errors are
/// ignored then, since the engine takes it back by itself when the hold ends.
#[derive(Debug)]
pub struct Claim<'c> {
    list: List<'c>,
    held: Held<'c>,
    place: Range<usize>,
    token: u64,
    open: bool,
}

/// All methods fail with [`Error`].
impl Claim<'_> {
    /// Larger than that of every claim of this list before: for whoever must not listen to a worker
    /// that lost its claim, see [`Cell::set_with_token`](crate::Cell::set_with_token).
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The work is done and the item gone. Answers whether the claim was still held; if it was not,
    /// somebody else has the item.
    pub fn done(mut self) -> Result<bool, Error> {
        self.open = false;
        self.list.done(self.token)
    }

    /// Gives the item back, to the front of the list. Answers whether the claim was still held.
    pub fn give_back(mut self) -> Result<bool, Error> {
        self.open = false;
        self.list.give_back(self.token)
    }

    /// Keeps the claim beyond this value, to be ended with its token by whoever has it.
    pub fn keep(mut self) -> u64 {
        self.open = false;
        self.token
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.held.at(&self.place)
    }
}

impl AsRef<[u8]> for Claim<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.open {
            _ = self.list.give_back(self.token);
        }
    }
}
