//! The load between two readings of the statistics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytesize::ByteSize;
use catena_client::{Client, Stats};
use serde_json::json;

use crate::names::short_names;
use crate::outcome::Outcome;

/// The load between two readings of the statistics.
#[derive(Debug, Default)]
pub(super) struct TopView {
    pub(super) shards: Vec<Stats>,
    /// Updates and reads per second, by shard.
    pub(super) rates: Vec<(f64, f64)>,
    pub(super) engine: String,
    /// In a cluster the name of the member that was asked, by shard.
    pub(super) nodes: Vec<String>,
}

/// The sums over all shards.
pub(super) struct Totals {
    pub(super) updates: f64,
    pub(super) reads: f64,
    objects: u64,
    bytes: u64,
    budget: u64,
    connections: u64,
    cores: usize,
    nodes: usize,
}

/// The number of columns.
pub(super) const COLUMNS: usize = 10;

/// The maximum length at which a node's name is shown.
const NAME_CHARS: usize = 8;

impl TopView {
    pub(super) fn between(
        client: &Client,
        before: &[Stats],
        since: Instant,
    ) -> anyhow::Result<TopView> {
        let shards = client.stats()?;
        let seconds = since.elapsed().as_secs_f64().max(1e-6);
        #[allow(clippy::cast_precision_loss)] // a rate for people
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let rates = shards.iter().zip(before).map(|(now, before)| {
            // The reading before counts as a read itself.
            let reads = before.reads.saturating_add(1);
            (rate(now.updates, before.updates), rate(now.reads, reads))
        });
        let rates = rates.collect();
        let cluster = client.cluster();
        let head = |shard| {
            let head = cluster.as_ref().and_then(|cluster| cluster.chain(shard).next());
            head.map(|member| member.name.clone())
        };
        let nodes = (0..).zip(&shards).filter_map(|(shard, _)| head(shard)).collect();
        Ok(TopView { shards, rates, engine: client.engine(), nodes })
    }

    /// The sums over all shards.
    pub(super) fn totals(&self) -> Totals {
        let sum = |number: fn(&Stats) -> u64| self.shards.iter().map(number).sum();
        // Connections belong to a core, and all of its shards report the same number.
        let mut cores: BTreeMap<(&str, u64), (u64, u64)> = BTreeMap::new();
        for (at, shard) in self.shards.iter().enumerate() {
            let core = cores.entry((self.node(at), shard.core)).or_default();
            *core = (shard.connections, self.budget(at).max(core.1));
        }
        Totals {
            updates: self.rates.iter().map(|(updates, _)| updates).sum(),
            reads: self.rates.iter().map(|(_, reads)| reads).sum(),
            objects: sum(|shard| shard.objects),
            bytes: sum(|shard| shard.bytes),
            budget: cores.values().map(|(_, budget)| budget).sum(),
            connections: cores.values().map(|(connections, _)| connections).sum(),
            cores: cores.len(),
            nodes: self.nodes.iter().collect::<BTreeSet<_>>().len(),
        }
    }

    /// The shards with their numbers, and their updates and reads per second.
    fn of_shards(&self) -> impl Iterator<Item = (usize, &Stats, f64, f64)> {
        let of_shards = self.shards.iter().zip(&self.rates).enumerate();
        of_shards.map(|(at, (shard, (updates, reads)))| (at, shard, *updates, *reads))
    }

    /// The memory budget of the core that owns a shard. What the shard reports as its limit is that
    /// without what the core's other shards take, which counts as 100/85 of it, because shards stop
    /// to grow at 85 % of their limit.
    fn budget(&self, at: usize) -> u64 {
        let shard = &self.shards[at];
        let same = (0..self.shards.len()).filter(|other| {
            *other != at
                && self.shards[*other].core == shard.core
                && self.node(*other) == self.node(at)
        });
        let elsewhere: u64 = same.map(|other| self.shards[other].bytes).sum();
        shard.memory_bytes_max.saturating_add(elsewhere.saturating_mul(100) / 85)
    }

    /// The part of its core's memory that a shard takes, in percent.
    pub(super) fn memory_percent(&self, at: usize) -> f64 {
        percent(self.shards[at].bytes, self.budget(at))
    }

    /// Where the shards are, in a line.
    pub(super) fn place(&self) -> String {
        let totals = self.totals();
        let on = match totals.nodes {
            0 => String::new(),
            1 => " of one node".to_owned(),
            nodes => format!(" of {nodes} nodes"),
        };
        format!(
            "{}: {} shards on {} cores{on}, {} connections",
            self.engine,
            self.shards.len(),
            totals.cores,
            compact(whole(totals.connections)),
        )
    }

