//! Ops on a counter, a 64-bit signed integer that is 0 until somebody changes it.

use rkyv::rend::i64_le;
use rkyv::{Archive, Serialize};

use super::{Op, OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// What can be asked of a counter. A result beyond 64 bits is refused with `Overflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterOp {
    /// Answers the value.
    Get,
    /// Sets the value. Answers the new one.
    Set {
        /// The value to set.
        value: i64,
    },
    /// Adds. Answers the new value.
    Add {
        /// What to add, negative to subtract.
        delta: i64,
    },
    /// Adds. Answers the old value.
    FetchAdd {
        /// What to add, negative to subtract.
        delta: i64,
    },
    /// Sets the value. Answers the old one.
    Swap {
        /// The value to set.
        value: i64,
    },
    /// Sets the value if it is `expected`. Answers whether it was, and the value now.
    CompareAndSwap {
        /// The value that must be there.
        expected: i64,
        /// The value to set.
        value: i64,
    },
    /// Multiplies. Answers the new value.
    Multiply {
        /// What to multiply by.
        factor: i64,
    },
    /// Sets the value to the smaller of both. Answers the new value.
    Min {
        /// What to compare with.
        value: i64,
    },
    /// Sets the value to the larger of both. Answers the new value.
    Max {
        /// What to compare with.
        value: i64,
    },
}

#[derive(Archive, Serialize)]
struct CompareAndSwapBody {
    expected: i64,
    value: i64,
}

impl CounterOp {
    pub(super) fn code(&self) -> OpCode {
        match self {
            CounterOp::Get => OpCode::CounterGet,
            CounterOp::Set { .. } => OpCode::CounterSet,
            CounterOp::Add { .. } => OpCode::CounterAdd,
            CounterOp::FetchAdd { .. } => OpCode::CounterFetchAdd,
            CounterOp::Swap { .. } => OpCode::CounterSwap,
            CounterOp::CompareAndSwap { .. } => OpCode::CounterCompareAndSwap,
            CounterOp::Multiply { .. } => OpCode::CounterMultiply,
            CounterOp::Min { .. } => OpCode::CounterMin,
            CounterOp::Max { .. } => OpCode::CounterMax,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            CounterOp::Get => {}
            CounterOp::CompareAndSwap { expected, value } => {
                body::encode(&CompareAndSwapBody { expected, value }, out);
            }
            CounterOp::Set { value: number }
            | CounterOp::Add { delta: number }
            | CounterOp::FetchAdd { delta: number }
            | CounterOp::Swap { value: number }
            | CounterOp::Multiply { factor: number }
            | CounterOp::Min { value: number }
            | CounterOp::Max { value: number } => body::encode(&number, out),
        }
    }

    /// The quick way to what most requests are: an update by one number. `None` if this is anything else,
    /// or the body is not its archive; then [`Op::decode`] says what.
    #[inline(always)]
    pub fn by_number(code: u16, bytes: &[u8]) -> Option<CounterOp> {
        const SET: u16 = OpCode::CounterSet.to_wire();
        const ADD: u16 = OpCode::CounterAdd.to_wire();
        const FETCH_ADD: u16 = OpCode::CounterFetchAdd.to_wire();
        const SWAP: u16 = OpCode::CounterSwap.to_wire();
        const MULTIPLY: u16 = OpCode::CounterMultiply.to_wire();
        const MIN: u16 = OpCode::CounterMin.to_wire();
        const MAX: u16 = OpCode::CounterMax.to_wire();
        let number = body::decode::<i64_le>(bytes).ok()?.to_native();
        Some(match code {
            SET => CounterOp::Set { value: number },
            ADD => CounterOp::Add { delta: number },
            FETCH_ADD => CounterOp::FetchAdd { delta: number },
            SWAP => CounterOp::Swap { value: number },
            MULTIPLY => CounterOp::Multiply { factor: number },
            MIN => CounterOp::Min { value: number },
            MAX => CounterOp::Max { value: number },
            _ => return None,
        })
    }

    /// Makes an [`Op`] in one step: an enum that is put into another one is copied in words that span
    /// fresh stores, and each such load waits for all of them.
    #[inline(always)]
    pub(super) fn decode<'a>(code: OpCode, bytes: &[u8]) -> Result<Op<'a>, Fault> {
        let number = || Ok::<_, Fault>(body::decode::<i64_le>(bytes)?.to_native());
        Ok(match code {
            OpCode::CounterGet => {
                body::decode_empty(bytes)?;
                Op::Counter(CounterOp::Get)
            }
            OpCode::CounterSet => Op::Counter(CounterOp::Set { value: number()? }),
            OpCode::CounterAdd => Op::Counter(CounterOp::Add { delta: number()? }),
            OpCode::CounterFetchAdd => Op::Counter(CounterOp::FetchAdd { delta: number()? }),
            OpCode::CounterSwap => Op::Counter(CounterOp::Swap { value: number()? }),
            OpCode::CounterCompareAndSwap => {
                let swap = body::decode::<ArchivedCompareAndSwapBody>(bytes)?;
                Op::Counter(CounterOp::CompareAndSwap {
                    expected: swap.expected.to_native(),
                    value: swap.value.to_native(),
                })
            }
            OpCode::CounterMultiply => Op::Counter(CounterOp::Multiply { factor: number()? }),
            OpCode::CounterMin => Op::Counter(CounterOp::Min { value: number()? }),
            OpCode::CounterMax => Op::Counter(CounterOp::Max { value: number()? }),
            _ => misrouted(code),
        })
    }
}
