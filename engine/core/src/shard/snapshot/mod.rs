//! Snapshots of a shard, for a state transfer to another node.
//!
//! A snapshot has everything that later replies depend on: objects with their versions, names and
//! expiry times, quotas, sessions with the replies they keep, waiting requests, holds, and the next
//! ids. It leaves out what belongs to one node: connections, hash seeds, statistics, budgets and
//! due times.
//!
//! 1. A snapshot is of one position in the shard's order. It is written in short steps between
//!    requests: before something changes that was not written yet, it is kept as it was. So writing
//!    one takes little time at once, and no second copy of the state.
//! 2. The same state gives the same rows, whatever the hash seed and whatever was read, refused or
//!    retried before. Only their order may differ, and the time in the first one is a node's own.
//! 3. A snapshot is restored only if a shard can have written it, as far as later events rely on
//!    it: every waiting request is known to its object and its session, every hold to its object
//!    and an open session, and the next ids are free. Sums and indices are computed again.
//! 4. Other bytes give an error. They are read once, from front to back, and memory is allocated as
//!    elements are read, not by the length that a list announces.
//!
//! The format: a byte with the format, then rows (`RowKind`), each with its length in four bytes
//! before it, little-endian. A row begins with a byte for its kind; the rest is in
//! [postcard](https://postcard.jamesmunns.com/). Items of a large object follow it in rows of their
//! own.

mod restoration;
mod rows;
mod walk;

use alloc::vec::Vec;

use catena_protocol::ObjectId;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) use self::restoration::Restoration;
pub(super) use self::rows::WaiterRow;
use self::rows::{HoldRow, QuotaRow, RowKind, Rows, ShardRow, next_row};
pub(super) use self::walk::SnapshotWalk;
use self::walk::put_object;
use super::quotas::Quota;
use super::sessions::SessionPart;
use super::{ObjectEntry, Shard, Time};
#[cfg(any(test, feature = "fuzz"))]
use crate::objects::RestoreError;
use crate::objects::holds::Hold;
use crate::objects::{HoldId, ITEMS_BYTES};

/// The format of the snapshots that this version writes and reads.
const FORMAT: u8 = 4;

impl Shard {
    /// Begins to write a snapshot of the present state. One that was begun before is given up.
    pub(crate) fn begin_snapshot(&mut self) {
        self.end_snapshot();
        self.waiters.begin_walk();
        self.workspace.holds.begin_walk();
        self.sessions.begin_walk();
        let mut walk = SnapshotWalk::new(self.objects.seed(), self.part_bytes);
        self.put_first(self.now, &mut walk.rows);
        self.walk = Some(walk.into());
    }

    /// Takes some further steps of the snapshot, until about so many bytes wait to be taken.
    ///
    /// # Panics
    ///
    /// If `snapshot` of a user-defined object panics.
    pub(crate) fn continue_snapshot(&mut self, steps: usize, bytes: usize) {
        let Some(mut walk) = self.walk.take() else { return };
        for _ in 0..steps {
            if walk.is_over() || walk.rows.rest().len() >= bytes {
                break;
            }
            walk.step(self);
        }
        self.walk = Some(walk);
    }

    /// Returns the bytes of the snapshot that are written and were not taken, and whether none follow;
    /// [`None`] if no snapshot is being written.
    pub(crate) fn snapshot_bytes(&self) -> Option<(&[u8], bool)> {
        let walk = self.walk.as_ref()?;
        Some((walk.rows.rest(), walk.is_over()))
    }

    /// Takes the first of these bytes.
    pub(crate) fn take_snapshot_bytes(&mut self, count: usize) {
        if let Some(walk) = &mut self.walk {
            walk.rows.take(count);
        }
    }

    /// Returns the memory that the snapshot takes in bytes, near enough.
    #[inline]
    pub(crate) fn snapshot_memory(&self) -> u64 {
        let bytes =
            |walk: &SnapshotWalk| walk.memory(&self.objects) + self.sessions.walk_bytes() as u64;
        self.walk.as_deref().map_or(0, bytes)
    }

