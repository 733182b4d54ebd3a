//! A saved model: the centroids of a run with what is needed to assign other points to them, as JSON.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::coordination::LocalGroup;
use crate::data::{ColumnNames, DataSet, Hints};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::job::{Job, Labels, RunSummary, unique_name};
use crate::kernel::Precision;
use crate::output;
use crate::s3::S3Endpoint;
use crate::settings::Settings;
use crate::threads;
use crate::transform::Transform;

/// The versions of the format: 2 if points are changed before they are compared with centroids, which
/// programs that know only version 1 would not do.
const VERSIONS: [u32; 2] = [1, 2];

/// The centroids of a run, and how they were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    version: u32,
    /// The centroids, a list each: those of points that were changed by `transform`.
    pub centroids: Vec<Vec<f64>>,
    /// Number of points of the run in each cluster.
    pub sizes: Vec<u64>,
    /// Sum of the weights in each cluster, if the points of the run had weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f64>,
    /// What is done to points before they are compared with centroids.
    #[serde(default, skip_serializing_if = "Transform::is_identity")]
    pub transform: Transform,
    /// Names of the coordinates, if the data had a header.
    pub columns: Vec<String>,
    /// The precision in which points were compared with centroids.
    pub precision: Precision,
    /// The data.
    pub data: String,
    /// Number of updates of the centroids.
    pub iterations: u64,
    /// Whether the centroids came to rest before the iterations ran out.
    pub converged: bool,
    /// Sum of squared distances.
    pub cost: f64,
    /// The seed of the run.
    pub seed: u64,
}

impl Model {
    /// Returns the model that a run has made.
    #[must_use]
    pub fn of(job: &Job, summary: &RunSummary) -> Self {
        let done = &summary.done;
        Self {
            version: VERSIONS[usize::from(!done.transform.is_identity())],
            weights: done.weights.clone(),
            transform: done.transform.clone(),
            centroids: done.centroids.chunks_exact(job.data.dims()).map(<[f64]>::to_vec).collect(),
            sizes: done.counts.iter().map(|count| count.unsigned_abs()).collect(),
            columns: job.data.reading().columns.clone(),
            precision: job.data.precision(),
            data: job.data.title(),
            iterations: done.iterations,
            converged: done.converged,
            cost: done.cost,
            seed: job.settings.seed,
        }
    }

    /// Writes the model.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path, endpoint: &S3Endpoint) -> Result<()> {
        output::write_file(path, endpoint, |out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            writeln!(out)
        })
    }

    /// Reads a model from a file on this machine.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no model of this version.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let wrong = |reason: String| Error::Model { path: path.to_path_buf(), reason };
        let model: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if !VERSIONS.contains(&model.version) {
            let [old, new] = VERSIONS;
            return Err(wrong(format!(
                "its version is {}, expected {old} or {new}",
                model.version
            )));
        }
        let dims = model.centroids.first().map_or(0, Vec::len);
        if dims == 0 || model.centroids.iter().any(|centroid| centroid.len() != dims) {
            return Err(wrong("its centroids have no or different lengths".to_string()));
        }
        let Transform { shifts, divisors, .. } = &model.transform;
        if shifts.len() != divisors.len() || (!shifts.is_empty() && shifts.len() != dims) {
            return Err(wrong("its centroids and its scale have different lengths".to_string()));
        }
        Ok(model)
    }

    /// Assigns points, which `open` inspects, to the nearest centroid, with threads of this process; returns
    /// the labels and the cost. Columns are taken by the names in the model if both have names.
    ///
    /// # Errors
    ///
    /// Those of reading the data; rows of another length than the centroids.
    pub fn predict(
        &self,
        open: impl Fn(&Hints) -> Result<DataSet>,
        mut hints: Hints,
    ) -> Result<RunSummary> {
        hints.precision = hints.precision.or(Some(self.precision));
        let mut set = open(&hints)?;
        let named = set.reading().columns.clone();
        if hints.columns.is_none()
            && !named.is_empty()
            && !self.columns.is_empty()
            && named != self.columns
        {
            hints.columns = Some(ColumnNames(self.columns.clone()));
            set = open(&hints)?;
        }
        let (k, dims) = (self.centroids.len(), self.centroids[0].len());
        if set.dims() != dims {
            let (path, got) = (set.path().to_path_buf(), set.dims());
            return Err(Error::ModelDims { path, expected: dims, got });
        }
        let init = Init::Centroids(self.centroids.concat());
        let transform = Some(self.transform.clone());
        let settings = Settings { k, iterations: 0, init, transform, ..Settings::default() };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = u32::try_from(cores).unwrap_or(u32::MAX);
        let group = LocalGroup::new(workers, settings.timeout);
        let job = Job {
            name: unique_name(),
            engine: String::new(),
            data: set,
            settings,
            workers,
            prepared: false,
            resumable: false,
            labels: Labels::Returned,
            sample: false,
        };
        threads::run(&job, |_, party| Ok(group.join(party)), &mut |_| ())
    }
}
