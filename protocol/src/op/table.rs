//! The table of kinds and ops: each fact about an op, other than what it does, once.

/// Passes the table of kinds and ops to another macro: `for_each_op!(declare);` expands to
/// `declare! { the table }`.
///
/// [`Kind`](crate::Kind), [`OpCode`](crate::OpCode), [`Op`](crate::Op) and the decoders of ops and
/// replies are made from it, and so are the samples of this crate's tests and the op generator of
/// the engine's fuzz target.
///
/// A block describes a kind:
///
/// ```text
/// Map = 0x0A, has_objects: true, MapOp<'a> { rows }
/// |     |     |                  |
/// |     |     |                  the enum of its ops, written out in a file of its own
/// |     |     whether there are objects of this kind
/// |     the code, which is the high byte of the codes of its ops
/// the variant of `Kind` and `Op`
/// ```
///
/// A row describes an op. Rows are in the order of codes:
///
/// ```text
/// MapPut = 0x0A06, Update, Put { key, value } = Entry { key, value } -> Bool;
/// |        |       |       |                    |                       |
/// |        |       |       |                    |                       its `ReplyShape`
/// |        |       |       |                    its body: a type of module `shape`
/// |        |       |       the variant of the enum, with all its fields
/// |        |       Read, Update, Waits or Session, as in the column "is a" of PROTOCOL.md
/// |        the code on the wire
/// the variant of `OpCode`: the name of the kind, then that of the op
/// ```
///
/// Both sides of the second `=` are used as a pattern and as an expression: the encoder takes the
/// variant apart and builds the shape, the decoder does the reverse. So each field of the variant
/// has to be on the right under the same name. Variants and shapes without fields have empty
/// braces, and the only field of a tuple variant is written as `{ 0: name }`. The fields of a shape
/// are in the order of the body. `or nothing` after a reply says that the op may find no value to
/// return; there are samples of both cases then.
///
/// To add an op:
///
/// 1. add a variant to the enum of its kind in `op/<kind>.rs` and document what it does;
/// 2. add a row here, and the shape of its body to `op/shape.rs` if no other op has it;
/// 3. add a row to PROTOCOL.md;
/// 4. execute it in the engine, in the file of its kind below `objects`;
/// 5. add a method to the client's handle.
///
/// The compiler reports what is missing of 1, 2 and 4, and the tests of this crate report 3. Then
/// write the new golden frames: `CATENA_GOLDEN=write cargo test -p catena-protocol golden`.
///
/// To add a kind: add its block here, the enum of its ops in a new file `op/<kind>.rs`, a row and a
/// section to PROTOCOL.md, its state to the engine's `objects`, and its handle to the client.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_op {
    ($declare:ident) => { $declare! {
        /// Not a kind of object: ops on the client's session.
        Session = 0x00, has_objects: false, SessionOp {
            SessionOpen = 0x0001, Session, Open { born_us, nonce, ttl_ms }
                = Open { born_us, nonce, ttl_ms } -> Empty;
            SessionClose = 0x0002, Session, Close {} = Empty {} -> Empty;
        }

        /// Not a kind of object: ops for an object of any kind.
        Object = 0x01, has_objects: false, ObjectOp {
            ObjectDelete = 0x0101, Update, Delete {} = Empty {} -> Bool;
            ObjectInspect = 0x0102, Read, Inspect {} = Empty {} -> Inspection;
            ObjectWaitNewer = 0x0103, Waits, WaitNewer { version } = Number(version) -> Number;
            ObjectExpire = 0x0104, Update, Expire { ttl_ms } = Number(ttl_ms) -> Bool;
        }

        /// A 64-bit signed integer.
        // Most requests are for counters, so they are decoded without a call.
        Counter = 0x02, has_objects: true, CounterOp, inline(always) {
            CounterGet = 0x0201, Read, Get {} = Empty {} -> Int;
            CounterSet = 0x0202, Update, Set { value } = Int(value) -> Int;
            CounterAdd = 0x0203, Update, Add { delta } = Int(delta) -> Int;
            CounterFetchAdd = 0x0204, Update, FetchAdd { delta } = Int(delta) -> Int;
            CounterSwap = 0x0205, Update, Swap { value } = Int(value) -> Int;
            CounterCompareAndSwap = 0x0206, Update, CompareAndSwap { expected, value }
                = IntPair { expected, value } -> IntSwapped;
            CounterMultiply = 0x0207, Update, Multiply { factor } = Int(factor) -> Int;
            CounterMin = 0x0208, Update, Min { value } = Int(value) -> Int;
            CounterMax = 0x0209, Update, Max { value } = Int(value) -> Int;
        }

        /// A boolean.
        Flag = 0x03, has_objects: true, FlagOp {
            FlagGet = 0x0301, Read, Get {} = Empty {} -> Bool;
            FlagSet = 0x0302, Update, Set { value } = Bool(value) -> Bool;
            FlagSwap = 0x0303, Update, Swap { value } = Bool(value) -> Bool;
            FlagCompareAndSwap = 0x0304, Update, CompareAndSwap { expected, value }
                = BoolPair { expected, value } -> BoolSwapped;
        }

        /// Bytes with a version.
        Cell = 0x04, has_objects: true, CellOp<'a> {
            CellGet = 0x0401, Read, Get {} = Empty {} -> Cell;
            CellGetIfNewer = 0x0402, Read, GetIfNewer { version }
                = Number(version) -> Cell or nothing;
            CellReadRange = 0x0403, Read, ReadRange { from, length }
                = Range { from, length } -> Cell;
            CellSet = 0x0404, Update, Set { bytes } = Bytes(bytes) -> Number;
            CellSwap = 0x0405, Update, Swap { bytes } = Bytes(bytes) -> Cell;
            CellCompareVersionAndSet = 0x0406, Update, CompareVersionAndSet { version, bytes }
                = VersionedBytes { version, bytes } -> VersionSwapped;
            CellCompareAndSet = 0x0407, Update, CompareAndSet { expected, bytes }
                = BytesPair { expected, bytes } -> VersionSwapped;
            CellAppend = 0x0408, Update, Append { bytes } = Bytes(bytes) -> Appended;
            CellSetWithToken = 0x0409, Update, SetWithToken { token, bytes }
                = TokenBytes { token, bytes } -> Number;
        }

        /// A vector or matrix of numbers with a version.
        Vector = 0x05, has_objects: true, VectorOp<'a> {
            VectorGet = 0x0501, Read, Get {} = Empty {} -> Vector;
            VectorGetIfNewer = 0x0502, Read, GetIfNewer { version }
                = Number(version) -> Vector or nothing;
            VectorInit = 0x0503, Update, Init { columns, elements }
                = Shaped { columns, elements } -> Number;
            VectorSet = 0x0504, Update, Set { columns, elements }
                = Shaped { columns, elements } -> Number;
            VectorAdd = 0x0505, Update, Add { elements } = Elements(elements) -> Number;
            VectorGetRows = 0x0506, Read, GetRows { from, count } = Rows { from, count } -> Vector;
            VectorAddRows = 0x0507, Update, AddRows { from, elements }
                = RowElements { from, elements } -> Number;
            VectorScale = 0x0508, Update, Scale { factor } = Scalar(factor) -> Number;
            VectorDot = 0x0509, Read, Dot { elements } = Elements(elements) -> Scalar;
            VectorSum = 0x050A, Read, Sum {} = Empty {} -> Scalar;
        }

        /// A vector that several parties reduce together, round by round.
        Reduction = 0x06, has_objects: true, ReductionOp<'a> {
            ReductionLast = 0x0601, Read, Last {} = Empty {} -> Round;
            ReductionState = 0x0602, Read, State {} = Empty {} -> Seats;
            ReductionContribute = 0x0603, Waits, Contribute { 0: contribution }
                = Contribution(contribution) -> Round;
            ReductionReset = 0x0604, Update, Reset {} = Empty {} -> Number;
            ReductionBreak = 0x0605, Update, Break { reason } = Text(reason) -> Number;
        }

        /// A cyclic barrier of named parties.
        Barrier = 0x07, has_objects: true, BarrierOp<'a> {
            BarrierState = 0x0701, Read, State {} = Empty {} -> Seats;
            BarrierArrive = 0x0702, Update, Arrive { 0: arrival } = Arrival(arrival) -> Number;
            BarrierArriveAndWait = 0x0703, Waits, ArriveAndWait { 0: arrival }
                = Arrival(arrival) -> Number;
            BarrierReset = 0x0704, Update, Reset {} = Empty {} -> Number;
            BarrierBreak = 0x0705, Update, Break { reason } = Text(reason) -> Number;
        }

        /// A count-down latch of named parties.
        Latch = 0x08, has_objects: true, LatchOp<'a> {
            LatchState = 0x0801, Read, State {} = Empty {} -> Seats;
            LatchCountDown = 0x0802, Update, CountDown { party, parties }
                = CountDown { parties, party } -> Number;
            LatchWait = 0x0803, Waits, Wait { parties } = Count(parties) -> Number;
        }

        /// A sequence of byte strings: a list, a queue, a queue of work.
        List = 0x09, has_objects: true, ListOp<'a> {
            ListLen = 0x0901, Read, Len {} = Empty {} -> Number;
            ListGet = 0x0902, Read, Get { index } = Number(index) -> Value or nothing;
            ListRange = 0x0903, Read, Range { from, limit } = Slice { from, limit } -> Page;
            ListIndexOf = 0x0904, Read, IndexOf { from_end, bytes }
                = Search { from_end, bytes } -> Found;
            ListContainsAll = 0x0905, Read, ContainsAll { items } = Items(items) -> Bool;
            ListPushBack = 0x0906, Update, PushBack { bytes } = Bytes(bytes) -> Number;
            ListPushFront = 0x0907, Update, PushFront { bytes } = Bytes(bytes) -> Number;
            ListPopBack = 0x0908, Update, PopBack {} = Empty {} -> Value or nothing;
            ListPopFront = 0x0909, Update, PopFront {} = Empty {} -> Value or nothing;
            ListPopFrontWait = 0x090A, Waits, PopFrontWait {} = Empty {} -> Value;
            ListSet = 0x090B, Update, Set { index, bytes } = IndexBytes { index, bytes } -> Value;
            ListInsert = 0x090C, Update, Insert { index, bytes }
                = IndexBytes { index, bytes } -> Number;
            ListRemoveAt = 0x090D, Update, RemoveAt { index } = Number(index) -> Value;
            ListRemoveValue = 0x090E, Update, RemoveValue { bytes } = Bytes(bytes) -> Bool;
            ListExtend = 0x090F, Update, Extend { items } = Items(items) -> Number;
            ListRetainAll = 0x0910, Update, RetainAll { items } = Items(items) -> Number;
            ListRemoveAll = 0x0911, Update, RemoveAll { items } = Items(items) -> Number;
            ListClear = 0x0912, Update, Clear {} = Empty {} -> Number;
            ListClaim = 0x0913, Waits, Claim { hold_ms } = Hold(hold_ms) -> Claimed;
            ListDone = 0x0914, Update, Done { token } = Number(token) -> Bool;
            ListReturn = 0x0915, Update, Return { token } = Number(token) -> Bool;
            ListTryClaim = 0x0916, Update, TryClaim { hold_ms }
                = Hold(hold_ms) -> Claimed or nothing;
        }

        /// Values by key, the keys in byte order.
        Map = 0x0A, has_objects: true, MapOp<'a> {
            MapLen = 0x0A01, Read, Len {} = Empty {} -> Number;
            MapGet = 0x0A02, Read, Get { key } = Bytes(key) -> Value or nothing;
            MapContainsKey = 0x0A03, Read, ContainsKey { key } = Bytes(key) -> Bool;
            MapContainsValue = 0x0A04, Read, ContainsValue { value } = Bytes(value) -> Bool;
            MapScan = 0x0A05, Read, Scan { 0: scan } = Scan(scan) -> Page;
            MapPut = 0x0A06, Update, Put { key, value } = Entry { key, value } -> Bool;
            MapPutIfAbsent = 0x0A07, Update, PutIfAbsent { key, value }
                = Entry { key, value } -> Bool;
            MapCompareAndSwap = 0x0A08, Update, CompareAndSwap { key, expected, value }
                = EntrySwap { key, expected, value } -> Bool;
            MapRemove = 0x0A09, Update, Remove { key } = Bytes(key) -> Bool;
            MapTake = 0x0A0A, Update, Take { key } = Bytes(key) -> Value or nothing;
            MapSwap = 0x0A0B, Update, Swap { key, value }
                = Entry { key, value } -> Value or nothing;
            MapPutAll = 0x0A0C, Update, PutAll { items } = Entries(items) -> Number;
            MapMerge = 0x0A0D, Update, Merge { key, value, merge }
                = MergeEntry { merge, key, value } -> Value;
            MapMergeAll = 0x0A0E, Update, MergeAll { merge, items }
                = MergeEntries { merge, items } -> Number;
            MapClear = 0x0A0F, Update, Clear {} = Empty {} -> Number;
            MapPutWithToken = 0x0A10, Update, PutWithToken { token, key, value }
                = TokenEntry { token, key, value } -> Bool;
            MapRemoveAll = 0x0A11, Update, RemoveAll { items } = Items(items) -> Number;
        }

        /// Byte strings without repetition, in byte order.
        Set = 0x0B, has_objects: true, SetOp<'a> {
            SetLen = 0x0B01, Read, Len {} = Empty {} -> Number;
            SetContains = 0x0B02, Read, Contains { bytes } = Bytes(bytes) -> Bool;
            SetContainsAll = 0x0B03, Read, ContainsAll { items } = Items(items) -> Bool;
            SetScan = 0x0B04, Read, Scan { 0: scan } = Scan(scan) -> Page;
            SetAdd = 0x0B05, Update, Add { bytes } = Bytes(bytes) -> Bool;
            SetRemove = 0x0B06, Update, Remove { bytes } = Bytes(bytes) -> Bool;
            SetAddAll = 0x0B07, Update, AddAll { items } = Items(items) -> Number;
            SetRemoveAll = 0x0B08, Update, RemoveAll { items } = Items(items) -> Number;
            SetRetainAll = 0x0B09, Update, RetainAll { items } = Items(items) -> Number;
            SetClear = 0x0B0A, Update, Clear {} = Empty {} -> Number;
        }

        /// Permits that are held for a while.
        Semaphore = 0x0C, has_objects: true, SemaphoreOp {
            SemaphoreState = 0x0C01, Read, State {} = Empty {} -> Permits;
            SemaphoreAcquire = 0x0C02, Waits, Acquire { 0: permit } = Permit(permit) -> Granted;
            SemaphoreTryAcquire = 0x0C03, Update, TryAcquire { 0: permit }
                = Permit(permit) -> Granted or nothing;
            SemaphoreRelease = 0x0C04, Update, Release { token } = Number(token) -> Bool;
            SemaphoreExtend = 0x0C05, Update, Extend { token, hold_ms }
                = Extend { token, hold_ms } -> Bool;
        }

        /// A semaphore of one permit.
        Lock = 0x0D, has_objects: true, LockOp {
            LockState = 0x0D01, Read, State {} = Empty {} -> Permits;
            LockAcquire = 0x0D02, Waits, Acquire { hold_ms } = Hold(hold_ms) -> Granted;
            LockTryAcquire = 0x0D03, Update, TryAcquire { hold_ms }
                = Hold(hold_ms) -> Granted or nothing;
            LockRelease = 0x0D04, Update, Release { token } = Number(token) -> Bool;
            LockExtend = 0x0D05, Update, Extend { token, hold_ms }
                = Extend { token, hold_ms } -> Bool;
        }

        /// A value that is set once.
        Future = 0x0E, has_objects: true, FutureOp<'a> {
            FutureState = 0x0E01, Read, State {} = Empty {} -> Number;
            FuturePeek = 0x0E02, Read, Peek {} = Empty {} -> Value or nothing;
            FutureSet = 0x0E03, Update, Set { bytes } = Bytes(bytes) -> Bool;
            FutureGet = 0x0E04, Waits, Get {} = Empty {} -> Value;
            FutureCancel = 0x0E05, Update, Cancel { reason } = Text(reason) -> Bool;
        }

        /// Lines of text, the newest kept.
        Log = 0x0F, has_objects: true, LogOp<'a> {
            LogTail = 0x0F01, Read, Tail { after, limit } = Tail { after, limit } -> Page;
            LogPrint = 0x0F02, Update, Print { line } = Text(line) -> Number;
        }

        /// Not a kind of object: ops on a shard about the named objects in it.
        Scope = 0x10, has_objects: false, ScopeOp<'a> {
            ScopeList = 0x1001, Read, List { prefix, after, limit }
                = ListNames { limit, after, prefix } -> Listing;
            ScopeUsage = 0x1002, Read, Usage { prefix } = Text(prefix) -> Usage;
            ScopeDelete = 0x1003, Update, Delete { prefix, limit }
                = DeleteNames { limit, prefix } -> Number;
            ScopeQuota = 0x1004, Update, Quota { prefix, objects_max, bytes_max }
                = Quota { objects_max, bytes_max, prefix } -> Empty;
            ScopeStats = 0x1005, Read, Stats {} = Empty {} -> Stats;
            ScopeMonitor = 0x1006, Read, Monitor { after, per_second }
                = Monitor { after, per_second } -> Monitored;
        }

        /// An object of a user-defined type.
        User = 0x11, has_objects: true, UserOp<'a> {
            UserRead = 0x1101, Read, Read { type_id, args } = User { type_id, args } -> Value;
            UserUpdate = 0x1102, Update, Update { type_id, args } = User { type_id, args } -> Value;
        }
    } };
}
