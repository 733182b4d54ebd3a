//! Results as short tables: one line for each measure, and a column for each peer or position.

use crate::record::{Axis, Row, RunRecord, Sample, amount, ratio_text, short};

/// A table of texts.
#[derive(Debug, PartialEq)]
pub(crate) struct TextTable {
    /// The heads of the columns; the first is empty.
    pub(crate) heads: Vec<String>,
    pub(crate) lines: Vec<Vec<String>>,
}

/// Stands where nothing was measured.
const NOTHING: &str = "–";

/// Makes the tables of a run, without the course over time.
pub(crate) fn tables(record: &RunRecord) -> Vec<TextTable> {
    let mut tables = Vec::new();
    tables.extend(comparisons(record));
    let plain: Vec<&Sample> = record.samples.iter().filter(|sample| sample.at.is_none()).collect();
    tables.extend(figures(&plain));
    for axis in [Axis::Parties, Axis::Callers, Axis::Workers, Axis::Counters] {
        tables.extend(by_position(&record.samples, axis));
    }
    tables.extend(by_rate(&record.samples));
    tables
}

/// One line for each measure: our value, and the ratio to each peer.
fn comparisons(RunRecord { kind, rows, .. }: &RunRecord) -> Option<TextTable> {
    // Elsewhere the names of the measures say what is ours.
    let ours = if matches!(&**kind, "chain" | "multi-core") { "ours" } else { "catena" };
    let (mut peers, mut measures) = (Vec::new(), Vec::new());
    for row in rows {
        add(&mut peers, &*row.peer);
        add(&mut measures, &*row.measure);
    }
    let heads = ["", ours].into_iter().chain(peers.iter().copied());
    let line = |measure: &&str| {
        let of_measure = |row: &&Row| row.measure == *measure;
        let first = rows.iter().find(of_measure)?;
        let ratio = |peer: &&str| {
            let row = rows.iter().filter(of_measure).find(|row| row.peer == *peer);
            row.map_or(NOTHING.to_owned(), |row| ratio_text(row.ratio))
        };
        let begin = [format!("`{measure}`"), amount(first.ours, &first.unit)];
        Some(begin.into_iter().chain(peers.iter().map(ratio)).collect())
    };
    let lines = measures.iter().filter_map(line).collect();
    (!rows.is_empty()).then(|| TextTable { heads: heads.map(str::to_owned).collect(), lines })
}

/// One line for each figure.
fn figures(samples: &[&Sample]) -> Option<TextTable> {
    let has_latency = samples.iter().any(|sample| sample.latency_us.is_some());
    let mut heads = vec!["", "server", "value"];
    if has_latency {
        heads.extend(["p50", "p99", "cpu"]);
    }
    let line = |sample: &&Sample| {
        let Sample { measure, server, unit, value, latency_us, cpu_ns, .. } = sample;
        let mut line = vec![measure.clone(), server.clone(), amount(*value, unit)];
        if has_latency {
            let quantiles = latency_us.map(|latency| [latency.p50, latency.p99]);
            let texts = quantiles.map(|quantiles| quantiles.map(|us| amount(us, "µs")));
            line.extend(texts.unwrap_or([NOTHING, NOTHING].map(str::to_owned)));
            line.push(cpu_ns.map_or(NOTHING.to_owned(), |ns| amount(ns, "ns/op")));
        }
        line
    };
    let lines = samples.iter().map(line).collect();
    let heads = heads.into_iter().map(str::to_owned).collect();
    (!samples.is_empty()).then_some(TextTable { heads, lines })
}

/// One line for each measure and server, one column for each position on an axis.
fn by_position(samples: &[Sample], axis: Axis) -> Option<TextTable> {
    let on_axis = || {
        samples.iter().filter_map(|sample| {
            let at = sample.at.as_ref().filter(|at| at.axis == axis)?;
            Some((at.x, sample))
        })
    };
    let (mut positions, mut names) = (Vec::new(), Vec::new());
    for (x, sample) in on_axis() {
        add(&mut positions, x);
        add(&mut names, (&sample.measure, &sample.server));
    }
    let is_one_server = names.iter().all(|(_, server)| *server == names[0].1);
    let head = |x: &f64| format!("{} {}", short(*x), axis.name());
    let line = |(measure, server): &(&String, &String)| {
        let name = match is_one_server {
            true => (*measure).clone(),
            false => format!("{measure}, {server}"),
        };
        let value = |x: &f64| {
            let mut found = on_axis().filter(|(at, sample)| {
                at == x && (&sample.measure, &sample.server) == (*measure, *server)
            });
            found.next().map_or(NOTHING.to_owned(), |(_, found)| amount(found.value, &found.unit))
        };
        std::iter::once(name).chain(positions.iter().map(value)).collect()
    };
    let lines = names.iter().map(line).collect();
    let heads = std::iter::once(String::new()).chain(positions.iter().map(head)).collect();
    (!names.is_empty()).then_some(TextTable { heads, lines })
}

/// One line for each rate of the open loop, with its latency.
fn by_rate(samples: &[Sample]) -> Option<TextTable> {
    let lines = samples.iter().filter_map(|sample| {
        sample.at.as_ref().filter(|at| at.axis == Axis::Rate)?;
        let latency = sample.latency_us?;
        let quantiles = [latency.p50, latency.p99, latency.p999].map(|us| amount(us, "µs"));
        Some([sample.label(), sample.server.clone()].into_iter().chain(quantiles).collect())
    });
    let lines: Vec<_> = lines.collect();
    let heads = ["", "server", "p50", "p99", "p99.9"].map(str::to_owned).to_vec();
    (!lines.is_empty()).then_some(TextTable { heads, lines })
}

/// Adds what is not there yet.
fn add<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if !all.contains(&one) {
        all.push(one);
    }
}
