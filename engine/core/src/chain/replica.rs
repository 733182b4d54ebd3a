//! One shard's replica: the shard itself, its log, and its place in the chain.
//!
//! The head takes requests, applies them, and forwards those that took effect; every other node
//! applies what its predecessor forwards, and forwards it in turn. The tail acknowledges, the
//! acknowledgement runs up the chain, and with it the head lets go of the answers. What the driver
//! says of the rest of the world is a [`Post`]; it is never guessed.
//!
//! 1. Nothing is answered that depends on an entry which not all members have: answers wait in
//!    `Held` until the entry they were given at is committed.
//! 2. Entries are applied in their order, each once, and only those of the post's epoch that the
//!    post's predecessor sent.
//! 3. Acknowledgements are given only while the post is active, and while its node is about to append
//!    a learner only for what the learner has, too.
//! 4. A read is answered only under a lease of the post's epoch.
//! 5. Logs nest: a successor's log is a beginning of its predecessor's. A node that finds this broken takes
//!    nothing more from that peer, and says so.
//!
//! Sources: van Renesse and Schneider, *Chain Replication* (OSDI 2004); Terrace and Freedman, *Object
//! Storage on CRAQ* (ATC 2009), of which the reads are a variant that waits instead of asking the
//! tail.

mod forwarding;
mod state_transfer;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::DerefMut;

use catena_protocol::peer::{self, Entry};
use catena_protocol::{Fault, Frame, FrameKind, Header, ObjectId, OpCode, ShardId, Stats, Status};

use self::state_transfer::Learner;
use super::log::Log;
use super::pending_replies::Held;
use super::record::NodeId;
use super::rules::Rules;
use crate::ahead::Step;
use crate::config::{LOG_BYTES_KEPT, UNCOMMITTED_BYTES_MAX, UNCOMMITTED_MAX};
use crate::shard::{Answered, ConnId, Moment, Outbox, Output, Seq, Shard, Time};

/// What a replica has to know of its place: in which epoch, beside whom, and what it may do there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// The epoch; 0 if there is no cluster.
    pub epoch: u32,
    /// Whether this node is a member; otherwise it serves nobody.
    pub member: bool,
    /// Who forwards to us; `None` at the head.
    pub predecessor: Option<NodeId>,
    /// Whom we forward to; `None` at the tail.
    pub successor: Option<NodeId>,
    /// Whether all that older epochs allowed is over, so that we may acknowledge and read.
    pub active: bool,
    /// Our own change of the record is under way: no reads.
    pub pending: bool,
    /// The order of the chains is about to change: no updates, until the epoch ends.
    pub resting: bool,
    /// Our own append is under way: acknowledge only what this learner has.
    pub gate: Option<NodeId>,
    /// Until when we may read; `None` if nobody has to allow it.
    pub lease: Option<Time>,
    /// Whether there are enough members to take updates.
    pub writable: bool,
}

impl Post {
    /// The post of a node without a cluster.
    pub fn alone() -> Post {
        Post { member: true, active: true, writable: true, ..Post::default() }
    }

    fn is_head(&self) -> bool {
        self.member && self.predecessor.is_none()
    }

    /// Whether it decides what the passing of time ends.
    fn leads(&self) -> bool {
        self.is_head() && self.active && !self.resting
    }
}

/// What the driver of a replica provides: places for answers, and for frames to other nodes.
pub trait Exits: Outbox {
    /// Outgoing bytes, borrowed.
    type Bytes<'a>: DerefMut<Target = Vec<u8>>
    where
        Self: 'a;

    /// Sends bytes that are whole replies to `conn`, like [`Outbox::push`].
    fn encoded(&mut self, conn: ConnId, replies: &[u8]);

    /// When the turn began, by the driver's clock, for [`Exits::answered`].
    fn began(&self) -> Time {
        Time::default()
    }

    /// Takes note that an answer is among those that [`Exits::encoded`] is given next.
    fn answered(&mut self, answered: Answered) {
        let _ = answered;
    }

