//! What can be asked: one enum per kind, one file per enum, the same borrowed value on both sides.
//!
//! An [`Op`] is a code for the header and a body. [`Op::decode`] validates the body once and lends
//! out its slices; [`Op::encode`] writes it. Reads change nothing, need no session and may be
//! repeated freely; every other op is an update and is executed once per `(session, number)`.

mod barrier;
mod cell;
mod counter;
mod flag;
mod future;
mod hold;
mod latch;
mod list;
mod lock;
mod log;
mod loss;
mod map;
mod object;
mod reduction;
mod scan;
mod scope;
mod semaphore;
mod session;
mod set;
mod user;
mod vector;

pub use barrier::{Arrival, BarrierOp, GENERATION_CURRENT};
pub use cell::CellOp;
pub use counter::CounterOp;
pub use flag::FlagOp;
pub use future::{FUTURE_CANCELLED, FUTURE_PENDING, FUTURE_SET, FutureOp};
pub use latch::LatchOp;
pub use list::ListOp;
pub use lock::LockOp;
pub use log::LogOp;
pub use loss::Loss;
pub use map::{MapOp, Merge};
pub use object::ObjectOp;
pub use reduction::{Contribution, ReduceOp, ReductionOp};
pub use scan::{Edge, ScanArgs, ScanWhat};
pub use scope::ScopeOp;
pub use semaphore::{Permit, SemaphoreOp};
pub use session::SessionOp;
pub use set::SetOp;
pub use user::UserOp;
pub use vector::VectorOp;

use crate::object::Kind;
use crate::status::{Fault, Status};
use crate::wire_enum::wire_enum;

