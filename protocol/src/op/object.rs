//! What can be asked of an object of any kind.

use super::{OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// An op that does not depend on the kind of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectOp {
    /// Deletes the object; whoever waits on it gets `Deleted`. Answers whether there was one.
    Delete,
}

impl ObjectOp {
    pub(super) fn code(&self) -> OpCode {
        match self {
            ObjectOp::Delete => OpCode::ObjectDelete,
        }
    }

    pub(super) fn decode(code: OpCode, bytes: &[u8]) -> Result<ObjectOp, Fault> {
        Ok(match code {
            OpCode::ObjectDelete => {
                body::decode_empty(bytes)?;
                ObjectOp::Delete
            }
            _ => misrouted(code),
        })
    }
}
