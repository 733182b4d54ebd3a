//! What a command prints, and its exit code.
//!
//! An outcome has a text for people, a JSON value for programs, and an exit code: 0 is positive, 1
//! is negative, and `catena --help` lists the codes of errors. Values are printed as the bytes they
//! are, with nothing added, except on a terminal.

use std::io::{IsTerminal, Write};

use catena_client::operator::OperatorError;
use catena_client::{Error, Retry, Status};
use serde_json::{Value, json};

use crate::display::{self, Shown};
use crate::dump::DumpError;
use crate::output::{self, OutputError, UNWRITTEN};
use crate::run::What;
use crate::values::ValueError;

/// The result of a command that did not fail.
#[derive(Debug)]
pub(crate) struct Outcome {
    text: Text,
    /// The value for programs; nothing is printed without one.
    json: Option<Value>,
    pub(crate) code: u8,
    /// The command took something that is held beyond the end of this process.
    pub(crate) keeps_session: bool,
    /// What nobody has if the result cannot be printed.
    pub(crate) stake: Option<Stake>,
}

/// What a command took, and only its result says.
#[derive(Debug)]
pub(crate) enum Stake {
    /// It is in the result, and nowhere else.
    Result,
    /// It is held under this token.
    Held { what: What, token: u64 },
}

/// The text of an outcome.
#[derive(Debug)]
enum Text {
    /// Lines that the tool wrote; names in them may have any characters.
    Words(String),
    /// One value.
    Value(Vec<u8>),
    /// Items, each of one or more fields.
    Items(Vec<Vec<Vec<u8>>>),
}

/// How outcomes are printed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Format {
    /// As a line of JSON.
    pub(crate) json: bool,
    /// As bytes, also on a terminal.
    pub(crate) raw: bool,
    /// With NUL bytes between items and fields.
    pub(crate) null: bool,
    /// To a terminal.
    pub(crate) terminal: bool,
    /// Among other outcomes, so that a value is followed by a line feed.
    pub(crate) among_others: bool,
}

impl Outcome {
    fn new(text: Text, json: Value) -> Outcome {
        Outcome { text, json: Some(json), code: 0, keeps_session: false, stake: None }
    }

