//! Forwarding: what a replica takes from its neighbours in the chain and sends to them.

use alloc::vec::Vec;
use catena_protocol::peer::{self, Entry};
use catena_protocol::{Frame, FrameKind, Header, ObjectId, frame};

use super::{Replica, ReplicationProgress};
use crate::ahead::Lookahead;
use crate::chain::outbox::{ReplicaOutbox, ReplicaReport};
use crate::chain::record::NodeId;
use crate::config::FORWARD_BYTES_MAX;
use crate::objects::WaiterId;
use crate::shard::{ConnId, Moment, Outbox, Output};
use crate::time::Time;

impl Replica {
    /// Takes entries that the predecessor forwards. `now` is the time of day.
    pub fn on_forward(
        &mut self,
        from: NodeId,
        now: Time,
        frame: &Frame<'_>,
        out: &mut impl ReplicaOutbox,
    ) {
        let is_ours = self.assignment.predecessor == Some(from)
            && (frame.header.epoch == self.assignment.epoch || !self.rules.epoch_check());
        if !is_ours || self.incoming_state.is_some() {
            return;
        }
        let mut rest = frame.body;
        let mut ahead = Lookahead::new(rest, |entries| {
            let entry = peer::next_entry(entries).ok()??;
            // An entry without a request needs no prefetch, but others follow it.
            let header = peer::guess(&entry).unwrap_or(Header::new(FrameKind::Request));
            Some((header, entry.bytes_len()))
        });
        loop {
            ahead.advance(|step, header| self.shard.prefetch(step, header));
            match peer::next_entry(rest) {
                Ok(None) => break,
                Ok(Some(entry)) => {
                    rest = &rest[entry.bytes_len()..];
                    match self.apply_forwarded(&entry, out) {
                        EntryOutcome::Applied | EntryOutcome::Duplicate => {}
                        // Entries in between were lost with a connection.
                        EntryOutcome::Gap => {
                            self.resume_due = true;
                            return;
                        }
                        EntryOutcome::Conflict => {
                            out.report(self.id, ReplicaReport::Diverged(from));
                            return;
                        }
                    }
                }
                Err(_) => {
                    out.report(self.id, ReplicaReport::Diverged(from));
                    return;
                }
            }
        }
        self.follow_log(now);
        self.ack_due = true;
        self.advance_commit(out);
    }

    /// Takes an acknowledgement of the successor or of a learner.
    pub fn on_ack(&mut self, from: NodeId, header: &Header, out: &mut impl ReplicaOutbox) {
        if header.epoch != self.assignment.epoch && self.rules.epoch_check() {
            return;
        }
        let upto = header.number.min(self.applied());
        if self.assignment.successor == Some(from) {
            self.progress.acked = self.progress.acked.max(upto);
            self.ack_due = true;
        }
        if let Some(transfer) = self.transfer.as_mut().filter(|it| it.learner == from) {
            transfer.on_ack(upto, self.committed);
        }
        self.advance_commit(out);
    }

    /// Compares what the successor has come to.
    pub fn on_digest(&mut self, from: NodeId, header: &Header, out: &mut impl ReplicaOutbox) {
        let is_current = header.epoch == self.assignment.epoch;
        if is_current
            && self.assignment.successor == Some(from)
            && self.digests.contradicts(header.number, header.session)
        {
            out.report(self.id, ReplicaReport::Differs(from));
        }
    }

    /// Takes the successor's position, and continues from there; or the predecessor's question for
    /// this replica's position.
    pub fn on_resume(&mut self, from: NodeId, header: &Header, out: &mut impl ReplicaOutbox) {
        let is_current = header.epoch == self.assignment.epoch;
        if is_current && self.assignment.predecessor == Some(from) {
            (self.resume_due, self.ack_due) = (true, true);
            return;
        }
        if !is_current || self.assignment.successor != Some(from) {
            return;
        }
        let (index, hash) = (header.number, header.session);
        if index > self.applied() {
            out.report(self.id, ReplicaReport::Diverged(from));
            return;
        }
        match self.hash_at(index) {
            Some(ours) if ours != hash => out.report(self.id, ReplicaReport::Diverged(from)),
            _ if index + 1 < self.log.first() => out.report(self.id, ReplicaReport::Behind(from)),
            // Just before the first entry that is kept there is no hash to compare with; the
            // entries that follow carry theirs. The successor's position acknowledges nothing: it
            // speaks neither for the replicas behind the successor nor for one that is not active
            // yet.
            _ => {
                self.progress = ReplicationProgress { resumed: true, sent: index, ..self.progress };
            }
        }
        self.advance_commit(out);
    }

    /// Notes that the link to a peer is new, so that frames may have been lost with the one before.
    pub fn on_link(&mut self, peer: NodeId, out: &mut impl ReplicaOutbox) {
        if self.assignment.predecessor == Some(peer) {
            // The last acknowledgement may be among what was lost.
            (self.resume_due, self.ack_due) = (true, true);
        }
        if self.assignment.successor == Some(peer) {
            self.progress.resumed = false;
            self.resume_request_due = true;
        }
        self.on_link_lost(peer, out);
    }

    /// Notes that the link to a peer is lost.
    pub fn on_link_lost(&mut self, peer: NodeId, out: &mut impl ReplicaOutbox) {
        if self.transfer.as_ref().is_some_and(|it| it.learner == peer && it.has_begun()) {
            // The learner joins again, because it cannot know which pieces it missed.
            self.stop_transfer(out);
        }
    }

