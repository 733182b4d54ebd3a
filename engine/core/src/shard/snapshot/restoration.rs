//! Restoring a shard from a snapshot, row by row as it arrives.

use alloc::vec::Vec;

use catena_protocol::limits::NAME_BYTES_MAX;
use catena_protocol::{FrameKind, Header, ObjectId, OpCode, ShardId};

use super::FORMAT;
use super::rows::{
    HoldRow, LENGTH_BYTES, ObjectRow, QuotaRow, RowKind, ShardRow, WaiterRow, next_row, open_row,
};
use crate::config::{OBJECT_BYTES, OBJECTS_MAX};
use crate::objects::holds::Hold;
use crate::objects::{AnyObject, Reader, RestoreError, WaiterId, check};
use crate::shard::quotas::{Counting, Limits};
use crate::shard::sessions::RequestSlot;
use crate::shard::waiters::Waiter;
use crate::shard::{ObjectEntry, SEQ_MAX, Shard, Time};

/// A shard that is being restored.
#[derive(Debug)]
pub(crate) struct Restoration {
    shard: Shard,
    /// The kind of the last row; [`None`] before the first one.
    kind: Option<RowKind>,
    has_format: bool,
    /// Bytes of a row that is not complete.
    partial: Vec<u8>,
    /// The number of rows so far.
    rows: u64,
    /// The number of waiting requests that were found in sessions, and of those, and of holds, that
    /// were found in objects.
    parked: usize,
    waiting: usize,
    held: usize,
}

/// The latest time of a snapshot: later than any clock shows, and early enough for sums.
const NOW_MAX: Time = Time(1 << 62);

/// The latest end of a wait.
const END_MAX: Time = Time(1 << 63);

/// The longest row: more than an object takes that is written in one.
const ROW_BYTES_MAX: usize = 1 << 30;

impl Restoration {
    /// Begins to restore a shard that has the hash seed, types and limits of this one.
    pub(crate) fn new(like: &Shard) -> Restoration {
        let shard = Shard {
            reads: like.reads,
            memory_bytes_max: like.memory_bytes_max,
            ..Shard::empty(like.id, like.objects.seed(), like.types.clone())
        };
        Restoration {
            shard,
            kind: None,
            has_format: false,
            partial: Vec::new(),
            rows: 0,
            parked: 0,
            waiting: 0,
            held: 0,
        }
    }

