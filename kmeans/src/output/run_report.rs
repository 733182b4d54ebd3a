//! The result of a run, as text and as JSON.

use std::collections::HashSet;
use std::io::{self, Write};

use serde::Serialize;

use super::grouped;
use crate::data::{self, DataSet, Missing, Reading, SeparatorName};
use crate::job::{Job, RunSummary, WorkerResult};
use crate::kernel::Precision;
use crate::transform::{Distance, Scaling, Transform};

/// The sizes of so many clusters are printed.
const SIZES_SHOWN: usize = 30;

/// So many names of what was skipped are printed.
const NAMES_SHOWN: usize = 4;

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
pub struct RunReport<'a> {
    k: usize,
    dims: usize,
    points: u64,
    workers: u32,
    backend: &'a str,
    iterations: u64,
    converged: bool,
    cost: f64,
    seconds_total: f64,
    /// Iterations of an earlier driver, of which there are no times.
    #[serde(skip_serializing_if = "is_zero")]
    iterations_before: u64,
    seconds_iterations: Vec<f64>,
    seconds_coordination: Vec<f64>,
    rpcs_per_worker_per_iteration: f64,
    centroids: Vec<Vec<f64>>,
    /// Number of points in each cluster.
    sizes: Vec<u64>,
    /// Sum of the weights in each cluster; empty if points have none.
    weights: &'a [f64],
    /// What was done to the columns and rows before, if anything. Costs are those of changed points.
    transform: Option<&'a Transform>,
    /// Names of the columns, if the data has a header.
    columns: &'a [String],
    /// How the files were understood.
    reading: ReadingReport<'a>,
    /// Rows that were left out because of missing values.
    rows_dropped: u64,
    /// Missing values that were replaced by the mean of their column.
    values_filled: u64,
    /// The seed of this run, which is the best of several with `--n-init`.
    seed: u64,
    warnings: Vec<String>,
}

impl<'a> RunReport<'a> {
    /// Creates the report of a run of `job` on `backend`.
    ///
    /// Rounds that update centres are iterations. The last round, which only assigns points, is
    /// part of `seconds_total` alone.
    #[must_use]
    pub fn new(job: &'a Job, backend: &'a str, summary: &'a RunSummary) -> Self {
        let done = &summary.done;
        let iterations =
            usize::try_from(done.iterations).expect("a run has fewer iterations than usize::MAX");
        // Those that were over before are not among them.
        let before = usize::try_from(summary.rounds_before).unwrap_or(usize::MAX);
        let rounds = &summary.rounds[..iterations.saturating_sub(before)];
        let calls: u64 = rounds.iter().map(|round| round.calls).sum();
        let reports: u32 = rounds.iter().map(|round| round.workers).sum();
        Self {
            k: job.settings.k,
            dims: job.data.dims(),
            points: done.counts.iter().map(|count| count.unsigned_abs()).sum(),
            workers: job.workers,
            backend,
            iterations: done.iterations,
            converged: done.converged,
            cost: done.cost,
            seconds_total: summary.seconds_total,
            iterations_before: summary.rounds_before,
            seconds_iterations: rounds.iter().map(|round| round.seconds).collect(),
            seconds_coordination: rounds.iter().map(|round| round.seconds_coordination).collect(),
            rpcs_per_worker_per_iteration: if reports == 0 {
                0.0
            } else {
                calls as f64 / f64::from(reports)
            },
            centroids: done
                .centroids_of_data(job.data.dims())
                .chunks_exact(job.data.dims())
                .map(<[f64]>::to_vec)
                .collect(),
            sizes: done.counts.iter().map(|count| count.unsigned_abs()).collect(),
            weights: &done.weights,
            transform: Some(&done.transform).filter(|transform| !transform.is_identity()),
            columns: &job.data.reading().columns,
            reading: ReadingReport::of(&job.data),
            rows_dropped: match job.data.missing() {
                Missing::Drop => job.data.reading().rows_dropped + done.missing,
                Missing::Error | Missing::Mean => 0,
            },
            values_filled: if job.data.missing() == Missing::Mean { done.missing } else { 0 },
            seed: job.settings.seed,
            warnings: warnings(done, job.data.dims()),
        }
    }

    /// Returns what the user should know about the clusters, a line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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

    /// Writes a few lines of text.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_text(
        &self,
        job: &Job,
        summary: &RunSummary,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Self { k, dims, workers, backend, iterations, cost, .. } = self;
        let (points, name) = (grouped(self.points), job.data.title());
        writeln!(out, "{name}: {points} points of {dims} numbers ({})", job.data.precision())?;
        write_reading(job.data.reading(), out)?;
        self.write_missing(out)?;
        if let Some(transform) = self.transform {
            write_transform(transform, out)?;
        }
        if !self.weights.is_empty() {
            let total: f64 = self.weights.iter().sum();
            writeln!(out, "weights: {total:.6} in total, which the cost counts")?;
        }
        let end = if self.converged { "converged after" } else { "stopped after" };
        let plural = if *iterations == 1 { "" } else { "s" };
        writeln!(
            out,
            "k = {k}, {workers} {backend}: {end} {iterations} iteration{plural}, cost {cost:.6e}"
        )?;
        let ms = |seconds: &[f64]| median(seconds) * 1e3;
        writeln!(
            out,
            "{:.3} s, {:.3} s of it reading; {:.2} ms an iteration, {:.3} ms of it coordination (medians)",
            self.seconds_total,
            summary.seconds_loading,
            ms(&self.seconds_iterations),
            ms(&self.seconds_coordination),
        )?;
        let least = self.sizes.iter().copied().min().unwrap_or_default();
        let most = self.sizes.iter().copied().max().unwrap_or_default();
        writeln!(out, "clusters of {} to {} points", grouped(least), grouped(most))?;
        if self.sizes.len() <= SIZES_SHOWN {
            let sizes: Vec<String> = self.sizes.iter().map(|size| grouped(*size)).collect();
            writeln!(out, "sizes: {}", sizes.join(" "))?;
        }
        Ok(())
    }

    /// Writes what became of missing values.
    fn write_missing(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.rows_dropped > 0 {
            writeln!(out, "left out {} rows with missing values", grouped(self.rows_dropped))?;
        }
        if self.values_filled > 0 {
            writeln!(
                out,
                "filled {} missing values with the means of their columns",
                grouped(self.values_filled)
            )?;
        }
        Ok(())
    }
}