    /// The outgoing bytes to another node, frames whole; `None` while there is no link.
    fn peer(&mut self, node: NodeId) -> Option<Self::Bytes<'_>>;

    /// Tells the node what only it can act on.
    fn report(&mut self, shard: ShardId, report: Report);
}

/// What a replica tells its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The successor needs entries that are not kept any more: it has to join anew.
    Behind(NodeId),
    /// A peer's log contradicts ours. Nothing it says can be used.
    Diverged(NodeId),
}

/// A shard in a chain.
#[derive(Debug)]
pub struct Replica {
    id: ShardId,
    shard: Shard,
    post: Post,
    log: Log,
    /// The hash of the log up to its end.
    hash: u64,
    /// The time of its last entry. At a head the shard's time is ahead of that, by what took no effect.
    logged_at: Time,
    /// All members have the entries up to this one.
    committed: u64,
    /// The shard's order as it was at `committed`: what was changed later is not committed.
    clean: Seq,
    /// The entries that are not committed, and what they take in the log together.
    marks: VecDeque<Mark>,
    uncommitted_bytes: usize,
    held: Held,
    down: Link,
    learner: Option<Learner>,
    /// How far the shard's time is ahead of the time of day here: it does not go back when the head
    /// before us was ahead.
    ahead_us: u64,
    /// What came of the state that we are to begin with; `None` once we have it.
    lesson: Option<Vec<u8>>,
    /// The predecessor is to be told where we are, or how far we are; the successor is to tell.
    resume_due: bool,
    ack_due: bool,
    ask_due: bool,
    /// Nobody else has to have anything: what is applied is committed.
    alone: bool,
    rules: Rules,
}

/// An entry that is not committed.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where the shard's order was after it.
    seq: Seq,
    bytes: usize,
}

/// The way to the successor.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// Whether it has said, in this epoch and over this connection, where it is.
    resumed: bool,
    /// The last entry sent.
    sent: u64,
    /// The last entry acknowledged.
    acked: u64,
}

impl Replica {
    /// A replica around a shard that holds nothing yet.
    pub fn new(shard: Shard, post: Post, rules: Rules) -> Replica {
        let mut replica = Replica {
            id: shard.id(),
            clean: shard.seq(),
            shard,
            post,
            log: Log::default(),
            hash: 0,
            logged_at: Time::default(),
            committed: 0,
            marks: VecDeque::new(),
            uncommitted_bytes: 0,
            held: Held::default(),
            down: Link::default(),
            learner: None,
            ahead_us: 0,
            lesson: None,
            resume_due: false,
            ack_due: false,
            ask_due: false,
            alone: false,
            rules,
        };
        replica.see_whether_alone();
        replica
    }

    /// The shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The post it holds.
    pub fn post(&self) -> &Post {
        &self.post
    }

    /// The index of the last entry it has applied.
    pub fn applied(&self) -> u64 {
        self.log.last()
    }

    /// The index of the last entry that all members are known to have.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The hash of the log up to [`Replica::applied`].
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The hash of the log up to an entry, if it is still kept.
    pub fn hash_at(&self, index: u64) -> Option<u64> {
        if index == self.applied() { Some(self.hash) } else { self.log.hash(index) }
    }

    /// Memory that it takes, in bytes, its log included.
    pub fn bytes(&self) -> u64 {
        self.shard.bytes() + self.log.bytes() as u64
    }

    /// How far its successor is behind, in entries.
    pub fn lag(&self) -> u64 {
        if self.post.successor.is_some() { self.applied() - self.down.acked } else { 0 }
    }

    /// How many entries not all members have.
    pub fn uncommitted(&self) -> u64 {
        if self.post.member { self.applied() - self.committed } else { 0 }
    }

    /// Brings into the cache what a request is going to need, see [`Shard::prefetch`].
    #[inline]
    pub fn prefetch(&mut self, step: Step, header: &Header) -> bool {
        self.shard.prefetch(step, header)
    }

