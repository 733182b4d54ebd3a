//! The walk of a snapshot over the tables of a shard.

use alloc::collections::{BTreeMap, VecDeque};

use catena_protocol::ObjectId;

use super::rows::{ObjectRow, RowKind, Rows};
use super::{FORMAT, put_end, put_hold, put_session, put_waiter};
use crate::objects::{AnyObject, Discarded, ITEMS_BYTES, WalkedItems};
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
    /// Large objects that are not written to their end: those before that place, and those of
    /// `early`.
    large: BTreeMap<ObjectId, LargeObject>,
    /// The order in which they are written, in parts.
    order: VecDeque<ObjectId>,
    /// The sum of the memory of the walks over them.
    large_bytes: u64,
    /// The one that has changed last, whose memory may have grown since.
    changing: Option<ObjectId>,
}

/// A large object that is not written to its end.
#[derive(Debug, Default)]
struct LargeObject {
    /// The object is written without its items, and the walk over them has begun.
    has_begun: bool,
    /// The object, if the shard has it no more.
    removed: Option<AnyObject>,
    /// The memory of the walk, as it was counted last.
    bytes: u64,
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
            large: BTreeMap::new(),
            order: VecDeque::new(),
            large_bytes: 0,
            changing: None,
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
        let changing = self.changing.and_then(|id| Some((id, self.large.get(&id)?)));
        let grown = changing.map_or(0, |(id, large)| large.memory(objects, id) - large.bytes);
        rows as u64 + self.large_bytes + grown
    }

    /// Counts the memory of the walk over a large object.
    fn count(&mut self, objects: &Table<ObjectId, ObjectEntry>, id: ObjectId) {
        if let Some(large) = self.large.get_mut(&id) {
            let bytes = large.memory(objects, id);
            self.large_bytes = self.large_bytes - large.bytes + bytes;
            large.bytes = bytes;
        }
    }

    /// Notes that a large object changes from now on, and no other.
    fn note_changing(&mut self, objects: &Table<ObjectId, ObjectEntry>, id: ObjectId) {
        if self.changing != Some(id)
            && let Some(before) = self.changing.replace(id)
        {
            self.count(objects, before);
        }
    }

    fn forget(&mut self, id: ObjectId) -> Option<LargeObject> {
        let large = self.large.remove(&id)?;
        self.large_bytes -= large.bytes;
        Some(large)
    }

    /// Writes an object that is about to change or to be removed, unless it has been written. Of a
    /// large one the items are not: it keeps those that change.
    pub(in crate::shard) fn before_change(
        &mut self,
        objects: &mut Table<ObjectId, ObjectEntry>,
        directory: &Directory,
        id: ObjectId,
    ) {
        if self.large.get(&id).is_some_and(|large| large.has_begun) {
            return self.note_changing(objects, id);
        }
        let waits = self.large.contains_key(&id);
        let has_passed = self.has_passed(objects, id);
        let Some(entry) = objects.get_mut(&id) else { return };
        if !waits && (has_passed || self.early.insert(id, ()).is_some()) {
            return;
        }
        let is_their_stage = self.stage == Stage::Objects;
        let rows = if is_their_stage { &mut self.rows } else { &mut self.early_rows };
        let items = entry.object.items();
        if items.is_some() && entry.object.bytes() > PARTS_AT_ONCE * self.part_bytes as u64 {
            begin(rows, directory, id, entry);
            let large = LargeObject { has_begun: true, ..LargeObject::default() };
            if self.large.insert(id, large).is_none() {
                self.order.push_back(id);
            }
            self.note_changing(objects, id);
        } else {
            put_object(rows, directory, (id, entry), self.part_bytes);
            self.forget(id);
        }
    }

    /// Takes an object that was removed from the shard, if the walk over its items is not over. Returns
    /// it otherwise.
    pub(in crate::shard) fn adopt(&mut self, id: ObjectId, object: AnyObject) -> Option<AnyObject> {
        let Some(large) = self.large.get_mut(&id).filter(|large| large.removed.is_none()) else {
            return Some(object);
        };
        let bytes = object.bytes() + object.items().map_or(0, WalkedItems::walk_bytes);
        self.large_bytes = self.large_bytes - large.bytes + bytes;
        (large.removed, large.bytes) = (Some(object), bytes);
        None
    }

    /// Ends the walks over the items of objects.
    pub(super) fn end(self, shard: &mut Shard) {
        let discarded = &mut shard.workspace.discarded;
        for (id, LargeObject { removed, .. }) in self.large {
            match removed {
                Some(mut object) => {
                    end_walk(&mut object, discarded);
                    object.discard(discarded);
                }
                None => {
                    if let Some(entry) = shard.objects.get_mut(&id) {
                        end_walk(&mut entry.object, discarded);
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
        if let Some(first) = self.order.front().copied() {
            self.step_large(shard, first);
            return false;
        }
        let SnapshotWalk { rows, place, early, large, order, part_bytes, .. } = self;
        let part_bytes = *part_bytes;
        let Some(from) = *place else { return true };
        *place = shard.objects.visit(from, STEP_SLOTS, |id, entry| {
            if early.remove(&id).is_some() {
                // It is written, or new.
            } else if is_large(&entry.object, part_bytes) {
                large.insert(id, LargeObject::default());
                order.push_back(id);
            } else {
                put_object(rows, &shard.directory, (id, entry), part_bytes);
            }
        });
        false
    }

    /// Writes the next part of a large object.
    fn step_large(&mut self, shard: &mut Shard, id: ObjectId) {
        let goes_on = self
            .large
            .get_mut(&id)
            .is_some_and(|large| large.write_part(id, &mut self.rows, shard, self.part_bytes));
        if goes_on {
            return self.count(&shard.objects, id);
        }
        self.order.pop_front();
        if let Some(LargeObject { removed: Some(object), .. }) = self.forget(id) {
            object.discard(&mut shard.workspace.discarded);
        }
    }
}

impl LargeObject {
    /// Returns the memory that the walk over it takes now, in bytes, near enough.
    fn memory(&self, objects: &Table<ObjectId, ObjectEntry>, id: ObjectId) -> u64 {
        let walk_bytes = |object: &AnyObject| object.items().map_or(0, WalkedItems::walk_bytes);
        match &self.removed {
            Some(removed) => removed.bytes() + walk_bytes(removed),
            None => objects.get(&id).map_or(0, |entry| walk_bytes(&entry.object)),
        }
    }

    /// Writes the next part. Returns whether there is another.
    fn write_part(
        &mut self,
        id: ObjectId,
        rows: &mut Rows,
        shard: &mut Shard,
        bytes: usize,
    ) -> bool {
        let LargeObject { has_begun, removed, .. } = self;
        let Shard { objects, directory, workspace, .. } = shard;
        let object = match removed {
            Some(removed) => removed,
            None => {
                let entry =
                    objects.get_mut(&id).expect("a large object is adopted if it is removed");
                if !core::mem::replace(has_begun, true) {
                    if entry.object.items().is_some() {
                        begin(rows, directory, id, entry);
                        return true;
                    }
                    put_object(rows, directory, (id, entry), bytes);
                    return false;
                }
                &mut entry.object
            }
        };
        let mut goes_on = false;
        rows.put(RowKind::Items, |out| {
            out.put(&id.0);
            goes_on = items(object).continue_walk(bytes, out);
        });
        if !goes_on {
            end_walk(object, &mut workspace.discarded);
        }
        goes_on
    }
}

/// Writes a large object without its items, and begins the walk over them.
fn begin(rows: &mut Rows, directory: &Directory, id: ObjectId, entry: &mut ObjectEntry) {
    put_row(rows, directory, id, entry, true);
    items(&mut entry.object).begin_walk();
}

fn items(object: &mut AnyObject) -> &mut dyn WalkedItems {
    object.items_mut().expect("only an object with items is written in parts")
}

fn end_walk(object: &mut AnyObject, discarded: &mut Discarded) {
    if let Some(items) = object.items_mut() {
        items.end_walk(discarded);
    }
}

/// Writes a whole object, in parts of about so many bytes.
pub(super) fn put_object(
    rows: &mut Rows,
    directory: &Directory,
    (id, entry): (ObjectId, &ObjectEntry),
    part_bytes: usize,
) {
    let object = &entry.object;
    let items = object.items().filter(|_| is_large(object, part_bytes));
    put_row(rows, directory, id, entry, items.is_some());
    let Some(items) = items else { return };
    let (mut goes_on, mut last) = (true, None);
    while goes_on {
        rows.put(RowKind::Items, |out| {
            out.put(&id.0);
            last = items.write(last.as_ref(), part_bytes, out);
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
