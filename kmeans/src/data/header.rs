//! Whether the first line of a text file names the columns.
//!
//! With `--header auto`, a line is a header only if every field of it is plainly a name. A line that
//! could be a point with a mistake in it is refused, because taking it for names would lose a point
//! without a word.

use super::csv::{is_decimal_comma, is_missing, shown_field};
use crate::error::FormatError;

/// Returns whether a first line is a header: it contains text, and no number.
///
/// # Errors
///
/// It may be either: it is `0,1,2`, or a field begins like a number, or stands for a missing value
/// beside text.
pub(super) fn is_header(fields: &[String], line: u64) -> Result<bool, FormatError> {
    if fields.len() > 1 && fields.iter().enumerate().all(|(at, field)| *field == at.to_string()) {
        return Err(FormatError::NumericHeader);
    }
    if fields.iter().any(|field| is_number(field)) || !fields.iter().any(|field| is_text(field)) {
        return Ok(false);
    }
    match fields.iter().position(|field| is_doubtful(field)) {
        None => Ok(true),
        Some(at) => {
            let text = shown_field(fields[at].as_bytes());
            Err(FormatError::DoubtfulHeader { line, column: at + 1, text })
        }
    }
}

/// Returns the first of some fields that is text, in a line that is taken for a point.
pub(super) fn text_among(fields: &[String], columns: Option<&[usize]>) -> Option<usize> {
    let is_selected = |at: &usize| columns.is_none_or(|columns| columns.contains(at));
    (0..fields.len()).filter(is_selected).find(|at| is_text(&fields[*at]))
}

fn is_number(field: &str) -> bool {
    fast_float2::parse::<f64, _>(field).is_ok() || is_decimal_comma(field.as_bytes())
}

fn is_text(field: &str) -> bool {
    !is_number(field) && !is_missing(field.as_bytes())
}

/// Returns whether a field that is no number begins like one, such as `1.5x`, `-2,5.1`, `$3` or
/// `2026-01-31`, or stands for a missing value, such as `NaN`. An empty field is the name of an index
/// that pandas has written.
fn is_doubtful(field: &str) -> bool {
    let is_sign = |letter: char| matches!(letter, '+' | '-' | '−' | '(' | '.' | ',' | '\'');
    let is_currency = |letter: char| matches!(letter, '$' | '€' | '£' | '¥');
    let number = field.trim_start_matches(|letter: char| {
        is_sign(letter) || is_currency(letter) || letter.is_whitespace()
    });
    number.starts_with(|letter: char| letter.is_ascii_digit())
        || (!field.is_empty() && is_missing(field.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_header_line(line: &str) -> Result<bool, FormatError> {
        let fields: Vec<String> = line.split('|').map(str::to_string).collect();
        is_header(&fields, 1)
    }

    #[test]
    fn headers_contain_text_and_no_number() {
        for line in ["x|y", "|x|y", "x", "x1|x2", "height (cm)|width", "e1|inf x"] {
            assert_eq!(is_header_line(line), Ok(true), "{line}");
        }
        for line in
            ["1|x", "NA|NA", "#N/A", "1|2", "0", "inf|x", "0|1|3", "1.5x|2", "nan|3", "nan|x"]
        {
            assert_eq!(is_header_line(line), Ok(false), "{line}");
        }
        assert_eq!(is_header_line("0|1"), Err(FormatError::NumericHeader));
        assert_eq!(is_header_line("0|1|2|3"), Err(FormatError::NumericHeader));
    }

    #[test]
    fn a_line_that_may_be_a_point_is_no_header() {
        for (line, column, text) in [
            ("1.5x", 1, "1.5x"),
            ("x|2y", 2, "2y"),
            ("NA|x", 1, "NA"),
            ("x|#N/A", 2, "#N/A"),
            ("a|-1.2.3", 2, "-1.2.3"),
            ("1,234.5|a", 1, "1,234.5"),
            ("$5|a", 1, "$5"),
            ("2026-01-31|x", 1, "2026-01-31"),
            ("x|−5", 2, "−5"),
            ("x|.5.", 2, ".5."),
        ] {
            let text = text.to_string();
            let expected = Err(FormatError::DoubtfulHeader { line: 1, column, text });
            assert_eq!(is_header_line(line), expected, "{line}");
        }
    }
}
