//! One worker of a job, as a function of a [cloud](catena_cloud): a process or an invocation is told its assignment,
//! reads its rows, and takes part until the job is over, however long that is.
//!
//! 1. A worker may be called again at any time, even while the one before it still runs: both contribute the same, and
//!    a contribution counts once. One that is behind the others goes on where they are ([`crate::lloyd`]).
//! 2. One whose time is nearly over asks to be called again. What it takes from the engine is held no longer than it
//!    may run.
//! 3. One that outlives a job that somebody drives finds its objects gone and ends; it makes no new ones.
//! 4. What cannot be mended by calling it again, as a row that is no row, is final.
//!
//! An assignment is JSON, and short enough to be written by hand: what has a default may be left out, and `data` may be
//! a path or URL, at which the worker then looks itself.
//!
//! ```json
//! {"engine": "10.0.0.5:7400", "job": "kmeans/1", "worker": 0, "workers": 4, "data": "s3://bucket/points/", "k": 25}
//! ```

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use catena_cloud::{Context, Failure, Functions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{DataSet, Format, Hints, Meter};
use crate::error::{Error, Result};
use crate::event;
use crate::init::Init;
use crate::job::{Done, Event, Job, Labels, Loaded};
use crate::kernel::Precision;
use crate::link::Link;
use crate::output;
use crate::pruning::Pruning;
use crate::s3::Endpoint;

/// What a worker is called as.
pub const FUNCTION: &str = "kmeans";

/// How often it is told how much has been read: where events are heard at once, and where the engine passes it on.
const TELL_EVERY: Duration = Duration::from_millis(100);
const TELL_ENGINE_EVERY: Duration = Duration::from_secs(1);

/// Rounds of the length of the last one for which there should be time, or the worker asks to be called again.
const ROUNDS_LEFT: u32 = 2;

/// What a worker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// See [`Job::engine`].
    pub engine: String,
    /// See [`Job::name`]. A name is used for one job.
    pub job: String,
    /// Which worker this is, from 0.
    pub worker: u32,
    /// How many there are.
    pub workers: u32,
    /// The points.
    pub data: Data,
    /// Clusters.
    pub k: usize,
    /// See [`Job::iterations`].
    #[serde(default = "iterations")]
    pub iterations: u64,
    /// See [`Job::tolerance`].
    #[serde(default)]
    pub tolerance: f64,
    /// How to begin.
    #[serde(default)]
    pub init: Init,
    /// What random draws depend on.
    #[serde(default)]
    pub seed: u64,
    /// Whether points that cannot have changed their cluster are left alone.
    #[serde(default)]
    pub pruning: Pruning,
    /// See [`Job::prepared`].
    #[serde(default)]
    pub prepared: bool,
    /// In seconds, see [`Job::timeout`]. A worker that may only run for some time waits as long as that, instead.
    #[serde(default = "timeout")]
    pub timeout: f64,
    /// What is to be done with labels.
    #[serde(default)]
    pub labels: Labels,
    /// Whether some points and their labels are wanted, for a picture.
    #[serde(default)]
    pub sample: bool,
    /// Where worker 0 writes the centroids, for jobs that nobody drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// How data that was not looked at is to be read, see [`Hints`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// See [`Hints::dims`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dims: Option<usize>,
    /// See [`Hints::precision`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
}

/// Points, looked at or not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Data {
    /// A path or URL.
    At(PathBuf),
    /// What looking there told.
    Seen(Box<DataSet>),
}

pub(crate) fn iterations() -> u64 {
    300
}

pub(crate) fn timeout() -> f64 {
    60.0
}

impl Assignment {
    /// One worker's part of a job.
    #[must_use]
    pub fn of(job: &Job, worker: u32) -> Self {
        Self {
            engine: job.engine.clone(),
            job: job.name.clone(),
            worker,
            workers: job.workers,
            prepared: job.prepared,
            data: Data::Seen(Box::new(job.data.clone())),
            k: job.k,
            iterations: job.iterations,
            tolerance: job.tolerance,
            init: job.init.clone(),
            seed: job.seed,
            pruning: job.pruning,
            timeout: job.timeout.as_secs_f64(),
            labels: job.labels.clone(),
            sample: job.sample,
            out: None,
            format: None,
            dims: None,
            precision: None,
        }
    }

