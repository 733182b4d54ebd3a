//! Errors of restoring a snapshot.

use catena_protocol::ShardId;

use super::user::BadSnapshot;

/// Why a shard cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The snapshot has another format.
    #[error("the snapshot has format {theirs}, this node reads format {ours}")]
    Format {
        /// The format that this version writes.
        ours: u8,
        /// The format of the snapshot.
        theirs: u8,
    },
    /// The snapshot is of another shard.
    #[error("the snapshot is of shard {}, not of shard {}", theirs.0, ours.0)]
    Shard {
        /// The shard to restore.
        ours: ShardId,
        /// The shard of the snapshot.
        theirs: ShardId,
    },
    /// The snapshot is truncated, or a value in it is not of its type.
    #[error("the snapshot is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    /// The snapshot has an object of an unknown kind.
    #[error("the snapshot has an object of the unknown kind {0}")]
    UnknownKind(u8),
    /// The snapshot has an object of a user-defined type that is not registered on this node.
    #[error(
        "the snapshot has an object of the user-defined type {0}, which is not registered on this \
         node"
    )]
    UnknownType(u32),
    /// A user-defined type refuses the snapshot of one of its objects.
    #[error("an object of the user-defined type `{name}` cannot be restored: {why}")]
    User {
        /// The type's name.
        name: &'static str,
        /// The type's error.
        why: BadSnapshot,
    },
    /// Parts of the snapshot contradict each other, or exceed a limit.
    #[error("the snapshot is not consistent: {0}")]
    Contradiction(&'static str),
}
