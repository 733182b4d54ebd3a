//! The load generator: one thread, one ring, any number of connections, a fixed number of requests
//! in flight on each.
//!
//! It knows nothing of what it sends. A reply that comes makes room for the next request, and all
//! requests that fit go out in one send, which is how a pipelining client behaves.

mod ring;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;

use self::ring::{Completion, Ring};
use crate::wire::Wire;

/// How to press.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    /// Requests in flight on each connection.
    pub(crate) depth: usize,
    /// Not measured.
    pub(crate) warm_up: Duration,
    /// Measured.
    pub(crate) measure: Duration,
    /// Look for replies without sleeping.
    pub(crate) spin: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Replies that came while measuring.
    pub(crate) ops: u64,
    /// For how long that was.
    pub(crate) elapsed: Duration,
    /// From the send of a request to its reply, in nanoseconds.
    pub(crate) latency_ns: Histogram<u64>,
}

/// One connection under load.
struct Link<W> {
    wire: W,
    socket: TcpStream,
    outgoing: Vec<u8>,
    /// What the kernel is sending, and from where on.
    sending: Option<(Vec<u8>, usize)>,
    /// The other of the two send buffers.
    spare: Vec<u8>,
    incoming: Vec<u8>,
    filled: usize,
    /// When each request under way was sent, in order.
    sent_at: VecDeque<Instant>,
}

const INCOMING_BYTES: usize = 64 * 1024;

/// Presses on all connections from this thread.
pub(crate) fn press<W: Wire>(
    wires: Vec<(W, SocketAddr)>,
    pressure: Pressure,
) -> anyhow::Result<Outcome> {
    let mut links = wires
        .into_iter()
        .map(|(wire, address)| Link::open(wire, address))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut ring = Ring::new(links.len())?;
    let started = Instant::now();
    for (index, link) in links.iter_mut().enumerate() {
        link.fill(pressure.depth, started);
        link.send(index, &mut ring);
        ring.recv(index, &link.socket, &mut link.incoming);
    }
    let measure_from = started + pressure.warm_up;
    let measure_upto = measure_from + pressure.measure;
    let mut outcome = Outcome {
        ops: 0,
        elapsed: Duration::ZERO,
        latency_ns: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
    };
    loop {
        ring.wait(pressure.spin)?;
        let now = Instant::now();
        if now >= measure_upto {
            outcome.elapsed = now - measure_from;
            // The sockets close first, so that the kernel is done with the buffers.
            links.iter().try_for_each(|link| link.socket.shutdown(std::net::Shutdown::Both))?;
            ring.drain()?;
            return Ok(outcome);
        }
        let latency = (now >= measure_from).then_some(&mut outcome.latency_ns);
        outcome.ops += serve(&mut ring, &mut links, now, pressure.depth, latency)?;
    }
}

/// Takes all completions at hand; answers how many replies were measured.
fn serve<W: Wire>(
    ring: &mut Ring,
    links: &mut [Link<W>],
    now: Instant,
    depth: usize,
    mut latency_ns: Option<&mut Histogram<u64>>,
) -> anyhow::Result<u64> {
    let mut measured = 0;
    while let Some(completion) = ring.next() {
        match completion {
            Completion::Sent { index, bytes } => {
                let link = &mut links[index];
                link.sent(bytes.context("sending")?);
                link.send(index, ring);
            }
            Completion::Received { index, bytes } => {
                let link = &mut links[index];
                let bytes = bytes.context("receiving")?;
                anyhow::ensure!(bytes > 0, "the server hung up");
                link.filled += bytes;
                let replies = link.take_replies(now, latency_ns.as_deref_mut())?;
                if latency_ns.is_some() {
                    measured += replies;
                }
                link.fill(depth, now);
                link.send(index, ring);
                ring.recv(index, &link.socket, &mut link.incoming[link.filled..]);
            }
        }
    }
    Ok(measured)
}

impl<W: Wire> Link<W> {
    fn open(mut wire: W, address: SocketAddr) -> anyhow::Result<Link<W>> {
        let mut socket =
            TcpStream::connect(address).with_context(|| format!("nobody answers at {address}"))?;
        socket.set_nodelay(true)?;
        wire.greet(&mut socket)?;
        Ok(Link {
            wire,
            socket,
            outgoing: Vec::new(),
            sending: None,
            spare: Vec::new(),
            incoming: vec![0; INCOMING_BYTES],
            filled: 0,
            sent_at: VecDeque::new(),
        })
    }

    /// Prepares requests until `depth` are under way.
    fn fill(&mut self, depth: usize, now: Instant) {
        while self.sent_at.len() < depth {
            self.wire.request(&mut self.outgoing);
            self.sent_at.push_back(now);
        }
    }

    /// Sends what is prepared, unless a send is under way.
    fn send(&mut self, index: usize, ring: &mut Ring) {
        if self.sending.is_none() && !self.outgoing.is_empty() {
            let batch = std::mem::replace(&mut self.outgoing, std::mem::take(&mut self.spare));
            self.sending = Some((batch, 0));
            let (batch, from) = self.sending.as_ref().expect("was just put there");
            ring.send(index, &self.socket, &batch[*from..]);
        }
    }

    fn sent(&mut self, bytes: usize) {
        let (mut batch, from) = self.sending.take().expect("a send was under way");
        if from + bytes < batch.len() {
            // The rest goes in front of what came meanwhile.
            batch.drain(..from + bytes);
            batch.append(&mut self.outgoing);
            self.outgoing = batch;
        } else {
            batch.clear();
            self.spare = batch;
        }
    }

    fn take_replies(
        &mut self,
        now: Instant,
        mut latency_ns: Option<&mut Histogram<u64>>,
    ) -> anyhow::Result<u64> {
        let (mut from, mut replies) = (0, 0);
        while let Some(len) = self.wire.reply(&self.incoming[from..self.filled])? {
            from += len;
            replies += 1;
            let sent_at = self.sent_at.pop_front().context("a reply to nothing")?;
            if let Some(latency_ns) = &mut latency_ns {
                let ns = u64::try_from((now - sent_at).as_nanos()).unwrap_or(u64::MAX);
                latency_ns.saturating_record(ns);
            }
        }
        self.incoming.copy_within(from..self.filled, 0);
        self.filled -= from;
        Ok(replies)
    }
}