/// Writes what was done to the points before they were clustered, if anything.
pub(crate) fn write_transform(transform: &Transform, out: &mut dyn Write) -> io::Result<()> {
    if transform.is_identity() {
        return Ok(());
    }
    let scaled = match transform.scaling {
        Scaling::None => None,
        Scaling::Standard => Some("scaled to a mean of 0 and a standard deviation of 1"),
        Scaling::MinMax => Some("scaled to the range from 0 to 1"),
    };
    let unit = Some("brought to unit length (cosine distance)");
    let unit = unit.filter(|_| transform.distance == Distance::Cosine);
    let done: Vec<&str> = scaled.into_iter().chain(unit).collect();
    writeln!(out, "points: {}; the cost is that of these", done.join(", then "))
}

/// Writes how files were understood.
pub(crate) fn write_reading(reading: &Reading, out: &mut dyn Write) -> io::Result<()> {
    let Reading {
        files,
        files_without_rows,
        files_with_header,
        files_without_header,
        columns,
        separator,
        skipped,
        ..
    } = reading;
    if files_with_header + files_without_header > 0 {
        let header = match (files_with_header, files_without_header) {
            (0, _) => "no header".to_string(),
            (_, 0) => format!("header with the columns {}", data::shown_names(columns)),
            (with, without) => format!(
                "{with} files with the columns {}, {without} without a header",
                data::shown_names(columns)
            ),
        };
        let separator = match separator {
            Some(SeparatorName::Comma) => ", separated by commas",
            Some(SeparatorName::Semicolon) => ", separated by semicolons",
            Some(SeparatorName::Tab) => ", separated by tabs",
            Some(SeparatorName::Blank) | None => "",
        };
        writeln!(out, "text: {header}{separator}")?;
    }
    if *files_without_rows > 0 {
        writeln!(out, "skipped {files_without_rows} of {files} files, which have no rows")?;
    }
    if !skipped.is_empty() {
        let names: Vec<&str> = skipped.iter().take(NAMES_SHOWN).map(String::as_str).collect();
        let more = match skipped.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        writeln!(out, "skipped {}{more}: not data, by name or kind", names.join(", "))?;
    }
    Ok(())
}

/// How files were understood, in `--json`.
#[derive(Debug, Serialize)]
pub struct ReadingReport<'a> {
    /// What was read, as it was given.
    data: String,
    files: u64,
    files_without_rows: u64,
    /// Whether text files begin with the names of their columns: `yes`, `no`, or `some`.
    header: Option<&'static str>,
    /// Of text files, if all have the same.
    separator: Option<SeparatorName>,
    columns: &'a [String],
    /// Whether points have weights, and the name of their column.
    weighted: bool,
    weight_column: Option<&'a str>,
    /// What was done about missing values.
    missing: Missing,
    precision: Precision,
    /// What is in the folder and was left out.
    skipped: &'a [String],
}

impl<'a> ReadingReport<'a> {
    /// Returns how a data set was understood.
    #[must_use]
    pub fn of(data: &'a DataSet) -> Self {
        let reading = data.reading();
        Self {
            data: data.title(),
            files: reading.files,
            files_without_rows: reading.files_without_rows,
            header: match (reading.files_with_header, reading.files_without_header) {
                (0, 0) => None,
                (0, _) => Some("no"),
                (_, 0) => Some("yes"),
                _ => Some("some"),
            },
            separator: reading.separator,
            columns: &reading.columns,
            weighted: data.weighted(),
            weight_column: reading.weights.as_deref(),
            missing: data.missing(),
            precision: data.precision(),
            skipped: &reading.skipped,
        }
    }
}

/// Returns what is odd about clusters.
fn warnings(done: &WorkerResult, dims: usize) -> Vec<String> {
    let k = done.counts.len();
    let mut warnings = Vec::new();
    let empty = done.counts.iter().filter(|count| **count == 0).count();
    let distinct: HashSet<Vec<u64>> = done
        .centroids
        .chunks_exact(dims)
        .map(|centroid| centroid.iter().map(|c| (c + 0.0).to_bits()).collect())
        .collect();
    if empty > 0 {
        let reason = if distinct.len() < k && done.cost <= 0.0 {
            format!("the data has only {} distinct points; choose a --k of at most that", k - empty)
        } else {
            "choose a smaller --k, another --seed or another --init".to_string()
        };
        warnings.push(format!("{empty} of {k} clusters are empty: {reason}"));
    } else if distinct.len() < k {
        warnings.push(format!(
            "only {} of {k} centroids are distinct; choose a smaller --k",
            distinct.len()
        ));
    }
    if !done.converged && done.iterations > 0 {
        warnings.push(format!(
            "the centroids were still moving after {} iterations; allow more with --iterations, or \
             set a --tolerance",
            done.iterations
        ));
    }
    warnings
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
