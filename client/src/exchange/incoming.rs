//! From bytes to outcomes: which request a reply is for, and what becomes of one that was refused.

use std::time::{Duration, Instant};

use catena_protocol::{Fault, FrameKind, Header, OpCode, Refusal, Status};

use super::Exchange;
use crate::config::{BUSY_READS_MAX, RENEWALS_MAX, SCARCE_TRIES_MAX, TIMEOUT_MAX};
use crate::lane::{Arrival, InFlight};
use crate::node::{refused_at_door, session_in};
use crate::random::backoff;
use crate::request::{Answer, Failure, Request};
use crate::session::Session;
use crate::verdict::Verdict;

impl Exchange<'_, '_> {
    /// Takes a reply.
    pub(super) fn on_reply(&mut self, endpoint: usize, arrival: Arrival) -> Result<(), Failure> {
        let lane = &mut self.node.lanes[endpoint];
        let Arrival { header, body } = arrival;
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
            // A refusal that belongs to no request is about the connection.
            return Err(match refused_at_door(header.flags, bytes) {
                _ if status == Some(Status::Ok) => unexpected(&header),
                Failure::Incompatible(fault) => Failure::Garbled(fault),
                passing => passing,
            });
        };
        let at = lane.in_flight[place].request;
        if header.op != self.requests[at].code.to_wire() {
            return Err(unexpected(&header));
        }
        let refusal = refusal(status, bytes)?;
        lane.on_answered(place);
        // Others joined or left, and nothing had to be said about it: this call is not held up.
        self.node.is_behind |= header.epoch > self.node.topology.epoch();
        match refusal {
            None => {
                let buffer = lane.kept_as.unwrap_or(endpoint);
                self.finish(at, Ok(Answer { buffer, body }));
            }
            Some(refusal) => self.on_refusal(endpoint, at, refusal),
        }
        Ok(())
    }

    fn on_session_opened(&mut self, header: &Header, refusal: Option<Refusal>) {
        let session = self.node.session(header.shard).as_mut();
        if let Some(session) = session.filter(|session| session.id == header.session) {
            session.on_opened(refusal.map(|refusal| match refusal {
                Refusal::Fault(fault) => fault,
                Refusal::Timeout(_) | Refusal::Broken(_) => refusal.status().into(),
            }));
        }
    }

    /// Decides what becomes of a request that was refused.
    fn on_refusal(&mut self, endpoint: usize, at: usize, refusal: Refusal) {
        let shard = self.requests[at].shard;
        let refusal = match self.node.session(shard) {
            // The request failed because its session could not be opened: that is the reason.
            Some(Session { refused: Some(fault), .. })
                if refusal.status() == Status::SessionUnknown =>
            {
                Refusal::Fault(*fault)
            }
            _ => refusal,
        };
        self.requests[at].tries += 1;
        let verdict = Verdict::on(&refusal);
        let passes = matches!(verdict, Verdict::Later { .. } | Verdict::LookAgain);
        if passes && self.gives_up_reading(at, endpoint, &refusal) {
            return;
        }
        let request = &mut self.requests[at];
        let pause = backoff(request.tries + 1);
        match verdict {
            Verdict::Final => self.finish(at, Err(Failure::Refused(refusal))),
            Verdict::Scarce if request.tries >= SCARCE_TRIES_MAX => {
                self.finish(at, Err(Failure::Refused(refusal)));
            }
            Verdict::Scarce => self.postpone(endpoint, at, refusal, pause),
            Verdict::Later { pause_ms } => {
                let asked = Duration::from_millis(pause_ms).min(TIMEOUT_MAX);
                self.postpone(endpoint, at, refusal, pause.max(asked));
            }
            Verdict::Elsewhere { core: named } => {
                if request.tries <= 2 && self.node.topology.on_moved(shard, endpoint, named) {
                    request.postponed = Some(refusal);
                    self.enqueue(at);
                } else {
                    self.doubt(endpoint);
                    self.postpone(endpoint, at, refusal, pause);
                }
            }
            Verdict::LookAgain => {
                self.node.misled |= refusal.status() != Status::ShuttingDown;
                self.doubt(endpoint);
                self.postpone(endpoint, at, refusal, pause);
            }
            Verdict::WithName if request.is_named => {
                self.finish(at, Err(Failure::Refused(refusal)));
            }
            // Without its name no object is made.
            Verdict::WithName if !self.node.config.makes_objects => {
                let absent = Fault::new(Status::Absent).into();
                self.finish(at, Err(Failure::Refused(absent)));
            }
            Verdict::WithName => {
                request.is_named = true;
                let lane = &mut self.node.lanes[endpoint];
                lane.settling = true;
                lane.enqueue(at);
            }
            Verdict::NewSession => self.renew(endpoint, at, refusal),
        }
    }

    /// Goes to the head with a read that another member has no answer to, twice or because it is none
    /// any more; `false` if it stays there, or is none.
    fn gives_up_reading(&mut self, at: usize, endpoint: usize, refusal: &Refusal) -> bool {
        let request = &self.requests[at];
        let is_enough = refusal.status() != Status::Busy || request.tries >= BUSY_READS_MAX;
        if !request.anywhere || !is_enough {
            return false;
        }
        self.node.topology_stale |= refusal.status() != Status::Busy;
        self.requests[at].postponed = Some(refusal.clone());
        self.node.lanes[endpoint].enqueue(at);
        self.avoid(endpoint, Instant::now());
        true
    }

    /// The node said that it is not the one to ask: somebody has to say who is.
    fn doubt(&mut self, endpoint: usize) {
        match self.node.topology.is_cluster() {
            // At once, beside what is in flight: some of that may wait for long.
            true => self.node.topology_stale = true,
            false => self.node.lanes[endpoint].retiring = true,
        }
    }

    /// Replaces a session that the engine does not know, unless that could execute twice.
    fn renew(&mut self, endpoint: usize, at: usize, refusal: Refusal) {
        let is_cluster = self.node.topology.is_cluster();
        if let Some(pause) = self.unborn(endpoint, at) {
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
            // The new session quotes the engine's clock, which may not be the one we know.
            let lane = &mut self.node.lanes[endpoint];
            match is_cluster {
                true => lane.ask_clock = true,
                false => lane.retiring = true,
            }
            self.postpone(endpoint, at, refusal, Duration::ZERO);
        }
    }

    /// How long until the session of a request is born by the clock of a node that did not open it.
    ///
    /// A head that was not yet there when the session was asked for may have a clock that is behind,
    /// and refuse it as one that is born in its future. Then it does not know the session: an open one
    /// stands in the log of every member before all of its updates, so none of them was executed. But
    /// whether that was the reason is a guess about clocks, and a copy may be on its way. To ask again
    /// for the same session needs no guess: it is opened only if nothing can be forgotten of it. So that
    /// is done once it is born.
    fn unborn(&mut self, endpoint: usize, at: usize) -> Option<Duration> {
        let request = &self.requests[at];
        let clock = self.node.lanes[endpoint].clock?;
        let session = session_in(&mut self.node.sessions, request.shard).as_ref()?;
        let asked = session.id == request.session && session.strays && !session.is_open;
        let early_us = session.born_us.saturating_sub(clock.now_us());
        let is_unborn = self.node.topology.is_cluster() && asked && early_us > 0;
        is_unborn.then(|| Duration::from_micros(early_us).min(TIMEOUT_MAX))
    }

    /// Sends a request again, after a pause.
    fn postpone(&mut self, endpoint: usize, at: usize, refusal: Refusal, pause: Duration) {
        self.requests[at].postponed = Some(refusal);
        let lane = &mut self.node.lanes[endpoint];
        lane.enqueue(at);
        let time = Instant::now() + pause;
        lane.not_before = Some(lane.not_before.map_or(time, |other| other.max(time)));
    }

    /// A request has its reply.
    pub(super) fn finish(&mut self, at: usize, outcome: Result<Answer, Failure>) {
        let request = &mut self.requests[at];
        request.outcome = Some(outcome);
        self.open -= 1;
        answered(&mut self.node.sessions, request);
    }
}

/// Takes note in the session of a request that its number is done with.
fn answered(sessions: &mut [Option<Session>], request: &Request<'_>) {
    let place = sessions.get_mut(usize::from(request.shard.0));
    let session = place.and_then(Option::as_mut).filter(|session| session.id == request.session);
    if let Some(session) = session {
        session.on_answer(request.number);
    }
}

/// The refusal in a reply, `None` if it is none.
fn refusal(status: Option<Status>, body: &[u8]) -> Result<Option<Refusal>, Failure> {
    match status {
        Some(Status::Ok) => Ok(None),
        Some(status) => Refusal::decode(status, body).map(Some).map_err(Failure::Garbled),
        // Of a later version; nobody can say what became of the request.
        None => Err(Failure::Garbled(Status::BadBody.into())),
    }
}

/// A reply to nothing that was asked.
fn unexpected(header: &Header) -> Failure {
    Failure::Garbled(Fault::expected(Status::BadFrameKind, header.session, header.number))
}
