//! From requests to bytes: numbers, sessions, frames.

use std::time::Instant;

use catena_protocol::{Fault, Status, frame};

use super::Exchange;
use crate::config::OUT_BYTES_TARGET;
use crate::node::{Node, session_in, write_open};
use crate::request::{Failure, PendingRequest};
use crate::session::Session;
use crate::topology::{Clock, Topology};

impl Exchange<'_, '_> {
    /// Encodes the queued requests of a lane, as many as its windows allow.
    pub(super) fn encode(&mut self, endpoint: usize, now: Instant) {
        let window = usize::from(self.node.topology.session_window());
        loop {
            let lane = &mut self.node.lanes[endpoint];
            let Some(at) = lane.queue.front().copied() else { return };
            let begins = lane.out.len();
            if lane.in_flight.len() >= window || begins >= OUT_BYTES_TARGET {
                return;
            }
            match self.encode_one(endpoint, at, now) {
                Encoded::Written => self.node.lanes[endpoint].on_encoded(at, begins, now),
                Encoded::Failed(failure) => {
                    // Nothing of it is sent, including its Open, and its memory is freed.
                    let out = &mut self.node.lanes[endpoint].out;
                    out.truncate(begins);
                    out.shrink_to(OUT_BYTES_TARGET);
                    self.finish(at, Err(failure));
                }
                Encoded::WindowFull => return,
            }
            self.node.lanes[endpoint].queue.pop_front();
        }
    }

    /// Encodes a request, with an Open in front if its session needs one.
    fn encode_one(&mut self, endpoint: usize, at: usize, now: Instant) -> Encoded {
        let Node { lanes, sessions, topology, config, reads, .. } = &mut *self.node;
        let lane = &mut lanes[endpoint];
        let connection = lane.connection.as_ref().expect("the lane was connected");
        let request = &mut self.requests[at];
        request.node = Some(connection.peer);
        request.member = topology.name_at(endpoint).cloned();
        if !request.is_update() {
            *reads += 1;
            request.number = *reads;
            return write_request(request, 0, topology, now, &mut lane.out);
        }
        let session = session_in(sessions, request.shard).get_or_insert_with(|| {
            // In a cluster the birth is taken from the clock of the node that will open it, if it
            // is known.
            let clock = lane.clock.latest().filter(|_| topology.is_cluster());
            let birth_us = || topology.birth_us(config.session_ttl_ms);
            Session::new(clock.map_or_else(birth_us, Clock::now_us), config.session_ttl_ms)
        });
        if request.session != session.id && request.maybe_done {
            return Encoded::Failed(Failure::SessionLost);
        }
        if !request.draw_number(session, topology.session_window()) {
            return Encoded::WindowFull;
        }
        let must_open = session.must_open_on(connection.serial);
        if must_open {
            write_open(session, request.shard, topology.request_epoch(), &mut lane.out);
        }
        let acked_gap = session.acked_gap(request.number);
        let encoded = write_request(request, acked_gap, topology, now, &mut lane.out);
        if must_open && matches!(encoded, Encoded::Written) {
            session.on_open_sent(connection.serial);
        }
        encoded
    }
}

/// The result of encoding a request.
enum Encoded {
    Written,
    /// The session has as many requests in flight as it may.
    WindowFull,
    Failed(Failure),
}

/// Appends the frame of a request, unless it is larger than the engine accepts.
fn write_request(
    request: &PendingRequest<'_>,
    acked_gap: u16,
    topology: &Topology,
    now: Instant,
    out: &mut Vec<u8>,
) -> Encoded {
    let begins = out.len();
    let header = request.header(topology.request_epoch(), acked_gap, now);
    // Copy 1 of 2: from the caller's memory to the frame; the kernel copies the frame to its socket
    // buffer.
    if let Err(fault) = frame::write(out, &header, |out| request.encode(out)) {
        return Encoded::Failed(Failure::Refused(fault.into()));
    }
    let (limit, frame_bytes) = (topology.frame_bytes_max(), out.len() - begins);
    if frame_bytes > limit as usize {
        let fault = Fault::expected(Status::TooLarge, limit.into(), frame_bytes as u64);
        return Encoded::Failed(Failure::Refused(fault.into()));
    }
    Encoded::Written
}
