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
//! 4. In a cluster requests follow the shards: what is not answered by one node is sent to the one that
//!    took its place, under the same session and number; see `news`.
//! 5. After an exchange no request is open: what was given up is acknowledged, so the engine
//!    refuses a copy that comes late.

mod incoming;
mod news;
mod outgoing;

use std::time::Instant;

use catena_protocol::{Fault, Status};

use crate::buffer::{Buffer, Pool};
use crate::config::{GARBLED_TRIES_MAX, ReadFrom};
use crate::lane::{InFlight, Patience, Trouble};
use crate::node::{Node, lost, read_welcome};
use crate::random::backoff;
use crate::request::{Failure, Place, Request};

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
        self.spread();
        self.route(&[]);
        self.hear_news();
        while self.open > 0 {
            let now = Instant::now();
            if now >= self.deadline {
                self.expire();
                break;
            }
            self.look(now);
            // A look at the cluster may change which lanes there are.
            let mut endpoint = 0;
            while endpoint < self.node.lanes.len() {
                if let Err(failure) = self.push(endpoint, now) {
                    self.on_trouble(endpoint, failure);
                }
                endpoint += 1;
            }
            if self.open > 0 {
                self.pull(now);
            }
        }
        self.settle();
    }

    /// Lets reads go to any member, if nothing else is asked: what is asked of one object in an order
    /// is answered in that order.
    fn spread(&mut self) {
        let is_wanted = self.node.config.read_from == ReadFrom::Any;
        if is_wanted && self.requests.iter().all(Request::may_go_anywhere) {
            self.requests.iter_mut().for_each(|request| request.anywhere = true);
        }
    }

    /// Gives every open request to the lane of its endpoint, except those in `sent`, a sorted list.
    fn route(&mut self, sent: &[usize]) {
        self.open = 0;
        let now = self.requests.iter().any(|request| request.anywhere).then(Instant::now);
        for at in 0..self.requests.len() {
            let request = &mut self.requests[at];
            if request.outcome.is_some() {
                continue;
            }
            self.open += 1;
            if sent.binary_search(&at).is_ok() {
                continue;
            }
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
            let endpoint = self.endpoint_of(at);
            let avoided = |until: Instant| now.is_some_and(|now| now < until);
            if self.node.lane(endpoint).avoid_until.is_some_and(avoided) {
                self.requests[at].anywhere = false;
            }
            self.enqueue(at);
        }
    }

    /// Where a request goes.
    fn endpoint_of(&self, at: usize) -> usize {
        let request = &self.requests[at];
        match request.anywhere {
            true => self.node.topology.any_of(request.shard, self.node.lot),
            false => self.node.topology.head_of(request.shard),
        }
    }

    /// Gives a request to the lane of its endpoint.
    fn enqueue(&mut self, at: usize) {
        let endpoint = self.endpoint_of(at);
        self.node.lane(endpoint).enqueue(at);
    }

    /// Sends what a lane has to send, as far as that goes.
    fn push(&mut self, endpoint: usize, now: Instant) -> Result<(), Failure> {
        let lane = &mut self.node.lanes[endpoint];
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
            self.requeue(endpoint, false);
            self.node.topology_stale = true;
        }
        if !self.connect(endpoint, now)? {
            return Ok(());
        }
        let alone = self.requests.len() == 1;
        loop {
            let lane = &self.node.lanes[endpoint];
            if !lane.retiring && !lane.settling {
                self.encode(endpoint, now);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            // A single request is read by the engine before it answers: waiting for room is safe.
            let patience = if alone { Patience::Within(left) } else { Patience::None };
            if !self.node.lanes[endpoint].write(patience).map_err(lost)? {
                return Ok(());
            }
        }
    }

    /// Receives from the lanes that await replies, and sleeps if there is nothing else to do.
    fn pull(&mut self, now: Instant) {
        let (mut awaiting, mut last, mut unsent, mut wake) = (0, 0, None, None::<Instant>);
        for (endpoint, lane) in self.node.lanes.iter().enumerate() {
            if !lane.in_flight.is_empty() {
                (awaiting, last) = (awaiting + 1, endpoint);
            }
            if lane.has_unsent() {
                unsent = Some(endpoint);
            }
            // A lane that has nothing to wait for goes on at once.
            let idle = lane.in_flight.is_empty().then_some(now);
            if let Some(time) = lane.not_before.or(idle).filter(|_| !lane.queue.is_empty()) {
                wake = Some(wake.map_or(time, |wake| wake.min(time)));
            }
        }
        let until = wake.into_iter().chain(self.next_look()).fold(self.deadline, Instant::min);
        let left = until.saturating_duration_since(Instant::now());
        match awaiting {
            0 => std::thread::sleep(left),
            1 if unsent.is_none() => _ = self.receive(last, Patience::Within(left)),
            _ => {
                let (mut got, mut endpoint) = (false, 0);
                while endpoint < self.node.lanes.len() {
                    got |= self.receive(endpoint, Patience::None);
                    endpoint += 1;
                }
                if !got && self.open > 0 {
                    self.stall(unsent, last);
                }
            }
        }
    }

    /// Nothing to read anywhere: sleep a moment where something is most likely to happen.
    fn stall(&mut self, unsent: Option<usize>, awaiting: usize) {
        match unsent {
            Some(endpoint) => {
                if let Err(error) = self.node.lanes[endpoint].write(Patience::Moment) {
                    self.on_trouble(endpoint, lost(error));
                }
            }
            None => _ = self.receive(awaiting, Patience::Moment),
        }
    }

    /// Receives on one lane; answers whether anything came.
    fn receive(&mut self, endpoint: usize, patience: Patience) -> bool {
        match self.try_receive(endpoint, patience) {
            Ok(got) => got,
            Err(failure) => {
                self.on_trouble(endpoint, failure);
                true
            }
        }
    }

    fn try_receive(&mut self, endpoint: usize, patience: Patience) -> Result<bool, Failure> {
        let spin = self.node.config.spin;
        let reply_bytes_max = self.node.config.reply_bytes_max;
        let lane = &mut self.node.lanes[endpoint];
        if lane.in_flight.is_empty() {
            return Ok(false);
        }
        let kept = self.kept.as_deref_mut();
        if !lane.read(patience, spin, self.pool, kept).map_err(lost)? {
            return Ok(false);
        }
        let mut endpoint = endpoint;
        loop {
            let lane = &mut self.node.lanes[endpoint];
            let greeted = lane.connection.as_ref().is_some_and(|connection| connection.greeted);
            let bad = if greeted { Failure::Garbled } else { Failure::Incompatible };
            let Some(arrival) = lane.next_frame(reply_bytes_max).map_err(bad)? else {
                return Ok(true);
            };
            if greeted {
                self.on_reply(endpoint, arrival)?;
                continue;
            }
            let topology = read_welcome(lane, &arrival)?;
            match self.on_welcome(endpoint, topology)? {
                Some(moved) => endpoint = moved,
                None => return Ok(true),
            }
        }
    }

    /// A lane's connection broke, or could not be made.
    fn on_trouble(&mut self, endpoint: usize, failure: Failure) {
        let now = Instant::now();
        let connection = self.node.lanes[endpoint].connection.as_ref();
        let greeted = connection.is_some_and(|connection| connection.greeted);
        // A client that is sent away at the door is not listened to: nothing was executed.
        let heard = greeted || matches!(failure, Failure::Lost(_) | Failure::NoAnswer);
        self.requeue(endpoint, heard);
        let is_cluster = self.node.topology.is_cluster();
        if is_cluster {
            // The others may have gone on without this one.
            self.node.topology_stale = true;
            self.avoid(endpoint, now);
        }
        let call_timeout = self.node.config.call_timeout;
        let lane = &mut self.node.lanes[endpoint];
        let (since, tries) = match &lane.trouble {
            Some(trouble) => (trouble.since, trouble.tries + 1),
            None => (now, 1),
        };
        let is_over = match failure {
            Failure::Lost(_) | Failure::NoAnswer | Failure::Refused(_) => {
                now.saturating_duration_since(since) >= call_timeout
            }
            Failure::Garbled(_) => tries >= GARBLED_TRIES_MAX,
            Failure::Incompatible(_) => !is_cluster || tries >= GARBLED_TRIES_MAX,
            Failure::BadName | Failure::SessionLost => true,
        };
        lane.not_before = Some(now + backoff(tries));
        lane.trouble = Some(Trouble { since, tries, reason: failure });
        if is_over {
            self.abandon(endpoint);
        }
    }

    /// Takes back what was sent on a lane, to be sent again. `heard`: the engine may have listened.
    fn requeue(&mut self, endpoint: usize, heard: bool) {
        let lane = &mut self.node.lanes[endpoint];
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
            self.node.lanes[endpoint].enqueue(at);
        }
    }

    /// Fails everything that a lane has not sent; in flight it has nothing.
    fn abandon(&mut self, endpoint: usize) {
        let trouble = self.node.lanes[endpoint].trouble.take();
        while let Some(at) = self.node.lanes[endpoint].queue.pop_front() {
            let failure = match (&trouble, self.requests[at].postponed.take()) {
                (Some(trouble), _) => trouble.reason.clone(),
                (None, Some(refusal)) => Failure::Refused(refusal),
                (None, None) => Failure::NoAnswer,
            };
            self.requests[at].outcome = Some(Err(failure));
            self.open -= 1;
        }
        self.node.lanes[endpoint].not_before = None;
    }

    /// The deadline has passed.
    fn expire(&mut self) {
        for endpoint in 0..self.node.lanes.len() {
            if self.node.lanes[endpoint].is_busy() {
                // Who was silent may have been left behind by the others: the next call asks them.
                self.node.topology_stale |= self.node.topology.is_cluster();
                // A reply that comes too late must not be taken for another one's.
                self.requeue(endpoint, true);
                self.abandon(endpoint);
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

    /// When to stop trying to reach an endpoint.
    fn give_up_at(&self, endpoint: usize) -> Instant {
        let since = self.node.lanes[endpoint].trouble.as_ref().map(|trouble| trouble.since);
        let since = since.unwrap_or_else(Instant::now);
        self.deadline.min(since + self.node.config.call_timeout)
    }
}
