//! What can be asked of an object of any kind.

use super::{OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// An op that does not depend on the kind of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectOp {
    /// Deletes the object; whoever waits on it gets `Deleted`. Answers whether there was one.
    Delete,
    /// Answers everything about the object, for people; `Absent` if there is none.
    Inspect,
    /// Waits until the object's version is above `version`. Answers the version now.
    ///
    /// An object that does not exist has version 0 and may be waited for.
    WaitNewer {
        /// The version the caller has.
        version: u64,
    },
    /// Deletes the object so long after this op, whatever happens to it in between. Answers whether
    /// there is such an object.
    Expire {
        /// In so many milliseconds; 0 for never.
        ttl_ms: u64,
    },
}

impl ObjectOp {
    pub(super) fn code(&self) -> OpCode {
        match self {
            ObjectOp::Delete => OpCode::ObjectDelete,
            ObjectOp::Inspect => OpCode::ObjectInspect,
            ObjectOp::WaitNewer { .. } => OpCode::ObjectWaitNewer,
            ObjectOp::Expire { .. } => OpCode::ObjectExpire,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            ObjectOp::Delete | ObjectOp::Inspect => {}
            ObjectOp::WaitNewer { version: number } | ObjectOp::Expire { ttl_ms: number } => {
                body::encode(&number, out);
            }
        }
    }

    pub(super) fn decode(code: OpCode, body: &[u8]) -> Result<ObjectOp, Fault> {
        Ok(match code {
            OpCode::ObjectDelete => {
                body::decode_empty(body)?;
                ObjectOp::Delete
            }
            OpCode::ObjectInspect => {
                body::decode_empty(body)?;
                ObjectOp::Inspect
            }
            OpCode::ObjectWaitNewer => ObjectOp::WaitNewer { version: body::decode_u64(body)? },
            OpCode::ObjectExpire => ObjectOp::Expire { ttl_ms: body::decode_u64(body)? },
            _ => misrouted(code),
        })
    }
}
