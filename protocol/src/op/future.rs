//! Ops on a future: bytes that are set once and waited for.

use super::{OpCode, misrouted};
use crate::body::{self, BytesBody};
use crate::status::Fault;

/// What can be asked of a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutureOp<'a> {
    /// Answers how it stands: [`FUTURE_PENDING`], [`FUTURE_SET`] or [`FUTURE_CANCELLED`].
    State,
    /// Answers the bytes, or nothing while there are none; `Broken` if it was cancelled.
    Peek,
    /// Sets the bytes if nobody has. Answers whether this did; `Broken` if it was cancelled.
    Set {
        /// The bytes to set.
        bytes: &'a [u8],
    },
    /// Waits until the bytes are there and answers them; `Broken` if it is cancelled.
    Get,
    /// Cancels it: whoever waits or asks gets `Broken` with the reason. Answers false if the bytes
    /// were set before.
    Cancel {
        /// Why, in words.
        reason: &'a str,
    },
}

/// Nobody has set or cancelled it.
pub const FUTURE_PENDING: u64 = 0;
/// The bytes are there.
pub const FUTURE_SET: u64 = 1;
/// There will be no bytes.
pub const FUTURE_CANCELLED: u64 = 2;

impl<'a> FutureOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            FutureOp::State => OpCode::FutureState,
            FutureOp::Peek => OpCode::FuturePeek,
            FutureOp::Set { .. } => OpCode::FutureSet,
            FutureOp::Get => OpCode::FutureGet,
            FutureOp::Cancel { .. } => OpCode::FutureCancel,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            FutureOp::State | FutureOp::Peek | FutureOp::Get => {}
            FutureOp::Set { bytes } => body::encode(&BytesBody { bytes }, out),
            FutureOp::Cancel { reason } => {
                body::encode(&BytesBody { bytes: reason.as_bytes() }, out);
            }
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<FutureOp<'a>, Fault> {
        let empty = |op| body::decode_empty(body).map(|()| op);
        Ok(match code {
            OpCode::FutureState => empty(FutureOp::State)?,
            OpCode::FuturePeek => empty(FutureOp::Peek)?,
            OpCode::FutureSet => FutureOp::Set { bytes: body::decode_bytes(body)? },
            OpCode::FutureGet => empty(FutureOp::Get)?,
            OpCode::FutureCancel => FutureOp::Cancel { reason: body::decode_text(body)? },
            _ => misrouted(code),
        })
    }
}
