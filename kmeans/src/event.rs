//! Uploads as jobs: a function that is notified of new objects, by S3 itself or through
//! EventBridge, clusters the points in them.
//!
//! The function's environment holds the settings, see [`UploadSettings`]. An object is a data set;
//! an object named `_SUCCESS` says that the folder it is in is complete, and then the folder is the
//! data set. Objects whose names are those of numbered parts wait for it. Other names that begin with
//! `.` or `_` are not data, nor is anything below the folder of the results.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use aws_lambda_events::event::s3::{S3Bucket, S3Event, S3Object};
use catena_cloud::{Cloud, Context, Failure};
use percent_encoding::percent_decode_str;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::coordination::LocalGroup;
use crate::data::{DataSet, Hints};
use crate::error::{Error, Result};
use crate::job::{Job, Labels, RunSummary};
use crate::link::JobEngine;
use crate::output;
use crate::s3::{S3Endpoint, S3Url};
use crate::settings::Settings;
use crate::workers::RunLimit;
use crate::{threads, worker, workers};

/// The prefix of the variables.
const PREFIX: &str = "CATENA_KMEANS_";

/// The name of the object that marks a complete folder.
const COMPLETE: &str = "_SUCCESS";

/// The settings in the environment. Each is a variable, `CATENA_KMEANS_` and the name in capitals,
/// such as `CATENA_KMEANS_K=25`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadSettings {
    /// How the points are clustered.
    #[serde(flatten)]
    pub settings: Settings,
    /// How the data is read.
    #[serde(flatten)]
    pub hints: Hints,
    /// Where the centroids are written: an object, or a folder, in which their name is that of
    /// their data with `.centroids.csv` appended.
    pub out: PathBuf,
    /// Number of workers. Required with `function`; otherwise one thread per core by default.
    #[serde(default)]
    pub workers: Option<u32>,
    /// The function that workers are invocations of; `self` for the function that is notified.
    /// Without it, workers are threads of the notified function and need no engine.
    #[serde(default)]
    pub function: Option<String>,
    /// The engine through which invocations work together. Required with `function`.
    #[serde(default)]
    pub engine: Option<String>,
}

/// The result for one upload.
#[derive(Debug, PartialEq, Serialize)]
pub struct UploadResult {
    /// The data set.
    pub data: String,
    /// Where its centroids were written.
    pub out: String,
    /// Number of points.
    pub points: u64,
    /// Number of updates of the centroids.
    pub iterations: u64,
    /// Whether the centroids came to rest before the iterations ran out.
    pub converged: bool,
    /// Sum of squared distances.
    pub cost: f64,
}

/// An object that was created.
#[derive(Debug)]
struct UploadedObject {
    bucket: String,
    key: String,
}

/// An event of S3 through EventBridge. Its detail has the fields of a direct event that are used
/// here. The general type of `aws_lambda_events` would add `serde_with` to the function's program.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BridgedEvent {
    detail_type: String,
    detail: BridgedDetail,
}

#[derive(Deserialize)]
struct BridgedDetail {
    bucket: S3Bucket,
    object: S3Object,
}

/// Returns whether an event comes from S3.
pub(crate) fn is_event(event: &Value) -> bool {
    event.get("Records").is_some() || event["source"] == "aws.s3" || is_test(event)
}

/// Returns whether an event is the one that S3 sends when a notification is configured.
fn is_test(event: &Value) -> bool {
    event["Event"] == "s3:TestEvent"
}

/// Returns the objects that were created.
fn uploads(event: Value) -> serde_json::Result<Vec<UploadedObject>> {
    if is_test(&event) {
        return Ok(Vec::new());
    }
    if event.get("Records").is_none() {
        let BridgedEvent { detail_type, detail } = serde_json::from_value(event)?;
        if detail_type != "Object Created" {
            return Ok(Vec::new());
        }
        // EventBridge does not encode keys.
        return Ok(vec![UploadedObject::new(detail.bucket, detail.object, |key| key)?]);
    }
    let S3Event { records, .. } = serde_json::from_value(event)?;
    let is_created = |name: &Option<String>| {
        name.as_ref().is_some_and(|name| name.starts_with("ObjectCreated:"))
    };
    let created = records.into_iter().filter(|record| is_created(&record.event_name));
    created.map(|record| UploadedObject::new(record.s3.bucket, record.s3.object, decoded)).collect()
}

/// Decodes a key of a direct event, which is encoded as in a query string.
fn decoded(key: String) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// Clusters all uploads of an event, as the environment says.
pub(crate) fn run(context: &Context<'_>, event: Value) -> Result<Vec<UploadResult>, Failure> {
    let settings = UploadSettings::from_vars(std::env::vars()).map_err(|error| {
        Failure::Final(format!("cannot read the variables {PREFIX}...: {error}"))
    })?;
    let mut results = Vec::new();
    for upload in uploads(event)? {
        let Some(data) = upload.data(&settings).map_err(worker::failure)? else { continue };
        results.push(settings.cluster(context, &data).map_err(worker::failure)?);
    }
    Ok(results)
}