    /// A value, with the same text for people and programs.
    pub(crate) fn value(value: impl Into<Value>) -> Outcome {
        let json = value.into();
        let text = match &json {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Outcome::new(Text::Words(text), json)
    }

    /// True or false, which also decides the exit code.
    pub(crate) fn truth(positive: bool) -> Outcome {
        Outcome::value(positive).ending(positive)
    }

    /// Bytes as they are; negative if there are none.
    pub(crate) fn bytes(bytes: Option<impl AsRef<[u8]>>) -> Outcome {
        match bytes {
            Some(bytes) => {
                let bytes = bytes.as_ref();
                Outcome::new(Text::Value(bytes.to_vec()), bytes_json(bytes))
            }
            None => Outcome::nothing(),
        }
    }

    /// No value, which is negative.
    pub(crate) fn nothing() -> Outcome {
        Outcome::new(Text::Words(String::new()), Value::Null).ending(false)
    }

    /// Success without a value.
    pub(crate) fn done() -> Outcome {
        Outcome::new(Text::Words(String::new()), json!({"done": true}))
    }

    /// Prints nothing, and exits with this code.
    pub(crate) fn silent(code: u8) -> Outcome {
        Outcome { json: None, code, ..Outcome::done() }
    }

    /// Byte strings, one per line.
    pub(crate) fn lines(items: impl IntoIterator<Item = Vec<u8>>) -> Outcome {
        let items: Vec<Vec<Vec<u8>>> = items.into_iter().map(|item| vec![item]).collect();
        let json = items.iter().map(|item| bytes_json(&item[0])).collect();
        Outcome::new(Text::Items(items), Value::Array(json))
    }

    /// Items of several fields, one item per line, with tabs between its fields.
    pub(crate) fn rows(items: Vec<Vec<Vec<u8>>>, json: Value) -> Outcome {
        Outcome::new(Text::Items(items), json)
    }

    /// Sets the text for people.
    pub(crate) fn with_text(mut self, text: impl Into<String>) -> Outcome {
        self.text = Text::Words(text.into());
        self
    }

    /// Sets the value for programs.
    pub(crate) fn with_json(mut self, json: Value) -> Outcome {
        self.json = Some(json);
        self
    }

    /// Sets whether it is positive.
    pub(crate) fn ending(mut self, positive: bool) -> Outcome {
        self.code = u8::from(!positive);
        self
    }

    /// Marks that something is held beyond the end of this process.
    pub(crate) fn keeping_session(mut self) -> Outcome {
        self.keeps_session = true;
        self
    }

    /// Marks that the result cannot be had again, so that it is told even if it cannot be printed.
    pub(crate) fn had_once(mut self) -> Outcome {
        self.stake = Some(Stake::Result);
        self
    }

    /// Marks that `what` is held under `token`, beyond the end of this process.
    pub(crate) fn holding(mut self, what: What, token: u64) -> Outcome {
        self.stake = Some(Stake::Held { what, token });
        self.keeping_session()
    }

    /// Prints it on standard output.
    pub(crate) fn print(&self, format: Format) -> Result<(), OutputError> {
        output::print(&self.rendered(format))
    }

    /// The result in JSON, for messages.
    pub(crate) fn json_text(&self) -> String {
        self.json.as_ref().map(Value::to_string).unwrap_or_default()
    }

    /// What is printed.
    pub(crate) fn rendered(&self, format: Format) -> Vec<u8> {
        let Some(json) = &self.json else { return Vec::new() };
        if format.json {
            return format!("{json}\n").into_bytes();
        }
        let escapes = format.terminal && !format.raw;
        match &self.text {
            Text::Words(text) if text.is_empty() => Vec::new(),
            Text::Words(text) if escapes => {
                format!("{}\n", display::escaped(text.as_bytes(), Shown::Text)).into_bytes()
            }
            Text::Words(text) => format!("{text}\n").into_bytes(),
            Text::Value(bytes) if escapes => {
                let mut text = display::escaped(bytes, Shown::Text);
                if let Some(integer) = display::as_integer(bytes) {
                    text += &format!("  (as an integer: {integer})");
                }
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                text.into_bytes()
            }
            Text::Value(bytes) => {
                let mut bytes = bytes.clone();
                if format.null {
                    bytes.push(0);
                } else if format.among_others && !format.raw {
                    bytes.push(b'\n');
                }
                bytes
            }
            Text::Items(items) => {
                let mut out = Vec::new();
                for item in items {
                    for (at, field) in item.iter().enumerate() {
                        if at > 0 && !format.null {
                            out.push(b'\t');
                        }
                        match escapes {
                            true => out.extend(display::escaped(field, Shown::Part).into_bytes()),
                            false => out.extend(field),
                        }
                        if format.null {
                            out.push(0);
                        }
                    }
                    if !format.null {
                        out.push(b'\n');
                    }
                }
                out
            }
        }
    }
}

/// Bytes in JSON: a string if they are UTF-8, else `{"hex": "…"}`.
pub(crate) fn bytes_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

/// What was read; `None` if its object does not exist, which is a negative result and no error.
pub(crate) fn found<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.status() == Some(Status::Absent) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Prints an error in one line on standard error.
pub(crate) fn print_error(error: &anyhow::Error, as_json: bool) {
    if as_json {
        let status =
            client_error(error).and_then(Error::status).map(|status| format!("{status:?}"));
        complain(&json!({"error": causes(error), "status": status}).to_string());
    } else {
        say(&causes(error));
    }
}

/// Prints a message in one line on standard error.
pub(crate) fn say(message: &str) {
    match std::io::stderr().is_terminal() {
        true => {
            complain(&format!("catena: {}", display::escaped(message.as_bytes(), Shown::Part)));
        }
        false => complain(&format!("catena: {message}")),
    }
}

fn complain(line: &str) {
    // If this cannot be written, nothing can be said about it.
    _ = writeln!(std::io::stderr(), "{line}");
}

/// An error and its causes. A cause that the text in front of it includes is left out.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Why the members of a cluster were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// A member that has not left in time.
    #[error("{name} was asked to leave, but is still a member: see `catena cluster status`")]
    StillMember { name: String },
    /// A node that has not become a member in time.
    #[error(
        "{name} joins, but is not a member yet (its standing is {standing}): see `catena cluster \
         status`, or wait longer with --timeout"
    )]
    StillJoins { name: String, standing: String },
    /// A member that must not leave.
    #[error("{name} is the last member, and no other node has its objects: it cannot be removed")]
    LastMember { name: String },
}

