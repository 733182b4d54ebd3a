//! Rows of numbers as text: one row a line, its fields separated by commas, semicolons, tabs or
//! blanks, quoted or not.
//!
//! Counting only looks for line ends. Every [`MARK_BYTES`] it records where a row begins, so that
//! each worker can start reading near its first row. A file in a store is not counted: its bytes
//! are divided, and a row belongs to the worker that has its first byte. Numbers are checked when
//! they are parsed, by the worker that has the row. This module guarantees:
//!
//! 1. A line is a row, a header, or skipped: an empty line, or a comment if comments have a
//!    character ([`Hints::comment`]). What cannot be read as a row is an error, never skipped.
//! 2. A row is one line, because workers share the file by line ends. A quoted field that contains
//!    a line end is refused.
//! 3. The fields of a line are those of the crate `csv-core`, without surrounding blanks. Lines
//!    without quotes, which are nearly all, take a quicker way to the same fields.

mod field;
mod separator;

use std::io::BufRead;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::parts::{self, PartReader, PartShape};
use super::{Header, Hints, LoadedValues, Missing, SeparatorName, header};
use crate::error::{Error, FormatError, Result, RowError};
use crate::kernel::{Element, Precision};
use field::number;
use separator::{Separator, each_field};

pub(super) use field::{is_decimal_comma, is_missing, shown_field};

/// Distance between two marks, and the most bytes that a worker reads before its first row.
const MARK_BYTES: u64 = 4 << 20;

/// How many bytes give a good estimate of the length of rows.
const SAMPLE_BYTES: u64 = 1 << 20;

/// How many names of columns are printed.
const SHOWN_NAMES: usize = 8;

/// What some programs write at the beginning of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The same for UTF-16, in both orders.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// How the lines are read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CsvLayout {
    separator: Separator,
    /// The byte that ends a line: `\n`, or `\r` in a file without `\n`.
    line_end: u8,
    comment: Option<u8>,
    missing: Missing,
    /// Number of fields in a row.
    fields: usize,
    /// Which fields are coordinates, in the order of the coordinates; `None` for all.
    columns: Option<Vec<usize>>,
    /// Where the first line begins that can be a row.
    first_byte: u64,
    /// Empty if the file was not counted.
    marks: Vec<RowMark>,
}

/// The beginning of a row.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct RowMark {
    row: u64,
    /// Number of lines before it.
    lines: u64,
    byte: u64,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineKind {
    /// Empty, or a comment.
    Skipped,
    Row,
    /// A row with a missing value, which is left out.
    Dropped,
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

    /// Takes the coordinates in another order: `order[i]` is the present number of coordinate `i`.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        let columns = self.columns.take().unwrap_or_else(|| (0..self.fields).collect());
        self.columns = Some(order.iter().map(|column| columns[*column]).collect());
    }

    pub(super) fn separator_name(&self) -> SeparatorName {
        match self.separator {
            Separator::Byte(b';') => SeparatorName::Semicolon,
            Separator::Byte(b'\t') => SeparatorName::Tab,
            Separator::Byte(_) => SeparatorName::Comma,
            Separator::Blank => SeparatorName::Blank,
        }
    }

    fn kind(&self, line: &[u8]) -> LineKind {
        if line.is_empty() || self.comment.is_some_and(|comment| line[0] == comment) {
            return LineKind::Skipped;
        }
        if self.missing != Missing::Drop {
            return LineKind::Row;
        }
        let (mut at, mut is_missing) = (0, false);
        // Errors are found when the row is parsed.
        let _ = each_field(self.separator, line, |field| {
            let counts = self.columns.as_ref().is_none_or(|columns| columns.contains(&at));
            is_missing |= counts && self::is_missing(field);
            at += 1;
        });
        if is_missing && at == self.fields { LineKind::Dropped } else { LineKind::Row }
    }

    /// Appends the coordinates of a row to `values`.
    fn parse<T: Element>(
        &self,
        line: &[u8],
        loaded: &mut LoadedValues<'_, T>,
    ) -> Result<(), RowError> {
        let values = &mut *loaded.values;
        let start = values.len();
        if let Some(columns) = &self.columns {
            values.resize(start + columns.len(), T::default());
        }
        let (mut fields, mut filled) = (0, 0);
        let mut wrong = None;
        let split = each_field(self.separator, line, |field| {
            let column = fields;
            fields += 1;
            let place = match &self.columns {
                None => None,
                Some(columns) => match columns.iter().position(|at| *at == column) {
                    Some(place) => Some(start + place),
                    None => return,
                },
            };
            let value = match number::<T>(field, column) {
                Err(RowError::Missing { .. }) if self.missing == Missing::Mean => {
                    filled += 1;
                    T::from_f64(f64::NAN)
                }
                Ok(value) => value,
                Err(reason) => return wrong = wrong.take().or(Some(reason)),
            };
            match place {
                None => values.push(value),
                Some(place) => values[place] = value,
            }
        });
        // The wrong length of a row is a better explanation than an odd field.
        let length = if fields == self.fields {
            Ok(())
        } else {
            Err(RowError::Ragged { expected: self.fields, got: fields })
        };
        let result = split.and(length).and(wrong.map_or(Ok(()), Err));
        match result {
            Ok(()) => loaded.missing += filled,
            Err(_) => values.truncate(start),
        }
        result
    }
}

