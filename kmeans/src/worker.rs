//! One worker of a job, as a function of [`catena_cloud`]: a process or an invocation receives its
//! assignment, reads its rows, and takes part until the job is over.
//!
//! 1. A worker may be started again at any time, even while its earlier attempt still runs: both
//!    contribute the same, and a contribution counts once. A worker that is behind the others
//!    catches up ([`crate::lloyd`]).
//! 2. A worker whose time is nearly over asks for another attempt. What it holds on the engine
//!    expires with its time. Attempts that complete no phase of the job that was not complete before
//!    are given up after a few ([`catena_cloud::ATTEMPTS`]), because each would end at the same place.
//! 3. A worker that outlives a job with a driver finds the job's objects deleted and ends; it
//!    creates no new ones.
//! 4. Errors that another attempt cannot repair, such as a malformed row, are final.
//!
//! An assignment is JSON, and short enough to be written by hand: fields with defaults may be left
//! out, and `data` may be a path or URL, which the worker then inspects itself.
//!
//! ```json
//! {
//!     "engine": "10.0.0.5:7400", "job": "kmeans/1", "worker": 0, "workers": 4,
//!     "data": "s3://bucket/points/", "k": 25
//! }
//! ```

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use catena_cloud::{Context, Failure, Functions};
use serde::{Deserialize, Serialize};
#[cfg(feature = "lambda")]
use serde_json::Value;

use crate::data::{DataSet, Hints, ReadMeter};
use crate::error::{Error, Result};
use crate::job::{Job, Labels, LoadedRows, WorkerEvent, WorkerResult};
use crate::link::EngineLink;
use crate::output;
use crate::s3::S3Endpoint;
use crate::settings::Settings;
#[cfg(feature = "lambda")]
use crate::{event, request};

/// The name of the function.
pub const FUNCTION: &str = "kmeans";

/// How often a worker reports what it has read, to a driver that listens and through the engine.
const REPORT_EVERY: Duration = Duration::from_millis(100);
const REPORT_TO_ENGINE_EVERY: Duration = Duration::from_secs(1);

/// A worker asks for another attempt if there is no time left for this many rounds as long as the
/// last one.
const ROUNDS_LEFT: u32 = 2;

/// One worker's part of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// See [`Job::engine`].
    pub engine: String,
    /// See [`Job::name`]. Each job has its own name.
    pub job: String,
    /// Number of this worker, from 0.
    pub worker: u32,
    /// Number of workers.
    pub workers: u32,
    /// The points.
    pub data: AssignedData,
    /// How data is read that is given as a path.
    #[serde(flatten)]
    pub hints: Hints,
    /// How the points are clustered. A worker whose time is limited waits for other workers until
    /// its time is over, instead of for [`Settings::timeout`].
    #[serde(flatten)]
    pub settings: Settings,
    /// See [`Job::prepared`].
    #[serde(default)]
    pub prepared: bool,
    /// What the worker does with the labels of its points.
    #[serde(default)]
    pub labels: Labels,
    /// Whether the worker returns some points with their labels, for a report.
    #[serde(default)]
    pub sample: bool,
    /// Where worker 0 writes the centroids, in jobs without a driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
}

/// The points of an assignment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AssignedData {
    /// A path or URL, which the worker inspects.
    Path(PathBuf),
    /// A data set that the driver has inspected.
    Inspected(Box<DataSet>),
}

impl Assignment {
    /// Returns one worker's part of a job.
    #[must_use]
    pub fn of(job: &Job, worker: u32) -> Self {
        Self {
            engine: job.engine.clone(),
            job: job.name.clone(),
            worker,
            workers: job.workers,
            prepared: job.prepared,
            data: AssignedData::Inspected(Box::new(job.data.clone())),
            hints: Hints::default(),
            settings: job.settings.clone(),
            labels: job.labels.clone(),
            sample: job.sample,
            out: None,
        }
    }

