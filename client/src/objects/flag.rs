//! The handle to a flag.

use catena_protocol::op::FlagOp;
use catena_protocol::{Op, Reply};

use super::{Object, Swapped, boolean, handle};
use crate::Error;

handle! {
    /// A boolean, false until somebody changes it.
    pub struct Flag: Flag
}

/// All methods fail with [`Error`].
impl Flag<'_> {
    /// The value.
    pub fn get(&self) -> Result<bool, Error> {
        self.ask(FlagOp::Get)
    }

    /// Sets the value. Answers the new one.
    pub fn set(&self, value: bool) -> Result<bool, Error> {
        self.ask(FlagOp::Set { value })
    }

    /// Sets the value. Answers the old one.
    pub fn swap(&self, value: bool) -> Result<bool, Error> {
        self.ask(FlagOp::Swap { value })
    }

    /// Sets the value to `value` if it is `expected`.
    pub fn compare_and_swap(&self, expected: bool, value: bool) -> Result<Swapped<bool>, Error> {
        let op = Op::Flag(FlagOp::CompareAndSwap { expected, value });
        self.client.ask(&self.target, op, None, |reply| match reply {
            Reply::BoolSwapped { value: now, swapped } => Some(Swapped { swapped, now }),
            _ => None,
        })
    }

    fn ask(&self, op: FlagOp) -> Result<bool, Error> {
        self.client.ask(&self.target, Op::Flag(op), None, boolean)
    }
}

impl Object for Flag<'_> {
    type Op<'o> = FlagOp;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Flag(op)
    }
}
