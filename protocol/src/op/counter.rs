//! Ops on a counter, a 64-bit signed integer that begins at 0.

use rkyv::rend::i64_le;

use super::OpCode;
use crate::body;

/// An op on a counter. A result beyond 64 bits is refused with `Overflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterOp {
    /// Returns the value.
    Get,
    /// Sets the value. Returns the new one.
    Set {
        /// The value to set.
        value: i64,
    },
    /// Adds. Returns the new value.
    Add {
        /// What to add, negative to subtract.
        delta: i64,
    },
    /// Adds. Returns the old value.
    FetchAdd {
        /// What to add, negative to subtract.
        delta: i64,
    },
    /// Sets the value. Returns the old one.
    Swap {
        /// The value to set.
        value: i64,
    },
    /// Sets the value if it is `expected`. Returns whether it did, and the value now.
    CompareAndSwap {
        /// The value that the counter must have.
        expected: i64,
        /// The value to set.
        value: i64,
    },
    /// Multiplies. Returns the new value.
    Multiply {
        /// What to multiply by.
        factor: i64,
    },
    /// Sets the value to the smaller of both. Returns the new value.
    Min {
        /// What to compare with.
        value: i64,
    },
    /// Sets the value to the larger of both. Returns the new value.
    Max {
        /// What to compare with.
        value: i64,
    },
}

impl CounterOp {
    /// Decodes what most requests are, an update by one number, without a detour. Returns `None`
    /// for any other op and for a body that is not its archive; [`Op::decode`](super::Op::decode)
    /// then says which.
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
