//! How a node becomes a member.
//!
//! A learner asks the tail of all chains to be taught, and the first member, which lines the chains up
//! if they end at different nodes; when its cores are ready, those of the tail copy their
//! shards to it and forward to it from then on. Once it is near, the tail acknowledges only what the
//! learner has, and appends it when it has everything.
//!
//! 1. A learner begins its copy anew only in a later epoch than the one it began in, or in another
//!    life, and a tail does not teach it twice in one epoch: what is proposed in this epoch may still
//!    make it a member with what it has.
//! 2. The tail keeps the gate from before the learner is said to have everything until it is known
//!    what became of the proposal.

use super::action::{Action, Report};
use super::message::PeerMessage;
use super::rotation::conductor;
use super::timing::{
    BEAT_MS, Due, LEARNER_AGAIN_MS, LEARNER_SILENT_MS, RESYNC_MS, TOTAL_LOSS_MS, UNTAUGHT_MAX,
};
use super::{Member, Standing};
use crate::chain::record::{NodeId, NodeInfo, Record};
use crate::time::Time;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A node that this one, the tail, teaches. One at a time.
#[derive(Clone, Debug)]
pub(super) struct Learner {
    pub(super) node: NodeId,
    pub(super) info: NodeInfo,
    pub(super) heard: Time,
    /// Its cores take what ours send.
    pub(super) ready: bool,
    /// It lacks little.
    near: bool,
    /// It is not appended before this.
    not_before: Time,
}

/// A learner that is about to be appended.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) learner: NodeId,
    pub(super) info: NodeInfo,
    pub(super) since: Time,
    /// It has everything, and the cores acknowledge nothing else.
    synced: bool,
}

/// The tail that teaches this node, in this epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teacher {
    pub(super) tail: NodeId,
    heard: Time,
}

impl Member {
    /// All shards say that the learner has nearly everything. Said as often as it is so.
    pub fn on_near(&mut self, now: Time, learner: NodeId, epoch: u32, out: &mut Vec<Action>) {
        self.advance(now);
        self.note_near(learner, epoch);
        self.decide(out);
    }

    /// All shards say that the learner has everything. It counts when they acknowledge nothing else
    /// since before they looked: said after the view with the gate was confirmed. Before that it says
    /// the same as [`Member::on_near`].
    pub fn on_synced(&mut self, now: Time, learner: NodeId, epoch: u32, out: &mut Vec<Action>) {
        self.advance(now);
        self.note_near(learner, epoch);
        let is_gated = self.views.is_gated(learner) || !self.rules.confirm();
        if epoch == self.epoch()
            && is_gated
            && let Some(gate) = self.gate.as_mut().filter(|gate| gate.learner == learner)
        {
            gate.synced = true;
        }
        self.decide(out);
    }

    fn note_near(&mut self, learner: NodeId, epoch: u32) {
        let is_here = epoch == self.epoch();
        if let Some(known) = self.learner.as_mut().filter(|known| is_here && known.node == learner)
        {
            known.near = true;
        }
    }

    /// What the tail taught in that epoch is not complete, and the rest will not come: the link
    /// broke, or the tail left off. It is not begun again in this life: see 1 above.
    pub fn on_sync_lost(&mut self, now: Time, epoch: u32, out: &mut Vec<Action>) {
        self.advance(now);
        if self.teacher.is_some() && epoch == self.epoch() {
            self.begin_anew(out);
        }
        self.decide(out);
    }

    pub(super) fn on_join(
        &mut self,
        from: NodeId,
        (epoch, ready): (u32, bool),
        info: NodeInfo,
        out: &mut Vec<Action>,
    ) {
        let Some(record) = self.record().cloned() else {
            return;
        };
        let is_retired = record.is_retired(from) && self.rules.fresh_incarnation();
        if is_retired || self.standing == Standing::Out {
            return self.refuse(from, &record, out);
        }
        if epoch < record.epoch {
            let message = PeerMessage::Config(Box::new((*record).clone()));
            return out.push(Action::Send { to: from, message });
        }
        if epoch > record.epoch {
            return self.reads.want();
        }
        if self.standing != Standing::Member {
            return;
        }
        let now = self.now;
        if !record.is_full() {
            self.rotation.on_joiner(now);
        }
        let is_tail = common_tail(&record) == Some(self.me);
        if !is_tail || self.untaught.contains(&from) {
            return out.push(Action::Send { to: from, message: PeerMessage::Wait { epoch } });
        }
        let learner = self.learner.get_or_insert_with(|| Learner {
            node: from,
            info: info.clone(),
            heard: now,
            ready: false,
            near: false,
            not_before: now,
        });
        if learner.node == from {
            (learner.info, learner.heard) = (info, now);
            learner.ready |= ready;
            out.push(Action::Send { to: from, message: PeerMessage::Sync { epoch } });
        } else {
            // One at a time: it will ask again.
            out.push(Action::Send { to: from, message: PeerMessage::Wait { epoch } });
        }
    }

