//! Everything that can go wrong, each with what to do about it, in one line.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kernel::Precision;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A folder holds nothing to read.
    #[error("{}: the folder holds no data files; names that begin with '.' or '_' are skipped", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A path begins as an URL does and is none.
    #[error("{}: expected s3://bucket/key", path.display())]
    Url {
        /// The path.
        path: PathBuf,
    },
    /// Something takes a feature that this program was built without.
    #[error(
        "{what} takes a program built with the feature {feature}: \
         cargo build --release -p catena-kmeans --features {feature}"
    )]
    NotBuilt {
        /// What was asked for.
        what: String,
        /// What it takes.
        feature: &'static str,
    },
    /// A store's settings contradict each other, or one is missing.
    #[error(transparent)]
    Settings(catena_location::SettingsError),
    /// A store did not do what it was asked to.
    #[error("{}: cannot {action} it: {reason}", path.display())]
    Store {
        /// What was tried.
        action: &'static str,
        /// With which object or folder.
        path: PathBuf,
        /// What the store or the network said.
        reason: String,
    },
    /// Nothing in a store begins with this.
    #[error("{}: no object and no folder of data; names that begin with '.' or '_' are skipped", path.display())]
    NoObjects {
        /// Where was looked.
        path: PathBuf,
    },
    /// A folder was named where something is to be written.
    #[error("{}: expected the name of an object, got a folder", path.display())]
    FolderTarget {
        /// The folder.
        path: PathBuf,
    },
    /// An object is another one than was looked at first.
    #[error("{}: it was replaced while it was read; start again", path.display())]
    Changed {
        /// The object.
        path: PathBuf,
    },
    /// There are no points at all.
    #[error("{}: no points; a data set needs at least one row", path.display())]
    NoPoints {
        /// The data set.
        path: PathBuf,
    },
    /// The name of a file does not tell what is in it.
    #[error("{}: cannot tell the format from the name; say --format csv, npy, f32 or f64", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// Packed files do not say how long a row is.
    #[error("{}: packed numbers carry no shape; say --dims N", path.display())]
    DimsNeeded {
        /// The file.
        path: PathBuf,
    },
    /// A row of a data file is not what it should be.
    #[error("{}: row {row}{}: {reason}", path.display(), Line(*.line))]
    Row {
        /// The file.
        path: PathBuf,
        /// Counted from 1, without a header.
        row: u64,
        /// Where a text file has it, counted from 1.
        line: Option<u64>,
        /// What is wrong.
        reason: RowError,
    },
    /// A line is not what it should be, in a file whose rows were not counted.
    #[error("{}: the line at byte {byte}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Where the line begins, of the contents if the file is compressed.
        byte: u64,
        /// What is wrong.
        reason: RowError,
    },
    /// A file is not what its format asks for.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: FormatError,
    },
    /// A part has rows of another length than the first.
    #[error("{}: rows of {got} numbers, but the first part has {expected}; all parts of a data set have the same", path.display())]
    PartDims {
        /// The part.
        path: PathBuf,
        /// Of the first part.
        expected: usize,
        /// Of this one.
        got: usize,
    },
    /// A part ended early: it changed after it was counted.
    #[error("{}: ends before row {row}; did it change while it was read?", path.display())]
    Shrunk {
        /// The part.
        path: PathBuf,
        /// The first row that is missing, counted from 1.
        row: u64,
    },
    /// More clusters than points.
    #[error(
        "--k {k} asks for more clusters than there are points ({points}); choose a --k of at most {points}"
    )]
    TooManyClusters {
        /// Asked for.
        k: usize,
        /// What there is.
        points: u64,
    },
    /// The file of initial centroids does not fit the data.
    #[error("{}: {rows} centroids of {dims} numbers, but --k {k} over points of {expected} numbers was asked for", path.display())]
    InitShape {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: usize,
        /// Its columns.
        dims: usize,
        /// Clusters asked for.
        k: usize,
        /// Columns of the data.
        expected: usize,
    },
    /// Scores of such values would overflow.
    #[error("values up to {max:e} are too large for {precision} distances; rescale the data{}", if *precision == Precision::F32 { " or say --precision f64" } else { "" })]
    TooLarge {
        /// The largest magnitude.
        max: f64,
        /// What distances are computed in.
        precision: Precision,
    },
    /// A flag makes no sense.
    #[error("{flag}: {reason}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// An engine of its own did not start.
    #[error("cannot start an engine: {0}")]
    Start(catena_engine::StartError),
    /// The engine could not be reached, or did not do what it was asked to.
    #[error("engine {address}: {cause}")]
    Engine {
        /// Its first address.
        address: String,
        /// What the client said.
        cause: Box<catena_client::Error>,
    },
    /// Somebody else uses the same name.
    #[error("{object} holds something else than this run's totals; is it used by another program?")]
    Foreign {
        /// The reduction.
        object: String,
    },
    /// Not all parties came to a round in time.
    #[error(
        "{object} round {round}: not all parties contributed within {timeout:?}; missing: {missing}"
    )]
    Missing {
        /// The reduction.
        object: String,
        /// Its round.
        round: u64,
        /// How long was waited.
        timeout: Duration,
        /// Who did not come.
        missing: String,
    },
    /// The others are farther: this worker is, or was, somewhere else as well.
    #[error("{object}: round {round} is over")]
    Behind {
        /// The reduction.
        object: String,
        /// The round that was contributed to.
        round: u64,
    },
    /// A shared object that whoever drives the job had made is gone.
    #[error("{object} is not there any more: the job is over, or its engine was started anew")]
    Over {
        /// The object.
        object: String,
    },
    /// The time that a worker may run is nearly over.
    #[error("its time is nearly over, at {at}")]
    OutOfTime {
        /// How far it came.
        at: String,
    },
    /// A worker died more often than it is started again.
    #[error("worker {party} {how}, and was started {starts} times; giving up{}", Log(log))]
    WorkerDied {
        /// Which.
        party: u32,
        /// How it ended, as the place words it where it ran.
        how: String,
        /// How often it was started.
        starts: u32,
        /// The end of its log, if it came with the answer.
        log: Option<String>,
    },
    /// A worker could not be called.
    #[error(transparent)]
    Cloud(catena_cloud::Error),
    /// Workers elsewhere cannot come to what is here.
    #[error("{}: workers of --backend {backend} cannot read it; {advice}", path.display())]
    NotShared {
        /// What is here.
        path: PathBuf,
        /// Where workers are.
        backend: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A worker reported why it cannot go on.
    #[error("{message}")]
    Worker {
        /// The worker's own error.
        message: String,
    },
}

