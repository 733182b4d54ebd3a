//! Ops for objects of all kinds and for the shard as a whole: inspection, deletion, expiry, waits
//! for changes, lists, quotas.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::vec::Vec;
use catena_protocol::limits::{NAME_BYTES_MAX, PAGE_ITEMS_MAX};
use catena_protocol::op::{ObjectOp, ScopeOp};
use catena_protocol::{
    Fault, Header, Holder, Inspection, Listed, ListingBuf, ObjectId, Refusal, Reply, Stats, Status,
    Usage,
};

use super::quotas::{COUNTED_IN_STEP, Limits, Quota, Used};
use super::{ObjectEntry, Outbox, Shard, Time};
use crate::config::{
    COUNTED_AT_ONCE, COUNTED_MAX, DELETED_MAX, OBJECT_BYTES, WAITERS_MAX, WAITING_BYTES,
};
use crate::objects::holds::Hold;
use crate::objects::{Applied, HeldItem, StoredReply, WaiterId};

impl Shard {
    /// Applies an update for objects of all kinds.
    pub(super) fn manage(
        &mut self,
        header: &Header,
        op: ObjectOp,
        out: &mut impl Outbox,
    ) -> Result<Applied, Refusal> {
        let id = header.object;
        match op {
            ObjectOp::Delete => {
                let deleted = self.delete(id, out);
                Ok(done(&Reply::Bool(deleted)))
            }
            ObjectOp::Expire { ttl_ms } => {
                self.seq.0 += 1;
                self.preserve(id);
                let known = self.objects.get(&id).is_some();
                if known {
                    let ends = (ttl_ms != 0)
                        .then(|| Time(self.now.0.saturating_add(ttl_ms.saturating_mul(1_000))));
                    self.directory.put_end(id, ends);
                    self.expect_due(ends);
                }
                Ok(done(&Reply::Bool(known)))
            }
            ObjectOp::WaitNewer { version } => {
                let now = self.objects.get(&id).map_or(0, |entry| entry.version.0);
                if now > version {
                    self.seq.0 += 1;
                    return Ok(Applied::Word(now));
                }
                let waiting = self.watchers.count(id);
                if waiting >= WAITERS_MAX {
                    let (limit, got) = (WAITERS_MAX as u64, waiting as u64 + 1);
                    return Err(Fault::expected(Status::TooManyWaiters, limit, got).into());
                }
                self.check_memory(WAITING_BYTES)?;
                self.seq.0 += 1;
                self.watchers.insert(id, self.waiters.next_id(), version);
                Ok(Applied::Parked)
            }
            ObjectOp::Inspect => unreachable!("{op:?} is a read"),
        }
    }

    /// Applies an update of many objects.
    pub(super) fn manage_scope(
        &mut self,
        op: &ScopeOp<'_>,
        out: &mut impl Outbox,
    ) -> Result<Applied, Refusal> {
        match *op {
            ScopeOp::Delete { prefix, limit } => {
                let limit = if limit == 0 { DELETED_MAX } else { limit.min(DELETED_MAX) } as usize;
                let names = self.directory.names(prefix, "").take(limit);
                let found: Vec<ObjectId> = names.map(|(_, id)| id).collect();
                for id in &found {
                    self.delete(*id, out);
                }
                self.seq.0 += 1;
                Ok(Applied::Word(found.len() as u64))
            }
            ScopeOp::Quota { prefix, .. } if prefix.len() > NAME_BYTES_MAX => {
                // No name has such a prefix, and the quota would take memory.
                let (limit, got) = (NAME_BYTES_MAX as u64, prefix.len() as u64);
                Err(Fault::expected(Status::BadArgument, limit, got).into())
            }
            ScopeOp::Quota { prefix, objects_max, bytes_max } => {
                let limits = Limits { objects: objects_max, bytes: bytes_max };
                self.directory.quotas.put(prefix, limits, self.now)?;
                // Few objects are counted at once; the others follow as what is due.
                for _ in 0..COUNTED_AT_ONCE / COUNTED_IN_STEP {
                    self.count_for_quota();
                }
                self.expect_due(self.directory.counting_since());
                self.seq.0 += 1;
                Ok(done(&Reply::Unit))
            }
            ScopeOp::List { .. }
            | ScopeOp::Usage { .. }
            | ScopeOp::Stats
            | ScopeOp::Monitor { .. } => unreachable!("{op:?} is a read"),
        }
    }

    /// Returns the name of an object; [`None`] if it has none, or there is no such object.
    pub fn name(&self, object: ObjectId) -> Option<&str> {
        self.directory.name(object)
    }

