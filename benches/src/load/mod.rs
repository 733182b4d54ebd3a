//! The load generator: one thread, any number of connections.
//!
//! It does not depend on the protocol, and is the same for every server.
//!
//! 1. Closed loop: a reply makes room for the next request, and all requests that fit go out in one
//!    send, as a pipelining client does it.
//! 2. Open loop: requests go out on a schedule, and latency counts from the moment a request was
//!    due. A request that waits behind a stall counts with its whole wait.
//! 3. The kernel is done with every buffer before the buffer is freed, however a run ends.

mod completion;
mod connection;
mod direct;
mod ring;
mod tally;
mod transport;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;

use self::completion::{Completion, WaitMode};
use self::connection::{LoadConnection, Schedule};
use self::direct::Direct;
use self::ring::Ring;
use self::tally::LoadTally;
use self::transport::Transport;
use crate::wire::Wire;

/// How to press a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    /// Requests in flight on each connection; in the open loop, at most.
    pub(crate) depth: usize,
    /// Not measured.
    pub(crate) warm_up: Duration,
    /// Measured.
    pub(crate) measure: Duration,
    /// Poll for replies without sleeping. A single connection keeps the mode it is first pressed
    /// with.
    pub(crate) spin: bool,
    /// Open loop: this many requests per second over all connections.
    pub(crate) rate: Option<f64>,
}

/// What one press measured.
#[derive(Debug)]
pub(crate) struct LoadOutcome {
    /// Replies that were measured.
    pub(crate) ops: u64,
    /// How long that took.
    pub(crate) elapsed: Duration,
    /// From when a request was due to its reply, in nanoseconds.
    pub(crate) latency_ns: Histogram<u64>,
    /// Cpu time of the server's threads meanwhile, where it is known.
    pub(crate) server_cpu: Option<Duration>,
}

/// Open connections that can be pressed repeatedly.
pub(crate) struct Load {
    connections: Vec<LoadConnection>,
    transport: Transport,
    /// Every connection is receiving.
    is_receiving: bool,
}

/// How long a server may take to answer what it was sent.
const PATIENCE: Duration = Duration::from_secs(60);

impl Load {
    /// Opens a connection for each wire.
    pub(crate) fn open(
        wires: impl IntoIterator<Item = (Box<dyn Wire>, SocketAddr)>,
    ) -> anyhow::Result<Load> {
        let connections =
            wires.into_iter().map(|(wire, address)| LoadConnection::open(wire, address));
        let connections = connections.collect::<anyhow::Result<Vec<_>>>()?;
        let transport = Transport::Ring(Ring::new(connections.len())?);
        Ok(Load { connections, transport, is_receiving: false })
    }

    /// Presses and measures. `server_cpu` reads the cpu time of the server's threads.
    ///
    /// In the closed loop the last requests are left under way; see [`Load::settle`].
    pub(crate) fn press(
        &mut self,
        pressure: &Pressure,
        server_cpu: &dyn Fn() -> Option<Duration>,
    ) -> anyhow::Result<LoadOutcome> {
        let start = Instant::now();
        let from = start + pressure.warm_up;
        let upto = from + pressure.measure;
        self.schedule(pressure.rate, start, upto);
        self.receive(pressure.spin);
        let mut tally = LoadTally::new(from, upto, pressure.rate.is_some())?;
        let mut begin = None;
        self.fill(pressure.depth, start);
        while !self.connections.iter().all(LoadConnection::is_done) {
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
        Ok(LoadOutcome { ops: tally.ops, elapsed, latency_ns: tally.latency_ns, server_cpu })
    }

    /// Sends at least `count` requests over all connections and waits for the replies. Returns how
    /// many had theirs in time to make room for others.
    pub(crate) fn send(&mut self, count: u64, depth: usize) -> anyhow::Result<u64> {
        self.schedule(None, Instant::now(), Instant::now());
        self.receive(false);
        let mut tally = LoadTally::everything()?;
        while tally.ops < count {
            let now = Instant::now();
            self.fill(depth, now);
            self.transport.wait(WaitMode::Sleeping)?;
            self.turn(now, &mut tally)?;
        }
        self.settle()?;
        Ok(tally.ops)
    }

    /// Waits for the replies that are under way.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        let latest = Instant::now() + PATIENCE;
        let mut tally = LoadTally::everything()?;
        while !self.connections.iter().all(LoadConnection::is_settled) {
            ensure!(Instant::now() < latest, "the server does not answer any more");
            self.transport.wait(WaitMode::Until(latest))?;
            self.turn(Instant::now(), &mut tally)?;
        }
        Ok(())
    }

    /// Lets every connection start to receive. A single spinning connection does without the ring
    /// from then on.
    fn receive(&mut self, spin: bool) {
        if std::mem::replace(&mut self.is_receiving, true) {
            return;
        }
        if spin && self.connections.len() == 1 {
            self.transport = Transport::Direct(Direct::default());
        }
        for (index, connection) in self.connections.iter_mut().enumerate() {
            connection.recv(index, &mut self.transport);
        }
    }

    fn schedule(&mut self, rate: Option<f64>, start: Instant, upto: Instant) {
        let count = f64::from(u32::try_from(self.connections.len()).expect("few connections"));
        for (i, connection) in (0_u32..).zip(&mut self.connections) {
            connection.follow(rate.map(|rate| Schedule {
                next: start + Duration::from_secs_f64(f64::from(i) / rate),
                every: Duration::from_secs_f64(count / rate),
                upto,
            }));
        }
    }

    fn patience(&self, pressure: &Pressure) -> WaitMode {
        let due = pressure.rate.and_then(|_| {
            self.connections
                .iter()
                .filter_map(|connection| connection.next_due(pressure.depth))
                .min()
        });
        match (pressure.spin, due) {
            (true, due) => WaitMode::Spinning(due),
            (false, Some(due)) => WaitMode::Until(due),
            (false, None) => WaitMode::Sleeping,
        }
    }

    fn fill(&mut self, depth: usize, now: Instant) {
        for (index, connection) in self.connections.iter_mut().enumerate() {
            connection.fill(depth, now);
            connection.send(index, &mut self.transport);
        }
    }

    /// Takes all completions at hand.
    fn turn(&mut self, now: Instant, tally: &mut LoadTally) -> anyhow::Result<()> {
        while let Some(completion) = self.transport.next() {
            match completion {
                Completion::Sent { index, bytes } => {
                    self.connections[index].sent(
                        index,
                        bytes.context("sending")?,
                        &mut self.transport,
                    );
                }
                Completion::Received { index, bytes } => {
                    let connection = &mut self.connections[index];
                    connection.received(bytes.context("receiving")?, now, tally)?;
                    // Requests that the server wants once more.
                    connection.send(index, &mut self.transport);
                    connection.recv(index, &mut self.transport);
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
        for connection in &self.connections {
            let _ = connection.socket.shutdown(std::net::Shutdown::Both);
        }
        self.transport.drain().expect("a ring that worked goes on working");
    }
}

#[cfg(test)]
mod tests {
    use catena_engine::Engine;

    use super::*;
    use crate::multiplied::Multiplied;
    use crate::wire::catena::NodeTopology;
    use crate::wire::{Dialect, LoadPlan, Workload};

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
            let plan = LoadPlan { workload, keys: 10, connections: 3 };
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
        let plan = LoadPlan { workload: Workload::CounterAdd, keys: 10, connections: 2 };
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
        let plan = LoadPlan { workload, keys: 10, connections: 1 };
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
        let node = NodeTopology::at(engine.addresses()[0]).unwrap();
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
