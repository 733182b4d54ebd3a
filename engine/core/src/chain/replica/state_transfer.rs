//! State transfer: a node that joins receives the shard's state in pieces, then the entries after
//! it.
//!
//! The shard serves requests meanwhile. The state is the one that the tail had when the transfer
//! began, but it is written in short steps, and at the learner read as it arrives. Only so much of
//! it is put on the link at once; the rest follows when the driver says that the link has drained,
//! because on an idle shard nothing else happens.
//!
//! Clients may update the shard faster than the learner applies the entries. Then no more is
//! committed than leaves the learner time to catch up, see [`StateTransfer::commit_max`].

use catena_protocol::peer;
use catena_protocol::{Frame, FrameKind, Header, frame};

use super::{Replica, ReplicationProgress};
use crate::chain::log::ReplicationLog;
use crate::chain::outbox::{ReplicaOutbox, ReplicaReport};
use crate::chain::record::NodeId;
use crate::shard::snapshot::Restoration;
use crate::time::Time;

/// A transfer of the shard's state to a learner.
#[derive(Debug)]
pub(super) struct StateTransfer {
    pub(super) learner: NodeId,
    /// Whether a part of the state was sent.
    has_begun: bool,
    /// The last entry that the state contains, and the hash of the log up to it.
    index: u64,
    hash: u64,
    /// Whether the learner has the state: it has acknowledged that entry or a later one.
    has_state: bool,
    /// Whether the learner has the states of all shards, and has only to catch up.
    is_last_phase: bool,
    /// Twice the last entry that may be committed because the learner has acknowledged twice as
    /// many.
    half_pace: u64,
    pub(super) progress: ReplicationProgress,
}

impl StateTransfer {
    /// Returns whether anything was sent to the learner.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Notes an acknowledgement of the learner, when this much is committed. One of an entry before
    /// the state is ignored, because the learner cannot have it from this transfer.
    pub(super) fn on_ack(&mut self, upto: u64, committed: u64) {
        if upto < self.index {
            return;
        }
        let newly = if self.has_state { upto.saturating_sub(self.progress.acked) } else { 0 };
        self.half_pace = self.half_pace.max(2 * committed) + newly;
        self.progress.acked = self.progress.acked.max(upto);
        self.has_state = true;
    }

    /// Returns the last entry that may be committed while `lag_bytes` of committed entries are kept
    /// for the learner.
    ///
    /// Near the end, and before if the learner lacks too much, half as many entries are committed as
    /// it acknowledges, until it lacks but a few: so it catches up, however fast the updates come.
    pub(super) fn commit_max(&self, lag_bytes: usize, limits: &TransferLimits) -> u64 {
        if !self.has_state || !self.is_last_phase && lag_bytes <= limits.lag_bytes {
            return u64::MAX;
        }
        (self.half_pace / 2).max(self.progress.acked + limits.entries_ahead)
    }
}

/// How much is sent to a learner at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferLimits {
    /// Bytes of state in one frame.
    pub piece_bytes: usize,
    /// Nothing more is put on a link where this many bytes wait already.
    pub backlog_bytes: usize,
    /// How many steps of writing the state are taken at once, or fewer if they give a piece. Each
    /// takes some microseconds.
    pub steps: usize,
    /// Bytes of committed entries that are kept for a learner before its pace limits what is
    /// committed. Until then it does so only in the end.
    pub lag_bytes: usize,
    /// So many entries more than a learner has may be committed, whatever its pace. If it lacks no
    /// more than twice as many, it is nearly synced.
    pub entries_ahead: u64,
}

impl Default for TransferLimits {
    fn default() -> TransferLimits {
        TransferLimits {
            piece_bytes: 64 * 1024,
            backlog_bytes: 1024 * 1024,
            steps: 128,
            lag_bytes: 4 * 1024 * 1024,
            entries_ahead: 512,
        }
    }
}

impl Replica {
    /// Takes a piece of the state with which this replica is to begin. `now` is the time of day.
    pub fn on_snapshot(
        &mut self,
        from: NodeId,
        now: Time,
        frame: &Frame<'_>,
        out: &mut impl ReplicaOutbox,
    ) {
        let header = &frame.header;
        if self.assignment.member
            || self.assignment.predecessor != Some(from)
            || header.epoch != self.assignment.epoch
        {
            return;
        }
        let Some(state) = &mut self.incoming_state else { return };
        if state.take(frame.body).is_err() {
            out.report(self.id, ReplicaReport::Diverged(from));
            return;
        }
        if header.flags & peer::LAST_PIECE == 0 {
            return;
        }
        match self.incoming_state.take().map(|state| state.finish()) {
            Some(Ok(shard)) => {
                self.shard = shard;
                self.log = ReplicationLog::behind(header.number);
                self.hash = header.session;
                self.logged_at = self.shard.now();
                self.follow_log(now);
                self.committed = header.number;
                self.clean = self.shard.seq();
                self.uncommitted_entries.clear();
                self.uncommitted_bytes = 0;
                self.ack_due = true;
            }
            Some(Err(_)) => {
                // The shard stays as it was: nobody relies on it.
                self.incoming_state = Some(Restoration::new(&self.shard).into());
                out.report(self.id, ReplicaReport::Diverged(from));
            }
            None => {}
        }
    }

