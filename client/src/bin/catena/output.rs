//! Standard output: everything that the tool prints goes through here, and a write that fails is an
//! error.
//!
//! A pipe whose reader has gone, as in `catena list jobs range | head -1`, ends the tool quietly:
//! by SIGPIPE, as it ends other programs.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

/// Exit code if the result cannot be written.
pub(crate) const UNWRITTEN: u8 = 7;

/// Why something was not printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("cannot write to standard output: {0}")]
    Write(#[from] io::Error),
    #[error(
        "the command was executed, but its result cannot be written to standard output ({cause}): \
         {result}"
    )]
    Result { cause: io::Error, result: String },
}

impl OutputError {
    /// The error with the result that could not be printed.
    pub(crate) fn with_result(self, result: String) -> OutputError {
        match self {
            OutputError::Write(cause) => OutputError::Result { cause, result },
            error => error,
        }
    }

    fn is_closed_pipe(&self) -> bool {
        matches!(self, OutputError::Write(error) if error.kind() == ErrorKind::BrokenPipe)
    }
}

/// Prints bytes, and flushes them.
pub(crate) fn print(bytes: &[u8]) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Whether an error is only that nobody reads the output any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(OutputError::is_closed_pipe)
}

/// Ends the process as a closed pipe ends others.
pub(crate) fn end_by_closed_pipe() -> ExitCode {
    // It returns only if the signal is blocked.
    _ = emulate_default_handler(SIGPIPE);
    ExitCode::from(UNWRITTEN)
}
