//! Record changes that a node proposes: one at a time, each until its outcome is known.
//!
//! Invariants:
//!
//! 1. From before a proposal to append a learner is sent until the register has another record than
//!    its base, the node grants nothing and its cores read nothing: the new member has granted no
//!    lease of this epoch, so it waits only for those that existed when it became one. After any
//!    other change all members have granted the leases of this epoch and wait until they are over,
//!    so that a slow register stops no reads.
//! 2. From before a proposal to append a learner is made until its outcome is known, the cores
//!    acknowledge only what the learner has.
//! 3. A proposal is retried as the same record. Only the register's contents decide: an unknown
//!    outcome decides nothing, and a refusal may be the reply to a retry of an attempt that
//!    succeeded.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::action::{Action, CasOutcome, MemberReport};
use super::message::PeerMessage;
use super::peers::{Suspect, Suspicion};
use super::timing::{Due, REMOVAL_MS, RETRY_MS, RETRY_MS_MAX, backoff_ms};
use super::{Member, Membership};
use crate::chain::record::RecordToken;
use crate::chain::record::{
    ChangeError, ChangeId, ChangeKind, OnTotalLoss, RETIRED_MAX, Record, RecordChange,
};
use crate::shard::Seq;
use crate::time::Time;

/// A change under way.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) record: Arc<Record>,
    /// The token of the record that it replaces; [`None`] if there must be none.
    base: Option<RecordToken>,
    stage: ProposalStage,
    /// How often it was sent without a known outcome.
    attempts: u32,
    /// Whether any of these attempts may have succeeded, or may still succeed.
    may_land: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProposalStage {
    /// It waits until the cores have stopped reading, if they have to.
    Stopping,
    /// The request was sent to the register.
    Sent,
    /// The register's reply was not clear. The register is read, and the request is sent again if
    /// it still has the base, but not before this.
    Unsure { again: Time },
}

/// Generates ids that no other change has.
#[derive(Debug)]
pub(super) struct ChangeIds {
    next: u128,
}

impl ChangeIds {
    /// `seed` is drawn at random, once for each incarnation.
    pub(super) fn new(seed: u128) -> ChangeIds {
        ChangeIds { next: seed }
    }

    pub(super) fn next_id(&mut self) -> ChangeId {
        self.next = self.next.wrapping_add(1);
        ChangeId(self.next)
    }
}

impl Member {
    /// Takes the outcome of a compare-and-swap.
    pub fn on_cas(
        &mut self,
        now: Time,
        change: ChangeId,
        outcome: CasOutcome,
        out: &mut Vec<Action>,
    ) {
        self.advance(now);
        let proposal = self.proposal.as_mut().filter(|own| own.record.change.id == change);
        // The outcome of an earlier change no longer matters.
        if let Some(proposal) = proposal {
            let wait_ms = backoff_ms(RETRY_MS, proposal.attempts, RETRY_MS_MAX);
            proposal.attempts += 1;
            proposal.stage = ProposalStage::Unsure { again: now.plus_ms(wait_ms) };
            match outcome {
                CasOutcome::Won(token) => {
                    let record = Arc::clone(&proposal.record);
                    self.adopt(record, Some(token), out);
                }
                CasOutcome::Failed if !proposal.may_land => self.give_up(),
                CasOutcome::Failed => {}
                CasOutcome::Lost if !self.rules.one_change_id() => self.give_up(),
                CasOutcome::Unknown if !self.rules.resolve() => self.give_up(),
                CasOutcome::Lost | CasOutcome::Unknown => proposal.may_land = true,
            }
            self.register_reads.want();
        }
        self.decide(out);
    }

    /// Drops a proposal that has not taken effect and never will.
    fn give_up(&mut self) {
        self.proposal = None;
        self.gate = None;
        let wait_ms = backoff_ms(RETRY_MS, self.failures, RETRY_MS_MAX);
        self.propose_not_before = self.now.plus_ms(wait_ms);
        self.failures += 1;
    }

    /// Retries the proposal, because the register still has its base.
    pub(super) fn on_base_unchanged(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        if let Some(proposal) = &mut self.proposal
            && matches!(proposal.stage, ProposalStage::Unsure { again } if now >= again)
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
        match self.membership {
            Membership::Restarted { .. } => {
                let id = self.ids.next_id();
                self.propose(record.bumped(self.me, "restarted", id), out);
            }
            Membership::Member => {
                let suspect = self.plan_removal(&record, due, out);
                if self.proposal.is_none() && !suspect {
                    self.plan_append(&record, due, out);
                }
                if self.proposal.is_none() && !suspect {
                    self.plan_order(&record, due, out);
                }
            }
            Membership::Outside => self.plan_recreation(&record, due, out),
            Membership::Ended => {}
        }
    }

