//! Ops on a user-defined object, whose type says what they mean.

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
