//! Opening and closing a session, the memory that makes retries safe.

use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// What a client says about its session in one shard. The session's id is in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOp {
    /// Opens the session, or finds it open already. Answers nothing.
    Open {
        /// What [`Welcome::now_us`](crate::Welcome::now_us) said when the client drew the id. An id
        /// older than its time to live is refused: it may have been open and expired, and what it
        /// remembered is gone.
        born_us: u64,
        /// 64 more random bits that tell two clients with the same id apart.
        nonce: u64,
        /// Forget the session after this much silence, in milliseconds; 0 for the default.
        ttl_ms: u32,
    },
    /// Forgets the session and all it remembers. Answers nothing.
    Close,
}

#[derive(Archive, Serialize)]
struct OpenBody {
    born_us: u64,
    nonce: u64,
    ttl_ms: u32,
}

impl SessionOp {
    pub(super) fn code(&self) -> OpCode {
        match self {
            SessionOp::Open { .. } => OpCode::SessionOpen,
            SessionOp::Close => OpCode::SessionClose,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            SessionOp::Open { born_us, nonce, ttl_ms } => {
                body::encode(&OpenBody { born_us, nonce, ttl_ms }, out);
            }
            SessionOp::Close => {}
        }
    }

    pub(super) fn decode(code: OpCode, bytes: &[u8]) -> Result<SessionOp, Fault> {
        Ok(match code {
            OpCode::SessionOpen => {
                let open = body::decode::<ArchivedOpenBody>(bytes)?;
                SessionOp::Open {
                    born_us: open.born_us.to_native(),
                    nonce: open.nonce.to_native(),
                    ttl_ms: open.ttl_ms.to_native(),
                }
            }
            OpCode::SessionClose => {
                body::decode_empty(bytes)?;
                SessionOp::Close
            }
            _ => misrouted(code),
        })
    }
}
