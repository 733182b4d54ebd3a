//! What separates the fields of a line.

use serde::{Deserialize, Serialize};

use super::field::{trim, unquote};
use crate::data::SeparatorName;
use crate::error::RowError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Separator {
    Byte(u8),
    /// One or more white-space characters.
    Blank,
}

impl From<SeparatorName> for Separator {
    fn from(name: SeparatorName) -> Self {
        match name {
            SeparatorName::Comma => Self::Byte(b','),
            SeparatorName::Semicolon => Self::Byte(b';'),
            SeparatorName::Tab => Self::Byte(b'\t'),
            SeparatorName::Blank => Self::Blank,
        }
    }
}

impl Separator {
    /// Returns the separator of a line. A comma beside a semicolon or a tab is part of a field.
    pub(super) fn of(line: &[u8]) -> Self {
        let mut is_quoted = false;
        let mut found = [false; 3];
        const BYTES: [u8; 3] = [b';', b'\t', b','];
        for byte in line {
            is_quoted ^= *byte == b'"';
            if !is_quoted && let Some(at) = BYTES.iter().position(|other| other == byte) {
                found[at] = true;
            }
        }
        let first = BYTES.into_iter().zip(found).find(|(_, found)| *found);
        first.map_or(Self::Blank, |(byte, _)| Self::Byte(byte))
    }

    /// Removes white space around a line, but no separators.
    #[inline]
    pub(super) fn trim(self, line: &[u8]) -> &[u8] {
        if self != Self::Byte(b'\t') {
            return trim(line);
        }
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\r' | b'\n');
        let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
        let end = line.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
        &line[start..end]
    }
}

/// Calls `on_field` for each field of a line, without surrounding white space and quotes.
#[inline]
pub(super) fn each_field(
    separator: Separator,
    line: &[u8],
    mut on_field: impl FnMut(&[u8]),
) -> Result<(), RowError> {
    // Nearly all lines have neither.
    let odd = memchr::memchr2(b'"', b'\r', line);
    match separator {
        _ if odd.is_some() && line.contains(&b'\r') => return Err(RowError::CarriageReturn),
        Separator::Byte(byte) if odd.is_some() => return quoted_fields(byte, line, on_field),
        Separator::Byte(byte) => {
            let mut start = 0;
            for end in memchr::memchr_iter(byte, line) {
                on_field(trim(&line[start..end]));
                start = end + 1;
            }
            on_field(trim(&line[start..]));
        }
        Separator::Blank => {
            let fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
            fields.for_each(|field| on_field(unquote(field)));
        }
    }
    Ok(())
}

/// Does what [`each_field`] does, for a line with quotes.
fn quoted_fields(
    separator: u8,
    line: &[u8],
    mut on_field: impl FnMut(&[u8]),
) -> Result<(), RowError> {
    // A quote in a quoted field is written twice.
    if !line.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2) {
        return Err(RowError::OpenQuote);
    }
    let mut reader = csv_core::ReaderBuilder::new().delimiter(separator).build();
    let mut field = vec![0; line.len()];
    let (mut rest, mut length) = (line, 0);
    loop {
        let (result, read, written) = reader.read_field(rest, &mut field[length..]);
        (rest, length) = (&rest[read..], length + written);
        match result {
            csv_core::ReadFieldResult::InputEmpty => {}
            csv_core::ReadFieldResult::OutputFull => unreachable!("a field is part of its line"),
            csv_core::ReadFieldResult::Field { record_end } => {
                on_field(unquote(&field[..length]));
                length = 0;
                if record_end {
                    return Ok(());
                }
            }
            csv_core::ReadFieldResult::End => return Ok(()),
        }
    }
}