wire_enum! {
    /// The code of an op: the [`Kind`] in the high byte, the op in the low.
    pub enum OpCode: u16 {
        /// [`SessionOp::Open`].
        SessionOpen = 0x0001,
        /// [`SessionOp::Close`].
        SessionClose = 0x0002,
        /// [`ObjectOp::Delete`].
        ObjectDelete = 0x0101,
        /// [`ObjectOp::Inspect`].
        ObjectInspect = 0x0102,
        /// [`ObjectOp::WaitNewer`].
        ObjectWaitNewer = 0x0103,
        /// [`ObjectOp::Expire`].
        ObjectExpire = 0x0104,
        /// [`CounterOp::Get`].
        CounterGet = 0x0201,
        /// [`CounterOp::Set`].
        CounterSet = 0x0202,
        /// [`CounterOp::Add`].
        CounterAdd = 0x0203,
        /// [`CounterOp::FetchAdd`].
        CounterFetchAdd = 0x0204,
        /// [`CounterOp::Swap`].
        CounterSwap = 0x0205,
        /// [`CounterOp::CompareAndSwap`].
        CounterCompareAndSwap = 0x0206,
        /// [`CounterOp::Multiply`].
        CounterMultiply = 0x0207,
        /// [`CounterOp::Min`].
        CounterMin = 0x0208,
        /// [`CounterOp::Max`].
        CounterMax = 0x0209,
        /// [`FlagOp::Get`].
        FlagGet = 0x0301,
        /// [`FlagOp::Set`].
        FlagSet = 0x0302,
        /// [`FlagOp::Swap`].
        FlagSwap = 0x0303,
        /// [`FlagOp::CompareAndSwap`].
        FlagCompareAndSwap = 0x0304,
        /// [`CellOp::Get`].
        CellGet = 0x0401,
        /// [`CellOp::GetIfNewer`].
        CellGetIfNewer = 0x0402,
        /// [`CellOp::ReadRange`].
        CellReadRange = 0x0403,
        /// [`CellOp::Set`].
        CellSet = 0x0404,
        /// [`CellOp::Swap`].
        CellSwap = 0x0405,
        /// [`CellOp::CompareVersionAndSet`].
        CellCompareVersionAndSet = 0x0406,
        /// [`CellOp::CompareAndSet`].
        CellCompareAndSet = 0x0407,
        /// [`CellOp::Append`].
        CellAppend = 0x0408,
        /// [`CellOp::SetWithToken`].
        CellSetWithToken = 0x0409,
        /// [`VectorOp::Get`].
        VectorGet = 0x0501,
        /// [`VectorOp::GetIfNewer`].
        VectorGetIfNewer = 0x0502,
        /// [`VectorOp::Init`].
        VectorInit = 0x0503,
        /// [`VectorOp::Set`].
        VectorSet = 0x0504,
        /// [`VectorOp::Add`].
        VectorAdd = 0x0505,
        /// [`VectorOp::GetRows`].
        VectorGetRows = 0x0506,
        /// [`VectorOp::AddRows`].
        VectorAddRows = 0x0507,
        /// [`VectorOp::Scale`].
        VectorScale = 0x0508,
        /// [`VectorOp::Dot`].
        VectorDot = 0x0509,
        /// [`VectorOp::Sum`].
        VectorSum = 0x050A,
        /// [`ReductionOp::Last`].
        ReductionLast = 0x0601,
        /// [`ReductionOp::State`].
        ReductionState = 0x0602,
        /// [`ReductionOp::Contribute`].
        ReductionContribute = 0x0603,
        /// [`ReductionOp::Reset`].
        ReductionReset = 0x0604,
        /// [`ReductionOp::Break`].
        ReductionBreak = 0x0605,
        /// [`BarrierOp::State`].
        BarrierState = 0x0701,
        /// [`BarrierOp::Arrive`].
        BarrierArrive = 0x0702,
        /// [`BarrierOp::ArriveAndWait`].
        BarrierArriveAndWait = 0x0703,
        /// [`BarrierOp::Reset`].
        BarrierReset = 0x0704,
        /// [`BarrierOp::Break`].
        BarrierBreak = 0x0705,
        /// [`LatchOp::State`].
        LatchState = 0x0801,
        /// [`LatchOp::CountDown`].
        LatchCountDown = 0x0802,
        /// [`LatchOp::Wait`].
        LatchWait = 0x0803,
        /// [`ListOp::Len`].
        ListLen = 0x0901,
        /// [`ListOp::Get`].
        ListGet = 0x0902,
        /// [`ListOp::Range`].
        ListRange = 0x0903,
        /// [`ListOp::IndexOf`].
        ListIndexOf = 0x0904,
        /// [`ListOp::ContainsAll`].
        ListContainsAll = 0x0905,
        /// [`ListOp::PushBack`].
        ListPushBack = 0x0906,
        /// [`ListOp::PushFront`].
        ListPushFront = 0x0907,
        /// [`ListOp::PopBack`].
        ListPopBack = 0x0908,
        /// [`ListOp::PopFront`].
        ListPopFront = 0x0909,
        /// [`ListOp::PopFrontWait`].
        ListPopFrontWait = 0x090A,
        /// [`ListOp::Set`].
        ListSet = 0x090B,
        /// [`ListOp::Insert`].
        ListInsert = 0x090C,
        /// [`ListOp::RemoveAt`].
        ListRemoveAt = 0x090D,
        /// [`ListOp::RemoveValue`].
        ListRemoveValue = 0x090E,
        /// [`ListOp::Extend`].
        ListExtend = 0x090F,
        /// [`ListOp::RetainAll`].
        ListRetainAll = 0x0910,
        /// [`ListOp::RemoveAll`].
        ListRemoveAll = 0x0911,
        /// [`ListOp::Clear`].
        ListClear = 0x0912,
        /// [`ListOp::Claim`].
        ListClaim = 0x0913,
        /// [`ListOp::Done`].
        ListDone = 0x0914,
        /// [`ListOp::Return`].
        ListReturn = 0x0915,
        /// [`ListOp::TryClaim`].
        ListTryClaim = 0x0916,
        /// [`MapOp::Len`].
        MapLen = 0x0A01,
        /// [`MapOp::Get`].
        MapGet = 0x0A02,
        /// [`MapOp::ContainsKey`].
        MapContainsKey = 0x0A03,
        /// [`MapOp::ContainsValue`].
        MapContainsValue = 0x0A04,
        /// [`MapOp::Scan`].
        MapScan = 0x0A05,
        /// [`MapOp::Put`].
        MapPut = 0x0A06,
        /// [`MapOp::PutIfAbsent`].
        MapPutIfAbsent = 0x0A07,
        /// [`MapOp::CompareAndSwap`].
        MapCompareAndSwap = 0x0A08,
        /// [`MapOp::Remove`].
        MapRemove = 0x0A09,
        /// [`MapOp::Take`].
        MapTake = 0x0A0A,
        /// [`MapOp::Swap`].
        MapSwap = 0x0A0B,
        /// [`MapOp::PutAll`].
        MapPutAll = 0x0A0C,
        /// [`MapOp::Merge`].
        MapMerge = 0x0A0D,
        /// [`MapOp::MergeAll`].
        MapMergeAll = 0x0A0E,
        /// [`MapOp::Clear`].
        MapClear = 0x0A0F,
        /// [`MapOp::PutWithToken`].
        MapPutWithToken = 0x0A10,
        /// [`MapOp::RemoveAll`].
        MapRemoveAll = 0x0A11,
        /// [`SetOp::Len`].
        SetLen = 0x0B01,
        /// [`SetOp::Contains`].
        SetContains = 0x0B02,
        /// [`SetOp::ContainsAll`].
        SetContainsAll = 0x0B03,
        /// [`SetOp::Scan`].
        SetScan = 0x0B04,
        /// [`SetOp::Add`].
        SetAdd = 0x0B05,
        /// [`SetOp::Remove`].
        SetRemove = 0x0B06,
        /// [`SetOp::AddAll`].
        SetAddAll = 0x0B07,
        /// [`SetOp::RemoveAll`].
        SetRemoveAll = 0x0B08,
        /// [`SetOp::RetainAll`].
        SetRetainAll = 0x0B09,
        /// [`SetOp::Clear`].
        SetClear = 0x0B0A,
        /// [`SemaphoreOp::State`].
        SemaphoreState = 0x0C01,
        /// [`SemaphoreOp::Acquire`].
        SemaphoreAcquire = 0x0C02,
        /// [`SemaphoreOp::TryAcquire`].
        SemaphoreTryAcquire = 0x0C03,
        /// [`SemaphoreOp::Release`].
        SemaphoreRelease = 0x0C04,
        /// [`SemaphoreOp::Extend`].
        SemaphoreExtend = 0x0C05,
        /// [`LockOp::State`].
        LockState = 0x0D01,
        /// [`LockOp::Acquire`].
        LockAcquire = 0x0D02,
        /// [`LockOp::TryAcquire`].
        LockTryAcquire = 0x0D03,
        /// [`LockOp::Release`].
        LockRelease = 0x0D04,
        /// [`LockOp::Extend`].
        LockExtend = 0x0D05,
        /// [`FutureOp::State`].
        FutureState = 0x0E01,
        /// [`FutureOp::Peek`].
        FuturePeek = 0x0E02,
        /// [`FutureOp::Set`].
        FutureSet = 0x0E03,
        /// [`FutureOp::Get`].
        FutureGet = 0x0E04,
        /// [`FutureOp::Cancel`].
        FutureCancel = 0x0E05,
        /// [`LogOp::Tail`].
        LogTail = 0x0F01,
        /// [`LogOp::Print`].
        LogPrint = 0x0F02,
        /// [`ScopeOp::List`].
        ScopeList = 0x1001,
        /// [`ScopeOp::Usage`].
        ScopeUsage = 0x1002,
        /// [`ScopeOp::Delete`].
        ScopeDelete = 0x1003,
        /// [`ScopeOp::Quota`].
        ScopeQuota = 0x1004,
        /// [`ScopeOp::Stats`].
        ScopeStats = 0x1005,
        /// [`UserOp::Read`].
        UserRead = 0x1101,
        /// [`UserOp::Update`].
        UserUpdate = 0x1102,
    }
}