impl UploadedObject {
    fn new(
        bucket: S3Bucket,
        object: S3Object,
        decode: impl FnOnce(String) -> String,
    ) -> serde_json::Result<Self> {
        let missing = serde_json::Error::missing_field;
        let bucket = bucket.name.ok_or_else(|| missing("bucket.name"))?;
        let key = object.key.ok_or_else(|| missing("object.key"))?;
        Ok(Self { bucket, key: decode(key) })
    }

    /// Returns the data set that this object completes, if it does.
    fn data(self, settings: &UploadSettings) -> Result<Option<S3Url>> {
        let url = S3Url { bucket: Some(self.bucket), key: self.key };
        // Results must not become data of the next job.
        if let Some(out) = S3Url::of(&settings.out)?
            && (out.bucket.is_none() || out.bucket == url.bucket)
            && url.key.starts_with(&out.key)
        {
            return Ok(None);
        }
        let (folder, name) = url.key.rsplit_once('/').unwrap_or(("", &url.key));
        if name == COMPLETE && !folder.is_empty() {
            return Ok(Some(S3Url { key: format!("{folder}/"), ..url }));
        }
        // A part of a data set is no data set of its own: the folder is, when it is complete.
        let is_part = is_numbered(name);
        if is_part {
            eprintln!("{url}: waiting for {folder}/{COMPLETE}, because this is a numbered part");
        }
        let is_data = !name.starts_with(['.', '_']) && !name.is_empty() && !is_part;
        Ok(is_data.then_some(url))
    }
}

/// Returns whether a name is that of a numbered part, as Spark and `catena-kmeans generate --parts`
/// name them: `part-00000-...` or `...-00000.csv`.
fn is_numbered(name: &str) -> bool {
    const DIGITS: usize = 5;
    let stem = name.split('.').next().unwrap_or(name);
    let is_number = |text: &str| text.len() >= DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    let first = stem.strip_prefix("part-").and_then(|rest| rest.split('-').next());
    first.is_some_and(is_number) || stem.rsplit_once('-').is_some_and(|(_, last)| is_number(last))
}

impl UploadSettings {
    fn from_vars(vars: impl Iterator<Item = (String, String)>) -> serde_json::Result<Self> {
        let mut fields = Map::new();
        for (name, value) in vars {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            // An empty variable counts as missing.
            if value.is_empty() {
                continue;
            }
            let number = value.parse::<serde_json::Number>().map(Value::Number);
            fields.insert(name.to_ascii_lowercase(), number.unwrap_or(Value::String(value)));
        }
        serde_json::from_value(Value::Object(fields))
    }

    fn cluster(&self, context: &Context<'_>, data: &S3Url) -> Result<UploadResult> {
        let path = PathBuf::from(data.to_string());
        let data_set = DataSet::open(&path, self.hints.clone())?;
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
                    reason: "workers that are invocations need an engine and a number of workers: \
                             set all of CATENA_KMEANS_FUNCTION, _ENGINE and _WORKERS, or neither \
                             _FUNCTION nor _ENGINE",
                });
            }
        };
        let mut settings = self.settings.clone();
        // Workers may wait as long as this function runs.
        settings.timeout = settings.timeout.max(context.time_left().unwrap_or_default());
        let job = Job {
            name: crate::job::unique_name(),
            engine,
            data: data_set,
            settings,
            workers,
            prepared: false,
            resumable: false,
            labels: Labels::None,
            sample: false,
        };
        let summary = match &self.function {
            None => {
                let group = LocalGroup::new(workers, job.settings.timeout);
                threads::run(&job, |_, party| Ok(group.join(party)), &mut |_| ())?
            }
            Some(function) => invoke(function, &job, context.time_left())?,
        };
        let out = self.out_of(data)?;
        let RunSummary { done, .. } = summary;
        output::write_centroids(
            &out,
            &S3Endpoint::default(),
            &job.data,
            &done.centroids_of_data(job.data.dims()),
        )?;
        Ok(UploadResult {
            data: data.to_string(),
            out: out.display().to_string(),
            points: done.counts.iter().map(|count| count.unsigned_abs()).sum(),
            iterations: done.iterations,
            converged: done.converged,
            cost: done.cost,
        })
    }

    /// Returns where the centroids of some data are written.
    fn out_of(&self, data: &S3Url) -> Result<PathBuf> {
        Ok(match S3Url::of(&self.out)? {
            Some(folder) if folder.is_folder() => {
                let name = format!("{}.centroids.csv", data.key.trim_end_matches('/'));
                PathBuf::from(folder.join(&name).to_string())
            }
            _ => self.out.clone(),
        })
    }
}

/// Returns the name of the function of this invocation.
pub(crate) fn own_name() -> String {
    std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default()
}

