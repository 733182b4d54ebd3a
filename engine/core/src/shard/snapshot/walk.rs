//! The walk of a snapshot over the tables of a shard.

use alloc::collections::VecDeque;

use catena_protocol::ObjectId;

use super::rows::{ObjectRow, RowKind, Rows};
use super::{FORMAT, put_end, put_hold, put_session, put_waiter};
use crate::objects::{ITEMS_BYTES, ItemPlace};
use crate::shard::directory::Directory;
use crate::shard::table::{Place, Seed, Table};
use crate::shard::{ObjectEntry, Shard};

/// A snapshot that is being written. The tables of the shard have their own part of it.
#[derive(Debug)]
pub(in crate::shard) struct SnapshotWalk {
    /// What is written.
    pub(super) rows: Rows,
    stage: Stage,
    /// How far the walk over the objects is; [`None`] at its end.
    place: Option<Place>,
    /// Objects behind that place that were written before they changed, or that were created since
    /// the walk began.
    early: Table<ObjectId, ()>,
    /// Rows of objects that wait for the stage of the objects, because those of waiters, holds and
    /// sessions come first.
    early_rows: Rows,
    /// Large objects before that place whose items are being written, with the last one written.
    large: VecDeque<(ObjectId, Option<ItemPlace>)>,
}

/// Which table the walk is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiters,
    Holds,
    Sessions,
    Closed,
    Objects,
    Over,
}

/// How many waiters, holds or parts of sessions are written in a step.
const STEP_ROWS: usize = 64;

/// How many slots of the table of objects are looked at in a step.
const STEP_SLOTS: usize = 64;

impl SnapshotWalk {
    pub(super) fn new(seed: Seed) -> SnapshotWalk {
        let mut rows = Rows::default();
        rows.bytes.push(FORMAT);
        SnapshotWalk {
            rows,
            stage: Stage::Waiters,
            place: Some(Place::default()),
            early: Table::new(seed),
            early_rows: Rows::default(),
            large: VecDeque::new(),
        }
    }

    /// Returns whether everything is written.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Returns the memory that it takes in bytes, near enough.
    pub(super) fn memory(&self) -> u64 {
        let early = self.early.len() * 2 * size_of::<ObjectId>();
        (self.rows.bytes.capacity() + self.early_rows.bytes.capacity() + early) as u64
    }

    /// Writes an object that is about to change, to be created or to be removed, unless it has been
    /// written.
    pub(in crate::shard) fn before_change(
        &mut self,
        objects: &Table<ObjectId, ObjectEntry>,
        directory: &Directory,
        id: ObjectId,
    ) {
        let is_passed = self.place.is_none_or(|place| objects.place(&id) < place);
        if is_passed {
            if let Some(at) = self.large.iter().position(|(large, _)| *large == id)
                && let Some((_, mut last)) = self.large.remove(at)
                && let Some(entry) = objects.get(&id)
            {
                while put_items(&mut self.rows, id, entry, &mut last) {}
            }
        } else if self.early.insert(id, ()).is_none()
            && let Some(entry) = objects.get(&id)
        {
            let is_their_stage = self.stage == Stage::Objects;
            let rows = if is_their_stage { &mut self.rows } else { &mut self.early_rows };
            put_object(rows, directory, id, entry);
        }
    }

    /// Writes some more rows.
    pub(super) fn step(&mut self, shard: &mut Shard) {
        let rows = &mut self.rows;
        let next = match self.stage {
            Stage::Waiters => shard
                .waiters
                .continue_walk(STEP_ROWS, |row| put_waiter(rows, &row))
                .then_some(Stage::Holds),
            Stage::Holds => shard
                .workspace
                .holds
                .continue_walk(STEP_ROWS, |id, hold| put_hold(rows, id, hold))
                .then_some(Stage::Sessions),
            Stage::Sessions => shard
                .sessions
                .continue_walk(STEP_ROWS, |part| put_session(rows, &part))
                .then_some(Stage::Closed),
            Stage::Closed => shard
                .sessions
                .continue_closed_walk(STEP_ROWS, |closed| {
                    rows.put(RowKind::Closed, |out| out.put(&closed));
                })
                .then_some(Stage::Objects),
            Stage::Objects => self.step_objects(shard).then_some(Stage::Over),
            Stage::Over => None,
        };
        let Some(next) = next else { return };
        self.stage = next;
        match next {
            Stage::Objects => self.rows.append(&mut self.early_rows),
            Stage::Over => put_end(&mut self.rows),
            _ => {}
        }
    }

    /// Writes some more objects. Returns whether that were all.
    fn step_objects(&mut self, shard: &Shard) -> bool {
        let SnapshotWalk { rows, place, early, large, .. } = self;
        if let Some((id, mut last)) = large.pop_front() {
            let entry = shard.objects.get(&id).expect("it is written before it is removed");
            if put_items(rows, id, entry, &mut last) {
                large.push_front((id, last));
            }
            return false;
        }
        let Some(from) = *place else { return true };
        *place = shard.objects.visit(from, STEP_SLOTS, |id, entry| {
            if early.remove(&id).is_some() {
                return;
            }
            if is_large(entry) {
                put_head(rows, &shard.directory, id, entry);
                large.push_back((id, None));
            } else {
                put_object(rows, &shard.directory, id, entry);
            }
        });
        false
    }
}

/// Returns whether the items of an object are written apart from it.
fn is_large(entry: &ObjectEntry) -> bool {
    entry.object.has_items() && entry.object.bytes() > ITEMS_BYTES as u64
}

/// Writes a whole object.
pub(super) fn put_object(
    rows: &mut Rows,
    directory: &Directory,
    id: ObjectId,
    entry: &ObjectEntry,
) {
    put_head(rows, directory, id, entry);
    let mut last = None;
    while is_large(entry) && put_items(rows, id, entry, &mut last) {}
}

/// Writes an object, without its items if it is a large one.
fn put_head(rows: &mut Rows, directory: &Directory, id: ObjectId, entry: &ObjectEntry) {
    let ObjectEntry { object, version } = entry;
    let (name, ends) = (directory.name(id), directory.ends(id));
    rows.put(RowKind::Object, |out| {
        out.put(&ObjectRow { id: id.0, version: *version, name, ends });
        if is_large(entry) { object.write_without_items(out) } else { object.write(out) }
    });
}

/// Writes the items of a large object behind the last one written. Returns whether more follow.
fn put_items(
    rows: &mut Rows,
    id: ObjectId,
    entry: &ObjectEntry,
    last: &mut Option<ItemPlace>,
) -> bool {
    rows.put(RowKind::Items, |out| {
        out.put(&id.0);
        *last = entry.object.write_items(last.as_ref(), out);
    });
    last.is_some()
}
