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
#[cfg(feature = "lambda")]
use serde_json::Value;

use crate::data::{DataSet, Hints, Meter};
use crate::error::{Error, Result};
#[cfg(feature = "lambda")]
use crate::event;
use crate::job::{Done, Event, Job, Labels, Loaded};
use crate::link::Link;
use crate::output;
use crate::s3::Endpoint;
use crate::settings::Settings;

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
    /// How data that was not looked at is to be read.
    #[serde(flatten)]
    pub hints: Hints,
    /// How the points are clustered. A worker that may only run for some time waits as long as that for the others.
    #[serde(flatten)]
    pub settings: Settings,
    /// See [`Job::prepared`].
    #[serde(default)]
    pub prepared: bool,
    /// What is to be done with labels.
    #[serde(default)]
    pub labels: Labels,
    /// Whether some points and their labels are wanted, for a picture.
    #[serde(default)]
    pub sample: bool,
    /// Where worker 0 writes the centroids, for jobs that nobody drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
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
            hints: Hints::default(),
            settings: job.settings.clone(),
            labels: job.labels.clone(),
            sample: job.sample,
            out: None,
        }
    }

    /// The whole job.
    fn job(&self) -> Result<Job> {
        let data = match &self.data {
            Data::Seen(data) => DataSet::clone(data),
            Data::At(path) => DataSet::open(path, self.hints)?,
        };
        if self.worker >= self.workers {
            let reason = "workers are counted from 0, and there are not that many";
            return Err(Error::Flag { flag: "worker", reason });
        }
        let job = Job {
            name: self.job.clone(),
            engine: self.engine.clone(),
            data,
            settings: self.settings.clone(),
            workers: self.workers,
            prepared: self.prepared,
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
    let functions = Functions::new().with(FUNCTION, run);
    #[cfg(feature = "lambda")]
    let functions = functions.with_fallback(otherwise);
    functions
}

/// What comes from elsewhere: an upload, or an assignment of its own.
#[cfg(feature = "lambda")]
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
            labels: Labels::Told,
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
