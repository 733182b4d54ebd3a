//! All errors, in one line each, with what to do about them.

mod malformed;
mod suffixes;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kernel::Precision;
use suffixes::{AndMore, LineSuffix, LogSuffix, MorePrecise, StuckAdvice};

pub use malformed::{FormatError, RowError};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// A folder contains no data files.
    #[error("{}: the folder contains no data files; names that begin with '.' or '_' are skipped", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// No file matches a pattern.
    #[error("{}: no such file, and no data files match this as a pattern; names that begin with '.' or '_' are skipped", path.display())]
    NoMatch {
        /// The pattern.
        path: PathBuf,
    },
    /// Folders are too deep in each other.
    #[error("{}: too many folders within each other", path.display())]
    TooDeep {
        /// The deepest folder that was found.
        path: PathBuf,
    },
    /// An output file must not be written there.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// Two files would become the same object.
    #[error("{} and {} would both become {to}; give them different names, or upload each to a folder of its own", first.display(), second.display())]
    SameTarget {
        /// One file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
        /// The object.
        to: String,
    },
    /// A path begins with `s3://` but is not a URL.
    #[error("{}: expected s3://bucket/key", path.display())]
    Url {
        /// The path.
        path: PathBuf,
    },
    /// A feature is needed that this program was built without.
    #[error(
        "{what} needs a program built with the feature {feature}: \
         cargo build --release -p catena-kmeans --features {feature}"
    )]
    NotBuilt {
        /// What needs the feature.
        what: String,
        /// The feature.
        feature: &'static str,
    },
    /// Settings of a store contradict each other, or one is missing.
    #[error(transparent)]
    Settings(catena_location::SettingsError),
    /// A request to a store failed.
    #[error("{}: cannot {action} it: {reason}", path.display())]
    Store {
        /// The action.
        action: &'static str,
        /// The object or folder.
        path: PathBuf,
        /// The error of the store or the network.
        reason: String,
    },
    /// There is no such object or folder in a store.
    #[error("{}: no such object, and no data files below it; names that begin with '.' or '_' are skipped", path.display())]
    NoObjects {
        /// The URL.
        path: PathBuf,
    },
    /// A folder was given as the name of an output file.
    #[error("{}: expected the name of an object, got a folder", path.display())]
    FolderTarget {
        /// The folder.
        path: PathBuf,
    },
    /// An object is another version than the one inspected first.
    #[error("{}: the object was replaced while it was read; start again", path.display())]
    Changed {
        /// The object.
        path: PathBuf,
    },
    /// A data set is empty.
    #[error("{}: no points; a data set needs at least one row", path.display())]
    NoPoints {
        /// The data set.
        path: PathBuf,
    },
    /// The name of a file does not determine its format.
    #[error("{}: cannot tell the format from the name; pass --format csv, npy, f32, f64 or parquet", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// One of several files is not data by its name.
    #[error(
        "{}: its name is not that of data (.csv, .tsv, .txt, .npy, .f32, .f64, .parquet){}; move it, let its name \
         begin with _, or pass a pattern such as 'folder/*.csv', or --format if it is data",
        path.display(), AndMore(*more)
    )]
    NotData {
        /// The first of them.
        path: PathBuf,
        /// How many more there are.
        more: usize,
    },
    /// Packed files do not contain the length of a row.
    #[error("{}: packed files do not contain their shape; pass --dims N", path.display())]
    DimsNeeded {
        /// The file.
        path: PathBuf,
    },
    /// A row of a data file is malformed.
    #[error("{}: row {row}{}: {reason}", path.display(), LineSuffix(*.line))]
    Row {
        /// The file.
        path: PathBuf,
        /// Number of the row, from 1, without a header.
        row: u64,
        /// Number of the line in a text file, from 1.
        line: Option<u64>,
        /// What is wrong.
        reason: RowError,
    },
    /// A line is malformed, in a file whose rows were not counted.
    #[error("{}: the line at byte {byte}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Where the line begins, in the uncompressed contents.
        byte: u64,
        /// What is wrong.
        reason: RowError,
    },
    /// A file is malformed.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: FormatError,
    },
    /// The rows of a part have another length than those of the first part.
    #[error("{}: rows of {got} numbers, but the first part has {expected}; all parts of a data set must have the same length", path.display())]
    PartDims {
        /// The part.
        path: PathBuf,
        /// Length in the first part.
        expected: usize,
        /// Length in this part.
        got: usize,
    },
    /// The header of a part names other columns than that of the first part.
    #[error("{}: its columns are {got}, but those of the first part are {expected}; select common ones with --columns", path.display())]
    PartColumns {
        /// The part.
        path: PathBuf,
        /// The columns of the first part.
        expected: String,
        /// The columns of this part.
        got: String,
    },
    /// All rows were left out.
    #[error("{}: all {dropped} rows have missing values; select columns that have values with --columns, or pass --missing mean", path.display())]
    AllDropped {
        /// The data set.
        path: PathBuf,
        /// Number of rows.
        dropped: u64,
    },
    /// A column has no values, so that there is no mean to fill in.
    #[error("{}: column {column} of the points has no values at all; leave it out with --columns", path.display())]
    NoValues {
        /// The data set.
        path: PathBuf,
        /// Number of the coordinate, from 1.
        column: usize,
    },
    /// A weight is negative or missing.
    #[error("{}: the weight of point {row} is {weight}; weights are numbers that are not negative", path.display())]
    Weight {
        /// The data set.
        path: PathBuf,
        /// Number of the point among those of the worker that found it, from 1.
        row: u64,
        /// The weight.
        weight: f64,
    },
    /// All weights are zero.
    #[error("all weights are 0; at least one point has to count")]
    NoWeight,
    /// A point that has no direction.
    #[error("{}: point {row} is zero, so that it has no direction; leave such rows out, or use --distance euclidean", path.display())]
    ZeroVector {
        /// The data set.
        path: PathBuf,
        /// Number of the point, from 1.
        row: u64,
    },
    /// An initial centroid that has no direction.
    #[error("initial centroid {centroid} is zero, so that it has no direction")]
    ZeroCentroid {
        /// Number of the centroid, from 1.
        centroid: usize,
    },
    /// A part ended early, because it changed after it was counted.
    #[error("{}: ends before row {row}; did it change while it was read?", path.display())]
    Shrunk {
        /// The part.
        path: PathBuf,
        /// Number of the first missing row, from 1.
        row: u64,
    },
    /// More clusters than points.
    #[error(
        "--k {k} asks for more clusters than there are points ({points}); choose a --k of at most {points}"
    )]
    TooManyClusters {
        /// The requested number of clusters.
        k: usize,
        /// The number of points.
        points: u64,
    },
    /// The file of initial centroids does not fit the data.
    #[error(
        "{}: {rows} centroids of {dims} numbers; expected {k} (--k) of {expected} numbers, as in the data",
        path.display()
    )]
    InitShape {
        /// The file.
        path: PathBuf,
        /// Number of centroids in it.
        rows: usize,
        /// Length of its rows.
        dims: usize,
        /// Number of clusters.
        k: usize,
        /// Length of the rows of the data.
        expected: usize,
    },
    /// Given centroids do not fit the data.
    #[error("the initial centroids have {got} numbers in total, expected --k {k} times {dims}")]
    InitLength {
        /// Numbers of all centroids.
        got: usize,
        /// Number of clusters.
        k: usize,
        /// Length of the rows of the data.
        dims: usize,
    },
    /// A given centroid is NaN or infinite.
    #[error("initial centroid {centroid}: column {column}: {value} is not a finite number")]
    InitNotFinite {
        /// Number of the centroid, from 1.
        centroid: usize,
        /// Number of the column, from 1.
        column: usize,
        /// The number.
        value: f64,
    },
    /// A file is no model.
    #[error("{}: not a model that catena-kmeans run --model has written: {reason}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Points have another length than the centroids of a model.
    #[error("{}: rows of {got} numbers, but the centroids of the model have {expected}; select columns with --columns", path.display())]
    ModelDims {
        /// The data.
        path: PathBuf,
        /// Length of the centroids.
        expected: usize,
        /// Length of the rows.
        got: usize,
    },
    /// Squared distances would overflow.
    #[error("values that are {width:e} apart are too far for {precision} distances; rescale the data{}", MorePrecise(*precision))]
    TooLarge {
        /// The largest distance, or an upper bound of it.
        width: f64,
        /// The precision of distances.
        precision: Precision,
    },
    /// Squared distances would be 0.
    #[error("the values are at most {width:e} apart, too little for {precision} distances, whose squares would vanish; rescale the data{}", MorePrecise(*precision))]
    TooSmall {
        /// The widest range of a dimension.
        width: f64,
        /// The precision of distances.
        precision: Precision,
    },
    /// A flag has an invalid value.
    #[error("{flag}: {reason}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// The engine inside this process does not start.
    #[error("cannot start an engine: {0}")]
    Start(catena_engine::StartError),
    /// The sums of all clusters do not fit the engine's memory.
    #[error(
        "engine {address}: too little memory for the sums of {k} clusters in {dims} dimensions; start it \
         with more --memory, or choose a smaller --k"
    )]
    EngineMemory {
        /// The address that was given.
        address: String,
        /// Number of clusters.
        k: usize,
        /// Number of dimensions.
        dims: usize,
    },
    /// A worker's labels do not fit the reply of an invocation.
    #[error(
        "{}: the labels of a worker's points would be up to {mib} MiB, and Lambda returns at most 6; \
         pass --assignments s3://bucket/folder/ and each worker writes a part there, or use more \
         --workers", path.display()
    )]
    LabelsTooLarge {
        /// The file for the labels.
        path: PathBuf,
        /// Size of one worker's labels.
        mib: u64,
    },
    /// The engine is unreachable, or refused a request.
    #[error("engine {address}: {cause}")]
    Engine {
        /// The address that was given.
        address: String,
        /// The error of the client.
        cause: Box<catena_client::Error>,
    },
    /// A shared object of this name is used by another program.
    #[error("{object} does not contain this run's totals; another program may use the same name")]
    Foreign {
        /// The reduction.
        object: String,
    },
    /// Not all workers contributed to a round in time.
    #[error(
        "{object} round {round}: not all workers contributed within {timeout:?}; missing: {missing}"
    )]
    Missing {
        /// The reduction.
        object: String,
        /// Its round.
        round: u64,
        /// The timeout.
        timeout: Duration,
        /// The missing workers.
        missing: String,
    },
    /// The other workers are ahead, because this worker runs twice.
    #[error("{object}: round {round} is over")]
    Behind {
        /// The reduction.
        object: String,
        /// The round of the contribution.
        round: u64,
    },
    /// An earlier driver has begun another job under this name.
    #[error(
        "{name} is a job whose {field} is {begun}, and here it is {here}: go on with the same, or choose \
             another --job"
    )]
    OtherJob {
        /// The name of the job.
        name: String,
        /// What differs.
        field: String,
        /// What it was when the job was begun.
        begun: String,
        /// What it is now.
        here: String,
    },
    /// A shared object that the driver had created no longer exists.
    #[error("{object} no longer exists: the job is over, or its engine was restarted")]
    Over {
        /// The object.
        object: String,
    },
    /// The time limit of a worker is near.
    #[error("the worker's time is nearly over, at {at}; call it again")]
    OutOfTime {
        /// The step that it has reached.
        at: String,
    },
    /// A worker died too often.
    #[error("worker {party}: {reason}; gave up after {attempts} attempts{}{}", StuckAdvice(*is_stuck), LogSuffix(log))]
    WorkerDied {
        /// Number of the worker.
        party: u32,
        /// How its last attempt ended.
        reason: String,
        /// Number of attempts.
        attempts: u32,
        /// Whether the last attempts ran out of time without having come farther.
        is_stuck: bool,
        /// The end of the last attempt's log, if it is known.
        log: Option<String>,
    },
    /// The run reached a limit that the user had set.
    #[error("stopped after {seconds:.0} s, as {limit} demands")]
    LimitReached {
        /// The flag.
        limit: &'static str,
        /// The time since the start of the workers.
        seconds: f64,
    },
    /// A worker cannot be called.
    #[error(transparent)]
    Cloud(catena_cloud::Error),
    /// Workers on other machines cannot read local data.
    #[error("{}: workers of --backend {backend} cannot read local files; {advice}", path.display())]
    NotShared {
        /// The data.
        path: PathBuf,
        /// The back end of the workers.
        backend: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A worker failed.
    #[error("{message}")]
    Worker {
        /// The worker's own error.
        message: String,
    },
}

