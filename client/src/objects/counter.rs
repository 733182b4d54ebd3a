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
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.counter("visits").get()?, 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn get(&self) -> Result<i64, Error> {
        self.ask(CounterOp::Get)
    }

    /// Sets the value. Returns the new one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.counter("visits").set(7)?, 7);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn set(&self, value: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Set { value })
    }

    /// Adds `delta`. Returns the new value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// assert_eq!((visits.add(2)?, visits.add(3)?), (2, 5));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn add(&self, delta: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Add { delta })
    }

    /// Adds `delta`. Returns the old value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let ids = client.counter("ids");
    /// let first = ids.fetch_add(100)?; // 100 ids for this caller alone
    /// assert_eq!((first, ids.get()?), (0, 100));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn fetch_add(&self, delta: i64) -> Result<i64, Error> {
        self.ask(CounterOp::FetchAdd { delta })
    }

    /// Adds 1. Returns the new value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.counter("visits").increment()?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn increment(&self) -> Result<i64, Error> {
        self.add(1)
    }

    /// Subtracts 1. Returns the new value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.counter("free").decrement()?, -1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn decrement(&self) -> Result<i64, Error> {
        self.add(-1)
    }

    /// Sets the value. Returns the old one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// visits.add(5)?;
    /// assert_eq!(visits.swap(1)?, 5);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn swap(&self, value: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Swap { value })
    }

    /// Sets the value to `value` if it is `expected`.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let leader = client.counter("leader");
    /// assert!(leader.compare_and_swap(0, 7)?.swapped);
    /// let lost = leader.compare_and_swap(0, 8)?;
    /// assert_eq!((lost.swapped, lost.now), (false, 7));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn compare_and_swap(&self, expected: i64, value: i64) -> Result<Swapped<i64>, Error> {
        let op = Op::Counter(CounterOp::CompareAndSwap { expected, value });
        self.requester.ask(&self.target, op, None, |reply| match reply {
            Reply::IntSwapped { value: now, swapped } => Some(Swapped { swapped, now }),
            _ => None,
        })
    }

    /// Multiplies by `factor`. Returns the new value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let product = client.counter("product");
    /// product.set(6)?;
    /// assert_eq!(product.multiply(7)?, 42);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn multiply(&self, factor: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Multiply { factor })
    }

    /// Sets the value to `value` if that is smaller. Returns the new value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let lowest = client.counter("lowest");
    /// lowest.set(5)?;
    /// assert_eq!((lowest.min(3)?, lowest.min(4)?), (3, 3));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn min(&self, value: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Min { value })
    }

    /// Sets the value to `value` if that is larger. Returns the new value.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let highest = client.counter("highest");
    /// assert_eq!((highest.max(3)?, highest.max(2)?), (3, 3));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn max(&self, value: i64) -> Result<i64, Error> {
        self.ask(CounterOp::Max { value })
    }

    /// Sets the value to 0. Returns the old one.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// visits.add(5)?;
    /// assert_eq!((visits.reset()?, visits.get()?), (5, 0));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
