//! An upload as the beginning of a job: S3 tells a function of new objects, itself or through EventBridge, and it
//! clusters the points in them.
//!
//! What is to be done is said by the function's environment, see [`UploadSettings`]. An object is a data set of its own; one
//! that is called `_SUCCESS` says that the folder it is in is complete, and that is the data set then. Other names that
//! begin with `.` or `_` are no data, nor is anything below where results are written.

use std::path::PathBuf;
use std::thread;

use catena_cloud::{Context, Failure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::coordination::Local;
use crate::data::{DataSet, Hints};
use crate::error::{Error, Result};
use crate::job::{Job, Labels, Summary};
use crate::output;
use crate::s3::{Endpoint, Url};
use crate::settings::Settings;
use crate::{threads, worker};

/// What the names of the variables begin with.
const PREFIX: &str = "CATENA_KMEANS_";

/// Marks a folder that is complete.
const COMPLETE: &str = "_SUCCESS";

/// What the environment says: each is a variable, `CATENA_KMEANS_` and the name in capitals, as `CATENA_KMEANS_K=25`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadSettings {
    /// How the points are clustered.
    #[serde(flatten)]
    pub settings: Settings,
    /// How the data is to be read.
    #[serde(flatten)]
    pub hints: Hints,
    /// Where the centroids go: an object, or a folder in which they are called as their data is, with
    /// `.centroids.csv` after it.
    pub out: PathBuf,
    /// How many share the points; unless told otherwise, one per core if they are threads.
    #[serde(default)]
    pub workers: Option<u32>,
    /// The function that workers are invocations of; `self` for the one that is told of the upload. Without it, they
    /// are threads of that, which need no engine.
    #[serde(default)]
    pub function: Option<String>,
    /// The engine that workers meet in, if they are invocations.
    #[serde(default)]
    pub engine: Option<String>,
}

/// What became of one upload.
#[derive(Debug, PartialEq, Serialize)]
pub struct Clustered {
    /// The data set.
    pub data: String,
    /// Where its centroids are.
    pub out: String,
    /// Of it.
    pub points: u64,
    /// Until the centres were at rest, or the iterations ran out.
    pub iterations: u64,
    /// Whether they were at rest.
    pub converged: bool,
    /// Sum of squared distances.
    pub cost: f64,
}

/// An object that was made.
#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
}

/// What S3 tells a function itself.
#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event: String,
    s3: Entity,
}

