//! One shard's replica: the shard itself, its log, and its position in the chain.
//!
//! The head takes requests, applies them, and forwards those that took effect. Every other replica
//! applies what its predecessor forwards, and forwards it in turn. The tail acknowledges; the
//! acknowledgement runs up the chain, and when it reaches the head, the head sends the replies. The
//! driver gives the replica an [`Assignment`] for each epoch; a replica never guesses it.
//!
//! Invariants:
//!
//! 1. No reply depends on an entry that some member lacks: replies wait in `PendingReplies` until
//!    the entry they depend on is committed.
//! 2. Entries are applied in their order, each once, and only those that the assignment's
//!    predecessor sent in the assignment's epoch.
//! 3. A replica acknowledges only while its assignment is active. While its node is about to append
//!    a learner, it acknowledges only what the learner has too; before, no more than leaves the
//!    learner time to catch up.
//! 4. A read is answered only under a lease of the assignment's epoch.
//! 5. Neighbours in the chain have come to the same replies, which they compare now and then. Logs
//!    nest: a successor's log is a prefix of its predecessor's. A replica that finds this
//!    broken takes nothing more from that peer, and reports it.
//!
//! Sources: van Renesse and Schneider, *Chain Replication* (OSDI 2004); Terrace and Freedman,
//! *Object Storage on CRAQ* (ATC 2009), of which the reads are a variant: they wait instead of
//! asking the tail.

mod forwarding;
mod outcome_digests;
mod state_transfer;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use catena_protocol::peer::{self, Entry};
use catena_protocol::{
    Fault, Frame, FrameKind, Header, Monitored, ObjectId, OpCode, ShardId, Stats, Status,
};

use self::outcome_digests::OutcomeDigests;
use self::state_transfer::StateTransfer;
pub use self::state_transfer::TransferLimits;
use super::assignment::Assignment;
use super::log::ReplicationLog;
use super::outbox::ReplicaOutbox;
use super::pending_replies::PendingReplies;
use super::rules::Rules;
use crate::ahead::Step;
use crate::config::{
    LOG_BYTES_KEPT, PENDING_REPLY_BYTES_MAX, UNCOMMITTED_BYTES_MAX, UNCOMMITTED_MAX,
};
use crate::shard::snapshot::Restoration;
use crate::shard::{ConnId, Moment, Outbox, Output, Seq, Shard};
use crate::time::Time;

/// A shard in a chain.
#[derive(Debug)]
pub struct Replica {
    id: ShardId,
    shard: Shard,
    assignment: Assignment,
    log: ReplicationLog,
    /// The hash of the log up to its end.
    hash: u64,
    /// The time of the last entry. A head's shard may be ahead of it by requests that had no
    /// effect.
    logged_at: Time,
    /// All members have the entries up to this one.
    committed: u64,
    /// The shard's position in its order at `committed`: changes after it are not committed.
    clean: Seq,
    /// The entries that are not committed, and the bytes they take in the log.
    uncommitted_entries: VecDeque<UncommittedEntry>,
    uncommitted_bytes: usize,
    replies: PendingReplies,
    /// The successor's progress.
    progress: ReplicationProgress,
    /// The transfer to a learner, if this replica is the source of one.
    transfer: Option<StateTransfer>,
    transfer_limits: TransferLimits,
    /// How far the shard's time is ahead of this node's time of day. The first head's is that of its
    /// node; every other replica takes it over with the entries.
    offset_us: i64,
    /// The state with which this replica is to begin, as far as it has arrived; `None` once it is
    /// complete.
    incoming_state: Option<Box<Restoration>>,
    /// What is due to be sent: this replica's position and an acknowledgement, to the predecessor;
    /// a question for its position, to the successor.
    resume_due: bool,
    ack_due: bool,
    resume_request_due: bool,
    digests: OutcomeDigests,
    /// Whether no other node takes part in the chain: what is applied is committed.
    alone: bool,
    rules: Rules,
}

