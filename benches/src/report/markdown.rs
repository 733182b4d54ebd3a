//! The tables of saved runs as Markdown, for BENCHMARKS.md.

use crate::record::{Row, RunRecord, Sample, amount, ratio_text};

/// A section: where it comes from, and its tables.
pub(super) fn section(record: &RunRecord) -> String {
    let RunRecord { command, commit, date, rows, samples, notes, machine, .. } = record;
    let mut text = format!(
        "`{command}`, commit {commit}, {date}, {}, {} cores, Linux {}\n",
        machine.cpu, machine.cores, machine.kernel
    );
    if !rows.is_empty() {
        text += "\n| measure | against | ratio | spread | ours | theirs | our cpu | their cpu |\n\
                 |---|---|---|---|---|---|---|---|\n";
        rows.iter().for_each(|row| text += &row_line(row));
    }
    if samples.iter().any(|sample| sample.latency_us.is_some()) {
        text += "\n| measure | server | value | spread | p50 | p99 | p99.9 | max | cpu |\n\
                 |---|---|---|---|---|---|---|---|---|\n";
    } else if !samples.is_empty() {
        text += "\n| measure | server | value | spread |\n|---|---|---|---|\n";
    }
    let with_latency = samples.iter().any(|sample| sample.latency_us.is_some());
    for sample in samples.iter().filter(|sample| !sample.is_moment()) {
        text += &sample_line(sample, with_latency);
    }
    if !notes.is_empty() {
        text += "\n";
    }
    notes.iter().for_each(|note| text += &format!("* {note}\n"));
    text
}

fn row_line(row: &Row) -> String {
    format!(
        "| `{}` | {} | {} | {:.0} % | {} | {} | {} | {} |\n",
        row.measure,
        row.peer,
        ratio_text(row.ratio),
        row.spread * 100.0,
        amount(row.ours, &row.unit),
        amount(row.theirs, &row.unit),
        cpu(row.ours_cpu_ns),
        cpu(row.theirs_cpu_ns)
    )
}

fn sample_line(sample: &Sample, with_latency: bool) -> String {
    let latency = match (with_latency, sample.latency_us) {
        (false, _) => String::new(),
        (true, None) => format!(" – | – | – | – | {} |", cpu(sample.cpu_ns)),
        (true, Some(latency)) => {
            let cell = |us| format!(" {} |", amount(us, "µs"));
            let cells = [latency.p50, latency.p99, latency.p999, latency.max].map(cell).concat();
            format!("{cells} {} |", cpu(sample.cpu_ns))
        }
    };
    format!(
        "| {} | {} | {} | {:.0} % |{latency}\n",
        sample.label(),
        sample.server,
        amount(sample.value, &sample.unit),
        sample.spread * 100.0
    )
}

fn cpu(ns: Option<f64>) -> String {
    ns.map_or("–".to_owned(), |ns| amount(ns, "ns/op"))
}
