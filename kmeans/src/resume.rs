//! Jobs that outlive their driver. The state of a job is in the engine anyway: the results of the phases
//! before the iterations, and of the last rounds. A driver of a named job also leaves there what the job is.
//! A later driver of the same name goes on with it, if it is the same job:
//!
//! 1. What decides the result must be equal: the data, the settings, the number of workers. What does not
//!    may differ: where workers run, how long they wait, which comparisons they skip.
//! 2. Two drivers at the same time do no harm, because contributions count once. The first to end deletes
//!    the objects, and the other one fails.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::job::Job;
use crate::settings::Settings;

/// The longest text of a field that is kept as it is; of others a digest is compared.
const TEXT_MAX: usize = 200;

/// What a job is: texts by the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct JobPlan(BTreeMap<String, String>);

impl JobPlan {
    /// Returns the plan of a job.
    pub(crate) fn of(job: &Job) -> Self {
        let Settings { timeout, pruning, drawn, .. } = Settings::default();
        let settings = Settings { timeout, pruning, drawn, ..job.settings.clone() };
        let mut fields = BTreeMap::new();
        let json = serde_json::to_value(&settings).expect("settings are JSON");
        if let Value::Object(settings) = json {
            fields.extend(settings.into_iter().map(|(name, value)| (name, short(&value))));
        }
        let data = serde_json::to_value(&job.data).expect("a data set is JSON");
        fields.insert("data".into(), job.data.path().display().to_string());
        fields.insert("contents of the data".into(), digest(&data.to_string()));
        fields.insert("workers".into(), job.workers.to_string());
        Self(fields)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a plan is JSON")
    }

    /// Compares the plan with the one that another driver has left.
    ///
    /// # Errors
    ///
    /// [`Error::OtherJob`] if they differ.
    pub(crate) fn check(&self, job: &Job, begun: &[u8]) -> Result<()> {
        let name = job.name.clone();
        let Ok(Self(begun)) = serde_json::from_slice(begun) else {
            return Err(Error::Foreign { object: name });
        };
        let names: std::collections::BTreeSet<&String> =
            begun.keys().chain(self.0.keys()).collect();
        let value = |fields: &BTreeMap<String, String>, field| {
            fields.get(field).cloned().unwrap_or_else(|| "the default".into())
        };
        match names.into_iter().find(|field| begun.get(*field) != self.0.get(*field)) {
            None => Ok(()),
            Some(field) => Err(Error::OtherJob {
                name,
                begun: value(&begun, field),
                here: value(&self.0, field),
                field: field.clone(),
            }),
        }
    }
}

/// Returns the text of a value, or of a long one its digest.
fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
    if text.len() <= TEXT_MAX { text } else { digest(&text) }
}

/// FNV-1a, which is the same in every version of this program.
fn digest(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("digest {hash:016x}")
}
