//! `catena-bench report`: saved JSON as one HTML file that needs nothing else.
//!
//! Plots are plain SVG in the page's own colours, so that they follow its light and dark sides and
//! its width. Every plot stands for numbers that are also there as text.

mod plot;

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use self::plot::{Axes, Bar, Line, Scale};
use crate::record::{Axis, Latency, Record, Row, Sample, amount, short};

/// Draws what the other subcommands saved.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `--json FILE` saved, in the order in which it is to be shown.
    #[arg(required = true, value_name = "JSON")]
    files: Vec<PathBuf>,

    /// Where to write the page.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let records =
        args.files.iter().map(|path| Record::load(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let out = &args.out;
    fs::write(out, page(&records)).with_context(|| out.display().to_string())
}

const STYLE: &str = include_str!("style.css");

fn page(records: &[Record]) -> String {
    let sections: String = records.iter().map(section).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Catena, measured</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Catena, measured</h1>\n{sections}</main>\n</body>\n</html>\n"
    )
}

fn section(record: &Record) -> String {
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
        html += &throughput_bars(&record.rows);
    }
    html += &sample_plots(&record.samples);
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
        "limits" => "Against the machine's limits".to_owned(),
        "multi-core" => "Two cores against one".to_owned(),
        "sync" => "How long parties take to meet".to_owned(),
        "figures" => "The thesis's experiments".to_owned(),
        other => escape(other),
    }
}

/// The table of ratios, which come first, as a phone shows no more; green where we are ahead.
fn ratios(rows: &[Row]) -> String {
    let mut html =
        "<div class=\"wide\"><table>\n<tr><th>measure</th><th>against</th><th>ratio</th>\
                    <th>spread</th><th>ours</th><th>theirs</th><th>our cpu</th><th>their cpu</th>\
                    </tr>\n"
            .to_owned();
    for row in rows {
        let ahead = if lower_is_better(&row.unit) { row.ratio < 1.0 } else { row.ratio > 1.0 };
        html += &format!(
            "<tr><td>{}</td><td>{}</td><td class=\"{}\">{:.2}×</td><td>{:.0} %</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&row.measure),
            escape(&row.peer),
            if ahead { "ahead" } else { "behind" },
            row.ratio,
            row.spread * 100.0,
            amount(row.ours, &row.unit),
            amount(row.theirs, &row.unit),
            cpu(row.ours_cpu_ns),
            cpu(row.theirs_cpu_ns)
        );
    }
    html + "</table></div>\n"
}

fn lower_is_better(unit: &str) -> bool {
    unit != "op/s"
}

/// One plot for each measure: us and everybody beside us.
fn throughput_bars(rows: &[Row]) -> String {
    let mut html = "<div class=\"plots\">\n".to_owned();
    for measure in in_order(rows.iter().map(|row| &row.measure)) {
        let of_measure: Vec<&Row> = rows.iter().filter(|row| row.measure == *measure).collect();
        let unit = &of_measure[0].unit;
        let ours = Bar { name: "catena", value: of_measure[0].ours, ours: true };
        let theirs =
            of_measure.iter().map(|row| Bar { name: &row.peer, value: row.theirs, ours: false });
        let bars: Vec<Bar<'_>> = std::iter::once(ours).chain(theirs).collect();
        let hint = if lower_is_better(unit) { "lower is better" } else { "higher is better" };
        html += &plot::bars(&format!("{measure}, {hint}"), unit, &bars);
    }
    html + "</div>\n"
}

/// Samples that are more than a number: over parties, workers, load, time and quantiles.
fn sample_plots(samples: &[Sample]) -> String {
    let on = |axis: Axis| -> Vec<&Sample> {
        let is_on = |sample: &&Sample| sample.at.as_ref().is_some_and(|at| at.axis == axis);
        samples.iter().filter(is_on).collect()
    };
    let alone: Vec<&Sample> = samples.iter().filter(|sample| sample.at.is_none()).collect();
    let html = [
        sample_bars(&alone),
        by_quantile(&alone),
        by_rate(&on(Axis::Rate)),
        by_parties(&on(Axis::Parties)),
        by_server(&on(Axis::Callers)),
        by_server(&on(Axis::Workers)),
        by_server(&on(Axis::Seconds)),
    ]
    .concat();
    if html.is_empty() { html } else { format!("<div class=\"plots\">\n{html}</div>\n") }
}

/// What the servers did by themselves, per second, in one plot.
fn sample_bars(samples: &[&Sample]) -> String {
    let rates: Vec<&&Sample> = samples.iter().filter(|sample| sample.unit == "op/s").collect();
    // At one at a time the question is how long it takes; with two or less a table says it all.
    if rates.len() < 3 || rates.iter().any(|sample| sample.measure.contains("1x1,")) {
        return String::new();
    }
    let bar = |sample: &&&Sample| (sample.measure.clone(), sample.value);
    let named: Vec<(String, f64)> = rates.iter().map(bar).collect();
    let bars: Vec<Bar<'_>> =
        named.iter().map(|(name, value)| Bar { name, value: *value, ours: true }).collect();
    plot::bars("Throughput, higher is better", "op/s", &bars)
}

