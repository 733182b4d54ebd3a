//! The output of a run: centroids and labels as files, the result as JSON or as text.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::DataSet;
use crate::error::{Error, Result};
use crate::job::{Job, RunSummary};
use crate::kernel::{Element, Precision};
use crate::s3::{self, S3Endpoint, S3Url};

/// Bytes per write.
const BUFFER_BYTES: usize = 1 << 20;

/// A file, or an object in a store, that is being written. It is complete after
/// [`OutputFile::finish`]; an object does not exist before.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    to: OutputTarget,
}

#[derive(Debug)]
enum OutputTarget {
    File(BufWriter<File>),
    #[cfg(feature = "s3")]
    S3(s3::S3Writer),
}

impl OutputFile {
    /// Checks a path before there is anything to write.
    ///
    /// # Errors
    ///
    /// A path in a store that this program cannot use, or that is a folder.
    pub fn check(path: &Path, endpoint: &S3Endpoint) -> Result<()> {
        S3Url::of(path)?.map_or(Ok(()), |url| to_store(url, endpoint).map(drop))
    }

    /// Creates the file or object at a path.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn create(path: &Path, endpoint: &S3Endpoint) -> Result<Self> {
        let to = match S3Url::of(path)? {
            Some(url) => to_store(url, endpoint)?,
            None => {
                let file = File::create(path).map_err(Error::io(path))?;
                OutputTarget::File(BufWriter::with_capacity(BUFFER_BYTES, file))
            }
        };
        Ok(Self { path: path.to_path_buf(), to })
    }

    /// Writes the rest.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn finish(self) -> Result<()> {
        match self.to {
            OutputTarget::File(mut file) => file.flush().map_err(Error::io(&self.path)),
            #[cfg(feature = "s3")]
            OutputTarget::S3(sink) => sink.finish(),
        }
    }
}

#[cfg(feature = "s3")]
fn to_store(url: S3Url, endpoint: &S3Endpoint) -> Result<OutputTarget> {
    Ok(OutputTarget::S3(s3::S3Writer::new(s3::S3Store::open(endpoint)?, url)?))
}

#[cfg(not(feature = "s3"))]
fn to_store(url: S3Url, _: &S3Endpoint) -> Result<OutputTarget> {
    s3::not_built(&url)
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            OutputTarget::File(file) => file.write(bytes),
            #[cfg(feature = "s3")]
            OutputTarget::S3(sink) => sink.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            OutputTarget::File(file) => file.flush(),
            #[cfg(feature = "s3")]
            OutputTarget::S3(sink) => sink.flush(),
        }
    }
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
    seconds_iterations: Vec<f64>,
    seconds_coordination: Vec<f64>,
    rpcs_per_worker_per_iteration: f64,
    centroids: Vec<Vec<f64>>,
}

impl<'a> RunReport<'a> {
    /// Creates the report of a run of `job` on `backend`.
    ///
    /// Rounds that update centres are iterations. The last round, which only assigns points, is
    /// part of `seconds_total` alone.
    #[must_use]
    pub fn new(job: &Job, backend: &'a str, summary: &RunSummary) -> Self {
        let done = &summary.done;
        let iterations =
            usize::try_from(done.iterations).expect("a run has fewer iterations than usize::MAX");
        let rounds = &summary.rounds[..iterations];
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
            seconds_iterations: rounds.iter().map(|round| round.seconds).collect(),
            seconds_coordination: rounds.iter().map(|round| round.seconds_coordination).collect(),
            rpcs_per_worker_per_iteration: if reports == 0 {
                0.0
            } else {
                calls as f64 / f64::from(reports)
            },
            centroids: done.centroids.chunks_exact(job.data.dims()).map(<[f64]>::to_vec).collect(),
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
        let (points, name) = (grouped(self.points), job.data.path().display());
        writeln!(out, "{name}: {points} points of {dims} numbers ({})", job.data.precision())?;
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
        let mut counts = summary.done.counts.clone();
        counts.sort_unstable();
        let (least, most) = (counts[0].unsigned_abs(), counts[counts.len() - 1].unsigned_abs());
        writeln!(out, "clusters of {} to {} points", grouped(least), grouped(most))
    }
}

/// Writes one centroid per line, in the precision of the data.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_centroids(
    path: &Path,
    endpoint: &S3Endpoint,
    data: &DataSet,
    centroids: &[f64],
) -> Result<()> {
    write_file(path, endpoint, |out| {
        for centroid in centroids.chunks_exact(data.dims()) {
            for (column, c) in centroid.iter().enumerate() {
                let separator = if column == 0 { "" } else { "," };
                match data.precision() {
                    Precision::F32 => write!(out, "{separator}{}", f32::from_f64(*c))?,
                    Precision::F64 => write!(out, "{separator}{c}")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    })
}

/// Writes the cluster of each point, one per line, in the order of the points.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_labels(path: &Path, endpoint: &S3Endpoint, labels: &[u32]) -> Result<()> {
    write_file(path, endpoint, |out| labels.iter().try_for_each(|label| writeln!(out, "{label}")))
}

/// Writes a file or an object.
///
/// # Errors
///
/// It cannot be written.
pub fn write_file(
    path: &Path,
    endpoint: &S3Endpoint,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let mut out = OutputFile::create(path, endpoint)?;
    write(&mut out).map_err(Error::io(path))?;
    out.finish()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Formats a number with commas between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
