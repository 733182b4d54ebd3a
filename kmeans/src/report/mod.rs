//! A report of a run as one SVG (cost and time by round, and the points in their clusters), or as an
//! HTML page with the same picture, the result in numbers, and the sizes of the clusters.

mod elbow;

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::job::{Job, RoundSummary, RunSummary, SampledPoint};
use crate::output;
use crate::pca::Projection;
use crate::s3::S3Endpoint;

pub use elbow::write_elbow;

/// The most points that are drawn, so that browsers open the file quickly.
pub const POINTS_MAX: u64 = 3_000;

const SIZE: (u32, u32) = (1_160, 640);
const CHARTS_WIDTH: u32 = 540;
/// How much higher a chart is than its line, so that the legend is above it.
const LEGEND_ROOM: f64 = 1.5;
const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(232, 234, 238);
const BLUE: RGBColor = RGBColor(45, 105, 180);
const ORANGE: RGBColor = RGBColor(222, 120, 40);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Checks the name of a report, whose extension sets the format.
///
/// # Errors
///
/// It is neither `.svg` nor `.html`.
pub fn check(path: &Path) -> Result<()> {
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    match extension.as_deref().and_then(|extension| extension.to_str()) {
        Some("svg" | "html" | "htm") => Ok(()),
        _ => Err(Error::Output {
            path: path.to_path_buf(),
            reason: "a report is an SVG or an HTML page; choose a name that ends with .svg or .html",
        }),
    }
}

/// Writes the report of a run: an HTML page if the name says so, otherwise SVG.
///
/// # Errors
///
/// The file cannot be written.
pub fn write(
    path: &Path,
    endpoint: &S3Endpoint,
    title: &str,
    job: &Job,
    summary: &RunSummary,
    warnings: &[String],
) -> Result<()> {
    let mut svg = String::new();
    draw(&mut svg, title, job.data.dims(), summary).expect("drawing into memory succeeds");
    let text = if is_page(path) { page(&svg, title, job, summary, warnings) } else { svg };
    output::write_file(path, endpoint, |out| out.write_all(text.as_bytes()))
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("html") || extension.eq_ignore_ascii_case("htm")
    })
}

/// How many clusters, and coordinates of a centroid, a page shows.
const CLUSTERS_SHOWN: usize = 200;
const COORDINATES_SHOWN: usize = 8;

fn page(svg: &str, title: &str, job: &Job, summary: &RunSummary, warnings: &[String]) -> String {
    let done = &summary.done;
    let dims = job.data.dims();
    let points: u64 = done.counts.iter().map(|count| count.unsigned_abs()).sum();
    let mut html = page_head(title);
    let end = if done.converged { "converged after" } else { "stopped after" };
    html += &format!(
        "<p>{points} points of {dims} numbers in {} clusters: {end} {} iterations, with a cost (sum of \
         squared distances) of {:.6e}, in {:.3} s.</p>\n",
        job.settings.k, done.iterations, done.cost, summary.seconds_total
    );
    for line in said(job, summary).lines() {
        html += &format!("<p>{}</p>\n", escaped(line));
    }
    for warning in warnings {
        html += &format!("<p class=\"warning\">{}</p>\n", escaped(warning));
    }
    // An SVG within HTML has no declaration.
    html += svg.find("<svg").map_or("", |start| &svg[start..]);
    html +=
        "\n<h2>Clusters</h2>\n<table><tr><th>cluster</th><th>points</th><th>share</th><th></th>";
    let columns = &job.data.reading().columns;
    for column in 0..dims.min(COORDINATES_SHOWN) {
        let name = columns.get(column).map_or_else(|| format!("x{}", column + 1), |n| escaped(n));
        html += &format!("<th>{name}</th>");
    }
    html += if dims > COORDINATES_SHOWN { "<th>…</th></tr>\n" } else { "</tr>\n" };
    let centroids = done.centroids_of_data(dims);
    let clusters = done.counts.iter().zip(centroids.chunks_exact(dims)).enumerate();
    for (cluster, (count, centroid)) in clusters.take(CLUSTERS_SHOWN) {
        let share = *count as f64 / points.max(1) as f64 * 100.0;
        html += &format!(
            "<tr><td>{cluster}</td><td>{count}</td><td>{share:.1} %</td>\
             <td><div class=\"bar\" style=\"width:{share:.1}px\"></div></td>"
        );
        for c in centroid.iter().take(COORDINATES_SHOWN) {
            html += &format!("<td>{c:.6}</td>");
        }
        html += "</tr>\n";
    }
    html += "</table>\n";
    if done.counts.len() > CLUSTERS_SHOWN {
        html += &format!("<p>and {} more clusters</p>\n", done.counts.len() - CLUSTERS_SHOWN);
    }
    html + "</body></html>\n"
}

