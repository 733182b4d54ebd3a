//! A shard written down, for a node that is to go on from here, and read back.
//!
//! Written down is what decides about all later answers: objects with their versions, names and ends,
//! quotas, sessions with the answers they keep, who waits, who holds what, and which ids come next. Not
//! written down is what is one node's own: connections, hash seeds, counts of reads, budgets, and when
//! to look for ends next.
//!
//! 1. The same state gives the same bytes, whatever the hash seed and whatever was read, refused or
//!    repeated on the way: tables are written in the order of their keys. Only the time in front of it
//!    all is a node's own.
//! 2. A snapshot is only restored if it is one that [`Shard::snapshot`] can have given, as far as later
//!    events rely on it: whoever waits is known to object and session, whatever is held is known to its
//!    object and an open session, and ids to come are not taken. Sums and indices are worked out anew.
//! 3. Bytes that are none give an error. They are read once, from front to back; memory for what they
//!    announce is taken as it comes.
//!
//! Format 1, all in [postcard](https://postcard.jamesmunns.com/): the format, the shard and the time;
//! then the shard's place in its order, quotas, waiters, holds, sessions, objects. Each list begins with
//! its length.

use alloc::vec::Vec;
use catena_protocol::limits::NAME_BYTES_MAX;
use catena_protocol::{FrameKind, Header, ObjectId, OpCode, ShardId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::directory::Quota;
use super::session;
use super::waiters::Waiter;
use super::{ObjectEntry, Seq, Shard, Time};
use crate::config::{OBJECT_BYTES, OBJECTS_MAX};
use crate::objects::holds::Hold;
use crate::objects::{AnyObject, HoldId, Reader, RestoreError, WaiterId, Writer, check};

/// The format that is written.
const FORMAT: u8 = 1;

/// More updates than a shard can live to see: tokens have room for no more.
const SEQ_MAX: u64 = 1 << 48;

/// Later than any clock shows, and early enough for sums.
const NOW_MAX: Time = Time(1 << 62);

/// A request that waits.
#[derive(Serialize, Deserialize)]
struct WaiterSnapshot {
    id: WaiterId,
    op: u16,
    epoch: u32,
    session: u64,
    number: u64,
    object: u128,
    deadline: Time,
    /// The version it has seen, if it waits for a newer one.
    seen: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct HoldSnapshot {
    id: HoldId,
    object: u128,
    session: u64,
    until: Option<Time>,
}

#[derive(Serialize, Deserialize)]
struct QuotaSnapshot<'a> {
    prefix: &'a str,
    objects_max: u64,
    bytes_max: u64,
}

/// What stands in front of an object's own state.
#[derive(Serialize, Deserialize)]
struct ObjectSnapshot<'a> {
    id: u128,
    version: Seq,
    name: Option<&'a str>,
    ends: Option<Time>,
}

