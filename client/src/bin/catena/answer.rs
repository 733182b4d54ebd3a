//! What a call prints, and how it ends.
//!
//! An answer has a text for people and a value for machines, and is a yes or a no. Scripts look at the
//! exit code: 0 is yes or done, 1 is no, the others are in `catena --help`.

use std::io::Write;
use std::process::ExitCode;

use catena_client::Error;
use catena_client::operator::OperatorError;
use serde_json::{Value, json};

/// The answer to a call.
#[derive(Debug)]
pub(crate) struct Answer {
    text: Vec<u8>,
    json: Value,
    yes: bool,
    /// It holds something beyond the end of this process.
    pub(crate) keeps: bool,
}

impl Answer {
    /// Something that prints like that for people as for machines.
    pub(crate) fn value(value: impl Into<Value>) -> Answer {
        let json = value.into();
        let text = match &json {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Answer { text: text.into_bytes(), json, yes: true, keeps: false }
    }

    /// True or false, which is also how the call ends.
    pub(crate) fn truth(yes: bool) -> Answer {
        Answer { yes, ..Answer::value(yes) }
    }

    /// Bytes as they are, or nothing if there are none.
    pub(crate) fn bytes(bytes: Option<impl AsRef<[u8]>>) -> Answer {
        match bytes {
            Some(bytes) => {
                let bytes = bytes.as_ref();
                Answer { text: bytes.to_vec(), json: bytes_json(bytes), yes: true, keeps: false }
            }
            None => Answer::nothing(),
        }
    }

    /// There is nothing, which is a no.
    pub(crate) fn nothing() -> Answer {
        Answer { text: Vec::new(), json: Value::Null, yes: false, keeps: false }
    }

    /// Done, and nothing to say.
    pub(crate) fn done() -> Answer {
        Answer { text: Vec::new(), json: json!({"done": true}), yes: true, keeps: false }
    }

    /// Byte strings, one a line.
    pub(crate) fn lines(items: impl IntoIterator<Item = Vec<u8>>) -> Answer {
        let items: Vec<Vec<u8>> = items.into_iter().collect();
        let json = items.iter().map(|item| bytes_json(item)).collect();
        Answer { text: items.join(&b'\n'), json: Value::Array(json), yes: true, keeps: false }
    }

    /// A text for people beside what machines get.
    pub(crate) fn with_text(mut self, text: impl Into<String>) -> Answer {
        self.text = text.into().into_bytes();
        self
    }

    /// What machines get beside the text for people.
    pub(crate) fn with_json(mut self, json: Value) -> Answer {
        self.json = json;
        self
    }

    /// Ends as a no if `yes` is false.
    pub(crate) fn ending(mut self, yes: bool) -> Answer {
        self.yes = yes;
        self
    }

    /// Holds something beyond the end of this process.
    pub(crate) fn keeping(mut self) -> Answer {
        self.keeps = true;
        self
    }

    /// Prints it. Nobody to read it is no error of ours.
    pub(crate) fn print(&self, as_json: bool) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let mut line = if as_json { self.json.to_string().into_bytes() } else { self.text.clone() };
        if !line.is_empty() {
            line.push(b'\n');
        }
        let _ = out.write_all(&line).and_then(|()| out.flush());
        ExitCode::from(if self.yes { 0 } else { 1 })
    }
}

/// Bytes in JSON: as a string if they are text, else `{"hex": "…"}`.
pub(crate) fn bytes_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

/// Says in one line on standard error what went wrong, and what to do.
#[allow(clippy::print_stderr)] // standard error is where a program says what went wrong
pub(crate) fn complain(error: &anyhow::Error, as_json: bool) {
    if as_json {
        let status = of_client(error).and_then(Error::status).map(|status| format!("{status:?}"));
        eprintln!("{}", json!({"error": story(error), "status": status}));
    } else {
        eprintln!("catena: {}", story(error));
    }
}

/// An error and what caused it. Those of the client tell their causes themselves.
fn story(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        parts.push(cause.to_string());
        if cause.is::<Error>() || cause.is::<OperatorError>() {
            break;
        }
    }
    parts.join(": ")
}

/// Why something was not done to a cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undone {
    /// It was told, and has not done it in time.
    #[error("{0}")]
    NotYet(String),
    /// It must not be done.
    #[error("{0}")]
    Refused(String),
}

/// How a call ends that went wrong; see `catena --help`.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(undone) = error.downcast_ref::<Undone>() {
        return match undone {
            Undone::NotYet(_) => 3,
            Undone::Refused(_) => 5,
        };
    }
    if let Some(error) = error.downcast_ref::<OperatorError>() {
        return match error {
            OperatorError::BadAddress { .. } => 2,
            OperatorError::Refused { .. } => 5,
            _ => 4,
        };
    }
    match of_client(error) {
        None | Some(Error::BadAddress { .. } | Error::BadName { .. }) => 2,
        Some(Error::TimedOut { .. }) => 3,
        Some(
            Error::NoRecord { .. }
            | Error::Unreachable { .. }
            | Error::Unwelcome { .. }
            | Error::Incompatible { .. }
            | Error::NoAnswer { .. }
            | Error::Lost { .. }
            | Error::SessionLost { .. }
            | Error::Garbled { .. },
        ) => 4,
        Some(Error::Broken { .. }) => 6,
        Some(_) => 5,
    }
}

fn of_client(error: &anyhow::Error) -> Option<&Error> {
    error.downcast_ref::<Error>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_told_from_those_that_are() {
        assert_eq!(bytes_json(b"ada"), json!("ada"));
        assert_eq!(bytes_json(&[0xff, 0]), json!({"hex": "ff00"}));
    }
}
