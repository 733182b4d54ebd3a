//! Changes that a node proposes: one at a time, each until it is known what became of it.
//!
//! 1. From before a proposal leaves until another record than its base is seen, the node grants
//!    nothing and its cores read nothing: the proposal may have ended the epoch.
//! 2. While the proposal appends a learner, and from before it is made, the cores acknowledge only
//!    what the learner has.
//! 3. A proposal is repeated as the same record. Only what the register says decides; an unknown
//!    outcome is none, and a refusal may be the answer to a repetition of what succeeded.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::action::{Action, Outcome, Report};
use super::message::PeerMessage;
use super::peers::{Suspect, Suspicion};
use super::timing::{Due, REMOVAL_MS, RETRY_MS, RETRY_MS_MAX, doubled};
use super::{Member, Standing};
use crate::chain::record::RecordToken;
use crate::chain::record::{
    Change, ChangeId, ChangeKind, OnTotalLoss, RETIRED_MAX, Record, Refused,
};
use crate::time::Time;

/// A change under way.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) record: Arc<Record>,
    /// The record that it replaces; [`None`] if there must be none.
    base: Option<RecordToken>,
    stage: Stage,
    /// How often it was sent without becoming known.
    attempts: u32,
    /// Whether any of these attempts may have succeeded, or may yet.
    may_land: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The cores have been told to stop reading.
    Stopping,
    /// The register has been asked.
    Sent,
    /// The register did not say. It is read, and asked again if it still has the base, but not
    /// before this.
    Unsure { again: Time },
}

/// Makes ids that no other change has.
#[derive(Debug)]
pub(super) struct ChangeIds {
    next: u128,
}

impl ChangeIds {
    /// `seed` is drawn at random, once in the life of a node.
    pub(super) fn new(seed: u128) -> ChangeIds {
        ChangeIds { next: seed }
    }

    pub(super) fn fresh(&mut self) -> ChangeId {
        self.next = self.next.wrapping_add(1);
        ChangeId(self.next)
    }
}

impl Member {
    /// The register said what became of a change.
    pub fn on_cas(&mut self, now: Time, change: ChangeId, outcome: Outcome, out: &mut Vec<Action>) {
        self.advance(now);
        let proposal = self.proposal.as_mut().filter(|own| own.record.change.id == change);
        // Of a change that is decided already there is nothing to learn.
        if let Some(proposal) = proposal {
            let wait_ms = doubled(RETRY_MS, proposal.attempts, RETRY_MS_MAX);
            proposal.attempts += 1;
            proposal.stage = Stage::Unsure { again: now.plus_ms(wait_ms) };
            match outcome {
                Outcome::Won(token) => {
                    let record = Arc::clone(&proposal.record);
                    self.adopt(record, Some(token), out);
                }
                Outcome::Failed if !proposal.may_land => self.give_up(),
                Outcome::Failed => {}
                Outcome::Lost if !self.rules.one_change_id() => self.give_up(),
                Outcome::Unknown if !self.rules.resolve() => self.give_up(),
                Outcome::Lost | Outcome::Unknown => proposal.may_land = true,
            }
            self.reads.want();
        }
        self.decide(out);
    }

    /// Nothing came of a proposal, and nothing will.
    fn give_up(&mut self) {
        self.proposal = None;
        self.gate = None;
        let wait_ms = doubled(RETRY_MS, self.failures, RETRY_MS_MAX);
        self.propose_not_before = self.now.plus_ms(wait_ms);
        self.failures += 1;
    }

    /// The register still has what the proposal is to replace.
    pub(super) fn on_base(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        if let Some(proposal) = &mut self.proposal
            && matches!(proposal.stage, Stage::Unsure { again } if now >= again)
        {
            proposal.send(out);
        }
    }

    /// Proposes what is due, if anything.
    pub(super) fn plan(&mut self, due: &mut Due, out: &mut Vec<Action>) {
        due.at(self.propose_not_before);
        if self.proposal.is_some() || self.now < self.propose_not_before {
            return;
        }
        let Some(record) = self.record().cloned() else {
            return self.plan_founding(out);
        };
        match self.standing {
            Standing::Restarted { .. } => {
                let id = self.ids.fresh();
                self.propose(record.bumped(self.me, "restarted", id), out);
            }
            Standing::Member => {
                let suspect = self.plan_removal(&record, due, out);
                if self.proposal.is_none() && !suspect {
                    self.plan_append(&record, due, out);
                }
                if self.proposal.is_none() && !suspect {
                    self.plan_order(&record, due, out);
                }
            }
            Standing::Outside => self.plan_rescue(&record, due, out),
            Standing::Out => {}
        }
    }

