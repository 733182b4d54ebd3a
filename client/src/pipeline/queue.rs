//! The ops of every kind of object, to be queued in a pipeline: named like the methods of the handles,
//! with the same arguments and values.

use catena_protocol::op::{
    Arrival, BarrierOp, CellOp, Contribution, CounterOp, FlagOp, FutureOp, LatchOp, ListOp, LockOp,
    LogOp, MapOp, Merge, ObjectOp, Permit, ReductionOp, ScanArgs, SemaphoreOp, SetOp, VectorOp,
};
use catena_protocol::{Items, Op, Scalar, SeatState};

use super::Pipeline;
use super::values::{
    Bytes, CellBytes, ClaimedItem, Index, NewerCellBytes, NewerVectorElements, OpValue,
    OptionalBytes, Page, RoundElements, Ticket, Token, VectorElements,
};
use crate::element::Element;
use crate::hold::Hold;
use crate::objects::{
    Appended, Barrier, Cell, Counter, Flag, Future, FutureState, Latch, List, Lock, Log, Map,
    Object, PermitState, Reduction, Semaphore, Set, Swapped, Vector, ttl_ms,
};

/// Queues an op on one object; made by [`Pipeline::on`].
///
/// The methods are named like those of the handle and queue the same op; the [`Ticket`] that they
/// return is redeemed for the value after the run.
#[derive(Debug)]
pub struct Queue<'p, 'o, H> {
    pipeline: &'p mut Pipeline<'o>,
    handle: &'p H,
}

impl<'o> Pipeline<'o> {
    /// Begins an op on an object, of which the next method says which one it is.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let (visits, page) = (client.counter("visits"), client.cell("page"));
    /// let mut pipeline = client.pipeline();
    /// let total = pipeline.on(&visits).add(2);
    /// let version = pipeline.on(&page).set(b"hello");
    /// let text = pipeline.on(&page).get();
    /// let replies = pipeline.run();
    /// assert_eq!(replies.value(total)?, 2);
    /// assert_eq!(replies.value(text)?.bytes, b"hello");
    /// assert_eq!(replies.value(text)?.version, replies.value(version)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn on<'p, H: Object>(&'p mut self, handle: &'p H) -> Queue<'p, 'o, H> {
        Queue { pipeline: self, handle }
    }
}

impl<'o, H: Object> Queue<'_, 'o, H> {
    fn push<V: OpValue>(self, op: H::Op<'o>) -> Ticket<V> {
        let index = self.pipeline.push(self.handle, op);
        Ticket::new(index, self.pipeline.id)
    }

    fn push_any<V: OpValue>(self, op: ObjectOp) -> Ticket<V> {
        let index = self.pipeline.queue(self.handle.target(), Op::Object(op));
        Ticket::new(index, self.pipeline.id)
    }

    /// Queues the deletion of the object. The value is whether it existed.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// visits.increment()?;
    /// let mut pipeline = client.pipeline();
    /// let deleted = pipeline.on(&visits).delete();
    /// assert!(pipeline.run().value(deleted)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn delete(self) -> Ticket<bool> {
        self.push_any(ObjectOp::Delete)
    }

    /// Queues `expire`: the object is deleted after `ttl`. The value is whether it exists.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline();
    /// let exists = pipeline.on(&visits).expire(None);
    /// assert!(!pipeline.run().value(exists)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn expire(self, ttl: Option<std::time::Duration>) -> Ticket<bool> {
        self.push_any(ObjectOp::Expire { ttl_ms: ttl_ms(ttl) })
    }

    /// Queues `wait_newer`, which waits for the [`timeout`](Pipeline::timeout) of the pipeline. The
    /// value is the new version.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let visits = client.counter("visits");
    /// let mut pipeline = client.pipeline().timeout(seconds);
    /// pipeline.on(&visits).add(1);
    /// let newer = pipeline.on(&visits).wait_newer(0);
    /// assert!(pipeline.run().value(newer)? > 0);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn wait_newer(self, version: u64) -> Ticket<u64> {
        self.push_any(ObjectOp::WaitNewer { version })
    }

    fn hold_ms(&self, hold: Hold) -> u32 {
        self.pipeline.requester.hold_ms(hold)
    }
}

