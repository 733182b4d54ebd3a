//! The rules of the protocol that can be taken away, to see that something notices.

/// Which rules are followed: all of them, outside tests. Each is named after what it demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // independent of one another: that is the point
pub struct Rules {
    /// A member acts in an epoch only after all grants it gave in older ones have ended.
    pub drain: bool,
    /// While its append is under way, a tail acknowledges only what the learner has.
    pub gate: bool,
    /// While its own change is under way, a member grants nothing.
    pub stop_grant: bool,
    /// While its own change is under way, a member answers no reads.
    pub stop_read: bool,
    /// The order of chains changes only while no member takes updates and all have the same.
    pub rest: bool,
    /// The cores have confirmed that they stopped before a change leaves.
    pub confirm: bool,
    /// A change of unknown outcome is under way until another record than its base is seen.
    pub resolve: bool,
    /// A new member takes it that it granted to everybody just now.
    pub implied: bool,
    /// A reader needs a grant of every other member, not just of a neighbour.
    pub all_peers: bool,
    /// A member grants to those of its own epoch only, and the grant counts in that epoch only.
    pub own_epoch: bool,
    /// A holder takes a grant for as much less than the granter as their clocks may drift.
    pub drift: bool,
    /// Nobody goes back to an older epoch.
    pub forward: bool,
    /// What another epoch sent is not taken.
    pub epoch_check: bool,
    /// A member that restarts with its state changes the epoch before it acts.
    pub bump: bool,
    /// An answer waits until all members have what it depends on.
    pub hold: bool,
    /// A read waits until all it saw is committed.
    pub clean_wait: bool,
    /// Whoever left comes back under another id.
    pub fresh_incarnation: bool,
    /// Whether a change was our own is told by its id.
    pub one_change_id: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            drain: true,
            gate: true,
            stop_grant: true,
            stop_read: true,
            rest: true,
            confirm: true,
            resolve: true,
            implied: true,
            all_peers: true,
            own_epoch: true,
            drift: true,
            forward: true,
            epoch_check: true,
            bump: true,
            hold: true,
            clean_wait: true,
            fresh_incarnation: true,
            one_change_id: true,
        }
    }
}
