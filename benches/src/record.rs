//! What a run found, in the form in which it is saved, printed and drawn.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::machine::{self, Machine};
use crate::stats::{median, spread};

/// One run of a subcommand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Which subcommand.
    pub(crate) kind: String,
    pub(crate) machine: Machine,
    pub(crate) commit: String,
    pub(crate) command: String,
    pub(crate) date: String,
    /// Two servers side by side.
    #[serde(default)]
    pub(crate) rows: Vec<Row>,
    /// One server by itself.
    #[serde(default)]
    pub(crate) samples: Vec<Sample>,
    /// What could not be measured, and why.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// A comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) measure: String,
    /// With whom.
    pub(crate) peer: String,
    /// What `ours` and `theirs` are counted in.
    pub(crate) unit: String,
    /// Median over rounds.
    pub(crate) ours: f64,
    /// Median over rounds.
    pub(crate) theirs: f64,
    /// Median over rounds of ours / theirs of the same round.
    pub(crate) ratio: f64,
    /// (largest − smallest) / median of these ratios.
    pub(crate) spread: f64,
    /// Time our server's threads worked for one op, in nanoseconds.
    pub(crate) ours_cpu_ns: Option<f64>,
    /// The same of theirs.
    pub(crate) theirs_cpu_ns: Option<f64>,
}

/// A figure of one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// What was measured, without its place.
    pub(crate) measure: String,
    /// Where it belongs, if it is one of several that differ in a number.
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
    /// Time the server's threads worked for one op, in nanoseconds.
    pub(crate) cpu_ns: Option<f64>,
}

/// A place on a horizontal axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AxisPosition {
    pub(crate) x: f64,
    pub(crate) axis: Axis,
}

/// What is counted along it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Axis {
    /// Who meet.
    Parties,
    /// Who share the work.
    Workers,
    /// Who ask, each one thing at a time.
    Callers,
    /// Requests per second that are due, in the open loop.
    Rate,
    /// Seconds since the run began.
    Seconds,
}

impl Axis {
    /// Its unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Axis::Parties => "parties",
            Axis::Workers => "workers",
            Axis::Callers => "callers",
            Axis::Rate => "requests/s",
            Axis::Seconds => "seconds",
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
    /// A figure over rounds.
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

    /// The same, with its place.
    pub(crate) fn at(self, axis: Axis, x: f64) -> Sample {
        Sample { at: Some(AxisPosition { x, axis }), ..self }
    }

    /// Whether it is one of a course over time.
    pub(crate) fn is_moment(&self) -> bool {
        matches!(self.at, Some(AxisPosition { axis: Axis::Seconds, .. }))
    }

    /// What was measured and where, such as `barrier, 8 parties`.
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

    /// Reads one that was saved.
    pub(crate) fn load(path: &Path) -> anyhow::Result<RunRecord> {
        let what = || path.display().to_string();
        let text = fs::read_to_string(path).with_context(what)?;
        serde_json::from_str(&text).with_context(what)
    }

    /// Prints it for people, or saves it where it was asked for; `-` is the standard output.
    pub(crate) fn deliver(&self, json: Option<&PathBuf>) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match json {
            Some(path) if path.as_os_str() == "-" => {
                writeln!(out, "{}", serde_json::to_string(self)?)?;
                return Ok(());
            }
            Some(path) => {
                let text = serde_json::to_string_pretty(self)? + "\n";
                fs::write(path, text).with_context(|| path.display().to_string())?;
            }
            None => {}
        }
        Ok(out.write_all(self.text().as_bytes())?)
    }

    fn text(&self) -> String {
        let Machine { cpu, cores, kernel } = &self.machine;
        let mut text = format!(
            "{}\n{cpu}, {cores} cores, Linux {kernel}, commit {}, {}\n",
            self.command, self.commit, self.date
        );
        if !self.rows.is_empty() {
            text += &format!(
                "\n{:<28} {:<15} {:>12} {:>12} {:>7} {:>7} {:>10} {:>10}\n",
                "measure", "peer", "ours", "theirs", "ratio", "spread", "our cpu", "their cpu"
            );
        }
        for row in &self.rows {
            text += &format!(
                "{:<28} {:<15} {:>12} {:>12} {:>7} {:>6.0}% {:>10} {:>10}\n",
                row.measure,
                row.peer,
                amount(row.ours, &row.unit),
                amount(row.theirs, &row.unit),
                ratio_text(row.ratio),
                row.spread * 100.0,
                cpu_text(row.ours_cpu_ns),
                cpu_text(row.theirs_cpu_ns)
            );
        }
        if !self.samples.is_empty() {
            text += &format!(
                "\n{:<48} {:<16} {:>13} {:>7} {:>9} {:>9} {:>9} {:>9} {:>10}\n",
                "measure", "server", "value", "spread", "p50 µs", "p99", "p99.9", "max", "cpu"
            );
        }
        // What goes on by the second is a picture, no table.
        for sample in self.samples.iter().filter(|sample| !sample.is_moment()) {
            let latency = sample.latency_us.map_or(format!("{:>39}", ""), |l| {
                format!("{:>9.1} {:>9.1} {:>9.1} {:>9.1}", l.p50, l.p99, l.p999, l.max)
            });
            text += &format!(
                "{:<48} {:<16} {:>13} {:>6.0}% {latency} {:>10}\n",
                sample.label(),
                sample.server,
                amount(sample.value, &sample.unit),
                sample.spread * 100.0,
                cpu_text(sample.cpu_ns)
            );
        }
        if !self.notes.is_empty() {
            text += "\n";
        }
        for note in &self.notes {
            text += &format!("{note}\n");
        }
        text
    }
}

/// A number with its unit, short enough for a table.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    for (small, large) in [("ns", "µs"), ("µs", "ms"), ("ms", "s")] {
        if value >= 1e3
            && let Some(rest) = unit.strip_prefix(small)
        {
            return amount(value / 1e3, &format!("{large}{rest}"));
        }
    }
    let (value, prefix) = match value.abs() {
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

/// A ratio with as many digits as it takes to say how far it is from 1.
pub(crate) fn ratio_text(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

/// A place without its unit: whole numbers whole, large ones short.
pub(crate) fn short(x: f64) -> String {
    if x.fract() == 0.0 && x < 1e4 {
        format!("{x:.0}")
    } else {
        amount(x, "").trim_end().to_owned()
    }
}

fn cpu_text(ns: Option<f64>) -> String {
    ns.map_or("-".to_owned(), |ns| amount(ns, "ns/op"))
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
        assert!(record.text().ends_with("nothing to measure\n"));
    }
}
