//! Consecutive binary numbers: packed files, and the body of `.npy` files.

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::parts::{PartReader, PartShape};
use super::{Hints, LoadedValues, Missing, index};
use crate::error::{Error, FormatError, Result, RowError};
use crate::kernel::{Element, Precision, all_finite};

/// Rows are read in pieces of about this size.
const PIECE_BYTES: usize = 1 << 20;

/// A little-endian number, named as in NumPy by kind and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum NumberType {
    F4,
    F8,
    I1,
    I2,
    I4,
    I8,
    U1,
    U2,
    U4,
    U8,
}

impl NumberType {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::I1 | Self::U1 => 1,
            Self::I2 | Self::U2 => 2,
            Self::F4 | Self::I4 | Self::U4 => 4,
            Self::F8 | Self::I8 | Self::U8 => 8,
        }
    }

    /// Returns the precision that holds all such numbers. 64-bit integers are rounded.
    pub(super) fn precision(self) -> Precision {
        match self {
            Self::F4 | Self::I1 | Self::U1 | Self::I2 | Self::U2 => Precision::F32,
            Self::F8 | Self::I4 | Self::U4 | Self::I8 | Self::U8 => Precision::F64,
        }
    }
}

/// The type of the numbers, and the position of the first one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct NumberLayout {
    pub(super) number: NumberType,
    pub(super) start: u64,
    /// What is done about NaN.
    pub(super) missing: Missing,
}

impl NumberLayout {
    fn row_bytes(&self, dims: usize) -> u64 {
        (dims * self.number.bytes()) as u64
    }

    /// Returns the bytes of the given rows.
    pub(super) fn bytes(&self, rows: &Range<u64>, dims: usize) -> Range<u64> {
        let at = |row| self.start + row * self.row_bytes(dims);
        at(rows.start)..at(rows.end)
    }

    /// Converts a number of bytes to a number of rows.
    fn rows_of(&self, path: &Path, bytes: u64, dims: usize) -> Result<u64> {
        let row_bytes = self.row_bytes(dims);
        if bytes.is_multiple_of(row_bytes) {
            Ok(bytes / row_bytes)
        } else {
            Err(Error::format(path, FormatError::Size { bytes, row_bytes }))
        }
    }

    /// Returns the rows that begin within the given bytes, of `rows` in total.
    pub(super) fn rows(&self, bytes: &Range<u64>, dims: usize, rows: u64) -> Range<u64> {
        let row = |byte: u64| byte.saturating_sub(self.start).div_ceil(self.row_bytes(dims));
        row(bytes.start).min(rows)..row(bytes.end).min(rows)
    }
}

/// Returns the shape of a packed file, which does not contain `dims`. Unknown `bytes` are counted
/// if `counts`.
pub(super) fn shape(
    path: &Path,
    number: NumberType,
    hints: &Hints,
    bytes: Option<u64>,
    counts: bool,
    reader: &mut PartReader,
) -> Result<PartShape> {
    let dims = hints.dims.ok_or_else(|| Error::DimsNeeded { path: path.to_path_buf() })?;
    if dims == 0 {
        return Err(Error::format(path, FormatError::NoColumns));
    }
    let bytes = match bytes {
        None if counts => Some(io::copy(reader, &mut io::sink()).map_err(Error::io(path))?),
        known => known,
    };
    let layout = NumberLayout { number, start: 0, missing: hints.missing };
    let rows = bytes.map(|bytes| layout.rows_of(path, bytes, dims)).transpose()?;
    Ok(PartShape::of_numbers(layout, dims, rows))
}

