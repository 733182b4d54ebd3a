//! One connection under load: its wire, its buffers, and when each request was due.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::tally::LoadTally;
use super::transport::Transport;
use crate::wire::{TakenReply, Wire};

/// A connection with requests in flight.
pub(super) struct LoadConnection {
    wire: Box<dyn Wire>,
    pub(super) socket: TcpStream,
    outgoing: Vec<u8>,
    /// The bytes that the kernel is sending, and how many of them it has sent.
    sending: Option<(Vec<u8>, usize)>,
    /// The other of the two send buffers.
    spare: Vec<u8>,
    incoming: Vec<u8>,
    filled: usize,
    /// From when on the latency of each request under way counts, in the order in which they were
    /// sent.
    due: VecDeque<Instant>,
    /// When the next request is to be sent, in the open loop.
    schedule: Option<Schedule>,
}

/// Sends a request at regular intervals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) next: Instant,
    pub(super) every: Duration,
    /// No request is due from here on.
    pub(super) upto: Instant,
}

/// Initial size of a receive buffer; it grows for a longer reply.
const INCOMING_BYTES: usize = 64 * 1024;

impl LoadConnection {
    pub(super) fn open(
        mut wire: Box<dyn Wire>,
        address: SocketAddr,
    ) -> anyhow::Result<LoadConnection> {
        let mut socket =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        wire.greet(&mut socket)?;
        Ok(LoadConnection {
            wire,
            socket,
            outgoing: Vec::new(),
            sending: None,
            spare: Vec::new(),
            incoming: vec![0; INCOMING_BYTES],
            filled: 0,
            due: VecDeque::new(),
            schedule: None,
        })
    }

    /// Sends on this schedule from now on; without one, as fast as replies come.
    pub(super) fn follow(&mut self, schedule: Option<Schedule>) {
        self.schedule = schedule;
    }

    /// Returns when the next request is due, if only time holds it back.
    pub(super) fn next_due(&self, depth: usize) -> Option<Instant> {
        let schedule = self.schedule.as_ref()?;
        let is_free = self.due.len() < depth && self.wire.is_ready();
        (is_free && schedule.next < schedule.upto).then_some(schedule.next)
    }

    /// Returns whether the schedule has ended and every request has its reply.
    pub(super) fn is_done(&self) -> bool {
        self.is_settled() && self.schedule.is_some_and(|schedule| schedule.next >= schedule.upto)
    }

    /// Returns whether every request that was sent has its reply.
    pub(super) fn is_settled(&self) -> bool {
        self.due.is_empty()
    }

    /// Encodes requests until `depth` are under way, or as many as are due.
    pub(super) fn fill(&mut self, depth: usize, now: Instant) {
        while self.due.len() < depth && self.wire.is_ready() {
            let due = match &mut self.schedule {
                None => now,
                Some(schedule) if schedule.next <= now && schedule.next < schedule.upto => {
                    let due = schedule.next;
                    schedule.next += schedule.every;
                    due
                }
                Some(_) => return,
            };
            self.wire.request(&mut self.outgoing);
            self.due.push_back(due);
        }
    }

    /// Sends the encoded requests, unless a send is under way.
    pub(super) fn send(&mut self, index: usize, transport: &mut Transport) {
        if self.sending.is_none() && !self.outgoing.is_empty() {
            let batch = std::mem::replace(&mut self.outgoing, std::mem::take(&mut self.spare));
            self.sending = Some((batch, 0));
            self.send_rest(index, transport);
        }
    }

    /// Notes that the kernel took this many bytes, and sends the rest.
    pub(super) fn sent(&mut self, index: usize, bytes: usize, transport: &mut Transport) {
        let (mut batch, from) = self.sending.take().expect("a send was under way");
        if from + bytes < batch.len() {
            self.sending = Some((batch, from + bytes));
            self.send_rest(index, transport);
        } else {
            batch.clear();
            self.spare = batch;
            self.send(index, transport);
        }
    }

    fn send_rest(&mut self, index: usize, transport: &mut Transport) {
        let (batch, from) = self.sending.as_ref().expect("was just set");
        transport.send(index, &self.socket, &batch[*from..]);
    }

    /// Starts to receive more bytes.
    pub(super) fn recv(&mut self, index: usize, transport: &mut Transport) {
        if self.filled == self.incoming.len() {
            self.incoming.resize(self.filled * 2, 0);
        }
        transport.recv(index, &self.socket, &mut self.incoming[self.filled..]);
    }

    /// Takes the replies that this many more bytes complete.
    pub(super) fn received(
        &mut self,
        bytes: usize,
        now: Instant,
        tally: &mut LoadTally,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(bytes > 0, "the server closed the connection");
        self.filled += bytes;
        let mut from = 0;
        while from < self.filled
            && let Some(TakenReply { len, is_final }) =
                self.wire.reply(&self.incoming[from..self.filled], &mut self.outgoing)?
        {
            from += len;
            let due = self.due.pop_front().context("a reply without a request")?;
            match is_final {
                true => tally.note(due, now),
                // It is sent again behind all others that are under way, and is still due when it
                // was.
                false => self.due.push_back(due),
            }
        }
        self.incoming.copy_within(from..self.filled, 0);
        self.filled -= from;
        Ok(())
    }
}
