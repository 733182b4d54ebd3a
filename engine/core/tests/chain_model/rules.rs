//! The rules of the protocol.

/// The rules of the protocol, each of which can be left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A member neither acknowledges nor reads before the leases that it granted in older epochs
    /// have expired.
    pub(crate) drain: bool,
    /// All members wait for that, not only the tail.
    pub(crate) all_drain: bool,
    /// While it appends a learner, the tail acknowledges only what the learner has.
    pub(crate) gate: bool,
    /// While its proposal is under way, a node grants no leases.
    pub(crate) stop_grant: bool,
    /// While its proposal is under way, a node serves no reads.
    pub(crate) stop_read: bool,
    /// A proposal is under way until its node has seen another record than the base.
    pub(crate) resolve: bool,
    /// A new member assumes that all grants were given just now.
    pub(crate) implied: bool,
    /// It assumes that until it knows a member that is active in its own epoch. One that was active
    /// in an older epoch is no proof.
    pub(crate) proof_epoch: bool,
    /// A reader needs a grant of every other member, not just of the neighbour.
    pub(crate) all_peers: bool,
    /// A member grants only to members in its own epoch, and a grant counts only in that epoch.
    pub(crate) own_epoch: bool,
    /// A member that restarted changes the epoch before it does anything else.
    pub(crate) bump: bool,
    /// A read waits until everything it saw is committed.
    pub(crate) clean_wait: bool,
    /// The order changes only when no member accepts updates and all logs are equal.
    pub(crate) rest: bool,
    /// A node that was removed is not synced again.
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
        proof_epoch: true,
        all_peers: true,
        own_epoch: true,
        bump: true,
        clean_wait: true,
        rest: true,
        fresh_incarnation: true,
    };
}