/// The exit code of an error; see `catena --help`.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<ChangeError>() {
        return match error {
            ChangeError::StillMember { .. } | ChangeError::StillJoins { .. } => 3,
            ChangeError::LastMember { .. } => 5,
        };
    }
    if let Some(error) = error.downcast_ref::<OperatorError>() {
        return match error {
            OperatorError::BadAddress { .. } => 2,
            OperatorError::Refused { .. } => 5,
            _ => 4,
        };
    }
    if error.downcast_ref::<OutputError>().is_some() {
        return UNWRITTEN;
    }
    if error.downcast_ref::<DumpError>().is_some() {
        return 5;
    }
    if let Some(ValueError::NotANumber { .. }) = error.downcast_ref::<ValueError>() {
        return 5;
    }
    match client_error(error) {
        None | Some(Error::BadAddress { .. } | Error::BadName { .. }) => 2,
        Some(Error::TimedOut { .. }) => 3,
        Some(
            Error::NoRecord { .. }
            | Error::Unreachable { .. }
            | Error::Unwelcome { .. }
            | Error::Incompatible { .. }
            | Error::NoAnswer { .. }
            | Error::Cancelled { .. }
            | Error::TooManyCalls { .. }
            | Error::Lost { .. }
            | Error::SessionLost { .. }
            | Error::Garbled { .. },
        ) => 4,
        Some(Error::Broken { .. }) => 6,
        // Nothing says that an earlier attempt was not executed.
        Some(error @ Error::Refused { .. }) if error.retry() == Retry::Unknown => 4,
        Some(_) => 5,
    }
}

fn client_error(error: &anyhow::Error) -> Option<&Error> {
    error.downcast_ref::<Error>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_hexadecimal() {
        assert_eq!(bytes_json(b"ada"), json!("ada"));
        assert_eq!(bytes_json(&[0xff, 0]), json!({"hex": "ff00"}));
    }

    const FILE: Format =
        Format { json: false, raw: false, null: false, terminal: false, among_others: false };
    const TERMINAL: Format = Format { terminal: true, ..FILE };

    fn rendered(outcome: &Outcome, format: Format) -> String {
        String::from_utf8_lossy(&outcome.rendered(format)).into_owned()
    }

    #[test]
    fn a_value_is_printed_as_it_is_except_on_a_terminal() {
        let value = Outcome::bytes(Some(b"\x1b[1m\xff"));
        assert_eq!(value.rendered(FILE), b"\x1b[1m\xff");
        assert_eq!(value.rendered(Format { raw: true, ..TERMINAL }), b"\x1b[1m\xff");
        assert_eq!(rendered(&value, TERMINAL), "\\x1b[1m\\xff\n");
        let text = Outcome::bytes(Some("two\nlines\n"));
        assert_eq!(rendered(&text, TERMINAL), "two\nlines\n", "no second line feed");
        assert_eq!(rendered(&text, Format { among_others: true, ..FILE }), "two\nlines\n\n");
        let merged = Outcome::bytes(Some(6_i64.to_le_bytes()));
        assert!(rendered(&merged, TERMINAL).ends_with("(as an integer: 6)\n"));
    }

    #[test]
    fn items_are_lines_or_end_with_nul() {
        let items = Outcome::lines([b"a\nb".to_vec(), Vec::new()]);
        assert_eq!(rendered(&items, FILE), "a\nb\n\n");
        assert_eq!(rendered(&items, TERMINAL), "a\\nb\n\n");
        assert_eq!(rendered(&items, Format { null: true, ..FILE }), "a\nb\0\0");
        let entry = vec![vec![b"key".to_vec(), vec![0xff]]];
        let entry = Outcome::rows(entry, Value::Null);
        assert_eq!(entry.rendered(FILE), b"key\t\xff\n");
        assert_eq!(entry.rendered(Format { null: true, ..FILE }), b"key\0\xff\0");
    }

    #[test]
    fn a_cause_is_printed_once() {
        use anyhow::Context;
        let cause = || std::io::Error::other("it burns");
        let told = anyhow::Error::from(cause()).context("no cluster is found: it burns");
        assert_eq!(causes(&told), "no cluster is found: it burns");
        let untold = Err::<(), _>(cause()).context("cannot read f").unwrap_err();
        assert_eq!(causes(&untold), "cannot read f: it burns");
    }
}
