//! The format of dumps.
//!
//! A dump is text in UTF-8, a record in each line: 16 hexadecimal digits, a blank, a JSON object and
//! a line feed. The digits are the XXH3-64 of the bytes of the JSON object, with that of the record
//! before as the seed, 0 in the first line; so a line that is damaged, missing or out of place is
//! noticed. Bytes are a string if they are UTF-8, else `{"hex": "…"}`.
//!
//! | record | fields |
//! |---|---|
//! | the first | `catena_dump`: 1, the version of the format; `prefix`; `engine`, for people |
//! | an object | `object`: its name; `kind`; `expires_ms`, the time left, if it expires; and by kind |
//! | counter, flag | `value` |
//! | cell | `bytes` |
//! | vector | `type` (`f64`, `f32`, `i64`), `columns`, `hex`: the numbers, little-endian |
//! | semaphore | `permits` |
//! | future | `bytes`, or `cancelled`: the reason |
//! | list, set, map, log | their contents are in the records that follow |
//! | contents | `items`: items of a list, members of a set, lines of a log; keys and values of a map in turn |
//! | the last | `end`: how many objects the dump has |
//!
//! A reader refuses another version, fields that it does not know are ignored, and a dump without
//! its last record is truncated. Versions of objects, tokens that cells and maps have seen, holders
//! and waiters are not kept.

use std::io::{BufRead, Read, Write};

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version of the format.
const VERSION: u64 = 1;

/// The longest line: a page of the protocol in hexadecimal digits, and more.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A record: its fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record(pub(super) Map<String, Value>);

/// Why a dump cannot be restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DumpError {
    #[error("this is not a dump: its first line is not that of one")]
    NotADump,
    #[error("the dump has version {0} of the format, and this release reads version {VERSION}")]
    Version(u64),
    #[error("line {line} of the dump is damaged, or lines are missing before it")]
    Damaged { line: u64 },
    #[error(
        "the dump is truncated: it ends after line {line} without its last record, which says how \
         many objects it has"
    )]
    Truncated { line: u64 },
    #[error("line {line} of the dump is longer than {LINE_BYTES_MAX} bytes")]
    TooLong { line: u64 },
    #[error("line {line} of the dump does not have the right fields: {what}")]
    BadRecord { line: u64, what: String },
    #[error("the dump says that it has {said} objects, and has {found}")]
    Count { said: u64, found: u64 },
    #[error("there is something behind the last record of the dump, in line {line}")]
    Behind { line: u64 },
    #[error("`{name}` exists already: delete it, or replace it with --replace")]
    Exists { name: String },
    #[error("cannot read the dump: {0}")]
    Read(std::io::Error),
}

/// Writes records.
pub(super) struct DumpWriter<W> {
    out: W,
    seed: u64,
}

impl<W: Write> DumpWriter<W> {
    pub(super) fn new(out: W, prefix: &str, engine: &str) -> std::io::Result<DumpWriter<W>> {
        let mut writer = DumpWriter { out, seed: 0 };
        writer.write(&json!({"catena_dump": VERSION, "prefix": prefix, "engine": engine}))?;
        Ok(writer)
    }

    pub(super) fn record(&mut self, record: Record) -> std::io::Result<()> {
        self.write(&Value::Object(record.0))
    }

    pub(super) fn finish(mut self, objects: u64) -> std::io::Result<W> {
        self.write(&json!({ "end": objects }))?;
        Ok(self.out)
    }

    fn write(&mut self, value: &Value) -> std::io::Result<()> {
        let text = value.to_string();
        self.seed = xxh3_64_with_seed(text.as_bytes(), self.seed);
        writeln!(self.out, "{:016x} {text}", self.seed)
    }
}

/// Reads and checks records.
pub(super) struct DumpReader<R> {
    input: R,
    seed: u64,
    /// The number of the last line that was read.
    pub(super) line: u64,
    objects: u64,
}

impl<R: BufRead> DumpReader<R> {
    /// Reads the first record.
    pub(super) fn new(input: R) -> Result<DumpReader<R>, DumpError> {
        let mut reader = DumpReader { input, seed: 0, line: 0, objects: 0 };
        let first = match reader.read() {
            Ok(Some(first)) => first,
            Ok(None) | Err(DumpError::Damaged { .. }) => return Err(DumpError::NotADump),
            Err(error) => return Err(error),
        };
        match first.0.get("catena_dump").and_then(Value::as_u64) {
            Some(VERSION) => Ok(reader),
            Some(version) => Err(DumpError::Version(version)),
            None => Err(DumpError::NotADump),
        }
    }

