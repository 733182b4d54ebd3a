//! The results of a run, in the form in which they are saved, printed and drawn.

use std::fs;
use std::path::Path;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::machine::{self, Machine};
use crate::stats::{median, spread};

/// One run of a subcommand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// The subcommand.
    pub(crate) kind: String,
    pub(crate) machine: Machine,
    pub(crate) commit: String,
    pub(crate) command: String,
    pub(crate) date: String,
    /// Comparisons of two servers.
    #[serde(default)]
    pub(crate) rows: Vec<Row>,
    /// Figures of one server.
    #[serde(default)]
    pub(crate) samples: Vec<Sample>,
    /// Versions, and what could not be measured and why.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// A comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) measure: String,
    /// The server that ours is compared with.
    pub(crate) peer: String,
    /// The unit of `ours` and `theirs`.
    pub(crate) unit: String,
    /// Median over rounds.
    pub(crate) ours: f64,
    /// Median over rounds.
    pub(crate) theirs: f64,
    /// Median over rounds of ours / theirs of the same round.
    pub(crate) ratio: f64,
    /// (largest − smallest) / median of these ratios.
    pub(crate) spread: f64,
    /// Cpu time of our server's threads for one op, in nanoseconds.
    pub(crate) ours_cpu_ns: Option<f64>,
    /// The same of theirs.
    pub(crate) theirs_cpu_ns: Option<f64>,
}

/// A figure of one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// What was measured, without its position.
    pub(crate) measure: String,
    /// Its position, if it is one of several that differ in a number.
    #[serde(default)]
    pub(crate) at: Option<AxisPosition>,
    pub(crate) server: String,
    pub(crate) unit: String,
    /// Median over rounds.
    pub(crate) value: f64,
    /// (largest − smallest) / median over rounds.
    pub(crate) spread: f64,
    /// Over all rounds together.
    pub(crate) latency_us: Option<LatencyQuantiles>,
    /// Cpu time of the server's threads for one op, in nanoseconds.
    pub(crate) cpu_ns: Option<f64>,
}

/// A position on a horizontal axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AxisPosition {
    pub(crate) x: f64,
    pub(crate) axis: Axis,
}

/// What is counted along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Axis {
    /// Parties that meet.
    Parties,
    /// Workers that share the work.
    Workers,
    /// Callers, each with one request at a time.
    Callers,
    /// Requests per second that are due, in the open loop.
    Rate,
    /// Seconds since the run began.
    Seconds,
    /// How many counters a server has.
    Counters,
}

impl Axis {
    /// Returns its unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Axis::Parties => "parties",
            Axis::Workers => "workers",
            Axis::Callers => "callers",
            Axis::Rate => "requests/s",
            Axis::Seconds => "seconds",
            Axis::Counters => "counters",
        }
    }
}

/// Quantiles, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct LatencyQuantiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl LatencyQuantiles {
    pub(crate) fn of(latency_ns: &Histogram<u64>) -> LatencyQuantiles {
        #[allow(clippy::cast_precision_loss)] // far below 2^53 nanoseconds
        let us = |ns: u64| ns as f64 / 1_000.0;
        let quantile = |q| us(latency_ns.value_at_quantile(q));
        LatencyQuantiles {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: us(latency_ns.max()),
        }
    }
}

impl Sample {
    /// Makes a figure from its rounds.
    pub(crate) fn new(measure: &str, server: &str, unit: &str, rounds: &[f64]) -> Sample {
        Sample {
            measure: measure.to_owned(),
            at: None,
            server: server.to_owned(),
            unit: unit.to_owned(),
            value: median(rounds),
            spread: spread(rounds),
            latency_us: None,
            cpu_ns: None,
        }
    }

    /// Sets its position.
    pub(crate) fn at(self, axis: Axis, x: f64) -> Sample {
        Sample { at: Some(AxisPosition { x, axis }), ..self }
    }

    /// Returns whether it is one of a course over time.
    pub(crate) fn is_moment(&self) -> bool {
        matches!(self.at, Some(AxisPosition { axis: Axis::Seconds, .. }))
    }

    /// Returns measure and position, such as `barrier, 8 parties`.
    pub(crate) fn label(&self) -> String {
        match &self.at {
            Some(AxisPosition { x, axis }) => {
                let name = axis.name();
                let name = if *x == 1.0 { name.trim_end_matches('s') } else { name };
                format!("{}, {} {name}", self.measure, short(*x))
            }
            None => self.measure.clone(),
        }
    }
}

impl RunRecord {
    pub(crate) fn new(kind: &str) -> RunRecord {
        RunRecord {
            kind: kind.to_owned(),
            machine: Machine::here(),
            commit: machine::commit(),
            command: machine::command(),
            date: machine::date(),
            rows: Vec::new(),
            samples: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Loads saved results.
    pub(crate) fn load(path: &Path) -> anyhow::Result<RunRecord> {
        let what = || path.display().to_string();
        let text = fs::read_to_string(path).with_context(what)?;
        serde_json::from_str(&text).with_context(what)
    }
}

/// Returns a number with its unit, short enough for a table.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    for (small, large) in [("ns", "µs"), ("µs", "ms"), ("ms", "s")] {
        if value >= 1e3
            && let Some(rest) = unit.strip_prefix(small)
        {
            return amount(value / 1e3, &format!("{large}{rest}"));
        }
    }
    let (value, prefix) = match value.abs() {
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        0.0 => 0,
        10.0.. => 1,
        0.1.. => 2,
        _ => 4,
    };
    format!("{value:.digits$}{prefix} {unit}")
}

/// Returns a ratio with enough digits to say how far it is from 1.
pub(crate) fn ratio_text(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

/// Returns a position without its unit: small whole numbers as they are, large ones short.
pub(crate) fn short(x: f64) -> String {
    if x.fract() != 0.0 || x >= 1e4 && x % 1e3 != 0.0 {
        amount(x, "").trim_end().to_owned()
    } else if x >= 1e6 && x % 1e6 == 0.0 {
        format!("{}M", x / 1e6)
    } else if x >= 1e4 {
        format!("{}k", x / 1e3)
    } else {
        format!("{x:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!(amount(4_567_890.0, "op/s"), "4.57M op/s");
        assert_eq!(amount(156_789.0, "op/s"), "156.8k op/s");
        assert_eq!(amount(61.23, "µs"), "61.2 µs");
        assert_eq!(amount(9.0, "µs"), "9.00 µs");
        assert_eq!(amount(68_445.0, "ns/op"), "68.4 µs/op");
        assert_eq!(amount(1_234_000.0, "µs"), "1.23 s");
        assert_eq!(amount(0.0, "calls/op"), "0 calls/op");
        assert_eq!(amount(0.0042, "calls/op"), "0.0042 calls/op");
    }

    #[test]
    fn positions_are_short() {
        let positions = [8.0, 1_000.0, 10_000.0, 102_700.5, 1e7].map(short);
        assert_eq!(positions, ["8", "1000", "10k", "102.7k", "10M"]);
    }

    #[test]
    fn small_ratios_have_digits() {
        assert_eq!([0.031_25, 0.4, 12.0].map(ratio_text), ["0.0312", "0.40", "12.00"]);
    }

    #[test]
    fn a_record_comes_back_as_it_was_saved() {
        let mut record = RunRecord::new("peers");
        record.notes.push("nothing to measure".to_owned());
        let text = serde_json::to_string(&record).unwrap();
        let again: RunRecord = serde_json::from_str(&text).unwrap();
        assert_eq!((again.kind, again.notes), (record.kind.clone(), record.notes.clone()));
    }
}