/// What S3 tells by way of EventBridge.
#[derive(Deserialize)]
struct Bridged {
    #[serde(rename = "detail-type")]
    kind: String,
    detail: Entity,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Key,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

/// Whether it is S3 that tells of something.
pub(crate) fn is_event(event: &Value) -> bool {
    event.get("Records").is_some() || event["source"] == "aws.s3"
}

/// The objects that were made.
fn uploads(event: Value) -> serde_json::Result<Vec<Upload>> {
    if event.get("Records").is_none() {
        let Bridged { kind, detail: Entity { bucket, object } } = serde_json::from_value(event)?;
        // Here keys are as they are.
        let upload = Upload { bucket: bucket.name, key: object.key };
        return Ok(Vec::from_iter((kind == "Object Created").then_some(upload)));
    }
    let Notification { records } = serde_json::from_value(event)?;
    let created = records.into_iter().filter(|record| record.event.starts_with("ObjectCreated:"));
    Ok(created
        .map(|Record { s3: Entity { bucket, object }, .. }| Upload {
            bucket: bucket.name,
            key: decode(&object.key),
        })
        .collect())
}

/// Does what the environment says with what was uploaded.
pub(crate) fn run(context: &Context<'_>, event: Value) -> Result<Vec<Clustered>, Failure> {
    let settings = UploadSettings::from_vars(std::env::vars()).map_err(|error| {
        Failure::Final(format!("the variables {PREFIX}... cannot be understood: {error}"))
    })?;
    let mut done = Vec::new();
    for upload in uploads(event)? {
        let Some(data) = upload.data(&settings).map_err(worker::failure)? else { continue };
        done.push(settings.cluster(context, &data).map_err(worker::failure)?);
    }
    Ok(done)
}

impl Upload {
    /// The data set that this makes known, if it does.
    fn data(self, settings: &UploadSettings) -> Result<Option<Url>> {
        let url = Url { bucket: Some(self.bucket), key: self.key };
        // A result that is told of must not become the next data.
        if let Some(out) = Url::of(&settings.out)?
            && (out.bucket.is_none() || out.bucket == url.bucket)
            && url.key.starts_with(&out.key)
        {
            return Ok(None);
        }
        let (folder, name) = url.key.rsplit_once('/').unwrap_or(("", &url.key));
        if name == COMPLETE && !folder.is_empty() {
            return Ok(Some(Url { key: format!("{folder}/"), ..url }));
        }
        Ok(if name.starts_with(['.', '_']) || name.is_empty() { None } else { Some(url) })
    }
}

/// Keys come as in a query: a plus is a blank, and a percent sign with two digits a byte.
fn decode(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        rest = &after[if escaped.is_some() { 2 } else { 0 }..];
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl UploadSettings {
    fn from_vars(vars: impl Iterator<Item = (String, String)>) -> serde_json::Result<Self> {
        let mut fields = Map::new();
        for (name, value) in vars {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            // A variable that is set to nothing is not set.
            if value.is_empty() {
                continue;
            }
            let number = value.parse::<serde_json::Number>().map(Value::Number);
            fields.insert(name.to_ascii_lowercase(), number.unwrap_or(Value::String(value)));
        }
        serde_json::from_value(Value::Object(fields))
    }

    fn cluster(&self, context: &Context<'_>, data: &Url) -> Result<Clustered> {
        let path = PathBuf::from(data.to_string());
        let data_set = DataSet::open(&path, self.hints)?;
        let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (workers, engine) = match (&self.function, &self.engine, self.workers) {
            (None, None, workers) => {
                let cores = || u32::try_from(cores()).unwrap_or(u32::MAX);
                (workers.unwrap_or_else(cores), String::new())
            }
            (Some(_), Some(engine), Some(workers)) => (workers, engine.clone()),
            _ => {
                return Err(Error::Flag {
                    flag: "CATENA_KMEANS_FUNCTION",
                    reason: "workers that are invocations take an engine to meet in, and a number: \
                             say all of CATENA_KMEANS_FUNCTION, _ENGINE and _WORKERS, or none of \
                             the first two",
                });
            }
        };
        let mut settings = self.settings.clone();
        // Workers need not give up before this function has to.
        settings.timeout = settings.timeout.max(context.time_left().unwrap_or_default());
        let job = Job {
            name: crate::job::unique_name(),
            engine,
            data: data_set,
            settings,
            workers,
            prepared: false,
            labels: Labels::None,
            sample: false,
        };
        let summary = match &self.function {
            None => {
                let local = Local::new(workers, job.settings.timeout);
                threads::run(&job, |_, party| Ok(local.join(party)), &mut |_| ())?
            }
            Some(function) => invoke(function, &job)?,
        };
        let out = self.out_of(data)?;
        let Summary { done, .. } = summary;
        output::write_centroids(&out, &Endpoint::default(), &job.data, &done.centroids)?;
        Ok(Clustered {
            data: data.to_string(),
            out: out.display().to_string(),
            points: done.counts.iter().map(|count| count.unsigned_abs()).sum(),
            iterations: done.iterations,
            converged: done.converged,
            cost: done.cost,
        })
    }

    /// Where the centroids of some data go.
    fn out_of(&self, data: &Url) -> Result<PathBuf> {
        Ok(match Url::of(&self.out)? {
            Some(folder) if folder.is_folder() => {
                let name = format!("{}.centroids.csv", data.key.trim_end_matches('/'));
                PathBuf::from(folder.join(&name).to_string())
            }
            _ => self.out.clone(),
        })
    }
}

#[cfg(feature = "lambda")]
fn invoke(function: &str, job: &Job) -> Result<Summary> {
    use crate::link::Place;
    let own = std::env::var("AWS_LAMBDA_FUNCTION_NAME");
    let function = if function == "self" { own.unwrap_or_default() } else { function.to_string() };
    let cloud = catena_cloud::Cloud::lambda(&function, None).map_err(Error::Cloud)?;
    let place = Place::Running(job.engine.clone());
    let run = crate::workers::run(job, &cloud, &mut |_| (), &mut |again| {
        eprintln!("worker {}: {}; calling it again", again.party, again.how);
    });
    place.clear(job);
    run
}

#[cfg(not(feature = "lambda"))]
fn invoke(function: &str, _: &Job) -> Result<Summary> {
    let what = format!("workers that are invocations of {function}");
    Err(Error::NotBuilt { what, feature: "lambda" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::init::Init;

    fn settings(vars: &[(&str, &str)]) -> serde_json::Result<UploadSettings> {
        let all = vars.iter().map(|(name, value)| (format!("{PREFIX}{name}"), value.to_string()));
        UploadSettings::from_vars(all.chain([("PATH".to_string(), "/bin".to_string())]))
    }

    fn data(settings: &UploadSettings, event: Value) -> Vec<String> {
        assert!(is_event(&event));
        let data = uploads(event)
            .unwrap()
            .into_iter()
            .filter_map(|upload| Some(upload.data(settings).unwrap()?.to_string()));
        data.collect()
    }

    fn told(event: &str, key: &str) -> Value {
        json!({"Records": [{
            "eventName": event,
            "eventSource": "aws:s3",
            "s3": {"bucket": {"name": "points"}, "object": {"key": key, "size": 3}},
        }]})
    }

    fn bridged(kind: &str, key: &str) -> Value {
        json!({
            "source": "aws.s3",
            "detail-type": kind,
            "detail": {"bucket": {"name": "points"}, "object": {"key": key, "size": 3}},
        })
    }

    #[test]
    fn variables_are_settings() {
        let all = settings(&[
            ("K", "25"),
            ("OUT", "s3://points/results/"),
            ("INIT", "random"),
            ("TOLERANCE", "1e-3"),
            ("FUNCTION", ""),
        ])
        .unwrap();
        let Settings { k, iterations, tolerance, init, .. } = all.settings;
        assert_eq!((k, init, tolerance), (25, Init::Random, 1e-3));
        assert_eq!((iterations, all.function), (300, None));
        let error = settings(&[("K", "25")]).unwrap_err().to_string();
        assert!(error.starts_with("missing field `out`"), "{error}");
        let error = settings(&[("OUT", "/tmp")]).unwrap_err().to_string();
        assert!(error.starts_with("missing field `k`"), "{error}");
        let error =
            settings(&[("K", "25"), ("OUT", "/tmp"), ("KS", "25")]).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `ks`"), "{error}");
    }

    #[test]
    fn uploads_are_data_or_not() {
        let settings = settings(&[("K", "2"), ("OUT", "s3://points/results/")]).unwrap();
        let data = |event| data(&settings, event);
        let put = |key| told("ObjectCreated:Put", key);
        let created = |key| bridged("Object Created", key);
        assert_eq!(data(put("in/a+b%2Bc.npy")), ["s3://points/in/a b+c.npy"]);
        assert_eq!(data(created("in/a+b%2Bc.npy")), ["s3://points/in/a+b%2Bc.npy"]);
        assert_eq!(data(put("in/%C3%A4%2")), ["s3://points/in/ä%2"]);
        assert_eq!(data(put("in/day1/_SUCCESS")), ["s3://points/in/day1/"]);
        assert!(data(told("ObjectRemoved:Delete", "in/a.npy")).is_empty());
        assert!(data(bridged("Object Deleted", "in/a.npy")).is_empty());
        for key in ["_SUCCESS", "in/_temporary", "in/.a.csv", "in/", "results/in/a.centroids.csv"] {
            assert!(data(put(key)).is_empty(), "{key}");
        }
    }

    #[test]
    fn results_are_called_as_their_data() {
        let out = |out: &str, data: &str| {
            let settings = settings(&[("K", "2"), ("OUT", out)]).unwrap();
            let data = Url { bucket: Some("points".into()), key: data.into() };
            settings.out_of(&data).unwrap().display().to_string()
        };
        assert_eq!(out("s3://r/c/", "in/a.npy"), "s3://r/c/in/a.npy.centroids.csv");
        assert_eq!(out("s3://r/c/", "in/day1/"), "s3://r/c/in/day1.centroids.csv");
        assert_eq!(out("s3://r/latest.csv", "in/a.npy"), "s3://r/latest.csv");
    }
}