/// For each measure, how long the fastest half took and how long the slowest, server by server.
fn by_quantile(samples: &[&Sample]) -> String {
    let mut html = String::new();
    for measure in in_order(samples.iter().map(|sample| &sample.measure)) {
        let of_measure = samples.iter().filter(|sample| sample.measure == *measure);
        let lines = of_measure.filter_map(|sample| {
            let Latency { p50, p90, p99, p999, .. } = sample.latency_us?;
            let points = vec![(2.0, p50), (10.0, p90), (100.0, p99), (1_000.0, p999)];
            Some(Line { name: &sample.server, points })
        });
        let lines: Vec<Line<'_>> = lines.collect();
        // One server alone is in the table.
        if lines.len() < 2 {
            continue;
        }
        let names = [(2.0, "50 %"), (10.0, "90 %"), (100.0, "99 %"), (1_000.0, "99.9 %")];
        let axes = Axes {
            unit: "µs",
            up: Scale::Powers,
            name: "of requests take at most",
            across: Scale::Powers,
            ticks: names.map(|(x, name)| (x, name.to_owned())).to_vec(),
        };
        html += &plot::lines(&format!("{measure}: latency"), &axes, &lines);
    }
    html
}

/// Latency as load grows, in the open loop.
fn by_rate(samples: &[&Sample]) -> String {
    let mut html = String::new();
    for measure in in_order(samples.iter().map(|sample| &sample.measure)) {
        let of_measure = || samples.iter().filter(|sample| sample.measure == *measure);
        let quantile = |of: fn(&Latency) -> f64| -> Vec<(f64, f64)> {
            let point = |sample: &&Sample| {
                Some((sample.at.as_ref()?.x, sample.latency_us.as_ref().map(of)?))
            };
            of_measure().filter_map(point).collect()
        };
        let lines = [
            Line { name: "p50", points: quantile(|latency| latency.p50) },
            Line { name: "p99", points: quantile(|latency| latency.p99) },
            Line { name: "p99.9", points: quantile(|latency| latency.p999) },
        ];
        let axes = Axes {
            unit: "µs",
            up: Scale::Powers,
            name: "requests per second",
            across: Scale::Even,
            ticks: plot::even_ticks(lines[0].points.iter().map(|(x, _)| *x)),
        };
        html += &plot::lines(&format!("{measure}: latency"), &axes, &lines);
    }
    html
}

/// All kinds of meeting in one plot.
fn by_parties(samples: &[&Sample]) -> String {
    let measures = in_order(samples.iter().map(|sample| &sample.measure));
    let lines = measures.into_iter().map(|measure| {
        let of_measure = samples.iter().filter(|sample| sample.measure == *measure);
        Line { name: measure, points: points(of_measure) }
    });
    let lines: Vec<Line<'_>> = lines.collect();
    let axes = Axes {
        unit: "µs",
        up: Scale::Powers,
        name: "parties",
        across: Scale::Powers,
        ticks: named_places(&lines),
    };
    plot::lines("Time of a round, lower is better", &axes, &lines)
}

/// One plot for each measure, one line for each server.
fn by_server(samples: &[&Sample]) -> String {
    let mut html = String::new();
    for measure in in_order(samples.iter().map(|sample| &sample.measure)) {
        let of_measure: Vec<&&Sample> =
            samples.iter().filter(|sample| sample.measure == *measure).collect();
        let line = |server: &String| {
            let of_server = of_measure.iter().copied().filter(|sample| sample.server == *server);
            points(of_server)
        };
        let servers = in_order(of_measure.iter().map(|sample| &sample.server));
        let lines: Vec<Line<'_>> =
            servers.iter().map(|name| Line { name, points: line(name) }).collect();
        let (unit, axis) = match of_measure[..] {
            [Sample { unit, at: Some(at), .. }, ..] => (unit, at.axis),
            _ => continue,
        };
        let ticks = match axis {
            Axis::Seconds => plot::even_ticks(lines[0].points.iter().map(|(x, _)| *x)),
            _ => named_places(&lines),
        };
        let axes = Axes { unit, up: Scale::Even, name: axis.name(), across: Scale::Even, ticks };
        html += &plot::lines(measure, &axes, &lines);
    }
    html
}

fn points<'a>(samples: impl Iterator<Item = &'a &'a Sample>) -> Vec<(f64, f64)> {
    samples.filter_map(|sample| Some((sample.at.as_ref()?.x, sample.value))).collect()
}

/// Where there are points, by their numbers.
fn named_places(lines: &[Line<'_>]) -> Vec<(f64, String)> {
    let mut places = in_order(lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x));
    places.sort_unstable_by(f64::total_cmp);
    places.into_iter().map(|x| (x, short(x))).collect()
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

/// Each once, in the order in which they first come.
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
        let record: Record = serde_json::from_str(SAVED).unwrap();
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
}