    /// Ends the snapshot.
    pub(crate) fn end_snapshot(&mut self) {
        if let Some(walk) = self.walk.take() {
            walk.end(self);
            self.waiters.end_walk();
            self.workspace.holds.end_walk();
            self.sessions.end_walk();
        }
    }

    /// Returns a snapshot of the whole state. Takes time in proportion to its size.
    ///
    /// # Panics
    ///
    /// If `snapshot` of a user-defined object panics.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut rows = Rows::default();
        rows.bytes.push(FORMAT);
        self.put_all(self.now, &mut rows, |_| {});
        rows.bytes
    }

    /// Returns a hash of the state: the sum of the hashes of all rows of a snapshot. The time in the
    /// first row counts as 0, because it differs between replicas until the next update.
    pub fn digest(&self) -> u64 {
        let mut sum = 0_u64;
        self.put_all(Time::default(), &mut Rows::default(), |rows| {
            let mut rest = &rows.bytes[..];
            while let Some((row, after)) = next_row(rest) {
                sum = sum.wrapping_add(xxh3_64(row));
                rest = after;
            }
            rows.bytes.clear();
        });
        sum
    }

    /// Returns a shard with the state of a snapshot, and with this shard's hash seed, types and
    /// limits.
    ///
    /// # Errors
    ///
    /// As [`Restoration::take`] and [`Restoration::finish`].
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn restored(&self, bytes: &[u8]) -> Result<Shard, RestoreError> {
        let mut restoration = Restoration::new(self);
        restoration.take(bytes)?;
        restoration.finish()
    }

    /// Writes the first rows, with what is never much.
    fn put_first(&self, now: Time, rows: &mut Rows) {
        let row = ShardRow {
            id: self.id.0,
            now,
            base: self.base,
            seq: self.seq,
            outcomes: self.outcomes,
            next_waiter: self.waiters.next_id(),
            next_hold: self.workspace.holds.next_id(),
        };
        rows.put(RowKind::Shard, |out| out.put(&row));
        for (prefix, Quota { limits, .. }, counting) in self.directory.quotas.iter() {
            let row = QuotaRow {
                prefix,
                objects_max: limits.objects,
                bytes_max: limits.bytes,
                counting: counting.map(|it| (it.since, &*it.last)),
            };
            rows.put(RowKind::Quota, |out| out.put(&row));
        }
    }
}

fn put_waiter(rows: &mut Rows, row: &WaiterRow) {
    rows.put(RowKind::Waiter, |out| out.put(row));
}

fn put_hold(rows: &mut Rows, id: HoldId, Hold { object, session, until }: Hold) {
    let row = HoldRow { id, object: object.0, session, until };
    rows.put(RowKind::Hold, |out| out.put(&row));
}

fn put_session(rows: &mut Rows, part: &SessionPart<'_>) {
    match part {
        SessionPart::Session(row) => rows.put(RowKind::Session, |out| out.put(row)),
        SessionPart::Requests(slots) => rows.put(RowKind::Requests, |out| out.put(slots)),
    }
}

fn put_end(rows: &mut Rows) {
    let count = rows.count;
    rows.put(RowKind::End, |out| out.put(&count));
}

impl Shard {
    /// Writes all rows, and calls `written` now and then, which may take them.
    fn put_all(&self, now: Time, rows: &mut Rows, mut written: impl FnMut(&mut Rows)) {
        self.put_first(now, rows);
        for row in self.waiters.rows() {
            put_waiter(rows, &row);
            written(rows);
        }
        for (id, hold) in self.workspace.holds.iter() {
            put_hold(rows, id, hold);
            written(rows);
        }
        self.sessions.all(|part| {
            put_session(rows, &part);
            written(rows);
        });
        for closed in self.sessions.closed() {
            rows.put(RowKind::Closed, |out| out.put(&closed));
            written(rows);
        }
        let mut objects: Vec<(ObjectId, &ObjectEntry)> = self.objects.iter().collect();
        objects.sort_unstable_by_key(|(id, _)| *id);
        for (id, entry) in objects {
            put_object(rows, &self.directory, (id, entry), ITEMS_BYTES);
            written(rows);
        }
        put_end(rows);
        written(rows);
    }
}
