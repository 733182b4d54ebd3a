//! The rows of a snapshot, and how they are written.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::objects::{HoldId, ITEMS_BYTES, Reader, RestoreError, WaiterId, Writer};
use crate::shard::{Seq, Time};

/// What a row has. The kinds of a snapshot's rows come in this order, except that [`RowKind::Items`]
/// may lie between objects, and [`RowKind::Requests`] follow their session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowKind {
    /// The shard itself: a [`ShardRow`].
    Shard,
    /// A [`QuotaRow`].
    Quota,
    /// A [`WaiterRow`].
    Waiter,
    /// A [`HoldRow`].
    Hold,
    /// A session without its requests.
    Session,
    /// Requests of the session before.
    Requests,
    /// A closed session.
    Closed,
    /// An [`ObjectRow`], then the object's kind and its state.
    Object,
    /// The id of an object that came before without its items, then some of these.
    Items,
    /// The number of rows before this one, which is the last.
    End,
}

impl RowKind {
    const ALL: [RowKind; 10] = [
        RowKind::Shard,
        RowKind::Quota,
        RowKind::Waiter,
        RowKind::Hold,
        RowKind::Session,
        RowKind::Requests,
        RowKind::Closed,
        RowKind::Object,
        RowKind::Items,
        RowKind::End,
    ];

    pub(super) fn from_wire(wire: u8) -> Option<RowKind> {
        RowKind::ALL.get(usize::from(wire)).copied()
    }

    fn to_wire(self) -> u8 {
        self as u8
    }
}

/// The shard itself.
#[derive(Serialize, Deserialize)]
pub(super) struct ShardRow {
    pub(super) id: u16,
    /// The node's own time; it is not part of the state.
    pub(super) now: Time,
    pub(super) base: Seq,
    pub(super) seq: Seq,
    pub(super) outcomes: u64,
    pub(super) next_waiter: WaiterId,
    pub(super) next_hold: HoldId,
}

/// A quota.
#[derive(Serialize, Deserialize)]
pub(super) struct QuotaRow<'a> {
    pub(super) prefix: &'a str,
    pub(super) objects_max: u64,
    pub(super) bytes_max: u64,
    /// If it is still counting, since when, and the last name that it has counted.
    pub(super) counting: Option<(Time, &'a str)>,
}

/// A waiting request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::shard) struct WaiterRow {
    pub(in crate::shard) id: WaiterId,
    pub(in crate::shard) op: u16,
    pub(in crate::shard) epoch: u32,
    pub(in crate::shard) session: u64,
    pub(in crate::shard) number: u64,
    pub(in crate::shard) object: u128,
    pub(in crate::shard) deadline: Time,
    /// Until when it keeps its place, if it is detached.
    pub(in crate::shard) detached: Option<Time>,
    /// The version it has seen, if it watches its object.
    pub(in crate::shard) seen: Option<u64>,
}

/// A hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HoldRow {
    pub(crate) id: HoldId,
    pub(crate) object: u128,
    pub(crate) session: u64,
    pub(crate) until: Option<Time>,
}

/// An object; its kind and state follow.
#[derive(Serialize, Deserialize)]
pub(super) struct ObjectRow<'a> {
    pub(super) id: u128,
    pub(super) version: Seq,
    pub(super) name: Option<&'a str>,
    pub(super) ends: Option<Time>,
}

/// Rows as they are sent: each with its length in four bytes before it.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) bytes: Vec<u8>,
    /// How many of the bytes were taken.
    taken: usize,
    /// The number of rows that were ever written.
    pub(super) count: u64,
}

/// Bytes of a row's length.
pub(super) const LENGTH_BYTES: usize = 4;

impl Rows {
    pub(super) fn put(&mut self, kind: RowKind, write: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        let mut out = Writer::behind(core::mem::take(&mut self.bytes));
        out.put(&kind.to_wire());
        write(&mut out);
        self.bytes = out.finish();
        let len = self.bytes.len() - start - LENGTH_BYTES;
        // A row is a part of a large object at most, see `ITEMS_BYTES`.
        let len = u32::try_from(len).expect("rows are far below 4 GiB");
        self.bytes[start..start + LENGTH_BYTES].copy_from_slice(&len.to_le_bytes());
        self.count += 1;
    }

    /// Returns the bytes that were not taken.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Takes the first bytes of the rest.
    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
        // Moved seldom: there may be much that was written early.
        if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.bytes.shrink_to(2 * self.bytes.len() + ITEMS_BYTES);
            self.taken = 0;
        }
    }

    /// Takes all rows of `other`.
    pub(super) fn append(&mut self, other: &mut Rows) {
        self.bytes.append(&mut other.bytes);
        self.count += core::mem::take(&mut other.count);
    }
}

/// Splits the first row off, without its length; `None` if it is not complete.
pub(super) fn next_row(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

/// Returns the kind of a row, and a reader for the rest of it.
pub(super) fn open_row(row: &[u8]) -> Result<(RowKind, Reader<'_>), RestoreError> {
    let mut input = Reader::new(row);
    let kind: u8 = input.take()?;
    let kind = RowKind::from_wire(kind)
        .ok_or(RestoreError::Contradiction("a row is of an unknown kind"))?;
    Ok((kind, input))
}
