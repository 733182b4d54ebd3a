//! The handle to a flag.

use catena_protocol::op::FlagOp;
use catena_protocol::{Op, Reply};

use super::{Object, Swapped, boolean, handle};
use crate::Error;

handle! {
    /// A boolean, initially false.
    pub struct Flag: Flag
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Flag {
    /// Returns the value.
    pub fn get(&self) -> Result<bool, Error> {
        self.ask(FlagOp::Get)
    }

    /// Sets the value. Returns the new one.
    pub fn set(&self, value: bool) -> Result<bool, Error> {
        self.ask(FlagOp::Set { value })
    }

    /// Sets the value. Returns the old one.
    pub fn swap(&self, value: bool) -> Result<bool, Error> {
        self.ask(FlagOp::Swap { value })
    }

    /// Sets the value to `value` if it is `expected`.
    pub fn compare_and_swap(&self, expected: bool, value: bool) -> Result<Swapped<bool>, Error> {
        let op = Op::Flag(FlagOp::CompareAndSwap { expected, value });
        self.requester.ask(&self.target, op, None, |reply| match reply {
            Reply::BoolSwapped { value: now, swapped } => Some(Swapped { swapped, now }),
            _ => None,
        })
    }

    fn ask(&self, op: FlagOp) -> Result<bool, Error> {
        self.requester.ask(&self.target, Op::Flag(op), None, boolean)
    }
}

impl Object for Flag {
    type Op<'o> = FlagOp;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Flag(op)
    }
}
