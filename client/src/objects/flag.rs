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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(!client.flag("ready").get()?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self) -> Result<bool, Error> {
        self.ask(FlagOp::Get)
    }

    /// Sets the value. Returns the new one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(client.flag("ready").set(true)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set(&self, value: bool) -> Result<bool, Error> {
        self.ask(FlagOp::Set { value })
    }

    /// Sets the value. Returns the old one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert!(!client.flag("ready").swap(true)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn swap(&self, value: bool) -> Result<bool, Error> {
        self.ask(FlagOp::Swap { value })
    }

    /// Sets the value to `value` if it is `expected`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let begun = client.flag("begun");
    /// assert!(begun.compare_and_swap(false, true)?.swapped); // only for the first caller
    /// assert!(!begun.compare_and_swap(false, true)?.swapped);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
