//! The rules of the protocol.

/// The rules of the protocol, each of which can be left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A member neither acknowledges nor reads before the grants it gave in older epochs are over.
    pub(crate) drain: bool,
    /// Not only the tail waits for that.
    pub(crate) all_drain: bool,
    /// While it appends a learner, the tail acknowledges only what the learner has.
    pub(crate) gate: bool,
    /// Whoever has a proposal on its way grants nothing …
    pub(crate) stop_grant: bool,
    /// … and reads nothing …
    pub(crate) stop_read: bool,
    /// … until it has seen another record than the one it wants to replace.
    pub(crate) resolve: bool,
    /// A node that becomes a member takes all grants to be given just now.
    pub(crate) implied: bool,
    /// Every other member must have granted, not just the neighbour.
    pub(crate) all_peers: bool,
    /// A member grants only to those of its own epoch, and the grant counts in that epoch only.
    pub(crate) own_epoch: bool,
    /// A member that has forgotten what it did has the epoch changed before it does anything.
    pub(crate) bump: bool,
    /// A read waits until what it saw is committed.
    pub(crate) clean_wait: bool,
    /// The order changes only when all members take no updates and have the same.
    pub(crate) rest: bool,
    /// Who was a member and left is not synced again.
    pub(crate) fresh_incarnation: bool,
}

impl Rules {
    pub(crate) const ALL: Rules = Rules {
        drain: true,
        all_drain: true,
        gate: true,
        stop_grant: true,
        stop_read: true,
        resolve: true,
        implied: true,
        all_peers: true,
        own_epoch: true,
        bump: true,
        clean_wait: true,
        rest: true,
        fresh_incarnation: true,
    };
}
