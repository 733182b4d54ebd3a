//! Passing on: what a replica takes from its neighbours in the chain and has for them.

use alloc::vec::Vec;
use catena_protocol::peer::{self, Entry};
use catena_protocol::{Frame, FrameKind, Header, ObjectId, frame};

use super::{Exits, Link, Replica, Report};
use crate::ahead::Lookahead;
use crate::chain::record::NodeId;
use crate::config::FORWARD_BYTES_MAX;
use crate::shard::{ConnId, Moment, Outbox, Output, Time};

impl Replica {
    /// Takes entries that another node forwards.
    pub fn on_forward(&mut self, from: NodeId, frame: &Frame<'_>, out: &mut impl Exits) {
        let is_ours = self.post.predecessor == Some(from)
            && (frame.header.epoch == self.post.epoch || !self.rules.epoch_check());
        if !is_ours || self.lesson.is_some() {
            return;
        }
        let mut rest = frame.body;
        let mut ahead = Lookahead::new(rest, |entries| {
            let entry = peer::next_entry(entries).ok()??;
            // What is no request needs nothing, but others are behind it.
            let header = peer::guess(&entry).unwrap_or(Header::new(FrameKind::Request));
            Some((header, entry.bytes_len()))
        });
        loop {
            ahead.advance(|step, header| self.shard.prefetch(step, header));
            match peer::next_entry(rest) {
                Ok(None) => break,
                Ok(Some(entry)) => {
                    rest = &rest[entry.bytes_len()..];
                    match self.take(&entry, out) {
                        Taken::Applied | Taken::Known => {}
                        // Something in between was lost with a connection.
                        Taken::Gap => {
                            self.resume_due = true;
                            return;
                        }
                        Taken::Contradiction => {
                            out.report(self.id, Report::Diverged(from));
                            return;
                        }
                    }
                }
                Err(_) => {
                    out.report(self.id, Report::Diverged(from));
                    return;
                }
            }
        }
        self.ack_due = true;
        self.settle(out);
    }

    /// Takes note of how far the nodes behind us are.
    pub fn on_ack(&mut self, from: NodeId, header: &Header, out: &mut impl Exits) {
        if header.epoch != self.post.epoch && self.rules.epoch_check() {
            return;
        }
        let upto = header.number.min(self.applied());
        if self.post.successor == Some(from) {
            self.down.acked = self.down.acked.max(upto);
            self.ack_due = true;
        }
        if let Some(learner) = self.learner.as_mut().filter(|learner| learner.node == from) {
            learner.on_ack(upto);
        }
        self.settle(out);
    }

    /// Learns where the successor is, and goes on from there; or tells the predecessor, who asks.
    pub fn on_resume(&mut self, from: NodeId, header: &Header, out: &mut impl Exits) {
        if header.epoch == self.post.epoch && self.post.predecessor == Some(from) {
            (self.resume_due, self.ack_due) = (true, true);
            return;
        }
        if header.epoch != self.post.epoch || self.post.successor != Some(from) {
            return;
        }
        let (index, hash) = (header.number, header.session);
        if index > self.applied() {
            out.report(self.id, Report::Diverged(from));
            return;
        }
        match self.hash_at(index) {
            Some(ours) if ours != hash => out.report(self.id, Report::Diverged(from)),
            _ if index + 1 < self.log.first() => out.report(self.id, Report::Behind(from)),
            // At the very front of what is kept there is no hash to compare with; the entries that
            // follow carry theirs.
            // What it has is not acknowledged: others are behind it, and it may not be active yet.
            _ => self.down = Link { resumed: true, sent: index, ..self.down },
        }
        self.settle(out);
    }

    /// The link to a peer is new: what was on its way may be lost.
    pub fn on_link(&mut self, peer: NodeId) {
        if self.post.predecessor == Some(peer) {
            // The last acknowledgement may be among what was lost.
            (self.resume_due, self.ack_due) = (true, true);
        }
        if self.post.successor == Some(peer) {
            self.down.resumed = false;
            self.ask_due = true;
        }
        if self.learner.as_ref().is_some_and(|it| it.node == peer && it.has_begun()) {
            // A learner begins anew rather than guessing what it missed.
            self.leave_off();
        }
    }