    /// Whether it takes no updates in this epoch any more, and every member has those that it took as
    /// a head.
    pub fn is_at_rest(&self) -> bool {
        self.post.resting && (!self.post.is_head() || self.committed == self.applied())
    }

    /// Tells whoever waits that the node is going away.
    pub fn on_shutdown(&mut self, out: &mut impl Exits) {
        self.shard.on_shutdown(out);
    }

    /// Whether nobody else has a part in it, and nothing is ever sent but answers.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// The quick way for what most requests are, see [`Shard::on_count`]: of a node without a cluster.
    #[inline(always)]
    pub fn on_count(&mut self, now: Time, frame: &Frame<'_>) -> Option<u64> {
        if self.alone && self.post.epoch == 0 { self.shard.on_count(now, frame) } else { None }
    }

    /// Takes a client's request. `clock` is what leases are measured by: the node's own, which nobody
    /// sets. `moment.now` is the time of day, which is about the same on all nodes.
    pub fn on_request(
        &mut self,
        clock: Time,
        moment: Moment,
        conn: ConnId,
        frame: &Frame<'_>,
        out: &mut impl Exits,
    ) {
        if self.alone && self.post.epoch == 0 {
            self.shard.on_request(moment, conn, frame, out);
            return;
        }
        if let Err(fault) = self.check_epoch(&frame.header) {
            out.push(conn, &frame.header, Output::Refusal(&fault.into()));
            return;
        }
        let frame = &self.without_epoch(frame);
        let moment = Moment { now: self.time(moment.now), ..moment };
        if self.alone {
            if self.shard.on_request(moment, conn, frame, out) {
                self.skip();
            }
            return;
        }
        if let Err(fault) = self.check_post(clock, &frame.header) {
            out.push(conn, &frame.header, Output::Refusal(&fault.into()));
            return;
        }
        let is_read = is_read(&frame.header);
        let is_clean = !self.rules.clean_wait() || self.is_clean(&frame.header);
        if is_read && is_clean {
            self.shard.on_request(moment, conn, frame, out);
            return;
        }
        let epoch = self.post.epoch;
        let mut exits = Holding { held: &mut self.held, epoch, out: &mut *out };
        let effective = self.shard.on_request(moment, conn, frame, &mut exits);
        if effective {
            self.append(moment.now, frame.bytes);
        } else if !is_read && !self.may_read(clock) && self.held.retract() {
            // 4. An update that changed nothing has only read, and what it read may be old.
            out.push(conn, &frame.header, Output::Refusal(&busy(0).into()));
        }
        // Also what changed nothing was decided by what others may not have yet.
        self.seal();
        // What the successor does not have yet lets nothing go.
        let waits = effective && self.post.successor.is_some() && self.rules.hold();
        if !waits {
            self.settle(out);
        }
    }

    /// Lets the time of day pass; only the head decides what that ends.
    pub fn on_time(&mut self, now: Time, out: &mut impl Exits) {
        if !self.post.leads() {
            return;
        }
        let now = self.time(now);
        if self.shard.next_due().is_none_or(|due| due > now) {
            return;
        }
        if self.alone {
            if self.shard.on_time(now, out) {
                self.skip();
            }
            return;
        }
        let epoch = self.post.epoch;
        let mut exits = Holding { held: &mut self.held, epoch, out: &mut *out };
        if self.shard.on_time(now, &mut exits) {
            self.append(now, &[]);
        }
        self.seal();
        self.settle(out);
    }

    /// When to call [`Replica::on_time`] next, by the time of day.
    pub fn next_due(&self) -> Option<Time> {
        let due = self.shard.next_due().filter(|_| self.post.leads())?;
        Some(Time(due.0.saturating_sub(self.ahead_us)))
    }