    pub(super) fn on_sync(&mut self, from: NodeId, epoch: u32) {
        let is_tail = self.record().is_some_and(|record| common_tail(record) == Some(from));
        if self.standing == Standing::Outside && is_tail && epoch == self.epoch() {
            self.teacher = Some(Teacher { tail: from, heard: self.now });
        }
    }

    /// Opens a gate for a learner that is near, closes it if that takes too long, and returns it
    /// when the learner has everything.
    pub(super) fn advance_gate(
        &mut self,
        record: &Record,
        due: &mut Due,
        out: &mut Vec<Action>,
    ) -> Option<Gate> {
        let now = self.now;
        let Some(gate) = self.gate.clone() else {
            self.gate = self.open_gate(record, due);
            if self.gate.is_some() {
                // The proposal will want to know whether the register is there.
                self.reads.want();
            }
            return None;
        };
        if gate.synced {
            return Some(gate);
        }
        let heard = self.learner.as_ref().map_or(Time::default(), |learner| learner.heard);
        let until = heard
            .plus_ms(record.settings.suspect_ms)
            .min(gate.since.plus_ms(2 * record.settings.suspect_ms));
        due.at(until);
        if now >= until {
            self.drop_learner(out);
        }
        None
    }

    fn open_gate(&self, record: &Record, due: &mut Due) -> Option<Gate> {
        let learner = self.learner.as_ref().filter(|learner| learner.ready && learner.near)?;
        if record.is_full() || self.peers.has_suspect() {
            return None;
        }
        due.at(learner.not_before);
        let is_there = self.now < learner.heard.plus_ms(record.settings.suspect_ms);
        (is_there && self.now >= learner.not_before).then(|| Gate {
            learner: learner.node,
            info: learner.info.clone(),
            since: self.now,
            synced: !self.rules.gate(),
        })
    }

    /// Gives up on appending a learner for the time being. No proposal for it is under way.
    pub(super) fn drop_learner(&mut self, out: &mut Vec<Action>) {
        let Some(Gate { learner, .. }) = self.gate.take() else {
            return;
        };
        if let Some(learner) = &mut self.learner {
            learner.near = false;
            learner.not_before = self.now.plus_ms(LEARNER_AGAIN_MS);
        }
        out.push(Action::Report(Report::LearnerDropped { learner }));
    }

    /// Makes room for another learner if nothing is heard of this one.
    pub(super) fn watch_learner(&mut self, due: &mut Due) {
        let Some(learner) = self.learner.as_ref().filter(|_| self.gate.is_none()) else {
            return;
        };
        let until = learner.heard.plus_ms(LEARNER_SILENT_MS);
        due.at(until);
        if self.now >= until && self.untaught.len() < UNTAUGHT_MAX {
            self.untaught.insert(learner.node);
            self.learner = None;
        }
    }

    /// A learner shows the tail that it is there, and ends when the tail is not.
    pub(super) fn ask_to_join(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) {
        if let Some(teacher) = self.teacher {
            let until = teacher.heard.plus_ms(LEARNER_SILENT_MS);
            due.at(until);
            if self.now >= until && self.proposal.is_none() {
                return self.begin_anew(out);
            }
        }
        if self.now >= self.next_beat {
            self.next_beat = self.now.plus_ms(BEAT_MS);
            let ready = self.teacher.is_some_and(|teacher| self.views.is_taught_by(teacher.tail));
            let tail = common_tail(record);
            for to in tail.into_iter().chain(conductor(record).filter(|it| Some(*it) != tail)) {
                let (epoch, info) = (record.epoch, self.info.clone());
                out.push(Action::Send { to, message: PeerMessage::Join { epoch, ready, info } });
            }
        }
        due.at(self.next_beat);
    }

    fn begin_anew(&mut self, out: &mut Vec<Action>) {
        self.standing = Standing::Out;
        self.teacher = None;
        let not_before = self.now.plus_ms(RESYNC_MS);
        out.push(Action::Rejoin { not_before, removals: self.removals });
    }

    /// Since when all members are taken for lost, if they are.
    pub(super) fn lost_since(&mut self, due: &mut Due, out: &mut Vec<Action>) -> Option<Time> {
        let since = self.members_heard.plus_ms(TOTAL_LOSS_MS);
        due.at(since);
        if self.now < since {
            return None;
        }
        if !self.loss_reported {
            self.loss_reported = true;
            out.push(Action::Report(Report::TotalLoss));
        }
        Some(since)
    }
}

/// The node that is the tail of all chains. Only there can a learner be appended: if chains ended at
/// different nodes, all of these would have to keep the gate at the same time.
pub(super) fn common_tail(record: &Record) -> Option<NodeId> {
    let mut tails = record.chains.iter().map(|chain| chain.last().copied());
    let tail = tails.next()??;
    tails.all(|other| other == Some(tail)).then_some(tail)
}