    /// Returns the job, for this worker.
    fn job(&self) -> Result<Job> {
        let data = match &self.data {
            AssignedData::Inspected(data) => DataSet::clone(data),
            AssignedData::Path(path) => DataSet::open(path, self.hints.clone())?,
        };
        if self.worker >= self.workers {
            let reason = "workers are numbered from 0 to `workers` - 1";
            return Err(Error::Flag { flag: "worker", reason });
        }
        let job = Job {
            name: self.job.clone(),
            engine: self.engine.clone(),
            data,
            settings: self.settings.clone(),
            workers: self.workers,
            prepared: self.prepared,
            resumable: false,
            labels: self.labels.clone(),
            sample: self.sample,
        };
        job.check()?;
        Ok(job)
    }
}

/// Returns the functions that a program serves whose processes or environments run workers.
#[must_use]
pub fn functions() -> Functions {
    let functions = Functions::new().with(FUNCTION, run);
    #[cfg(feature = "lambda")]
    let functions = functions.with_fallback(without_driver);
    functions
}

/// Handles invocations without a driver: uploads, jobs whose driver is an invocation, and assignments by
/// hand.
#[cfg(feature = "lambda")]
fn without_driver(context: &Context<'_>, event: Value) -> Result<Value, Failure> {
    if event::is_event(&event) {
        return Ok(serde_json::to_value(event::run(context, event)?)?);
    }
    if request::is_request(&event) {
        return Ok(serde_json::to_value(request::run(context, &event)?)?);
    }
    if event.get("job").is_some() {
        return Ok(serde_json::to_value(run(context, serde_json::from_value(event)?)?)?);
    }
    let expected = "expected an assignment with the fields engine, job, worker, workers, data and k, \
                    a job as the field run, or an event of S3";
    Err(Failure::Final(expected.into()))
}

fn run(context: &Context<'_>, assignment: Assignment) -> Result<WorkerResult, Failure> {
    work(context, &assignment).map_err(failure)
}

/// Decides whether another attempt could succeed.
pub(crate) fn failure(error: Error) -> Failure {
    if error.is_passing() {
        Failure::Retry(error.to_string())
    } else {
        Failure::Final(error.to_string())
    }
}

