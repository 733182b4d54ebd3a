//! The load generator: one thread, any number of connections.
//!
//! It knows nothing of what it sends, and is the same for every server.
//!
//! 1. Closed loop: a reply that comes makes room for the next request, and all requests that fit go
//!    out in one send, which is how a pipelining client behaves.
//! 2. Open loop: requests go out on a schedule, and latency counts from the moment a request was
//!    due. One that waits behind a stall counts with all of its wait.
//! 3. The kernel is done with every buffer before the buffer goes, however a run ends.

mod direct;
mod link;
mod ring;
mod transport;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;

use self::direct::Direct;
use self::link::{Link, Schedule};
use self::ring::Ring;
use self::transport::{Completion, Transport, Wait};
use crate::wire::Wire;

/// How to press.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    /// Requests in flight on each connection; in the open loop, at most.
    pub(crate) depth: usize,
    /// Not measured.
    pub(crate) warm_up: Duration,
    /// Measured.
    pub(crate) measure: Duration,
    /// Look for replies without sleeping. What a single connection is pressed with first, it keeps.
    pub(crate) spin: bool,
    /// Open loop: so many requests per second over all connections.
    pub(crate) rate: Option<f64>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Replies that were measured.
    pub(crate) ops: u64,
    /// For how long that was.
    pub(crate) elapsed: Duration,
    /// From when a request was due to its reply, in nanoseconds.
    pub(crate) latency_ns: Histogram<u64>,
    /// What the server's threads worked meanwhile, where that can be known.
    pub(crate) server_cpu: Option<Duration>,
}

/// Connections that are open and can be pressed again and again.
pub(crate) struct Load {
    links: Vec<Link>,
    transport: Transport,
    /// Every connection has asked for what comes, and goes on to.
    is_receiving: bool,
}

/// How long a server may take to answer what it was sent.
const PATIENCE: Duration = Duration::from_secs(60);

impl Load {
    /// Opens a connection for each wire.
    pub(crate) fn open(
        wires: impl IntoIterator<Item = (Box<dyn Wire>, SocketAddr)>,
    ) -> anyhow::Result<Load> {
        let links = wires.into_iter().map(|(wire, address)| Link::open(wire, address));
        let links = links.collect::<anyhow::Result<Vec<_>>>()?;
        let transport = Transport::Ring(Ring::new(links.len())?);
        Ok(Load { links, transport, is_receiving: false })
    }