    /// Executes a read of many objects.
    pub(super) fn read_scope(
        &self,
        op: &ScopeOp<'_>,
        out: &impl Outbox,
    ) -> Result<Reply<'_>, Refusal> {
        Ok(match *op {
            ScopeOp::List { after, prefix, limit } => self.list(prefix, after, limit),
            ScopeOp::Usage { prefix } => Reply::Usage(self.usage(prefix)?),
            ScopeOp::Stats => {
                let mut stats = self.stats();
                out.complete(&mut stats);
                Reply::Stats(Box::new(stats))
            }
            ScopeOp::Monitor { after, per_second } => {
                Reply::Monitored(out.monitored(self.id, after, per_second))
            }
            ScopeOp::Delete { .. } | ScopeOp::Quota { .. } => unreachable!("{op:?} is not a read"),
        })
    }

    /// Deletes an object, and replies to the requests that wait for it. Returns whether it existed.
    pub(super) fn delete(&mut self, id: ObjectId, out: &mut impl Outbox) -> bool {
        self.seq.0 += 1;
        self.preserve(id);
        let Some(ObjectEntry { object, .. }) = self.objects.remove(&id) else { return false };
        let bytes = OBJECT_BYTES + object.bytes();
        self.object_bytes -= bytes;
        self.directory.forget(id, bytes);
        for hold in object.holds() {
            self.workspace.holds.end(hold);
        }
        let answer = StoredReply::refusal(&Fault::new(Status::Deleted).into());
        for waiter in object.waiters().into_iter().chain(self.watchers.take(id)) {
            self.answer_waiter(waiter, answer.clone(), out);
        }
        let object = match &mut self.walk {
            Some(walk) => walk.adopt(id, object),
            None => Some(object),
        };
        if let Some(object) = object {
            object.discard(&mut self.workspace.discarded);
        }
        true
    }

    /// Returns the reply to an inspection of an object.
    pub(super) fn inspect(&self, id: ObjectId) -> Result<Reply<'_>, Fault> {
        let ObjectEntry { object, version } =
            self.objects.get(&id).ok_or(Fault::new(Status::Absent))?;
        let description = object.describe();
        // A request whose client is gone gets nothing, although it keeps its place for a while.
        let is_attended = |waiter: &WaiterId| self.waiters.parked(*waiter).detached.is_none();
        let waiters = object.waiters().into_iter().chain(self.watchers.of(id));
        let waiters = waiters.filter(is_attended).count();
        let holder = |held: HeldItem| {
            let Hold { session, until, .. } = self.workspace.holds.get(held.hold);
            let left_ms = until.map_or(0, |until| self.now.ms_until(until));
            let HeldItem { token, permits, party, .. } = held;
            Holder { session, token, permits, left_ms, party }
        };
        Ok(Reply::Inspection(Box::new(Inspection {
            kind: object.kind().to_wire(),
            version: version.0,
            bytes: OBJECT_BYTES + object.bytes(),
            expires_ms: self.directory.ends(id).map_or(0, |ends| self.now.ms_until(ends)),
            waiters: u32::try_from(waiters).expect("waiters are bounded"),
            name: self.directory.name(id).unwrap_or_default().to_owned(),
            detail: description.detail,
            missing: description.missing,
            holders: description.held.into_iter().map(holder).collect(),
        })))
    }

    /// Returns the memory that a named object takes, in bytes.
    pub(super) fn size_of(&self, id: ObjectId) -> u64 {
        OBJECT_BYTES + self.listed(id).object.bytes()
    }

    /// Returns an object whose name is in the directory.
    fn listed(&self, id: ObjectId) -> &ObjectEntry {
        self.objects.get(&id).expect("an object with a name exists")
    }

    fn list(&self, prefix: &str, after: &str, limit: u32) -> Reply<'_> {
        let limit = if limit == 0 { PAGE_ITEMS_MAX } else { limit.min(PAGE_ITEMS_MAX) };
        let mut names = self.directory.names(prefix, after);
        let mut listing = ListingBuf::default();
        for (name, id) in names.by_ref().take(limit as usize) {
            let ObjectEntry { object, version } = self.listed(id);
            listing.push(Listed {
                name,
                kind: Some(object.kind()),
                bytes: OBJECT_BYTES + object.bytes(),
                version: version.0,
            });
        }
        listing.more = names.next().is_some();
        listing.unnamed = (self.objects.len() - self.directory.named()) as u64;
        Reply::Listing(listing.into())
    }

    /// Returns the usage of a prefix, or refuses to count too many objects in one request.
    fn usage(&self, prefix: &str) -> Result<Usage, Fault> {
        if let Some(Quota { limits, used: Used { objects, bytes } }) =
            self.directory.quotas.get(prefix)
        {
            let Limits { objects: objects_max, bytes: bytes_max } = limits;
            return Ok(Usage { objects, bytes, objects_max, bytes_max });
        }
        let usage = self.count_named(prefix, COUNTED_MAX + 1);
        if usage.objects > COUNTED_MAX as u64 {
            return Err(Fault::expected(Status::TooLarge, COUNTED_MAX as u64, usage.objects));
        }
        Ok(usage)
    }

    /// Lets a quota count some of the objects that there were when it was set.
    pub(super) fn count_for_quota(&mut self) {
        let objects = &self.objects;
        self.directory.count_more(|id| {
            let entry = objects.get(&id).expect("an object with a name exists");
            OBJECT_BYTES + entry.object.bytes()
        });
    }

    /// Counts the objects with a prefix, at most so many.
    fn count_named(&self, prefix: &str, most: usize) -> Usage {
        let names = self.directory.names(prefix, "").take(most);
        let sizes = names.map(|(_, id)| self.size_of(id));
        let (objects, bytes) =
            sizes.fold((0, 0), |(objects, bytes), size| (objects + 1, bytes + size));
        Usage { objects, bytes, objects_max: 0, bytes_max: 0 }
    }

    fn stats(&self) -> Stats {
        Stats {
            now_us: self.now.0,
            updates: self.updates(),
            reads: self.reads,
            objects: self.objects.len() as u64,
            named: self.directory.named() as u64,
            sessions: self.sessions.open_count() as u64,
            waiters: self.waiters.len() as u64,
            holds: self.workspace.holds.len() as u64,
            bytes: self.bytes(),
            memory_bytes_max: self.memory_bytes_max,
            connections: 0,
            core: 0,
        }
    }
}

fn done(reply: &Reply<'_>) -> Applied {
    Applied::Done(StoredReply::of(reply, &mut Vec::new()))
}
