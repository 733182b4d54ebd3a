//! An exchange: one or many requests, from the first attempt to their outcomes.
//!
//! Single calls and pipelines are both exchanges, so all retries are decided in one place.
//!
//! 1. An update keeps session and number in all retries, so the engine executes it once. It gets
//!    new ones only if it cannot have been executed.
//! 2. A lane writes without waiting while it has replies to read, so the two sides never block each
//!    other with full socket buffers.
//! 3. Every request has a reply or a failure by the deadline.
//! 4. In a cluster requests follow their shards: a request without a reply is sent to the new head
//!    of the shard, with the same session and number; see `refresh`.
//! 5. After an exchange no request is open: requests that were given up are acknowledged, so the
//!    engine refuses a copy that arrives late.

mod incoming;
mod outgoing;
mod refresh;

use std::time::Instant;

use catena_protocol::{Fault, Status};

use crate::buffer::{Buffer, Pool};
use crate::cancel::Interrupts;
use crate::config::{ABANDON_MAX, GARBLED_TRIES_MAX, ReadFrom};
use crate::hold::held_by;
use crate::lane::{InFlight, Intake, IoWait, Outage};
use crate::node::{Node, lost, read_welcome};
use crate::random::backoff;
use crate::request::{Addressee, Failure, PendingRequest};
use crate::trace;

pub(crate) struct Exchange<'n, 'o> {
    pub(crate) node: &'n mut Node,
    pub(crate) pool: &'n Pool,
    pub(crate) requests: &'n mut [PendingRequest<'o>],
    /// Where buffers with replies are kept. Without it there is one request, and its reply stays in
    /// the buffer of its lane.
    pub(crate) kept: Option<&'n mut Vec<Buffer>>,
    pub(crate) deadline: Instant,
    /// What may end the exchange before.
    pub(crate) interrupts: Interrupts<'n>,
    /// The number of requests without an outcome.
    pub(crate) open: usize,
}

impl<'n, 'o> Exchange<'n, 'o> {
    /// Gives every request its outcome.
    pub(crate) fn run(mut self) {
        self.node.used_at = Instant::now();
        self.spread_reads();
        self.route(&[]);
        self.refresh_if_behind();
        while self.open > 0 {
            let now = Instant::now();
            if self.interrupts.are_raised() {
                self.cancel();
                break;
            }
            if now >= self.deadline {
                self.expire();
                break;
            }
            self.refresh_if_silent(now);
            // A refresh may have changed the lanes.
            let mut endpoint = 0;
            while endpoint < self.node.lanes.len() {
                if let Err(failure) = self.send(endpoint, now) {
                    self.on_failure(endpoint, failure);
                }
                endpoint += 1;
            }
            if self.open > 0 {
                self.receive_any(now);
            }
        }
        self.settle();
    }

    /// Lets reads go to any member if the caller wants that, and if the exchange has no updates:
    /// requests about one object are executed in the order of the caller.
    fn spread_reads(&mut self) {
        let is_wanted = self.node.config.read_from == ReadFrom::Any;
        if is_wanted && self.requests.iter().all(PendingRequest::fits_any_member) {
            self.requests.iter_mut().for_each(|request| request.any_member = true);
        }
    }

    /// Queues every open request in the lane of its endpoint, except those in `sent`, a sorted
    /// list.
    fn route(&mut self, sent: &[usize]) {
        self.open = 0;
        let now = self.requests.iter().any(|request| request.any_member).then(Instant::now);
        for at in 0..self.requests.len() {
            let request = &mut self.requests[at];
            if request.outcome.is_some() {
                continue;
            }
            self.open += 1;
            if sent.binary_search(&at).is_ok() {
                continue;
            }
            request.shard = match request.addressee {
                Addressee::Object(id) => self.node.topology.shard_of(id),
                Addressee::Shard(shard) => shard,
            };
            if u32::from(request.shard.0) >= self.node.topology.shards() {
                // The node had more shards when the request was made.
                let fault = Fault::new(Status::BadShard);
                request.outcome = Some(Err(Failure::Refused(fault.into())));
                self.open -= 1;
                continue;
            }
            let endpoint = self.endpoint_of(at);
            let avoided = |until: Instant| now.is_some_and(|now| now < until);
            if self.node.lane(endpoint).avoid_until.is_some_and(avoided) {
                self.requests[at].any_member = false;
            }
            self.enqueue(at);
        }
    }

