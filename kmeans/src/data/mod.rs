//! Data sets: the source of the points, their number, and the rows of one worker.
//!
//! [`DataSet::open`] inspects every part once, for its shape. [`DataSet::load`] then reads any
//! share of the rows and, if the format allows, nothing before or after it. An opened data set can
//! be sent to another process, which need not inspect it again. This module guarantees:
//!
//! 1. Points are finite: NaN and infinities are errors that name the file and the row.
//! 2. A row's global number is its position in all parts, in the order of their names.
//! 3. Memory holds the requested rows and a few buffers, never whole files.
//!
//! Files on this machine are counted when they are opened. Text and compressed numbers in a store
//! are not, because they would have to be read through: workers then share bytes instead of rows,
//! and count their rows when they have read them. A compressed part is read by one worker.

mod csv;
mod find;
mod header;
mod hints;
mod npy;
mod packed;
mod parquet;
mod parts;
mod reading;
mod rows;
mod spool;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, RowError};
use crate::kernel::{Element, Precision};
use crate::output;
use crate::s3::{S3Endpoint, S3Url};
use find::FoundFiles;
use hints::is_default;
use parts::{Part, PartAccess};

pub use hints::{ColumnNames, Header, Hints, Missing, SeparatorName};
pub use parts::Format;
pub use reading::Reading;
pub use rows::RowFile;
pub use spool::Spooled;

/// The name of the shipped data set in messages.
pub const DIGITS: &str = "digits (shipped)";

/// The points of a data set, not yet read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DataSet {
    path: PathBuf,
    dims: usize,
    points: Option<u64>,
    precision: Precision,
    parts: Vec<Part>,
    endpoint: S3Endpoint,
    #[serde(default)]
    missing: Missing,
    /// Whether the last value of each row of the parts is its weight.
    #[serde(default, skip_serializing_if = "is_default")]
    weighted: bool,
    /// Only the driver needs it.
    #[serde(skip)]
    reading: Reading,
}

/// Where the values of a share go.
pub(crate) struct LoadedValues<'a, T> {
    pub(crate) values: &'a mut Vec<T>,
    /// Values that are NaN because they are missing, or rows left out that were not counted before.
    pub(crate) missing: u64,
}

/// A contiguous part of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// Rows, by their global numbers.
    Rows(Range<u64>),
    /// The rows that begin within these bytes of all parts, concatenated.
    Bytes(Range<u64>),
}

impl From<Range<u64>> for Share {
    fn from(rows: Range<u64>) -> Self {
        Self::Rows(rows)
    }
}

/// Counts the stored bytes that were read; clones count together.
#[derive(Debug, Clone, Default)]
pub struct ReadMeter(Arc<AtomicU64>);

impl ReadMeter {
    /// Returns the number of bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl DataSet {
    /// Inspects a file, or the files of a folder in the order of their names.
    ///
    /// # Errors
    ///
    /// Missing or malformed files, parts of different row length, no points at all.
    pub fn open(path: &Path, hints: Hints) -> Result<Self> {
        Self::open_at(&S3Endpoint::default(), path, hints)
    }

    /// Like [`DataSet::open`]; a path in a store is in the given one.
    ///
    /// # Errors
    ///
    /// Those of [`DataSet::open`].
    pub fn open_at(endpoint: &S3Endpoint, path: &Path, hints: Hints) -> Result<Self> {
        let FoundFiles { origins, skipped } = find::find(path, hints.format, endpoint)?;
        let parts = parts::open_all(
            origins,
            &hints,
            PartAccess { endpoint, meter: &ReadMeter::default() },
        )?;
        let mut set = Self::join(path.to_path_buf(), parts, &hints, endpoint)?;
        set.reading.skipped = skipped.iter().map(|path| path.display().to_string()).collect();
        Ok(set)
    }