/// An entry that is not committed.
#[derive(Clone, Copy, Debug)]
struct UncommittedEntry {
    /// The shard's position in its order after the entry.
    seq: Seq,
    bytes: usize,
}

/// How far a successor or a learner has followed the log.
#[derive(Clone, Copy, Debug, Default)]
struct ReplicationProgress {
    /// Whether it has sent its position in this epoch and over this connection.
    resumed: bool,
    /// The last entry sent.
    sent: u64,
    /// The last entry acknowledged.
    acked: u64,
}

impl Replica {
    /// Creates a replica around a shard that holds nothing yet.
    pub fn new(shard: Shard, assignment: Assignment, rules: Rules) -> Replica {
        let mut replica = Replica {
            id: shard.id(),
            clean: shard.seq(),
            shard,
            assignment,
            log: ReplicationLog::default(),
            hash: 0,
            logged_at: Time::default(),
            committed: 0,
            uncommitted_entries: VecDeque::new(),
            uncommitted_bytes: 0,
            replies: PendingReplies::default(),
            progress: ReplicationProgress::default(),
            transfer: None,
            transfer_limits: TransferLimits::default(),
            offset_us: 0,
            incoming_state: None,
            resume_due: false,
            ack_due: false,
            resume_request_due: false,
            digests: OutcomeDigests::default(),
            alone: false,
            rules,
        };
        replica.update_alone();
        replica
    }

    /// Sets how much is sent to a learner at once, and kept for it.
    #[must_use]
    pub fn with_transfer_limits(self, transfer_limits: TransferLimits) -> Replica {
        Replica { transfer_limits, ..self }
    }

    /// Returns the shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Returns its assignment.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// Returns the index of the last entry it has applied.
    pub fn applied(&self) -> u64 {
        self.log.last()
    }

    /// Returns the index of the last entry that all members are known to have.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Returns the hash of the log up to [`Replica::applied`].
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the hash of the log up to an entry, if that entry is still kept.
    pub fn hash_at(&self, index: u64) -> Option<u64> {
        if index == self.applied() { Some(self.hash) } else { self.log.hash(index) }
    }

    /// Returns the memory it takes in bytes, its log included.
    #[inline]
    pub fn bytes(&self) -> u64 {
        let chain = self.log.bytes() + self.replies.memory();
        self.shard.bytes() + self.shard.snapshot_memory() + chain as u64
    }

    /// Returns how many entries its successor lacks.
    pub fn lag(&self) -> u64 {
        if self.assignment.successor.is_some() { self.applied() - self.progress.acked } else { 0 }
    }

    /// Returns the number of entries that some member may lack.
    pub fn uncommitted(&self) -> u64 {
        if self.assignment.member { self.applied() - self.committed } else { 0 }
    }

    /// Prefetches what a request is going to need, see `Shard::prefetch`.
    #[inline]
    pub fn prefetch(&mut self, step: Step, header: &Header) -> bool {
        self.shard.prefetch(step, header)
    }

    /// Returns whether it accepts no more updates in this epoch, and every member has those that it
    /// accepted as a head.
    pub fn is_quiesced(&self) -> bool {
        self.assignment.quiescing
            && (!self.assignment.is_head() || self.committed == self.applied())
    }

    /// Tells waiting clients that the node is shutting down.
    pub fn on_shutdown(&mut self, out: &mut impl ReplicaOutbox) {
        self.shard.on_shutdown(out);
    }

    /// Returns whether no other node takes part in the chain, so that only replies are ever sent.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Takes the fast path for the most frequent requests, see `Shard::on_count`. Only a node
    /// without a cluster has it.
    #[inline(always)]
    pub fn on_count(&mut self, now: Time, frame: &Frame<'_>) -> Option<u64> {
        if self.alone && self.assignment.epoch == 0 {
            self.shard.on_count(now, frame)
        } else {
            None
        }
    }

