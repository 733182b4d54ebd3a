//! Lines of numbers, separated by commas, semicolons, tabs or blanks. Empty lines and lines that
//! begin with `#` are skipped. The first line is a header if none of its fields is a number.
//!
//! Counting only looks for line ends. Every [`MARK_BYTES`] it records where a row begins, so that
//! each worker can start reading near its first row. A file in a store is not counted: its bytes
//! are divided, and a row belongs to the worker that has its first byte. Numbers are checked when
//! they are parsed, by the worker that has the row.

use std::io::BufRead;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::finite;
use super::parts::{self, PartReader, PartShape};
use crate::error::{Error, FormatError, Result, RowError};
use crate::kernel::{Element, Precision};

/// Distance between two marks, and the most bytes that a worker reads before its first row.
const MARK_BYTES: u64 = 4 << 20;

/// How many bytes give a good estimate of the length of rows.
const SAMPLE_BYTES: u64 = 1 << 20;

/// How much of a field that is not a number is printed.
const SHOWN_CHARS: usize = 24;

/// How the lines are read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CsvLayout {
    separator: Separator,
    /// Where the first line begins that can be a row.
    first_byte: u64,
    /// Empty if the file was not counted.
    marks: Vec<RowMark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Separator {
    Byte(u8),
    /// One or more white-space characters.
    Blank,
}

/// The beginning of a row.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct RowMark {
    row: u64,
    /// Number of lines before it.
    lines: u64,
    byte: u64,
}

impl CsvLayout {
    /// Returns where to begin reading for the rows that begin at `byte` or later: one byte earlier,
    /// to see whether a line begins exactly there.
    pub(super) fn start(&self, byte: u64) -> u64 {
        if byte > self.first_byte { byte - 1 } else { self.first_byte }
    }

    /// Returns where to begin reading for the given rows of a counted file, and a byte at which
    /// they have ended.
    pub(super) fn place(&self, rows: &Range<u64>) -> (RowMark, u64) {
        let before = self.marks.partition_point(|mark| mark.row <= rows.start);
        let after = self.marks.partition_point(|mark| mark.row < rows.end);
        (self.marks[before - 1], self.marks.get(after).map_or(u64::MAX, |mark| mark.byte))
    }
}

/// Inspects the first row, and counts the others if `counts`.
pub(super) fn shape(path: &Path, counts: bool, reader: &mut PartReader) -> Result<PartShape> {
    let mut line = Vec::new();
    let mut here = RowMark { row: 0, lines: 0, byte: 0 };
    // The first line that is not skipped decides.
    let (separator, dims, header) = loop {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line).map_err(Error::io(path))?;
        if bytes == 0 {
            return Err(Error::NoPoints { path: path.to_path_buf() });
        }
        let text = trim(&line);
        if !is_skipped(text) {
            let separator = Separator::of(text);
            let mut fields = 0;
            let mut numbers = 0;
            separator.each(text, |field| {
                fields += 1;
                numbers += usize::from(fast_float2::parse::<f64, _>(field).is_ok());
            });
            break (separator, fields, numbers == 0);
        }
        here = here.after(bytes, false);
    };
    if dims == 0 {
        return Err(Error::format(path, FormatError::NoColumns));
    }
    let mut marks = Vec::new();
    if !header {
        marks.push(here);
    }
    let first_byte = if header { here.byte + line.len() as u64 } else { here.byte };
    if !counts {
        let layout = parts::PartLayout::Csv(CsvLayout { separator, first_byte, marks: Vec::new() });
        return Ok(PartShape { layout, dims, rows: None, precision: Precision::F64 });
    }
    here = here.after(line.len(), !header);
    let mut due = here.byte;
    loop {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line).map_err(Error::io(path))?;
        if bytes == 0 {
            break;
        }
        let row = !is_skipped(trim(&line));
        if row && here.byte >= due {
            marks.push(here);
            due = here.byte + MARK_BYTES;
        }
        here = here.after(bytes, row);
    }
    let layout = parts::PartLayout::Csv(CsvLayout { separator, first_byte, marks });
    Ok(PartShape { layout, dims, rows: Some(here.row), precision: Precision::F64 })
}

/// Appends the given rows of a counted file to `values`. `reader` is at `here`, at or before the
/// first of them.
pub(super) fn load<T: Element>(
    path: &Path,
    layout: &CsvLayout,
    mut here: RowMark,
    dims: usize,
    rows: Range<u64>,
    reader: &mut PartReader,
    values: &mut Vec<T>,
) -> Result<()> {
    let mut line = Vec::new();
    while here.row < rows.end {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line).map_err(Error::io(path))?;
        if bytes == 0 {
            return Err(Error::Shrunk { path: path.to_path_buf(), row: here.row + 1 });
        }
        let text = trim(&line);
        let row = !is_skipped(text);
        if row && here.row >= rows.start {
            parse(layout.separator, text, dims, values).map_err(|reason| Error::Row {
                path: path.to_path_buf(),
                row: here.row + 1,
                line: Some(here.lines + 1),
                reason,
            })?;
        }
        here = here.after(bytes, row);
    }
    Ok(())
}

