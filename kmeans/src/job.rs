//! A job: what all workers of a run share, what one worker does, and what it reports to the driver.
//!
//! Events are plain data, and so is one worker's part of a job ([`crate::worker::Assignment`]), so
//! that a worker can be a thread here or a process anywhere.

mod check;
mod summary;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::batches;
use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::data::{DataSet, Missing, Points, ReadMeter, RowFile, index};
use crate::error::{Error, Result};
use crate::fixed::{self, Scale};
use crate::init::{self, Init};
use crate::kernel::{Element, Isa, Precision};
use crate::lloyd::{self, Problem, RoundStats};
use crate::output;
use crate::report::POINTS_MAX;
use crate::settings::Settings;
use crate::transform::{Distance, Transform};

pub(crate) use summary::SummaryBuilder;
pub use summary::{RoundSummary, RunSummary};

/// The parts of a run that are the same for all workers.
#[derive(Debug, Clone)]
pub struct Job {
    /// The prefix of the names of the job's shared objects. Concurrent runs need different names.
    pub name: String,
    /// The engine: an address, several addresses with commas, or the location of a cluster's
    /// record.
    pub engine: String,
    /// The points, inspected but not read.
    pub data: DataSet,
    /// How the points are clustered.
    pub settings: Settings,
    /// Number of workers that share the points.
    pub workers: u32,
    /// Whether the driver has created the shared objects
    /// ([`JobWatch::prepare`](crate::link::JobWatch::prepare)). Then a missing object means that
    /// the job is over.
    pub prepared: bool,
    /// Whether an earlier driver may have begun the job under this name, and this one goes on with it
    /// ([`JobWatch::prepare`](crate::link::JobWatch::prepare)).
    pub resumable: bool,
    /// What workers do with the labels of their points.
    pub labels: Labels,
    /// Whether workers return some points with their labels, for the report.
    pub sample: bool,
}

/// What a worker does with the labels of its points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// It discards them.
    #[default]
    None,
    /// It returns them with its result.
    #[serde(rename = "told")]
    Returned,
    /// It writes them to its own file in this folder, which may be in a store.
    Written(PathBuf),
}

/// What a worker reports on the way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum WorkerEvent {
    /// It has read this many more bytes, as stored.
    Read(u64),
    /// It has read its rows.
    Loaded {
        /// How long that took.
        seconds: f64,
    },
    /// A round is over.
    Round(RoundStats),
    /// A round is over, as the driver sees it in the shared objects of workers that report only
    /// with their result.
    Seen {
        /// The last complete round.
        round: u64,
        /// Points with another label than in the round before.
        moved: i64,
    },
}

/// The result of a worker. All fields but the last three are the same for all workers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerResult {
    /// The centroids, `k × dims`. An invocation leaves them in the engine instead.
    pub centroids: Vec<f64>,
    /// Number of points in each cluster.
    pub counts: Vec<i64>,
    /// Sum of the weights in each cluster, if points have weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f64>,
    /// What was done to points before they were clustered. Centroids are those of changed points.
    #[serde(default, skip_serializing_if = "Transform::is_identity")]
    pub transform: Transform,
    /// Sum of squared distances to the centroids, by weight.
    pub cost: f64,
    /// Number of updates of the centroids.
    pub iterations: u64,
    /// Whether the centroids came to rest before the iterations ran out.
    pub converged: bool,
    /// Number of missing values among the worker's rows that were filled in, or of its rows that were
    /// left out because of them, unless they were left out when the files were counted.
    #[serde(default)]
    pub missing: u64,
    /// Labels of the worker's rows, if the job asks for them.
    pub labels: Vec<u32>,
    /// Some of the worker's rows, if the job asks for them.
    pub sample: Vec<SampledPoint>,
}

/// A point of the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SampledPoint {
    /// Its coordinates.
    pub point: Vec<f64>,
    /// Its cluster.
    pub label: u32,
}

/// One worker's rows, in the precision of the job.
#[derive(Debug)]
pub enum LoadedRows {
    /// 32-bit coordinates.
    F32(Points<f32>),
    /// 64-bit coordinates.
    F64(Points<f64>),
    /// 32-bit coordinates, on disk.
    DiskF32(RowFile<f32>),
    /// 64-bit coordinates, on disk.
    DiskF64(RowFile<f64>),
}

/// Returns a name that no other run has, on this machine or elsewhere.
#[must_use]
pub fn unique_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("kmeans/{:x}-{:x}", now.as_nanos(), std::process::id())
}

/// The longest name that a user can give a job.
const JOB_NAME_MAX: usize = 64;

/// Returns the name in the engine of a job that the user calls so.
///
/// # Errors
///
/// The name could be that of objects of another job.
pub fn named(name: &str) -> Result<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > JOB_NAME_MAX || !name.chars().all(is_part) {
        let reason = "expected at most 64 letters, digits, hyphens, underscores and periods";
        return Err(Error::Flag { flag: "--job", reason });
    }
    Ok(format!("kmeans/{name}"))
}

