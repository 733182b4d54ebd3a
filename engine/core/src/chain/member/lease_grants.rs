//! Lease grants: what a node has promised to others, and what others have promised to it.
//!
//! A member reads only while every other member has promised not to act in a later epoch. A grant
//! lasts for the record's lease duration by the granter's clock, from when it replies. The holder
//! uses it for a little less by its own clock, from when it asked. Clocks are never compared. If
//! rates are off by at most the drift, the holder's time ends first, because
//!
//! 1. asked ≤ replied, and
//! 2. `held_us / (1 - drift) ≤ lease_us / (1 + drift)`.

use alloc::collections::BTreeMap;

use super::view::Lease;
use crate::chain::record::{NodeId, Record};
use crate::chain::rules::Rules;
use crate::time::Time;

/// The grants that a node gave and holds.
#[derive(Debug, Default)]
pub(super) struct LeaseGrants {
    /// The last grant to each node, until it expires. One is enough: a node asks in a later epoch
    /// only after it has left the older one.
    given: BTreeMap<NodeId, LeaseGrant>,
    /// The newest epoch in which each node was seen.
    seen_in: BTreeMap<NodeId, u32>,
    held: BTreeMap<NodeId, LeaseGrant>,
    /// Until when there may be grants that the node does not know of.
    implied_until: Time,
}

#[derive(Clone, Copy, Debug)]
struct LeaseGrant {
    epoch: u32,
    until: Time,
}

impl LeaseGrants {
    /// Grants a lease to a member that asked.
    pub(super) fn give(&mut self, now: Time, to: NodeId, record: &Record) {
        self.given.retain(|_, grant| now < grant.until);
        let until = now.plus_ms(record.settings.lease_ms);
        self.given.insert(to, LeaseGrant { epoch: record.epoch, until });
    }

    /// Notes that a node has left all epochs before this one.
    pub(super) fn note_epoch(&mut self, node: NodeId, epoch: u32) {
        let shown = self.seen_in.entry(node).or_default();
        *shown = epoch.max(*shown);
    }

    /// Notes that a node that was removed has left all epochs before this one. It matters only if
    /// the node was granted a lease.
    pub(super) fn note_left(&mut self, node: NodeId, epoch: u32) {
        if self.given.contains_key(&node) {
            self.note_epoch(node, epoch);
        }
    }

    /// Takes a grant for a request that was sent at `asked_at`.
    pub(super) fn hold(&mut self, from: NodeId, epoch: u32, asked_at: Time, held_us: u64) {
        let until = Time(asked_at.0.saturating_add(held_us));
        let grant = self.held.entry(from).or_insert(LeaseGrant { epoch, until });
        if epoch > grant.epoch {
            *grant = LeaseGrant { epoch, until };
        } else {
            grant.until = grant.until.max(until);
        }
    }

    /// Enters another epoch.
    pub(super) fn on_epoch(&mut self, now: Time, record: &Record, rules: &Rules) {
        self.given.retain(|_, grant| now < grant.until);
        if rules.own_epoch() {
            self.held.clear();
        }
        self.held.retain(|node, _| record.is_member(*node));
        self.seen_in.retain(|node, _| record.is_member(*node) || self.given.contains_key(node));
    }

    /// Assumes that the node has granted a lease to every node until now.
    pub(super) fn assume_granted(&mut self, now: Time, record: &Record) {
        self.implied_until = now.plus_ms(record.settings.lease_ms);
    }

    /// Takes the proof that the leases which it may not know of are over: another member is active in
    /// the same epoch. That one was a member in the epochs before, where no lease holds without its
    /// grant, and those have expired or their holders have left these epochs; or it was new itself
    /// since then, and has waited or had the same proof.
    pub(super) fn forget_unknown(&mut self) {
        self.implied_until = Time::default();
    }

    /// Returns when every lease that was granted in an older epoch has expired.
    pub(super) fn drained_at(&self, epoch: u32, rules: &Rules) -> Time {
        let binds = |node: &NodeId, grant: &LeaseGrant| {
            let shown = self.seen_in.get(node).copied().unwrap_or_default();
            rules.drain() && grant.epoch < epoch && shown < epoch
        };
        let given = self.given.iter().filter(|(node, grant)| binds(node, grant));
        let implied = if rules.implied() { self.implied_until } else { Time::default() };
        given.map(|(_, grant)| grant.until).fold(implied, Time::max)
    }

    /// Returns until when a member may read; [`None`] if no other node has to grant it.
    pub(super) fn lease(&self, me: NodeId, record: &Record, rules: &Rules) -> Option<Lease> {
        let epoch = record.epoch;
        let held_until = |node: NodeId| match self.held.get(&node) {
            Some(grant) if grant.epoch == epoch || !rules.own_epoch() => grant.until,
            _ => Time::default(),
        };
        let until = if rules.all_peers() {
            record.members().filter(|node| *node != me).map(held_until).min()
        } else {
            let chain = record.chains.first()?;
            let place = chain.iter().position(|node| *node == me)?;
            let neighbour = place.checked_sub(1).or(Some(place + 1)).and_then(|at| chain.get(at));
            neighbour.copied().map(held_until)
        };
        until.map(|until| Lease { epoch, until })
    }
}

/// Returns how long a holder uses a grant, in microseconds of its own clock: see 2 above.
pub(super) fn held_us(record: &Record, rules: &Rules) -> u64 {
    let lease_us = u64::from(record.settings.lease_ms) * 1_000;
    let drift = u64::from(record.settings.drift_ppm);
    if rules.drift() { lease_us * (1_000_000 - drift) / (1_000_000 + drift) } else { lease_us }
}