/// Appends the rows that begin within the given bytes. `reader` is at [`CsvLayout::start`] of them.
pub(super) fn load_bytes<T: Element>(
    path: &Path,
    layout: &CsvLayout,
    bytes: Range<u64>,
    dims: usize,
    reader: &mut PartReader,
    values: &mut Vec<T>,
) -> Result<()> {
    let mut line = Vec::new();
    let mut here = layout.start(bytes.start);
    let mut read = |line: &mut Vec<u8>| -> Result<u64> {
        line.clear();
        Ok(reader.read_until(b'\n', line).map_err(Error::io(path))? as u64)
    };
    if bytes.start > layout.first_byte {
        here += read(&mut line)?;
    }
    let (first, before) = (here, values.len());
    let mut reserved = bytes.end == u64::MAX;
    while here < bytes.end {
        let length = read(&mut line)?;
        if length == 0 {
            break;
        }
        let text = trim(&line);
        if !is_skipped(text) {
            parse(layout.separator, text, dims, values).map_err(|reason| Error::Line {
                path: path.to_path_buf(),
                byte: here,
                reason,
            })?;
        }
        here += length;
        // The rows so far give an estimate of the rest, so that memory need not grow by doubling.
        if !reserved && here - first >= SAMPLE_BYTES {
            let per_byte = (values.len() - before) as f64 / (here - first) as f64;
            values.reserve_exact(estimate(per_byte, bytes.end - here));
            reserved = true;
        }
    }
    Ok(())
}

/// Returns slightly more than the expected number of values.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is an estimate")]
fn estimate(per_byte: f64, bytes: u64) -> usize {
    (per_byte * bytes as f64 * 1.02) as usize + 1_024
}

fn parse<T: Element>(
    separator: Separator,
    line: &[u8],
    dims: usize,
    values: &mut Vec<T>,
) -> Result<(), RowError> {
    let start = values.len();
    let mut fields = 0;
    let mut wrong = None;
    separator.each(line, |field| {
        match fast_float2::parse::<f64, _>(field) {
            Ok(number) => match finite(number, fields) {
                Ok(value) => values.push(value),
                Err(reason) => wrong = wrong.take().or(Some(reason)),
            },
            Err(_) => {
                let text = String::from_utf8_lossy(field).chars().take(SHOWN_CHARS).collect();
                wrong = wrong.take().or(Some(RowError::NotANumber { column: fields + 1, text }));
            }
        }
        fields += 1;
    });
    // The wrong length of a row is a better explanation than an odd field.
    if fields != dims {
        values.truncate(start);
        return Err(RowError::Ragged { expected: dims, got: fields });
    }
    wrong.map_or(Ok(()), Err)
}

impl Separator {
    fn of(line: &[u8]) -> Self {
        [b',', b';', b'\t']
            .into_iter()
            .find(|byte| line.contains(byte))
            .map_or(Self::Blank, Self::Byte)
    }

    /// Calls `field` for each field, without surrounding white space and quotes.
    #[inline]
    fn each(self, line: &[u8], mut field: impl FnMut(&[u8])) {
        match self {
            Self::Byte(byte) => {
                let mut start = 0;
                for end in memchr::memchr_iter(byte, line) {
                    field(unquote(&line[start..end]));
                    start = end + 1;
                }
                field(unquote(&line[start..]));
            }
            Self::Blank => line
                .split(u8::is_ascii_whitespace)
                .filter(|f| !f.is_empty())
                .for_each(|f| field(unquote(f))),
        }
    }
}

impl RowMark {
    pub(super) fn byte(self) -> u64 {
        self.byte
    }

    fn after(self, bytes: usize, row: bool) -> Self {
        Self {
            row: self.row + u64::from(row),
            lines: self.lines + 1,
            byte: self.byte + bytes as u64,
        }
    }
}

#[inline]
fn unquote(field: &[u8]) -> &[u8] {
    let field = trim(field);
    match field {
        [b'"', inner @ .., b'"'] => trim(inner),
        _ => field,
    }
}

#[inline]
fn trim(text: &[u8]) -> &[u8] {
    match text {
        [first, .., last] if !first.is_ascii_whitespace() && !last.is_ascii_whitespace() => text,
        _ => text.trim_ascii(),
    }
}

fn is_skipped(line: &[u8]) -> bool {
    line.is_empty() || line[0] == b'#'
}
