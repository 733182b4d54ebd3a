//! Ops on a lock: one holder at a time, each with a token larger than all before.

use super::hold::{self, ExtendBody};
use super::{OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// What can be asked of a lock. It is not reentrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOp {
    /// Answers as a semaphore of one permit.
    State,
    /// Waits until the lock is free and takes it. Answers the token of the grant. First come, first
    /// served.
    Acquire {
        /// For how long, in milliseconds from when the request arrives; 0 for as long as the session
        /// lives.
        hold_ms: u32,
    },
    /// Takes the lock if it is free and nobody waits. Answers whether it did, and the token.
    TryAcquire {
        /// As in `Acquire`.
        hold_ms: u32,
    },
    /// Gives the lock back. Answers whether it was still held.
    Release {
        /// The token of the grant.
        token: u64,
    },
    /// Holds the lock for so long from now on. Answers whether it was still held.
    Extend {
        /// The token of the grant.
        token: u64,
        /// As in `Acquire`.
        hold_ms: u32,
    },
}

impl LockOp {
    pub(super) fn code(&self) -> OpCode {
        match self {
            LockOp::State => OpCode::LockState,
            LockOp::Acquire { .. } => OpCode::LockAcquire,
            LockOp::TryAcquire { .. } => OpCode::LockTryAcquire,
            LockOp::Release { .. } => OpCode::LockRelease,
            LockOp::Extend { .. } => OpCode::LockExtend,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            LockOp::State => {}
            LockOp::Acquire { hold_ms } | LockOp::TryAcquire { hold_ms } => {
                body::encode(&hold_ms, out);
            }
            LockOp::Release { token } => body::encode(&token, out),
            LockOp::Extend { token, hold_ms } => body::encode(&ExtendBody { token, hold_ms }, out),
        }
    }

    pub(super) fn decode(code: OpCode, body: &[u8]) -> Result<LockOp, Fault> {
        Ok(match code {
            OpCode::LockState => {
                body::decode_empty(body)?;
                LockOp::State
            }
            OpCode::LockAcquire => LockOp::Acquire { hold_ms: body::decode_u32(body)? },
            OpCode::LockTryAcquire => LockOp::TryAcquire { hold_ms: body::decode_u32(body)? },
            OpCode::LockRelease => LockOp::Release { token: body::decode_u64(body)? },
            OpCode::LockExtend => {
                let (token, hold_ms) = hold::decode_extend(body)?;
                LockOp::Extend { token, hold_ms }
            }
            _ => misrouted(code),
        })
    }
}
