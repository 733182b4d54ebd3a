//! Refreshes the topology, and moves requests to where their shards are.
//!
//! Every Welcome carries the topology that its sender knows; in a cluster the newest epoch counts.
//! The client asks for it when a connection breaks, when a node refuses a request because it does
//! not serve the shard, and when a node does not reply for a while, because a node that is cut off
//! does not know that the others have removed it.

use std::time::Instant;

use super::Exchange;
use crate::config::{AVOID_READS, BACKOFF_MAX, MEMBER_TIMEOUT, REFRESH_AFTER};
use crate::lane::Lane;
use crate::node::{AcceptedTopology, RefreshFrom, SeedOrder, TopologyTrust};
use crate::request::Failure;
use crate::session::Session;
use crate::topology::{Topology, TopologyUpdate};
use crate::trace;

impl Exchange<'_, '_> {
    /// Refreshes the topology if the cluster is known to have changed, so that the client knows the
    /// members that joined before others leave.
    pub(super) fn refresh_if_behind(&mut self) {
        if !self.node.topology.is_cluster() || self.open == 0 {
            return;
        }
        let now = Instant::now();
        if self.node.trust == TopologyTrust::Behind && self.node.may_refresh(now) {
            self.node.refresh_not_before = Some(now + REFRESH_AFTER);
            let deadline = self.deadline.min(now + MEMBER_TIMEOUT);
            let greeted = self.node.greet(RefreshFrom::Anyone { last: None }, deadline, self.pool);
            if let Ok((greeted, topology)) = greeted {
                self.on_greeted(greeted, topology);
            }
        }
    }

    /// Ensures that a lane has a working connection; `false` if it no longer needs one.
    pub(super) fn connect(&mut self, endpoint: usize, now: Instant) -> Result<bool, Failure> {
        let is_cluster = self.node.topology.is_cluster();
        let lane = &mut self.node.lanes[endpoint];
        if lane.in_flight.is_empty()
            && let Some(connection) = &mut lane.connection
            && connection.is_stale(now)
        {
            self.requeue(endpoint, false);
            if is_cluster {
                self.node.distrust_topology();
            }
        }
        let lane = &self.node.lanes[endpoint];
        let is_connected = lane.connection.is_some();
        let may_refresh = match is_cluster {
            true => !lane.queue.is_empty() && (!is_connected || self.node.may_refresh(now)),
            false => !is_connected,
        };
        if self.node.trust == TopologyTrust::Stale && may_refresh && self.refresh(endpoint)? {
            // The lanes have changed.
            return Ok(false);
        }
        let lane = &self.node.lanes[endpoint];
        let needs_clock = is_cluster && lane.clock.is_stale();
        if lane.connection.is_some() && !needs_clock {
            return Ok(true);
        }
        if lane.queue.is_empty() {
            return Ok(lane.connection.is_some());
        }
        let opened = match needs_clock {
            true => self.read_clock(endpoint),
            false => {
                let left = self.deadline.saturating_duration_since(Instant::now());
                self.node.open(endpoint, left).map(|()| true)
            }
        };
        if opened.is_err() {
            self.node.distrust_topology();
        }
        opened
    }