    /// Takes a client's request.
    ///
    /// `clock` is the node's monotonic clock, against which leases are measured; `moment.now` is
    /// the time of day, which is about the same on all nodes.
    pub fn on_request(
        &mut self,
        clock: Time,
        moment: Moment,
        conn: ConnId,
        frame: &Frame<'_>,
        out: &mut impl ReplicaOutbox,
    ) {
        if self.alone && self.assignment.epoch == 0 {
            if let Some(upto) = self.shard.acknowledged_in_need(moment, frame) {
                self.shard.acknowledge(moment.now, frame.header.session, upto);
            }
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
            self.acknowledge_in_need(moment, frame);
            if self.shard.on_request(moment, conn, frame, out) {
                self.skip();
            }
            return;
        }
        if let Err(fault) = self.check_permitted(clock, &frame.header) {
            out.push(conn, &frame.header, Output::Refusal(&fault.into()));
            return;
        }
        let is_read = is_read(&frame.header);
        if !is_read {
            self.acknowledge_in_need(moment, frame);
        }
        let is_clean = !self.rules.clean_wait() || self.is_clean(&frame.header);
        if is_read && is_clean {
            self.shard.on_request(moment, conn, frame, out);
            return;
        }
        if self.replies.bytes() >= PENDING_REPLY_BYTES_MAX {
            out.push(conn, &frame.header, Output::Refusal(&busy(self.uncommitted()).into()));
            return;
        }
        let epoch = self.assignment.epoch;
        let mut outbox = PendingOutbox { replies: &mut self.replies, epoch, out: &mut *out };
        let effective = self.shard.on_request(moment, conn, frame, &mut outbox);
        if effective {
            self.append(moment.now, frame.bytes);
        } else if !is_read && !self.may_read(clock) && self.replies.retract() {
            // Invariant 4: an update without effect has only read, and what it read may be stale.
            out.push(conn, &frame.header, Output::Refusal(&busy(0).into()));
        }
        // A reply without effect also depends on entries that other members may lack.
        self.seal();
        // An entry that the successor lacks commits nothing.
        let waits = effective && self.assignment.successor.is_some() && self.rules.hold();
        if !waits {
            self.advance_commit(out);
        }
    }

    /// Takes the acknowledgement of a request before the request itself, if the replies that it
    /// acknowledges take the memory that it needs.
    fn acknowledge_in_need(&mut self, moment: Moment, frame: &Frame<'_>) {
        let Some(upto) = self.shard.acknowledged_in_need(moment, frame) else { return };
        let session = frame.header.session;
        if !self.shard.acknowledge(moment.now, session, upto) {
            return;
        }
        if self.alone {
            return self.skip();
        }
        let mut frame = Vec::new();
        peer::write_acknowledge(&mut frame, self.id, session, upto);
        self.append(moment.now, &frame);
    }

    /// Notes that a client's connection has ended.
    pub fn on_disconnect(&mut self, now: Time, conn: ConnId, out: &mut impl ReplicaOutbox) {
        self.shard.on_disconnect(conn);
        self.on_time(now, out);
    }

    /// Advances the time of day, and detaches waits whose connections have ended. Only the head
    /// decides which deadlines have passed, and which waits nobody attends.
    pub fn on_time(&mut self, now: Time, out: &mut impl ReplicaOutbox) {
        self.shard.free_discarded();
        if !self.assignment.decides_time() {
            return;
        }
        let now = self.time(now);
        if self.shard.has_unattended() {
            self.detach(now, out);
        }
        if self.shard.next_due().is_none_or(|due| due > now) {
            return;
        }
        if self.alone {
            if self.shard.on_time(now, out) {
                self.skip();
            }
            return;
        }
        let epoch = self.assignment.epoch;
        let mut outbox = PendingOutbox { replies: &mut self.replies, epoch, out: &mut *out };
        if self.shard.on_time(now, &mut outbox) {
            self.append(now, &[]);
        }
        self.seal();
        self.advance_commit(out);
    }

