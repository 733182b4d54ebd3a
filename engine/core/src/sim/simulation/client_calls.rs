//! What clients ask of nodes, and what they are told.

use super::*;
use alloc::format;
use alloc::vec::Vec;

impl World {
    pub(super) fn set_timer(&mut self, client: usize, wait: u64) {
        let known = &mut self.clients[client];
        known.timer += 1;
        let timer = known.timer;
        let at = self.now + wait;
        self.at(at, Event::ClientTimer { client, timer });
    }

    pub(super) fn on_client_timer(&mut self, client: usize) {
        let known = &mut self.clients[client];
        if known.call.is_none() {
            if self.last {
                return;
            }
            known.begin(self.now, &mut self.history);
            return self.attempt(client);
        }
        if known.conn.as_ref().is_some_and(|conn| conn.ready) && self.random.per_mille(300) {
            // It asks once more on the same connection.
            return self.ask(client);
        }
        if let Some(conn) = self.clients[client].conn.take() {
            self.served.remove(&conn.id);
        }
        self.attempt(client);
    }

    /// Goes on with a call: connects, or asks.
    pub(super) fn attempt(&mut self, client: usize) {
        let slots = self.slots.len();
        let known = &mut self.clients[client];
        if known.call.is_none() {
            return;
        }
        let target = known.target(slots);
        match &known.conn {
            Some(conn) if conn.slot == target && conn.ready => self.ask(client),
            Some(conn) if conn.slot == target => {}
            _ => self.connect(client, target),
        }
    }

    pub(super) fn connect(&mut self, client: usize, slot: usize) {
        let conn = self.next_conn;
        self.next_conn += 1;
        if let Some(before) = self.clients[client].conn.take() {
            self.served.remove(&before.id);
        }
        self.clients[client].connect(conn, slot);
        self.trace.say(self.now, || format!("client {client}: connection {conn} to slot {slot}"));
        let at = self.now + self.delay();
        self.at(at, Event::Hello { client, conn, slot });
        self.set_timer(client, ATTEMPT_US);
    }

    pub(super) fn ask(&mut self, client: usize) {
        let bytes = self.clients[client].frames();
        let Some(conn) = self.clients[client].conn.as_ref().map(|conn| conn.id) else { return };
        let delay = self.delay();
        if let Some(served) = self.served.get_mut(&conn) {
            served.arrival[0] = (self.now + delay).max(served.arrival[0] + 1);
            let (at, node) = (served.arrival[0], served.node);
            self.at(at, Event::Request { node, conn, bytes: aligned(&bytes) });
        }
        self.set_timer(client, ATTEMPT_US);
    }

    pub(super) fn on_hello(&mut self, client: usize, conn: u64, slot: usize) {
        let at = self.now + self.delay();
        let Some((node, life)) =
            self.slots[slot].and_then(|node| Some((node, self.lives.get(&node)?)))
        else {
            return self.at(at, Event::Hangup { client, conn });
        };
        let time = life.day.at(self.now).0;
        let record = life.member.record().cloned();
        self.served.insert(conn, Served { client, node, arrival: [0, at] });
        self.at(at, Event::Welcome { client, conn, record, time });
    }

    pub(super) fn on_request(&mut self, node: NodeId, conn: u64, bytes: &Bytes) {
        self.trace.words([4, low(node), conn]);
        self.trace.bytes(bytes);
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        let world_now = self.now;
        self.turn(node, |life, clock, turn| {
            let now = life.day.at(world_now);
            while !rest.is_empty() {
                let Ok(Next::Frame(frame)) = frame::next(rest, FRAME_BYTES_MAX) else {
                    unreachable!("clients send whole frames")
                };
                rest = &rest[frame.bytes.len()..];
                let header = &frame.header;
                lines.push((header.op, header.shard.0, header.session, header.number));
                let replica = &mut life.replicas[usize::from(header.shard.0)];
                let moment = Moment { now, memory_bytes_max: 1 << 30 };
                replica.on_request(clock, moment, ConnId(conn), &frame, turn);
            }
        });
        self.trace.say(self.now, || format!("client {conn} => {node}: {lines:x?}"));
    }

    pub(super) fn send_reply(&mut self, conn: ConnId, bytes: &[u8]) {
        let delay = self.delay();
        let Some(served) = self.served.get_mut(&conn.0) else { return };
        served.arrival[1] = (self.now + delay).max(served.arrival[1] + 1);
        let (at, client) = (served.arrival[1], served.client);
        self.at(at, Event::Reply { client, conn: conn.0, bytes: aligned(bytes) });
    }

    pub(super) fn on_reply(&mut self, client: usize, conn: u64, bytes: &Bytes) {
        self.trace.words([5, client as u64, conn]);
        self.trace.bytes(bytes);
        let known = &mut self.clients[client];
        if known.conn.as_ref().is_none_or(|it| it.id != conn) {
            return;
        }
        let Ok(Next::Frame(frame)) = frame::next(bytes, FRAME_BYTES_MAX) else {
            unreachable!("a reply is a frame")
        };
        let heard = known.on_reply(self.now, &frame, &mut self.history);
        self.trace.say(self.now, || {
            let header = &frame.header;
            format!(
                "client {client}: op {:x} number {:x}: status {} {heard:?}",
                header.op, header.number, header.flags
            )
        });
        match heard {
            Err(why) => self.fail(why),
            Ok(Heard::Nothing) => {}
            Ok(Heard::Done) => {
                let think = self.swarm.think_us;
                let wait = self.random.between(think / 4 + 1, think * 2);
                self.set_timer(client, wait);
            }
            Ok(Heard::Again) => {
                let wait = self.random.between(2_000, 30_000);
                self.set_timer(client, wait);
            }
            Ok(Heard::Elsewhere) => {
                if let Some(conn) = self.clients[client].conn.take() {
                    self.served.remove(&conn.id);
                }
                let slot = self.random.below(self.slots.len() as u64);
                self.connect(client, usize::try_from(slot).expect("few"));
            }
        }
    }
}