    /// Like [`DataSet::open_at`], of a path that may be a pipe, whose contents [`Spooled::of`] has copied.
    ///
    /// # Errors
    ///
    /// Those of [`DataSet::open`].
    pub fn open_source(
        endpoint: &S3Endpoint,
        path: &Path,
        spooled: Option<&Spooled>,
        hints: &Hints,
    ) -> Result<Self> {
        let Some(spooled) = spooled else { return Self::open_at(endpoint, path, hints.clone()) };
        let (name, file) = (spooled.pipe().to_path_buf(), spooled.path());
        let origin = parts::PartOrigin::Pipe { name: name.clone(), file };
        let access = PartAccess { endpoint, meter: &ReadMeter::default() };
        let part = Part::open(origin, hints, access)?;
        Self::join(name, vec![part], hints, endpoint)
    }

    /// Returns the data set in the program: 1,797 handwritten digits of 8 × 8 pixels.
    ///
    /// # Errors
    ///
    /// None in practice; it is read like any other file.
    pub fn digits(precision: Option<Precision>) -> Result<Self> {
        let hints = Hints { precision, ..Hints::default() };
        let endpoint = S3Endpoint::default();
        let access = PartAccess { endpoint: &endpoint, meter: &ReadMeter::default() };
        let part = Part::open(parts::PartOrigin::Digits, &hints, access)?;
        Self::join(PathBuf::from(DIGITS), vec![part], &hints, &endpoint)
    }

    fn join(
        path: PathBuf,
        mut parts: Vec<Part>,
        hints: &Hints,
        endpoint: &S3Endpoint,
    ) -> Result<Self> {
        let files = parts.len() as u64;
        let rows_dropped = parts.iter().map(|part| part.dropped).sum();
        // Counted parts without rows have no row length.
        parts.retain(|part| part.rows != Some(0));
        let files_without_rows = files - parts.len() as u64;
        let Some(first) = parts.first() else {
            return Err(match rows_dropped {
                0 => Error::NoPoints { path },
                dropped => Error::AllDropped { path, dropped },
            });
        };
        let dims = first.dims;
        let weighted = hints.weight_column.is_some();
        if let Some(part) = parts.iter().find(|part| part.dims != dims) {
            return Err(Error::PartDims { path: part.path(), expected: dims, got: part.dims });
        }
        let mut reading = Reading { files, files_without_rows, rows_dropped, ..Reading::default() };
        reading.note(&mut parts)?;
        if weighted {
            reading.weights = reading.columns.pop();
        }
        let dims = dims - usize::from(weighted);
        let narrow = parts.iter().all(|part| part.precision == Precision::F32);
        let precision =
            hints.precision.unwrap_or(if narrow { Precision::F32 } else { Precision::F64 });
        let points = parts.iter().map(|part| part.rows).sum();
        let (missing, endpoint) = (hints.missing, endpoint.clone());
        Ok(Self { path, dims, points, precision, parts, endpoint, missing, weighted, reading })
    }

    /// Returns how its files were understood, if they were inspected here.
    #[must_use]
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Returns what is done about missing values.
    #[must_use]
    pub fn missing(&self) -> Missing {
        self.missing
    }

    /// Returns whether points have weights.
    #[must_use]
    pub fn weighted(&self) -> bool {
        self.weighted
    }

