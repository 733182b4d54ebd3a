//! Teaching: a node that joins gets the shard's state in pieces, and then the entries behind it, while
//! the shard goes on serving. It begins with what the tail had when it began to teach.

use alloc::vec::Vec;
use catena_protocol::peer;
use catena_protocol::{Frame, FrameKind, Header, frame};

use super::{Exits, Link, Replica, Report};
use crate::chain::log::Log;
use crate::chain::record::NodeId;

/// A node that gets the shard's state in order to join.
#[derive(Debug)]
pub(super) struct Learner {
    pub(super) node: NodeId,
    /// What is left to send of the state, and as of which entry.
    state: Vec<u8>,
    at: usize,
    pub(super) index: u64,
    hash: u64,
    /// It has the state, because it has acknowledged that entry or a later one.
    has_state: bool,
    pub(super) link: Link,
}

impl Learner {
    /// Whether anything was sent to it.
    pub(super) fn has_begun(&self) -> bool {
        self.at > 0 || self.link.resumed
    }

    /// Takes note of what it has. Of an entry before the state it has not learned here.
    pub(super) fn on_ack(&mut self, upto: u64) {
        if upto >= self.index {
            self.link.acked = self.link.acked.max(upto);
            self.has_state = true;
        }
    }
}

/// A learner that is behind by no more entries is near.
const NEAR_ENTRIES: u64 = 1_024;

/// Bytes of state in one frame to a learner.
const PIECE_BYTES: usize = 256 * 1024;

/// Bytes that may wait for a link before more of a learner's state is put there.
const BACKLOG_BYTES: usize = 1024 * 1024;

impl Replica {
    /// Takes a piece of the state that we are to begin with.
    pub fn on_snapshot(&mut self, from: NodeId, frame: &Frame<'_>, out: &mut impl Exits) {
        let header = &frame.header;
        if self.post.member
            || self.post.predecessor != Some(from)
            || header.epoch != self.post.epoch
        {
            return;
        }
        let Some(lesson) = &mut self.lesson else { return };
        lesson.extend_from_slice(frame.body);
        if header.flags & peer::LAST_PIECE == 0 {
            return;
        }
        match self.shard.restored(lesson) {
            Ok(shard) => {
                self.shard = shard;
                self.lesson = None;
                self.log = Log::behind(header.number);
                self.hash = header.session;
                self.logged_at = self.shard.now();
                self.committed = header.number;
                self.clean = self.shard.seq();
                self.marks.clear();
                self.uncommitted_bytes = 0;
                self.ack_due = true;
            }
            Err(_) => out.report(self.id, Report::Diverged(from)),
        }
    }

    /// Begins to send the shard's state to a node that wants to join behind us.
    pub fn teach(&mut self, learner: NodeId) {
        self.shard.turn_back(self.logged_at);
        let state = self.shard.snapshot();
        let (index, hash) = (self.applied(), self.hash);
        let link = Link { resumed: false, sent: index, acked: 0 };
        let has_state = false;
        self.learner = Some(Learner { node: learner, state, at: 0, index, hash, has_state, link });
        self.see_whether_alone();
    }

    /// Stops sending to the node that wanted to join.
    pub fn leave_off(&mut self) {
        self.learner = None;
        self.see_whether_alone();
    }

    /// Whether the learner has the state.
    pub fn has_taught(&self, learner: NodeId) -> bool {
        self.acked_by(learner).is_some()
    }

    /// Whether the learner lacks little.
    pub fn is_near(&self, learner: NodeId) -> bool {
        self.acked_by(learner).is_some_and(|acked| self.applied() - acked <= NEAR_ENTRIES)
    }

    /// Whether the learner has everything that was ever acknowledged here or answered. As long as the
    /// post has a gate for it, that stays so.
    pub fn is_synced(&self, learner: NodeId) -> bool {
        self.acked_by(learner).is_some_and(|acked| acked >= self.committed)
    }

    /// How far the learner is behind, in entries.
    pub fn lag_of(&self, learner: NodeId) -> u64 {
        self.applied() - self.acked_by(learner).unwrap_or_default()
    }

    /// The last entry that the learner has said it has, once it has the state.
    fn acked_by(&self, learner: NodeId) -> Option<u64> {
        let known = self.learner.as_ref().filter(|known| known.node == learner && known.has_state);
        known.map(|known| known.link.acked)
    }

    /// Sends the learner the next pieces of the state, and then the entries behind it.
    pub(super) fn flush_learner(&mut self, out: &mut impl Exits) {
        let (epoch, id) = (self.post.epoch, self.id);
        let Some(learner) = &mut self.learner else { return };
        let Some(mut bytes) = out.peer(learner.node) else { return };
        while learner.at < learner.state.len() && bytes.len() < BACKLOG_BYTES {
            let end = (learner.at + PIECE_BYTES).min(learner.state.len());
            let is_last = end == learner.state.len();
            let header = Header {
                session: learner.hash,
                flags: if is_last { peer::LAST_PIECE } else { 0 },
                ..peer::header(FrameKind::Snapshot, id, epoch, learner.index)
            };
            let piece = &learner.state[learner.at..end];
            frame::write(&mut bytes, &header, |out| out.extend_from_slice(piece))
                .expect("pieces are small");
            learner.at = end;
            learner.link.resumed = is_last;
        }
        if learner.link.resumed {
            learner.state = Vec::new();
            learner.at = 0;
            let sent = learner.link.sent;
            let sent = self.forward(sent, &mut bytes);
            if let Some(learner) = &mut self.learner {
                learner.link.sent = sent;
            }
        }
    }
}