/// Returns the beginning of a page, up to its title.
fn page_head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body{{font-family:sans-serif;max-width:1180px;margin:2em auto;color:#282c34}}\
         table{{border-collapse:collapse}}td,th{{padding:.2em .8em;text-align:right;\
         border-bottom:1px solid #e8eaee}}.bar{{background:#2d69b4;height:.8em}}\
         .warning{{background:#fdf0e0;padding:.6em 1em}}</style></head><body>\n<h1>{title}</h1>\n",
        title = escaped(title)
    )
}

/// Returns how the data was understood, and what was done to the points, in lines.
fn said(job: &Job, summary: &RunSummary) -> String {
    let mut said = Vec::new();
    output::write_reading(job.data.reading(), &mut said)
        .and_then(|()| output::write_transform(&summary.done.transform, &mut said))
        .expect("writing to memory succeeds");
    String::from_utf8_lossy(&said).into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(svg: &mut String, title: &str, dims: usize, summary: &RunSummary) -> DrawResult {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, ("sans-serif", 20).into_font().color(&INK))?;
    let (charts, map) = root.split_horizontally(CHARTS_WIDTH);
    let (cost, time) = charts.split_vertically(charts.dim_in_pixel().1 / 2);
    draw_cost(&cost, summary)?;
    draw_time(&time, summary)?;
    draw_map(&map, dims, summary)?;
    root.present()?;
    Ok(())
}

fn draw_cost(area: &Area<'_>, summary: &RunSummary) -> DrawResult {
    let costs = summary.rounds.iter().map(|round| round.cost);
    let low = costs.clone().fold(f64::INFINITY, f64::min);
    let high = costs.clone().fold(0.0, f64::max);
    let line: Vec<_> = numbers(summary).zip(costs).collect();
    let mut chart = chart(area, "cost by round", summary, padded(low, high))?;
    styled(&mut chart, 8, &whole, &|cost| format!("{cost:.4e}"))?;
    chart.draw_series(LineSeries::new(line.iter().copied(), BLUE.stroke_width(2)))?;
    chart.draw_series(line.iter().map(|at| Circle::new(*at, 2, BLUE.filled())))?;
    Ok(())
}

/// Returns the numbers of the rounds of this driver.
fn numbers(summary: &RunSummary) -> impl Iterator<Item = f64> {
    (summary.rounds_before..).map(|round| round as f64)
}

fn draw_time(area: &Area<'_>, summary: &RunSummary) -> DrawResult {
    let ms = |seconds: fn(&RoundSummary) -> f64| {
        let rounds = summary.rounds.iter().map(move |round| seconds(round) * 1e3);
        numbers(summary).zip(rounds).collect::<Vec<_>>()
    };
    let all = ms(|round| round.seconds);
    let coordination = ms(|round| round.seconds_coordination);
    let high = all.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
    let mut chart = chart(area, "milliseconds by round", summary, 0.0..high * LEGEND_ROOM + 1e-3)?;
    styled(&mut chart, 8, &whole, &|ms| format!("{ms}"))?;
    for (line, colour, name) in
        [(all, BLUE, "slowest worker"), (coordination, ORANGE, "coordination")]
    {
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.85))
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

/// Draws the sampled points and the centres in the principal plane of the points.
fn draw_map(area: &Area<'_>, dims: usize, summary: &RunSummary) -> DrawResult {
    let points: Vec<&[f64]> = summary.sample.iter().map(|sampled| &sampled.point[..]).collect();
    let projection = Projection::of(&points);
    // One number is drawn as it is, with the cluster as the other axis, and points beside each other.
    let place = |point: &[f64], label: usize, beside: f64| match point {
        [x] => (*x, label as f64 + beside),
        _ => projection.project(point),
    };
    let dot = |(at, s): (usize, &SampledPoint)| {
        let beside = (at * 7 % 11) as f64 / 10.0 - 0.5;
        (place(&s.point, s.label as usize, 0.6 * beside), s.label)
    };
    let dots: Vec<_> = summary.sample.iter().enumerate().map(dot).collect();
    let centroids = summary.done.centroids.chunks_exact(dims).enumerate();
    let centres: Vec<_> = centroids.map(|(label, centroid)| place(centroid, label, 0.0)).collect();
    let everywhere = || dots.iter().map(|(at, _)| *at).chain(centres.iter().copied());
    let span = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        padded(low, high)
    };
    let (xs, ys) =
        (span(&mut everywhere().map(|(x, _)| x)), span(&mut everywhere().map(|(_, y)| y)));
    let plane = if dims == 1 { "cluster by value" } else { "principal plane" };
    let caption = format!("{} points and {} centres, {plane}", dots.len(), centres.len());
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(caption, ("sans-serif", 15).into_font().color(&INK))
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d(xs, ys)?;
    let plain = |x: &f64| format!("{x}");
    styled(&mut chart, 6, &plain, if dims == 1 { &whole } else { &plain })?;
    let k = centres.len();
    chart.draw_series(
        dots.iter()
            .map(|(at, label)| Circle::new(*at, 2, hue(*label as usize, k).mix(0.65).filled())),
    )?;
    chart.draw_series(centres.iter().map(|at| Circle::new(*at, 7, WHITE.filled())))?;
    chart.draw_series(
        centres.iter().enumerate().map(|(i, at)| Circle::new(*at, 5, hue(i, k).filled())),
    )?;
    chart.draw_series(centres.iter().map(|at| Circle::new(*at, 6, INK.stroke_width(2))))?;
    Ok(())
}

type Chart<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn chart<'a>(
    area: &Area<'a>,
    caption: &str,
    summary: &RunSummary,
    ys: Range<f64>,
) -> std::result::Result<Chart<'a>, Box<dyn std::error::Error>> {
    let first = summary.rounds_before as f64;
    let last = first + summary.rounds.len().saturating_sub(1).max(1) as f64;
    Ok(ChartBuilder::on(area)
        .margin(12)
        .caption(caption, ("sans-serif", 15).into_font().color(&INK))
        .x_label_area_size(28)
        .y_label_area_size(76)
        .build_cartesian_2d(first..last, ys)?)
}

/// Prints a number of rounds or clusters, of which there are no halves.
fn whole(number: &f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { String::new() }
}

/// Draws axes, with at most so many labels below.
fn styled(
    chart: &mut Chart<'_>,
    labels: usize,
    x_label: &dyn Fn(&f64) -> String,
    y_label: &dyn Fn(&f64) -> String,
) -> DrawResult {
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .y_labels(5)
        .x_labels(labels)
        .x_label_formatter(&x_label)
        .y_label_formatter(&y_label)
        .draw()?;
    Ok(())
}

/// Returns a range slightly larger than the given one, and never empty.
fn padded(low: f64, high: f64) -> Range<f64> {
    let pad = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-9);
    low - pad..high + pad
}

/// Returns the colour of a label. Hues of neighbouring labels are far apart.
fn hue(label: usize, k: usize) -> HSLColor {
    let stride =
        (1..=k).find(|stride| stride * stride * 2 >= k && gcd(*stride, k) == 1).unwrap_or(1);
    HSLColor((label * stride % k) as f64 / k as f64, 0.62, 0.48)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