    /// Returns the next record; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Record>, DumpError> {
        let truncated = DumpError::Truncated { line: self.line };
        let record = self.read()?.ok_or(truncated)?;
        if let Some(said) = record.0.get("end") {
            let said = said.as_u64().ok_or_else(|| self.bad("`end` is a number"))?;
            if said != self.objects {
                return Err(DumpError::Count { said, found: self.objects });
            }
            return match self.input.fill_buf().map_err(DumpError::Read)?.is_empty() {
                true => Ok(None),
                false => Err(DumpError::Behind { line: self.line + 1 }),
            };
        }
        self.objects += u64::from(record.0.contains_key("object"));
        Ok(Some(record))
    }

    /// The error of the record that was read last.
    pub(super) fn bad(&self, what: &str) -> DumpError {
        DumpError::BadRecord { line: self.line, what: what.to_owned() }
    }

    fn read(&mut self) -> Result<Option<Record>, DumpError> {
        let mut bytes = Vec::new();
        let line = self.line + 1;
        let got = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        let got = got.map_err(DumpError::Read)?;
        if got == 0 {
            return Ok(None);
        }
        if bytes.pop() != Some(b'\n') {
            return Err(match got as u64 >= LINE_BYTES_MAX {
                true => DumpError::TooLong { line },
                false if self.line == 0 => DumpError::NotADump,
                false => DumpError::Truncated { line: self.line },
            });
        }
        self.line = line;
        let damaged = || DumpError::Damaged { line };
        let (digits, text) = bytes.split_at_checked(17).ok_or_else(damaged)?;
        let checksum = xxh3_64_with_seed(text, self.seed);
        if digits != format!("{checksum:016x} ").as_bytes() {
            return Err(damaged());
        }
        self.seed = checksum;
        match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => Ok(Some(Record(fields))),
            _ => Err(self.bad("it is a JSON object")),
        }
    }
}

/// The bytes in a JSON value, as [`crate::outcome::bytes_json`] writes them.
pub(super) fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        value => from_hex(value.get("hex")?.as_str()?),
    }
}

/// Reads hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::bytes_json;

    fn dump() -> Vec<u8> {
        let mut writer = DumpWriter::new(Vec::new(), "job/", "an engine").unwrap();
        for (name, value) in [("job/a", 1), ("job/b", 2)] {
            let record = json!({"object": name, "kind": "counter", "value": value});
            writer.record(Record(record.as_object().unwrap().clone())).unwrap();
        }
        writer.finish(2).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<usize, String> {
        let read = || {
            let mut reader = DumpReader::new(bytes)?;
            let mut records = 0;
            while reader.next()?.is_some() {
                records += 1;
            }
            Ok(records)
        };
        read().map_err(|error: DumpError| error.to_string())
    }

    #[test]
    fn the_format_does_not_change() {
        let expected = "\
            6698cad504d0bafc {\"catena_dump\":1,\"engine\":\"an engine\",\"prefix\":\"job/\"}\n";
        let dump = String::from_utf8(dump()).unwrap();
        assert_eq!(dump.lines().count(), 4);
        assert_eq!(dump.split_inclusive('\n').next(), Some(expected));
        assert_eq!(read(dump.as_bytes()), Ok(2));
    }

    #[test]
    fn every_truncation_is_refused() {
        let dump = dump();
        for length in 0..dump.len() {
            let refused = read(&dump[..length]).unwrap_err();
            let is_first = length <= dump.iter().position(|byte| *byte == b'\n').unwrap();
            let expected = if is_first { "this is not a dump" } else { "the dump is truncated" };
            assert!(refused.starts_with(expected), "{length}: {refused}");
        }
    }

    #[test]
    fn every_change_is_refused() {
        let dump = dump();
        for at in 0..dump.len() {
            let mut changed = dump.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "{at}");
        }
        let lines: Vec<&[u8]> = dump.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(read(&[lines[0], lines[2], lines[1], lines[3]].concat()).is_err());
        assert!(read(&[lines[0], lines[1], lines[3]].concat()).is_err());
        let behind = read(&[&dump[..], b"\n"].concat()).unwrap_err();
        assert!(behind.starts_with("there is something behind"), "{behind}");
        assert_eq!(read(b"hello\n"), Err(DumpError::NotADump.to_string()));
    }

    #[test]
    fn bytes_survive() {
        for bytes in [b"text".to_vec(), vec![0xff, 0, 0x7f], Vec::new()] {
            assert_eq!(bytes_of(&bytes_json(&bytes)), Some(bytes));
        }
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("0g"), None);
    }
}
