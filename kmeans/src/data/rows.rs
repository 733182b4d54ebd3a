//! Rows on disk, for data that does not fit in memory: they are read once, in blocks, and written as numbers
//! to a temporary file, from which any of them can be read again.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::marker::PhantomData;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::{DataSet, Points, ReadMeter, Share, index};
use crate::error::{Error, Result};
use crate::kernel::Element;

/// About how many numbers are in memory at a time.
const BLOCK_NUMBERS: u64 = 1 << 21;

/// About how many bytes of a text are read at a time, whose rows are not counted.
const BLOCK_BYTES: u64 = 8 << 20;

/// The rows of one worker, in a file that is deleted when this is dropped.
#[derive(Debug)]
pub struct RowFile<T> {
    file: File,
    /// Global number of the first row.
    pub first: u64,
    /// Number of coordinates of a point.
    pub dims: usize,
    rows: u64,
    /// Number of rows that were left out because of missing values and were not counted before.
    pub missing: u64,
    /// The maximum of each coordinate, then the maximum of its negative.
    pub(crate) extremes: Vec<f64>,
    number: PhantomData<T>,
}

impl DataSet {
    /// Copies a share of the rows to a temporary file; memory holds a block of them at a time.
    ///
    /// # Errors
    ///
    /// Those of [`DataSet::load`], and a full disk.
    pub fn load_to_disk<T: Element>(&self, share: Share, meter: &ReadMeter) -> Result<RowFile<T>> {
        let folder = std::env::temp_dir();
        let file = tempfile::tempfile().map_err(Error::io(&folder))?;
        let dims = self.dims;
        let first = match &share {
            Share::Rows(rows) => rows.start,
            Share::Bytes(_) => 0,
        };
        let extremes = vec![f64::NEG_INFINITY; 2 * dims];
        let mut to =
            RowFile { file, first, dims, rows: 0, missing: 0, extremes, number: PhantomData };
        let mut out = BufWriter::new(&to.file);
        for block in self.blocks(share) {
            let points: Points<T> = self.load_metered(block, meter)?;
            to.rows += points.rows() as u64;
            to.missing += points.missing;
            for (all, own) in to.extremes.iter_mut().zip(crate::lloyd::extremes(&points)) {
                *all = all.max(own);
            }
            points
                .values
                .iter()
                .try_for_each(|x| out.write_all(&x.to_wire().to_le_bytes()[..size_of::<T>()]))
                .map_err(Error::io(&folder))?;
        }
        out.flush().map_err(Error::io(&folder))?;
        drop(out);
        Ok(to)
    }

    /// Divides a share into blocks that fit in memory.
    fn blocks(&self, share: Share) -> impl Iterator<Item = Share> {
        let (whole, size, by_rows) = match share {
            Share::Rows(rows) => (rows, (BLOCK_NUMBERS / self.width() as u64).max(1), true),
            Share::Bytes(bytes) => (bytes, BLOCK_BYTES, false),
        };
        let end = whole.end;
        whole.step_by(index(size)).map(move |start| {
            let block = start..end.min(start + size);
            if by_rows { Share::Rows(block) } else { Share::Bytes(block) }
        })
    }

    /// Returns whether a share is read through more than once if it is read in blocks.
    pub(crate) fn is_compressed(&self) -> bool {
        let is_small = |rows: u64| rows * self.width() as u64 <= BLOCK_NUMBERS;
        self.parts.iter().any(|part| part.is_compressed() && !part.rows.is_some_and(is_small))
    }
}

impl<T: Element> RowFile<T> {
    /// Returns the global numbers of the rows.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.first..self.first + self.rows
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Reads some rows by their ascending global numbers, which may repeat; those of other workers are left
    /// out. `first` is the number of the first row of the result.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub(crate) fn gather(&self, rows: &[u64], first: u64) -> Result<Points<T>> {
        let own = self.range();
        let start = rows.partition_point(|row| *row < own.start);
        let end = rows.partition_point(|row| *row < own.end);
        let mut values = Vec::with_capacity((end - start) * self.dims);
        for row in &rows[start..end] {
            self.read(row - own.start, 1, &mut values)?;
        }
        let first = first + start as u64;
        Ok(Points { first, dims: self.dims, values, missing: 0, weights: None })
    }

    /// Reads all rows, a block at a time.
    ///
    /// # Errors
    ///
    /// The disk cannot be read, and those of `each`.
    pub(crate) fn each_block(&self, mut each: impl FnMut(&[T]) -> Result<()>) -> Result<()> {
        let size = (BLOCK_NUMBERS / self.dims as u64).max(1);
        let mut values = Vec::new();
        for start in (0..self.rows).step_by(index(size)) {
            values.clear();
            self.read(start, size.min(self.rows - start), &mut values)?;
            each(&values)?;
        }
        Ok(())
    }

    fn read(&self, row: u64, count: u64, values: &mut Vec<T>) -> Result<()> {
        let size = size_of::<T>();
        let mut bytes = vec![0; index(count) * self.dims * size];
        let at = row * (self.dims * size) as u64;
        self.file.read_exact_at(&mut bytes, at).map_err(Error::io(&std::env::temp_dir()))?;
        let numbers = bytes.chunks_exact(size).map(|number| {
            let mut wire = [0; 8];
            wire[..size].copy_from_slice(number);
            i64::from_le_bytes(wire)
        });
        values.extend(numbers.map(T::from_wire));
        Ok(())
    }
}