fn work(context: &Context<'_>, assignment: &Assignment) -> Result<WorkerResult> {
    let job = assignment.job()?;
    let (worker, until) = (assignment.worker, context.deadline());
    // Connects first, because an unreachable engine should be reported before data is read.
    let mut link = EngineLink::join_until(&job, worker, until)?;
    let start = Instant::now();
    let points = load(context, &job, worker, &link)?;
    let report = |event: &WorkerEvent| {
        context.report(event).map_err(|failure| Error::Worker { message: failure.to_string() })
    };
    report(&WorkerEvent::Loaded { seconds: start.elapsed().as_secs_f64() })?;
    let done = job.work(worker, points, &mut link, true, &mut |event| {
        report(&event)?;
        match (&event, until) {
            (WorkerEvent::Round(round), Some(until)) => {
                let needed = Duration::from_secs_f64(round.seconds) * ROUNDS_LEFT;
                if until.saturating_duration_since(Instant::now()) < needed {
                    return Err(Error::OutOfTime { at: format!("round {}", round.round) });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    });
    context.reached(link.reached());
    let mut done = done?;
    if let Some(out) = assignment.out.as_ref().filter(|_| worker == 0) {
        output::write_centroids(
            out,
            &S3Endpoint::default(),
            &job.data,
            &done.centroids_of_data(job.data.dims()),
        )?;
    }
    if job.prepared && !context.is_live() {
        // A reply has a limit of size; the driver finds the centroids in the engine.
        let centroids = std::mem::take(&mut done.centroids);
        if worker == 0 {
            link.leave_result(&centroids)?;
        }
    }
    Ok(done)
}

/// Reads the worker's rows and reports progress.
fn load(
    context: &Context<'_>,
    job: &Job,
    worker: u32,
    link: &EngineLink<'_>,
) -> Result<LoadedRows> {
    let meter = ReadMeter::default();
    let (working, finished) = mpsc::channel::<()>();
    let every = if context.is_live() { REPORT_EVERY } else { REPORT_TO_ENGINE_EVERY };
    thread::scope(|scope| {
        let loading = scope.spawn(|| {
            let loaded = job.load(worker, &meter);
            drop(working);
            loaded
        });
        let mut reported = 0;
        let mut is_over = false;
        while !is_over {
            is_over = finished.recv_timeout(every) == Err(RecvTimeoutError::Disconnected);
            let bytes = meter.bytes() - reported;
            reported += bytes;
            if context.is_live() {
                // If the driver has stopped listening, the next report after loading shows it.
                drop(context.report(&WorkerEvent::Read(bytes)));
            } else {
                link.note_read(bytes);
            }
        }
        loading.join().expect("loading does not panic")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::init::Init;
    use crate::pruning::Pruning;

    /// Drivers and functions of different versions meet, so the keys stay as they are.
    #[test]
    fn assignments_keep_their_keys() {
        let job = Job {
            name: "kmeans/1".into(),
            engine: "10.0.0.5:7400".into(),
            data: DataSet::digits(None).unwrap(),
            settings: Settings {
                init: Init::Random,
                timeout: Duration::from_millis(1_500),
                ..Settings::default()
            },
            workers: 4,
            prepared: true,
            resumable: false,
            labels: Labels::Returned,
            sample: false,
        };
        let assignment = serde_json::to_value(Assignment::of(&job, 3)).unwrap();
        let keys: BTreeSet<_> =
            assignment.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "engine",
            "job",
            "worker",
            "workers",
            "data",
            "k",
            "iterations",
            "tolerance",
            "init",
            "seed",
            "pruning",
            "prepared",
            "timeout",
            "labels",
            "sample",
        ];
        assert_eq!(keys, BTreeSet::from(expected));
        let values = json!([
            assignment["init"],
            assignment["timeout"],
            assignment["labels"],
            assignment["pruning"]
        ]);
        assert_eq!(values, json!(["random", 1.5, "told", "none"]));
        let read: Assignment = serde_json::from_value(assignment).unwrap();
        assert_eq!(read.settings, job.settings);
        let data = read.job().unwrap().data;
        assert_eq!((data.points(), data.dims()), (Some(1_797), 64));
    }

    #[test]
    fn assignments_may_be_written_by_hand() {
        let by_hand = |rest: Value| {
            let mut fields = json!({"engine": "a:1", "job": "j", "worker": 0, "workers": 1, "data": "a.f32", "k": 2});
            fields.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            serde_json::from_value::<Assignment>(fields)
        };
        let least = by_hand(json!({})).unwrap();
        assert_eq!(least.settings, Settings { k: 2, ..Settings::default() });
        assert_eq!(least.hints, Hints::default());
        let more = json!({
            "init": {"centroids": [1, 2.5]}, "tolerance": 0, "pruning": "auto", "timeout": 9, "dims": 1, "precision": "f64",
        });
        let more = by_hand(more).unwrap();
        assert_eq!(more.settings.init, Init::Centroids(vec![1.0, 2.5]));
        assert_eq!(
            (more.settings.pruning, more.settings.timeout),
            (Pruning::Auto, Duration::from_secs(9))
        );
        assert_eq!(more.hints.dims, Some(1));
        for (field, expected) in [
            (json!({"iteration": 3}), "unknown field `iteration`"),
            (json!({"timeout": -1}), "cannot convert float seconds to Duration: value is negative"),
            (json!({"timeout": 0}), "expected more than 0 seconds"),
            (json!({"k": "many"}), "invalid type: string"),
        ] {
            let error = by_hand(field).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
