//! What a node promised to others, and what others promised to it.
//!
//! A member reads only while every other member has promised not to act in a later epoch. A promise
//! is made for the record's lease by the granter's clock, from when it answers, and taken for a
//! little less by the holder's clock, from when it asked; clocks are never compared. With rates that
//! are off by no more than the drift the holder's ends first:
//!
//! 1. asked ≤ answered, and `held_us / (1 - drift) ≤ lease_us / (1 + drift)`.

use alloc::collections::BTreeMap;

use super::view::Lease;
use crate::chain::record::{NodeId, Record};
use crate::chain::rules::Rules;
use crate::time::Time;

/// The grants that a node gave and holds.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// The last grant to each node, until it is over. A node has no more than one: it is asked
    /// again in a later epoch only by whoever has left the older one.
    given: BTreeMap<NodeId, Grant>,
    /// The newest epoch that each node has shown.
    shown: BTreeMap<NodeId, u32>,
    held: BTreeMap<NodeId, Grant>,
    /// Until when there may be grants that the node does not know of.
    implied_until: Time,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    epoch: u32,
    until: Time,
}

impl Grants {
    /// Promises something to a member that asks.
    pub(super) fn give(&mut self, now: Time, to: NodeId, record: &Record) {
        self.given.retain(|_, grant| now < grant.until);
        let until = now.plus_ms(record.settings.lease_ms);
        self.given.insert(to, Grant { epoch: record.epoch, until });
    }

    /// Notes that a node has left all epochs before this one.
    pub(super) fn show(&mut self, node: NodeId, epoch: u32) {
        let shown = self.shown.entry(node).or_default();
        *shown = epoch.max(*shown);
    }

    /// Takes a promise for what was asked then.
    pub(super) fn hold(&mut self, from: NodeId, epoch: u32, asked_at: Time, held_us: u64) {
        let until = Time(asked_at.0.saturating_add(held_us));
        let grant = self.held.entry(from).or_insert(Grant { epoch, until });
        if epoch > grant.epoch {
            *grant = Grant { epoch, until };
        } else {
            grant.until = grant.until.max(until);
        }
    }

    /// Another epoch has begun.
    pub(super) fn on_epoch(&mut self, now: Time, record: &Record, rules: &Rules) {
        self.given.retain(|_, grant| now < grant.until);
        if rules.own_epoch() {
            self.held.clear();
        }
        self.held.retain(|node, _| record.is_member(*node));
        self.shown.retain(|node, _| record.is_member(*node) || self.given.contains_key(node));
    }

    /// The node may have promised anything to anybody until now.
    pub(super) fn imply(&mut self, now: Time, record: &Record) {
        self.implied_until = now.plus_ms(record.settings.lease_ms);
    }

    /// When nobody rests on a promise of an older epoch any more.
    pub(super) fn drained_at(&self, epoch: u32, rules: &Rules) -> Time {
        let binds = |node: &NodeId, grant: &Grant| {
            let shown = self.shown.get(node).copied().unwrap_or_default();
            rules.drain() && grant.epoch < epoch && shown < epoch
        };
        let given = self.given.iter().filter(|(node, grant)| binds(node, grant));
        let implied = if rules.implied() { self.implied_until } else { Time::default() };
        given.map(|(_, grant)| grant.until).fold(implied, Time::max)
    }

    /// Until when a member may read; [`None`] if nobody has to allow it.
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

/// How long a holder takes a promise for, in microseconds of its own clock: see 1 above.
pub(super) fn held_us(record: &Record, rules: &Rules) -> u64 {
    let lease_us = u64::from(record.settings.lease_ms) * 1_000;
    let drift = u64::from(record.settings.drift_ppm);
    if rules.drift() { lease_us * (1_000_000 - drift) / (1_000_000 + drift) } else { lease_us }
}
