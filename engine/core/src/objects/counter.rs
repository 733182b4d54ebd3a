//! A 64-bit signed integer.

use alloc::format;
use catena_protocol::op::CounterOp;
use catena_protocol::{Fault, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

use super::kind::{Growth, ObjectKind, SharedObject};
use super::{Applied, Description, Turn};

/// A counter; 0 before the first update.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counter {
    value: i64,
}

impl ObjectKind for Counter {
    type Op<'o> = CounterOp;

    fn growth(_op: &CounterOp) -> Growth {
        Growth::None
    }

    fn read(&self, op: &CounterOp, _version: u64) -> Result<Reply<'_>, Refusal> {
        match op {
            CounterOp::Get => Ok(Reply::Int(self.value)),
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &CounterOp) -> Result<(), Refusal> {
        match self.after(op) {
            Some(_) => Ok(()),
            None => Err(Fault::new(Status::Overflow).into()),
        }
    }

    fn apply(&mut self, op: &CounterOp, turn: &mut Turn<'_>) -> Applied {
        match *op {
            CounterOp::CompareAndSwap { expected, .. } => {
                let before = self.value;
                self.value = self.after(op).expect("a swap cannot overflow");
                let swapped = before == expected;
                if !swapped {
                    turn.unchanged();
                }
                turn.done(&Reply::IntSwapped { value: self.value, swapped })
            }
            _ => Applied::Word(self.count(op).expect("overflow was checked")),
        }
    }
}

impl SharedObject for Counter {
    fn describe(&self) -> Description {
        Description { detail: format!("value {}", self.value), ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn has_heap(&self) -> bool {
        false
    }
}

impl Counter {
    /// Checks and applies an update whose reply is a number. `None` if the reply is not a number,
    /// or the update would overflow.
    #[inline(always)]
    pub(super) fn count(&mut self, op: &CounterOp) -> Option<u64> {
        if matches!(op, CounterOp::CompareAndSwap { .. }) {
            return None;
        }
        let before = self.value;
        self.value = self.after(op)?;
        let answer = match op {
            CounterOp::FetchAdd { .. } | CounterOp::Swap { .. } => before,
            _ => self.value,
        };
        Some(answer.cast_unsigned())
    }

    /// Returns the value after an op; `None` if it overflows.
    #[inline(always)]
    fn after(&self, op: &CounterOp) -> Option<i64> {
        match *op {
            CounterOp::Get => Some(self.value),
            CounterOp::Set { value } | CounterOp::Swap { value } => Some(value),
            CounterOp::Add { delta } | CounterOp::FetchAdd { delta } => {
                self.value.checked_add(delta)
            }
            CounterOp::CompareAndSwap { expected, value } => {
                Some(if self.value == expected { value } else { self.value })
            }
            CounterOp::Multiply { factor } => self.value.checked_mul(factor),
            CounterOp::Min { value } => Some(self.value.min(value)),
            CounterOp::Max { value } => Some(self.value.max(value)),
        }
    }
}
