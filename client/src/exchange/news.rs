//! News: how the node or cluster is by now, and what that means for the requests under way.
//!
//! Whoever says Welcome tells what it knows. Of a cluster the newest epoch counts. It is asked for when
//! a connection breaks or a node says that it is not the one to ask, and also when a node says nothing
//! for a while: one that was cut off does not know that the others went on without it.

use std::time::Instant;

use super::Exchange;
use crate::config::{AVOID, BACKOFF_MAX, LOOK_AFTER, MEMBER_TIMEOUT};
use crate::lane::Lane;
use crate::node::Ask;
use crate::request::Failure;
use crate::topology::{News, Topology};

impl Exchange<'_, '_> {
    /// Asks somebody of the cluster if it is known to have changed: members that joined are the ones to
    /// turn to when the others leave.
    pub(super) fn hear_news(&mut self) {
        if !self.node.topology.is_cluster() || self.open == 0 {
            return;
        }
        let now = Instant::now();
        if self.node.is_behind && self.node.may_look(now) {
            self.node.look_not_before = Some(now + LOOK_AFTER);
            let deadline = self.deadline.min(now + MEMBER_TIMEOUT);
            let greeted = self.node.greet(Ask::Anybody { last: None }, deadline, self.pool);
            if let Ok((greeted, topology)) = greeted {
                self.on_greeted(greeted, topology);
            }
        }
    }

    /// Makes sure that a lane has a connection that works; `false` if it is not needed any more.
    pub(super) fn connect(&mut self, endpoint: usize, now: Instant) -> Result<bool, Failure> {
        let is_cluster = self.node.topology.is_cluster();
        let lane = &mut self.node.lanes[endpoint];
        if lane.in_flight.is_empty()
            && let Some(connection) = &mut lane.connection
            && connection.is_stale(now)
        {
            self.requeue(endpoint, false);
            self.node.topology_stale |= is_cluster;
        }
        let lane = &self.node.lanes[endpoint];
        let is_connected = lane.connection.is_some();
        let may_refresh = match is_cluster {
            true => !lane.queue.is_empty() && (!is_connected || self.node.may_look(now)),
            false => !is_connected,
        };
        if self.node.topology_stale && may_refresh && self.refresh(endpoint)? {
            // The lanes are others now.
            return Ok(false);
        }
        let lane = &self.node.lanes[endpoint];
        if lane.connection.is_some() && !(is_cluster && lane.ask_clock) {
            return Ok(true);
        }
        if lane.queue.is_empty() {
            return Ok(lane.connection.is_some());
        }
        let ask_clock = is_cluster && lane.ask_clock;
        let opened = match ask_clock {
            true => self.read_clock(endpoint),
            false => {
                let left = self.deadline.saturating_duration_since(Instant::now());
                self.node.open(endpoint, left).map(|()| true)
            }
        };
        self.node.topology_stale |= opened.is_err();
        opened
    }

