//! The handle to a set.

use std::ops::RangeBounds;

use catena_protocol::op::{ScanWhat, SetOp};
use catena_protocol::{ItemsBuf, Op};

use super::map::{Bounds, bounds};
use super::{Object, boolean, handle, number};
use crate::Error;
use crate::page::{ItemWalk, Pages, Route};

handle! {
    /// Byte strings without repetition, each of at most 4,096 bytes, listed in byte order.
    pub struct Set: Set
}

/// All methods fail with [`Error`].
impl<'c> Set<'c> {
    /// How many members there are.
    pub fn len(&self) -> Result<u64, Error> {
        self.number(SetOp::Len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Whether this is a member.
    pub fn contains(&self, member: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(SetOp::Contains { bytes: member.as_ref() })
    }

    /// Whether all of these are members.
    pub fn contains_all<T: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = T>,
    ) -> Result<bool, Error> {
        let items: ItemsBuf = members.into_iter().collect();
        self.boolean(SetOp::ContainsAll { items: items.items() })
    }

    /// Adds a member. Answers whether it is new.
    pub fn add(&self, member: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(SetOp::Add { bytes: member.as_ref() })
    }

    /// Adds members, all at once. Answers how many are new.
    pub fn add_all<T: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = members.into_iter().collect();
        self.number(SetOp::AddAll { items: items.items() })
    }

    /// Removes a member. Answers whether it was one.
    pub fn remove(&self, member: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.boolean(SetOp::Remove { bytes: member.as_ref() })
    }

    /// Removes members. Answers how many were members.
    pub fn remove_all<T: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = members.into_iter().collect();
        self.number(SetOp::RemoveAll { items: items.items() })
    }

    /// Removes all members but these. Answers how many were removed.
    pub fn retain_all<T: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = T>,
    ) -> Result<u64, Error> {
        let items: ItemsBuf = members.into_iter().collect();
        self.number(SetOp::RetainAll { items: items.items() })
    }

    /// Removes everything. Answers how many were removed.
    pub fn clear(&self) -> Result<u64, Error> {
        self.number(SetOp::Clear)
    }

    /// All members in byte order.
    pub fn members(&self) -> ItemWalk<'c> {
        ItemWalk::new(self.pages::<[u8]>(..))
    }

    /// The members in a range, in byte order.
    pub fn range<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> ItemWalk<'c> {
        ItemWalk::new(self.pages(range))
    }

    /// The members in a range, page by page, read where they were received.
    pub fn pages<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> Pages<'c> {
        let Bounds { from, to } = bounds(&range);
        let route = Route::Scan { what: ScanWhat::Keys, reverse: false, from, to };
        Pages::new(self.client, &self.target, route)
    }

    fn number(&self, op: SetOp<'_>) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::Set(op), None, number)
    }

    fn boolean(&self, op: SetOp<'_>) -> Result<bool, Error> {
        self.client.ask(&self.target, Op::Set(op), None, boolean)
    }
}

impl Object for Set<'_> {
    type Op<'o> = SetOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Set(op)
    }
}