impl Error {
    /// What the system said about a file; or what went wrong, where that came disguised as the system's.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| match cause.downcast::<Self>() {
            Ok(error) => error,
            Err(cause) => Self::Io { path: path.to_path_buf(), cause },
        }
    }

    /// Whether the same worker, started again, might come further.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::OutOfTime { .. } | Self::Behind { .. } => true,
            // Out of reach, overloaded, or without memory of us: an engine may come back.
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

/// What can be wrong with one row.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum RowError {
    /// Too many or too few numbers.
    #[error("{got} numbers, expected {expected} as in the first row")]
    Ragged {
        /// As in the first row.
        expected: usize,
        /// In this one.
        got: usize,
    },
    /// Not a number.
    #[error("column {column}: {text:?} is not a number")]
    NotANumber {
        /// Counted from 1.
        column: usize,
        /// What is there, cut short.
        text: String,
    },
    /// NaN or an infinity, in the file or after rounding to f32.
    #[error("column {column}: {value} has no place in a distance; clean the data first")]
    NotFinite {
        /// Counted from 1.
        column: usize,
        /// What is there.
        value: f64,
    },
}

/// What can be wrong with one file.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum FormatError {
    /// No `.npy` magic, or a header that makes no sense.
    #[error("not a valid .npy file: {0}")]
    Npy(&'static str),
    /// An element type that is not read.
    #[error(
        "element type {0} is not read; save it with numpy as '<f4', '<f8' or a little-endian integer"
    )]
    ElementType(String),
    /// Column-major order.
    #[error("the array is in Fortran order; save numpy.ascontiguousarray(array)")]
    FortranOrder,
    /// Not two-dimensional.
    #[error("the array has {0} dimensions; reshape it to (points, dims)")]
    Shape(usize),
    /// The size is no multiple of a row.
    #[error(
        "{bytes} bytes are not a whole number of rows of {row_bytes} bytes; check --dims and --format"
    )]
    Size {
        /// Of the file.
        bytes: u64,
        /// Of a row.
        row_bytes: u64,
    },
    /// A row of no numbers.
    #[error("rows have no columns")]
    NoColumns,
}

/// Prints the line of a text file, if there is one.
struct Line(Option<u64>);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

/// Prints the end of a log below what it explains, if there is one.
struct Log<'a>(&'a Option<String>);

impl std::fmt::Display for Log<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(log) = self.0 else { return Ok(()) };
        f.write_str("; the end of its log:")?;
        log.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
