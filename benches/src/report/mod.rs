//! `catena-bench report`: saved JSON as one HTML file that needs no other file, or as Markdown.
//!
//! Plots are plain SVG in the page's own colours, so that they follow its light and dark scheme and
//! its width. The numbers of every plot are also there as text.

mod markdown;
mod plot;
mod samples;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use self::plot::PlotBar;
use crate::record::{Row, RunRecord, Sample, amount, ratio_text};

/// Draw what the other subcommands saved.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Draw these files, which `--json FILE` saved, in this order.
    #[arg(required = true, value_name = "JSON")]
    files: Vec<PathBuf>,

    /// Write the page here.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,

    /// Print short tables as Markdown instead.
    #[arg(long)]
    markdown: bool,
}

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let records =
        args.files.iter().map(|path| RunRecord::load(path)).collect::<anyhow::Result<Vec<_>>>()?;
    if args.markdown {
        let sections: Vec<String> = records.iter().map(markdown::section).collect();
        return Ok(std::io::stdout().lock().write_all(sections.join("\n").as_bytes())?);
    }
    write_page(&records, &args.out)
}

/// Writes records as one page.
pub(crate) fn write_page(records: &[RunRecord], path: &Path) -> anyhow::Result<()> {
    fs::write(path, page(records)).with_context(|| path.display().to_string())
}

const STYLE: &str = include_str!("style.css");

fn page(records: &[RunRecord]) -> String {
    let sections: String = records.iter().map(section).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Catena, measured</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Catena, measured</h1>\n{sections}</main>\n</body>\n</html>\n"
    )
}

fn section(record: &RunRecord) -> String {
    let machine = &record.machine;
    let mut html = format!(
        "<section>\n<h2>{}</h2>\n<p class=\"origin\"><code>{}</code><br>{}, {} cores, Linux {} · \
         commit {} · {}</p>\n",
        title(&record.kind),
        escape(&record.command),
        escape(&machine.cpu),
        machine.cores,
        escape(&machine.kernel),
        escape(&record.commit),
        escape(&record.date)
    );
    if !record.rows.is_empty() {
        html += &ratios(&record.rows);
        html += &row_bars(record);
    }
    html += &samples::plots(&record.samples);
    if !record.samples.is_empty() {
        html += &sample_table(&record.samples);
    }
    for note in &record.notes {
        html += &format!("<p class=\"note\">{}</p>\n", escape(note));
    }
    html + "</section>\n"
}

fn title(kind: &str) -> String {
    match kind {
        "ops" => "Operations".to_owned(),
        "peers" => "Beside its peers".to_owned(),
        "latency" => "Latency".to_owned(),
        "client" => "Our client and redis-rs".to_owned(),
        "objects" => "By number of counters".to_owned(),
        "limits" => "Against the machine's limits".to_owned(),
        "multi-core" => "Two cores against one".to_owned(),
        "sync" => "How long parties take to meet".to_owned(),
        "stalls" => "How long one request keeps its core".to_owned(),
        "memory" => "Memory of small objects".to_owned(),
        "figures" => "The thesis's experiments".to_owned(),
        other => escape(other),
    }
}

/// Makes the table of comparisons. Ratios come first, because a phone shows no more. They are green
/// where we are ahead, red where we are behind, and neither where the rounds do not agree.
fn ratios(rows: &[Row]) -> String {
    let mut html =
        "<div class=\"wide\"><table>\n<tr><th>measure</th><th>against</th><th>ratio</th>\
                    <th>spread</th><th>ours</th><th>theirs</th><th>our cpu</th><th>their cpu</th>\
                    </tr>\n"
            .to_owned();
    for row in rows {
        let ahead = if lower_is_better(&row.unit) { row.ratio < 1.0 } else { row.ratio > 1.0 };
        let agreed = (row.ratio - 1.0).abs() > row.ratio * row.spread / 2.0;
        let class = match (agreed, ahead) {
            (false, _) => "open",
            (true, true) => "ahead",
            (true, false) => "behind",
        };
        html += &format!(
            "<tr><td>{}</td><td>{}</td><td class=\"{}\">{}×</td><td>{:.0} %</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&row.measure),
            escape(&row.peer),
            class,
            ratio_text(row.ratio),
            row.spread * 100.0,
            amount(row.ours, &row.unit),
            amount(row.theirs, &row.unit),
            cpu(row.ours_cpu_ns),
            cpu(row.theirs_cpu_ns)
        );
    }
    html + "</table></div>\n"
}

const HIGHER: &str = "higher is better";
const LOWER: &str = "lower is better";

fn lower_is_better(unit: &str) -> bool {
    unit != "op/s"
}

