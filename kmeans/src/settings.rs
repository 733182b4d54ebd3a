//! The settings of a run that do not depend on where its workers are.
//!
//! They are written once, here: the command line, a worker's assignment, the environment of a
//! function that clusters uploads, and the algorithm all take them from [`Settings`]. A new setting
//! is a new field.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::init::Init;
use crate::pruning::Pruning;
use crate::transform::{Distance, Scaling, Transform};

/// How points are clustered: flags, fields of JSON and environment variables of the same names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
pub struct Settings {
    /// Number of clusters. Commands have flags of their own for it.
    #[arg(skip = Self::default().k)]
    pub k: usize,
    /// Stop after this many updates of the centroids; 0 only assigns points.
    #[serde(default = "iterations")]
    #[arg(long, value_name = "N", default_value_t = iterations())]
    pub iterations: u64,
    /// Stop when no centroid moves farther than this, in the units of the data; 0 waits until none
    /// moves.
    #[serde(default)]
    #[arg(long, value_name = "DISTANCE", default_value_t)]
    pub tolerance: f64,
    /// How initial centroids are chosen. The flag of this name also takes a file.
    #[serde(default)]
    #[arg(skip)]
    pub init: Init,
    /// Draw this many points in each iteration instead of taking all, and keep the points on disk: for data
    /// that does not fit in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<u64>,
    /// Derive all random draws from this number.
    #[serde(default)]
    #[arg(long, value_name = "N", default_value_t)]
    pub seed: u64,
    /// Skip comparisons that cannot change a point's cluster; the result is the same, to the bit.
    #[serde(default)]
    #[arg(long, value_enum, default_value_t)]
    pub pruning: Pruning,
    /// Scale columns first: to a mean of 0 and a standard deviation of 1, or to the range from 0 to 1.
    #[serde(default, skip_serializing_if = "is_default")]
    #[arg(long, value_enum, default_value_t)]
    pub scale: Scaling,
    /// Compare points by the line between them, or by their angle: then they are brought to unit
    /// length first.
    #[serde(default, skip_serializing_if = "is_default")]
    #[arg(long, value_enum, default_value_t)]
    pub distance: Distance,
    /// What a model does to points, instead of what `scale` and `distance` say. Given centroids are then
    /// those of changed points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(skip)]
    pub transform: Option<Transform>,
    /// Workers return so many points with their labels, drawn by the seed.
    #[serde(default, skip_serializing_if = "is_default")]
    #[arg(skip)]
    pub drawn: u64,
    /// Wait this long for the engine and for other workers; an invocation waits for other workers
    /// as long as it may run.
    #[serde(default = "timeout", with = "seconds")]
    #[arg(long, value_name = "SECONDS", default_value = TIMEOUT, value_parser = seconds::parse)]
    pub timeout: Duration,
}

/// The default of [`Settings::timeout`], as on the command line.
const TIMEOUT: &str = "60";

impl Default for Settings {
    fn default() -> Self {
        Self {
            k: 10,
            iterations: iterations(),
            tolerance: 0.0,
            init: Init::default(),
            batch_size: None,
            seed: 0,
            pruning: Pruning::default(),
            scale: Scaling::default(),
            distance: Distance::default(),
            transform: None,
            drawn: 0,
            timeout: timeout(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn iterations() -> u64 {
    300
}

fn timeout() -> Duration {
    seconds::parse(TIMEOUT).expect("the default is a time")
}

/// Times as seconds, on the command line and in JSON.
mod seconds {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn parse(text: &str) -> Result<Duration, String> {
        duration(text.parse().map_err(|_| "expected a number of seconds".to_string())?)
    }

    fn duration(seconds: f64) -> Result<Duration, String> {
        let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
        if duration.is_zero() {
            Err("expected more than 0 seconds".to_string())
        } else {
            Ok(duration)
        }
    }

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        time.as_secs_f64().serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Duration, D::Error> {
        duration(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}
