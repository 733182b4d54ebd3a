//! Why a snapshot is refused.

use catena_protocol::ShardId;

use super::user::BadSnapshot;

/// Why a shard cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It is not of our format.
    #[error("the snapshot has format {theirs}; ours is {ours}")]
    Format {
        /// The format this version writes.
        ours: u8,
        /// The one it has.
        theirs: u8,
    },
    /// It is another shard's.
    #[error("the snapshot is of shard {}; this is shard {}", theirs.0, ours.0)]
    Shard {
        /// The shard that is to be restored.
        ours: ShardId,
        /// The one it is of.
        theirs: ShardId,
    },
    /// It ends too soon, or something in it is not what has to be there.
    #[error("the snapshot is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    /// It has an object of a kind that is none.
    #[error("the snapshot has an object of the unknown kind {0}")]
    UnknownKind(u8),
    /// It has an object of a user-defined type that was not registered here.
    #[error("the snapshot has an object of type {0}, which is not registered here")]
    UnknownType(u32),
    /// A user-defined type does not take the snapshot of an object of its own.
    #[error("an object of type `{name}` cannot be restored: {why}")]
    User {
        /// The type's name.
        name: &'static str,
        /// What it says.
        why: BadSnapshot,
    },
    /// Its parts do not fit each other.
    #[error("the snapshot contradicts itself: {0}")]
    Contradiction(&'static str),
}
