//! Rounds: all servers are pressed in turn, in one order and then in the other, round after round.
//!
//! Only one server is driven at a time; the others sleep. A bad moment of the machine affects all
//! servers of its round.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{Load, Pressure};
use crate::record::{LatencyQuantiles, Row, Sample};
use crate::server::Server;
use crate::stats::{Paired, median};
use crate::wire::LoadPlan;

/// How long to measure, and in how many rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How long each server is measured, all rounds together.
    pub(crate) seconds: f64,
    pub(crate) rounds: u32,
}

impl Timing {
    /// Returns the pressure of one round.
    pub(crate) fn pressure(self, depth: usize) -> Pressure {
        let measure = self.seconds / f64::from(self.rounds);
        Pressure {
            depth,
            // Caches, windows and branch predictors are warm after some ten milliseconds.
            warm_up: Duration::from_secs_f64((measure / 2.0).clamp(0.02, 0.5)),
            measure: Duration::from_secs_f64(measure),
            spin: false,
            rate: None,
        }
    }
}

/// A server that takes part, and its open connections.
pub(crate) struct Contender<'a> {
    server: &'a Server,
    load: Load,
}

impl<'a> Contender<'a> {
    /// Creates the keys, and connects.
    pub(crate) fn new(server: &'a Server, plan: &LoadPlan) -> anyhow::Result<Contender<'a>> {
        server.fill(plan)?;
        let load = Load::open(server.dialect.wires(server.address, plan)?)?;
        Ok(Contender { server, load })
    }
}

/// The results of one server, round by round.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) server: String,
    /// Operations per second.
    pub(crate) rate: Vec<f64>,
    /// Median latency, in microseconds.
    pub(crate) p50_us: Vec<f64>,
    /// Cpu time of the server's threads for one op, in nanoseconds, where it is known.
    pub(crate) cpu_ns: Vec<f64>,
    /// Over all rounds together.
    pub(crate) latency_ns: Histogram<u64>,
}

/// Lets every server take its turn in every round.
pub(crate) fn contest(
    contenders: &mut [Contender<'_>],
    pressure: &Pressure,
    rounds: u32,
) -> anyhow::Result<Vec<Series>> {
    let mut all: Vec<Series> = contenders
        .iter()
        .map(|contender| Series::new(&contender.server.name))
        .collect::<anyhow::Result<_>>()?;
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for i in order {
            let Contender { server, load } = &mut contenders[i];
            let outcome = load.press(pressure, &|| server.cpu())?;
            load.settle()?;
            all[i].add(&outcome)?;
        }
    }
    Ok(all)
}

impl Series {
    pub(crate) fn new(server: &str) -> anyhow::Result<Series> {
        Ok(Series {
            server: server.to_owned(),
            rate: Vec::new(),
            p50_us: Vec::new(),
            cpu_ns: Vec::new(),
            latency_ns: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
        })
    }

    /// Adds a round.
    #[allow(clippy::cast_precision_loss)] // far below 2^53 operations and nanoseconds
    pub(crate) fn add(&mut self, outcome: &crate::load::LoadOutcome) -> anyhow::Result<()> {
        anyhow::ensure!(outcome.ops > 0, "{} sent no reply in a round", self.server);
        let ops = outcome.ops as f64;
        self.rate.push(ops / outcome.elapsed.as_secs_f64());
        self.p50_us.push(outcome.latency_ns.value_at_quantile(0.5) as f64 / 1_000.0);
        self.cpu_ns.extend(outcome.server_cpu.map(|cpu| cpu.as_nanos() as f64 / ops));
        Ok(self.latency_ns.add(&outcome.latency_ns)?)
    }

    pub(crate) fn latency(&self) -> Option<LatencyQuantiles> {
        Some(LatencyQuantiles::of(&self.latency_ns))
    }

    pub(crate) fn cpu(&self) -> Option<f64> {
        (!self.cpu_ns.is_empty()).then(|| median(&self.cpu_ns))
    }

    /// Compares operations per second.
    pub(crate) fn rate_row(&self, measure: &str, theirs: &Series) -> Row {
        self.row(measure, "op/s", theirs, |series| &series.rate)
    }

    /// Compares median latency: lower is better.
    pub(crate) fn p50_row(&self, measure: &str, theirs: &Series) -> Row {
        self.row(measure, "µs", theirs, |series| &series.p50_us)
    }

    fn row(&self, measure: &str, unit: &str, theirs: &Series, of: fn(&Series) -> &[f64]) -> Row {
        let Paired { ratio, spread } = Paired::of(of(self), of(theirs));
        Row {
            measure: measure.to_owned(),
            peer: theirs.server.clone(),
            unit: unit.to_owned(),
            ours: median(of(self)),
            theirs: median(of(theirs)),
            ratio,
            spread,
            ours_cpu_ns: self.cpu(),
            theirs_cpu_ns: theirs.cpu(),
        }
    }

    /// Returns operations per second and latency of this server alone.
    pub(crate) fn sample(&self, measure: &str) -> Sample {
        Sample {
            latency_us: self.latency(),
            cpu_ns: self.cpu(),
            ..Sample::new(measure, &self.server, "op/s", &self.rate)
        }
    }
}