impl Error {
    /// Returns a converter of errors about a file. An error of this crate inside an [`io::Error`]
    /// is taken out.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| match cause.downcast::<Self>() {
            Ok(error) => error,
            Err(cause) => Self::Io { path: path.to_path_buf(), cause },
        }
    }

    /// Converts an error of standard output.
    #[must_use]
    pub fn stdout(cause: io::Error) -> Self {
        Self::io(Path::new("standard output"))(cause)
    }

    /// Converts an error of standard output to one that [`Error::io`] takes out again.
    pub(crate) fn in_stdout(cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), Self::stdout(cause))
    }

    /// Returns whether the program that reads standard output has ended, so that there is no more to
    /// say.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { path, cause } if path == Path::new("standard output")
            && cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Returns whether another attempt of the same worker might succeed.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::OutOfTime { .. } | Self::Behind { .. } => true,
            // An engine that is unreachable, overloaded or restarted may be back later.
            Self::Engine { cause, .. } => {
                let later = cause.retry() == catena_client::Retry::Later;
                matches!(**cause, catena_client::Error::NoRecord { .. } if later)
                    || matches!(
                        **cause,
                        catena_client::Error::Unreachable { .. }
                            | catena_client::Error::Unwelcome { .. }
                            | catena_client::Error::NoAnswer { .. }
                            | catena_client::Error::Lost { .. }
                            | catena_client::Error::SessionLost { .. }
                    )
            }
            _ => false,
        }
    }

    pub(crate) fn format(path: &Path, reason: FormatError) -> Self {
        Self::Format { path: path.to_path_buf(), reason }
    }
}

/// Returns an error and its causes as one line, each once.
#[cfg(feature = "s3")]
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() && !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

#[cfg(all(test, feature = "s3"))]
mod tests {
    use super::*;

    #[test]
    fn causes_are_one_line() {
        let inner = Error::Worker { message: "no route\n  to host".into() };
        let outer = io::Error::other(inner);
        let path = PathBuf::from("a");
        assert_eq!(one_line(&Error::Io { path, cause: outer }), "a: no route to host");
    }
}