    /// The whole job.
    fn job(&self) -> Result<Job> {
        let data = match &self.data {
            Data::Seen(data) => DataSet::clone(data),
            Data::At(path) => {
                let Self { format, dims, precision, .. } = *self;
                DataSet::open(path, Hints { format, dims, precision })?
            }
        };
        let flag = |flag, reason| Err(Error::Flag { flag, reason });
        if self.worker >= self.workers {
            return flag("worker", "workers are counted from 0, and there are not that many");
        }
        let Ok(timeout) = Duration::try_from_secs_f64(self.timeout) else {
            return flag("timeout", "a time in seconds is not negative and not infinite");
        };
        let job = Job {
            name: self.job.clone(),
            engine: self.engine.clone(),
            data,
            k: self.k,
            iterations: self.iterations,
            tolerance: self.tolerance,
            init: self.init.clone(),
            seed: self.seed,
            pruning: self.pruning,
            workers: self.workers,
            prepared: self.prepared,
            timeout,
            labels: self.labels.clone(),
            sample: self.sample,
        };
        job.check()?;
        Ok(job)
    }
}

/// What programs serve in whose processes and environments workers are to run.
#[must_use]
pub fn functions() -> Functions {
    Functions::new().with(FUNCTION, run).with_fallback(otherwise)
}

/// What comes from elsewhere: an upload, or an assignment of its own.
fn otherwise(context: &Context<'_>, event: Value) -> Result<Value, Failure> {
    if event::is_event(&event) {
        return Ok(serde_json::to_value(event::run(context, event)?)?);
    }
    if event.get("job").is_some() {
        return Ok(serde_json::to_value(run(context, serde_json::from_value(event)?)?)?);
    }
    let expected = "expected an assignment with the fields engine, job, worker, workers, data and k, \
                    or an event of S3";
    Err(Failure::Final(expected.into()))
}

fn run(context: &Context<'_>, assignment: Assignment) -> Result<Done, Failure> {
    work(context, &assignment).map_err(failure)
}

/// Whether another attempt could end otherwise.
pub(crate) fn failure(error: Error) -> Failure {
    if error.is_passing() {
        Failure::Retry(error.to_string())
    } else {
        Failure::Final(error.to_string())
    }
}

fn work(context: &Context<'_>, assignment: &Assignment) -> Result<Done> {
    let job = assignment.job()?;
    let (worker, until) = (assignment.worker, context.deadline());
    // An engine that cannot be reached should be found out before anything is read.
    let mut link = Link::join_until(&job, worker, until)?;
    let start = Instant::now();
    let points = load(context, &job, worker, &link)?;
    let tell = |event: &Event| {
        context.report(event).map_err(|failure| Error::Worker { message: failure.to_string() })
    };
    tell(&Event::Loaded { seconds: start.elapsed().as_secs_f64() })?;
    let done = job.work(worker, points, &mut link, true, &mut |event| {
        tell(&event)?;
        match (&event, until) {
            (Event::Round(round), Some(until)) => {
                let needed = Duration::from_secs_f64(round.seconds) * ROUNDS_LEFT;
                if until.saturating_duration_since(Instant::now()) < needed {
                    return Err(Error::OutOfTime { at: format!("round {}", round.round) });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    })?;
    if let Some(out) = assignment.out.as_ref().filter(|_| worker == 0) {
        output::write_centroids(out, &Endpoint::default(), &job.data, &done.centroids)?;
    }
    Ok(done)
}

/// Reads the worker's rows, and tells how far that is.
fn load(context: &Context<'_>, job: &Job, worker: u32, link: &Link<'_>) -> Result<Loaded> {
    let meter = Meter::default();
    let (working, finished) = mpsc::channel::<()>();
    let every = if context.is_live() { TELL_EVERY } else { TELL_ENGINE_EVERY };
    thread::scope(|scope| {
        let loading = scope.spawn(|| {
            let loaded = job.load(worker, &meter);
            drop(working);
            loaded
        });
        let mut told = 0;
        let mut is_over = false;
        while !is_over {
            is_over = finished.recv_timeout(every) == Err(RecvTimeoutError::Disconnected);
            let bytes = meter.bytes() - told;
            told += bytes;
            if context.is_live() {
                // Who does not listen any more is found out when there is something to say.
                drop(context.report(&Event::Read(bytes)));
            } else {
                link.note_read(bytes);
            }
        }
        loading.join().expect("loading does not panic")
    })
}