/// Runs a job whose workers are invocations of a function.
fn invoke(function: &str, job: &Job, time: Option<Duration>) -> Result<RunSummary> {
    let function = if function == "self" { own_name() } else { function.to_string() };
    let cloud = Cloud::lambda(&function, None).map_err(Error::Cloud)?;
    let engine = JobEngine::Remote(job.engine.clone());
    // Without its driver the job would not end.
    let limit =
        time.map(|time| RunLimit { flag: "the time limit of the function", time, is_pause: false });
    let run = workers::run_within(job, &cloud, limit, &mut |_| (), &mut |restart| {
        eprintln!("worker {}: {}; restarting it", restart.party, restart.reason);
    });
    engine.clear(job);
    run
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

    /// A record as S3 sends it, with all fields of event version 2.1.
    fn direct(event: &str, key: &str) -> Value {
        json!({"Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "eu-central-1",
            "eventTime": "2026-11-28T12:00:00.000Z",
            "eventName": event,
            "userIdentity": {"principalId": "AIDA"},
            "requestParameters": {"sourceIPAddress": "192.0.2.1"},
            "responseElements": {"x-amz-request-id": "1", "x-amz-id-2": "2"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "c",
                "bucket": {
                    "name": "points",
                    "ownerIdentity": {"principalId": "A"},
                    "arn": "arn:aws:s3:::points",
                },
                "object": {"key": key, "size": 3, "eTag": "0", "sequencer": "0"},
            },
        }]})
    }

    /// An event as EventBridge sends it.
    fn bridged(kind: &str, key: &str) -> Value {
        json!({
            "version": "0",
            "id": "1",
            "source": "aws.s3",
            "detail-type": kind,
            "account": "000000000000",
            "time": "2026-11-28T12:00:00Z",
            "region": "eu-central-1",
            "resources": ["arn:aws:s3:::points"],
            "detail": {
                "version": "0",
                "bucket": {"name": "points"},
                "object": {"key": key, "size": 3, "etag": "0", "sequencer": "0"},
                "request-id": "1",
                "requester": "000000000000",
                "source-ip-address": "192.0.2.1",
                "reason": "PutObject",
            },
        })
    }

    #[test]
    fn variables_are_settings() {
        let all = settings(&[
            ("K", "25"),
            ("OUT", "s3://points/results/"),
            ("INIT", "random"),
            ("TOLERANCE", "1e-3"),
            ("TIMEOUT", "2.5"),
            ("DIMS", "8"),
            ("FUNCTION", ""),
        ])
        .unwrap();
        let Settings { k, iterations, tolerance, init, timeout, .. } = all.settings;
        assert_eq!((k, init, tolerance), (25, Init::Random, 1e-3));
        assert_eq!((iterations, timeout.as_secs_f64()), (300, 2.5));
        assert_eq!((all.hints.dims, all.function), (Some(8), None));
        for (vars, expected) in [
            (&[("K", "25")][..], "missing field `out`"),
            (&[("OUT", "/tmp")], "missing field `k`"),
            (&[("K", "25"), ("OUT", "/tmp"), ("KS", "25")], "unknown field `ks`"),
        ] {
            let error = settings(vars).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn uploads_are_data_or_not() {
        let settings = settings(&[("K", "2"), ("OUT", "s3://points/results/")]).unwrap();
        let data = |event| data(&settings, event);
        let put = |key| direct("ObjectCreated:Put", key);
        let created = |key| bridged("Object Created", key);
        assert_eq!(data(put("in/a+b%2Bc.npy")), ["s3://points/in/a b+c.npy"]);
        assert_eq!(data(created("in/a+b%2Bc.npy")), ["s3://points/in/a+b%2Bc.npy"]);
        assert_eq!(data(put("in/%C3%A4%2")), ["s3://points/in/ä%2"]);
        assert_eq!(data(put("in/day1/_SUCCESS")), ["s3://points/in/day1/"]);
        assert!(data(direct("ObjectRemoved:Delete", "in/a.npy")).is_empty());
        assert!(data(bridged("Object Deleted", "in/a.npy")).is_empty());
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "points"});
        assert!(data(test).is_empty());
        for key in ["in/part-00000-0b1c.c000.csv", "in/part-00012", "in/points-00003.csv.gz"] {
            assert!(data(put(key)).is_empty(), "{key}");
        }
        for key in ["in/part.csv", "in/2026-11-30.csv", "in/points-12.csv"] {
            assert_eq!(data(put(key)).len(), 1, "{key}");
        }
        for key in ["_SUCCESS", "in/_temporary", "in/.a.csv", "in/", "results/in/a.centroids.csv"] {
            assert!(data(put(key)).is_empty(), "{key}");
        }
    }

    #[test]
    fn results_are_named_after_their_data() {
        let out = |out: &str, data: &str| {
            let settings = settings(&[("K", "2"), ("OUT", out)]).unwrap();
            let data = S3Url { bucket: Some("points".into()), key: data.into() };
            settings.out_of(&data).unwrap().display().to_string()
        };
        assert_eq!(out("s3://r/c/", "in/a.npy"), "s3://r/c/in/a.npy.centroids.csv");
        assert_eq!(out("s3://r/c/", "in/day1/"), "s3://r/c/in/day1.centroids.csv");
        assert_eq!(out("s3://r/latest.csv", "in/a.npy"), "s3://r/latest.csv");
    }
}