/// Inspects the first row, and counts the others if `counts`.
pub(super) fn shape(
    path: &Path,
    hints: &Hints,
    counts: bool,
    reader: &mut PartReader,
) -> Result<PartShape> {
    let comment = match hints.comment.map(u8::try_from) {
        None => None,
        Some(Ok(byte)) if byte.is_ascii_graphic() => Some(byte),
        Some(_) => {
            let reason = "comments begin with one ASCII character, such as #";
            return Err(Error::Flag { flag: "--comment", reason });
        }
    };
    let mut here = RowMark { row: 0, lines: 0, byte: 0 };
    let opening = reader.fill_buf().map_err(Error::io(path))?;
    if UTF_16_MARKS.iter().any(|mark| opening.starts_with(mark)) {
        return Err(Error::format(path, FormatError::Utf16));
    }
    if opening.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
        here.byte = BYTE_ORDER_MARK.len() as u64;
    }
    let mut line = Vec::new();
    let mut line_end = None;
    // The first line that is not skipped decides.
    let (separator, first) = loop {
        line.clear();
        let bytes = match line_end {
            Some(end) => reader.read_until(end, &mut line).map_err(Error::io(path))?,
            None => {
                let end = first_line(reader, &mut line).map_err(Error::io(path))?;
                line_end = Some(end);
                line.len()
            }
        };
        if bytes == 0 {
            return Ok(PartShape::without_rows());
        }
        let separator = hints.separator.map_or_else(|| Separator::of(&line), Separator::from);
        let text = separator.trim(&line);
        if !text.is_empty() && comment.is_none_or(|comment| text[0] != comment) {
            break (separator, text);
        }
        here = here.after(bytes, false);
    };
    let mut names = Vec::new();
    each_field(separator, first, |field| names.push(String::from_utf8_lossy(field).into_owned()))
        .map_err(|reason| Error::Row {
        path: path.to_path_buf(),
        row: 1,
        line: Some(here.lines + 1),
        reason,
    })?;
    let is_header = match hints.header {
        Header::Yes => true,
        Header::No => false,
        Header::Auto => header::is_header(&names, here.lines + 1)
            .map_err(|reason| Error::format(path, reason))?,
    };
    let fields = names.len();
    let point = if is_header { Vec::new() } else { std::mem::take(&mut names) };
    let columns = columns(hints, &names, fields).map_err(|reason| Error::format(path, reason))?;
    if hints.header == Header::Auto
        && let Some(at) = header::text_among(&point, columns.as_deref())
    {
        let text = shown_field(point[at].as_bytes());
        let reason = RowError::NotANumberInFirst { column: at + 1, text };
        let line = Some(here.lines + 1);
        return Err(Error::Row { path: path.to_path_buf(), row: 1, line, reason });
    }
    if let Some(columns) = &columns
        && !names.is_empty()
    {
        names = columns.iter().map(|column| std::mem::take(&mut names[*column])).collect();
    }
    let dims = columns.as_ref().map_or(fields, Vec::len);
    if dims == 0 {
        return Err(Error::format(path, FormatError::NoColumns));
    }
    let layout = CsvLayout {
        separator,
        line_end: line_end.unwrap_or(b'\n'),
        comment,
        missing: hints.missing,
        fields,
        columns,
        first_byte: if is_header { here.byte + line.len() as u64 } else { here.byte },
        marks: Vec::new(),
    };
    let first = layout.kind(separator.trim(&line));
    let shape = |layout, rows, dropped| PartShape {
        layout: parts::PartLayout::Csv(layout),
        dims,
        rows,
        precision: Precision::F64,
        names,
        dropped,
    };
    if !counts {
        return Ok(shape(layout, None, 0));
    }
    count(path, layout, here, (line.len(), is_header, first), reader)
        .map(|(layout, rows, dropped)| shape(layout, Some(rows), dropped))
}

