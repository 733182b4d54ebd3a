//! A job as an invocation: the driver runs where the workers run, so that no other machine has to reach
//! the engine.
//!
//! The driver is an invocation of the function whose other invocations are the workers. It goes on with a
//! job of the same name ([`crate::resume`]), so a driver whose time is nearly over ends with the error
//! `Again`, and the same invocation once more continues the job. The event is JSON:
//!
//! ```json
//! {"run": {
//!     "job": "monday", "engine": "s3://bucket/clusters#km", "workers": 16, "k": 25,
//!     "data": "s3://bucket/data/points/", "out": "s3://bucket/results/monday.csv"
//! }}
//! ```
//!
//! Besides these it has the fields of [`Settings`] and [`Hints`].

use std::path::PathBuf;

use catena_cloud::{Cloud, Context, Failure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{DataSet, Hints};
use crate::error::{Error, Result};
use crate::event::own_name;
use crate::job::{Job, Labels, RunSummary, named};
use crate::link::{JobEngine, JobWatch};
use crate::model::Model;
use crate::output;
use crate::s3::S3Endpoint;
use crate::settings::Settings;
use crate::worker;
use crate::workers::{self, RunLimit};

/// A job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunRequest {
    /// The name under which the job can be resumed.
    job: String,
    /// The engine: addresses, or the location of a cluster's record.
    engine: String,
    /// Number of workers, each an invocation.
    workers: u32,
    /// The points.
    data: PathBuf,
    /// Where the centroids are written.
    out: PathBuf,
    /// Where the model is written, if anywhere.
    #[serde(default)]
    model: Option<PathBuf>,
    /// How the points are clustered.
    #[serde(flatten)]
    settings: Settings,
    /// How the data is read.
    #[serde(flatten)]
    hints: Hints,
}

/// The result of a job.
#[derive(Debug, Serialize)]
pub(crate) struct RunResult {
    job: String,
    data: String,
    out: String,
    points: u64,
    dims: usize,
    k: usize,
    workers: u32,
    /// Number of updates of the centroids.
    iterations: u64,
    /// How many of them were made before this invocation.
    iterations_before: u64,
    /// Whether the centroids came to rest before the iterations ran out.
    converged: bool,
    /// Sum of squared distances.
    cost: f64,
}

/// Returns whether an event asks for a job.
pub(crate) fn is_request(event: &Value) -> bool {
    event.get("run").is_some()
}

/// Drives the job of an event.
pub(crate) fn run(context: &Context<'_>, event: &Value) -> Result<RunResult, Failure> {
    let request = RunRequest::deserialize(&event["run"])
        .map_err(|error| Failure::Final(format!("cannot read the fields of `run`: {error}")))?;
    request.run(context).map_err(worker::failure)
}

impl RunRequest {
    fn run(self, context: &Context<'_>) -> Result<RunResult> {
        let Self { job, engine, workers, data, out, model, mut settings, hints } = self;
        let data_set = DataSet::open(&data, hints)?;
        let endpoint = S3Endpoint::default();
        for path in [Some(&out), model.as_ref()].into_iter().flatten() {
            data_set.check_output(path)?;
        }
        // Workers may wait as long as this invocation runs.
        settings.timeout = settings.timeout.max(context.time_left().unwrap_or_default());
        let name = named(&job)?;
        let run = Job {
            name,
            engine,
            data: data_set,
            settings,
            workers,
            prepared: false,
            resumable: true,
            labels: Labels::None,
            sample: false,
        };
        let before = JobWatch::open(&run)?;
        before.prepare()?;
        let before = before.round()?.map_or(0, |(round, _)| round + 1);
        let done = drive(&run, context).and_then(|summary| {
            let centroids = summary.done.centroids_of_data(run.data.dims());
            output::write_centroids(&out, &endpoint, &run.data, &centroids)?;
            if let Some(model) = &model {
                Model::of(&run, &summary).write(model, &endpoint)?;
            }
            Ok(summary)
        });
        // The next invocation goes on with a job whose driver only ran out of time, or of which the engine
        // was unreachable.
        if !done.as_ref().is_err_and(Error::is_passing) {
            JobEngine::Remote(run.engine.clone()).clear(&run);
        }
        let RunSummary { done, .. } = done?;
        Ok(RunResult {
            job,
            data: data.display().to_string(),
            out: out.display().to_string(),
            points: done.counts.iter().map(|count| count.unsigned_abs()).sum(),
            dims: run.data.dims(),
            k: run.settings.k,
            workers,
            iterations: done.iterations,
            iterations_before: before.min(done.iterations),
            converged: done.converged,
            cost: done.cost,
        })
    }
}

/// Runs the workers as invocations of the own function, until the time of this one is nearly over.
fn drive(job: &Job, context: &Context<'_>) -> Result<RunSummary> {
    let cloud = Cloud::lambda(&own_name(), None).map_err(Error::Cloud)?;
    let limit = context.time_left();
    let limit = limit.map(|time| RunLimit { flag: "the time of the driver", time, is_pause: true });
    let run = workers::run_within(job, &cloud, limit, &mut |_| (), &mut |restart| {
        eprintln!("worker {}: {}; restarting it", restart.party, restart.reason);
    });
    match run {
        Err(Error::LimitReached { .. }) => {
            let round = JobWatch::open(job)?.round()?;
            let at = round.map_or("the initial centroids".into(), |(at, _)| format!("round {at}"));
            Err(Error::OutOfTime { at })
        }
        run => run,
    }
}
