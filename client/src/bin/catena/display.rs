//! Shows bytes on a terminal: control characters are escaped, so that a value or a name cannot
//! move the cursor, change colours, or hide what it is.

/// What is shown: a whole text, which may have several lines, or a part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Line feeds and tabs are kept.
    Text,
    /// Line feeds and tabs are escaped, because they separate the parts.
    Part,
}

/// Returns the bytes as text for a terminal: printable UTF-8 as it is, everything else as `\n`,
/// `\x1b` or `\u{202e}`. A backslash is doubled only where something else is escaped.
pub(crate) fn escaped(bytes: &[u8], shown: Shown) -> String {
    let is_plain = |letter: char| match letter {
        '\n' | '\t' => shown == Shown::Text,
        letter => !is_control(letter),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_plain) => text.to_owned(),
        _ => {
            let mut text = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                for letter in chunk.valid().chars() {
                    match letter {
                        '\\' => text.push_str("\\\\"),
                        letter if is_plain(letter) => text.push(letter),
                        '\n' => text.push_str("\\n"),
                        '\r' => text.push_str("\\r"),
                        '\t' => text.push_str("\\t"),
                        letter if letter.is_ascii() => {
                            text.push_str(&format!("\\x{:02x}", u32::from(letter)));
                        }
                        letter => text.push_str(&letter.escape_unicode().to_string()),
                    }
                }
                for byte in chunk.invalid() {
                    text.push_str(&format!("\\x{byte:02x}"));
                }
            }
            text
        }
    }
}

/// A text of at most this many characters; one that is too long ends with `…`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    match text.chars().count() <= width {
        true => text.to_owned(),
        false => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Whether a character controls the terminal or the direction of the text.
fn is_control(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The integer that 8 bytes which are no text may be, as `map merge` stores it.
pub(crate) fn as_integer(bytes: &[u8]) -> Option<i64> {
    let word = <[u8; 8]>::try_from(bytes).ok()?;
    let is_text = std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(is_control));
    (!is_text).then(|| i64::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_escaped() {
        let part = |bytes: &[u8]| escaped(bytes, Shown::Part);
        assert_eq!(part("Grüße, 世界".as_bytes()), "Grüße, 世界");
        assert_eq!(part(b"\x1b[2J\x07"), "\\x1b[2J\\x07");
        assert_eq!(part(b"a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(part("\u{9b}31m\u{202e}".as_bytes()), "\\u{9b}31m\\u{202e}");
        assert_eq!(part(&[0xff, b'a', 0xc3]), "\\xffa\\xc3");
        assert_eq!(escaped(b"two\nlines\n", Shown::Text), "two\nlines\n");
    }

    #[test]
    fn a_backslash_is_doubled_only_among_escapes() {
        assert_eq!(escaped(br"C:\temp", Shown::Part), r"C:\temp");
        assert_eq!(escaped(b"\\n\n", Shown::Part), r"\\n\n");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!((cut("abc", 3), cut("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
        assert_eq!(cut("äöüß", 4), "äöüß");
    }

    #[test]
    fn eight_bytes_that_are_no_text_may_be_an_integer() {
        assert_eq!(as_integer(&6_i64.to_le_bytes()), Some(6));
        assert_eq!(as_integer(&(-1_i64).to_le_bytes()), Some(-1));
        assert_eq!(as_integer(b"password"), None);
        assert_eq!(as_integer(b"short"), None);
    }
}