    /// Writes what is due to the links: entries, acknowledgements, state. Called once a turn, after
    /// all frames of the turn were taken.
    pub fn flush(&mut self, out: &mut impl ReplicaOutbox) {
        if let Some(predecessor) = self.assignment.predecessor {
            self.flush_to_predecessor(predecessor, out);
        }
        if let Some(successor) = self.assignment.successor
            && let Some(mut bytes) = out.peer_buffer(successor)
        {
            if core::mem::take(&mut self.resume_request_due) && !self.progress.resumed {
                peer::write_bare(&mut bytes, &self.header(FrameKind::Resume, 0));
            }
            if self.progress.resumed {
                self.progress.sent = self.forward(self.progress.sent, &mut bytes, usize::MAX);
            }
        }
        self.flush_transfer(out);
    }

    fn flush_to_predecessor(&mut self, predecessor: NodeId, out: &mut impl ReplicaOutbox) {
        if !(self.resume_due || self.ack_due) {
            return;
        }
        let Some(mut bytes) = out.peer_buffer(predecessor) else { return };
        if let Some((index, digest)) = self.digests.take_due() {
            let header = self.header(FrameKind::Digest, index);
            peer::write_bare(&mut bytes, &Header { session: digest, ..header });
        }
        if core::mem::take(&mut self.resume_due) && self.assignment.member {
            let header = self.header(FrameKind::Resume, self.applied());
            peer::write_bare(&mut bytes, &Header { session: self.hash, ..header });
        }
        if core::mem::take(&mut self.ack_due) && self.incoming_state.is_none() {
            // Invariant 3: a learner acknowledges what it has applied; a member, what all replicas
            // behind it have.
            let upto = if self.assignment.member { self.committed } else { self.applied() };
            if self.assignment.active || !self.assignment.member {
                peer::write_bare(&mut bytes, &self.header(FrameKind::Ack, upto));
            }
        }
    }

    /// Appends to `bytes` the entries after `sent`, until there are `bytes_max` bytes; returns the
    /// index of the last one.
    pub(super) fn forward(&self, sent: u64, bytes: &mut Vec<u8>, bytes_max: usize) -> u64 {
        let mut sent = sent;
        while bytes.len() < bytes_max
            && let Some((entries, last)) = self.log.from(sent + 1, FORWARD_BYTES_MAX)
        {
            let header = self.header(FrameKind::Forward, sent + 1);
            // Copied from the log to the link's buffer, because the log keeps them until they are
            // acknowledged.
            frame::write(bytes, &header, |out| out.extend_from_slice(entries))
                .expect("what came in a frame fits a frame");
            sent = last;
        }
        sent
    }

    /// Applies an entry that the predecessor has applied before.
    fn apply_forwarded(&mut self, entry: &Entry<'_>, out: &mut impl ReplicaOutbox) -> EntryOutcome {
        if entry.index <= self.applied() {
            let is_ours = self.hash_at(entry.index).is_none_or(|ours| ours == entry.hash);
            return if is_ours { EntryOutcome::Duplicate } else { EntryOutcome::Conflict };
        }
        if entry.index > self.applied() + 1 {
            return EntryOutcome::Gap;
        }
        if peer::hash(self.hash, entry.index, entry.now_us, entry.request) != entry.hash {
            return EntryOutcome::Conflict;
        }
        let now = Time(entry.now_us);
        if now < self.shard.now() {
            return EntryOutcome::Conflict;
        }
        let mut no_replies = NoReplies(out);
        let effective = if entry.is_time() {
            self.shard.on_time(now, &mut no_replies)
        } else {
            let Ok(frame) = peer::request(entry) else { return EntryOutcome::Conflict };
            if frame.header.shard != self.id {
                return EntryOutcome::Conflict;
            }
            // The head decides for all replicas whether there is memory for an update.
            match frame.header.kind {
                FrameKind::Detach => {
                    let Ok(waiters) = peer::detached(frame.body) else {
                        return EntryOutcome::Conflict;
                    };
                    self.shard.detach(now, waiters.map(WaiterId), &mut no_replies)
                }
                FrameKind::Acknowledge => {
                    let Header { session, number, .. } = frame.header;
                    self.shard.acknowledge(now, session, number)
                }
                _ => {
                    let moment = Moment { now, memory_bytes_max: u64::MAX };
                    let header = Header { epoch: 0, ..frame.header };
                    let frame = Frame { header, ..frame };
                    self.shard.on_request(moment, ConnId::NONE, &frame, &mut no_replies)
                }
            }
        };
        if !effective {
            // Invariant 5: an entry took effect at the head, so it must take effect here.
            return EntryOutcome::Conflict;
        }
        self.push(entry);
        EntryOutcome::Applied
    }
}

/// The outcome of applying a forwarded entry.
enum EntryOutcome {
    Applied,
    /// It was applied before.
    Duplicate,
    /// Entries before it are missing.
    Gap,
    /// It contradicts this replica's log or state.
    Conflict,
}

/// Drops replies, because the head sends them.
struct NoReplies<'a, E>(&'a mut E);

impl<E: ReplicaOutbox> Outbox for NoReplies<'_, E> {
    fn push(&mut self, _conn: ConnId, _to: &Header, _output: Output<'_>) {}

    fn print(&mut self, log: ObjectId, name: Option<&str>, line: &str) {
        self.0.print(log, name, line);
    }
}