    /// Asks anew how the node or cluster is. Answers whether that changed.
    fn refresh(&mut self, endpoint: usize) -> Result<bool, Failure> {
        let give_up = self.give_up_at(endpoint);
        let ask = Ask::Anybody { last: Some(endpoint) };
        match self.node.greet(ask, give_up, self.pool) {
            Ok((greeted, topology)) => {
                self.node.topology_stale = false;
                Ok(self.on_greeted(greeted, topology))
            }
            // What is connected may go on by what was known.
            Err(_) if self.node.lanes[endpoint].connection.is_some() => {
                self.node.look_not_before = Some(Instant::now() + BACKOFF_MAX);
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads the clock of an endpoint, beside what is in flight there. Answers whether the lane can go
    /// on: not if the cluster changed.
    fn read_clock(&mut self, endpoint: usize) -> Result<bool, Failure> {
        let (mut greeted, topology) = self.node.greet_at(endpoint, self.deadline, self.pool)?;
        self.node.believe(&topology)?;
        let lane = &mut self.node.lanes[endpoint];
        lane.ask_clock = false;
        lane.clock = greeted.clock;
        if lane.connection.is_none() {
            lane.connection = greeted.connection.take();
        }
        Ok(!self.on_greeted(greeted, topology))
    }

    /// Asks the others if a node was silent for too long.
    pub(super) fn look(&mut self, now: Instant) {
        if !self.node.topology.is_cluster() {
            return;
        }
        let patience = self.node.patience();
        let is_due = |lane: &Lane| lane.look_at(patience).is_some_and(|time| time <= now);
        let Some(endpoint) = self.node.lanes.iter().position(is_due) else { return };
        let lane = &mut self.node.lanes[endpoint];
        lane.on_looked(now);
        if lane.in_flight.iter().any(|sent| self.requests[sent.request].anywhere) {
            // The head answers as well.
            self.requeue(endpoint, true);
            self.avoid(endpoint, now);
            self.node.topology_stale = true;
            return;
        }
        let deadline = self.deadline.min(now + MEMBER_TIMEOUT);
        let greeted = self.node.greet(Ask::Others { than: endpoint }, deadline, self.pool);
        // If nobody knows better, or can be asked, the silent one is waited for.
        if let Ok((greeted, topology)) = greeted {
            self.on_greeted(greeted, topology);
        }
    }

    /// When the others are to be asked, if nothing comes before.
    pub(super) fn next_look(&self) -> Option<Instant> {
        if !self.node.topology.is_cluster() {
            return None;
        }
        let patience = self.node.patience();
        self.node.lanes.iter().filter_map(|lane| lane.look_at(patience)).min()
    }

    /// Takes over what somebody said who was only asked, and the connection to it if that is of use.
    /// Answers whether the lanes are others now.
    fn on_greeted(&mut self, greeted: Lane, topology: Topology) -> bool {
        let greeter = topology.greeter();
        let is_new = match self.node.believe(&topology) {
            Ok(News::Newer) => {
                self.take_over(topology, None);
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

    /// Takes over what the Welcome of a lane said. Answers which lane it is now, if it is still there.
    pub(super) fn on_welcome(
        &mut self,
        endpoint: usize,
        topology: Topology,
    ) -> Result<Option<usize>, Failure> {
        match self.node.believe(&topology)? {
            News::Newer => Ok(self.take_over(topology, Some(endpoint))),
            News::None | News::Older | News::Foreign => {
                self.node.topology.set_clock(&topology);
                Ok(Some(endpoint))
            }
        }
    }

    /// Goes by a new topology, which came on the lane `from`, or beside all lanes. In a cluster the
    /// lanes to endpoints that are still there stay, unless something in flight on them belongs
    /// elsewhere now, or may be lost there: between two epochs that do not follow one another a node
    /// may have left and come back. Everything else is sent anew. Answers which lane `from` is now.
    fn take_over(&mut self, topology: Topology, from: Option<usize>) -> Option<usize> {
        let node = &mut *self.node;
        if node.topology.shards() != topology.shards() {
            // Other shards, other sessions: what was sent under the old ones cannot be repeated.
            node.sessions.clear();
        }
        let are_clusters = node.topology.is_cluster() && topology.is_cluster();
        let follows = topology.follows(&node.topology);
        let before = std::mem::replace(&mut node.topology, topology);
        (node.topology_stale, node.look_not_before) = (false, None);
        (node.trusting, node.misled, node.is_behind) = (false, false, false);
        let place_of = |at: usize| {
            let lane = &self.node.lanes[at];
            let place = self.node.topology.endpoint_at(before.address_of(at))?;
            let fits = |at| self.endpoint_of(at) == place;
            let certain = lane.in_flight.is_empty() || follows || from == Some(at);
            let stays = certain && lane.connection.is_some() && !lane.retiring;
            let all_fit = lane.in_flight.iter().all(|sent| fits(sent.request));
            (are_clusters && stays && all_fit).then_some(place)
        };
        let places: Vec<Option<usize>> = (0..self.node.lanes.len()).map(place_of).collect();
        for at in (0..places.len()).filter(|at| places[*at].is_none()) {
            self.requeue(at, true);
        }
        let mut sent = Vec::new();
        let lanes = std::mem::take(&mut self.node.lanes);
        for (mut lane, place) in lanes.into_iter().zip(&places) {
            match place {
                Some(place) => {
                    lane.queue.clear();
                    lane.not_before = None;
                    sent.extend(lane.in_flight.iter().map(|sent| sent.request));
                    *self.node.lane(*place) = lane;
                }
                None => self.pool.put(lane.buffer),
            }
        }
        sent.sort_unstable();
        self.route(&sent);
        from.and_then(|from| places[from])
    }

    /// Lets reads keep away from an endpoint for a while; those that wait there go to the head.
    pub(super) fn avoid(&mut self, endpoint: usize, now: Instant) {
        let lane = &mut self.node.lanes[endpoint];
        lane.avoid_until = Some(now + AVOID);
        for at in std::mem::take(&mut lane.queue) {
            self.requests[at].anywhere = false;
            self.enqueue(at);
        }
    }
}
