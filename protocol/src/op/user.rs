//! Ops on a user-defined object, whose type defines what they do.

/// An op on a user-defined object; see [`UserType`](crate::UserType).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserOp<'a> {
    /// Reads the object. Returns bytes.
    Read {
        /// The type, [`UserType::TYPE_ID`](crate::UserType::TYPE_ID).
        type_id: u32,
        /// The op, encoded as the type defines it.
        args: &'a [u8],
    },
    /// Changes the object. Returns bytes.
    Update {
        /// The type, [`UserType::TYPE_ID`](crate::UserType::TYPE_ID).
        type_id: u32,
        /// The op, encoded as the type defines it.
        args: &'a [u8],
    },
}
