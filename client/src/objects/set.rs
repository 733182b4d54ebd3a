//! The handle to a set.

use std::ops::RangeBounds;

use catena_protocol::op::{ScanWhat, SetOp};
use catena_protocol::{ItemsBuf, Op};

use super::scan::{KeyRange, key_range};
use super::{Object, boolean, handle, number};
use crate::Error;
use crate::page::{ItemWalk, PageCursor, Pages};

handle! {
    /// Byte strings without repetition, each of at most 4,096 bytes, listed in byte order.
    pub struct Set: Set
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Set {
    /// Returns the number of members.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add("ada")?;
    /// assert_eq!(names.len()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn len(&self) -> Result<u64, Error> {
        self.number(SetOp::Len)
    }

    /// Returns whether there are none.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.set("names").is_empty()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Returns whether this is a member.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add("ada")?;
    /// assert!(names.contains("ada")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn contains(&self, member: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(SetOp::Contains { bytes: member.as_ref() })
    }

    /// Returns whether all of these are members. A call takes at most 8,192 of them
    /// ([`Status::TooLarge`](crate::Status::TooLarge)).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add_all(["ada", "alan"])?;
    /// assert!(names.contains_all(["alan", "ada"])?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn contains_all<T: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = T>,
    ) -> Result<bool, Error> {
        let items: ItemsBuf = members.into_iter().collect();
        self.boolean(SetOp::ContainsAll { items: items.items() })
    }

    /// Adds a member. Returns whether it is new.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// assert!(names.add("ada")? && !names.add("ada")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn add(&self, member: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(SetOp::Add { bytes: member.as_ref() })
    }

    /// Adds members, at most 8,192 in a call, atomically. Returns how many are new.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// assert_eq!(names.add_all(["ada", "alan", "ada"])?, 2);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn add_all<T: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = members.into_iter().collect();
        self.number(SetOp::AddAll { items: items.items() })
    }

    /// Removes a member. Returns whether it was one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add("ada")?;
    /// assert!(names.remove("ada")?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn remove(&self, member: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(SetOp::Remove { bytes: member.as_ref() })
    }

    /// Removes members, at most 8,192 in a call. Returns how many were members.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add_all(["ada", "alan"])?;
    /// assert_eq!(names.remove_all(["ada", "grace"])?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn remove_all<T: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = members.into_iter().collect();
        self.number(SetOp::RemoveAll { items: items.items() })
    }

    /// Removes all members except these, at most 8,192, from a set of at most 131,072. Returns how
    /// many.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add_all(["ada", "alan"])?;
    /// assert_eq!(names.retain_all(["ada"])?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn retain_all<T: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = members.into_iter().collect();
        self.number(SetOp::RetainAll { items: items.items() })
    }

    /// Removes all members. Returns how many.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add("ada")?;
    /// assert_eq!(names.clear()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn clear(&self) -> Result<u64, Error> {
        self.number(SetOp::Clear)
    }

    /// Walks all members, in byte order.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add_all(["alan", "ada"])?;
    /// assert_eq!(names.members().next().transpose()?, Some(b"ada".to_vec()));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn members(&self) -> ItemWalk {
        ItemWalk::new(self.pages::<[u8]>(..))
    }

    /// Walks the members in a range, in byte order.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add_all(["ada", "alan", "grace"])?;
    /// assert_eq!(names.range("b"..).count(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> ItemWalk {
        ItemWalk::new(self.pages(range))
    }

    /// Walks the members in a range page by page, read in the buffers they were received in.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let names = client.set("names");
    /// names.add_all(["ada", "alan"])?;
    /// for page in names.pages::<str>(..) {
    ///     assert_eq!(page?.len(), 2);
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn pages<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> Pages {
        let KeyRange { from, to } = key_range(&range);
        let cursor = PageCursor::Scan { what: ScanWhat::Keys, reverse: false, from, to };
        Pages::new(&self.requester, &self.target, cursor)
    }

    fn number(&self, op: SetOp<'_>) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Set(op), None, number)
    }

    fn boolean(&self, op: SetOp<'_>) -> Result<bool, Error> {
        self.requester.ask(&self.target, Op::Set(op), None, boolean)
    }
}

impl Object for Set {
    type Op<'o> = SetOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Set(op)
    }
}