/// Declares the methods of a kind.
macro_rules! queued {
    ($($handle:ident { $(
        $method:ident($($arg:ident: $type:ty),*) -> $value:ty = $op:expr;
    )* })*) => {$(
        #[allow(clippy::should_implement_trait, reason = "they are named like those of the handle")]
        impl<'o> Queue<'_, 'o, $handle> {$(
            #[doc = concat!("Queues [`", stringify!($handle), "::", stringify!($method), "`].")]
            pub fn $method(self, $($arg: $type),*) -> Ticket<$value> {
                self.push($op)
            }
        )*}
    )*};
}

queued! {
    Counter {
        get() -> i64 = CounterOp::Get;
        set(value: i64) -> i64 = CounterOp::Set { value };
        add(delta: i64) -> i64 = CounterOp::Add { delta };
        fetch_add(delta: i64) -> i64 = CounterOp::FetchAdd { delta };
        increment() -> i64 = CounterOp::Add { delta: 1 };
        decrement() -> i64 = CounterOp::Add { delta: -1 };
        swap(value: i64) -> i64 = CounterOp::Swap { value };
        compare_and_swap(expected: i64, value: i64) -> Swapped<i64> =
            CounterOp::CompareAndSwap { expected, value };
        multiply(factor: i64) -> i64 = CounterOp::Multiply { factor };
        min(value: i64) -> i64 = CounterOp::Min { value };
        max(value: i64) -> i64 = CounterOp::Max { value };
        reset() -> i64 = CounterOp::Swap { value: 0 };
    }
    Flag {
        get() -> bool = FlagOp::Get;
        set(value: bool) -> bool = FlagOp::Set { value };
        swap(value: bool) -> bool = FlagOp::Swap { value };
        compare_and_swap(expected: bool, value: bool) -> Swapped<bool> =
            FlagOp::CompareAndSwap { expected, value };
    }
    Cell {
        get() -> CellBytes = CellOp::Get;
        get_if_newer(version: u64) -> NewerCellBytes = CellOp::GetIfNewer { version };
        read_range(range: std::ops::Range<u64>) -> CellBytes = CellOp::ReadRange {
            from: range.start,
            length: range.end.saturating_sub(range.start),
        };
        set(bytes: &'o [u8]) -> u64 = CellOp::Set { bytes };
        set_with_token(token: u64, bytes: &'o [u8]) -> u64 = CellOp::SetWithToken { token, bytes };
        swap(bytes: &'o [u8]) -> CellBytes = CellOp::Swap { bytes };
        compare_version_and_set(version: u64, bytes: &'o [u8]) -> Swapped<u64> =
            CellOp::CompareVersionAndSet { version, bytes };
        compare_and_set(expected: &'o [u8], bytes: &'o [u8]) -> Swapped<u64> =
            CellOp::CompareAndSet { expected, bytes };
        append(bytes: &'o [u8]) -> Appended = CellOp::Append { bytes };
    }
    List {
        len() -> u64 = ListOp::Len;
        get(index: u64) -> OptionalBytes = ListOp::Get { index };
        first() -> OptionalBytes = ListOp::Get { index: 0 };
        index_of(bytes: &'o (impl AsRef<[u8]> + ?Sized)) -> Index =
            ListOp::IndexOf { from_end: false, bytes: bytes.as_ref() };
        last_index_of(bytes: &'o (impl AsRef<[u8]> + ?Sized)) -> Index =
            ListOp::IndexOf { from_end: true, bytes: bytes.as_ref() };
        contains_all(items: Items<'o>) -> bool = ListOp::ContainsAll { items };
        push_back(item: &'o (impl AsRef<[u8]> + ?Sized)) -> u64 =
            ListOp::PushBack { bytes: item.as_ref() };
        push_front(item: &'o (impl AsRef<[u8]> + ?Sized)) -> u64 =
            ListOp::PushFront { bytes: item.as_ref() };
        extend(items: Items<'o>) -> u64 = ListOp::Extend { items };
        pop_back() -> OptionalBytes = ListOp::PopBack;
        pop_front() -> OptionalBytes = ListOp::PopFront;
        pop_front_wait() -> Bytes = ListOp::PopFrontWait;
        set(index: u64, item: &'o (impl AsRef<[u8]> + ?Sized)) -> Bytes =
            ListOp::Set { index, bytes: item.as_ref() };
        insert(index: u64, item: &'o (impl AsRef<[u8]> + ?Sized)) -> u64 =
            ListOp::Insert { index, bytes: item.as_ref() };
        remove_at(index: u64) -> Bytes = ListOp::RemoveAt { index };
        remove_value(item: &'o (impl AsRef<[u8]> + ?Sized)) -> bool =
            ListOp::RemoveValue { bytes: item.as_ref() };
        remove_all(items: Items<'o>) -> u64 = ListOp::RemoveAll { items };
        retain_all(items: Items<'o>) -> u64 = ListOp::RetainAll { items };
        clear() -> u64 = ListOp::Clear;
        done(token: u64) -> bool = ListOp::Done { token };
        give_back(token: u64) -> bool = ListOp::Return { token };
    }
    Map {
        len() -> u64 = MapOp::Len;
        get(key: &'o (impl AsRef<[u8]> + ?Sized)) -> OptionalBytes =
            MapOp::Get { key: key.as_ref() };
        contains_key(key: &'o (impl AsRef<[u8]> + ?Sized)) -> bool =
            MapOp::ContainsKey { key: key.as_ref() };
        contains_value(value: &'o (impl AsRef<[u8]> + ?Sized)) -> bool =
            MapOp::ContainsValue { value: value.as_ref() };
        put(key: &'o (impl AsRef<[u8]> + ?Sized), value: &'o (impl AsRef<[u8]> + ?Sized)) -> bool =
            MapOp::Put { key: key.as_ref(), value: value.as_ref() };
        put_if_absent(
            key: &'o (impl AsRef<[u8]> + ?Sized),
            value: &'o (impl AsRef<[u8]> + ?Sized)
        ) -> bool = MapOp::PutIfAbsent { key: key.as_ref(), value: value.as_ref() };
        compare_and_swap(
            key: &'o (impl AsRef<[u8]> + ?Sized),
            expected: Option<&'o [u8]>,
            value: Option<&'o [u8]>
        ) -> bool = MapOp::CompareAndSwap { key: key.as_ref(), expected, value };
        remove(key: &'o (impl AsRef<[u8]> + ?Sized)) -> bool = MapOp::Remove { key: key.as_ref() };
        take(key: &'o (impl AsRef<[u8]> + ?Sized)) -> OptionalBytes =
            MapOp::Take { key: key.as_ref() };
        swap(
            key: &'o (impl AsRef<[u8]> + ?Sized),
            value: &'o (impl AsRef<[u8]> + ?Sized)
        ) -> OptionalBytes = MapOp::Swap { key: key.as_ref(), value: value.as_ref() };
        merge(
            key: &'o (impl AsRef<[u8]> + ?Sized),
            merge: Merge,
            value: &'o (impl AsRef<[u8]> + ?Sized)
        ) -> Bytes = MapOp::Merge { key: key.as_ref(), value: value.as_ref(), merge };
        put_all(entries: Items<'o>) -> u64 = MapOp::PutAll { items: entries };
        merge_all(merge: Merge, entries: Items<'o>) -> u64 =
            MapOp::MergeAll { merge, items: entries };
        remove_all(keys: Items<'o>) -> u64 = MapOp::RemoveAll { items: keys };
        clear() -> u64 = MapOp::Clear;
        scan(scan: ScanArgs<'o>) -> Page = MapOp::Scan(scan);
    }
    Set {
        len() -> u64 = SetOp::Len;
        contains(member: &'o (impl AsRef<[u8]> + ?Sized)) -> bool =
            SetOp::Contains { bytes: member.as_ref() };
        contains_all(members: Items<'o>) -> bool = SetOp::ContainsAll { items: members };
        add(member: &'o (impl AsRef<[u8]> + ?Sized)) -> bool =
            SetOp::Add { bytes: member.as_ref() };
        add_all(members: Items<'o>) -> u64 = SetOp::AddAll { items: members };
        remove(member: &'o (impl AsRef<[u8]> + ?Sized)) -> bool =
            SetOp::Remove { bytes: member.as_ref() };
        remove_all(members: Items<'o>) -> u64 = SetOp::RemoveAll { items: members };
        retain_all(members: Items<'o>) -> u64 = SetOp::RetainAll { items: members };
        clear() -> u64 = SetOp::Clear;
    }
    Reduction {
        contribute(contribution: Contribution<'o>) -> RoundElements =
            ReductionOp::Contribute(contribution);
        last() -> RoundElements = ReductionOp::Last;
        state() -> SeatState = ReductionOp::State;
        reset() -> u64 = ReductionOp::Reset;
        break_with(reason: &'o str) -> u64 = ReductionOp::Break { reason };
    }
    Barrier {
        arrive(arrival: Arrival<'o>) -> u64 = BarrierOp::Arrive(arrival);
        arrive_and_wait(arrival: Arrival<'o>) -> u64 = BarrierOp::ArriveAndWait(arrival);
        state() -> SeatState = BarrierOp::State;
        reset() -> u64 = BarrierOp::Reset;
        break_with(reason: &'o str) -> u64 = BarrierOp::Break { reason };
    }
    Latch {
        count_down(party: &'o str, parties: u32) -> u64 = LatchOp::CountDown { party, parties };
        wait(parties: u32) -> () = LatchOp::Wait { parties };
        state() -> SeatState = LatchOp::State;
    }
    Semaphore {
        release(token: u64) -> bool = SemaphoreOp::Release { token };
        state() -> PermitState = SemaphoreOp::State;
    }
    Lock {
        unlock(token: u64) -> bool = LockOp::Release { token };
        state() -> PermitState = LockOp::State;
    }
    Future {
        get() -> Bytes = FutureOp::Get;
        peek() -> OptionalBytes = FutureOp::Peek;
        state() -> FutureState = FutureOp::State;
        set(bytes: &'o (impl AsRef<[u8]> + ?Sized)) -> bool =
            FutureOp::Set { bytes: bytes.as_ref() };
        cancel(reason: &'o str) -> bool = FutureOp::Cancel { reason };
    }
    Log {
        print(line: &'o str) -> u64 = LogOp::Print { line };
        tail(after: u64) -> Page = LogOp::Tail { after, limit: 0 };
    }
    Vector {
        get() -> VectorElements = VectorOp::Get;
        get_if_newer(version: u64) -> NewerVectorElements = VectorOp::GetIfNewer { version };
        get_rows(rows: std::ops::Range<u32>) -> VectorElements = VectorOp::GetRows {
            from: rows.start,
            count: rows.end.saturating_sub(rows.start),
        };
        init(columns: u32, elements: &'o [impl Element]) -> u64 =
            VectorOp::Init { columns, elements: Element::elements(elements) };
        set(columns: u32, elements: &'o [impl Element]) -> u64 =
            VectorOp::Set { columns, elements: Element::elements(elements) };
        add(delta: &'o [impl Element]) -> u64 =
            VectorOp::Add { elements: Element::elements(delta) };
        add_rows(from: u32, delta: &'o [impl Element]) -> u64 =
            VectorOp::AddRows { from, elements: Element::elements(delta) };
        scale(factor: impl Element) -> u64 = VectorOp::Scale { factor: factor.scalar() };
        dot(elements: &'o [impl Element]) -> Scalar =
            VectorOp::Dot { elements: Element::elements(elements) };
        sum() -> Scalar = VectorOp::Sum;
    }
}

/// Nothing releases what these take when a value is dropped: release it with the token.
impl Queue<'_, '_, Lock> {
    /// Queues [`Lock::try_lock`]. The value is the token, if the lock was free.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let lock = client.lock("report");
    /// let mut pipeline = client.pipeline().timeout(seconds);
    /// let token = pipeline.on(&lock).try_lock();
    /// let token = pipeline.run().value(token)?.unwrap();
    /// assert!(lock.unlock(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn try_lock(self) -> Ticket<Token> {
        let hold_ms = self.hold_ms(self.handle.hold);
        self.push(LockOp::TryAcquire { hold_ms })
    }

    /// Queues [`Lock::lock`], which waits for the [`timeout`](Pipeline::timeout) of the pipeline. The
    /// value is the token.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let lock = client.lock("report");
    /// let mut pipeline = client.pipeline().timeout(seconds);
    /// let token = pipeline.on(&lock).lock();
    /// let token = pipeline.run().value(token)?.unwrap();
    /// assert!(lock.unlock(token)?);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn lock(self) -> Ticket<Token> {
        let hold_ms = self.hold_ms(self.handle.hold);
        self.push(LockOp::Acquire { hold_ms })
    }

    /// Queues [`Lock::extend`].
    pub fn extend(self, token: u64, hold: impl Into<Hold>) -> Ticket<bool> {
        let hold_ms = self.hold_ms(hold.into());
        self.push(LockOp::Extend { token, hold_ms })
    }
}

/// Nothing releases what these take when a value is dropped: release it with the token.
impl Queue<'_, '_, Semaphore> {
    /// Queues [`Semaphore::try_acquire`]. The value is the token, if the permits were free.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let gpus = client.semaphore("gpus", 4);
    /// let mut pipeline = client.pipeline().timeout(seconds);
    /// let token = pipeline.on(&gpus).try_acquire(2);
    /// assert!(pipeline.run().value(token)?.is_some());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn try_acquire(self, count: u32) -> Ticket<Token> {
        let permit = self.permit(count);
        self.push(SemaphoreOp::TryAcquire(permit))
    }

    /// Queues [`Semaphore::acquire`], which waits for the [`timeout`](Pipeline::timeout) of the
    /// pipeline. The value is the token.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let gpus = client.semaphore("gpus", 4);
    /// let mut pipeline = client.pipeline().timeout(seconds);
    /// let token = pipeline.on(&gpus).acquire(2);
    /// assert!(pipeline.run().value(token)?.is_some());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn acquire(self, count: u32) -> Ticket<Token> {
        let permit = self.permit(count);
        self.push(SemaphoreOp::Acquire(permit))
    }

    /// Queues [`Semaphore::extend`].
    pub fn extend(self, token: u64, hold: impl Into<Hold>) -> Ticket<bool> {
        let hold_ms = self.hold_ms(hold.into());
        self.push(SemaphoreOp::Extend { token, hold_ms })
    }

    fn permit(&self, count: u32) -> Permit {
        let hold_ms = self.hold_ms(self.handle.hold);
        Permit { permits: self.handle.permits, count, hold_ms }
    }
}

/// Nothing returns what these claim when a value is dropped: end the claim with the token.
impl Queue<'_, '_, List> {
    /// Queues [`List::try_claim`].
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// let mut pipeline = client.pipeline().timeout(seconds);
    /// let job = pipeline.on(&jobs).try_claim();
    /// assert_eq!(pipeline.run().value(job)?.unwrap().bytes, b"resize");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn try_claim(self) -> Ticket<ClaimedItem> {
        let hold_ms = self.hold_ms(self.handle.hold);
        self.push(ListOp::TryClaim { hold_ms })
    }

    /// Queues [`List::claim`], which waits for the [`timeout`](Pipeline::timeout) of the pipeline.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let jobs = client.list("jobs");
    /// jobs.push_back("resize")?;
    /// let mut pipeline = client.pipeline().timeout(seconds);
    /// let job = pipeline.on(&jobs).claim();
    /// assert_eq!(pipeline.run().value(job)?.unwrap().bytes, b"resize");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn claim(self) -> Ticket<ClaimedItem> {
        let hold_ms = self.hold_ms(self.handle.hold);
        self.push(ListOp::Claim { hold_ms })
    }
}