    /// Refreshes the topology. Returns whether it changed.
    fn refresh(&mut self, endpoint: usize) -> Result<bool, Failure> {
        let give_up = self.give_up_at(endpoint);
        let from = RefreshFrom::Anyone { last: Some(endpoint) };
        match self.node.greet(from, give_up, self.pool) {
            Ok((greeted, topology)) => {
                self.node.trust = TopologyTrust::Current;
                Ok(self.on_greeted(greeted, topology))
            }
            // A connected lane can continue with the known topology.
            Err(_) if self.node.lanes[endpoint].connection.is_some() => {
                self.node.refresh_not_before = Some(Instant::now() + BACKOFF_MAX);
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads the clock of an endpoint over another connection, beside the requests in flight.
    /// Returns whether the lane can continue, which it cannot if the cluster has changed.
    fn read_clock(&mut self, endpoint: usize) -> Result<bool, Failure> {
        let (mut greeted, topology) = self.node.greet_at(endpoint, self.deadline, self.pool)?;
        self.node.check(&topology)?;
        let lane = &mut self.node.lanes[endpoint];
        lane.clock = greeted.clock;
        if lane.connection.is_none() {
            lane.connection = greeted.connection.take();
        }
        Ok(!self.on_greeted(greeted, topology))
    }

    /// Asks other members for the topology if a node has not replied for too long.
    pub(super) fn refresh_if_silent(&mut self, now: Instant) {
        if !self.node.topology.is_cluster() {
            return;
        }
        let jitter = self.node.refresh_jitter();
        let is_due = |lane: &Lane| lane.refresh_at(jitter).is_some_and(|time| time <= now);
        let Some(endpoint) = self.node.lanes.iter().position(is_due) else { return };
        let lane = &mut self.node.lanes[endpoint];
        lane.on_refresh(now);
        if lane.in_flight.iter().any(|sent| self.requests[sent.request].any_member) {
            // The head can serve these reads as well.
            self.requeue(endpoint, true);
            self.avoid(endpoint, now);
            self.node.distrust_topology();
            return;
        }
        let deadline = self.deadline.min(now + MEMBER_TIMEOUT);
        let greeted = self.node.greet(RefreshFrom::Others { than: endpoint }, deadline, self.pool);
        // If no other member can be reached, or the cluster has not changed, keep waiting.
        if let Ok((greeted, topology)) = greeted {
            self.on_greeted(greeted, topology);
        }
    }

    /// When to ask other members next, unless replies arrive before.
    pub(super) fn next_refresh(&self) -> Option<Instant> {
        if !self.node.topology.is_cluster() {
            return None;
        }
        let jitter = self.node.refresh_jitter();
        self.node.lanes.iter().filter_map(|lane| lane.refresh_at(jitter)).min()
    }

    /// Adopts the topology of an extra connection, and the connection itself if its lane has none.
    /// Returns whether the lanes have changed.
    fn on_greeted(&mut self, greeted: Lane, topology: Topology) -> bool {
        let greeter = topology.greeter();
        let is_new = match self.node.check(&topology) {
            Ok(TopologyUpdate::Newer) => {
                self.adopt(topology, None);
                true
            }
            _ => {
                self.node.topology.set_clock(&topology);
                false
            }
        };
        if let (Some(endpoint), Some(_)) = (greeter, &greeted.connection) {
            let lane = self.node.lane(endpoint);
            if lane.connection.is_none() {
                (lane.connection, lane.clock) = (greeted.connection, greeted.clock);
            }
        }
        self.pool.put(greeted.buffer);
        is_new
    }

    /// Adopts the topology of a lane's Welcome. Returns the lane's new index, if it still exists.
    pub(super) fn on_welcome(
        &mut self,
        endpoint: usize,
        topology: Topology,
    ) -> Result<Option<usize>, Failure> {
        match self.node.check(&topology)? {
            TopologyUpdate::Newer => Ok(self.adopt(topology, Some(endpoint))),
            TopologyUpdate::Same | TopologyUpdate::Older | TopologyUpdate::Foreign => {
                self.node.topology.set_clock(&topology);
                Ok(Some(endpoint))
            }
        }
    }

    /// Adopts a new topology, which arrived on the lane `from`, or on an extra connection. In a
    /// cluster the lanes to endpoints that still exist stay, unless a request in flight on them
    /// belongs elsewhere now, or may be lost there: if epochs were skipped, a node may have left
    /// and rejoined. All other requests are sent again. Returns the new index of the lane `from`.
    fn adopt(&mut self, topology: Topology, from: Option<usize>) -> Option<usize> {
        trace::on_changed(topology.epoch());
        let node = &mut *self.node;
        // Those of this node, or of another one of the client.
        let has_sessions = node.had_sessions_in(&node.topology)
            || node.sessions.iter().flatten().any(Session::is_open);
        let is_lost = has_sessions && topology.has_lost_what(&node.topology);
        if node.topology.shards() != topology.shards() || is_lost {
            // Sessions belong to shards, so requests sent under the old ones cannot be retried.
            node.sessions.clear();
        }
        let are_clusters = node.topology.is_cluster() && topology.is_cluster();
        let follows = topology.follows(&node.topology);
        let before = std::mem::replace(&mut node.topology, topology);
        (node.trust, node.refresh_not_before) = (TopologyTrust::Current, None);
        (node.accepts, node.seed_order) = (AcceptedTopology::Newer, SeedOrder::AsGiven);
        node.has_changed = true;
        let new_index_of = |at: usize| {
            let lane = &self.node.lanes[at];
            let index = self.node.topology.endpoint_at(before.address_of(at))?;
            let fits = |at| self.endpoint_of(at) == index;
            let certain = lane.in_flight.is_empty() || follows || from == Some(at);
            let stays = certain && lane.connection.is_some() && !lane.is_retiring();
            let all_fit = lane.in_flight.iter().all(|sent| fits(sent.request));
            (are_clusters && stays && all_fit).then_some(index)
        };
        let indexes: Vec<Option<usize>> = (0..self.node.lanes.len()).map(new_index_of).collect();
        for at in (0..indexes.len()).filter(|at| indexes[*at].is_none()) {
            self.requeue(at, true);
        }
        let mut sent = Vec::new();
        let lanes = std::mem::take(&mut self.node.lanes);
        for (mut lane, index) in lanes.into_iter().zip(&indexes) {
            match index {
                Some(index) => {
                    lane.queue.clear();
                    lane.not_before = None;
                    sent.extend(lane.in_flight.iter().map(|sent| sent.request));
                    *self.node.lane(*index) = lane;
                }
                None => self.pool.put(lane.buffer),
            }
        }
        if is_lost {
            // Everything is gone that the caller may rely on, so it is told, once, whatever it asks.
            self.node.lanes.iter_mut().for_each(|lane| lane.queue.clear());
            for at in 0..self.requests.len() {
                if self.requests[at].outcome.is_none() {
                    self.finish(at, Err(Failure::SessionLost));
                }
            }
            return None;
        }
        sent.sort_unstable();
        self.route(&sent);
        from.and_then(|from| indexes[from])
    }

    /// Makes reads avoid an endpoint for a while, and moves its queued reads to the head.
    pub(super) fn avoid(&mut self, endpoint: usize, now: Instant) {
        let lane = &mut self.node.lanes[endpoint];
        lane.avoid_until = Some(now + AVOID_READS);
        for at in std::mem::take(&mut lane.queue) {
            self.requests[at].any_member = false;
            self.enqueue(at);
        }
    }
}
