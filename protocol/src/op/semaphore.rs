//! Ops on a semaphore: permits, each held by somebody for a while.

use rkyv::{Archive, Serialize};

use super::hold::{self, ExtendBody};
use super::{OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// What can be asked of a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemaphoreOp {
    /// Answers how many permits there are and who has them; `Absent` if nobody asked for one yet.
    State,
    /// Waits until the permits are free and takes them. Answers the token of the grant. First come,
    /// first served.
    Acquire(Permit),
    /// Takes the permits if they are free and nobody waits. Answers whether it did, and the token.
    TryAcquire(Permit),
    /// Gives the permits back. Answers whether they were still held.
    Release {
        /// The token of the grant.
        token: u64,
    },
    /// Holds the permits for so long from now on. Answers whether they were still held.
    Extend {
        /// The token of the grant.
        token: u64,
        /// For how long, in milliseconds from when the request arrives; 0 for as long as the session
        /// lives.
        hold_ms: u32,
    },
}

/// What is asked of a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// How many permits the semaphore has in all; the same for everybody who asks.
    pub permits: u32,
    /// How many of them are asked for.
    pub count: u32,
    /// For how long, in milliseconds from when the request arrives; 0 for as long as the session
    /// lives.
    pub hold_ms: u32,
}

#[derive(Archive, Serialize)]
struct PermitBody {
    permits: u32,
    count: u32,
    hold_ms: u32,
}

impl SemaphoreOp {
    pub(super) fn code(&self) -> OpCode {
        match self {
            SemaphoreOp::State => OpCode::SemaphoreState,
            SemaphoreOp::Acquire(_) => OpCode::SemaphoreAcquire,
            SemaphoreOp::TryAcquire(_) => OpCode::SemaphoreTryAcquire,
            SemaphoreOp::Release { .. } => OpCode::SemaphoreRelease,
            SemaphoreOp::Extend { .. } => OpCode::SemaphoreExtend,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            SemaphoreOp::State => {}
            SemaphoreOp::Acquire(permit) | SemaphoreOp::TryAcquire(permit) => {
                let Permit { permits, count, hold_ms } = permit;
                body::encode(&PermitBody { permits, count, hold_ms }, out);
            }
            SemaphoreOp::Release { token } => body::encode(&token, out),
            SemaphoreOp::Extend { token, hold_ms } => {
                body::encode(&ExtendBody { token, hold_ms }, out);
            }
        }
    }

    pub(super) fn decode(code: OpCode, body: &[u8]) -> Result<SemaphoreOp, Fault> {
        let permit = || {
            let permit = body::decode::<ArchivedPermitBody>(body)?;
            Ok::<_, Fault>(Permit {
                permits: permit.permits.to_native(),
                count: permit.count.to_native(),
                hold_ms: permit.hold_ms.to_native(),
            })
        };
        Ok(match code {
            OpCode::SemaphoreState => {
                body::decode_empty(body)?;
                SemaphoreOp::State
            }
            OpCode::SemaphoreAcquire => SemaphoreOp::Acquire(permit()?),
            OpCode::SemaphoreTryAcquire => SemaphoreOp::TryAcquire(permit()?),
            OpCode::SemaphoreRelease => SemaphoreOp::Release { token: body::decode_u64(body)? },
            OpCode::SemaphoreExtend => {
                let (token, hold_ms) = hold::decode_extend(body)?;
                SemaphoreOp::Extend { token, hold_ms }
            }
            _ => misrouted(code),
        })
    }
}
