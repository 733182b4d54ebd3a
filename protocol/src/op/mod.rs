//! What can be asked: one enum per kind, one file per enum, the same borrowed value on both sides.
//!
//! An [`Op`] is a code for the header and a body. [`Op::decode`] validates the body once and lends
//! out its slices; [`Op::encode`] writes it. Reads change nothing, need no session and may be
//! repeated freely; every other op is an update and is executed once per `(session, number)`.

mod barrier;
mod cell;
mod counter;
mod flag;
mod latch;
mod object;
mod reduction;
mod session;
mod vector;

pub use barrier::{Arrival, BarrierOp, GENERATION_CURRENT};
pub use cell::CellOp;
pub use counter::CounterOp;
pub use flag::FlagOp;
pub use latch::LatchOp;
pub use object::ObjectOp;
pub use reduction::{Contribution, ReduceOp, ReductionOp};
pub use session::SessionOp;
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
        /// [`ReductionOp::Last`].
        ReductionLast = 0x0601,
        /// [`ReductionOp::State`].
        ReductionState = 0x0602,
        /// [`ReductionOp::Contribute`].
        ReductionContribute = 0x0603,
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
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Op::Session(op) => op.encode(out),
            Op::Object(ObjectOp::Delete) => {}
            Op::Counter(op) => op.encode(out),
            Op::Flag(op) => op.encode(out),
            Op::Cell(op) => op.encode(out),
            Op::Vector(op) => op.encode(out),
            Op::Reduction(op) => op.encode(out),
            Op::Barrier(op) => op.encode(out),
            Op::Latch(op) => op.encode(out),
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