impl OpCode {
    /// The op a wire number stands for.
    ///
    /// # Errors
    ///
    /// `UnknownOp` if this version has no such op.
    #[inline]
    pub fn known(wire: u16) -> Result<OpCode, Fault> {
        OpCode::from_wire(wire).ok_or(Fault::expected(Status::UnknownOp, 0, u64::from(wire)))
    }

    /// The kind of object the op is for.
    #[inline]
    pub fn kind(self) -> Kind {
        let high = self.to_wire().to_be_bytes()[0];
        Kind::from_wire(high).expect("every op code has a kind in its high byte")
    }

    /// Whether the op leaves everything as it is.
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            OpCode::CounterGet
                | OpCode::FlagGet
                | OpCode::CellGet
                | OpCode::CellGetIfNewer
                | OpCode::CellReadRange
                | OpCode::VectorGet
                | OpCode::VectorGetIfNewer
                | OpCode::ReductionLast
                | OpCode::ReductionState
                | OpCode::BarrierState
                | OpCode::LatchState
                | OpCode::ObjectInspect
                | OpCode::VectorGetRows
                | OpCode::VectorDot
                | OpCode::VectorSum
                | OpCode::ListLen
                | OpCode::ListGet
                | OpCode::ListRange
                | OpCode::ListIndexOf
                | OpCode::ListContainsAll
                | OpCode::MapLen
                | OpCode::MapGet
                | OpCode::MapContainsKey
                | OpCode::MapContainsValue
                | OpCode::MapScan
                | OpCode::SetLen
                | OpCode::SetContains
                | OpCode::SetContainsAll
                | OpCode::SetScan
                | OpCode::SemaphoreState
                | OpCode::LockState
                | OpCode::FutureState
                | OpCode::FuturePeek
                | OpCode::LogTail
                | OpCode::ScopeList
                | OpCode::ScopeUsage
                | OpCode::ScopeStats
                | OpCode::UserRead
        )
    }

    /// Whether the op may wait inside the engine until its deadline. Such an op is no read: a session
    /// keeps its answer.
    pub const fn may_wait(self) -> bool {
        matches!(
            self,
            OpCode::ObjectWaitNewer
                | OpCode::ReductionContribute
                | OpCode::BarrierArriveAndWait
                | OpCode::LatchWait
                | OpCode::ListPopFrontWait
                | OpCode::ListClaim
                | OpCode::SemaphoreAcquire
                | OpCode::LockAcquire
                | OpCode::FutureGet
        )
    }
}

