//! The handle to a list, and to a claimed item.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::op::ListOp;
use catena_protocol::{ItemsBuf, Op, Reply};

use super::{Claim, Object, boolean, handle, number};
use crate::Error;
use crate::buffer::HeldReply;
use crate::hold::Hold;

use crate::page::{ItemWalk, PageCursor, Pages};
use crate::shared::HoldKeeper;
use crate::view::{PageView, ValueView};

handle! {
    /// A sequence of byte strings, each of at most 60 KiB: a list, a queue, a work queue.
    ///
    /// In a work queue, items are [claimed](List::claim) rather than popped: if the worker dies,
    /// its item returns to the list.
    pub struct List: List { hold: Hold }
}

/// All methods that return a [`Result`] fail with [`Error`].
impl List {
    /// Sets how long items are claimed; until the client's deadline unless set.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs").with_hold(std::time::Duration::from_secs(60));
    /// jobs.push_back("resize")?;
    /// let job = jobs.claim(seconds)?; // back in the list after a minute, unless done
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    #[must_use]
    pub fn with_hold(mut self, hold: impl Into<Hold>) -> List {
        self.hold = hold.into();
        self
    }

    /// Returns the number of items, without claimed ones.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// assert_eq!(jobs.len()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn len(&self) -> Result<u64, Error> {
        self.number(ListOp::Len)
    }

    /// Returns whether there are none.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.list("jobs").is_empty()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Returns the item at `index`, from 0; `None` behind the end.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// assert_eq!(&jobs.get(1)?.unwrap()[..], b"b");
    /// assert!(jobs.get(2)?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self, index: u64) -> Result<Option<ValueView>, Error> {
        self.value(ListOp::Get { index })
    }

    /// Returns the first item.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.list("jobs").first()?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn first(&self) -> Result<Option<ValueView>, Error> {
        self.get(0)
    }

    /// Returns the items in a range of indexes, as many as fit a page.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b", "c"])?;
    /// let page = jobs.range(1..3)?;
    /// assert_eq!(page.iter().collect::<Vec<_>>(), [b"b", b"c"]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn range(&self, range: Range<u64>) -> Result<PageView, Error> {
        // A limit of 0 would mean no limit.
        let wanted = range.end.saturating_sub(range.start);
        let (from, limit) = match u32::try_from(wanted) {
            Ok(0) => (u64::MAX, 1),
            limit => (range.start, limit.unwrap_or(u32::MAX)),
        };
        self.requester.ask_page(&self.target, Op::List(ListOp::Range { from, limit }))
    }

    /// Walks all items from the first on, page by page.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b", "c"])?;
    /// for page in jobs.pages().page_items(2) {
    ///     assert!(page?.len() <= 2);
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pages(&self) -> Pages {
        Pages::new(&self.requester, &self.target, PageCursor::List { from: 0 })
    }

    /// Walks all items from the first on.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// let items = jobs.items().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(items, [b"a", b"b"]);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn items(&self) -> ItemWalk {
        ItemWalk::new(self.pages())
    }

    /// Returns the index of the first equal item, in a list of at most 1,048,576 items
    /// ([`Status::TooLarge`](crate::Status::TooLarge)).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b", "a"])?;
    /// assert_eq!((jobs.index_of("a")?, jobs.index_of("c")?), (Some(0), None));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn index_of(&self, item: impl AsRef<[u8]>) -> Result<Option<u64>, Error> {
        self.find(false, item.as_ref())
    }

    /// Returns the index of the last equal item.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b", "a"])?;
    /// assert_eq!(jobs.last_index_of("a")?, Some(2));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn last_index_of(&self, item: impl AsRef<[u8]>) -> Result<Option<u64>, Error> {
        self.find(true, item.as_ref())
    }

    /// Returns whether there is an equal item.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.push_back("a")?;
    /// assert!(jobs.contains("a")? && !jobs.contains("b")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn contains(&self, item: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(self.index_of(item)?.is_some())
    }

    /// Returns whether all of these are in the list: at most 8,192, in a list of at most 131,072 items
    /// ([`Status::TooLarge`](crate::Status::TooLarge)).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// assert!(jobs.contains_all(["b", "a"])?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn contains_all<T: AsRef<[u8]>>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<bool, Error> {
        let items: ItemsBuf = items.into_iter().collect();
        self.boolean(ListOp::ContainsAll { items: items.items() })
    }

    /// Adds an item at the end. Returns the new length.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.list("jobs").push_back("resize")?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn push_back(&self, item: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.number(ListOp::PushBack { bytes: item.as_ref() })
    }

    /// Adds an item at the front. Returns the new length.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.push_back("later")?;
    /// jobs.push_front("now")?;
    /// assert_eq!(&jobs.first()?.unwrap()[..], b"now");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn push_front(&self, item: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.number(ListOp::PushFront { bytes: item.as_ref() })
    }

    /// Adds items at the end, atomically. Returns the new length. A call takes at most 8,192 items
    /// ([`Status::TooLarge`](crate::Status::TooLarge)).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.list("jobs").extend(["a", "b", "c"])?, 3);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn extend<T: AsRef<[u8]>>(&self, items: impl IntoIterator<Item = T>) -> Result<u64, Error> {
        let items: ItemsBuf = items.into_iter().collect();
        self.number(ListOp::Extend { items: items.items() })
    }

    /// Removes and returns the last item, if there is one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// assert_eq!(&jobs.pop_back()?.unwrap()[..], b"b");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pop_back(&self) -> Result<Option<ValueView>, Error> {
        self.value(ListOp::PopBack)
    }

    /// Removes and returns the first item, if there is one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// assert_eq!(&jobs.pop_front()?.unwrap()[..], b"a");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pop_front(&self) -> Result<Option<ValueView>, Error> {
        self.value(ListOp::PopFront)
    }

    /// Waits until there is an item, and removes and returns the first. Waiting clients are served
    /// in order of arrival. [`Error::TimedOut`] after `timeout`, of at most 15 minutes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// let worker = {
    ///     let jobs = jobs.clone();
    ///     std::thread::spawn(move || jobs.pop_front_wait(seconds))
    /// };
    /// jobs.push_back("resize")?;
    /// assert_eq!(&worker.join().unwrap()?[..], b"resize");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pop_front_wait(&self, timeout: Duration) -> Result<ValueView, Error> {
        self.requester.ask_bytes(&self.target, Op::List(ListOp::PopFrontWait), Some(timeout))
    }

    /// Replaces the item at `index`. Returns the old one;
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if there is none.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// assert_eq!(&jobs.set(1, "c")?[..], b"b");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set(&self, index: u64, item: impl AsRef<[u8]>) -> Result<ValueView, Error> {
        self.bytes(ListOp::Set { index, bytes: item.as_ref() })
    }

    /// Inserts an item in front of the one at `index`, or at the end. Returns the new length;
    /// [`Status::OutOfRange`](crate::Status::OutOfRange) if `index` is behind the end.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "c"])?;
    /// assert_eq!(jobs.insert(1, "b")?, 3);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn insert(&self, index: u64, item: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.number(ListOp::Insert { index, bytes: item.as_ref() })
    }

    /// Removes and returns the item at `index`; [`Status::OutOfRange`](crate::Status::OutOfRange)
    /// if there is none.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// assert_eq!(&jobs.remove_at(0)?[..], b"a");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn remove_at(&self, index: u64) -> Result<ValueView, Error> {
        self.bytes(ListOp::RemoveAt { index })
    }

    /// Removes the first equal item. Returns whether there was one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// assert!(jobs.remove_value("a")? && !jobs.remove_value("a")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn remove_value(&self, item: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(ListOp::RemoveValue { bytes: item.as_ref() })
    }

    /// Removes all items that are equal to one of these. Returns how many. The limits are those of
    /// [`List::contains_all`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b", "a"])?;
    /// assert_eq!(jobs.remove_all(["a"])?, 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn remove_all<T: AsRef<[u8]>>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = items.into_iter().collect();
        self.number(ListOp::RemoveAll { items: items.items() })
    }

    /// Removes all items that are equal to none of these. Returns how many. The limits are those of
    /// [`List::contains_all`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b", "a"])?;
    /// assert_eq!(jobs.retain_all(["a"])?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn retain_all<T: AsRef<[u8]>>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = items.into_iter().collect();
        self.number(ListOp::RetainAll { items: items.items() })
    }

    /// Removes all items except claimed ones. Returns how many.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let jobs = client.list("jobs");
    /// jobs.extend(["a", "b"])?;
    /// assert_eq!(jobs.clear()?, 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn clear(&self) -> Result<u64, Error> {
        self.number(ListOp::Clear)
    }

    /// Waits until there is an item, and claims the first. Waiting clients are served in order of
    /// arrival.
    ///
    /// The item is removed for good once it is [done](Claim::done). If that does not happen while
    /// the claim is held, see [`List::with_hold`], it returns to the front of the list.
    /// [`Error::TimedOut`] after `timeout`, of at most 15 minutes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// let job = jobs.claim(seconds)?;
    /// assert_eq!(&job[..], b"resize");
    /// assert!(job.done()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn claim(&self, timeout: Duration) -> Result<Claim, Error> {
        let op = ListOp::Claim { hold_ms: self.requester.hold_ms(self.hold) };
        let (held, claimed) = self.requester.ask_held_from(
            &self.target,
            Op::List(op),
            Some(timeout),
            |node, held, reply| Some((claimed(held, reply)??, HoldKeeper::new(Arc::clone(node)))),
        )?;
        let (item, keeper) = claimed;
        Ok(Claim::new(self, held, item, keeper))
    }

    /// As [`List::claim`], but returns `None` if there is no item.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.list("jobs").try_claim()?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn try_claim(&self) -> Result<Option<Claim>, Error> {
        let op = ListOp::TryClaim { hold_ms: self.requester.hold_ms(self.hold) };
        let (held, (found, keeper)) = self.requester.ask_held_from(
            &self.target,
            Op::List(op),
            None,
            |node, held, reply| Some((claimed(held, reply)?, HoldKeeper::new(Arc::clone(node)))),
        )?;
        Ok(found.map(|item| Claim::new(self, held, item, keeper)))
    }

    /// Removes the item that was claimed under `token` for good. Returns whether the claim was
    /// still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// let token = jobs.claim(seconds)?.keep();
    /// assert!(jobs.done(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn done(&self, token: u64) -> Result<bool, Error> {
        self.end(ListOp::Done { token }, token)
    }

    /// Puts the item that was claimed under `token` back to the front of the list. Returns whether
    /// the claim was still held.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// let token = jobs.claim(seconds)?.keep();
    /// assert!(jobs.give_back(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn give_back(&self, token: u64) -> Result<bool, Error> {
        self.end(ListOp::Return { token }, token)
    }

    fn end(&self, op: ListOp<'_>, token: u64) -> Result<bool, Error> {
        let requester = self.requester.for_token(&self.target, token, true);
        requester.ask(&self.target, Op::List(op), None, boolean)
    }

    fn find(&self, from_end: bool, bytes: &[u8]) -> Result<Option<u64>, Error> {
        let op = Op::List(ListOp::IndexOf { from_end, bytes });
        self.requester.ask(&self.target, op, None, |reply| match reply {
            Reply::Found { found, at } => Some(found.then_some(at)),
            _ => None,
        })
    }

    fn number(&self, op: ListOp<'_>) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::List(op), None, number)
    }

    fn boolean(&self, op: ListOp<'_>) -> Result<bool, Error> {
        self.requester.ask(&self.target, Op::List(op), None, boolean)
    }

    fn value(&self, op: ListOp<'_>) -> Result<Option<ValueView>, Error> {
        self.requester.ask_value(&self.target, Op::List(op), None)
    }

    fn bytes(&self, op: ListOp<'_>) -> Result<ValueView, Error> {
        self.requester.ask_bytes(&self.target, Op::List(op), None)
    }
}

/// Token and location of the item, if one was claimed.
fn claimed(held: &HeldReply, reply: Reply<'_>) -> Option<Option<(u64, Range<usize>)>> {
    match reply {
        Reply::Claimed { token, bytes } => Some(bytes.map(|bytes| (token, held.place_of(bytes)))),
        _ => None,
    }
}

impl Object for List {
    type Op<'o> = ListOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::List(op)
    }
}
