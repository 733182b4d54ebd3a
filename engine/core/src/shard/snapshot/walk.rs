//! The walk of a snapshot over the tables of a shard.

use alloc::collections::VecDeque;

use catena_protocol::ObjectId;

use super::rows::{ObjectRow, RowKind, Rows};
use super::{FORMAT, put_end, put_hold, put_session, put_waiter};
use crate::objects::{AnyObject, ITEMS_BYTES};
use crate::shard::directory::Directory;
use crate::shard::table::{Place, Seed, Table};
use crate::shard::{ObjectEntry, Shard};

/// A snapshot that is being written. The tables of the shard have their own part of it.
#[derive(Debug)]
pub(in crate::shard) struct SnapshotWalk {
    /// What is written.
    pub(super) rows: Rows,
    /// The items of a large object are written in parts of about so many bytes.
    part_bytes: usize,
    stage: Stage,
    /// How far the walk over the objects is; [`None`] at its end.
    place: Option<Place>,
    /// Objects behind that place that were written before they changed, or that were created since
    /// the walk began.
    early: Table<ObjectId, ()>,
    /// Rows of objects that wait for the stage of the objects, because those of waiters, holds and
    /// sessions come first.
    early_rows: Rows,
    /// Large objects, which are written one after the other, in parts: those before that place, and
    /// those of `early`.
    large: VecDeque<LargeObject>,
}

