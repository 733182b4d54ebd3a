//! The async methods of every kind of object: named like the blocking ones, with arguments that the
//! blocking thread can own.

use std::ops::Range;
use std::time::Duration;

use catena_protocol::op::Merge;
use catena_protocol::{Inspection, Scalar, SeatState};

use super::{AsyncGuard, SharedFuture};
use crate::element::Element;
use crate::error::Error;
use crate::objects::{
    Appended, Barrier, Cell, Claim, Counter, Flag, FutureState, Latch, List, Lock, LockGuard, Log,
    Map, Object, Permit, PermitState, Reduction, Semaphore, Set, Swapped, Vector,
};
use crate::view::{CellView, PageView, RoundView, ValueView, VectorView};

/// A handle with async methods; made by [`AsyncClient`](super::AsyncClient).
///
/// [`Async::run`] makes calls that have no async method here.
#[derive(Clone, Debug)]
pub struct Async<H> {
    handle: H,
}

impl<H> Async<H> {
    pub(super) fn new(handle: H) -> Async<H> {
        Async { handle }
    }

    /// Returns the handle with blocking methods.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let visits = client.asynchronous().counter("visits");
    /// assert_eq!(visits.blocking().name(), "visits");
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn blocking(&self) -> &H {
        &self.handle
    }
}

/// Bytes that a blocking thread can own: a `Vec<u8>`, a `String`, a `&'static str`.
pub trait OwnedBytes: AsRef<[u8]> + Send + 'static {}

impl<B: AsRef<[u8]> + Send + 'static> OwnedBytes for B {}

/// Numbers that a blocking thread can own.
pub trait OwnedElement: Element + Send + 'static {}

impl<E: Element + Send + 'static> OwnedElement for E {}

/// Declares the async methods of a kind. All methods fail with [`Error`].
macro_rules! asynchronous {
    ($($handle:ident { $(
        $method:ident($($arg:ident: $type:ty),*) -> $value:ty = $call:expr;
    )* })*) => {$(
        /// All methods that return a [`Result`] fail with [`Error`].
        impl Async<$handle> {$(
            #[doc = concat!("As [`", stringify!($handle), "::", stringify!($method), "`].")]
            pub async fn $method(&self $(, $arg: $type)*) -> Result<$value, Error> {
                self.run($call).await
            }
        )*}
    )*};
}

/// The methods of all handles. All methods fail with [`Error`].
impl<H: Object + Clone + Send + Sync + 'static> Async<H> {
    /// Deletes the object. Returns whether it existed.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let visits = client.asynchronous().counter("visits");
    /// assert!(!visits.delete().await?);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub async fn delete(&self) -> Result<bool, Error> {
        self.run(|handle| handle.requester().delete_object(handle.target())).await
    }

    /// Describes the object for people; `None` if it does not exist.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let visits = client.asynchronous().counter("visits");
    /// assert!(visits.inspect().await?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub async fn inspect(&self) -> Result<Option<Inspection>, Error> {
        self.run(|handle| handle.requester().inspect_object(handle.target())).await
    }

    /// Waits until the version is above `version`, and returns it.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let visits = client.asynchronous().counter("visits");
    /// visits.increment().await?;
    /// assert!(visits.wait_newer(0, seconds).await? > 0);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub async fn wait_newer(&self, version: u64, timeout: Duration) -> Result<u64, Error> {
        self.run(move |handle| {
            handle.requester().wait_newer_object(handle.target(), version, timeout)
        })
        .await
    }
}

