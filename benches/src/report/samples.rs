//! Plots of figures of one server, and of how they change with a number.

use super::plot::{self, AxisScale, PlotAxes, PlotBar, PlotLine};
use super::{HIGHER, LOWER, in_order};
use crate::record::{Axis, LatencyQuantiles, Sample, short};

/// Plots samples by server, quantile, load, parties, callers, workers, time and counters.
pub(super) fn plots(samples: &[Sample]) -> String {
    let on = |axis: Axis| -> Vec<&Sample> {
        let is_on = |sample: &&Sample| sample.at.as_ref().is_some_and(|at| at.axis == axis);
        samples.iter().filter(is_on).collect()
    };
    let alone: Vec<&Sample> = samples.iter().filter(|sample| sample.at.is_none()).collect();
    let html = [
        bars(&alone),
        by_quantile(&alone),
        by_rate(&on(Axis::Rate)),
        by_parties(&on(Axis::Parties)),
        by_server(&on(Axis::Callers)),
        by_server(&on(Axis::Workers)),
        by_server(&on(Axis::Seconds)),
        by_server(&on(Axis::Counters)),
    ]
    .concat();
    if html.is_empty() { html } else { format!("<div class=\"plots\">\n{html}</div>\n") }
}

/// Plots operations per second in one plot.
fn bars(samples: &[&Sample]) -> String {
    let is_rate = |sample: &&&Sample| sample.unit == "op/s" && sample.latency_us.is_some();
    let rates: Vec<&&Sample> = samples.iter().filter(is_rate).collect();
    // One request at a time is about latency, and two bars are better read in the table.
    if rates.len() < 3 || rates.iter().any(|sample| sample.measure.contains("1x1,")) {
        return String::new();
    }
    let is_one_server = rates.iter().all(|sample| sample.server == rates[0].server);
    let name = |sample: &&&Sample| match is_one_server {
        true => sample.measure.clone(),
        false => format!("{}, {}", sample.measure, sample.server),
    };
    let names: Vec<String> = rates.iter().map(name).collect();
    let bar = |(name, sample): (_, &&&Sample)| {
        let ours = sample.server.starts_with("catena");
        PlotBar { name, value: sample.value, ours }
    };
    let bars: Vec<PlotBar<'_>> = names.iter().map(String::as_str).zip(&rates).map(bar).collect();
    plot::bars("Throughput", HIGHER, "op/s", &bars)
}

/// Plots the quantiles of latency, measure by measure, with a line for each server.
fn by_quantile(samples: &[&Sample]) -> String {
    let mut html = String::new();
    for measure in in_order(samples.iter().map(|sample| &sample.measure)) {
        let of_measure = samples.iter().filter(|sample| sample.measure == *measure);
        let lines = of_measure.filter_map(|sample| {
            let LatencyQuantiles { p50, p90, p99, p999, .. } = sample.latency_us?;
            let points = vec![(2.0, p50), (10.0, p90), (100.0, p99), (1_000.0, p999)];
            Some(PlotLine { name: &sample.server, points })
        });
        let lines: Vec<PlotLine<'_>> = lines.collect();
        // A single server is better read in the table.
        if lines.len() < 2 {
            continue;
        }
        let names = [(2.0, "50 %"), (10.0, "90 %"), (100.0, "99 %"), (1_000.0, "99.9 %")];
        let axes = PlotAxes {
            unit: "µs",
            up: AxisScale::Powers,
            name: "of requests take at most",
            across: AxisScale::Powers,
            ticks: names.map(|(x, name)| (x, name.to_owned())).to_vec(),
        };
        html += &plot::lines(&format!("{measure}: latency"), LOWER, &axes, &lines);
    }
    html
}