    /// Takes another post, or other rights at the same.
    pub fn on_post(&mut self, post: Post, out: &mut impl Exits) {
        assert!(post.epoch >= self.post.epoch, "epochs do not go back: {post:?}");
        let before = core::mem::replace(&mut self.post, post);
        let post = &self.post;
        if before.epoch != post.epoch {
            (self.resume_due, self.ask_due) =
                (post.predecessor.is_some(), post.successor.is_some());
            self.down = Link::default();
            self.ack_due = true;
            // Whoever learned from us is our successor now, or begins anew.
            self.learner = None;
            if !post.member {
                // Whoever waits for an answer learns elsewhere what became of it.
                self.held.clear();
            }
        }
        let is_new_teacher = before.predecessor != post.predecessor;
        if !post.member && (before.epoch != post.epoch || is_new_teacher) {
            // Our state is of use to nobody any more: we begin with that of another.
            self.lesson = Some(Vec::new());
        }
        self.ack_due |= before.active != post.active || before.gate != post.gate;
        if !post.is_head() {
            self.shard.turn_back(self.logged_at);
        }
        self.settle(out);
    }

    /// Logs a request that was just applied.
    fn append(&mut self, now: Time, request: &[u8]) {
        let index = self.applied() + 1;
        let hash = peer::hash(self.hash, index, now.0, request);
        self.push(&Entry { index, now_us: now.0, hash, request });
    }

    /// Puts an entry that was just applied behind the others.
    fn push(&mut self, entry: &Entry<'_>) {
        self.log.push(entry);
        self.hash = entry.hash;
        self.logged_at = Time(entry.now_us);
        let bytes = entry.bytes_len();
        self.marks.push_back(Mark { seq: self.shard.seq(), bytes });
        self.uncommitted_bytes += bytes;
    }

    /// Counts an entry that only we have to have.
    fn skip(&mut self) {
        if self.post.epoch == 0 {
            return;
        }
        self.log.clear();
        self.log.skip();
        self.logged_at = self.shard.now();
        self.committed = self.applied();
        self.clean = self.shard.seq();
    }

    /// Commits what can be, and lets go of the answers.
    fn settle(&mut self, out: &mut impl Exits) {
        let committed = self.committable();
        if committed > self.committed {
            let newly = usize::try_from(committed - self.committed).expect("marks are bounded");
            for Mark { seq, bytes } in self.marks.drain(..newly) {
                self.clean = seq;
                self.uncommitted_bytes -= bytes;
            }
            self.committed = committed;
            self.ack_due = true;
            let asked_for = self.asked_for();
            self.log.trim(asked_for, LOG_BYTES_KEPT);
        }
        self.held.release(self.committed, out);
        self.see_whether_alone();
    }

    /// How far everybody is known to be, ourselves included.
    fn committable(&self) -> u64 {
        if !self.post.member || !self.post.active && self.rules.drain() {
            return self.committed;
        }
        let behind_us = match self.post.successor {
            Some(_) => self.down.acked,
            None => self.applied(),
        };
        let gated = match (self.post.gate, &self.learner) {
            (Some(gate), Some(learner)) if learner.node == gate && self.rules.gate() => {
                learner.link.acked
            }
            (Some(_), _) if self.rules.gate() => self.committed,
            _ => u64::MAX,
        };
        behind_us.min(gated).max(self.committed)
    }

    /// Up to where nobody is going to ask for entries again.
    fn asked_for(&self) -> u64 {
        let successor = if self.post.successor.is_some() { self.down.acked } else { u64::MAX };
        let learner = self.learner.as_ref().map_or(u64::MAX, |learner| learner.link.acked);
        successor.min(learner).min(self.committed)
    }

    fn see_whether_alone(&mut self) {
        let post = &self.post;
        self.alone = post.member
            && post.predecessor.is_none()
            && post.successor.is_none()
            && post.active
            && !post.pending
            && !post.resting
            && post.gate.is_none()
            && post.writable
            && post.lease.is_none()
            && self.learner.is_none()
            && self.held.is_empty()
            && self.committed == self.applied();
    }

