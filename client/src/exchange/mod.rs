//! An exchange: some requests, one or many, from asked to answered.
//!
//! Single calls and pipelines are both exchanges, so there is one place that decides what is sent
//! again.
//!
//! 1. An update keeps its session and number until it is answered; it is sent again under the same
//!    ones, and the engine executes it once. It gets new ones only if it cannot have been executed.
//! 2. A lane writes without waiting while it has replies to read, so two full socket buffers never
//!    face each other.
//! 3. Every request ends with a reply or a failure when the deadline has passed, at the latest.
//! 4. After an exchange no request is open: what was given up is acknowledged, so the engine
//!    refuses a copy that comes late.

mod incoming;
mod outgoing;

use std::time::Instant;

use catena_protocol::{Fault, Status};

use crate::buffer::{Buffer, Pool};
use crate::config::GARBLED_TRIES_MAX;
use crate::lane::{InFlight, Patience, Trouble};
use crate::node::{Node, lost, read_welcome};
use crate::random::backoff;
use crate::request::{Failure, Place, Request};
use crate::topology::Topology;

pub(crate) struct Exchange<'n, 'o> {
    pub(crate) node: &'n mut Node,
    pub(crate) pool: &'n Pool,
    pub(crate) requests: &'n mut [Request<'o>],
    /// Where buffers with replies in them are kept; without it there is one request, and its reply
    /// stays in the buffer of its lane.
    pub(crate) kept: Option<&'n mut Vec<Buffer>>,
    pub(crate) deadline: Instant,
    /// Requests that have no outcome yet.
    pub(crate) open: usize,
}

impl<'n, 'o> Exchange<'n, 'o> {
    /// Gives every request its outcome.
    pub(crate) fn run(mut self) {
        self.route();
        while self.open > 0 {
            let now = Instant::now();
            if now >= self.deadline {
                self.expire();
                break;
            }
            for core in 0..self.node.lanes.len() {
                if let Err(failure) = self.push(core, now) {
                    self.on_trouble(core, failure);
                }
            }
            if self.open > 0 {
                self.pull(now);
            }
        }
        self.settle();
    }

    /// Gives every open request to the lane of its core.
    fn route(&mut self) {
        self.open = 0;
        for at in 0..self.requests.len() {
            let request = &mut self.requests[at];
            if request.outcome.is_none() {
                self.open += 1;
                request.shard = match request.place {
                    Place::Object(id) => self.node.topology.shard_of(id),
                    Place::Shard(shard) => shard,
                };
                if u32::from(request.shard.0) >= self.node.topology.shards() {
                    // There were more when the request was made.
                    let fault = Fault::new(Status::BadShard);
                    request.outcome = Some(Err(Failure::Refused(fault.into())));
                    self.open -= 1;
                    continue;
                }
                let core = self.node.topology.core_of(request.shard);
                self.node.lane(usize::from(core)).enqueue(at);
            }
        }
    }

    /// Sends what a lane has to send, as far as that goes.
    fn push(&mut self, core: usize, now: Instant) -> Result<(), Failure> {
        let lane = &mut self.node.lanes[core];
        if !lane.is_busy() && !lane.has_unsent() {
            return Ok(());
        }
        if lane.not_before.is_some_and(|time| time > now) {
            return Ok(());
        }
        lane.not_before = None;
        // One that waits inside the engine may do so for long, and for what is sent next.
        let requests = &*self.requests;
        let unsettled = |sent: &InFlight| !requests[sent.request].may_wait();
        lane.settling = lane.settling && lane.in_flight.iter().any(unsettled);
        if lane.retiring && lane.in_flight.is_empty() {
            // What comes next needs a fresh look at the node and its clock.
            self.requeue(core, false);
            self.node.topology_stale = true;
        }
        if !self.connect(core, now)? {
            return Ok(());
        }
        let alone = self.requests.len() == 1;
        loop {
            let lane = &self.node.lanes[core];
            if !lane.retiring && !lane.settling {
                self.encode(core, now);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            // A single request is read by the engine before it answers: waiting for room is safe.
            let patience = if alone { Patience::Within(left) } else { Patience::None };
            if !self.node.lanes[core].write(patience).map_err(lost)? {
                return Ok(());
            }
        }
    }

    /// Makes sure that a lane has a connection that works; `false` if it is not needed any more.
    fn connect(&mut self, core: usize, now: Instant) -> Result<bool, Failure> {
        let lane = &mut self.node.lanes[core];
        if lane.in_flight.is_empty()
            && let Some(connection) = &mut lane.connection
            && connection.is_stale(now)
        {
            self.requeue(core, false);
        }
        if self.node.lanes[core].connection.is_some() {
            return Ok(true);
        }
        if self.node.topology_stale {
            self.refresh(core)?;
        }
        let lane = &self.node.lanes[core];
        if lane.queue.is_empty() {
            return Ok(false);
        }
        if lane.connection.is_none() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let opened = self.node.open(core, left);
            self.node.topology_stale |= opened.is_err();
            opened?;
        }
        Ok(true)
    }