/// An op with its arguments, borrowed from a frame or from the caller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op<'a> {
    /// About the client's session.
    Session(SessionOp),
    /// On an object of any kind.
    Object(ObjectOp),
    /// On a counter.
    Counter(CounterOp),
    /// On a flag.
    Flag(FlagOp),
    /// On a cell.
    Cell(CellOp<'a>),
    /// On a vector.
    Vector(VectorOp<'a>),
    /// On a reduction.
    Reduction(ReductionOp<'a>),
    /// On a barrier.
    Barrier(BarrierOp<'a>),
    /// On a latch.
    Latch(LatchOp<'a>),
    /// On a list.
    List(ListOp<'a>),
    /// On a map.
    Map(MapOp<'a>),
    /// On a set.
    Set(SetOp<'a>),
    /// On a semaphore.
    Semaphore(SemaphoreOp),
    /// On a lock.
    Lock(LockOp),
    /// On a future.
    Future(FutureOp<'a>),
    /// On a log.
    Log(LogOp<'a>),
    /// About the objects of a shard, by name.
    Scope(ScopeOp<'a>),
    /// On a user-defined object.
    User(UserOp<'a>),
}

impl<'a> Op<'a> {
    /// The code that goes into the header.
    pub fn code(&self) -> OpCode {
        match self {
            Op::Session(op) => op.code(),
            Op::Object(op) => op.code(),
            Op::Counter(op) => op.code(),
            Op::Flag(op) => op.code(),
            Op::Cell(op) => op.code(),
            Op::Vector(op) => op.code(),
            Op::Reduction(op) => op.code(),
            Op::Barrier(op) => op.code(),
            Op::Latch(op) => op.code(),
            Op::List(op) => op.code(),
            Op::Map(op) => op.code(),
            Op::Set(op) => op.code(),
            Op::Semaphore(op) => op.code(),
            Op::Lock(op) => op.code(),
            Op::Future(op) => op.code(),
            Op::Log(op) => op.code(),
            Op::Scope(op) => op.code(),
            Op::User(op) => op.code(),
        }
    }

    /// The kind of object it is for.
    pub fn kind(&self) -> Kind {
        match self {
            Op::Session(_) => Kind::Session,
            Op::Object(_) => Kind::Object,
            Op::Counter(_) => Kind::Counter,
            Op::Flag(_) => Kind::Flag,
            Op::Cell(_) => Kind::Cell,
            Op::Vector(_) => Kind::Vector,
            Op::Reduction(_) => Kind::Reduction,
            Op::Barrier(_) => Kind::Barrier,
            Op::Latch(_) => Kind::Latch,
            Op::List(_) => Kind::List,
            Op::Map(_) => Kind::Map,
            Op::Set(_) => Kind::Set,
            Op::Semaphore(_) => Kind::Semaphore,
            Op::Lock(_) => Kind::Lock,
            Op::Future(_) => Kind::Future,
            Op::Log(_) => Kind::Log,
            Op::Scope(_) => Kind::Scope,
            Op::User(_) => Kind::User,
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Op::Session(op) => op.encode(out),
            Op::Object(op) => op.encode(out),
            Op::Counter(op) => op.encode(out),
            Op::Flag(op) => op.encode(out),
            Op::Cell(op) => op.encode(out),
            Op::Vector(op) => op.encode(out),
            Op::Reduction(op) => op.encode(out),
            Op::Barrier(op) => op.encode(out),
            Op::Latch(op) => op.encode(out),
            Op::List(op) => op.encode(out),
            Op::Map(op) => op.encode(out),
            Op::Set(op) => op.encode(out),
            Op::Semaphore(op) => op.encode(out),
            Op::Lock(op) => op.encode(out),
            Op::Future(op) => op.encode(out),
            Op::Log(op) => op.encode(out),
            Op::Scope(op) => op.encode(out),
            Op::User(op) => op.encode(out),
        }
    }

    /// Validates a body and borrows the op from it.
    ///
    /// # Errors
    ///
    /// `UnknownOp` if this version has no such op, `BadBody` if the body is not its archive.
    #[inline]
    pub fn decode(code: u16, body: &'a [u8]) -> Result<Op<'a>, Fault> {
        Op::decode_body(OpCode::known(code)?, body)
    }

    /// The same for an op code that is known.
    ///
    /// # Errors
    ///
    /// `BadBody` if the body is not its archive.
    #[inline]
    pub fn decode_body(code: OpCode, body: &'a [u8]) -> Result<Op<'a>, Fault> {
        Ok(match code.kind() {
            Kind::Session => Op::Session(SessionOp::decode(code, body)?),
            Kind::Object => Op::Object(ObjectOp::decode(code, body)?),
            Kind::Counter => return CounterOp::decode(code, body),
            Kind::Flag => Op::Flag(FlagOp::decode(code, body)?),
            Kind::Cell => Op::Cell(CellOp::decode(code, body)?),
            Kind::Vector => Op::Vector(VectorOp::decode(code, body)?),
            Kind::Reduction => Op::Reduction(ReductionOp::decode(code, body)?),
            Kind::Barrier => Op::Barrier(BarrierOp::decode(code, body)?),
            Kind::Latch => Op::Latch(LatchOp::decode(code, body)?),
            Kind::List => Op::List(ListOp::decode(code, body)?),
            Kind::Map => Op::Map(MapOp::decode(code, body)?),
            Kind::Set => Op::Set(SetOp::decode(code, body)?),
            Kind::Semaphore => Op::Semaphore(SemaphoreOp::decode(code, body)?),
            Kind::Lock => Op::Lock(LockOp::decode(code, body)?),
            Kind::Future => Op::Future(FutureOp::decode(code, body)?),
            Kind::Log => Op::Log(LogOp::decode(code, body)?),
            Kind::Scope => Op::Scope(ScopeOp::decode(code, body)?),
            Kind::User => Op::User(UserOp::decode(code, body)?),
        })
    }
}

/// An op code that reached the decoder of another kind: our own mistake, never a peer's.
fn misrouted(code: OpCode) -> ! {
    unreachable!("{code:?} is decoded by its own kind")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_code_names_a_kind() {
        for code in OpCode::ALL {
            assert!(Kind::ALL.contains(&code.kind()), "{code:?}");
            assert_eq!(OpCode::from_wire(code.to_wire()), Some(*code));
            assert!(!(code.is_read() && code.may_wait()), "{code:?}");
        }
    }

    #[test]
    fn unknown_codes_and_strange_bodies_are_faults() {
        assert_eq!(Op::decode(0xFFFF, &[]).unwrap_err().status, Status::UnknownOp);
        let add = OpCode::CounterAdd.to_wire();
        assert_eq!(Op::decode(add, &[]).unwrap_err().status, Status::BadBody);
        let get = OpCode::CounterGet.to_wire();
        assert_eq!(Op::decode(get, &[0]).unwrap_err().status, Status::BadBody);
    }
}
