//! Ops on a counter, a 64-bit signed integer that is 0 until somebody changes it.

use rkyv::rend::i64_le;

use super::OpCode;
use crate::body;

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

impl CounterOp {
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
}