    /// Returns whether an output file would replace a file of the data, or become one.
    ///
    /// # Errors
    ///
    /// [`Error::Output`] if so.
    pub fn check_output(&self, output: &Path) -> Result<()> {
        if output::is_stdout(output) {
            return Ok(());
        }
        let refuse = |reason| Err(Error::Output { path: output.to_path_buf(), reason });
        const REPLACES: &str = "this is a file of the data; results must not replace it";
        const JOINS: &str = "this is in the folder of the data, where the next run would take it \
                             for data; choose another folder, or a name that begins with _";
        let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_named_as_data = !find::is_hidden(&name);
        if let Some(url) = S3Url::of(output)? {
            let (url, data) = (url.to_string(), self.path.to_string_lossy().into_owned());
            if self.parts.iter().any(|part| part.path() == Path::new(&url)) {
                return refuse(REPLACES);
            }
            let is_folder = self.parts.iter().all(|part| part.path() != self.path);
            let folder = format!("{}/", data.trim_end_matches('/'));
            return match is_folder && url.starts_with(&folder) && is_named_as_data {
                true => refuse(JOINS),
                false => Ok(()),
            };
        }
        let parent = match output.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        // A folder that does not exist contains no data.
        let Ok(parent) = parent.canonicalize() else { return Ok(()) };
        let output = output.canonicalize().unwrap_or_else(|_| parent.join(&name));
        let mut files = self.parts.iter().filter_map(Part::file);
        if files.any(|file| file.canonicalize().is_ok_and(|file| file == output)) {
            return refuse(REPLACES);
        }
        let is_within = self.path.is_dir()
            && self.path.canonicalize().is_ok_and(|folder| parent.starts_with(folder));
        if is_within && is_named_as_data { refuse(JOINS) } else { Ok(()) }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its name for the user.
    #[must_use]
    pub fn title(&self) -> String {
        self.path.display().to_string()
    }

    /// Returns the store of its path, if the path is in one.
    #[must_use]
    pub fn endpoint(&self) -> &S3Endpoint {
        &self.endpoint
    }

    /// Sets the store of results and other files of the job.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: &S3Endpoint) -> Self {
        self.endpoint = endpoint.clone();
        self
    }

    /// Returns the number of coordinates of a point.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Returns the number of rows in all parts, if they are counted.
    #[must_use]
    pub fn points(&self) -> Option<u64> {
        self.points
    }

    /// Returns the number of bytes in all parts, as stored.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Returns the precision in which coordinates are held.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Returns whether programs on other machines can read the data.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.parts.iter().all(Part::is_shared)
    }

    /// Returns the share of worker `party` of `parties`. Shares are contiguous, and equal in rows
    /// or bytes up to rounding.
    #[must_use]
    pub fn share(&self, party: u32, parties: u32) -> Share {
        let whole = self.points.unwrap_or_else(|| self.bytes());
        let cut = |party: u32| {
            let at = u128::from(whole) * u128::from(party) / u128::from(parties);
            u64::try_from(at).expect("a share is no larger than the whole")
        };
        let range = cut(party)..cut(party + 1);
        if self.points.is_some() { Share::Rows(range) } else { Share::Bytes(range) }
    }

    /// Reads a share of the rows.
    ///
    /// # Errors
    ///
    /// Unreadable files, and rows that are ragged, not numeric or not finite.
    pub fn load<T: Element>(&self, share: impl Into<Share>) -> Result<Points<T>> {
        self.load_metered(share, &ReadMeter::default())
    }

    /// Like [`DataSet::load`], and counts the bytes. The global numbers of a share of bytes are
    /// unknown: `first` is 0.
    ///
    /// # Errors
    ///
    /// Those of [`DataSet::load`].
    pub fn load_metered<T: Element>(
        &self,
        share: impl Into<Share>,
        meter: &ReadMeter,
    ) -> Result<Points<T>> {
        let access = PartAccess { endpoint: &self.endpoint, meter };
        match share.into() {
            Share::Rows(rows) => self.load_rows(rows, access),
            Share::Bytes(bytes) => self.load_bytes(bytes, access),
        }
    }

    fn load_rows<T: Element>(&self, rows: Range<u64>, access: PartAccess<'_>) -> Result<Points<T>> {
        let points = self.points.expect("rows of a counted data set");
        assert!(rows.start <= rows.end && rows.end <= points, "rows {rows:?} of {points}");
        let count = index(rows.end - rows.start);
        let mut values = Vec::with_capacity(count * self.width());
        let mut loaded = LoadedValues { values: &mut values, missing: 0 };
        let mut first = 0;
        for part in &self.parts {
            let count = part.rows.expect("a counted data set has counted parts");
            let own = within(&rows, first..first + count);
            if !own.is_empty() {
                part.load(own, access, &mut loaded)?;
            }
            first += count;
        }
        let missing = loaded.missing;
        assert_eq!(values.len(), count * self.width(), "parts deliver the requested rows");
        self.separate(rows.start, values, missing)
    }

    /// Returns the number of values of a row, with its weight.
    fn width(&self) -> usize {
        self.dims + usize::from(self.weighted)
    }

    /// Separates weights, which parts deliver as the last value of each row.
    fn separate<T: Element>(
        &self,
        first: u64,
        mut values: Vec<T>,
        missing: u64,
    ) -> Result<Points<T>> {
        let (dims, width) = (self.dims, self.width());
        if !self.weighted {
            return Ok(Points { first, dims, values, missing, weights: None });
        }
        let mut weights = Vec::with_capacity(values.len() / width);
        for at in 0..values.len() / width {
            let weight = values[at * width + dims].to_f64();
            if weight.is_nan() || weight < 0.0 {
                let row = first + at as u64 + 1;
                return Err(Error::Weight { path: self.path.clone(), row, weight });
            }
            weights.push(weight);
            values.copy_within(at * width..at * width + dims, at * dims);
        }
        values.truncate(weights.len() * dims);
        Ok(Points { first, dims, values, missing, weights: Some(weights) })
    }

    fn load_bytes<T: Element>(
        &self,
        bytes: Range<u64>,
        access: PartAccess<'_>,
    ) -> Result<Points<T>> {
        let mut values = Vec::new();
        let mut loaded = LoadedValues { values: &mut values, missing: 0 };
        let mut first = 0;
        for part in &self.parts {
            let own = within(&bytes, first..first + part.bytes);
            if !own.is_empty() {
                part.load_bytes(own, access, &mut loaded)?;
            }
            first += part.bytes;
        }
        let missing = loaded.missing;
        self.separate(0, values, missing)
    }
}