/// A large object that is not written to its end.
#[derive(Debug)]
struct LargeObject {
    id: ObjectId,
    /// The object is written without its items, and the walk over them has begun.
    has_begun: bool,
    /// The object, if the shard has it no more.
    removed: Option<AnyObject>,
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

/// An object that changes before it is written is written at once if it is no larger than this many
/// parts, which takes less than a millisecond.
const PARTS_AT_ONCE: u64 = 8;

/// How many slots of the table of objects are looked at in a step: few, because each may have an object
/// that is just not large.
const STEP_SLOTS: usize = 16;

impl SnapshotWalk {
    pub(super) fn new(seed: Seed, part_bytes: usize) -> SnapshotWalk {
        let mut rows = Rows::default();
        rows.bytes.push(FORMAT);
        SnapshotWalk {
            rows,
            part_bytes,
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
    pub(super) fn memory(&self, objects: &Table<ObjectId, ObjectEntry>) -> u64 {
        let early = self.early.len() * 2 * size_of::<ObjectId>();
        let rows = self.rows.bytes.capacity() + self.early_rows.bytes.capacity() + early;
        let large = self.large.iter().filter(|large| large.has_begun);
        let large = large.map(|large| match &large.removed {
            Some(removed) => removed.bytes() + removed.walk_bytes(),
            None => objects.get(&large.id).map_or(0, |entry| entry.object.walk_bytes()),
        });
        rows as u64 + large.sum::<u64>()
    }

    /// Writes an object that is about to change or to be removed, unless it has been written. Of a
    /// large one the items are not: it keeps those that change.
    pub(in crate::shard) fn before_change(
        &mut self,
        objects: &mut Table<ObjectId, ObjectEntry>,
        directory: &Directory,
        id: ObjectId,
    ) {
        let has_passed = self.has_passed(objects, id);
        let Some(entry) = objects.get_mut(&id) else { return };
        let mut waits = false;
        if has_passed {
            let is_it = |large: &&mut LargeObject| large.id == id && !large.has_begun;
            let Some(large) = self.large.iter_mut().find(is_it) else { return };
            large.has_begun = true;
            waits = true;
        } else if self.early.insert(id, ()).is_some() {
            return;
        }
        let is_their_stage = self.stage == Stage::Objects;
        let rows = if is_their_stage { &mut self.rows } else { &mut self.early_rows };
        if entry.object.has_items() && entry.object.bytes() > PARTS_AT_ONCE * self.part_bytes as u64
        {
            begin(rows, directory, id, entry);
            if !waits {
                self.large.push_back(LargeObject { id, has_begun: true, removed: None });
            }
        } else {
            put_object(rows, directory, (id, entry), self.part_bytes);
            if waits {
                self.large.retain(|large| large.id != id);
            }
        }
    }

    /// Takes an object that was removed from the shard, if the walk over its items is not over. Returns
    /// it otherwise.
    pub(in crate::shard) fn adopt(&mut self, id: ObjectId, object: AnyObject) -> Option<AnyObject> {
        let is_it = |large: &&mut LargeObject| large.id == id && large.removed.is_none();
        match self.large.iter_mut().find(is_it) {
            Some(large) => {
                large.removed = Some(object);
                None
            }
            None => Some(object),
        }
    }

    /// Ends the walks over the items of objects.
    pub(super) fn end(self, shard: &mut Shard) {
        let discarded = &mut shard.workspace.discarded;
        for LargeObject { id, removed, .. } in self.large {
            match removed {
                Some(mut object) => {
                    object.end_walk(discarded);
                    object.discard(discarded);
                }
                None => {
                    if let Some(entry) = shard.objects.get_mut(&id) {
                        entry.object.end_walk(discarded);
                    }
                }
            }
        }
    }

    /// Leaves out an object that is about to be created.
    pub(in crate::shard) fn before_creation(
        &mut self,
        objects: &Table<ObjectId, ObjectEntry>,
        id: ObjectId,
    ) {
        if !self.has_passed(objects, id) {
            self.early.insert(id, ());
        }
    }

    fn has_passed(&self, objects: &Table<ObjectId, ObjectEntry>, id: ObjectId) -> bool {
        self.place.is_none_or(|place| objects.place(&id) < place)
    }

    /// Writes some more rows.
    pub(super) fn step(&mut self, shard: &mut Shard) {
        let rows = &mut self.rows;
        let start = rows.bytes.len();
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
                .continue_walk(STEP_ROWS, |part| {
                    put_session(rows, &part);
                    rows.bytes.len() - start < ITEMS_BYTES
                })
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
    fn step_objects(&mut self, shard: &mut Shard) -> bool {
        let SnapshotWalk { rows, place, early, large, part_bytes, .. } = self;
        let part_bytes = *part_bytes;
        if let Some(first) = large.front_mut() {
            if !first.write_part(rows, shard, part_bytes)
                && let Some(LargeObject { removed: Some(object), .. }) = large.pop_front()
            {
                object.discard(&mut shard.workspace.discarded);
            }
            return false;
        }
        let Some(from) = *place else { return true };
        *place = shard.objects.visit(from, STEP_SLOTS, |id, entry| {
            if early.remove(&id).is_some() {
                // It is written, or new.
            } else if is_large(&entry.object, part_bytes) {
                large.push_back(LargeObject { id, has_begun: false, removed: None });
            } else {
                put_object(rows, &shard.directory, (id, entry), part_bytes);
            }
        });
        false
    }
}

impl LargeObject {
    /// Writes the next part. Returns whether there is another.
    fn write_part(&mut self, rows: &mut Rows, shard: &mut Shard, bytes: usize) -> bool {
        let LargeObject { id, has_begun, removed } = self;
        let Shard { objects, directory, workspace, .. } = shard;
        let object = match removed {
            Some(removed) => removed,
            None => {
                let entry =
                    objects.get_mut(id).expect("a large object is adopted if it is removed");
                if !core::mem::replace(has_begun, true) {
                    if entry.object.has_items() {
                        begin(rows, directory, *id, entry);
                        return true;
                    }
                    put_object(rows, directory, (*id, entry), bytes);
                    return false;
                }
                &mut entry.object
            }
        };
        let mut goes_on = false;
        rows.put(RowKind::Items, |out| {
            out.put(&id.0);
            goes_on = object.continue_walk(bytes, out);
        });
        if !goes_on {
            object.end_walk(&mut workspace.discarded);
        }
        goes_on
    }
}

/// Writes a large object without its items, and begins the walk over them.
fn begin(rows: &mut Rows, directory: &Directory, id: ObjectId, entry: &mut ObjectEntry) {
    put_row(rows, directory, id, entry, true);
    entry.object.begin_walk();
}

/// Writes a whole object, in parts of about so many bytes.
pub(super) fn put_object(
    rows: &mut Rows,
    directory: &Directory,
    (id, entry): (ObjectId, &ObjectEntry),
    part_bytes: usize,
) {
    let object = &entry.object;
    let has_parts = object.has_items() && is_large(object, part_bytes);
    put_row(rows, directory, id, entry, has_parts);
    let (mut goes_on, mut last) = (has_parts, None);
    while goes_on {
        rows.put(RowKind::Items, |out| {
            out.put(&id.0);
            last = object.write_items(last.as_ref(), part_bytes, out);
        });
        goes_on = last.is_some();
    }
}

/// Writes an object, with its items or without.
fn put_row(
    rows: &mut Rows,
    directory: &Directory,
    id: ObjectId,
    ObjectEntry { object, version }: &ObjectEntry,
    without_items: bool,
) {
    let (name, ends) = (directory.name(id), directory.ends(id));
    rows.put(RowKind::Object, |out| {
        out.put(&ObjectRow { id: id.0, version: *version, name, ends });
        if without_items { object.write_without_items(out) } else { object.write(out) }
    });
}

/// Returns whether an object is too large to be written in a step with others.
fn is_large(object: &AnyObject, part_bytes: usize) -> bool {
    object.bytes() > part_bytes as u64
}