    /// Begins to send the shard's state to a learner.
    pub fn start_transfer(&mut self, learner: NodeId) {
        self.shard.turn_back(self.logged_at);
        self.shard.begin_snapshot();
        let (index, hash) = (self.applied(), self.hash);
        let progress = ReplicationProgress { resumed: false, sent: index, acked: 0 };
        self.transfer = Some(StateTransfer {
            learner,
            has_begun: false,
            index,
            hash,
            has_state: false,
            is_last_phase: false,
            half_pace: 0,
            progress,
        });
        self.update_alone();
    }

    /// Stops the transfer.
    pub fn stop_transfer(&mut self, out: &mut impl ReplicaOutbox) {
        self.transfer = None;
        self.shard.end_snapshot();
        self.advance_commit(out);
    }

    /// Notes that the learner has the states of all shards of this core. From now on nothing but the
    /// entries after them is on the link.
    pub fn begin_last_phase(&mut self, learner: NodeId) {
        if let Some(transfer) = self.transfer.as_mut().filter(|it| it.learner == learner) {
            transfer.is_last_phase = true;
        }
    }

    /// Returns whether the learner has this shard's state.
    pub fn has_state(&self, learner: NodeId) -> bool {
        self.acked_by(learner).is_some()
    }

    /// Returns whether updates wait for the learner. If it makes no progress, the driver has to stop
    /// the transfer.
    pub fn waits_for_learner(&self) -> bool {
        let is_behind = |transfer| self.paced(transfer) < self.acknowledged();
        self.assignment.gate.is_none() && self.transfer.as_ref().is_some_and(is_behind)
    }

    /// Returns the memory that a transfer takes in bytes: what changed before it was written, and
    /// entries that are kept for the learner.
    pub fn transfer_memory(&self) -> u64 {
        match &self.transfer {
            Some(_) => self.shard.snapshot_memory() + self.log.bytes() as u64,
            None => 0,
        }
    }

    /// Returns whether the state with which the transfer began is on the link. Only then does the
    /// transfer of another shard begin, because a state that waits to be sent takes memory.
    pub fn has_sent_state(&self, learner: NodeId) -> bool {
        self.transfer.as_ref().is_some_and(|it| it.learner == learner && it.progress.resumed)
    }

    /// Returns whether more of a transfer to this peer waits for room on the link. The driver asks
    /// when the link has drained, and then calls [`Replica::flush`].
    pub fn waits_for_room(&self, peer: NodeId) -> bool {
        let waits = |transfer: &StateTransfer| {
            let progress = &transfer.progress;
            !progress.resumed || progress.sent < self.applied()
        };
        self.rules.drained()
            && self.transfer.as_ref().is_some_and(|it| it.learner == peer && waits(it))
    }

    /// Returns whether the learner has the state and all but a few of the committed entries after it.
    pub fn is_nearly_synced(&self, learner: NodeId) -> bool {
        let lacks = |acked| self.committed.saturating_sub(acked);
        let acked = self.acked_by(learner);
        acked.is_some_and(|acked| lacks(acked) <= 2 * self.transfer_limits.entries_ahead)
    }

    /// Returns whether the learner has every entry that was ever acknowledged here, and on which
    /// any reply depended. That remains so as long as the assignment has a gate for it.
    pub fn is_synced(&self, learner: NodeId) -> bool {
        self.acked_by(learner).is_some_and(|acked| acked >= self.committed)
    }

    /// Returns how many entries the learner lacks.
    pub fn lag_of(&self, learner: NodeId) -> u64 {
        self.applied() - self.acked_by(learner).unwrap_or_default()
    }

    /// Returns the last entry that the learner has acknowledged, once it has the state.
    fn acked_by(&self, learner: NodeId) -> Option<u64> {
        let transfer =
            self.transfer.as_ref().filter(|known| known.learner == learner && known.has_state);
        transfer.map(|transfer| transfer.progress.acked)
    }

    /// Sends the learner the next pieces of the state, and after the last one the entries that
    /// follow it.
    pub(super) fn flush_transfer(&mut self, out: &mut impl ReplicaOutbox) {
        let (epoch, id) = (self.assignment.epoch, self.id);
        let TransferLimits { piece_bytes, backlog_bytes, steps, .. } = self.transfer_limits;
        let Some(transfer) = &mut self.transfer else { return };
        let Some(mut bytes) = out.peer_buffer(transfer.learner) else { return };
        if !transfer.progress.resumed && bytes.len() < backlog_bytes {
            self.shard.continue_snapshot(steps, piece_bytes);
            let Some((state, is_whole)) = self.shard.snapshot_bytes() else { return };
            let mut rest = state;
            // Also without anything to send, because the next step comes when the link has drained.
            loop {
                let (piece, behind) = rest.split_at(rest.len().min(piece_bytes));
                let is_last = is_whole && behind.is_empty();
                let header = Header {
                    session: transfer.hash,
                    flags: if is_last { peer::LAST_PIECE } else { 0 },
                    ..peer::header(FrameKind::Snapshot, id, epoch, transfer.index)
                };
                frame::write(&mut bytes, &header, |out| out.extend_from_slice(piece))
                    .expect("pieces are small");
                transfer.progress.resumed = is_last;
                rest = behind;
                if rest.is_empty() || bytes.len() >= backlog_bytes {
                    break;
                }
            }
            let taken = state.len() - rest.len();
            self.shard.take_snapshot_bytes(taken);
            transfer.has_begun = true;
        }
        if transfer.progress.resumed {
            self.shard.end_snapshot();
            let sent = transfer.progress.sent;
            let sent = self.forward(sent, &mut bytes, backlog_bytes);
            if let Some(transfer) = &mut self.transfer {
                transfer.progress.sent = sent;
            }
        }
    }
}
