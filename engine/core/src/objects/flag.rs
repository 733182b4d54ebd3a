//! A boolean.

use alloc::format;
use catena_protocol::op::FlagOp;
use catena_protocol::{Refusal, Reply};
use serde::{Deserialize, Serialize};

use super::kind::{Growth, ObjectKind, SharedObject};
use super::{Applied, Description, Turn};

/// A flag; false before the first update.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flag {
    value: bool,
}

impl ObjectKind for Flag {
    type Op<'o> = FlagOp;

    fn growth(_op: &FlagOp) -> Growth {
        Growth::None
    }

    fn read(&self, op: &FlagOp, _version: u64) -> Result<Reply<'_>, Refusal> {
        match op {
            FlagOp::Get => Ok(Reply::Bool(self.value)),
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, _op: &FlagOp) -> Result<(), Refusal> {
        Ok(())
    }

    fn apply(&mut self, op: &FlagOp, turn: &mut Turn<'_>) -> Applied {
        let before = self.value;
        let reply = match *op {
            FlagOp::Get => unreachable!("a read is not applied"),
            FlagOp::Set { value } => {
                self.value = value;
                Reply::Bool(value)
            }
            FlagOp::Swap { value } => {
                self.value = value;
                Reply::Bool(before)
            }
            FlagOp::CompareAndSwap { expected, value } => {
                let swapped = before == expected;
                if swapped {
                    self.value = value;
                } else {
                    turn.unchanged();
                }
                Reply::BoolSwapped { value: self.value, swapped }
            }
        };
        turn.done(&reply)
    }
}

impl SharedObject for Flag {
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
