//! The ops: one enum per kind, one file per enum, the same borrowed value on both sides of the
//! wire.
//!
//! An [`Op`] is a code for the header and a body. [`Op::decode`] validates the body once and
//! borrows its slices; [`Op::encode`] writes it. Reads change nothing, need no session and may be
//! repeated freely; every other op is an update and is executed once per `(session, number)`.
//!
//! What an op does is said at its variant; all other facts about it are in the
//! [table](crate::for_each_op).

mod barrier;
mod cell;
mod counter;
mod flag;
mod future;
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
mod shape;
mod table;
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

use self::shape::Shape;
use crate::object::Kind;
use crate::reply::ReplyShape;
use crate::status::{Fault, Status};
use crate::wire_enum::{snake_case, wire_enum};

/// How the engine treats an op.
#[derive(Clone, Copy)]
enum Class {
    /// Changes nothing, needs no session.
    Read,
    /// Is executed once per session and number.
    Update,
    /// An update that may wait.
    Waits,
    /// About the session itself.
    Session,
}

/// The conversions of the ops of one kind, made from the table.
trait KindOp<'a>: Sized {
    /// Returns the code of the op.
    fn code(&self) -> OpCode;

    /// Appends the body.
    fn encode(&self, out: &mut Vec<u8>);

    /// Validates a body and makes the [`Op`] in one step. An enum that is put into another one
    /// afterwards is copied in words that span fresh stores, and each such load waits for all of
    /// them.
    fn decode(code: OpCode, body: &'a [u8]) -> Result<Op<'a>, Fault>;
}

/// Makes [`OpCode`], [`Op`] and their conversions from the table.
macro_rules! declare {
    ($(
        $(#[$doc:meta])*
        $kind:ident = $kind_code:literal, has_objects: $objects:literal,
            $ops:ident $(<$a:lifetime>)? $(, inline($how:ident))?
        {$(
            $code:ident = $wire:literal, $class:ident, $op:ident $fields:tt
                = $shape:ident $parts:tt -> $reply:ident $(or $nothing:ident)?;
        )*}
    )*) => {
        wire_enum! {
            /// The code of an op: the [`Kind`] in the high byte, the op in the low.
            pub enum OpCode: u16 {$($(
                #[doc = concat!("[`", stringify!($ops), "::", stringify!($op), "`].")]
                $code = $wire,
            )*)*}
        }

        impl OpCode {
            /// Returns the name of the op among those of its kind, in snake case: `fetch_add`.
            pub const fn op_name(self) -> &'static str {
                match self { $($(OpCode::$code => snake_case!($op),)*)* }
            }

            /// Returns the shape of the reply if the status is `Ok`.
            #[inline]
            pub const fn reply(self) -> ReplyShape {
                match self { $($(OpCode::$code => ReplyShape::$reply,)*)* }
            }

            #[inline]
            const fn class(self) -> Class {
                match self { $($(OpCode::$code => Class::$class,)*)* }
            }
        }

        /// An op with its arguments, borrowed from a frame or from the caller.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Op<'a> {$(
            #[doc = concat!("See [`", stringify!($ops), "`].")]
            $kind($ops $(<$a>)?),
        )*}

        impl<'a> Op<'a> {
            /// Returns the code, which goes into the header.
            pub fn code(&self) -> OpCode {
                match self { $(Op::$kind(op) => op.code(),)* }
            }

            /// Returns the kind of object that the op is for.
            pub fn kind(&self) -> Kind {
                match self { $(Op::$kind(_) => Kind::$kind,)* }
            }

            /// Appends the body.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $(Op::$kind(op) => op.encode(out),)* }
            }

            /// Validates the body of an op whose code is known, and borrows the op from it.
            ///
            /// # Errors
            ///
            /// `BadBody` if the body is not its archive.
            #[inline]
            pub fn decode_body(code: OpCode, body: &'a [u8]) -> Result<Op<'a>, Fault> {
                match code.kind() { $(Kind::$kind => $ops::decode(code, body),)* }
            }
        }

        $(
            impl<'a> KindOp<'a> for $ops $(<$a>)? {
                fn code(&self) -> OpCode {
                    match self { $($ops::$op { .. } => OpCode::$code,)* }
                }

                fn encode(&self, out: &mut Vec<u8>) {
                    match *self { $($ops::$op $fields => shape::$shape $parts.encode(out),)* }
                }

                $(#[inline($how)])?
                fn decode(code: OpCode, body: &'a [u8]) -> Result<Op<'a>, Fault> {
                    Ok(match code {
                        $(OpCode::$code => {
                            let shape::$shape $parts = Shape::decode(body)?;
                            Op::$kind($ops::$op $fields)
                        })*
                        _ => unreachable!("{code:?} is decoded by its own kind"),
                    })
                }
            }
        )*
    };
}

crate::for_each_op!(declare);

impl OpCode {
    /// Returns the op of a number on the wire.
    ///
    /// # Errors
    ///
    /// `UnknownOp` if this version has no such op.
    #[inline]
    pub fn known(wire: u16) -> Result<OpCode, Fault> {
        OpCode::from_wire(wire).ok_or(Fault::expected(Status::UnknownOp, 0, u64::from(wire)))
    }

    /// Returns the kind of object that the op is for.
    #[inline]
    pub fn kind(self) -> Kind {
        let high = self.to_wire().to_be_bytes()[0];
        Kind::from_wire(high).expect("every op code has a kind in its high byte")
    }

    /// Returns whether the op changes nothing.
    #[inline]
    pub const fn is_read(self) -> bool {
        matches!(self.class(), Class::Read)
    }

    /// Returns whether the op may wait inside the engine until its deadline. Such an op is an
    /// update, so that a session keeps its reply.
    #[inline]
    pub const fn may_wait(self) -> bool {
        matches!(self.class(), Class::Waits)
    }
}

impl<'a> Op<'a> {
    /// Validates a body and borrows the op from it.
    ///
    /// # Errors
    ///
    /// `UnknownOp` if this version has no such op, `BadBody` if the body is not its archive.
    #[inline]
    pub fn decode(code: u16, body: &'a [u8]) -> Result<Op<'a>, Fault> {
        Op::decode_body(OpCode::known(code)?, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_code_names_a_kind() {
        for code in OpCode::ALL {
            assert!(Kind::ALL.contains(&code.kind()), "{code:?}");
            assert_eq!(OpCode::from_wire(code.to_wire()), Some(*code));
            assert_eq!(code.name(), format!("{}_{}", code.kind().name(), code.op_name()));
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