impl Job {
    /// Reads the rows of one worker.
    ///
    /// # Errors
    ///
    /// Those of [`DataSet::load`].
    pub fn load(&self, party: u32, meter: &ReadMeter) -> Result<LoadedRows> {
        let share = self.data.share(party, self.workers);
        if self.settings.batch_size.is_some() {
            return Ok(match self.data.precision() {
                Precision::F32 => LoadedRows::DiskF32(self.data.load_to_disk(share, meter)?),
                Precision::F64 => LoadedRows::DiskF64(self.data.load_to_disk(share, meter)?),
            });
        }
        Ok(match self.data.precision() {
            Precision::F32 => LoadedRows::F32(self.data.load_metered(share, meter)?),
            Precision::F64 => LoadedRows::F64(self.data.load_metered(share, meter)?),
        })
    }

    /// Does one worker's part. `resumes` says that an earlier attempt may have contributed already.
    ///
    /// # Errors
    ///
    /// Those of [`lloyd::run`] and of `report`; too few points, if they were not counted before.
    pub fn work(
        &self,
        party: u32,
        points: LoadedRows,
        link: &mut dyn AllReduce,
        resumes: bool,
        report: &mut dyn FnMut(WorkerEvent) -> Result<()>,
    ) -> Result<WorkerResult> {
        match points {
            LoadedRows::F32(points) => self.iterate(party, points, link, resumes, report),
            LoadedRows::F64(points) => self.iterate(party, points, link, resumes, report),
            LoadedRows::DiskF32(rows) => self.batches(party, rows, link, resumes, report),
            LoadedRows::DiskF64(rows) => self.batches(party, rows, link, resumes, report),
        }
    }

    /// Does one worker's part of a job with batches.
    fn batches<T: Element>(
        &self,
        party: u32,
        mut rows: RowFile<T>,
        link: &mut dyn AllReduce,
        resumes: bool,
        report: &mut dyn FnMut(WorkerEvent) -> Result<()>,
    ) -> Result<WorkerResult> {
        let points = match self.data.points() {
            Some(all) => all,
            None => {
                let (first, all) = self.count(party, rows.rows(), link)?;
                rows.first = first;
                all
            }
        };
        let parties = self.workers;
        let problem = Problem { settings: self.settings.clone(), points, party, parties };
        let outcome = batches::run(&problem, &rows, Isa::detect(), link, resumes, &mut |round| {
            report(WorkerEvent::Round(round))
        })?;
        let labels = self.deliver(party, outcome.labels)?;
        Ok(WorkerResult {
            centroids: outcome.centroids,
            counts: outcome.counts,
            weights: outcome.weights,
            transform: Transform::default(),
            cost: outcome.cost,
            iterations: outcome.iterations,
            converged: outcome.converged,
            missing: rows.missing,
            labels,
            sample: Vec::new(),
        })
    }

    /// Does with the labels of a worker's points what the job asks for; returns those that belong to the
    /// result.
    fn deliver(&self, party: u32, labels: Vec<u32>) -> Result<Vec<u32>> {
        match &self.labels {
            Labels::None => Ok(Vec::new()),
            Labels::Returned => Ok(labels),
            Labels::Written(folder) => {
                let file = folder.join(format!("part-{party:05}.csv"));
                output::write_labels(&file, self.data.endpoint(), &labels)?;
                Ok(Vec::new())
            }
        }
    }

    fn iterate<T: Element>(
        &self,
        party: u32,
        mut points: Points<T>,
        link: &mut dyn AllReduce,
        resumes: bool,
        report: &mut dyn FnMut(WorkerEvent) -> Result<()>,
    ) -> Result<WorkerResult> {
        let all_points = match self.data.points() {
            Some(all) => all,
            None => {
                let (first, all) = self.count(party, points.rows() as u64, link)?;
                points.first = first;
                all
            }
        };
        let missing = points.missing;
        if self.data.missing() == Missing::Mean {
            self.fill(&mut points, all_points, link)?;
        }
        let transform = self.transform(&mut points, all_points, link)?;
        let mut settings = self.settings.clone();
        if let (Init::Centroids(centroids), None) = (&mut settings.init, &self.settings.transform) {
            // They are given in the units of the data.
            let changed = transform.apply(centroids, points.dims);
            changed.map_err(|at| Error::ZeroCentroid { centroid: at + 1 })?;
        }
        let parties = self.workers;
        let problem = Problem { settings, points: all_points, party, parties };
        let outcome = lloyd::run(&problem, &points, Isa::detect(), link, resumes, &mut |round| {
            report(WorkerEvent::Round(round))
        })?;
        let sample = self.sample(&points, all_points, &outcome.labels);
        let labels = self.deliver(party, outcome.labels)?;
        Ok(WorkerResult {
            centroids: outcome.centroids,
            counts: outcome.counts,
            weights: outcome.weights,
            transform,
            cost: outcome.cost,
            iterations: outcome.iterations,
            converged: outcome.converged,
            missing,
            labels,
            sample,
        })
    }