/// Plots each measure with a bar for us and for each peer.
fn row_bars(RunRecord { kind, rows, .. }: &RunRecord) -> String {
    let us = if kind == "multi-core" { "two cores" } else { "catena" };
    let mut html = "<div class=\"plots\">\n".to_owned();
    for measure in in_order(rows.iter().map(|row| &row.measure)) {
        let of_measure: Vec<&Row> = rows.iter().filter(|row| row.measure == *measure).collect();
        let unit = &of_measure[0].unit;
        let ours = PlotBar { name: us, value: of_measure[0].ours, ours: true };
        let theirs = of_measure.iter().map(|row| PlotBar {
            name: &row.peer,
            value: row.theirs,
            ours: false,
        });
        let bars: Vec<PlotBar<'_>> = std::iter::once(ours).chain(theirs).collect();
        let hint = if lower_is_better(unit) { LOWER } else { HIGHER };
        html += &plot::bars(measure, hint, unit, &bars);
    }
    html + "</div>\n"
}

fn sample_table(samples: &[Sample]) -> String {
    let mut html = "<div class=\"wide\"><table>\n<tr><th>measure</th><th>value</th><th>spread</th>\
                    <th>server</th><th>p50</th><th>p99</th><th>p99.9</th><th>max</th><th>cpu</th>\
                    </tr>\n"
        .to_owned();
    for sample in samples.iter().filter(|sample| !sample.is_moment()) {
        let latency = sample.latency_us.map_or("<td></td>".repeat(4), |latency| {
            let cell = |us: f64| format!("<td>{}</td>", amount(us, "µs"));
            [latency.p50, latency.p99, latency.p999, latency.max].map(cell).concat()
        });
        html += &format!(
            "<tr><td>{}</td><td>{}</td><td>{:.0} %</td><td>{}</td>{latency}<td>{}</td></tr>\n",
            escape(&sample.label()),
            amount(sample.value, &sample.unit),
            sample.spread * 100.0,
            escape(&sample.server),
            cpu(sample.cpu_ns)
        );
    }
    html + "</table></div>\n"
}

fn cpu(ns: Option<f64>) -> String {
    ns.map_or(String::new(), |ns| amount(ns, "ns/op"))
}

/// Returns each name once, in the order in which they first come.
fn in_order<T: PartialEq>(names: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A saved run with a comparison, a line and a name that has to be escaped.
    const SAVED: &str = r#"{
        "kind": "peers", "commit": "0123abcd", "command": "catena-bench peers <x>",
        "date": "2026-01-01", "machine": {"cpu": "a cpu", "cores": 2, "kernel": "6.1"},
        "rows": [
            {"measure": "counter_add_16x32", "peer": "redis", "unit": "op/s", "ours": 4.5e6,
             "theirs": 1.5e6, "ratio": 3.0, "spread": 0.1, "ours_cpu_ns": 200.0,
             "theirs_cpu_ns": null},
            {"measure": "p50_1x1_spin", "peer": "redis", "unit": "µs", "ours": 10.0,
             "theirs": 25.0, "ratio": 0.4, "spread": 0.1, "ours_cpu_ns": null,
             "theirs_cpu_ns": null}
        ],
        "samples": [
            {"measure": "barrier", "at": {"axis": "parties", "x": 2.0}, "server": "catena",
             "unit": "µs/round", "value": 20.0, "spread": 0.1, "latency_us": null, "cpu_ns": null},
            {"measure": "barrier", "at": {"axis": "parties", "x": 8.0}, "server": "catena",
             "unit": "µs/round", "value": 50.0, "spread": 0.1, "latency_us": null, "cpu_ns": null}
        ],
        "notes": ["memcached: skipped, it is not installed"]
    }"#;

    #[test]
    fn a_saved_run_becomes_a_page_by_itself() {
        let record: RunRecord = serde_json::from_str(SAVED).unwrap();
        let html = page(&[record]);
        for part in [
            "name=\"viewport\"",
            "3.00×",
            "0.40×",
            "peers &lt;x&gt;",
            "<polyline",
            "4.50M op/s",
            "barrier, 8 parties",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert_eq!(html.matches("class=\"ahead\"").count(), 2);
        assert!(!html.contains("http"), "nothing is loaded from elsewhere");
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }

    #[test]
    fn a_saved_run_becomes_tables_of_markdown() {
        let record: RunRecord = serde_json::from_str(SAVED).unwrap();
        let text = markdown::section(&record);
        for line in [
            "| | catena | redis |",
            "| `counter_add_16x32` | 4.50M op/s | 3.00 |",
            "| `p50_1x1_spin` | 10.0 µs | 0.40 |",
            "| | 2 parties | 8 parties |",
            "| barrier | 20.0 µs/round | 50.0 µs/round |",
            "* memcached: skipped, it is not installed",
        ] {
            assert!(text.lines().any(|got| got == line), "{line} in {text}");
        }
    }
}