    /// Returns whether a removal is due, even if it cannot be proposed yet.
    fn plan_removal(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) -> bool {
        let Some((at, suspect)) = self.peers.next_removal(self.me, record) else {
            return false;
        };
        // A member that may be healthy is not removed again and again.
        let may_be_wrong =
            matches!(suspect.why, Suspicion::Silent | Suspicion::LinkDown | Suspicion::Stalled);
        let is_throttled = record.is_full() && may_be_wrong;
        let at = if is_throttled { at.max(self.remove_not_before) } else { at };
        due.at(at);
        if self.now < at {
            return false;
        }
        if !self.register_reads.has_answered_since(suspect.since) {
            self.register_reads.want();
            return true;
        }
        let Suspect { node, why, .. } = suspect;
        let id = self.ids.next_id();
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
        if !self.register_reads.has_answered_since(gate.since) {
            return self.register_reads.want();
        }
        let id = self.ids.next_id();
        let mut base = record.clone();
        if !self.rules.fresh_incarnation() {
            base.retired.retain(|node| *node != gate.learner);
        }
        self.propose(base.appended(gate.learner, gate.info, self.me, id), out);
    }

    /// Creates the cluster if there is none and this node is to create it.
    fn plan_founding(&mut self, out: &mut Vec<Action>) {
        let Some(settings) = self.founding.clone().filter(|_| self.register_is_empty) else {
            return;
        };
        let founders = BTreeMap::from([(self.me, self.info.clone())]);
        let record =
            Record::create(&self.cluster, &settings, founders, self.me, self.ids.next_id())
                .expect("the settings were validated when the node was created")
                .starting_at(self.base_now());
        self.proposal = Some(Proposal::new(Arc::new(record), None));
        self.report_proposal(out);
    }

    /// Replaces a cluster whose members are all lost, if its settings allow that.
    fn plan_recreation(&mut self, record: &Record, due: &mut Due, out: &mut Vec<Action>) {
        let Some(since) = self.lost_since(due, out) else {
            return;
        };
        if record.settings.on_total_loss == OnTotalLoss::Halt || self.source.is_some() {
            return;
        }
        if !self.register_reads.has_answered_since(since) {
            return self.register_reads.want();
        }
        let change = RecordChange {
            id: self.ids.next_id(),
            by: self.me,
            kind: ChangeKind::Append,
            subject: Some(self.me),
            reason: "no member was left".into(),
        };
        let mut rescued = Record {
            epoch: record.epoch.saturating_add(1),
            change,
            nodes: BTreeMap::from([(self.me, self.info.clone())]),
            chains: vec![vec![self.me]; record.chains.len()],
            base: record.base.max(self.base_now()),
            ..record.clone()
        };
        rescued.retired.extend(record.members());
        let forgotten = rescued.retired.len().saturating_sub(RETIRED_MAX);
        rescued.retired.drain(..forgotten);
        self.propose(Ok(rescued), out);
    }

    /// Returns where the shards of a cluster begin that it creates now.
    fn base_now(&self) -> Seq {
        self.base.after_us(self.now.0.saturating_sub(self.started.0))
    }

    pub(super) fn propose(&mut self, next: Result<Record, ChangeError>, out: &mut Vec<Action>) {
        // Such a change may be impossible: the epochs are spent, or a learner's addresses are
        // invalid.
        let Some(next) = next.ok().filter(|next| next.validate().is_ok()) else {
            return self.drop_learner(out);
        };
        let Some(token) = self.known.as_ref().and_then(|known| known.token.clone()) else {
            return self.register_reads.want();
        };
        self.proposal = Some(Proposal::new(Arc::new(next), Some(token)));
        self.report_proposal(out);
    }

    fn report_proposal(&self, out: &mut Vec<Action>) {
        if let Some(proposal) = &self.proposal {
            let RecordChange { kind, subject, .. } = proposal.record.change;
            out.push(Action::Report(MemberReport::Proposed { kind, subject }));
        }
    }

    /// Returns whether a change is under way that makes a learner a member.
    pub(super) fn is_appending(&self) -> bool {
        let proposed = self.proposal.as_ref().filter(|_| self.known.is_some());
        proposed.is_some_and(|proposal| proposal.record.change.kind == ChangeKind::Append)
    }

    /// Sends a proposal once the cores have stopped, or has the register read.
    pub(super) fn advance_proposal(&mut self, due: &mut Due, out: &mut Vec<Action>) {
        let must_stop = self.rules.confirm() && self.rules.stop_read() && self.is_appending();
        let has_stopped = !must_stop || self.views.is_stopped();
        let Some(proposal) = &mut self.proposal else {
            return;
        };
        match proposal.stage {
            ProposalStage::Stopping if has_stopped => proposal.send(out),
            ProposalStage::Stopping | ProposalStage::Sent => {}
            ProposalStage::Unsure { again } if self.now < again => due.at(again),
            ProposalStage::Unsure { .. } => self.register_reads.want(),
        }
    }

    /// Sends the new record to the other members, and to the one that it removed.
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
        Proposal { record, base, stage: ProposalStage::Stopping, attempts: 0, may_land: false }
    }

    fn send(&mut self, out: &mut Vec<Action>) {
        self.stage = ProposalStage::Sent;
        let record = Arc::clone(&self.record);
        out.push(match self.base.clone() {
            Some(token) => Action::Cas { token, record },
            None => Action::Create(record),
        });
    }
}
