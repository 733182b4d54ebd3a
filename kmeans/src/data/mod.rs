//! Data sets: where the points come from, how many there are, and the rows that one worker owns.
//!
//! [`DataSet::open`] looks at every part once, for its shape; [`DataSet::load`] then reads any range of global rows,
//! and nothing before or after it where the format allows. An opened data set can be sent to another process, which
//! so need not count again. Promised:
//!
//! 1. Points are finite: NaN and infinities are errors that name the file and the row.
//! 2. A row's global number is its place in the parts in their order, whoever reads it.
//! 3. Memory is that of the rows asked for, plus a few buffers; files are never held whole.

mod csv;
mod npy;
mod packed;
mod parts;

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, RowError};
use crate::kernel::{Element, Precision};
use parts::Part;

pub use parts::Format;

/// The name under which the shipped data set appears in messages.
pub const DIGITS: &str = "digits (shipped)";

/// The points of a data set, not yet read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DataSet {
    path: PathBuf,
    dims: usize,
    points: u64,
    precision: Precision,
    parts: Vec<Part>,
}

/// What the user said about the data beside its path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints {
    /// How the files are to be read, if their names do not tell.
    pub format: Option<Format>,
    /// Numbers in a row, for packed files.
    pub dims: Option<usize>,
    /// What to compute in, if not in what the data is stored as.
    pub precision: Option<Precision>,
}

impl DataSet {
    /// Looks at a file, or at the files of a folder in the order of their names.
    ///
    /// # Errors
    ///
    /// Missing or malformed files, parts of different row length, no points at all.
    pub fn open(path: &Path, hints: Hints) -> Result<Self> {
        let parts = parts::find(path)?
            .into_iter()
            .map(|file| Part::open(parts::Origin::File(file), hints))
            .collect::<Result<Vec<_>>>()?;
        Self::join(path.to_path_buf(), parts, hints)
    }

    /// The data set that is shipped in the program: 1,797 handwritten digits of 8 × 8 pixels.
    ///
    /// # Errors
    ///
    /// None that a user could cause; it is read like any other file.
    pub fn digits(precision: Option<Precision>) -> Result<Self> {
        let hints = Hints { precision, ..Hints::default() };
        let part = Part::open(parts::Origin::Digits, hints)?;
        Self::join(PathBuf::from(DIGITS), vec![part], hints)
    }

    fn join(path: PathBuf, mut parts: Vec<Part>, hints: Hints) -> Result<Self> {
        // Counted parts without a row have no row length either.
        parts.retain(|part| part.rows > 0);
        let Some(first) = parts.first() else { return Err(Error::NoPoints { path }) };
        let dims = first.dims;
        if let Some(part) = parts.iter().find(|part| part.dims != dims) {
            return Err(Error::PartDims {
                path: part.path().to_path_buf(),
                expected: dims,
                got: part.dims,
            });
        }
        let narrow = parts.iter().all(|part| part.precision == Precision::F32);
        let precision =
            hints.precision.unwrap_or(if narrow { Precision::F32 } else { Precision::F64 });
        let points = parts.iter().map(|part| part.rows).sum();
        Ok(Self { path, dims, points, precision, parts })
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers in a row.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Rows in all parts.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.points
    }

    /// What coordinates are to be held as.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The rows of worker `party` of `parties`: contiguous, and as equal in number as can be.
    #[must_use]
    pub fn share(&self, party: u32, parties: u32) -> Range<u64> {
        let cut = |party: u32| {
            let row = u128::from(self.points) * u128::from(party) / u128::from(parties);
            u64::try_from(row).expect("a share is no larger than the whole")
        };
        cut(party)..cut(party + 1)
    }

    /// Reads the given global rows.
    ///
    /// # Errors
    ///
    /// Unreadable files, and rows that are ragged, not numeric or not finite.
    pub fn load<T: Element>(&self, rows: Range<u64>) -> Result<Points<T>> {
        assert!(
            rows.start <= rows.end && rows.end <= self.points,
            "rows {rows:?} of {}",
            self.points
        );
        let count = index(rows.end - rows.start);
        let mut values = Vec::with_capacity(count * self.dims);
        let mut first = 0;
        for part in &self.parts {
            let own = rows.start.clamp(first, first + part.rows)
                ..rows.end.clamp(first, first + part.rows);
            if !own.is_empty() {
                part.load(own.start - first..own.end - first, &mut values)?;
            }
            first += part.rows;
        }
        assert_eq!(values.len(), count * self.dims, "parts deliver the rows they were asked for");
        Ok(Points { first: rows.start, dims: self.dims, values })
    }
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