    /// Sends what is to be sent: entries, acknowledgements, state. Once a turn, after all frames of
    /// the turn were taken.
    pub fn flush(&mut self, out: &mut impl Exits) {
        if let Some(predecessor) = self.post.predecessor {
            self.flush_up(predecessor, out);
        }
        if let Some(successor) = self.post.successor
            && let Some(mut bytes) = out.peer(successor)
        {
            if core::mem::take(&mut self.ask_due) && !self.down.resumed {
                peer::write_bare(&mut bytes, &self.header(FrameKind::Resume, 0));
            }
            if self.down.resumed {
                self.down.sent = self.forward(self.down.sent, &mut bytes);
            }
        }
        self.flush_learner(out);
    }

    fn flush_up(&mut self, predecessor: NodeId, out: &mut impl Exits) {
        if !(self.resume_due || self.ack_due) {
            return;
        }
        let Some(mut bytes) = out.peer(predecessor) else { return };
        if core::mem::take(&mut self.resume_due) && self.post.member {
            let header = self.header(FrameKind::Resume, self.applied());
            peer::write_bare(&mut bytes, &Header { session: self.hash, ..header });
        }
        if core::mem::take(&mut self.ack_due) && self.lesson.is_none() {
            // 3. A learner says what it has; a member answers for all behind it.
            let upto = if self.post.member { self.committed } else { self.applied() };
            if self.post.active || !self.post.member {
                peer::write_bare(&mut bytes, &self.header(FrameKind::Ack, upto));
            }
        }
    }

    /// Appends all entries behind `sent`; answers the last.
    pub(super) fn forward(&self, sent: u64, bytes: &mut Vec<u8>) -> u64 {
        let mut sent = sent;
        while let Some((entries, last)) = self.log.from(sent + 1, FORWARD_BYTES_MAX) {
            let header = self.header(FrameKind::Forward, sent + 1);
            // Copy: from the log, which stays, to the link's buffer.
            frame::write(bytes, &header, |out| out.extend_from_slice(entries))
                .expect("what came in a frame fits a frame");
            sent = last;
        }
        sent
    }

    /// Applies an entry that another node has applied before.
    fn take(&mut self, entry: &Entry<'_>, out: &mut impl Exits) -> Taken {
        if entry.index <= self.applied() {
            let is_ours = self.hash_at(entry.index).is_none_or(|ours| ours == entry.hash);
            return if is_ours { Taken::Known } else { Taken::Contradiction };
        }
        if entry.index > self.applied() + 1 {
            return Taken::Gap;
        }
        if peer::hash(self.hash, entry.index, entry.now_us, entry.request) != entry.hash {
            return Taken::Contradiction;
        }
        let now = Time(entry.now_us);
        if now < self.shard.now() {
            return Taken::Contradiction;
        }
        let mut nobody = Nobody(out);
        let effective = if entry.is_time() {
            self.shard.on_time(now, &mut nobody)
        } else {
            let Ok(frame) = peer::request(entry) else { return Taken::Contradiction };
            if frame.header.shard != self.id {
                return Taken::Contradiction;
            }
            // What the head had room for, we have: it decides for all.
            let moment = Moment { now, memory_bytes_max: u64::MAX };
            let header = Header { epoch: 0, ..frame.header };
            self.shard.on_request(moment, NOBODY, &Frame { header, ..frame }, &mut nobody)
        };
        if !effective {
            // 5. What took effect at the head does so here.
            return Taken::Contradiction;
        }
        self.push(entry);
        Taken::Applied
    }
}

/// What became of a forwarded entry.
enum Taken {
    Applied,
    Known,
    Gap,
    Contradiction,
}

/// The connection of requests that came from another node: nobody's.
const NOBODY: ConnId = ConnId(u64::MAX);

/// Drops answers: the head gives them.
struct Nobody<'a, E>(&'a mut E);

impl<E: Exits> Outbox for Nobody<'_, E> {
    fn push(&mut self, _conn: ConnId, _to: &Header, _output: Output<'_>) {}

    fn print(&mut self, log: ObjectId, name: Option<&str>, line: &str) {
        self.0.print(log, name, line);
    }
}