    /// Asks the node anew where everything is.
    fn refresh(&mut self, core: usize) -> Result<(), Failure> {
        let give_up = self.give_up_at(core);
        let (greeted, topology) = self.node.greet(give_up, self.pool)?;
        self.node.topology_stale = false;
        let core = usize::from(topology.welcome_core());
        self.on_topology(topology);
        let lane = self.node.lane(core);
        if lane.connection.is_none() {
            lane.connection = greeted.connection;
            self.pool.put(greeted.buffer);
        }
        Ok(())
    }

    /// Receives from the lanes that await replies, and sleeps if there is nothing else to do.
    fn pull(&mut self, now: Instant) {
        let (mut awaiting, mut last, mut unsent, mut wake) = (0, 0, None, None::<Instant>);
        for (core, lane) in self.node.lanes.iter().enumerate() {
            if !lane.in_flight.is_empty() {
                (awaiting, last) = (awaiting + 1, core);
            }
            if lane.has_unsent() {
                unsent = Some(core);
            }
            // A lane that has nothing to wait for goes on at once.
            let idle = lane.in_flight.is_empty().then_some(now);
            if let Some(time) = lane.not_before.or(idle).filter(|_| !lane.queue.is_empty()) {
                wake = Some(wake.map_or(time, |wake| wake.min(time)));
            }
        }
        let until = wake.map_or(self.deadline, |wake| wake.min(self.deadline));
        let left = until.saturating_duration_since(Instant::now());
        match awaiting {
            0 => std::thread::sleep(left),
            1 if unsent.is_none() => _ = self.receive(last, Patience::Within(left)),
            _ => {
                let cores = 0..self.node.lanes.len();
                let got = cores.fold(false, |got, core| self.receive(core, Patience::None) | got);
                if !got && self.open > 0 {
                    self.stall(unsent, last);
                }
            }
        }
    }

    /// Nothing to read anywhere: sleep a moment where something is most likely to happen.
    fn stall(&mut self, unsent: Option<usize>, awaiting: usize) {
        match unsent {
            Some(core) => {
                if let Err(error) = self.node.lanes[core].write(Patience::Moment) {
                    self.on_trouble(core, lost(error));
                }
            }
            None => _ = self.receive(awaiting, Patience::Moment),
        }
    }

    /// Receives on one lane; answers whether anything came.
    fn receive(&mut self, core: usize, patience: Patience) -> bool {
        match self.try_receive(core, patience) {
            Ok(got) => got,
            Err(failure) => {
                self.on_trouble(core, failure);
                true
            }
        }
    }

    fn try_receive(&mut self, core: usize, patience: Patience) -> Result<bool, Failure> {
        let spin = self.node.config.spin;
        let reply_bytes_max = self.node.config.reply_bytes_max;
        let lane = &mut self.node.lanes[core];
        if lane.in_flight.is_empty() {
            return Ok(false);
        }
        let kept = self.kept.as_deref_mut();
        if !lane.read(patience, spin, self.pool, kept).map_err(lost)? {
            return Ok(false);
        }
        loop {
            let lane = &mut self.node.lanes[core];
            let greeted = lane.connection.as_ref().is_some_and(|connection| connection.greeted);
            let bad = if greeted { Failure::Garbled } else { Failure::Incompatible };
            let Some(arrival) = lane.next_frame(reply_bytes_max).map_err(bad)? else {
                return Ok(true);
            };
            match greeted {
                true => self.on_reply(core, arrival)?,
                false => {
                    let topology = read_welcome(lane, &arrival)?;
                    self.on_topology(topology);
                }
            }
        }
    }