    /// Presses and measures. `server_cpu` reads the server's meter.
    ///
    /// In the closed loop the last requests are left under way; see [`Load::settle`].
    pub(crate) fn press(
        &mut self,
        pressure: &Pressure,
        server_cpu: &dyn Fn() -> Option<Duration>,
    ) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let from = start + pressure.warm_up;
        let upto = from + pressure.measure;
        self.schedule(pressure.rate, start, upto);
        self.receive(pressure.spin);
        let mut tally = Tally::new(from, upto, pressure.rate.is_some())?;
        let mut begin = None;
        self.fill(pressure.depth, start);
        while !self.links.iter().all(Link::is_done) {
            self.transport.wait(self.patience(pressure))?;
            let now = Instant::now();
            if now >= from && begin.is_none() {
                begin = Some((now, server_cpu()));
                tally.begin(now);
            }
            // A machine that stalls gets the whole time after the stall.
            let is_over = begin.is_some_and(|(begin, _)| now >= begin + pressure.measure);
            if is_over && tally.ops > 0 && pressure.rate.is_none() {
                break;
            }
            ensure!(now < upto + PATIENCE, "the server does not keep up");
            self.turn(now, &mut tally)?;
            self.fill(pressure.depth, now);
        }
        let end = Instant::now();
        let (begin, cpu) = begin.context("no reply came in the time to measure")?;
        let server_cpu = cpu.zip(server_cpu()).map(|(before, after)| after - before);
        // In the open loop replies count by when they were due.
        let elapsed = if pressure.rate.is_some() { pressure.measure } else { end - begin };
        Ok(Outcome { ops: tally.ops, elapsed, latency_ns: tally.latency_ns, server_cpu })
    }

    /// Sends at least `count` requests over all connections and waits for the replies.
    pub(crate) fn send(&mut self, count: u64, depth: usize) -> anyhow::Result<()> {
        self.schedule(None, Instant::now(), Instant::now());
        self.receive(false);
        let mut tally = Tally::everything()?;
        while tally.ops < count {
            let now = Instant::now();
            self.fill(depth, now);
            self.transport.wait(Wait::Sleeping)?;
            self.turn(now, &mut tally)?;
        }
        self.settle()
    }

    /// Waits for the replies that are under way.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        let latest = Instant::now() + PATIENCE;
        let mut tally = Tally::everything()?;
        while !self.links.iter().all(Link::is_settled) {
            ensure!(Instant::now() < latest, "the server does not answer any more");
            self.transport.wait(Wait::Until(latest))?;
            self.turn(Instant::now(), &mut tally)?;
        }
        Ok(())
    }

    /// Lets every connection ask for what comes. A single one that is not to sleep does without the ring from
    /// then on.
    fn receive(&mut self, spin: bool) {
        if std::mem::replace(&mut self.is_receiving, true) {
            return;
        }
        if spin && self.links.len() == 1 {
            self.transport = Transport::Direct(Direct::default());
        }
        for (index, link) in self.links.iter_mut().enumerate() {
            link.recv(index, &mut self.transport);
        }
    }

    fn schedule(&mut self, rate: Option<f64>, start: Instant, upto: Instant) {
        let count = f64::from(u32::try_from(self.links.len()).expect("few connections"));
        for (i, link) in (0_u32..).zip(&mut self.links) {
            link.follow(rate.map(|rate| Schedule {
                next: start + Duration::from_secs_f64(f64::from(i) / rate),
                every: Duration::from_secs_f64(count / rate),
                upto,
            }));
        }
    }

    fn patience(&self, pressure: &Pressure) -> Wait {
        let due = pressure
            .rate
            .and_then(|_| self.links.iter().filter_map(|link| link.next_due(pressure.depth)).min());
        match (pressure.spin, due) {
            (true, due) => Wait::Spinning(due),
            (false, Some(due)) => Wait::Until(due),
            (false, None) => Wait::Sleeping,
        }
    }

    fn fill(&mut self, depth: usize, now: Instant) {
        for (index, link) in self.links.iter_mut().enumerate() {
            link.fill(depth, now);
            link.send(index, &mut self.transport);
        }
    }

    /// Takes all completions at hand.
    fn turn(&mut self, now: Instant, tally: &mut Tally) -> anyhow::Result<()> {
        while let Some(completion) = self.transport.next() {
            match completion {
                Completion::Sent { index, bytes } => {
                    self.links[index].sent(index, bytes.context("sending")?, &mut self.transport);
                }
                Completion::Received { index, bytes } => {
                    let link = &mut self.links[index];
                    link.received(bytes.context("receiving")?, now, tally)?;
                    link.recv(index, &mut self.transport);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // The sockets close first, so that the kernel is soon done with the buffers. One that the
        // server closed already needs none of it.
        for link in &self.links {
            let _ = link.socket.shutdown(std::net::Shutdown::Both);
        }
        self.transport.drain().expect("a ring that worked goes on working");
    }
}

/// Which replies count, and what they add up to.
#[derive(Debug)]
struct Tally {
    from: Instant,
    upto: Instant,
    /// Open loop: by when a request was due rather than by when its reply came.
    by_due: bool,
    ops: u64,
    latency_ns: Histogram<u64>,
}

impl Tally {
    fn new(from: Instant, upto: Instant, by_due: bool) -> anyhow::Result<Tally> {
        let latency_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        Ok(Tally { from, upto, by_due, ops: 0, latency_ns })
    }

    fn everything() -> anyhow::Result<Tally> {
        let now = Instant::now();
        Tally::new(now, now, false)
    }

    /// Counts what comes after now, in the closed loop: replies at hand came before.
    fn begin(&mut self, now: Instant) {
        if !self.by_due {
            self.from = now;
        }
    }

    fn note(&mut self, due: Instant, now: Instant) {
        let counts =
            if self.by_due { due >= self.from && due < self.upto } else { now > self.from };
        if counts {
            self.ops += 1;
            let ns = u64::try_from((now - due).as_nanos()).unwrap_or(u64::MAX);
            self.latency_ns.saturating_record(ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use catena_engine::Engine;

    use super::*;
    use crate::multiplied::Multiplied;
    use crate::wire::catena::Node;
    use crate::wire::{Dialect, Plan, Workload};

    const SHORT: Pressure = Pressure {
        depth: 4,
        warm_up: Duration::from_millis(5),
        measure: Duration::from_millis(20),
        spin: false,
        rate: None,
    };

    #[test]
    fn an_engine_answers_every_workload() {
        let engine = Engine::builder().register::<Multiplied>().start().unwrap();
        for workload in crate::ops::WORKLOADS {
            let plan = Plan { workload, keys: 10, connections: 3 };
            let wires = Dialect::Catena.wires(engine.addresses()[0], &plan).unwrap();
            let mut load = Load::open(wires).unwrap();
            let outcome = load.press(&SHORT, &|| None).unwrap();
            assert!(outcome.latency_ns.len() == outcome.ops, "{workload:?}");
            load.settle().unwrap();
        }
        let updates: u64 = engine.census().iter().map(|core| core.updates).sum();
        assert!(updates > 0);
    }

    #[test]
    fn the_open_loop_sends_what_is_due_and_no_more() {
        let engine = Engine::builder().start().unwrap();
        let plan = Plan { workload: Workload::CounterAdd, keys: 10, connections: 2 };
        let mut load =
            Load::open(Dialect::Catena.wires(engine.addresses()[0], &plan).unwrap()).unwrap();
        let pressure = Pressure { rate: Some(1_000.0), ..SHORT };
        // A request per millisecond, for 20 ms, however long each of them takes.
        assert_eq!(load.press(&pressure, &|| None).unwrap().ops, 20);
    }

    #[test]
    fn one_that_spins_does_without_the_ring() {
        let engine = Engine::builder().spin(Duration::from_micros(50)).start().unwrap();
        let workload = Workload::CellPut { bytes: 64 * 1024 };
        let plan = Plan { workload, keys: 10, connections: 1 };
        let wires = Dialect::Catena.wires(engine.addresses()[0], &plan).unwrap();
        let mut load = Load::open(wires).unwrap();
        for rate in [None, Some(500.0)] {
            let outcome = load.press(&Pressure { spin: true, rate, ..SHORT }, &|| None).unwrap();
            assert!(outcome.ops > 0, "{outcome:?}");
            load.settle().unwrap();
        }
        assert!(matches!(load.transport, Transport::Direct(_)));
    }

    #[test]
    fn parties_meet_round_after_round() {
        let engine = Engine::builder().start().unwrap();
        let node = Node::at(engine.addresses()[0]).unwrap();
        for (name, meeting) in crate::sync::MEETINGS {
            for parties in [2, 5] {
                let wires = node.parties(meeting, &format!("{name}/{parties}"), parties);
                let mut load = Load::open(wires).unwrap();
                let long = Pressure { depth: 1, measure: Duration::from_millis(200), ..SHORT };
                let outcome = load.press(&long, &|| None).unwrap();
                assert!(outcome.ops >= 10, "{meeting:?}: {outcome:?}");
            }
        }
    }
}
