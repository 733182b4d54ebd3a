//! Ops on a user-defined object, whose type says what they mean.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use super::{OpCode, misrouted};
use crate::body;
use crate::status::Fault;

/// What can be asked of a user-defined object; see [`UserType`](crate::UserType).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserOp<'a> {
    /// Asks and changes nothing. Answers bytes.
    Read {
        /// The type, [`UserType::TYPE_ID`](crate::UserType::TYPE_ID).
        type_id: u32,
        /// What is asked, as the type has it.
        args: &'a [u8],
    },
    /// Changes the object. Answers bytes.
    Update {
        /// The type, [`UserType::TYPE_ID`](crate::UserType::TYPE_ID).
        type_id: u32,
        /// What is asked, as the type has it.
        args: &'a [u8],
    },
}

/// The only data is the arguments, so they begin where the body does: on a multiple of 16.
#[derive(Archive, Serialize)]
struct UserBody<'a> {
    type_id: u32,
    #[rkyv(with = InlineAsBox)]
    args: &'a [u8],
}

impl<'a> UserOp<'a> {
    pub(super) fn code(&self) -> OpCode {
        match self {
            UserOp::Read { .. } => OpCode::UserRead,
            UserOp::Update { .. } => OpCode::UserUpdate,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            UserOp::Read { type_id, args } | UserOp::Update { type_id, args } => {
                body::encode(&UserBody { type_id, args }, out);
            }
        }
    }

    pub(super) fn decode(code: OpCode, body: &'a [u8]) -> Result<UserOp<'a>, Fault> {
        let user = body::decode::<ArchivedUserBody<'a>>(body)?;
        let (type_id, args) = (user.type_id.to_native(), &*user.args);
        Ok(match code {
            OpCode::UserRead => UserOp::Read { type_id, args },
            OpCode::UserUpdate => UserOp::Update { type_id, args },
            _ => misrouted(code),
        })
    }
}
