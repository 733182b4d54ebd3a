//! Runs with several numbers of clusters, to choose one: the cost and the silhouette of each.

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::data::DataSet;
use crate::error::Result;
use crate::job::RunSummary;
use crate::output::{self, ReadingReport, grouped};
use crate::report;
use crate::s3::S3Endpoint;
use crate::silhouette::mean_silhouette;

/// The most numbers of clusters.
pub const RUNS_MAX: usize = 1_000;

/// Numbers of clusters, as on the command line: `2..10` for all from 2 to 10, or `2,4,8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterCounts(pub Vec<usize>);

impl FromStr for ClusterCounts {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a range of numbers such as 2..10, which includes both, or a \
                                list such as 2,4,8; at most 1000 numbers, each at least 1";
        let number = |text: &str| match text.trim().parse::<usize>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(EXPECTED),
        };
        let mut counts = match text.split_once("..") {
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last.trim_start_matches('='))?);
                if first > last || last - first >= RUNS_MAX {
                    return Err(EXPECTED);
                }
                (first..=last).collect()
            }
            None => text.split(',').map(number).collect::<Result<Vec<_>, _>>()?,
        };
        counts.sort_unstable();
        counts.dedup();
        if counts.len() > RUNS_MAX { Err(EXPECTED) } else { Ok(Self(counts)) }
    }
}

/// The result of all runs, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct ElbowReport<'a> {
    points: u64,
    dims: usize,
    workers: u32,
    backend: &'a str,
    seed: u64,
    reading: ReadingReport<'a>,
    /// Number of points of which silhouettes are computed.
    silhouette_sample: u64,
    /// The number of clusters with the highest silhouette.
    silhouette_best_k: Option<usize>,
    runs: Vec<ElbowRun>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ElbowRun {
    /// Number of clusters.
    pub k: usize,
    /// Sum of squared distances.
    pub cost: f64,
    /// The mean silhouette of the sampled points, if they are in several clusters.
    pub silhouette: Option<f64>,
    /// Number of updates of the centroids.
    pub iterations: u64,
    /// Whether the centroids came to rest before the iterations ran out.
    pub converged: bool,
    /// Number of clusters without points.
    pub empty: usize,
    /// The seed of this run, which is the best of several with `--n-init`.
    pub seed: u64,
    /// The time of the run, reading included.
    pub seconds: f64,
}

impl ElbowRun {
    /// Returns the result of a run whose sampled points came back.
    #[must_use]
    pub fn of(k: usize, seed: u64, summary: &RunSummary) -> Self {
        let done = &summary.done;
        Self {
            k,
            cost: done.cost,
            silhouette: mean_silhouette(&summary.sample),
            iterations: done.iterations,
            converged: done.converged,
            empty: done.counts.iter().filter(|count| **count == 0).count(),
            seed,
            seconds: summary.seconds_total,
        }
    }
}

impl<'a> ElbowReport<'a> {
    /// Joins runs. `points` is their number, of which silhouettes are those of at most `sample`.
    #[must_use]
    pub fn new(
        data: &'a DataSet,
        (workers, backend): (u32, &'a str),
        seed: u64,
        (points, sample): (u64, u64),
        runs: Vec<ElbowRun>,
    ) -> Self {
        let scored = runs.iter().filter_map(|run| Some((run.silhouette?, run.k)));
        // Of equal ones, the one with fewer clusters.
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        Self {
            points,
            dims: data.dims(),
            workers,
            backend,
            seed,
            reading: ReadingReport::of(data),
            silhouette_sample: points.min(sample),
            silhouette_best_k: best.map(|(_, k)| k),
            runs,
        }
    }

    /// Writes one line of JSON.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }

    /// Writes a table.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_text(&self, data: &DataSet, out: &mut dyn Write) -> io::Result<()> {
        let (title, points) = (data.title(), grouped(self.points));
        writeln!(out, "{title}: {points} points of {} numbers ({})", self.dims, data.precision())?;
        output::write_reading(data.reading(), out)?;
        writeln!(out, "{:>6}  {:>13}  {:>10}  iterations", "k", "cost", "silhouette")?;
        for run in &self.runs {
            let silhouette = run.silhouette.map_or("-".to_string(), |s| format!("{s:.4}"));
            let rest = if run.converged { "" } else { ", still moving" };
            let empty = match run.empty {
                0 => String::new(),
                empty => format!(", {empty} clusters empty"),
            };
            let ElbowRun { k, cost, iterations, .. } = run;
            writeln!(out, "{k:>6}  {cost:>13.6e}  {silhouette:>10}  {iterations}{rest}{empty}")?;
        }
        let (sample, seed) = (grouped(self.silhouette_sample), self.seed);
        match (self.silhouette_sample, self.silhouette_best_k) {
            (0, _) => Ok(()),
            (_, None) => writeln!(out, "no silhouettes: they need at least two clusters"),
            (all, Some(k)) if all == self.points => {
                writeln!(out, "silhouettes of all points; the highest is that of k = {k}")
            }
            (_, Some(k)) => writeln!(
                out,
                "silhouettes of {sample} points drawn with seed {seed}; the highest is that of k = {k}"
            ),
        }
    }

    /// Draws the runs: an HTML page if the name says so, otherwise SVG.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn draw(&self, path: &Path, endpoint: &S3Endpoint, title: &str) -> Result<()> {
        report::write_elbow(path, endpoint, title, &self.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_clusters_are_a_range_or_a_list() {
        let counts = |text: &str| text.parse::<ClusterCounts>().map(|counts| counts.0);
        assert_eq!(counts("2..5"), Ok(vec![2, 3, 4, 5]));
        assert_eq!(counts("2..=3"), Ok(vec![2, 3]));
        assert_eq!(counts("7..7"), Ok(vec![7]));
        assert_eq!(counts("8, 2,4,2"), Ok(vec![2, 4, 8]));
        assert_eq!(counts("3"), Ok(vec![3]));
        assert_eq!(counts("1..1000").unwrap().len(), RUNS_MAX);
        for wrong in ["", "0..3", "5..2", "2..", "..5", "a", "2,,3", "-1", "1..1001", "0"] {
            assert!(counts(wrong).unwrap_err().contains("such as 2..10"), "{wrong}");
        }
    }
}
