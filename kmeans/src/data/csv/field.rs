//! Fields of a line.

use crate::data::finite;
use crate::error::RowError;
use crate::kernel::Element;

/// What stands for a missing value: what pandas reads as one, and the question mark of the UCI
/// repository.
const MISSING: [&str; 22] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "NAN", "na", "?",
];

/// How much of a field that is not a number is printed.
const SHOWN_CHARS: usize = 24;

/// Converts a field to a finite number.
#[inline]
pub(super) fn number<T: Element>(field: &[u8], column: usize) -> Result<T, RowError> {
    let text = || shown_field(field);
    match fast_float2::parse::<f64, _>(field) {
        Ok(number) if !number.is_nan() => finite(number, column),
        _ if is_missing(field) => Err(RowError::Missing { column: column + 1, text: text() }),
        _ if is_decimal_comma(field) => {
            Err(RowError::DecimalComma { column: column + 1, text: text() })
        }
        _ => Err(RowError::NotANumber { column: column + 1, text: text() }),
    }
}

/// Prints a field, of a long one the beginning.
pub(in crate::data) fn shown_field(field: &[u8]) -> String {
    String::from_utf8_lossy(field).chars().take(SHOWN_CHARS).collect()
}

pub(in crate::data) fn is_missing(field: &[u8]) -> bool {
    // All of them are short, and most fields that are not missing are longer or begin otherwise.
    field.len() <= 8 && MISSING.iter().any(|text| text.as_bytes() == field)
}

/// Returns whether a field is a number but for a comma in place of the point.
pub(in crate::data) fn is_decimal_comma(field: &[u8]) -> bool {
    let commas = field.iter().filter(|byte| **byte == b',').count();
    let with_point: Vec<u8> =
        field.iter().map(|byte| if *byte == b',' { b'.' } else { *byte }).collect();
    commas == 1 && fast_float2::parse::<f64, _>(&with_point).is_ok()
}

#[inline]
pub(super) fn unquote(field: &[u8]) -> &[u8] {
    let field = trim(field);
    match field {
        [b'"', inner @ .., b'"'] => trim(inner),
        _ => field,
    }
}

#[inline]
pub(super) fn trim(text: &[u8]) -> &[u8] {
    match text {
        [first, .., last] if !first.is_ascii_whitespace() && !last.is_ascii_whitespace() => text,
        _ => text.trim_ascii(),
    }
}
