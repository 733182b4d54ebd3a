//! Data sets: where the points come from, how many there are, and the rows that one worker owns.
//!
//! [`DataSet::open`] looks at every part once, for its shape; [`DataSet::load`] then reads any share of the rows, and
//! nothing before or after it where the format allows. An opened data set can be sent to another process, which so need
//! not look again. Promised:
//!
//! 1. Points are finite: NaN and infinities are errors that name the file and the row.
//! 2. A row's global number is its place in the parts in their order, whoever reads it.
//! 3. Memory is that of the rows asked for, plus a few buffers; files are never held whole.
//!
//! Files on this machine are counted when they are opened. Text and compressed numbers in a store would have to be read
//! through for that, so they are not: workers then share bytes instead of rows, and find out how many rows each of them
//! has when they have read them. A compressed part is read by one worker.

mod csv;
mod npy;
mod packed;
mod parts;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, RowError};
use crate::kernel::{Element, Precision};
use crate::s3::Endpoint;
use parts::{Access, Part};

pub use parts::Format;

/// The name under which the shipped data set appears in messages.
pub const DIGITS: &str = "digits (shipped)";

/// The points of a data set, not yet read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DataSet {
    path: PathBuf,
    dims: usize,
    points: Option<u64>,
    precision: Precision,
    parts: Vec<Part>,
    endpoint: Endpoint,
}

/// What the user says about the data in addition to its path: flags, fields of JSON and environment variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct Hints {
    /// Read the files in this format, whatever their names are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Take this many numbers as a row, in packed files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "N")]
    pub dims: Option<usize>,
    /// Compute in this precision [default: that of the data; f64 for CSV].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, value_enum)]
    pub precision: Option<Precision>,
}

/// A part of the rows, contiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// Rows by their global numbers.
    Rows(Range<u64>),
    /// The rows that begin within these bytes of all parts one after the other.
    Bytes(Range<u64>),
}

impl From<Range<u64>> for Share {
    fn from(rows: Range<u64>) -> Self {
        Self::Rows(rows)
    }
}