    /// Refuses what was not meant for this epoch.
    fn check_epoch(&self, header: &Header) -> Result<(), Fault> {
        let (ours, theirs) = (self.post.epoch, header.epoch);
        // Without a cluster the shard itself refuses it.
        if !self.post.member || ours != 0 && theirs != 0 && theirs != ours {
            return Err(Fault::expected(Status::WrongEpoch, ours.into(), theirs.into()));
        }
        Ok(())
    }

    /// The request as the shard takes it, which knows nothing of epochs.
    fn without_epoch<'a>(&self, frame: &Frame<'a>) -> Frame<'a> {
        let epoch = if self.post.epoch == 0 { frame.header.epoch } else { 0 };
        Frame { header: Header { epoch, ..frame.header }, ..*frame }
    }

    fn may_read(&self, clock: Time) -> bool {
        let post = &self.post;
        let is_leased = post.lease.is_none_or(|until| clock < until);
        let is_active = post.active || !self.rules.drain();
        let is_stopped = post.pending && self.rules.stop_read();
        is_leased && is_active && !is_stopped
    }

    /// Says what the answers that were just kept have to wait for.
    fn seal(&mut self) {
        self.held.seal(if self.rules.hold() { self.applied() } else { 0 });
    }

    /// Refuses what cannot be asked here and now.
    fn check_post(&self, clock: Time, header: &Header) -> Result<(), Fault> {
        let post = &self.post;
        if is_read(header) {
            return if self.may_read(clock) { Ok(()) } else { Err(busy(0)) };
        }
        if !post.is_head() {
            return Err(Fault::new(Status::NotHead));
        }
        if !post.writable {
            return Err(Fault::new(Status::UnderReplicated));
        }
        if post.resting {
            return Err(busy(0));
        }
        // A head that is not active yet could take updates; their answers would only wait.
        let uncommitted = self.applied() - self.committed;
        if uncommitted >= UNCOMMITTED_MAX || self.uncommitted_bytes >= UNCOMMITTED_BYTES_MAX {
            return Err(busy(uncommitted));
        }
        Ok(())
    }

    /// Whether a read sees nothing that is not committed.
    fn is_clean(&self, header: &Header) -> bool {
        self.committed == self.applied()
            || self.shard.version(header.object).is_some_and(|version| version <= self.clean)
    }

    /// The shard's time at this time of day. Only the head's counts: elsewhere the time is that of the
    /// last entry, or the next one would come from the past.
    fn time(&mut self, now: Time) -> Time {
        let shard_now = self.shard.now();
        if !self.post.is_head() {
            return shard_now;
        }
        let now = now.0 + self.ahead_us;
        let lead_us = shard_now.0.saturating_sub(now);
        self.ahead_us += lead_us;
        Time(now + lead_us)
    }

    fn header(&self, kind: FrameKind, number: u64) -> Header {
        peer::header(kind, self.id, self.post.epoch, number)
    }
}

/// A client that was told to wait asks again after so long.
const RETRY_MS: u64 = 2;

/// Keeps answers instead of sending them.
struct Holding<'a, E> {
    held: &'a mut Held,
    epoch: u32,
    out: &'a mut E,
}

impl<E: Exits> Outbox for Holding<'_, E> {
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>) {
        let since = self.out.began();
        self.held.push(conn, &Header { epoch: self.epoch, ..*to }, &output, since, false);
    }

    fn push_waited(&mut self, conn: ConnId, to: &Header, output: Output<'_>, waited_us: u64) {
        let since = Time(self.out.began().0.saturating_sub(waited_us));
        self.held.push(conn, &Header { epoch: self.epoch, ..*to }, &output, since, true);
    }

    fn complete(&self, stats: &mut Stats) {
        self.out.complete(stats);
    }

    fn print(&mut self, log: ObjectId, name: Option<&str>, line: &str) {
        self.out.print(log, name, line);
    }
}

fn busy(got: u64) -> Fault {
    Fault::expected(Status::Busy, RETRY_MS, got)
}

fn is_read(header: &Header) -> bool {
    OpCode::from_wire(header.op).is_some_and(OpCode::is_read)
}

#[cfg(test)]
mod tests;