asynchronous! {
    Counter {
        get() -> i64 = Counter::get;
        set(value: i64) -> i64 = move |counter| counter.set(value);
        add(delta: i64) -> i64 = move |counter| counter.add(delta);
        fetch_add(delta: i64) -> i64 = move |counter| counter.fetch_add(delta);
        increment() -> i64 = Counter::increment;
        decrement() -> i64 = Counter::decrement;
        swap(value: i64) -> i64 = move |counter| counter.swap(value);
        compare_and_swap(expected: i64, value: i64) -> Swapped<i64> =
            move |counter| counter.compare_and_swap(expected, value);
        multiply(factor: i64) -> i64 = move |counter| counter.multiply(factor);
        min(value: i64) -> i64 = move |counter| counter.min(value);
        max(value: i64) -> i64 = move |counter| counter.max(value);
        reset() -> i64 = Counter::reset;
    }
    Flag {
        get() -> bool = Flag::get;
        set(value: bool) -> bool = move |flag| flag.set(value);
        swap(value: bool) -> bool = move |flag| flag.swap(value);
        compare_and_swap(expected: bool, value: bool) -> Swapped<bool> =
            move |flag| flag.compare_and_swap(expected, value);
    }
    Cell {
        get() -> CellView = Cell::get;
        get_if_newer(version: u64) -> Option<CellView> = move |cell| cell.get_if_newer(version);
        read_range(range: Range<u64>) -> CellView = move |cell| cell.read_range(range);
        set(bytes: impl OwnedBytes) -> u64 = move |cell| cell.set(bytes.as_ref());
        set_with_token(token: u64, bytes: impl OwnedBytes) -> u64 =
            move |cell| cell.set_with_token(token, bytes.as_ref());
        swap(bytes: impl OwnedBytes) -> CellView = move |cell| cell.swap(bytes.as_ref());
        compare_version_and_set(version: u64, bytes: impl OwnedBytes) -> Swapped<u64> =
            move |cell| cell.compare_version_and_set(version, bytes.as_ref());
        compare_and_set(expected: impl OwnedBytes, bytes: impl OwnedBytes) -> Swapped<u64> =
            move |cell| cell.compare_and_set(expected.as_ref(), bytes.as_ref());
        append(bytes: impl OwnedBytes) -> Appended = move |cell| cell.append(bytes.as_ref());
    }
    List {
        len() -> u64 = List::len;
        is_empty() -> bool = List::is_empty;
        get(index: u64) -> Option<ValueView> = move |list| list.get(index);
        range(range: Range<u64>) -> PageView = move |list| list.range(range);
        index_of(item: impl OwnedBytes) -> Option<u64> = move |list| list.index_of(item);
        push_back(item: impl OwnedBytes) -> u64 = move |list| list.push_back(item);
        push_front(item: impl OwnedBytes) -> u64 = move |list| list.push_front(item);
        extend(items: Vec<impl OwnedBytes>) -> u64 = move |list| list.extend(items);
        pop_back() -> Option<ValueView> = List::pop_back;
        pop_front() -> Option<ValueView> = List::pop_front;
        pop_front_wait(timeout: Duration) -> ValueView = move |list| list.pop_front_wait(timeout);
        remove_value(item: impl OwnedBytes) -> bool = move |list| list.remove_value(item);
        clear() -> u64 = List::clear;
        claim(timeout: Duration) -> AsyncGuard<Claim> =
            move |list| list.claim(timeout).map(AsyncGuard::new);
        try_claim() -> Option<AsyncGuard<Claim>> =
            |list| Ok(list.try_claim()?.map(AsyncGuard::new));
    }
    Map {
        len() -> u64 = Map::len;
        is_empty() -> bool = Map::is_empty;
        get(key: impl OwnedBytes) -> Option<ValueView> = move |map| map.get(key);
        contains_key(key: impl OwnedBytes) -> bool = move |map| map.contains_key(key);
        put(key: impl OwnedBytes, value: impl OwnedBytes) -> bool =
            move |map| map.put(key, value);
        put_if_absent(key: impl OwnedBytes, value: impl OwnedBytes) -> bool =
            move |map| map.put_if_absent(key, value);
        remove(key: impl OwnedBytes) -> bool = move |map| map.remove(key);
        take(key: impl OwnedBytes) -> Option<ValueView> = move |map| map.take(key);
        swap(key: impl OwnedBytes, value: impl OwnedBytes) -> Option<ValueView> =
            move |map| map.swap(key, value);
        merge(key: impl OwnedBytes, merge: Merge, value: impl OwnedBytes) -> ValueView =
            move |map| map.merge(key, merge, value);
        add(key: impl OwnedBytes, delta: i64) -> i64 = move |map| map.add(key, delta);
        put_all(entries: Vec<(impl OwnedBytes, impl OwnedBytes)>) -> u64 =
            move |map| map.put_all(entries);
        clear() -> u64 = Map::clear;
    }
    Set {
        len() -> u64 = Set::len;
        is_empty() -> bool = Set::is_empty;
        contains(member: impl OwnedBytes) -> bool = move |set| set.contains(member);
        add(member: impl OwnedBytes) -> bool = move |set| set.add(member);
        add_all(members: Vec<impl OwnedBytes>) -> u64 = move |set| set.add_all(members);
        remove(member: impl OwnedBytes) -> bool = move |set| set.remove(member);
        clear() -> u64 = Set::clear;
    }
    Lock {
        lock(timeout: Duration) -> AsyncGuard<LockGuard> =
            move |lock| lock.lock(timeout).map(AsyncGuard::new);
        try_lock() -> Option<AsyncGuard<LockGuard>> =
            |lock| Ok(lock.try_lock()?.map(AsyncGuard::new));
        state() -> PermitState = Lock::state;
        unlock(token: u64) -> bool = move |lock| lock.unlock(token);
    }
    Semaphore {
        acquire(count: u32, timeout: Duration) -> AsyncGuard<Permit> =
            move |semaphore| semaphore.acquire(count, timeout).map(AsyncGuard::new);
        try_acquire(count: u32) -> Option<AsyncGuard<Permit>> =
            move |semaphore| Ok(semaphore.try_acquire(count)?.map(AsyncGuard::new));
        state() -> PermitState = Semaphore::state;
        release(token: u64) -> bool = move |semaphore| semaphore.release(token);
    }
    Latch {
        count_down(party: String, parties: u32) -> u64 =
            move |latch| latch.count_down(&party, parties);
        wait(parties: u32, timeout: Duration) -> () = move |latch| latch.wait(parties, timeout);
        state() -> SeatState = Latch::state;
    }
    Barrier {
        state() -> SeatState = Barrier::state;
        reset() -> u64 = Barrier::reset;
        break_with(reason: String) -> u64 = move |barrier| barrier.break_with(&reason);
    }
    Reduction {
        last() -> RoundView = Reduction::last;
        state() -> SeatState = Reduction::state;
        reset() -> u64 = Reduction::reset;
        break_with(reason: String) -> u64 = move |reduction| reduction.break_with(&reason);
    }
    SharedFuture {
        get(timeout: Duration) -> ValueView = move |future| future.get(timeout);
        peek() -> Option<ValueView> = SharedFuture::peek;
        state() -> FutureState = SharedFuture::state;
        set(bytes: impl OwnedBytes) -> bool = move |future| future.set(bytes);
        cancel(reason: String) -> bool = move |future| future.cancel(&reason);
    }
    Log {
        print(line: String) -> u64 = move |log| log.print(&line);
        tail(after: u64) -> PageView = move |log| log.tail(after);
        tail_wait(after: u64, timeout: Duration) -> PageView =
            move |log| log.tail_wait(after, timeout);
    }
    Vector {
        get() -> VectorView = Vector::get;
        get_if_newer(version: u64) -> Option<VectorView> =
            move |vector| vector.get_if_newer(version);
        get_rows(rows: Range<u32>) -> VectorView = move |vector| vector.get_rows(rows);
        init(columns: u32, elements: Vec<impl OwnedElement>) -> u64 =
            move |vector| vector.init(columns, &elements);
        set(columns: u32, elements: Vec<impl OwnedElement>) -> u64 =
            move |vector| vector.set(columns, &elements);
        add(delta: Vec<impl OwnedElement>) -> u64 = move |vector| vector.add(&delta);
        sum() -> Scalar = Vector::sum;
    }
}

impl Async<Barrier> {
    /// Arrives as the party `name` of `parties`, in the generation in progress, and waits for the
    /// others; see [`Barrier::arrive_and_wait`]. Returns the completed generation.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let step = client.asynchronous().barrier("step");
    /// assert_eq!(step.wait("ada", 1, seconds).await?, 0);
    /// # Ok::<(), catena_client::Error>(())
    /// # })?;
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Barrier::arrive_and_wait`].
    pub async fn wait(&self, name: &str, parties: u32, timeout: Duration) -> Result<u64, Error> {
        let name = name.to_owned();
        self.run(move |barrier| barrier.party(&name, parties).wait(timeout)).await
    }
}