/// Counts the rows of a file after its first line, which was read already. Returns the layout with
/// marks, the number of rows, and how many were left out.
fn count(
    path: &Path,
    mut layout: CsvLayout,
    mut here: RowMark,
    (bytes, is_header, kind): (usize, bool, LineKind),
    reader: &mut PartReader,
) -> Result<(CsvLayout, u64, u64)> {
    let is_row = !is_header && kind == LineKind::Row;
    let mut dropped = u64::from(!is_header && kind == LineKind::Dropped);
    if is_row {
        layout.marks.push(here);
    }
    here = here.after(bytes, is_row);
    let mut due = here.byte;
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes = reader.read_until(layout.line_end, &mut line).map_err(Error::io(path))?;
        if bytes == 0 {
            return Ok((layout, here.row, dropped));
        }
        let kind = layout.kind(layout.separator.trim(&line));
        if kind == LineKind::Row && here.byte >= due {
            layout.marks.push(here);
            due = here.byte + MARK_BYTES;
        }
        dropped += u64::from(kind == LineKind::Dropped);
        here = here.after(bytes, kind == LineKind::Row);
    }
}

/// Reads the first line, up to the first `\n` or a `\r` that no `\n` follows; returns its last
/// byte.
fn first_line(reader: &mut PartReader, line: &mut Vec<u8>) -> std::io::Result<u8> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(b'\n');
        }
        let Some(at) = memchr::memchr2(b'\n', b'\r', buffer) else {
            let count = buffer.len();
            line.extend_from_slice(buffer);
            reader.consume(count);
            continue;
        };
        let end = buffer[at];
        line.extend_from_slice(&buffer[..=at]);
        reader.consume(at + 1);
        if end == b'\n' {
            return Ok(b'\n');
        }
        if reader.fill_buf()?.first() == Some(&b'\n') {
            line.push(b'\n');
            reader.consume(1);
            return Ok(b'\n');
        }
        return Ok(b'\r');
    }
}

/// Returns which fields are coordinates, if not all are.
pub(super) fn columns(
    hints: &Hints,
    names: &[String],
    fields: usize,
) -> Result<Option<Vec<usize>>, FormatError> {
    let find = |name: &String| {
        let mut found = (0..names.len()).filter(|column| names[*column] == *name);
        match (found.next(), found.next()) {
            (Some(column), None) => return Ok(column),
            (Some(_), Some(_)) => return Err(FormatError::TwoColumns { name: name.clone() }),
            (None, _) => {}
        }
        let number = name.parse::<usize>().ok().filter(|number| (1..=fields).contains(number));
        number.map(|number| number - 1).ok_or_else(|| FormatError::NoColumn {
            name: name.clone(),
            columns: if names.is_empty() {
                format!("there is no header, and the columns are 1 to {fields}")
            } else {
                format!("the columns are {}", shown(names))
            },
        })
    };
    let others = [&hints.id_column, &hints.label_column, &hints.weight_column];
    let others = others.into_iter().flatten().map(find).collect::<Result<Vec<_>, _>>()?;
    let weight = hints.weight_column.as_ref().map(find).transpose()?;
    let mut wanted = match &hints.columns {
        None if others.is_empty() => return Ok(None),
        None => (0..fields).filter(|column| !others.contains(column)).collect(),
        Some(wanted) => wanted.0.iter().map(find).collect::<Result<Vec<_>, _>>()?,
    };
    if wanted.is_empty() {
        return Err(FormatError::NoColumns);
    }
    // The last value of a row, see `DataSet::separate`.
    wanted.extend(weight);
    if let Some(name) = (1..wanted.len()).find(|at| wanted[..*at].contains(&wanted[*at])) {
        return Err(FormatError::SameColumn { column: wanted[name] + 1 });
    }
    Ok(Some(wanted))
}

/// Prints the names of columns, of many the first ones.
pub(super) fn shown(names: &[String]) -> String {
    let first = names.iter().take(SHOWN_NAMES);
    let first = first.map(|name| if name.is_empty() { "(no name)" } else { name });
    let mut text = first.collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN_NAMES {
        text += &format!(" and {} more", names.len() - SHOWN_NAMES);
    }
    text
}