    /// Takes the next bytes of the snapshot.
    ///
    /// # Errors
    ///
    /// If the bytes are not a snapshot of this shard, or have objects of user-defined types that
    /// are not registered here. Nothing can be taken after an error.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut rest = bytes;
        if !self.has_format
            && let Some((format, after)) = rest.split_first()
        {
            if *format != FORMAT {
                return Err(RestoreError::Format { ours: FORMAT, theirs: *format });
            }
            (self.has_format, rest) = (true, after);
        }
        while !self.partial.is_empty() && !rest.is_empty() {
            // First its length, then the row itself.
            let wanted = match self.partial.first_chunk() {
                Some(len) => LENGTH_BYTES + u32::from_le_bytes(*len) as usize,
                None => LENGTH_BYTES,
            };
            check(wanted <= LENGTH_BYTES + ROW_BYTES_MAX, "a row is too long")?;
            let (more, after) = rest.split_at(rest.len().min(wanted - self.partial.len()));
            self.partial.extend_from_slice(more);
            rest = after;
            let partial = core::mem::take(&mut self.partial);
            match next_row(&partial) {
                Some((row, _)) => self.take_row(row)?,
                None => self.partial = partial,
            }
        }
        while let Some((row, after)) = next_row(rest) {
            self.take_row(row)?;
            rest = after;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    /// Returns the shard. A waiting request gets its reply there once the client retries it.
    ///
    /// # Errors
    ///
    /// If the snapshot is not complete, or contradicts itself.
    pub(crate) fn finish(mut self) -> Result<Shard, RestoreError> {
        let is_whole = self.kind == Some(RowKind::End) && self.partial.is_empty();
        check(is_whole, "it ends before its last row, or goes on behind it")?;
        let Restoration { shard, waiting, held, .. } = &mut self;
        // Each waiter and each hold is of one object, so equal numbers mean that all were found.
        let waiting = *waiting + shard.watchers.len();
        check(waiting == shard.waiters.len(), "a waiting request is not in its object")?;
        check(*held == shard.workspace.holds.len(), "a hold is not in its object")?;
        shard.due = shard.earliest_due();
        Ok(self.shard)
    }

    fn take_row(&mut self, row: &[u8]) -> Result<(), RestoreError> {
        let (kind, mut input) = open_row(row)?;
        let is_after = match (self.kind, kind) {
            (None, RowKind::Shard) => true,
            (None, _) | (Some(_), RowKind::Shard) | (Some(RowKind::End), _) => false,
            (Some(RowKind::Requests), RowKind::Session) => true,
            (Some(RowKind::Items), RowKind::Object) => true,
            (Some(last), kind) => last <= kind,
        };
        check(is_after, "a row is not in its place")?;
        if kind >= RowKind::Object && self.kind < Some(RowKind::Object) {
            self.end_sessions()?;
        }
        self.kind = Some(kind);
        match kind {
            RowKind::Shard => self.take_shard(&input.take()?)?,
            RowKind::Quota => self.take_quota(&input.take()?)?,
            RowKind::Waiter => self.take_waiter(input.take()?)?,
            RowKind::Hold => self.take_hold(input.take()?)?,
            RowKind::Session => self.shard.sessions.put_back(input.take()?, self.shard.now)?,
            RowKind::Requests => self.take_requests(input.take()?)?,
            RowKind::Closed => self.shard.sessions.put_back_closed(input.take()?)?,
            RowKind::Object => self.take_object(&mut input)?,
            RowKind::Items => self.take_items(&mut input)?,
            RowKind::End => check(input.take::<u64>()? == self.rows, "a row is missing")?,
        }
        self.rows += 1;
        input.end()
    }

    fn take_shard(&mut self, row: &ShardRow) -> Result<(), RestoreError> {
        let ShardRow { id, now, base, seq, outcomes, next_waiter, next_hold } = *row;
        if id != self.shard.id.0 {
            return Err(RestoreError::Shard { ours: self.shard.id, theirs: ShardId(id) });
        }
        check(now <= NOW_MAX, "its time is too late")?;
        check(base <= seq, "it began behind its last update")?;
        check(seq.0 < SEQ_MAX, "it counts too many updates")?;
        // Each id took an update.
        check(next_waiter.0 <= seq.0, "more requests have waited than there were updates")?;
        check(next_hold.0 <= seq.0, "there were more holds than updates")?;
        (self.shard.now, self.shard.base, self.shard.seq) = (now, base, seq);
        self.shard.outcomes = outcomes;
        self.shard.waiters.go_on_from(next_waiter);
        self.shard.workspace.holds.go_on_from(next_hold);
        Ok(())
    }

    fn take_quota(&mut self, row: &QuotaRow<'_>) -> Result<(), RestoreError> {
        let QuotaRow { prefix, objects_max, bytes_max, counting } = *row;
        let limits = Limits { objects: objects_max, bytes: bytes_max };
        check(objects_max != 0 || bytes_max != 0, "a quota has no limit")?;
        let quotas = &mut self.shard.directory.quotas;
        check(quotas.get(prefix).is_none(), "a prefix has two quotas")?;
        check(counting.is_none_or(|(since, _)| since <= NOW_MAX), "a quota was set too late")?;
        let counting = counting.map(|(since, last)| Counting { since, last: last.into() });
        let was_put = quotas.insert(prefix, limits, counting);
        check(was_put.is_ok(), "there are too many quotas")
    }

    fn take_waiter(&mut self, row: WaiterRow) -> Result<(), RestoreError> {
        let WaiterRow { id, op, epoch, session, number, object, deadline, detached, seen } = row;
        let Shard { id: shard, waiters, watchers, now, .. } = &mut self.shard;
        let is_new = id < waiters.next_id() && waiters.get(id).is_none();
        check(is_new, "two waiting requests have the same id, or an id is still to come")?;
        let header = Header {
            op,
            shard: *shard,
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
            watchers.insert(ObjectId(object), id, seen);
        }
        let ends = detached.unwrap_or_default().max(deadline);
        check(ends <= END_MAX, "a request waits for too long")?;
        let mut waiter = Waiter::new(header, deadline, seen, *now);
        waiter.detached = detached;
        waiters.put_back(id, waiter);
        Ok(())
    }

    fn take_hold(&mut self, row: HoldRow) -> Result<(), RestoreError> {
        let HoldRow { id, object, session, until } = row;
        let holds = &mut self.shard.workspace.holds;
        let is_new = id < holds.next_id() && holds.find(id).is_none();
        check(is_new, "two holds have the same id, or an id is still to come")?;
        holds.put_back(id, Hold { object: ObjectId(object), session, until });
        Ok(())
    }

    fn take_requests(&mut self, slots: Vec<RequestSlot>) -> Result<(), RestoreError> {
        let (session, parked) = self.shard.sessions.put_back_requests(slots)?;
        for (number, waiter) in parked {
            let is_its_own = self.shard.waiters.get(waiter).is_some_and(|waiter| {
                (waiter.header.session, waiter.header.number) == (session, number)
            });
            check(is_its_own, "a session has a waiting request that does not wait")?;
            self.parked += 1;
        }
        Ok(())
    }

    /// Checks the sessions when all are there.
    fn end_sessions(&mut self) -> Result<(), RestoreError> {
        let Shard { sessions, waiters, workspace, .. } = &mut self.shard;
        sessions.end_restoring();
        // No waiter was counted twice, because a session has one request of each number.
        check(self.parked == waiters.len(), "a waiting request is not in its session")?;
        let are_open = workspace.holds.iter().all(|(_, hold)| sessions.is_open(hold.session));
        check(are_open, "a hold has no open session")
    }

    fn take_object(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let ObjectRow { id, version, name, ends } = input.take()?;
        let shard = &mut self.shard;
        let id = ObjectId(id);
        let mut object = AnyObject::restore(input, shard.seq.0, &shard.types)?;
        check(version <= shard.seq, "the version of an object is still to come")?;
        check(shard.objects.len() < OBJECTS_MAX, "there are too many objects")?;
        self.waiting += shard.restore_waiters(id, &mut object)?;
        self.held += shard.check_holds(id, &object)?;
        let bytes = OBJECT_BYTES + object.bytes();
        shard.object_bytes += bytes;
        let before = shard.objects.insert(id, ObjectEntry { object, version });
        check(before.is_none(), "an object is listed twice")?;
        if let Some(name) = name {
            let is_name = (1..=NAME_BYTES_MAX).contains(&name.len());
            check(is_name && ObjectId::of(name) == id, "a name is not that of its object")?;
            shard.directory.put_name(id, name, bytes);
        }
        if ends.is_some() {
            shard.directory.put_end(id, ends);
        }
        Ok(())
    }

    fn take_items(&mut self, input: &mut Reader<'_>) -> Result<(), RestoreError> {
        let id = ObjectId(input.take()?);
        let Some(ObjectEntry { object, .. }) = self.shard.objects.get_mut(&id) else {
            return check(false, "items are of no object");
        };
        let before = object.bytes();
        object.read_items(input)?;
        let bytes = object.bytes();
        self.shard.resized(id, before, bytes);
        Ok(())
    }
}

impl Shard {
    /// Refuses waiters of an object that do not wait for it, and lets it pass over those that are
    /// detached. Returns their number.
    fn restore_waiters(&self, id: ObjectId, object: &mut AnyObject) -> Result<usize, RestoreError> {
        let waiters: Vec<WaiterId> = object.waiters();
        for waiter in &waiters {
            let found = self
                .waiters
                .get(*waiter)
                .filter(|waiter| waiter.header.object == id && waiter.seen.is_none());
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
