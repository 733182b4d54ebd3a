//! Cost and silhouette by number of clusters, as a picture or a page.

use std::path::Path;

use plotters::prelude::*;

use super::{BLUE, DrawResult, INK, ORANGE, is_page, page_head, styled, whole};
use crate::elbow::ElbowRun;
use crate::error::Result;
use crate::output;
use crate::s3::S3Endpoint;

const SIZE: (u32, u32) = (760, 640);

/// Writes the picture of several runs: an HTML page if the name says so, otherwise SVG.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_elbow(
    path: &Path,
    endpoint: &S3Endpoint,
    title: &str,
    runs: &[ElbowRun],
) -> Result<()> {
    let mut svg = String::new();
    draw(&mut svg, title, runs).expect("drawing into memory succeeds");
    let text = if is_page(path) { page(&svg, title, runs) } else { svg };
    output::write_file(path, endpoint, |out| out.write_all(text.as_bytes()))
}

fn draw(svg: &mut String, title: &str, runs: &[ElbowRun]) -> DrawResult {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, ("sans-serif", 20).into_font().color(&INK))?;
    let costs: Vec<_> = runs.iter().map(|run| (run.k as f64, run.cost)).collect();
    let silhouettes: Vec<_> =
        runs.iter().filter_map(|run| Some((run.k as f64, run.silhouette?))).collect();
    let charts = if silhouettes.is_empty() { 1 } else { 2 };
    let areas = root.split_evenly((charts, 1));
    let all = [
        ("cost by number of clusters", costs, BLUE),
        ("mean silhouette by number of clusters", silhouettes, ORANGE),
    ];
    let (first, last) = (runs[0].k as f64, runs[runs.len() - 1].k as f64);
    let range = if first < last { first..last } else { first - 0.5..first + 0.5 };
    for (area, (caption, line, colour)) in areas.iter().zip(all) {
        let values = || line.iter().map(|(_, value)| *value);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(24)
            .caption(caption, ("sans-serif", 15).into_font().color(&INK))
            .x_label_area_size(28)
            .y_label_area_size(80)
            .build_cartesian_2d(range.clone(), super::padded(low, high))?;
        styled(&mut chart, runs.len().min(12), &whole, &|value| {
            if high.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.4e}") }
        })?;
        chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(line.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
    }
    root.present()?;
    Ok(())
}

fn page(svg: &str, title: &str, runs: &[ElbowRun]) -> String {
    let mut html = page_head(title);
    // An SVG within HTML has no declaration.
    html += svg.find("<svg").map_or("", |start| &svg[start..]);
    html += "\n<h2>Runs</h2>\n<table><tr><th>k</th><th>cost</th><th>silhouette</th>\
             <th>iterations</th></tr>\n";
    for ElbowRun { k, cost, silhouette, iterations, .. } in runs {
        let silhouette = silhouette.map_or("-".to_string(), |s| format!("{s:.4}"));
        html += &format!(
            "<tr><td>{k}</td><td>{cost:.6e}</td><td>{silhouette}</td><td>{iterations}</td></tr>\n"
        );
    }
    html + "</table>\n</body></html>\n"
}