    /// The endpoint of a request.
    fn endpoint_of(&self, at: usize) -> usize {
        let request = &self.requests[at];
        match request.any_member {
            true => self.node.topology.any_of(request.shard, self.node.salt),
            false => self.node.topology.head_of(request.shard),
        }
    }

    /// Queues a request in the lane of its endpoint.
    fn enqueue(&mut self, at: usize) {
        let endpoint = self.endpoint_of(at);
        self.node.lane(endpoint).enqueue(at);
    }

    /// Sends the queued requests of a lane, as many as its windows and its socket take.
    fn send(&mut self, endpoint: usize, now: Instant) -> Result<(), Failure> {
        let lane = &mut self.node.lanes[endpoint];
        if !lane.is_busy() && !lane.has_unsent() {
            return Ok(());
        }
        if lane.not_before.is_some_and(|time| time > now) {
            return Ok(());
        }
        lane.not_before = None;
        // A request that waits inside the engine may do so for long, even for one that is sent
        // next.
        let requests = &*self.requests;
        let unsettled = |sent: &InFlight| !requests[sent.request].may_wait();
        if !lane.in_flight.iter().any(unsettled) {
            lane.settled();
        }
        if lane.is_retiring() && lane.in_flight.is_empty() {
            // The next requests need the node's current topology and clock.
            self.requeue(endpoint, false);
            self.node.distrust_topology();
        }
        if !self.connect(endpoint, now)? {
            return Ok(());
        }
        let alone = self.requests.len() == 1;
        loop {
            let lane = &self.node.lanes[endpoint];
            if lane.intake == Intake::Open {
                self.encode(endpoint, now);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            // Waiting for room is safe with a single request, because the engine reads it before it
            // replies.
            let left = left.min(self.interrupts.sleep_max());
            let wait = if alone { IoWait::UpTo(left) } else { IoWait::None };
            if !self.node.lanes[endpoint].write(wait).map_err(lost)? {
                return Ok(());
            }
        }
    }

    /// Receives from the lanes that await replies, and sleeps if there is nothing else to do.
    fn receive_any(&mut self, now: Instant) {
        let (mut awaiting, mut last, mut unsent, mut wake) = (0, 0, None, None::<Instant>);
        for (endpoint, lane) in self.node.lanes.iter().enumerate() {
            if !lane.in_flight.is_empty() {
                (awaiting, last) = (awaiting + 1, endpoint);
            }
            if lane.has_unsent() {
                unsent = Some(endpoint);
            }
            // A lane without requests in flight can send at once.
            let idle = lane.in_flight.is_empty().then_some(now);
            if let Some(time) = lane.not_before.or(idle).filter(|_| !lane.queue.is_empty()) {
                wake = Some(wake.map_or(time, |wake| wake.min(time)));
            }
        }
        let until = wake.into_iter().chain(self.next_refresh()).fold(self.deadline, Instant::min);
        let left = until.saturating_duration_since(Instant::now());
        match awaiting {
            0 => std::thread::sleep(left.min(self.interrupts.sleep_max())),
            1 if unsent.is_none() => {
                if !self.is_watched(last) {
                    // It was cancelled just now.
                    return;
                }
                let left = left.min(self.interrupts.watched_sleep_max());
                self.receive(last, IoWait::UpTo(left));
            }
            _ => {
                let (mut got, mut endpoint) = (false, 0);
                while endpoint < self.node.lanes.len() {
                    got |= self.receive(endpoint, IoWait::None);
                    endpoint += 1;
                }
                if !got && self.open > 0 {
                    self.stall(unsent, last);
                }
            }
        }
    }

    /// Lets the canceller wake this thread when it sleeps on a lane; `false` if the call is cancelled
    /// already.
    fn is_watched(&self, endpoint: usize) -> bool {
        let Some(canceller) = self.interrupts.canceller else { return true };
        if let Some(connection) = &self.node.lanes[endpoint].connection {
            self.node.waker.watch(connection.stream());
        }
        !canceller.is_cancelled()
    }

    /// Waits briefly on the lane that is most likely to be ready next, after none was.
    fn stall(&mut self, unsent: Option<usize>, awaiting: usize) {
        match unsent {
            Some(endpoint) => {
                if let Err(error) = self.node.lanes[endpoint].write(IoWait::Briefly) {
                    self.on_failure(endpoint, lost(error));
                }
            }
            None => _ = self.receive(awaiting, IoWait::Briefly),
        }
    }

    /// Receives on one lane. Returns whether anything arrived, or failed.
    fn receive(&mut self, endpoint: usize, wait: IoWait) -> bool {
        match self.try_receive(endpoint, wait) {
            Ok(got) => got,
            // The canceller has shut the socket down.
            Err(_) if self.interrupts.are_raised() => true,
            Err(failure) => {
                self.on_failure(endpoint, failure);
                true
            }
        }
    }

    fn try_receive(&mut self, endpoint: usize, wait: IoWait) -> Result<bool, Failure> {
        let spin = self.node.config.spin;
        let reply_bytes_max = self.node.config.reply_bytes_max;
        let lane = &mut self.node.lanes[endpoint];
        if lane.in_flight.is_empty() {
            return Ok(false);
        }
        let kept = self.kept.as_deref_mut();
        if !lane.read(wait, spin, self.pool, kept).map_err(lost)? {
            return Ok(false);
        }
        let mut endpoint = endpoint;
        loop {
            let lane = &mut self.node.lanes[endpoint];
            let greeted = lane.connection.as_ref().is_some_and(|connection| connection.greeted);
            let bad = if greeted { Failure::Garbled } else { Failure::Incompatible };
            let Some(received) = lane.next_frame(reply_bytes_max).map_err(bad)? else {
                return Ok(true);
            };
            if greeted {
                self.on_reply(endpoint, received)?;
                continue;
            }
            let topology = read_welcome(lane, &received)?;
            match self.on_welcome(endpoint, topology)? {
                Some(moved) => endpoint = moved,
                None => return Ok(true),
            }
        }
    }

    /// Handles the failure of a lane's connection, which broke or could not be opened.
    fn on_failure(&mut self, endpoint: usize, failure: Failure) {
        let now = Instant::now();
        let connection = self.node.lanes[endpoint].connection.as_ref();
        let greeted = connection.is_some_and(|connection| connection.greeted);
        let lane = &self.node.lanes[endpoint];
        trace::on_lost(lane.connection.as_ref().map(|connection| connection.peer), &failure);
        // An engine that refuses the connection executes nothing.
        let may_execute = greeted || matches!(failure, Failure::Lost(_) | Failure::NoAnswer);
        self.requeue(endpoint, may_execute);
        let is_cluster = self.node.topology.is_cluster();
        if is_cluster {
            // The other members may have removed this one.
            self.node.distrust_topology();
            self.avoid(endpoint, now);
        }
        let call_timeout = self.node.config.call_timeout;
        let lane = &mut self.node.lanes[endpoint];
        let (since, tries) = match &lane.outage {
            Some(outage) => (outage.since, outage.tries + 1),
            None => (now, 1),
        };
        let is_over = match failure {
            Failure::Lost(_) | Failure::NoAnswer | Failure::Refused(_) => {
                now.saturating_duration_since(since) >= call_timeout
            }
            Failure::Garbled(_) => tries >= GARBLED_TRIES_MAX,
            Failure::Incompatible(_) => !is_cluster || tries >= GARBLED_TRIES_MAX,
            Failure::BadName
            | Failure::SessionLost
            | Failure::Cancelled
            | Failure::Closed
            | Failure::TooManyCalls { .. } => true,
        };
        lane.not_before = Some(now + backoff(tries));
        lane.outage = Some(Outage { since, tries, reason: failure });
        if is_over {
            self.abandon(endpoint);
        }
    }

    /// Disconnects a lane and queues its requests in flight again. `may_execute` is whether the
    /// engine may execute what it received.
    fn requeue(&mut self, endpoint: usize, may_execute: bool) {
        let lane = &mut self.node.lanes[endpoint];
        let in_flight = lane.disconnect();
        if let Some(kept) = self.kept.as_deref_mut() {
            lane.keep_buffer(kept);
        }
        for (at, reached) in in_flight {
            let request = &mut self.requests[at];
            if may_execute && reached && request.is_update() {
                request.maybe_done = true;
                let place = self.node.sessions.get_mut(usize::from(request.shard.0));
                if let Some(session) = place.and_then(Option::as_mut) {
                    session.has_copies = true;
                }
            }
            self.node.lanes[endpoint].enqueue(at);
        }
    }

    /// Fails all queued requests of a lane, which has none in flight.
    fn abandon(&mut self, endpoint: usize) {
        let outage = self.node.lanes[endpoint].outage.take();
        while let Some(at) = self.node.lanes[endpoint].queue.pop_front() {
            let request = &mut self.requests[at];
            let failure = match (&outage, request.postponed.take()) {
                // That nobody is there any more is less than what the node has said itself.
                (Some(_), Some(refusal))
                    if refusal.status() == Status::ShuttingDown && !request.maybe_done =>
                {
                    Failure::Refused(refusal)
                }
                (Some(outage), _) => outage.reason.clone(),
                (None, Some(refusal)) => Failure::Refused(refusal),
                (None, None) => Failure::NoAnswer,
            };
            self.requests[at].outcome = Some(Err(failure));
            self.open -= 1;
        }
        self.node.lanes[endpoint].not_before = None;
    }

    /// Fails all open requests, because the deadline has passed.
    fn expire(&mut self) {
        for endpoint in 0..self.node.lanes.len() {
            if self.node.lanes[endpoint].is_busy() {
                // The silent member may have been removed: the next call asks the others.
                if self.node.topology.is_cluster() {
                    self.node.distrust_topology();
                }
                // A late reply must not be taken for the reply to a later request.
                self.requeue(endpoint, true);
                self.abandon(endpoint);
            }
        }
    }

    /// Fails all open requests, because the caller does not want them any more.
    fn cancel(&mut self) {
        for endpoint in 0..self.node.lanes.len() {
            // The others are as good as before, and their sessions can be closed over them.
            if self.node.lanes[endpoint].is_busy() || self.node.lanes[endpoint].has_unsent() {
                // A late reply must not be taken for the reply to a later request.
                self.requeue(endpoint, true);
            }
            self.node.lanes[endpoint].queue.clear();
        }
        for request in self.requests.iter_mut() {
            request.outcome.get_or_insert(Err(Failure::Cancelled));
        }
        self.open = 0;
    }

    /// Establishes what the next exchange relies on.
    fn settle(&mut self) {
        let is_single = self.kept.is_none();
        let is_cancelled =
            |request: &PendingRequest<'_>| matches!(request.outcome, Some(Err(Failure::Cancelled)));
        // What was granted, or may have been, before anything of the same session is given up.
        for request in self.requests.iter() {
            let may_be_done = matches!(request.outcome, Some(Ok(_)))
                || request.maybe_done && !(is_cancelled(request) && request.may_wait());
            if may_be_done && let Some(time) = held_by(&request.op, is_single) {
                self.node.on_held(time);
            }
        }
        let until = Instant::now() + ABANDON_MAX;
        for request in self.requests.iter().filter(|request| request.is_update()) {
            let place = self.node.session(request.shard);
            let Some(session) = place.as_mut().filter(|session| session.id == request.session)
            else {
                continue;
            };
            let given_up = matches!(request.outcome, Some(Err(_)));
            if given_up && request.maybe_done && request.may_wait() {
                // It may still wait inside the engine, and a waiting request must not be
                // acknowledged.
                if let Some(session) = place.take() {
                    let until = is_cancelled(request).then_some(until);
                    self.node.abandon_session(request.shard, session, until, self.pool);
                }
            } else {
                session.give_up();
            }
        }
        for lane in &mut self.node.lanes {
            (lane.outage, lane.not_before) = (None, None);
            if let Some(kept) = self.kept.as_deref_mut() {
                lane.keep_buffer(kept);
            }
        }
    }

    /// The time at which to give up an endpoint.
    fn give_up_at(&self, endpoint: usize) -> Instant {
        let since = self.node.lanes[endpoint].outage.as_ref().map(|outage| outage.since);
        let since = since.unwrap_or_else(Instant::now);
        self.deadline.min(since + self.node.config.call_timeout)
    }
}
