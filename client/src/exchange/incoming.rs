//! From bytes to outcomes: matches replies with requests, and decides about refused requests.

use std::time::{Duration, Instant};

use catena_protocol::{Fault, FrameKind, Header, OpCode, Refusal, Status};

use super::Exchange;
use crate::config::{BUSY_READS_MAX, RENEWALS_MAX, SCARCE_TRIES_MAX, TIMEOUT_MAX};
use crate::lane::{InFlight, ReceivedFrame};
use crate::node::{SeedOrder, TopologyTrust, refused_connection, session_in};
use crate::random::backoff;
use crate::request::{Failure, PendingRequest, ReplyLocation};
use crate::retry::RetryDecision;
use crate::session::{Session, SessionState};
use crate::trace;

impl Exchange<'_, '_> {
    /// Handles a reply.
    pub(super) fn on_reply(
        &mut self,
        endpoint: usize,
        received: ReceivedFrame,
    ) -> Result<(), Failure> {
        let lane = &mut self.node.lanes[endpoint];
        let ReceivedFrame { header, body } = received;
        let bytes = &lane.buffer.bytes()[body.clone()];
        if header.kind != FrameKind::Reply {
            return Err(Failure::Garbled(Status::BadFrameKind.into()));
        }
        let status = Status::from_wire(header.flags);
        if header.op == OpCode::SessionOpen.to_wire() {
            let refusal = refusal(status, bytes)?;
            self.on_session_opened(&header, refusal);
            return Ok(());
        }
        let requests = &*self.requests;
        let asked = |sent: &InFlight| requests[sent.request].is_answered_by(&header);
        let Some(place) = lane.in_flight.iter().position(asked) else {
            // A refusal without a request is of the whole connection.
            return Err(match refused_connection(header.flags, bytes) {
                _ if status == Some(Status::Ok) => unexpected(&header),
                Failure::Incompatible(fault) => Failure::Garbled(fault),
                temporary => temporary,
            });
        };
        let at = lane.in_flight[place].request;
        if header.op != self.requests[at].code.to_wire() {
            return Err(unexpected(&header));
        }
        let refusal = refusal(status, bytes)?;
        lane.on_answered(place);
        // The members have changed, but this request succeeded: the next call refreshes the
        // topology.
        if header.epoch > self.node.topology.epoch() {
            self.node.trust = self.node.trust.max(TopologyTrust::Behind);
        }
        match refusal {
            None => {
                let buffer = lane.kept_as.unwrap_or(endpoint);
                self.finish(at, Ok(ReplyLocation { buffer, body }));
            }
            Some(refusal) => self.on_refusal(endpoint, at, refusal),
        }
        Ok(())
    }

    fn on_session_opened(&mut self, header: &Header, refusal: Option<Refusal>) {
        let is_open = refusal.is_none();
        let session = self.node.session(header.shard).as_mut();
        if let Some(session) = session.filter(|session| session.id == header.session) {
            session.on_opened(refusal.map(|refusal| match refusal {
                Refusal::Fault(fault) => fault,
                Refusal::Timeout(_) | Refusal::Broken(_) => refusal.status().into(),
            }));
            if is_open {
                self.node.on_session_opened();
            }
        }
    }

    /// Fails or retries a refused request.
    fn on_refusal(&mut self, endpoint: usize, at: usize, refusal: Refusal) {
        let shard = self.requests[at].shard;
        let refusal = match self.node.session(shard) {
            // The session is unknown because opening it was refused, which is the real reason.
            Some(Session { state: SessionState::Refused(fault), .. })
                if refusal.status() == Status::SessionUnknown =>
            {
                Refusal::Fault(*fault)
            }
            _ => refusal,
        };
        self.requests[at].tries += 1;
        trace::on_refused(self.requests[at].code, refusal.status(), self.requests[at].tries);
        let decision = RetryDecision::on(&refusal);
        let is_temporary =
            matches!(decision, RetryDecision::After { .. } | RetryDecision::AfterRefresh);
        if is_temporary && self.read_from_head(at, endpoint, &refusal) {
            return;
        }
        let request = &mut self.requests[at];
        let pause = backoff(request.tries + 1);
        match decision {
            RetryDecision::Fail => self.finish(at, Err(Failure::Refused(refusal))),
            RetryDecision::FewTimes if request.tries >= SCARCE_TRIES_MAX => {
                self.finish(at, Err(Failure::Refused(refusal)));
            }
            RetryDecision::FewTimes => self.postpone(endpoint, at, refusal, pause),
            RetryDecision::After { pause_ms } => {
                let asked = Duration::from_millis(pause_ms).min(TIMEOUT_MAX);
                self.postpone(endpoint, at, refusal, pause.max(asked));
            }
            RetryDecision::OnCore { core: named } => {
                if request.tries <= 2 && self.node.topology.on_moved(shard, endpoint, named) {
                    request.postponed = Some(refusal);
                    self.enqueue(at);
                } else {
                    self.distrust_topology(endpoint);
                    self.postpone(endpoint, at, refusal, pause);
                }
            }
            RetryDecision::AfterRefresh => {
                if refusal.status() != Status::ShuttingDown {
                    self.node.seed_order = SeedOrder::Rotating;
                }
                self.distrust_topology(endpoint);
                self.postpone(endpoint, at, refusal, pause);
            }
            RetryDecision::WithName if request.is_named => {
                self.finish(at, Err(Failure::Refused(refusal)));
            }
            // The engine makes no object without a name.
            RetryDecision::WithName if !self.node.config.makes_objects => {
                let absent = Fault::new(Status::Absent).into();
                self.finish(at, Err(Failure::Refused(absent)));
            }
            RetryDecision::WithName => {
                request.is_named = true;
                let lane = &mut self.node.lanes[endpoint];
                lane.settle();
                lane.enqueue(at);
            }
            RetryDecision::WithNewSession => self.renew(endpoint, at, refusal),
        }
    }