/// Plots latency by load, in the open loop.
fn by_rate(samples: &[&Sample]) -> String {
    let mut html = String::new();
    for measure in in_order(samples.iter().map(|sample| &sample.measure)) {
        let of_measure = || samples.iter().filter(|sample| sample.measure == *measure);
        let quantile = |of: fn(&LatencyQuantiles) -> f64| -> Vec<(f64, f64)> {
            let point = |sample: &&Sample| {
                Some((sample.at.as_ref()?.x, sample.latency_us.as_ref().map(of)?))
            };
            of_measure().filter_map(point).collect()
        };
        let lines = [
            PlotLine { name: "p50", points: quantile(|latency| latency.p50) },
            PlotLine { name: "p99", points: quantile(|latency| latency.p99) },
            PlotLine { name: "p99.9", points: quantile(|latency| latency.p999) },
        ];
        let axes = PlotAxes {
            unit: "µs",
            up: AxisScale::Powers,
            name: "requests per second",
            across: AxisScale::Even,
            ticks: plot::even_ticks(lines[0].points.iter().map(|(x, _)| *x)),
        };
        html += &plot::lines(&format!("{measure}: latency"), LOWER, &axes, &lines);
    }
    html
}

/// Plots the time of a round by parties, with a line for each kind of meeting.
fn by_parties(samples: &[&Sample]) -> String {
    let measures = in_order(samples.iter().map(|sample| &sample.measure));
    let lines = measures.into_iter().map(|measure| {
        let of_measure = samples.iter().filter(|sample| sample.measure == *measure);
        PlotLine { name: measure, points: points(of_measure) }
    });
    let lines: Vec<PlotLine<'_>> = lines.collect();
    let axes = PlotAxes {
        unit: "µs",
        up: AxisScale::Powers,
        name: "parties",
        across: AxisScale::Powers,
        ticks: named_places(&lines),
    };
    plot::lines("Time of a round", LOWER, &axes, &lines)
}

/// Plots each measure with a line for each server.
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
        let lines: Vec<PlotLine<'_>> =
            servers.iter().map(|name| PlotLine { name, points: line(name) }).collect();
        let (unit, axis) = match of_measure[..] {
            [Sample { unit, at: Some(at), .. }, ..] => (unit, at.axis),
            _ => continue,
        };
        let ticks = match axis {
            Axis::Seconds => plot::even_ticks(lines[0].points.iter().map(|(x, _)| *x)),
            _ => named_places(&lines),
        };
        let is_wide = matches!(axis, Axis::Callers | Axis::Counters);
        let across = if is_wide { AxisScale::Powers } else { AxisScale::Even };
        let axes = PlotAxes { unit, up: AxisScale::Even, name: axis.name(), across, ticks };
        let hint = match axis {
            Axis::Callers => HIGHER,
            Axis::Workers => LOWER,
            _ => "",
        };
        html += &plot::lines(measure, hint, &axes, &lines);
    }
    html
}

fn points<'a>(samples: impl Iterator<Item = &'a &'a Sample>) -> Vec<(f64, f64)> {
    samples.filter_map(|sample| Some((sample.at.as_ref()?.x, sample.value))).collect()
}

/// Where there are points, by their numbers.
fn named_places(lines: &[PlotLine<'_>]) -> Vec<(f64, String)> {
    let mut places = in_order(lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x));
    places.sort_unstable_by(f64::total_cmp);
    places.into_iter().map(|x| (x, short(x))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_say_whose_they_are_where_there_are_several() {
        let latency_us =
            Some(LatencyQuantiles { p50: 1.0, p90: 2.0, p99: 3.0, p999: 4.0, max: 5.0 });
        let sample = |measure: &str, server: &str| Sample {
            latency_us,
            ..Sample::new(measure, server, "op/s", &[1.0])
        };
        let ours = ["put", "get", "add"].map(|measure| sample(measure, "catena"));
        let html = bars(&ours.each_ref());
        assert!(html.contains(">put<") && !html.contains("catena"), "{html}");
        let both = ["catena", "catena, 2 nodes", "redis"].map(|server| sample("put", server));
        let html = bars(&both.each_ref());
        assert!(html.contains(">put, catena, 2 nodes<") && html.contains(">put, redis<"), "{html}");
    }
}