/// Returns the part of a range that is in a part of the data, relative to the start of the latter.
fn within(range: &Range<u64>, part: Range<u64>) -> Range<u64> {
    let clamp = |at: u64| at.clamp(part.start, part.end) - part.start;
    clamp(range.start)..clamp(range.end)
}

/// Rows in memory.
#[derive(Debug)]
pub struct Points<T> {
    /// Global number of the first row.
    pub first: u64,
    /// Number of coordinates of a point.
    pub dims: usize,
    /// All coordinates, row by row. Until missing values are filled in, they are NaN.
    pub values: Vec<T>,
    /// Number of missing values, or of rows that were left out because of them and were not counted
    /// before.
    pub missing: u64,
    /// The weight of each row, if they have weights.
    pub weights: Option<Vec<f64>>,
}

impl<T: Element> Points<T> {
    /// Returns the number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.dims
    }

    /// Returns the row with this global number, if it is here.
    #[must_use]
    pub fn row(&self, global: u64) -> Option<&[T]> {
        let at = usize::try_from(global.checked_sub(self.first)?).ok()?;
        self.values.chunks_exact(self.dims).nth(at)
    }
}

/// Prints the names of columns, of many the first ones.
pub(crate) fn shown_names(names: &[String]) -> String {
    csv::shown(names)
}

/// Converts a number of rows of this process, which are in its memory.
pub(crate) fn index(rows: u64) -> usize {
    usize::try_from(rows).expect("rows of this process fit its memory")
}

/// Rounds a number to `T` and checks that it is finite.
fn finite<T: Element>(value: f64, column: usize) -> Result<T, RowError> {
    let rounded = T::from_f64(value);
    if rounded.to_f64().is_finite() {
        Ok(rounded)
    } else {
        Err(RowError::NotFinite { column: column + 1, value })
    }
}

#[cfg(all(test, feature = "s3"))]
pub(crate) use parquet::tests::write as write_parquet;

#[cfg(test)]
mod tests;
