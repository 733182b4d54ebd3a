//! What a command prints, and its exit code.
//!
//! An outcome has a text for people, a JSON value for programs, and is positive or negative.
//! Scripts check the exit code: 0 is positive, 1 is negative, and `catena --help` lists the codes
//! of errors.

use std::io::Write;
use std::process::ExitCode;

use catena_client::operator::OperatorError;
use catena_client::{Error, Retry};
use serde_json::{Value, json};

/// The result of a command that did not fail.
#[derive(Debug)]
pub(crate) struct Outcome {
    text: Vec<u8>,
    json: Value,
    positive: bool,
    /// The command took something that is held beyond the end of this process.
    pub(crate) keeps_session: bool,
}

impl Outcome {
    /// A value, with the same text for people and programs.
    pub(crate) fn value(value: impl Into<Value>) -> Outcome {
        let json = value.into();
        let text = match &json {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Outcome { text: text.into_bytes(), json, positive: true, keeps_session: false }
    }

    /// True or false, which also decides the exit code.
    pub(crate) fn truth(positive: bool) -> Outcome {
        Outcome { positive, ..Outcome::value(positive) }
    }

    /// Bytes as they are; negative if there are none.
    pub(crate) fn bytes(bytes: Option<impl AsRef<[u8]>>) -> Outcome {
        match bytes {
            Some(bytes) => {
                let bytes = bytes.as_ref();
                Outcome {
                    text: bytes.to_vec(),
                    json: bytes_json(bytes),
                    positive: true,
                    keeps_session: false,
                }
            }
            None => Outcome::nothing(),
        }
    }

    /// No value, which is negative.
    pub(crate) fn nothing() -> Outcome {
        Outcome { text: Vec::new(), json: Value::Null, positive: false, keeps_session: false }
    }

    /// Success without a value.
    pub(crate) fn done() -> Outcome {
        Outcome {
            text: Vec::new(),
            json: json!({"done": true}),
            positive: true,
            keeps_session: false,
        }
    }

    /// Byte strings, one per line.
    pub(crate) fn lines(items: impl IntoIterator<Item = Vec<u8>>) -> Outcome {
        let items: Vec<Vec<u8>> = items.into_iter().collect();
        let json = items.iter().map(|item| bytes_json(item)).collect();
        Outcome {
            text: items.join(&b'\n'),
            json: Value::Array(json),
            positive: true,
            keeps_session: false,
        }
    }

    /// Sets the text for people.
    pub(crate) fn with_text(mut self, text: impl Into<String>) -> Outcome {
        self.text = text.into().into_bytes();
        self
    }

    /// Sets the value for programs.
    pub(crate) fn with_json(mut self, json: Value) -> Outcome {
        self.json = json;
        self
    }

    /// Sets whether it is positive.
    pub(crate) fn ending(mut self, positive: bool) -> Outcome {
        self.positive = positive;
        self
    }

    /// Marks that something is held beyond the end of this process.
    pub(crate) fn keeping_session(mut self) -> Outcome {
        self.keeps_session = true;
        self
    }

    /// Prints it. A closed standard output is not an error.
    pub(crate) fn print(&self, as_json: bool) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let mut line = if as_json { self.json.to_string().into_bytes() } else { self.text.clone() };
        if !line.is_empty() {
            line.push(b'\n');
        }
        let _ = out.write_all(&line).and_then(|()| out.flush());
        ExitCode::from(if self.positive { 0 } else { 1 })
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

/// Prints an error in one line on standard error.
#[allow(clippy::print_stderr)] // a program reports its errors on standard error
pub(crate) fn print_error(error: &anyhow::Error, as_json: bool) {
    if as_json {
        let status =
            client_error(error).and_then(Error::status).map(|status| format!("{status:?}"));
        // The alternate form includes the causes.
        eprintln!("{}", json!({"error": format!("{error:#}"), "status": status}));
    } else {
        eprintln!("catena: {error:#}");
    }
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
    NotYetMember { name: String, standing: String },
    /// A member that must not leave.
    #[error("{name} is the last member, and no other node has its objects: it cannot be removed")]
    LastMember { name: String },
}

/// The exit code of an error; see `catena --help`.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<ChangeError>() {
        return match error {
            ChangeError::StillMember { .. } | ChangeError::NotYetMember { .. } => 3,
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
    match client_error(error) {
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
}