    /// Sends a read to the head if another member has refused it, because it is busy the second
    /// time or no longer a member; `false` if the read stays there, or is not such a read.
    fn read_from_head(&mut self, at: usize, endpoint: usize, refusal: &Refusal) -> bool {
        let request = &self.requests[at];
        let gives_up = refusal.status() != Status::Busy || request.tries >= BUSY_READS_MAX;
        if !request.any_member || !gives_up {
            return false;
        }
        if refusal.status() != Status::Busy {
            self.node.distrust_topology();
        }
        self.requests[at].postponed = Some(refusal.clone());
        self.node.lanes[endpoint].enqueue(at);
        self.avoid(endpoint, Instant::now());
        true
    }

    /// Has the topology refreshed, because the node at an endpoint does not serve the shard.
    fn distrust_topology(&mut self, endpoint: usize) {
        match self.node.topology.is_cluster() {
            // At once, beside the requests in flight, because some of them may wait for long.
            true => self.node.distrust_topology(),
            false => self.node.lanes[endpoint].retire(),
        }
    }

    /// Replaces a session that the engine does not know, unless the request could then be executed
    /// twice.
    fn renew(&mut self, endpoint: usize, at: usize, refusal: Refusal) {
        let is_cluster = self.node.topology.is_cluster();
        if let Some(pause) = self.time_until_birth(endpoint, at) {
            self.postpone(endpoint, at, refusal, pause);
            return;
        }
        let request = &mut self.requests[at];
        let place = self.node.session(request.shard);
        if place.as_ref().is_some_and(|session| session.id == request.session) {
            *place = None;
        }
        request.renewals += 1;
        if request.maybe_done {
            self.finish(at, Err(Failure::SessionLost));
        } else if request.renewals > RENEWALS_MAX {
            self.finish(at, Err(Failure::Refused(refusal)));
        } else {
            (request.session, request.number) = (0, 0);
            // The new session states its birth by the engine's clock, which may differ from the
            // known one.
            let lane = &mut self.node.lanes[endpoint];
            match is_cluster {
                true => lane.clock.distrust(),
                false => lane.retire(),
            }
            self.postpone(endpoint, at, refusal, Duration::ZERO);
        }
    }

    /// The time until the session of a request is born by the clock of a node that did not open it.
    ///
    /// A new head may have a clock that is behind the one that the birth was taken from. It refuses
    /// to open the session, because its birth is in the future, and then does not know the session.
    /// None of the session's updates was executed in that case, because every member logs an open
    /// session before its updates. But the client can only guess that this was the reason, and a
    /// copy of a request may be in flight. Opening the same session again needs no guess, because
    /// the engine opens it only if it cannot have forgotten anything of it. So the client waits
    /// until the birth and does that.
    fn time_until_birth(&mut self, endpoint: usize, at: usize) -> Option<Duration> {
        let request = &self.requests[at];
        let clock = self.node.lanes[endpoint].clock.latest()?;
        let session = session_in(&mut self.node.sessions, request.shard).as_ref()?;
        let is_its_session = session.id == request.session;
        let was_sent = is_its_session && session.has_copies && !session.is_open();
        let early_us = session.born_us.saturating_sub(clock.now_us());
        let is_unborn = self.node.topology.is_cluster() && was_sent && early_us > 0;
        is_unborn.then(|| Duration::from_micros(early_us).min(TIMEOUT_MAX))
    }

    /// Queues a request again, to be sent after a pause.
    fn postpone(&mut self, endpoint: usize, at: usize, refusal: Refusal, pause: Duration) {
        self.requests[at].postponed = Some(refusal);
        let lane = &mut self.node.lanes[endpoint];
        lane.enqueue(at);
        let time = Instant::now() + pause;
        lane.not_before = Some(lane.not_before.map_or(time, |other| other.max(time)));
    }

    /// Gives a request its outcome.
    pub(super) fn finish(&mut self, at: usize, outcome: Result<ReplyLocation, Failure>) {
        let request = &mut self.requests[at];
        request.outcome = Some(outcome);
        self.open -= 1;
        acknowledge(&mut self.node.sessions, request);
    }
}

/// Records in the session of a request that its number needs no further reply.
fn acknowledge(sessions: &mut [Option<Session>], request: &PendingRequest<'_>) {
    let place = sessions.get_mut(usize::from(request.shard.0));
    let session = place.and_then(Option::as_mut).filter(|session| session.id == request.session);
    if let Some(session) = session {
        session.on_answer(request.number);
    }
}

/// Reads the refusal in a reply; `None` if it is a success.
fn refusal(status: Option<Status>, body: &[u8]) -> Result<Option<Refusal>, Failure> {
    match status {
        Some(Status::Ok) => Ok(None),
        Some(status) => Refusal::decode(status, body).map(Some).map_err(Failure::Garbled),
        // A status of a later release: the outcome of the request is unknown.
        None => Err(Failure::Garbled(Status::BadBody.into())),
    }
}

/// The failure of a reply that belongs to no request.
fn unexpected(header: &Header) -> Failure {
    Failure::Garbled(Fault::expected(Status::BadFrameKind, header.session, header.number))
}