    /// Takes over what a Welcome said. If the node is not what it was, everything starts over.
    fn on_topology(&mut self, topology: Topology) {
        let node = &mut *self.node;
        if node.topology.agrees_with(&topology) {
            node.topology.set_clock(&topology);
            return;
        }
        if node.topology.shards() != topology.shards() {
            // Other shards, other sessions: what was sent under the old ones cannot be repeated.
            node.sessions.clear();
        }
        node.topology = topology;
        for core in 0..self.node.lanes.len() {
            self.requeue(core, true);
            self.node.lanes[core].queue.clear();
            self.node.lanes[core].not_before = None;
        }
        self.route();
    }

    /// A lane's connection broke, or could not be made.
    fn on_trouble(&mut self, core: usize, failure: Failure) {
        let now = Instant::now();
        let connection = self.node.lanes[core].connection.as_ref();
        let greeted = connection.is_some_and(|connection| connection.greeted);
        // A client that is sent away at the door is not listened to: nothing was executed.
        let heard = greeted || matches!(failure, Failure::Lost(_) | Failure::NoAnswer);
        self.requeue(core, heard);
        let call_timeout = self.node.config.call_timeout;
        let lane = &mut self.node.lanes[core];
        let (since, tries) = match &lane.trouble {
            Some(trouble) => (trouble.since, trouble.tries + 1),
            None => (now, 1),
        };
        let is_over = match failure {
            Failure::Lost(_) | Failure::NoAnswer | Failure::Refused(_) => {
                now.saturating_duration_since(since) >= call_timeout
            }
            Failure::Garbled(_) => tries >= GARBLED_TRIES_MAX,
            Failure::BadName | Failure::Incompatible(_) | Failure::SessionLost => true,
        };
        lane.not_before = Some(now + backoff(tries));
        lane.trouble = Some(Trouble { since, tries, reason: failure });
        if is_over {
            self.abandon(core);
        }
    }

    /// Takes back what was sent on a lane, to be sent again. `heard`: the engine may have listened.
    fn requeue(&mut self, core: usize, heard: bool) {
        let lane = &mut self.node.lanes[core];
        let in_flight = lane.hang_up();
        if let Some(kept) = self.kept.as_deref_mut() {
            lane.keep_buffer(kept);
        }
        for (at, reached) in in_flight {
            let request = &mut self.requests[at];
            if heard && reached && request.is_update() {
                request.maybe_done = true;
                let place = self.node.sessions.get_mut(usize::from(request.shard.0));
                if let Some(session) = place.and_then(Option::as_mut) {
                    session.strays = true;
                }
            }
            self.node.lanes[core].enqueue(at);
        }
    }

    /// Fails everything that a lane has not sent; in flight it has nothing.
    fn abandon(&mut self, core: usize) {
        let trouble = self.node.lanes[core].trouble.take();
        while let Some(at) = self.node.lanes[core].queue.pop_front() {
            let failure = match (&trouble, self.requests[at].postponed.take()) {
                (Some(trouble), _) => trouble.reason.clone(),
                (None, Some(refusal)) => Failure::Refused(refusal),
                (None, None) => Failure::NoAnswer,
            };
            self.requests[at].outcome = Some(Err(failure));
            self.open -= 1;
        }
        self.node.lanes[core].not_before = None;
    }

    /// The deadline has passed.
    fn expire(&mut self) {
        for core in 0..self.node.lanes.len() {
            if self.node.lanes[core].is_busy() {
                // A reply that comes too late must not be taken for another one's.
                self.requeue(core, true);
                self.abandon(core);
            }
        }
    }

    /// Leaves everything as the next exchange expects it.
    fn settle(&mut self) {
        for request in self.requests.iter().filter(|request| request.is_update()) {
            let place = self.node.session(request.shard);
            let Some(session) = place.as_mut().filter(|session| session.id == request.session)
            else {
                continue;
            };
            let given_up = matches!(request.outcome, Some(Err(_)));
            if given_up && request.maybe_done && request.may_wait() {
                // It may still be parked, and a parked request must not be acknowledged.
                *place = None;
            } else {
                session.give_up();
            }
        }
        for lane in &mut self.node.lanes {
            (lane.trouble, lane.not_before) = (None, None);
            if let Some(kept) = self.kept.as_deref_mut() {
                lane.keep_buffer(kept);
            }
        }
    }

    /// When to stop trying to reach a core.
    fn give_up_at(&self, core: usize) -> Instant {
        let since = self.node.lanes[core].trouble.as_ref().map(|trouble| trouble.since);
        let since = since.unwrap_or_else(Instant::now);
        self.deadline.min(since + self.node.config.call_timeout)
    }
}