/// Counts the bytes that were used of what is stored; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// So far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl DataSet {
    /// Looks at a file, or at the files of a folder in the order of their names.
    ///
    /// # Errors
    ///
    /// Missing or malformed files, parts of different row length, no points at all.
    pub fn open(path: &Path, hints: Hints) -> Result<Self> {
        Self::open_at(&Endpoint::default(), path, hints)
    }

    /// The same, of the given store if the path is in one.
    ///
    /// # Errors
    ///
    /// Those of [`DataSet::open`].
    pub fn open_at(endpoint: &Endpoint, path: &Path, hints: Hints) -> Result<Self> {
        let origins = parts::find(path, endpoint)?;
        let parts = parts::open_all(origins, hints, Access { endpoint, meter: &Meter::default() })?;
        Self::join(path.to_path_buf(), parts, hints, endpoint)
    }

    /// The data set that is shipped in the program: 1,797 handwritten digits of 8 × 8 pixels.
    ///
    /// # Errors
    ///
    /// None that a user could cause; it is read like any other file.
    pub fn digits(precision: Option<Precision>) -> Result<Self> {
        let hints = Hints { precision, ..Hints::default() };
        let endpoint = Endpoint::default();
        let access = Access { endpoint: &endpoint, meter: &Meter::default() };
        let part = Part::open(parts::Origin::Digits, hints, access)?;
        Self::join(PathBuf::from(DIGITS), vec![part], hints, &endpoint)
    }

    fn join(
        path: PathBuf,
        mut parts: Vec<Part>,
        hints: Hints,
        endpoint: &Endpoint,
    ) -> Result<Self> {
        // Counted parts without a row have no row length either.
        parts.retain(|part| part.rows != Some(0));
        let Some(first) = parts.first() else { return Err(Error::NoPoints { path }) };
        let dims = first.dims;
        if let Some(part) = parts.iter().find(|part| part.dims != dims) {
            return Err(Error::PartDims { path: part.path(), expected: dims, got: part.dims });
        }
        let narrow = parts.iter().all(|part| part.precision == Precision::F32);
        let precision =
            hints.precision.unwrap_or(if narrow { Precision::F32 } else { Precision::F64 });
        let points = parts.iter().map(|part| part.rows).sum();
        Ok(Self { path, dims, points, precision, parts, endpoint: endpoint.clone() })
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store that it is in, if it is in one.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same points; what belongs to them is in the given store.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: &Endpoint) -> Self {
        self.endpoint = endpoint.clone();
        self
    }

    /// Numbers in a row.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Rows in all parts, if they are counted.
    #[must_use]
    pub fn points(&self) -> Option<u64> {
        self.points
    }

    /// Bytes in all parts, as stored.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// What coordinates are to be held as.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether programs on other machines come to the same data by what is in here.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.parts.iter().all(Part::is_shared)
    }

    /// What belongs to worker `party` of `parties`: contiguous, and as equal in rows, or in bytes, as can be.
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

    /// Reads the given rows.
    ///
    /// # Errors
    ///
    /// Unreadable files, and rows that are ragged, not numeric or not finite.
    pub fn load<T: Element>(&self, share: impl Into<Share>) -> Result<Points<T>> {
        self.load_metered(share, &Meter::default())
    }

    /// The same, counting the bytes on the way. Points of a share of bytes do not know their global numbers: their
    /// `first` is 0.
    ///
    /// # Errors
    ///
    /// Those of [`DataSet::load`].
    pub fn load_metered<T: Element>(
        &self,
        share: impl Into<Share>,
        meter: &Meter,
    ) -> Result<Points<T>> {
        let access = Access { endpoint: &self.endpoint, meter };
        match share.into() {
            Share::Rows(rows) => self.load_rows(rows, access),
            Share::Bytes(bytes) => self.load_bytes(bytes, access),
        }
    }

    fn load_rows<T: Element>(&self, rows: Range<u64>, access: Access<'_>) -> Result<Points<T>> {
        let points = self.points.expect("rows of a counted data set");
        assert!(rows.start <= rows.end && rows.end <= points, "rows {rows:?} of {points}");
        let count = index(rows.end - rows.start);
        let mut values = Vec::with_capacity(count * self.dims);
        let mut first = 0;
        for part in &self.parts {
            let count = part.rows.expect("a counted data set has counted parts");
            let own = within(&rows, first..first + count);
            if !own.is_empty() {
                part.load(own, access, &mut values)?;
            }
            first += count;
        }
        assert_eq!(values.len(), count * self.dims, "parts deliver the rows they were asked for");
        Ok(Points { first: rows.start, dims: self.dims, values })
    }

    fn load_bytes<T: Element>(&self, bytes: Range<u64>, access: Access<'_>) -> Result<Points<T>> {
        let mut values = Vec::new();
        let mut first = 0;
        for part in &self.parts {
            let own = within(&bytes, first..first + part.bytes);
            if !own.is_empty() {
                part.load_bytes(own, access, &mut values)?;
            }
            first += part.bytes;
        }
        Ok(Points { first: 0, dims: self.dims, values })
    }
}

/// What of a range is in a part, counted from where that begins.
fn within(range: &Range<u64>, part: Range<u64>) -> Range<u64> {
    let clamp = |at: u64| at.clamp(part.start, part.end) - part.start;
    clamp(range.start)..clamp(range.end)
}

/// Rows in memory.
#[derive(Debug)]
pub struct Points<T> {
    /// The global number of the first row.
    pub first: u64,
    /// Numbers in a row.
    pub dims: usize,
    /// Row by row.
    pub values: Vec<T>,
}

impl<T: Element> Points<T> {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.dims
    }

    /// The row with this global number, if it is here.
    #[must_use]
    pub fn row(&self, global: u64) -> Option<&[T]> {
        let at = usize::try_from(global.checked_sub(self.first)?).ok()?;
        self.values.chunks_exact(self.dims).nth(at)
    }
}

/// A number of rows of one process, which by holding them shows that it fits.
pub(crate) fn index(rows: u64) -> usize {
    usize::try_from(rows).expect("rows of this process fit its memory")
}

/// Rounds one number to `T` and makes sure that it is finite.
fn finite<T: Element>(value: f64, column: usize) -> Result<T, RowError> {
    let rounded = T::from_f64(value);
    if rounded.to_f64().is_finite() {
        Ok(rounded)
    } else {
        Err(RowError::NotFinite { column: column + 1, value })
    }
}

#[cfg(test)]
mod tests;
