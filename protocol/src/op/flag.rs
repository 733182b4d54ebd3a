//! Ops on a flag, a boolean that is false until somebody changes it.

use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// What can be asked of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOp {
    /// Answers the value.
    Get,
    /// Sets the value. Answers the new one.
    Set {
        /// The value to set.
        value: bool,
    },
    /// Sets the value. Answers the old one.
    Swap {
        /// The value to set.
        value: bool,
    },
    /// Sets the value if it is `expected`. Answers whether it was, and the value now.
    CompareAndSwap {
        /// The value that must be there.
        expected: bool,
        /// The value to set.
        value: bool,
    },
}

#[derive(Archive, Serialize)]
struct CompareAndSwapBody {
    expected: bool,
    value: bool,
}

impl FlagOp {
    pub(super) fn code(&self) -> OpCode {
        match self {
            FlagOp::Get => OpCode::FlagGet,
            FlagOp::Set { .. } => OpCode::FlagSet,
            FlagOp::Swap { .. } => OpCode::FlagSwap,
            FlagOp::CompareAndSwap { .. } => OpCode::FlagCompareAndSwap,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            FlagOp::Get => {}
            FlagOp::Set { value } | FlagOp::Swap { value } => body::encode(&value, out),
            FlagOp::CompareAndSwap { expected, value } => {
                body::encode(&CompareAndSwapBody { expected, value }, out);
            }
        }
    }

    pub(super) fn decode(code: OpCode, bytes: &[u8]) -> Result<FlagOp, Fault> {
        let value = || Ok::<_, Fault>(*body::decode::<bool>(bytes)?);
        Ok(match code {
            OpCode::FlagGet => {
                body::decode_empty(bytes)?;
                FlagOp::Get
            }
            OpCode::FlagSet => FlagOp::Set { value: value()? },
            OpCode::FlagSwap => FlagOp::Swap { value: value()? },
            OpCode::FlagCompareAndSwap => {
                let swap = body::decode::<ArchivedCompareAndSwapBody>(bytes)?;
                FlagOp::CompareAndSwap { expected: swap.expected, value: swap.value }
            }
            _ => misrouted(code),
        })
    }
}
