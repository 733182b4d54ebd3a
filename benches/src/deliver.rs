//! Printing and saving the results of a run.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::machine::Machine;
use crate::record::{RunRecord, amount, ratio_text};
use crate::tables::tables;

/// Prints the results as tables, and saves them where `json` says; `-` prints the JSON instead.
pub(crate) fn deliver(record: &RunRecord, json: Option<&PathBuf>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match json {
        Some(path) if path.as_os_str() == "-" => {
            writeln!(out, "{}", serde_json::to_string(record)?)?;
            return Ok(());
        }
        Some(path) => {
            let text = serde_json::to_string_pretty(record)? + "\n";
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            fs::write(path, text).with_context(|| path.display().to_string())?;
        }
        None => {}
    }
    Ok(out.write_all(text(record).as_bytes())?)
}

fn text(record: &RunRecord) -> String {
    let Machine { cpu, cores, kernel } = &record.machine;
    let mut text = format!(
        "{}\n{cpu}, {cores} cores, Linux {kernel}, commit {}, {}\n",
        record.command, record.commit, record.date
    );
    // With several peers, first all of them side by side.
    let peers: BTreeSet<&str> = record.rows.iter().map(|row| &*row.peer).collect();
    if peers.len() > 1 {
        let table = &tables(record)[0];
        for line in std::iter::once(&table.heads).chain(&table.lines) {
            let (measure, cells) = line.split_first().expect("a line has a measure");
            let cells: String = cells.iter().map(|cell| format!(" {cell:>14}")).collect();
            text += &format!("\n{:<44}{cells}", measure.trim_matches('`'));
        }
        text += "\n";
    }
    if !record.rows.is_empty() {
        text += &format!(
            "\n{:<44} {:<24} {:>12} {:>12} {:>7} {:>7} {:>10} {:>10}\n",
            "measure", "peer", "ours", "theirs", "ratio", "spread", "our cpu", "their cpu"
        );
    }
    for row in &record.rows {
        text += &format!(
            "{:<44} {:<24} {:>12} {:>12} {:>7} {:>6.0}% {:>10} {:>10}\n",
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
    if !record.samples.is_empty() {
        text += &format!(
            "\n{:<52} {:<24} {:>13} {:>7} {:>9} {:>9} {:>9} {:>9} {:>10}\n",
            "measure", "server", "value", "spread", "p50 µs", "p99", "p99.9", "max", "cpu"
        );
    }
    // A course over time is for a picture.
    for sample in record.samples.iter().filter(|sample| !sample.is_moment()) {
        let latency = sample.latency_us.map_or(format!("{:>39}", ""), |l| {
            format!("{:>9.1} {:>9.1} {:>9.1} {:>9.1}", l.p50, l.p99, l.p999, l.max)
        });
        text += &format!(
            "{:<52} {:<24} {:>13} {:>6.0}% {latency} {:>10}\n",
            sample.label(),
            sample.server,
            amount(sample.value, &sample.unit),
            sample.spread * 100.0,
            cpu_text(sample.cpu_ns)
        );
    }
    if !record.notes.is_empty() {
        text += "\n";
    }
    for note in &record.notes {
        text += &format!("{note}\n");
    }
    text
}

fn cpu_text(ns: Option<f64>) -> String {
    ns.map_or("-".to_owned(), |ns| amount(ns, "ns/op"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_last() {
        let mut record = RunRecord::new("peers");
        record.notes.push("nothing to measure".to_owned());
        assert!(text(&record).ends_with("nothing to measure\n"));
    }
}
