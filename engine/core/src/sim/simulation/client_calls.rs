//! Calls of clients: how requests get to nodes and replies get back.

use super::*;
use alloc::format;
use alloc::vec::Vec;

impl Simulation {
    pub(super) fn set_timer(&mut self, client: usize, wait: u64) {
        let known = &mut self.clients[client];
        known.timer += 1;
        let timer = known.timer;
        let at = self.now + wait;
        self.at(at, SimEvent::ClientTimer { client, timer });
    }

    pub(super) fn on_client_timer(&mut self, client: usize) {
        let known = &mut self.clients[client];
        if known.call.is_none() {
            if self.calls_over {
                return;
            }
            known.begin(self.now, &mut self.history);
            return self.attempt(client);
        }
        if known.call.as_ref().is_some_and(PendingCall::may_wait) && self.random.per_mille(250) {
            return self.give_up(client);
        }
        if self.clients[client].conn.as_ref().is_some_and(|conn| conn.ready)
            && self.random.per_mille(300)
        {
            // It repeats the request on the same connection.
            return self.send_request(client);
        }
        self.drop_conn(client);
        self.attempt(client);
    }

    /// Ends a client's connection from its side. The node learns it later.
    pub(super) fn drop_conn(&mut self, client: usize) {
        let Some(conn) = self.clients[client].conn.take() else { return };
        if let Some(ServerConn { node, arrival, .. }) = self.server_conns.remove(&conn.id) {
            // Behind what it has sent.
            let at = (self.now + self.delay()).max(arrival[0] + 1);
            self.at(at, SimEvent::ConnEnd { node, conn: conn.id });
        }
    }

    /// Replaces a client, in the middle of a call or not.
    pub(super) fn give_up(&mut self, client: usize) {
        self.drop_conn(client);
        self.clients[client].die();
        let wait = self.random.between(1, self.profile.think_us);
        self.set_timer(client, wait);
    }

    /// Clients begin no more calls. Those that wait for something that may never come give up.
    pub(super) fn on_calls_end(&mut self) {
        self.calls_over = true;
        for client in 0..self.clients.len() {
            if self.clients[client].call.as_ref().is_some_and(PendingCall::may_wait) {
                self.give_up(client);
            }
        }
    }

    /// Continues a call: connects, or sends the request.
    pub(super) fn attempt(&mut self, client: usize) {
        let slots = self.slots.len();
        let known = &mut self.clients[client];
        if known.call.is_none() {
            return;
        }
        let target = known.target(slots);
        match &known.conn {
            Some(conn) if conn.slot == target && conn.ready => self.send_request(client),
            Some(conn) if conn.slot == target => {}
            _ => self.connect(client, target),
        }
    }

    pub(super) fn connect(&mut self, client: usize, slot: usize) {
        let conn = self.next_conn;
        self.next_conn += 1;
        self.drop_conn(client);
        self.clients[client].connect(conn, slot);
        self.trace.print(self.now, || format!("client {client}: connection {conn} to slot {slot}"));
        let at = self.now + self.delay();
        self.at(at, SimEvent::Hello { client, conn, slot });
        self.set_timer(client, ATTEMPT_US);
    }

    pub(super) fn send_request(&mut self, client: usize) {
        let bytes = self.clients[client].frames();
        let Some(conn) = self.clients[client].conn.as_ref().map(|conn| conn.id) else { return };
        let delay = self.delay();
        if let Some(served) = self.server_conns.get_mut(&conn) {
            served.arrival[0] = (self.now + delay).max(served.arrival[0] + 1);
            let (at, node) = (served.arrival[0], served.node);
            self.at(at, SimEvent::Request { node, conn, bytes: aligned(&bytes) });
        }
        self.set_timer(client, ATTEMPT_US);
    }

    pub(super) fn on_hello(&mut self, client: usize, conn: u64, slot: usize) {
        let at = self.now + self.delay();
        let Some((node, process)) =
            self.slots[slot].and_then(|node| Some((node, self.processes.get(&node)?)))
        else {
            return self.at(at, SimEvent::Disconnect { client, conn });
        };
        let day = process.day.at(self.now);
        let times = process.replicas.iter().map(|replica| replica.time_at(day));
        let time = times.min().unwrap_or(day).0;
        let record = process.member.record().cloned();
        self.server_conns.insert(conn, ServerConn { client, node, arrival: [0, at] });
        self.at(at, SimEvent::Welcome { client, conn, record, time });
    }

    pub(super) fn on_request(&mut self, node: NodeId, conn: u64, bytes: &FrameBytes) {
        self.trace.words([4, low(node), conn]);
        self.trace.bytes(bytes);
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        let sim_now = self.now;
        self.turn(node, |process, clock, turn| {
            let now = process.day.at(sim_now);
            while !rest.is_empty() {
                let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) else {
                    unreachable!("clients send whole frames")
                };
                rest = &rest[frame.bytes.len()..];
                let header = &frame.header;
                lines.push((header.op, header.shard.0, header.session, header.number));
                let replica = &mut process.replicas[usize::from(header.shard.0)];
                let moment = Moment { now, memory_bytes_max: 1 << 30 };
                replica.on_request(clock, moment, ConnId(conn), &frame, turn);
            }
        });
        self.trace.print(self.now, || format!("client {conn} => {node}: {lines:x?}"));
    }

    pub(super) fn send_reply(&mut self, conn: ConnId, bytes: &[u8]) {
        let delay = self.delay();
        let Some(served) = self.server_conns.get_mut(&conn.0) else { return };
        served.arrival[1] = (self.now + delay).max(served.arrival[1] + 1);
        let (at, client) = (served.arrival[1], served.client);
        self.at(at, SimEvent::Reply { client, conn: conn.0, bytes: aligned(bytes) });
    }

    pub(super) fn on_reply(&mut self, client: usize, conn: u64, bytes: &FrameBytes) {
        self.trace.words([5, client as u64, conn]);
        self.trace.bytes(bytes);
        let known = &mut self.clients[client];
        if known.conn.as_ref().is_none_or(|it| it.id != conn) {
            return;
        }
        let Ok(Next::Frame(frame)) = frame::next(bytes, FRAME_BYTES_MAX) else {
            unreachable!("a reply is a frame")
        };
        let effect = known.on_reply(self.now, &frame, &mut self.history);
        self.trace.print(self.now, || {
            let header = &frame.header;
            format!(
                "client {client}: op {:x} number {:x}: status {} {effect:?}",
                header.op, header.number, header.flags
            )
        });
        match effect {
            Err(detail) => self.fail(FailureKind::UnexpectedReply(detail)),
            Ok(ReplyEffect::Ignored) => {}
            Ok(ReplyEffect::Done) => {
                let think = self.profile.think_us;
                let wait = self.random.between(think / 4 + 1, think * 2);
                self.set_timer(client, wait);
            }
            Ok(ReplyEffect::Retry) => {
                let wait = self.random.between(2_000, 30_000);
                self.set_timer(client, wait);
            }
            Ok(ReplyEffect::FindHead) => {
                self.drop_conn(client);
                let slot = self.random.below(self.slots.len() as u64);
                self.connect(client, usize::try_from(slot).expect("few"));
            }
        }
    }
}
