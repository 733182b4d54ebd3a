//! Snapshots of a shard, for a state transfer to another node.
//!
//! A snapshot has everything that later replies depend on: objects with their versions, names and
//! expiry times, quotas, sessions with the replies they keep, waiting requests, holds, and the next
//! ids. It leaves out what belongs to one node: connections, hash seeds, statistics, budgets and
//! due times.
//!
//! 1. The same state gives the same bytes, whatever the hash seed and whatever was read, refused or
//!    retried before: tables are written in the order of their keys. Only the time at the front is
//!    a node's own.
//! 2. A snapshot is restored only if [`Shard::snapshot`] can have produced it, as far as later
//!    events rely on it: every waiting request is known to its object and its session, every hold
//!    to its object and an open session, and the next ids are free. Sums and indices are computed
//!    again.
//! 3. Other bytes give an error. They are read once, from front to back, and memory is allocated as
//!    elements are read, not by the length that a list announces.
//!
//! Format 2, all in [postcard](https://postcard.jamesmunns.com/): the format, the shard and the
//! time; then the positions of the shard's beginning and of its last update, quotas, waiters, holds, sessions, closed ones, objects. Each
//! list begins with its length.

use alloc::vec::Vec;
use catena_protocol::limits::NAME_BYTES_MAX;
use catena_protocol::{FrameKind, Header, ObjectId, OpCode, ShardId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::directory::Quota;
use super::session;
use super::waiters::Waiter;
use super::{ObjectEntry, SEQ_MAX, Seq, Shard, Time};
use crate::config::{OBJECT_BYTES, OBJECTS_MAX};
use crate::objects::holds::Hold;
use crate::objects::{AnyObject, HoldId, Reader, RestoreError, WaiterId, Writer, check};

/// The format of the snapshots that this version writes and reads.
const FORMAT: u8 = 2;

/// The latest time of a snapshot: later than any clock shows, and early enough for sums.
const NOW_MAX: Time = Time(1 << 62);

/// The latest end of a wait.
const END_MAX: Time = Time(1 << 63);

/// A waiting request.
#[derive(Serialize, Deserialize)]
struct WaiterSnapshot {
    id: WaiterId,
    op: u16,
    epoch: u32,
    session: u64,
    number: u64,
    object: u128,
    deadline: Time,
    /// Until when it keeps its place, if it is detached.
    detached: Option<Time>,
    /// The version it has seen, if it watches its object.
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

/// An object; its kind and state follow.
#[derive(Serialize, Deserialize)]
struct ObjectSnapshot<'a> {
    id: u128,
    version: Seq,
    name: Option<&'a str>,
    ends: Option<Time>,
}

impl Shard {
    /// Returns a snapshot of the whole state. Takes time in proportion to its size.
    ///
    /// # Panics
    ///
    /// If `snapshot` of a user-defined object panics.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.put(&(FORMAT, self.id.0, self.now));
        self.write_state(&mut out);
        out.finish()
    }

    /// Returns a hash of the state: the xxh3 of the snapshot after its time, which differs between
    /// replicas until the next update.
    pub fn digest(&self) -> u64 {
        let mut out = Writer::new();
        self.write_state(&mut out);
        xxh3_64(&out.finish())
    }

    /// Returns a shard with the state of a snapshot, and with this shard's hash seed, types and
    /// limits. A waiting request gets its reply here once the client retries it.
    ///
    /// # Errors
    ///
    /// If the bytes are not a snapshot of this shard, or have objects of user-defined types that
    /// are not registered here.
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
        check(now <= NOW_MAX, "its time is too late")?;
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
        out.put(&(self.base, self.seq));
        let quotas = self.directory.quotas().map(|(prefix, quota)| {
            let Quota { objects_max, bytes_max, .. } = quota;
            QuotaSnapshot { prefix, objects_max, bytes_max }
        });
        out.put(&quotas.collect::<Vec<_>>());
        self.write_waiters(out);
        self.write_holds(out);
        let sessions = self.sessions.snapshots();
        out.put(&(sessions.len() as u64));
        sessions.for_each(|session| out.put(&session));
        let closed = self.sessions.closed();
        out.put(&(closed.len() as u64));
        closed.for_each(|closed| out.put(&closed));
        self.write_objects(out);
    }

    fn write_waiters(&self, out: &mut Writer) {
        out.put(&self.waiters.next_id());
        out.put(&(self.waiters.len() as u64));
        for (id, waiter) in self.waiters.iter() {
            let Header { op, epoch, session, number, object: ObjectId(object), .. } = waiter.header;
            let (deadline, detached) = (waiter.deadline, waiter.detached);
            let seen = self.watchers.seen(id);
            out.put(&WaiterSnapshot {
                id,
                op,
                epoch,
                session,
                number,
                object,
                deadline,
                detached,
                seen,
            });
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
        (self.base, self.seq) = input.take()?;
        check(self.base <= self.seq, "it began behind its last update")?;
        check(self.seq.0 < SEQ_MAX, "it counts too many updates")?;
        let quotas: Vec<QuotaSnapshot<'_>> = input.take()?;
        for QuotaSnapshot { prefix, objects_max, bytes_max } in quotas {
            let quota = Quota { objects_max, bytes_max, ..Quota::default() };
            check(objects_max != 0 || bytes_max != 0, "a quota has no limit")?;
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
        // Each id took an update.
        check(next.0 <= self.seq.0, "more requests have waited than there were updates")?;
        for _ in 0..input.take::<u64>()? {
            let waiter: WaiterSnapshot = input.take()?;
            let WaiterSnapshot { id, op, epoch, session, number, object, deadline, detached, seen } =
                waiter;
            let is_new = id < next && self.waiters.get(id).is_none();
            check(is_new, "two waiting requests have the same id, or an id is still to come")?;
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
            check(
                seen.is_some() == is_watcher,
                "a waiting request has a seen version, but does not watch, or the reverse",
            )?;
            if let Some(seen) = seen {
                self.watchers.insert(ObjectId(object), id, seen);
            }
            let ends = detached.unwrap_or_default().max(deadline);
            check(ends <= END_MAX, "a request waits for too long")?;
            self.waiters.put_back(id, Waiter::new(header, deadline, detached, self.now));
        }
        self.waiters.go_on_from(next);
        Ok(())
    }

    fn read_holds(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let next: HoldId = input.take()?;
        // Each id took an update.
        check(next.0 <= self.seq.0, "there were more holds than updates")?;
        for _ in 0..input.take::<u64>()? {
            let HoldSnapshot { id, object, session, until } = input.take()?;
            let is_new = id < next && self.workspace.holds.find(id).is_none();
            check(is_new, "two holds have the same id, or an id is still to come")?;
            self.workspace.holds.put_back(id, Hold { object: ObjectId(object), session, until });
        }
        self.workspace.holds.go_on_from(next);
        Ok(())
    }

    fn read_sessions(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let mut parked_count = 0;
        for _ in 0..input.take::<u64>()? {
            let session: session::SessionSnapshot = input.take()?;
            let id = session.id();
            for (number, waiter) in self.sessions.put_back(session, self.now)? {
                let is_its_own = self.waiters.get(waiter).is_some_and(|waiter| {
                    (waiter.header.session, waiter.header.number) == (id, number)
                });
                check(is_its_own, "a session has a waiting request that does not wait")?;
                parked_count += 1;
            }
        }
        for _ in 0..input.take::<u64>()? {
            self.sessions.put_back_closed(input.take()?)?;
        }
        self.sessions.end_restoring();
        // No waiter was counted twice, because a session has one request of each number.
        check(parked_count == self.waiters.len(), "a waiting request is not in its session")?;
        let is_open = |hold: Hold| self.sessions.is_open(hold.session);
        let are_open = self.workspace.holds.iter().all(|(_, hold)| is_open(hold));
        check(are_open, "a hold has no open session")
    }

    fn read_objects(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let (mut waiting, mut held) = (self.watchers.len(), 0);
        for _ in 0..input.take::<u64>()? {
            let ObjectSnapshot { id, version, name, ends } = input.take()?;
            let id = ObjectId(id);
            let mut object = AnyObject::restore(input, self.seq.0, &self.types)?;
            check(version <= self.seq, "the version of an object is still to come")?;
            check(self.objects.len() < OBJECTS_MAX, "there are too many objects")?;
            waiting += self.restore_waiters(id, &mut object)?;
            held += self.check_holds(id, &object)?;
            let bytes = OBJECT_BYTES + object.bytes();
            self.object_bytes += bytes;
            let before = self.objects.insert(id, ObjectEntry { object, version });
            check(before.is_none(), "an object is listed twice")?;
            if let Some(name) = name {
                let is_name = (1..=NAME_BYTES_MAX).contains(&name.len());
                check(is_name && ObjectId::of(name) == id, "a name is not that of its object")?;
                self.directory.put_name(id, name, bytes);
            }
            if ends.is_some() {
                self.directory.put_end(id, ends);
            }
        }
        // Each waiter and each hold is of one object, so equal numbers mean that all were found.
        check(waiting == self.waiters.len(), "a waiting request is not in its object")?;
        check(held == self.workspace.holds.len(), "a hold is not in its object")
    }

    /// Refuses waiters of an object that do not wait for it, and lets it pass over those that are
    /// detached. Returns their number.
    fn restore_waiters(&self, id: ObjectId, object: &mut AnyObject) -> Result<usize, RestoreError> {
        let waiters = object.waiters();
        for waiter in &waiters {
            let found = self.waiters.get(*waiter).filter(|waiter| {
                waiter.header.object == id && waiter.header.op != OpCode::ObjectWaitNewer.to_wire()
            });
            check(found.is_some(), "an object has a waiter that does not wait for it")?;
            object.set_attended(*waiter, found.is_none_or(|waiter| waiter.detached.is_none()));
        }
        Ok(waiters.len())
    }

    /// Refuses holds of an object that no session has. Returns their number.
    fn check_holds(&self, id: ObjectId, object: &AnyObject) -> Result<usize, RestoreError> {
        let mut holds = object.holds();
        for hold in &holds {
            let is_held = self.workspace.holds.find(*hold).is_some_and(|hold| hold.object == id);
            check(is_held, "an object has a hold that no session has")?;
        }
        let count = holds.len();
        holds.sort_unstable();
        holds.dedup();
        check(holds.len() == count, "an object has the same hold twice")?;
        Ok(count)
    }
}