    /// Detaches waits whose connections have ended: those of this node, and all of the node that
    /// was the head before.
    fn detach(&mut self, now: Time, out: &mut impl ReplicaOutbox) {
        if !self.may_detach() {
            return;
        }
        let waiters = self.shard.unattended();
        if self.alone {
            if self.shard.detach(now, waiters, out) {
                self.skip();
            }
            return;
        }
        let mut frame = Vec::new();
        peer::write_detach(&mut frame, self.id, waiters.iter().map(|waiter| waiter.0));
        let epoch = self.assignment.epoch;
        let mut outbox = PendingOutbox { replies: &mut self.replies, epoch, out: &mut *out };
        if self.shard.detach(now, waiters, &mut outbox) {
            self.append(now, &frame);
        }
        self.seal();
        self.advance_commit(out);
    }

    fn may_detach(&self) -> bool {
        self.rules.detach() && self.assignment.decides_time() && self.check_updates().is_ok()
    }

    /// Returns when to call [`Replica::on_time`] next, by the time of day.
    pub fn next_due(&self) -> Option<Time> {
        let is_wanted = self.shard.has_unattended() && self.may_detach();
        if is_wanted || self.shard.has_discarded() {
            return Some(Time::default());
        }
        let due = self.shard.next_due().filter(|_| self.assignment.decides_time())?;
        Some(Time(due.0.saturating_add_signed(-self.offset_us)))
    }

    /// Takes a new assignment, or new permissions in the same epoch.
    pub fn on_assignment(&mut self, assignment: Assignment, out: &mut impl ReplicaOutbox) {
        assert!(assignment.epoch >= self.assignment.epoch, "epochs do not go back: {assignment:?}");
        let before = core::mem::replace(&mut self.assignment, assignment);
        let assignment = &self.assignment;
        if assignment.member && self.log.last() == 0 && self.shard.updates() == 0 {
            self.shard.start_at(assignment.base);
            self.clean = self.shard.seq();
        }
        if before.epoch != assignment.epoch {
            (self.resume_due, self.resume_request_due) =
                (assignment.predecessor.is_some(), assignment.successor.is_some());
            self.progress = ReplicationProgress::default();
            self.ack_due = true;
            // The learner is the successor now, or it joins again.
            self.transfer = None;
            self.shard.end_snapshot();
            if !self.assignment.member {
                // Clients that wait for a reply get it from the new head when they retry.
                self.replies.clear();
            }
        }
        let assignment = &self.assignment;
        let is_new_source = before.predecessor != assignment.predecessor;
        if !assignment.member && (before.epoch != assignment.epoch || is_new_source) {
            // This replica's state is obsolete: it begins with the source's.
            self.incoming_state = Some(Restoration::new(&self.shard).into());
        }
        self.ack_due |= before.active != assignment.active || before.gate != assignment.gate;
        if !assignment.is_head() {
            self.shard.turn_back(self.logged_at);
        }
        self.advance_commit(out);
    }

    /// Logs a request that was just applied; an empty one stands for the passing of time.
    fn append(&mut self, now: Time, request: &[u8]) {
        let index = self.applied() + 1;
        let hash = peer::hash(self.hash, index, now.0, request);
        self.push(&Entry { index, now_us: now.0, hash, request });
    }

    /// Appends to the log an entry that was just applied.
    fn push(&mut self, entry: &Entry<'_>) {
        self.log.push(entry);
        self.hash = entry.hash;
        let last = core::mem::replace(&mut self.logged_at, Time(entry.now_us));
        if OutcomeDigests::is_due(last, entry) {
            self.digests.add(entry.index, self.shard.outcomes());
        }
        let bytes = entry.bytes_len();
        self.uncommitted_entries.push_back(UncommittedEntry { seq: self.shard.seq(), bytes });
        self.uncommitted_bytes += bytes;
    }

    /// Counts an entry that no other node needs.
    fn skip(&mut self) {
        if self.assignment.epoch == 0 {
            return;
        }
        self.log.clear();
        self.log.skip();
        self.logged_at = self.shard.now();
        self.committed = self.applied();
        self.clean = self.shard.seq();
    }

