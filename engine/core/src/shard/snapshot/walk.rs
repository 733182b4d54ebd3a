//! The walk of a snapshot over the tables of a shard.

use alloc::collections::VecDeque;

use catena_protocol::ObjectId;

use super::rows::{ObjectRow, RowKind, Rows};
use super::{FORMAT, put_end, put_hold, put_session, put_waiter};
use crate::objects::{AnyObject, ITEMS_BYTES, ItemPlace};
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
    /// Large objects before that place, which are written one after the other, in parts.
    large: VecDeque<(ObjectId, Written)>,
}

/// How much of an object is written.
#[derive(Debug)]
enum Written {
    Nothing,
    /// The object without its items, and the items up to this one.
    Items(Option<ItemPlace>),
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

/// How many slots of the table of objects are looked at in a step: few, because each may have an object
/// that is just not large.
const STEP_SLOTS: usize = 16;

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

    /// Writes an object that is about to change or to be removed, unless it has been written.
    pub(in crate::shard) fn before_change(
        &mut self,
        objects: &Table<ObjectId, ObjectEntry>,
        directory: &Directory,
        id: ObjectId,
    ) {
        let Some(entry) = objects.get(&id) else { return };
        let mut written = Written::Nothing;
        if self.has_passed(objects, id) {
            let Some(at) = self.large.iter().position(|(large, _)| *large == id) else { return };
            let Some((_, part)) = self.large.remove(at) else { return };
            written = part;
        } else if self.early.insert(id, ()).is_some() {
            return;
        }
        let is_their_stage = self.stage == Stage::Objects;
        let rows = if is_their_stage { &mut self.rows } else { &mut self.early_rows };
        while put_next(rows, directory, (id, entry), &mut written) {}
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
    fn step_objects(&mut self, shard: &Shard) -> bool {
        let SnapshotWalk { rows, place, early, large, .. } = self;
        if let Some((id, written)) = large.front_mut() {
            let entry = shard.objects.get(id).expect("it is written before it is removed");
            if !put_next(rows, &shard.directory, (*id, entry), written) {
                large.pop_front();
            }
            return false;
        }
        let Some(from) = *place else { return true };
        *place = shard.objects.visit(from, STEP_SLOTS, |id, entry| {
            if early.remove(&id).is_some() {
                // It is written, or new.
            } else if is_large(&entry.object) {
                large.push_back((id, Written::Nothing));
            } else {
                put_object(rows, &shard.directory, id, entry);
            }
        });
        false
    }
}

/// Writes a whole object.
pub(super) fn put_object(
    rows: &mut Rows,
    directory: &Directory,
    id: ObjectId,
    entry: &ObjectEntry,
) {
    let mut written = Written::Nothing;
    while put_next(rows, directory, (id, entry), &mut written) {}
}

/// Writes the next part of an object. Returns whether there is another.
fn put_next(
    rows: &mut Rows,
    directory: &Directory,
    (id, ObjectEntry { object, version }): (ObjectId, &ObjectEntry),
    written: &mut Written,
) -> bool {
    let Written::Items(last) = written else {
        let (name, ends) = (directory.name(id), directory.ends(id));
        let goes_on = object.has_items() && is_large(object);
        rows.put(RowKind::Object, |out| {
            out.put(&ObjectRow { id: id.0, version: *version, name, ends });
            if goes_on { object.write_without_items(out) } else { object.write(out) }
        });
        *written = Written::Items(None);
        return goes_on;
    };
    rows.put(RowKind::Items, |out| {
        out.put(&id.0);
        *last = object.write_items(last.as_ref(), out);
    });
    last.is_some()
}

/// Returns whether an object is too large to be written in a step with others.
fn is_large(object: &AnyObject) -> bool {
    object.bytes() > ITEMS_BYTES as u64
}
