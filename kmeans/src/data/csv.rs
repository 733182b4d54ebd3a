//! Lines of numbers: commas, semicolons, tabs or blanks between them, `#` lines and empty lines skipped, a header if
//! nothing in the first line is a number.
//!
//! Counting only looks for line ends, and notes where every so many bytes a row begins, so that each worker can start
//! reading where its rows start. A file far away is not counted: its bytes are shared out, and a row belongs to whoever
//! has its first byte. Numbers are checked when they are parsed, by the worker that owns them.

use std::io::BufRead;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::finite;
use super::parts::{self, Reader, Shape};
use crate::error::{Error, FormatError, Result, RowError};
use crate::kernel::{Element, Precision};

/// Distance between two marks: a worker reads at most this much in vain.
const MARK_BYTES: u64 = 4 << 20;

/// After how much the length of rows is known well enough.
const SAMPLE_BYTES: u64 = 1 << 20;

/// How much of a field that is not a number is shown.
const SHOWN_CHARS: usize = 24;

/// How the lines are to be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Layout {
    separator: Separator,
    /// Where the first line is that can be a row.
    first_byte: u64,
    /// None in a file that was not counted.
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Separator {
    Byte(u8),
    /// Any run of white space.
    Blank,
}

/// A place where a row begins.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Mark {
    row: u64,
    /// Lines before it.
    lines: u64,
    byte: u64,
}

impl Layout {
    /// Where to begin reading to meet the rows that begin at `byte` or later: one byte earlier, so that a line that
    /// begins right there can be told from one that began before.
    pub(super) fn start(&self, byte: u64) -> u64 {
        if byte > self.first_byte { byte - 1 } else { self.first_byte }
    }

    /// Where to begin reading to meet the given rows of a counted file, and a byte at which they are over.
    pub(super) fn place(&self, rows: &Range<u64>) -> (Mark, u64) {
        let before = self.marks.partition_point(|mark| mark.row <= rows.start);
        let after = self.marks.partition_point(|mark| mark.row < rows.end);
        (self.marks[before - 1], self.marks.get(after).map_or(u64::MAX, |mark| mark.byte))
    }
}

/// Looks at the first row, and at all others if they are to be counted.
pub(super) fn shape(path: &Path, counts: bool, reader: &mut Reader) -> Result<Shape> {
    let mut line = Vec::new();
    let mut here = Mark { row: 0, lines: 0, byte: 0 };
    // The first line with something in it decides.
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
        let layout = parts::Layout::Csv(Layout { separator, first_byte, marks: Vec::new() });
        return Ok(Shape { layout, dims, rows: None, precision: Precision::F64 });
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
    let layout = parts::Layout::Csv(Layout { separator, first_byte, marks });
    Ok(Shape { layout, dims, rows: Some(here.row), precision: Precision::F64 })
}

/// Appends the given rows of a counted file to `values`; `reader` is at `here`, at or before the first of them.
pub(super) fn load<T: Element>(
    path: &Path,
    layout: &Layout,
    mut here: Mark,
    dims: usize,
    rows: Range<u64>,
    reader: &mut Reader,
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

/// Appends the rows that begin within the given bytes; `reader` is at [`Layout::start`] of them.
pub(super) fn load_bytes<T: Element>(
    path: &Path,
    layout: &Layout,
    bytes: Range<u64>,
    dims: usize,
    reader: &mut Reader,
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
        // What came so far tells how much is to come, so that the memory need not grow by doubling.
        if !reserved && here - first >= SAMPLE_BYTES {
            let per_byte = (values.len() - before) as f64 / (here - first) as f64;
            values.reserve_exact(estimate(per_byte, bytes.end - here));
            reserved = true;
        }
    }
    Ok(())
}

/// A little more than there will be.
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
    // A row of the wrong length explains itself better than the field that came out odd.
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

    /// Calls `field` for each field, without white space and quotes around it.
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

impl Mark {
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
