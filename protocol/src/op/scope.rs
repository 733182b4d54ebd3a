//! Ops on a shard about the objects in it, by the prefix of their names.
//!
//! They concern no single object: the header's object is 0, and its shard says which is asked.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body::{self, BytesBody};
use crate::status::Fault;

/// What can be asked of one shard. A prefix may be empty, and then concerns every name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeOp<'a> {
    /// Answers named objects, their names in byte order.
    List {
        /// The last name the caller has; names up to it are left out.
        after: &'a str,
        /// How the names begin.
        prefix: &'a str,
        /// How many at most.
        limit: u32,
    },
    /// Answers how many named objects there are, what they take, and what their quota is.
    Usage {
        /// How the names begin.
        prefix: &'a str,
    },
    /// Deletes some named objects. Answers how many; 0 means that there are none left.
    Delete {
        /// How the names begin.
        prefix: &'a str,
        /// How many at most.
        limit: u32,
    },
    /// Limits what named objects may be and take in this shard. Answers nothing.
    Quota {
        /// How the names begin.
        prefix: &'a str,
        /// How many objects there may be; 0 for no limit.
        objects_max: u64,
        /// What they may take, in bytes; 0 for no limit.
        bytes_max: u64,
    },
    /// Answers what the shard and its core are doing.
    Stats,
}

#[derive(Archive, Serialize)]
struct ScopeListBody<'a> {
    limit: u32,
    #[rkyv(with = InlineAsBox)]
    after: &'a [u8],
    #[rkyv(with = InlineAsBox)]
    prefix: &'a [u8],
}

#[derive(Archive, Serialize)]
struct ScopeDeleteBody<'a> {
    limit: u32,
    #[rkyv(with = InlineAsBox)]
    prefix: &'a [u8],
}

#[derive(Archive, Serialize)]
struct QuotaBody<'a> {
    objects_max: u64,
    bytes_max: u64,
    #[rkyv(with = InlineAsBox)]
    prefix: &'a [u8],
}

impl<'a> ScopeOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            ScopeOp::List { .. } => OpCode::ScopeList,
            ScopeOp::Usage { .. } => OpCode::ScopeUsage,
            ScopeOp::Delete { .. } => OpCode::ScopeDelete,
            ScopeOp::Quota { .. } => OpCode::ScopeQuota,
            ScopeOp::Stats => OpCode::ScopeStats,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            ScopeOp::List { after, prefix, limit } => {
                let (after, prefix) = (after.as_bytes(), prefix.as_bytes());
                body::encode(&ScopeListBody { limit, after, prefix }, out);
            }
            ScopeOp::Usage { prefix } => {
                body::encode(&BytesBody { bytes: prefix.as_bytes() }, out);
            }
            ScopeOp::Delete { prefix, limit } => {
                body::encode(&ScopeDeleteBody { limit, prefix: prefix.as_bytes() }, out);
            }
            ScopeOp::Quota { prefix, objects_max, bytes_max } => {
                let prefix = prefix.as_bytes();
                body::encode(&QuotaBody { objects_max, bytes_max, prefix }, out);
            }
            ScopeOp::Stats => {}
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<ScopeOp<'a>, Fault> {
        Ok(match code {
            OpCode::ScopeList => {
                let list = body::decode::<ArchivedScopeListBody<'a>>(body)?;
                ScopeOp::List {
                    after: body::text(&list.after)?,
                    prefix: body::text(&list.prefix)?,
                    limit: list.limit.to_native(),
                }
            }
            OpCode::ScopeUsage => ScopeOp::Usage { prefix: body::decode_text(body)? },
            OpCode::ScopeDelete => {
                let delete = body::decode::<ArchivedScopeDeleteBody<'a>>(body)?;
                let prefix = body::text(&delete.prefix)?;
                ScopeOp::Delete { prefix, limit: delete.limit.to_native() }
            }
            OpCode::ScopeQuota => {
                let quota = body::decode::<ArchivedQuotaBody<'a>>(body)?;
                ScopeOp::Quota {
                    prefix: body::text(&quota.prefix)?,
                    objects_max: quota.objects_max.to_native(),
                    bytes_max: quota.bytes_max.to_native(),
                }
            }
            OpCode::ScopeStats => {
                body::decode_empty(body)?;
                ScopeOp::Stats
            }
            _ => misrouted(code),
        })
    }
}