impl Shard {
    /// The whole state, for whoever is to go on from here. Takes time in proportion to it.
    ///
    /// # Panics
    ///
    /// If a user-defined object panics when it is to say what it holds.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.put(&(FORMAT, self.id.0, self.now));
        self.write_state(&mut out);
        out.finish()
    }

    /// A number that two shards with the same state have in common, and hardly any others: the xxh3 of
    /// the snapshot behind its time, which is the node's own as long as nothing happens.
    pub fn digest(&self) -> u64 {
        let mut out = Writer::new();
        self.write_state(&mut out);
        xxh3_64(&out.finish())
    }

    /// A shard with the state that another one's snapshot says, and with this one's hash seed, types
    /// and limits. Whoever waits there is heard of here once they ask again.
    ///
    /// # Errors
    ///
    /// If the bytes are no snapshot of this shard, or have objects of types that are unknown here.
    pub(crate) fn restored(&self, bytes: &[u8]) -> Result<Shard, RestoreError> {
        let mut input = Reader::new(bytes);
        let format: u8 = input.take()?;
        if format != FORMAT {
            return Err(RestoreError::Format { ours: FORMAT, theirs: format });
        }
        let (id, now): (u16, Time) = input.take()?;
        if id != self.id.0 {
            return Err(RestoreError::Shard { ours: self.id, theirs: ShardId(id) });
        }
        check(now <= NOW_MAX, "it is too late")?;
        let mut shard = Shard {
            now,
            reads: self.reads,
            memory_bytes_max: self.memory_bytes_max,
            ..Shard::empty(self.id, self.objects.seed(), self.types.clone())
        };
        shard.read_state(&mut input)?;
        input.end()?;
        Ok(shard)
    }

    fn write_state(&self, out: &mut Writer) {
        out.put(&self.seq);
        let quotas = self.directory.quotas().map(|(prefix, quota)| {
            let Quota { objects_max, bytes_max, .. } = quota;
            QuotaSnapshot { prefix, objects_max, bytes_max }
        });
        out.put(&quotas.collect::<Vec<_>>());
        self.write_waiters(out);
        self.write_holds(out);
        let sessions = self.sessions.kept();
        out.put(&(sessions.len() as u64));
        sessions.for_each(|session| out.put(&session));
        self.write_objects(out);
    }

    fn write_waiters(&self, out: &mut Writer) {
        out.put(&self.waiters.next_id());
        out.put(&(self.waiters.len() as u64));
        for (id, waiter) in self.waiters.iter() {
            let Header { op, epoch, session, number, object: ObjectId(object), .. } = waiter.header;
            let (deadline, seen) = (waiter.deadline, self.watchers.seen(id));
            out.put(&WaiterSnapshot { id, op, epoch, session, number, object, deadline, seen });
        }
    }

    fn write_holds(&self, out: &mut Writer) {
        let holds = &self.workspace.holds;
        out.put(&holds.next_id());
        out.put(&(holds.len() as u64));
        for (id, Hold { object, session, until }) in holds.iter() {
            out.put(&HoldSnapshot { id, object: object.0, session, until });
        }
    }

    fn write_objects(&self, out: &mut Writer) {
        let mut objects: Vec<(ObjectId, &ObjectEntry)> = self.objects.iter().collect();
        objects.sort_unstable_by_key(|(id, _)| *id);
        out.put(&(objects.len() as u64));
        for (id, ObjectEntry { object, version }) in objects {
            let (name, ends) = (self.directory.name(id), self.directory.ends(id));
            out.put(&ObjectSnapshot { id: id.0, version: *version, name, ends });
            object.write(out);
        }
    }

    fn read_state(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        self.seq = input.take()?;
        check(self.seq.0 < SEQ_MAX, "there were too many updates")?;
        let quotas: Vec<QuotaSnapshot<'_>> = input.take()?;
        for QuotaSnapshot { prefix, objects_max, bytes_max } in quotas {
            let quota = Quota { objects_max, bytes_max, ..Quota::default() };
            check(objects_max != 0 || bytes_max != 0, "a quota limits nothing")?;
            let was_put = self.directory.put_quota(prefix, quota);
            check(was_put.is_ok(), "there are too many quotas")?;
        }
        self.read_waiters(input)?;
        self.read_holds(input)?;
        self.read_sessions(input)?;
        self.read_objects(input)?;
        self.due = self.earliest_due();
        Ok(())
    }

    fn read_waiters(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let next: WaiterId = input.take()?;
        // Each took an update.
        check(next.0 <= self.seq.0, "more requests waited than there were")?;
        for _ in 0..input.take::<u64>()? {
            let waiter: WaiterSnapshot = input.take()?;
            let WaiterSnapshot { id, op, epoch, session, number, object, deadline, seen } = waiter;
            let is_new = id < next && self.waiters.get(id).is_none();
            check(is_new, "a request waits under the id of another")?;
            let header = Header {
                op,
                shard: self.id,
                epoch,
                session,
                number,
                object: ObjectId(object),
                ..Header::new(FrameKind::Request)
            };
            let is_watcher = op == OpCode::ObjectWaitNewer.to_wire();
            check(seen.is_some() == is_watcher, "a request waits for what it did not ask for")?;
            if let Some(seen) = seen {
                self.watchers.insert(ObjectId(object), id, seen);
            }
            self.waiters.put_back(id, Waiter { header, conn: None, since: self.now, deadline });
        }
        self.waiters.go_on_from(next);
        Ok(())
    }

    fn read_holds(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let next: HoldId = input.take()?;
        // Each took an update.
        check(next.0 <= self.seq.0, "more was held than there were updates")?;
        for _ in 0..input.take::<u64>()? {
            let HoldSnapshot { id, object, session, until } = input.take()?;
            let is_new = id < next && self.workspace.holds.find(id).is_none();
            check(is_new, "a hold has the id of another")?;
            self.workspace.holds.put_back(id, Hold { object: ObjectId(object), session, until });
        }
        self.workspace.holds.go_on_from(next);
        Ok(())
    }

    fn read_sessions(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let mut parked_count = 0;
        for _ in 0..input.take::<u64>()? {
            let kept: session::SessionSnapshot = input.take()?;
            let id = kept.id();
            for (number, waiter) in self.sessions.put_back(kept, self.now)? {
                let is_its_own = self.waiters.get(waiter).is_some_and(|waiter| {
                    (waiter.header.session, waiter.header.number) == (id, number)
                });
                check(is_its_own, "a session's request waits and is not there")?;
                parked_count += 1;
            }
        }
        // No waiter was found twice: a session has one request of each number.
        check(
            parked_count == self.waiters.len(),
            "a request waits that its session does not know",
        )?;
        let is_open = |hold: Hold| self.sessions.is_open(hold.session);
        let are_open = self.workspace.holds.iter().all(|(_, hold)| is_open(hold));
        check(are_open, "something is held by nobody")
    }

    fn read_objects(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let (mut waiting, mut held) = (self.watchers.len(), 0);
        for _ in 0..input.take::<u64>()? {
            let ObjectSnapshot { id, version, name, ends } = input.take()?;
            let id = ObjectId(id);
            let object = AnyObject::restore(input, self.seq.0, &self.types)?;
            check(version <= self.seq, "a version is still to come")?;
            check(self.objects.len() < OBJECTS_MAX, "there are too many objects")?;
            waiting += self.check_waiters(id, &object)?;
            held += self.check_holds(id, &object)?;
            let bytes = OBJECT_BYTES + object.bytes();
            self.object_bytes += bytes;
            let before = self.objects.insert(id, ObjectEntry { object, version });
            check(before.is_none(), "an object is there twice")?;
            if let Some(name) = name {
                let is_name = (1..=NAME_BYTES_MAX).contains(&name.len());
                check(is_name && ObjectId::of(name) == id, "a name is not the object's")?;
                self.directory.put_name(id, name, bytes);
            }
            if ends.is_some() {
                self.directory.put_end(id, ends);
            }
        }
        // What was counted is of one object each, so that as many are all.
        check(waiting == self.waiters.len(), "a request waits for an object that does not know")?;
        check(
            held == self.workspace.holds.len(),
            "something is held of an object that does not know",
        )
    }

    /// Refuses requests that an object lets wait and that do not wait for it. Answers how many do.
    fn check_waiters(&self, id: ObjectId, object: &AnyObject) -> Result<usize, RestoreError> {
        let waiters = object.waiters();
        for waiter in &waiters {
            let waits_here = self.waiters.get(*waiter).is_some_and(|waiter| {
                waiter.header.object == id && waiter.header.op != OpCode::ObjectWaitNewer.to_wire()
            });
            check(waits_here, "an object lets a request wait that does not")?;
        }
        Ok(waiters.len())
    }

    /// Refuses what an object lets be held and nobody holds. Answers how much there is.
    fn check_holds(&self, id: ObjectId, object: &AnyObject) -> Result<usize, RestoreError> {
        let mut holds = object.holds();
        for hold in &holds {
            let is_held = self.workspace.holds.find(*hold).is_some_and(|hold| hold.object == id);
            check(is_held, "an object lets something be held that is not")?;
        }
        let count = holds.len();
        holds.sort_unstable();
        holds.dedup();
        check(holds.len() == count, "one hold is of two things")?;
        Ok(count)
    }
}