/// Appends the given rows to `values`. `reader` is at the first of them.
pub(super) fn load<T: Element>(
    path: &Path,
    layout: NumberLayout,
    dims: usize,
    rows: Range<u64>,
    reader: &mut PartReader,
    loaded: &mut LoadedValues<'_, T>,
) -> Result<()> {
    let row_bytes = dims * layout.number.bytes();
    let piece_rows = (PIECE_BYTES / row_bytes).max(1);
    let mut piece = vec![0; piece_rows * row_bytes];
    let mut row = rows.start;
    while row < rows.end {
        let count = piece_rows.min(index(rows.end - row));
        let piece = &mut piece[..count * row_bytes];
        reader.read_exact(piece).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::Shrunk { path: path.to_path_buf(), row: row + 1 }
            }
            _ => Error::io(path)(cause),
        })?;
        append(path, layout, dims, row, piece, loaded)?;
        row += count as u64;
    }
    Ok(())
}

/// Appends all rows to `values`. `reader` is at the first of them; their number is unknown.
pub(super) fn load_all<T: Element>(
    path: &Path,
    layout: NumberLayout,
    dims: usize,
    reader: &mut PartReader,
    loaded: &mut LoadedValues<'_, T>,
) -> Result<()> {
    let piece_rows = (PIECE_BYTES / index(layout.row_bytes(dims))).max(1) as u64;
    let (mut row, mut piece) = (0, Vec::new());
    loop {
        piece.clear();
        let piece_bytes = piece_rows * layout.row_bytes(dims);
        let bytes = reader.take(piece_bytes).read_to_end(&mut piece).map_err(Error::io(path))?;
        let rows = layout.rows_of(path, bytes as u64, dims)?;
        append(path, layout, dims, row, &piece, loaded)?;
        row += rows;
        if rows < piece_rows {
            return Ok(());
        }
    }
}

/// Appends a piece of whole rows; the first one is number `row`.
fn append<T: Element>(
    path: &Path,
    layout: NumberLayout,
    dims: usize,
    row: u64,
    piece: &[u8],
    loaded: &mut LoadedValues<'_, T>,
) -> Result<()> {
    let values = &mut *loaded.values;
    let start = values.len();
    decode(layout.number, piece, values);
    if all_finite(&values[start..]) {
        return Ok(());
    }
    for (at, value) in values[start..].iter().map(|value| value.to_f64()).enumerate() {
        if value.is_nan() && layout.missing == Missing::Mean {
            loaded.missing += 1;
        } else if !value.is_finite() {
            let row = row + (at / dims) as u64 + 1;
            let reason = RowError::NotFinite { column: at % dims + 1, value };
            return Err(Error::Row { path: path.to_path_buf(), row, line: None, reason });
        }
    }
    Ok(())
}

fn decode<T: Element>(number: NumberType, bytes: &[u8], values: &mut Vec<T>) {
    match number {
        NumberType::F4 => extend(bytes, values, |b| f64::from(f32::from_le_bytes(b))),
        NumberType::F8 => extend(bytes, values, f64::from_le_bytes),
        NumberType::I1 => extend(bytes, values, |b| f64::from(i8::from_le_bytes(b))),
        NumberType::I2 => extend(bytes, values, |b| f64::from(i16::from_le_bytes(b))),
        NumberType::I4 => extend(bytes, values, |b| f64::from(i32::from_le_bytes(b))),
        NumberType::I8 => extend(bytes, values, |b| i64::from_le_bytes(b) as f64),
        NumberType::U1 => extend(bytes, values, |b| f64::from(u8::from_le_bytes(b))),
        NumberType::U2 => extend(bytes, values, |b| f64::from(u16::from_le_bytes(b))),
        NumberType::U4 => extend(bytes, values, |b| f64::from(u32::from_le_bytes(b))),
        NumberType::U8 => extend(bytes, values, |b| u64::from_le_bytes(b) as f64),
    }
}

fn extend<T: Element, const N: usize>(
    bytes: &[u8],
    values: &mut Vec<T>,
    number: impl Fn([u8; N]) -> f64,
) {
    let (numbers, rest) = bytes.as_chunks::<N>();
    assert!(rest.is_empty(), "pieces are whole rows");
    values.extend(numbers.iter().map(|bytes| T::from_f64(number(*bytes))));
}
