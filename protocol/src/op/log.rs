//! Ops on a log: numbered lines of text, of which the newest are kept.

use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body::{self, BytesBody};
use crate::status::Fault;

/// What can be asked of a log. Lines are numbered from 1; the oldest are forgotten in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOp<'a> {
    /// Answers a page of lines and the number of its first.
    Tail {
        /// The number of the last line that the caller has, 0 for none.
        after: u64,
        /// How many at most.
        limit: u32,
    },
    /// Adds a line. Answers its number.
    Print {
        /// The line, at most [`LOG_LINE_BYTES_MAX`](crate::limits::LOG_LINE_BYTES_MAX) bytes.
        line: &'a str,
    },
}

#[derive(Archive, Serialize)]
struct TailBody {
    after: u64,
    limit: u32,
}

impl<'a> LogOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            LogOp::Tail { .. } => OpCode::LogTail,
            LogOp::Print { .. } => OpCode::LogPrint,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            LogOp::Tail { after, limit } => body::encode(&TailBody { after, limit }, out),
            LogOp::Print { line } => body::encode(&BytesBody { bytes: line.as_bytes() }, out),
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<LogOp<'a>, Fault> {
        Ok(match code {
            OpCode::LogTail => {
                let tail = body::decode::<ArchivedTailBody>(body)?;
                LogOp::Tail { after: tail.after.to_native(), limit: tail.limit.to_native() }
            }
            OpCode::LogPrint => LogOp::Print { line: body::decode_text(body)? },
            _ => misrouted(code),
        })
    }
}
