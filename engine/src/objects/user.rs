//! STUB

use catena_protocol::op::UserOp;
use catena_protocol::{Fault, Op, Refusal, Reply, Status};

use super::{Applied, Description, Turn};

/// The kinds of objects that users defined.
#[derive(Clone, Debug, Default)]
pub struct Types {}

#[derive(Debug)]
pub(crate) struct User {}

impl User {
    pub(super) fn fresh(_op: &Op<'_>, _types: &Types) -> Result<User, Fault> {
        Err(Fault::new(Status::UnknownType))
    }

    pub(super) fn read(&self, op: &UserOp<'_>) -> Result<Reply<'_>, Refusal> {
        unreachable!("{op:?}")
    }

    pub(super) fn check(&self, op: &UserOp<'_>) -> Result<(), Refusal> {
        let _ = op;
        Err(Fault::new(Status::UnknownOp).into())
    }

    pub(super) fn apply(&mut self, op: &UserOp<'_>, _turn: &mut Turn<'_>) -> Applied {
        unreachable!("{op:?}")
    }

    pub(super) fn describe(&self) -> Description {
        Description::default()
    }

    pub(super) fn bytes(&self) -> u64 {
        0
    }
}