/// Appends the given rows of a counted file. `reader` is at `here`, at or before the first of them.
pub(super) fn load<T: Element>(
    path: &Path,
    layout: &CsvLayout,
    mut here: RowMark,
    rows: Range<u64>,
    reader: &mut PartReader,
    loaded: &mut LoadedValues<'_, T>,
) -> Result<()> {
    let mut line = Vec::new();
    while here.row < rows.end {
        line.clear();
        let bytes = reader.read_until(layout.line_end, &mut line).map_err(Error::io(path))?;
        if bytes == 0 {
            return Err(Error::Shrunk { path: path.to_path_buf(), row: here.row + 1 });
        }
        let text = layout.separator.trim(&line);
        let is_row = layout.kind(text) == LineKind::Row;
        if is_row && here.row >= rows.start {
            layout.parse(text, loaded).map_err(|reason| Error::Row {
                path: path.to_path_buf(),
                row: here.row + 1,
                line: Some(here.lines + 1),
                reason,
            })?;
        }
        here = here.after(bytes, is_row);
    }
    Ok(())
}

/// Appends the rows that begin within the given bytes. `reader` is at [`CsvLayout::start`] of them.
pub(super) fn load_bytes<T: Element>(
    path: &Path,
    layout: &CsvLayout,
    bytes: Range<u64>,
    reader: &mut PartReader,
    loaded: &mut LoadedValues<'_, T>,
) -> Result<()> {
    let mut line = Vec::new();
    let mut here = layout.start(bytes.start);
    let mut read = |line: &mut Vec<u8>| -> Result<u64> {
        line.clear();
        Ok(reader.read_until(layout.line_end, line).map_err(Error::io(path))? as u64)
    };
    if bytes.start > layout.first_byte {
        here += read(&mut line)?;
    }
    let (first, before) = (here, loaded.values.len());
    let mut reserved = bytes.end == u64::MAX;
    while here < bytes.end {
        let length = read(&mut line)?;
        if length == 0 {
            break;
        }
        let text = layout.separator.trim(&line);
        match layout.kind(text) {
            LineKind::Skipped => {}
            LineKind::Dropped => loaded.missing += 1,
            LineKind::Row => {
                layout.parse(text, loaded).map_err(|reason| Error::Line {
                    path: path.to_path_buf(),
                    byte: here,
                    reason,
                })?;
            }
        }
        here += length;
        // The rows so far give an estimate of the rest, so that memory need not grow by doubling.
        if !reserved && here - first >= SAMPLE_BYTES {
            let per_byte = (loaded.values.len() - before) as f64 / (here - first) as f64;
            loaded.values.reserve_exact(estimate(per_byte, bytes.end - here));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::field::unquote;
    use super::*;

    fn fields(separator: u8, line: &str) -> Result<Vec<String>, RowError> {
        let mut fields = Vec::new();
        each_field(Separator::Byte(separator), line.as_bytes(), |field| {
            fields.push(String::from_utf8_lossy(field).into_owned());
        })?;
        Ok(fields)
    }

    proptest! {
        /// Both ways through a line lead to the fields of the crate `csv`.
        #[test]
        fn fields_are_those_of_the_crate_csv(
            parts in prop::collection::vec("[ -~&&[^\"]]{0,6}|\"[ -~&&[^\"]]{0,6}(\"\"[a-z0-9,;]{0,3})?\"", 1..8),
            separator in prop::sample::select(vec![b',', b';', b'\t']),
        ) {
            let line = parts.join(&char::from(separator).to_string());
            prop_assume!(!line.trim().is_empty());
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .delimiter(separator)
                .from_reader(line.as_bytes());
            let record = reader.records().next().expect("a line").expect("it is UTF-8");
            let expected: Vec<String> = record
                .iter()
                .map(|field| {
                    let field = field.as_bytes();
                    String::from_utf8_lossy(unquote(field)).into_owned()
                })
                .collect();
            prop_assert_eq!(fields(separator, &line).unwrap(), expected);
        }
    }

    #[test]
    fn separators_are_those_outside_of_quotes() {
        for (line, expected) in [
            ("1,2", Separator::Byte(b',')),
            ("1,5;2,5", Separator::Byte(b';')),
            ("1,5\t2,5", Separator::Byte(b'\t')),
            ("\"a;b\",c", Separator::Byte(b',')),
            ("1 2", Separator::Blank),
            ("1", Separator::Blank),
        ] {
            assert_eq!(Separator::of(line.as_bytes()), expected, "{line}");
        }
    }
}