    /// Scales columns, and brings rows to unit length, as the settings say or a model has done.
    fn transform<T: Element>(
        &self,
        points: &mut Points<T>,
        all: u64,
        link: &mut dyn AllReduce,
    ) -> Result<Transform> {
        let Settings { scale, distance, transform, .. } = &self.settings;
        let transform = match transform {
            Some(transform) => transform.clone(),
            None => Transform::agree(*scale, *distance, points, all, link)?,
        };
        let (first, dims) = (points.first, points.dims);
        let changed = transform.apply(&mut points.values, dims);
        if transform.distance == Distance::Cosine {
            // Of all workers, so that none waits for one that has found such a row. The lowest row
            // becomes the largest number.
            let zero = changed.err().map_or(0, |at| i64::MAX - (first + at as u64).cast_signed());
            let mut values = vec![zero];
            link.all_reduce(Phase::ZeroRow, ReduceOp::Max, &mut values)?;
            if values[0] > 0 {
                let row = (i64::MAX - values[0]).unsigned_abs() + 1;
                return Err(Error::ZeroVector { path: self.data.path().to_path_buf(), row });
            }
        }
        Ok(transform)
    }

    /// Replaces missing values by the mean of their column over all workers.
    fn fill<T: Element>(
        &self,
        points: &mut Points<T>,
        all: u64,
        link: &mut dyn AllReduce,
    ) -> Result<()> {
        let dims = points.dims;
        let mut values: Vec<i64> = lloyd::extremes(points).map(fixed::to_ordered).collect();
        link.all_reduce(Phase::FillRange, ReduceOp::Max, &mut values)?;
        let extremes: Vec<f64> = values.into_iter().map(fixed::from_ordered).collect();
        let (high, negated_low) = extremes.split_at(dims);
        if let Some(column) = high.iter().position(|high| *high == f64::NEG_INFINITY) {
            let path = self.data.path().to_path_buf();
            return Err(Error::NoValues { path, column: column + 1 });
        }
        let spans = high.iter().zip(negated_low);
        let scales: Vec<Scale> =
            spans.map(|(high, negated_low)| Scale::of(-negated_low, *high, all)).collect();
        // The sum of each dimension, then the number of its values.
        let mut sums = vec![0; 2 * dims];
        let (total, counts) = sums.split_at_mut(dims);
        for row in points.values.chunks_exact(dims) {
            for (((sum, count), x), scale) in
                total.iter_mut().zip(&mut *counts).zip(row).zip(&scales)
            {
                if !x.to_f64().is_nan() {
                    *sum += scale.quantise(x.to_f64());
                    *count += 1;
                }
            }
        }
        link.all_reduce(Phase::FillMean, ReduceOp::Sum, &mut sums)?;
        let (total, counts) = sums.split_at(dims);
        let means = total.iter().zip(counts).zip(&scales);
        let means: Vec<T> =
            means.map(|((sum, count), scale)| T::from_f64(scale.mean(*sum, *count))).collect();
        for row in points.values.chunks_exact_mut(dims) {
            for (x, mean) in row.iter_mut().zip(&means) {
                if x.to_f64().is_nan() {
                    *x = *mean;
                }
            }
        }
        Ok(())
    }

    /// Adds up the rows of all workers. Returns the global number of this worker's first row, and the
    /// number of all.
    fn count(&self, party: u32, own: u64, link: &mut dyn AllReduce) -> Result<(u64, u64)> {
        let mut rows = vec![0; self.workers as usize];
        rows[party as usize] = own.cast_signed();
        link.all_reduce(Phase::Count, ReduceOp::Sum, &mut rows)?;
        let sum = |rows: &[i64]| rows.iter().map(|rows| rows.cast_unsigned()).sum();
        let all = sum(&rows);
        self.check_points(all)?;
        Ok((sum(&rows[..party as usize]), all))
    }

    /// Returns the points that the job asks for: drawn ones, or those whose global number is a multiple
    /// of a step. They are the same rows for any number of workers.
    fn sample<T: Element>(
        &self,
        points: &Points<T>,
        all: u64,
        labels: &[u32],
    ) -> Vec<SampledPoint> {
        let Settings { drawn, seed, .. } = self.settings;
        let own = points.first..points.first + points.rows() as u64;
        let rows: Vec<u64> = if drawn > 0 {
            let mut rows = init::drawn(seed, drawn, all);
            rows.retain(|row| own.contains(row));
            rows
        } else if self.sample {
            let step = all.div_ceil(POINTS_MAX);
            let first = own.start.next_multiple_of(step);
            (first..own.end).step_by(index(step)).collect()
        } else {
            Vec::new()
        };
        let sampled = rows.into_iter().map(|row| {
            let at = index(row - own.start);
            let point = &points.values[at * points.dims..][..points.dims];
            let point = point.iter().map(|x| x.to_f64()).collect();
            SampledPoint { point, label: labels[at] }
        });
        sampled.collect()
    }
}

impl WorkerResult {
    /// Returns the centroids in the units of the data.
    #[must_use]
    pub fn centroids_of_data(&self, dims: usize) -> Vec<f64> {
        self.transform.in_data_units(&self.centroids, dims)
    }
}