    /// Commits what all members have, and sends the replies that depend on no more than that.
    fn advance_commit(&mut self, out: &mut impl ReplicaOutbox) {
        let committed = self.committable();
        if committed > self.committed {
            let newly = usize::try_from(committed - self.committed)
                .expect("uncommitted entries are bounded");
            for UncommittedEntry { seq, bytes } in self.uncommitted_entries.drain(..newly) {
                self.clean = seq;
                self.uncommitted_bytes -= bytes;
            }
            self.committed = committed;
            self.ack_due = true;
        }
        if self.log.bytes() > LOG_BYTES_KEPT {
            let trimmable = self.trimmable();
            self.log.trim(trimmable, LOG_BYTES_KEPT);
        }
        self.replies.release(self.committed, out);
        self.update_alone();
    }

    /// Returns the last entry that all members are known to have, this node included.
    fn committable(&self) -> u64 {
        if !self.assignment.member || !self.assignment.active && self.rules.drain() {
            return self.committed;
        }
        let gated = match (self.assignment.gate, &self.transfer) {
            (Some(gate), Some(transfer)) if transfer.learner == gate && self.rules.gate() => {
                transfer.progress.acked
            }
            (Some(_), _) if self.rules.gate() => self.committed,
            (None, Some(transfer)) => self.paced(transfer),
            _ => u64::MAX,
        };
        self.acknowledged().min(gated).max(self.committed)
    }

    /// Returns the last entry that may be committed while there is this transfer.
    fn paced(&self, transfer: &StateTransfer) -> u64 {
        let lag_bytes = self.log.bytes().saturating_sub(self.uncommitted_bytes);
        match self.rules.pace() {
            true => transfer.commit_max(lag_bytes, &self.transfer_limits),
            false => u64::MAX,
        }
    }

    /// Returns the last entry that all replicas behind this one have acknowledged, and this one has.
    fn acknowledged(&self) -> u64 {
        match self.assignment.successor {
            Some(_) => self.progress.acked,
            None => self.applied(),
        }
    }

    /// Returns the last entry that no node will ask for again.
    fn trimmable(&self) -> u64 {
        let successor =
            if self.assignment.successor.is_some() { self.progress.acked } else { u64::MAX };
        let learner = self.transfer.as_ref().map_or(u64::MAX, |it| it.progress.acked);
        successor.min(learner).min(self.committed)
    }

    fn update_alone(&mut self) {
        let assignment = &self.assignment;
        self.alone = assignment.member
            && assignment.predecessor.is_none()
            && assignment.successor.is_none()
            && assignment.active
            && !assignment.change_pending
            && !assignment.quiescing
            && assignment.gate.is_none()
            && assignment.writable
            && assignment.lease.is_none()
            && self.transfer.is_none()
            && self.replies.is_empty()
            && self.committed == self.applied();
    }

    /// Refuses a request that names another epoch.
    fn check_epoch(&self, header: &Header) -> Result<(), Fault> {
        let (ours, theirs) = (self.assignment.epoch, header.epoch);
        // Without a cluster the shard itself refuses it.
        if !self.assignment.member || ours != 0 && theirs != 0 && theirs != ours {
            return Err(Fault::expected(Status::WrongEpoch, ours.into(), theirs.into()));
        }
        Ok(())
    }

