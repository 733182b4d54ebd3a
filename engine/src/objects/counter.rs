//! A 64-bit signed integer.

use catena_protocol::op::CounterOp;
use catena_protocol::{Fault, Refusal, Reply, Status};

use super::{Applied, Description, Turn};

/// A counter; 0 until somebody changes it.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    value: i64,
}

impl Counter {
    pub(super) fn read(&self, op: &CounterOp) -> Result<Reply<'_>, Refusal> {
        match op {
            CounterOp::Get => Ok(Reply::Int(self.value)),
            _ => unreachable!("{op:?} is no read"),
        }
    }

    pub(super) fn check(&self, op: &CounterOp) -> Result<(), Refusal> {
        match self.after(op) {
            Some(_) => Ok(()),
            None => Err(Fault::new(Status::Overflow).into()),
        }
    }

    pub(super) fn apply(&mut self, op: &CounterOp, turn: &mut Turn<'_>) -> Applied {
        let before = self.value;
        self.value = self.after(op).expect("overflow was checked");
        if matches!(*op, CounterOp::CompareAndSwap { expected, .. } if before != expected) {
            turn.unchanged();
        }
        turn.done(&match *op {
            CounterOp::FetchAdd { .. } | CounterOp::Swap { .. } => Reply::Int(before),
            CounterOp::CompareAndSwap { expected, .. } => {
                Reply::IntSwapped { value: self.value, swapped: before == expected }
            }
            _ => Reply::Int(self.value),
        })
    }

    pub(super) fn describe(&self) -> Description {
        Description { detail: format!("value {}", self.value), ..Description::default() }
    }

    /// The value the op leads to; `None` if it does not fit.
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
