//! A report of a run as one SVG: cost and time by round, and the points in their clusters.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::Result;
use crate::job::{RoundSummary, RunSummary, SampledPoint};
use crate::output;
use crate::pca::Projection;
use crate::s3::S3Endpoint;

/// The most points that are drawn, so that browsers open the file quickly.
pub const POINTS_MAX: u64 = 3_000;

const SIZE: (u32, u32) = (1_160, 640);
const CHARTS_WIDTH: u32 = 540;
const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(232, 234, 238);
const BLUE: RGBColor = RGBColor(45, 105, 180);
const ORANGE: RGBColor = RGBColor(222, 120, 40);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes the report of a run over `dims`-dimensional points.
///
/// # Errors
///
/// The file cannot be written.
pub fn write(
    path: &Path,
    endpoint: &S3Endpoint,
    title: &str,
    dims: usize,
    summary: &RunSummary,
) -> Result<()> {
    let mut svg = String::new();
    draw(&mut svg, title, dims, summary).expect("drawing into memory succeeds");
    output::write_file(path, endpoint, |out| out.write_all(svg.as_bytes()))
}

type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(svg: &mut String, title: &str, dims: usize, summary: &RunSummary) -> DrawResult {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, ("sans-serif", 20).into_font().color(&INK))?;
    let (charts, map) = root.split_horizontally(CHARTS_WIDTH);
    let (cost, time) = charts.split_vertically(charts.dim_in_pixel().1 / 2);
    draw_cost(&cost, &summary.rounds)?;
    draw_time(&time, &summary.rounds)?;
    draw_map(&map, dims, summary)?;
    root.present()?;
    Ok(())
}

fn draw_cost(area: &Area<'_>, rounds: &[RoundSummary]) -> DrawResult {
    let costs = rounds.iter().map(|round| round.cost);
    let low = costs.clone().fold(f64::INFINITY, f64::min);
    let high = costs.clone().fold(0.0, f64::max);
    let line: Vec<_> = (0..).map(f64::from).zip(costs).collect();
    let mut chart = chart(area, "cost by round", rounds.len(), padded(low, high))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .y_labels(5)
        .x_labels(8)
        .y_label_formatter(&|cost| format!("{cost:.4e}"))
        .x_label_formatter(&|round| format!("{round:.0}"))
        .draw()?;
    chart.draw_series(LineSeries::new(line.iter().copied(), BLUE.stroke_width(2)))?;
    chart.draw_series(line.iter().map(|at| Circle::new(*at, 2, BLUE.filled())))?;
    Ok(())
}

fn draw_time(area: &Area<'_>, rounds: &[RoundSummary]) -> DrawResult {
    let ms = |seconds: fn(&RoundSummary) -> f64| {
        (0..)
            .map(f64::from)
            .zip(rounds.iter().map(move |round| seconds(round) * 1e3))
            .collect::<Vec<_>>()
    };
    let all = ms(|round| round.seconds);
    let coordination = ms(|round| round.seconds_coordination);
    let high = all.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
    let mut chart = chart(area, "milliseconds by round", rounds.len(), 0.0..high * 1.15 + 1e-3)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .y_labels(5)
        .x_labels(8)
        .x_label_formatter(&|round| format!("{round:.0}"))
        .draw()?;
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
    let dots: Vec<_> = summary
        .sample
        .iter()
        .map(|s: &SampledPoint| (projection.project(&s.point), s.label))
        .collect();
    let centroids = summary.done.centroids.chunks_exact(dims);
    let centres: Vec<_> = centroids.map(|centroid| projection.project(centroid)).collect();
    let everywhere = || dots.iter().map(|(at, _)| *at).chain(centres.iter().copied());
    let span = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        padded(low, high)
    };
    let (xs, ys) =
        (span(&mut everywhere().map(|(x, _)| x)), span(&mut everywhere().map(|(_, y)| y)));
    let caption = format!("{} points and {} centres, principal plane", dots.len(), centres.len());
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(caption, ("sans-serif", 15).into_font().color(&INK))
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d(xs, ys)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_labels(6)
        .y_labels(6)
        .draw()?;
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
    rounds: usize,
    ys: Range<f64>,
) -> std::result::Result<Chart<'a>, Box<dyn std::error::Error>> {
    let last = rounds.saturating_sub(1).max(1) as f64;
    Ok(ChartBuilder::on(area)
        .margin(12)
        .caption(caption, ("sans-serif", 15).into_font().color(&INK))
        .x_label_area_size(28)
        .y_label_area_size(76)
        .build_cartesian_2d(0.0..last, ys)?)
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