    /// Returns the request as the shard takes it: a shard knows nothing of epochs.
    fn without_epoch<'a>(&self, frame: &Frame<'a>) -> Frame<'a> {
        let epoch = if self.assignment.epoch == 0 { frame.header.epoch } else { 0 };
        Frame { header: Header { epoch, ..frame.header }, ..*frame }
    }

    fn may_read(&self, clock: Time) -> bool {
        let assignment = &self.assignment;
        let is_leased = assignment.lease.is_none_or(|until| clock < until);
        let is_active = assignment.active || !self.rules.drain();
        let is_stopped = assignment.change_pending && self.rules.stop_read();
        is_leased && is_active && !is_stopped
    }

    /// Makes the replies that were just added depend on the last entry.
    fn seal(&mut self) {
        self.replies.seal(if self.rules.hold() { self.applied() } else { 0 });
    }

    /// Refuses a request that this replica may not take now.
    fn check_permitted(&self, clock: Time, header: &Header) -> Result<(), Fault> {
        if is_read(header) {
            return if self.may_read(clock) { Ok(()) } else { Err(busy(0)) };
        }
        match self.check_updates() {
            // A repeated request gets its reply, and changes nothing.
            Err(fault)
                if fault.status == Status::UnderReplicated && self.shard.is_repeated(header) =>
            {
                Ok(())
            }
            checked => checked,
        }
    }

    /// Refuses updates that this replica may not make now.
    fn check_updates(&self) -> Result<(), Fault> {
        let assignment = &self.assignment;
        if !assignment.is_head() {
            return Err(Fault::new(Status::NotHead));
        }
        if !assignment.writable {
            return Err(Fault::new(Status::UnderReplicated));
        }
        if assignment.quiescing {
            return Err(busy(0));
        }
        // A head that is not active yet may take updates, because their replies wait anyway.
        let uncommitted = self.applied() - self.committed;
        if uncommitted >= UNCOMMITTED_MAX || self.uncommitted_bytes >= UNCOMMITTED_BYTES_MAX {
            return Err(busy(uncommitted));
        }
        Ok(())
    }

    /// Returns whether a read sees committed changes only.
    fn is_clean(&self, header: &Header) -> bool {
        self.committed == self.applied()
            || self.shard.version(header.object).is_some_and(|version| version <= self.clean)
    }

    /// Returns the shard's time at this time of day. Only the head's clock counts: at other
    /// replicas the time is that of the last entry, because the next entry must not be from the
    /// past.
    fn time(&mut self, now: Time) -> Time {
        let shard_now = self.shard.now();
        if !self.assignment.is_head() {
            return shard_now;
        }
        let time = self.time_at(now);
        if time < shard_now {
            self.follow_time(now, shard_now);
        }
        time.max(shard_now)
    }

    /// Returns what the shard's time is at this time of day, as far as this replica knows.
    pub fn time_at(&self, now: Time) -> Time {
        Time(now.0.saturating_add_signed(self.offset_us))
    }

    /// Takes over the time of the last entry, which has just arrived: from there it goes on by elapsed
    /// time, whatever the clocks of the heads before and after say.
    fn follow_log(&mut self, now: Time) {
        if self.logged_at > Time::default() && self.rules.elapsed() {
            self.follow_time(now, self.logged_at);
        }
    }

    /// Sets the shard's time, which is `time` at this time of day.
    fn follow_time(&mut self, now: Time, time: Time) {
        self.offset_us = time.0.cast_signed().wrapping_sub(now.0.cast_signed());
    }

    fn header(&self, kind: FrameKind, number: u64) -> Header {
        peer::header(kind, self.id, self.assignment.epoch, number)
    }
}

/// After this time a client retries a request that was refused with `Busy`.
const RETRY_MS: u64 = 2;

/// Adds replies to the pending ones instead of sending them.
struct PendingOutbox<'a, E> {
    replies: &'a mut PendingReplies,
    epoch: u32,
    out: &'a mut E,
}

impl<E: ReplicaOutbox> Outbox for PendingOutbox<'_, E> {
    fn push(&mut self, conn: ConnId, to: &Header, output: Output<'_>) {
        let since = self.out.turn_start();
        self.replies.push(conn, &Header { epoch: self.epoch, ..*to }, &output, since, false);
    }

    fn push_waited(&mut self, conn: ConnId, to: &Header, output: Output<'_>, waited_us: u64) {
        let since = Time(self.out.turn_start().0.saturating_sub(waited_us));
        self.replies.push(conn, &Header { epoch: self.epoch, ..*to }, &output, since, true);
    }

    fn complete(&self, stats: &mut Stats) {
        self.out.complete(stats);
    }

    fn monitored(&self, shard: ShardId, after: u64, per_second: u32) -> Monitored {
        self.out.monitored(shard, after, per_second)
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