    /// Returns whether a removal is due, even if it cannot be proposed yet.
    fn plan_removal(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) -> bool {
        let Some((at, suspect)) = self.peers.next_removal(self.me, record) else {
            return false;
        };
        // Whoever may be healthy is not removed again and again.
        let may_be_wrong =
            matches!(suspect.why, Suspicion::Silent | Suspicion::LinkDown | Suspicion::Stalled);
        let is_throttled = record.is_full() && may_be_wrong;
        let at = if is_throttled { at.max(self.remove_not_before) } else { at };
        due.at(at);
        if self.now < at {
            return false;
        }
        if !self.reads.has_answered_since(suspect.since) {
            self.reads.want();
            return true;
        }
        let Suspect { node, why, .. } = suspect;
        let id = self.ids.fresh();
        self.gate = None;
        self.propose(record.removed(node, self.me, why.reason(), id), out);
        if self.proposal.is_some() {
            self.remove_not_before = self.now.plus_ms(REMOVAL_MS);
        }
        true
    }

    fn plan_append(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) {
        let Some(gate) = self.advance_gate(record, due, out) else {
            return;
        };
        if !self.reads.has_answered_since(gate.since) {
            return self.reads.want();
        }
        let id = self.ids.fresh();
        let mut base = record.clone();
        if !self.rules.fresh_incarnation() {
            base.retired.retain(|node| *node != gate.learner);
        }
        self.propose(base.appended(gate.learner, gate.info, self.me, id), out);
    }

    /// Founds the cluster if there is none and this node is to found one.
    fn plan_founding(&mut self, out: &mut Vec<Action>) {
        let Some(settings) = self.founding.clone().filter(|_| self.register_is_empty) else {
            return;
        };
        let founders = BTreeMap::from([(self.me, self.info.clone())]);
        let record = Record::create(&self.cluster, &settings, founders, self.me, self.ids.fresh())
            .expect("settings were checked when the node was made");
        self.proposal = Some(Proposal::new(Arc::new(record), None));
        self.report_proposal(out);
    }

    /// Replaces a cluster that nobody is left of, if its founder wanted that.
    fn plan_rescue(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) {
        let Some(since) = self.lost_since(due, out) else {
            return;
        };
        if record.settings.on_total_loss == OnTotalLoss::Halt || self.teacher.is_some() {
            return;
        }
        if !self.reads.has_answered_since(since) {
            return self.reads.want();
        }
        let change = Change {
            id: self.ids.fresh(),
            by: self.me,
            kind: ChangeKind::Append,
            subject: Some(self.me),
            reason: "nobody was left".into(),
        };
        let mut rescued = Record {
            epoch: record.epoch.saturating_add(1),
            change,
            nodes: BTreeMap::from([(self.me, self.info.clone())]),
            chains: vec![vec![self.me]; record.chains.len()],
            ..record.clone()
        };
        rescued.retired.extend(record.members());
        let forgotten = rescued.retired.len().saturating_sub(RETIRED_MAX);
        rescued.retired.drain(..forgotten);
        self.propose(Ok(rescued), out);
    }

    pub(super) fn propose(&mut self, next: Result<Record, Refused>, out: &mut Vec<Action>) {
        // There may be no such change: the epochs are spent, or a learner says nonsense of itself.
        let Some(next) = next.ok().filter(|next| next.validate().is_ok()) else {
            return self.drop_learner(out);
        };
        let Some(token) = self.known.as_ref().and_then(|known| known.token.clone()) else {
            return self.reads.want();
        };
        self.proposal = Some(Proposal::new(Arc::new(next), Some(token)));
        self.report_proposal(out);
    }

    fn report_proposal(&self, out: &mut Vec<Action>) {
        if let Some(proposal) = &self.proposal {
            let Change { kind, subject, .. } = proposal.record.change;
            out.push(Action::Report(Report::Proposed { kind, subject }));
        }
    }

    /// Sends a proposal once the cores have stopped, or lets the register be read.
    pub(super) fn pursue(&mut self, due: &mut Due, out: &mut Vec<Action>) {
        let must_stop = self.rules.confirm() && self.rules.stop_read() && self.known.is_some();
        let has_stopped = !must_stop || self.views.is_stopped();
        let Some(proposal) = &mut self.proposal else {
            return;
        };
        match proposal.stage {
            Stage::Stopping if has_stopped => proposal.send(out),
            Stage::Stopping | Stage::Sent => {}
            Stage::Unsure { again } if self.now < again => due.at(again),
            Stage::Unsure { .. } => self.reads.want(),
        }
    }

    /// Tells everybody who has to know of a change that this node made.
    pub(super) fn announce(&self, record: &Record, out: &mut Vec<Action>) {
        for node in record.members().filter(|node| *node != self.me) {
            let message = PeerMessage::Config(Box::new(record.clone()));
            out.push(Action::Send { to: node, message });
        }
        if let (ChangeKind::Remove, Some(to)) = (record.change.kind, record.change.subject) {
            let message = PeerMessage::NotMember(Box::new(record.clone()));
            out.push(Action::Send { to, message });
        }
    }
}

impl Proposal {
    fn new(record: Arc<Record>, base: Option<RecordToken>) -> Proposal {
        Proposal { record, base, stage: Stage::Stopping, attempts: 0, may_land: false }
    }

    fn send(&mut self, out: &mut Vec<Action>) {
        self.stage = Stage::Sent;
        let record = Arc::clone(&self.record);
        out.push(match self.base.clone() {
            Some(token) => Action::Cas { token, record },
            None => Action::Create(record),
        });
    }
}
