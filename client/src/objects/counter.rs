//! The handle to a counter.

use catena_protocol::op::CounterOp;
use catena_protocol::{Op, Reply};

use super::{Object, Swapped, handle, int};
use crate::Error;

handle! {
    /// A 64-bit signed integer, initially 0.
    ///
    /// An op whose result does not fit is refused with
    /// [`Status::Overflow`](crate::Status::Overflow) and changes nothing.
    pub struct Counter: Counter
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Counter {
    /// Returns the value.
    pub fn get(&self) -> Result<i64, Error> {
        self.ask(CounterOp::Get)
    }

    /// Sets the value. Returns the new one.
    pub fn set(&self, value: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Set { value })
    }

    /// Adds `delta`. Returns the new value.
    pub fn add(&self, delta: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Add { delta })
    }

    /// Adds `delta`. Returns the old value.
    pub fn fetch_add(&self, delta: i64) -> Result<i64, Error> {
        self.ask(CounterOp::FetchAdd { delta })
    }

    /// Adds 1. Returns the new value.
    pub fn increment(&self) -> Result<i64, Error> {
        self.add(1)
    }

    /// Subtracts 1. Returns the new value.
    pub fn decrement(&self) -> Result<i64, Error> {
        self.add(-1)
    }

    /// Sets the value. Returns the old one.
    pub fn swap(&self, value: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Swap { value })
    }

    /// Sets the value to `value` if it is `expected`.
    pub fn compare_and_swap(&self, expected: i64, value: i64) -> Result<Swapped<i64>, Error> {
        let op = Op::Counter(CounterOp::CompareAndSwap { expected, value });
        self.requester.ask(&self.target, op, None, |reply| match reply {
            Reply::IntSwapped { value: now, swapped } => Some(Swapped { swapped, now }),
            _ => None,
        })
    }

    /// Multiplies by `factor`. Returns the new value.
    pub fn multiply(&self, factor: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Multiply { factor })
    }

    /// Sets the value to `value` if that is smaller. Returns the new value.
    pub fn min(&self, value: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Min { value })
    }

    /// Sets the value to `value` if that is larger. Returns the new value.
    pub fn max(&self, value: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Max { value })
    }

    /// Sets the value to 0. Returns the old one.
    pub fn reset(&self) -> Result<i64, Error> {
        self.swap(0)
    }

    fn ask(&self, op: CounterOp) -> Result<i64, Error> {
        self.requester.ask(&self.target, Op::Counter(op), None, int)
    }
}

impl Object for Counter {
    type Op<'o> = CounterOp;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Counter(op)
    }
}