    /// The load, in a line.
    pub(super) fn load(&self) -> String {
        let totals = self.totals();
        format!(
            "{} updates/s, {} reads/s, {} objects, {} ({:.0} % of memory)",
            compact(totals.updates),
            compact(totals.reads),
            compact(whole(totals.objects)),
            ByteSize(totals.bytes),
            percent(totals.bytes, totals.budget),
        )
    }

    /// The name of the member that was asked about a shard; empty on a single node.
    fn node(&self, shard: usize) -> &str {
        self.nodes.get(shard).map_or("", String::as_str)
    }

    /// The column headers; in a cluster the core includes the node's name.
    pub(super) fn columns(&self) -> [&'static str; COLUMNS] {
        let core = if self.nodes.is_empty() { "core" } else { "node/core" };
        ["shard", core, "upd/s", "reads/s", "objects", "sess", "wait", "held", "memory", "mem"]
    }

    pub(super) fn rows(&self) -> Vec<[String; COLUMNS]> {
        let nodes = short_names(self.nodes.iter().map(String::as_str), NAME_CHARS);
        self.of_shards()
            .map(|(at, shard, updates, reads)| {
                let core = match nodes.get(at) {
                    None => shard.core.to_string(),
                    Some(node) => format!("{node}/{}", shard.core),
                };
                [
                    at.to_string(),
                    core,
                    compact(updates),
                    compact(reads),
                    compact(whole(shard.objects)),
                    compact(whole(shard.sessions)),
                    compact(whole(shard.waiters)),
                    compact(whole(shard.holds)),
                    ByteSize(shard.bytes).to_string(),
                    format!("{:.0}%", self.memory_percent(at)),
                ]
            })
            .collect()
    }

    /// All of it as text.
    fn text(&self) -> String {
        let mut rows = vec![self.columns().map(str::to_owned)];
        rows.extend(self.rows());
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..COLUMNS).map(|column| width(column).unwrap_or(0)).collect();
        let line = |cells: &[String; COLUMNS]| {
            let cells = cells.iter().zip(&widths);
            cells.map(|(cell, width)| format!("{cell:>width$}")).collect::<Vec<_>>().join("  ")
        };
        let rows: Vec<String> = rows.iter().map(line).collect();
        format!("{}\n{}\n{}", self.place(), self.load(), rows.join("\n"))
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome::value(self.json()).with_text(self.text())
    }

    fn json(&self) -> serde_json::Value {
        let shards = self.of_shards().map(|(at, shard, updates, reads)| {
            json!({
                "node": self.nodes.get(at), "core": shard.core, "updates_per_s": updates,
                "reads_per_s": reads,
                "updates": shard.updates, "reads": shard.reads, "objects": shard.objects,
                "named": shard.named, "sessions": shard.sessions, "waiters": shard.waiters,
                "holds": shard.holds, "bytes": shard.bytes,
                "memory_bytes_max": shard.memory_bytes_max,
                "memory_percent": self.memory_percent(at), "connections": shard.connections,
            })
        });
        json!({"engine": self.engine, "shards": shards.collect::<Vec<_>>()})
    }
}

/// A number in at most six characters, such as `999`, `12.3k` or `4.56M`.
pub(super) fn compact(number: f64) -> String {
    let mut scaled = number.max(0.0);
    for unit in ["", "k", "M", "G", "T"] {
        let digits = match scaled {
            _ if unit.is_empty() => 0,
            small if small < 10.0 => 2,
            medium if medium < 100.0 => 1,
            _ => 0,
        };
        let text = format!("{scaled:.digits$}");
        // What is rounded up to 1,000 has the next unit.
        if text.parse::<f64>().is_ok_and(|shown| shown < 1_000.0) {
            return text + unit;
        }
        scaled /= 1_000.0;
    }
    format!("{scaled:.0}P")
}

#[allow(clippy::cast_precision_loss)] // numbers for people
fn whole(number: u64) -> f64 {
    number as f64
}

fn percent(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { whole(part) * 100.0 / whole(of) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (999.0, "999"),
            (999.6, "1.00k"),
            (12_345.0, "12.3k"),
            (123_456.0, "123k"),
            (999_999.0, "1.00M"),
            (4_560_000.0, "4.56M"),
            (2e15, "2P"),
        ] {
            assert_eq!(compact(number), text);
        }
    }

    #[test]
    fn memory_is_a_part_of_the_core_s_budget() {
        // Of 1,000,000 bytes two shards of a core take 85,000 each; each reports what is left by
        // the other.
        let shard = || Stats { bytes: 85_000, memory_bytes_max: 900_000, ..Stats::default() };
        let view = TopView { shards: vec![shard(), shard()], ..TopView::default() };
        assert_eq!(view.budget(0), 1_000_000);
        assert!((view.memory_percent(0) - 8.5).abs() < 1e-9);
        assert!(view.load().contains("(17 % of memory)"), "{}", view.load());
    }
}
