//! How often and how long, as far as the record does not say it, and how many.

use crate::time::Time;

/// How often members ask each other for grants, and learners show that they are there.
pub const BEAT_MS: u32 = 200;

/// … and in the beginning of an epoch, while they lack the grants to read in it …
pub const EARLY_BEAT_MS: u32 = 20;

/// … which takes no longer than this, or something is wrong.
pub const EARLY_MS: u32 = 500;

/// How often a node reads the register when nothing happens.
pub const POLL_MS: u32 = 5_000;

/// … and when it is not a member: nobody has to tell it anything.
pub const POLL_OUTSIDE_MS: u32 = 1_000;

/// The least time between two reads.
pub const READ_MS: u32 = 50;

/// How much later each further node proposes to remove a member.
pub const RANK_MS: u32 = 200;

/// A report that a link stalls counts this long. While it stalls, it is reported once a second.
pub const STALL_MS: u32 = 1_500;

/// Cores that have not confirmed anything for this long are stuck, and the node falls silent.
pub const STUCK_MS: u32 = 2_000;

/// A node that has not looked at its clock for this long was not running: what it has not heard
/// meanwhile is its own fault.
pub const PAUSE_MS: u32 = 500;

/// Between two removals by the same node, unless members are missing.
pub const REMOVAL_MS: u32 = 2_000;

/// How long the tail does not append a learner with which it did not work.
pub const LEARNER_AGAIN_MS: u32 = 10_000;

/// Silence of all members after which a learner takes them for lost.
pub const TOTAL_LOSS_MS: u32 = 30_000;

/// How long a learner that lost its tail waits before it begins anew.
pub const RESYNC_MS: u32 = 1_000;

/// How long a removed node waits before it joins again, doubled every time …
pub const REJOIN_MS: u32 = 30_000;

/// … up to this. Whoever stayed in for that long begins anew.
pub const REJOIN_MS_MAX: u32 = 3_600_000;

/// How long a failed access to the register waits for the next, doubled every time …
pub const RETRY_MS: u32 = 200;

/// … up to this.
pub const RETRY_MS_MAX: u32 = 5_000;

/// How long an epoch with all members lasts before the heads of its chains are spread …
pub const SPREAD_MS: u32 = 1_000;

/// … and one that lacks members and in which nobody wants to join.
pub const SPREAD_FEW_MS: u32 = 10_000;

/// How much later it is tried again every time that it did not work, doubled …
pub const ROTATE_AGAIN_MS: u32 = 1_000;

/// … up to this.
pub const ROTATE_AGAIN_MS_MAX: u32 = 60_000;

/// Silence after which a tail does not wait for a learner, nor a learner for its tail.
pub const LEARNER_SILENT_MS: u32 = 3_000;

/// Learners that a tail remembers not to teach again in its epoch. With more it goes on waiting for
/// the one it has.
pub const UNTAUGHT_MAX: usize = 256;

/// Views the cores may not have confirmed yet. What changes meanwhile is told together.
pub const VIEWS_MAX: u64 = 4;

/// `least` doubled `times` times, up to `most`.
pub(super) fn doubled(least: u32, times: u32, most: u32) -> u32 {
    least.checked_shl(times.min(20)).unwrap_or(most).min(most)
}

/// When something has to be looked at again; nothing is due that is over.
#[derive(Debug)]
pub(super) struct Due {
    now: Time,
    next: Option<Time>,
}

impl Due {
    pub(super) fn new(now: Time) -> Due {
        Due { now, next: None }
    }

    /// Notes that something happens at `time`. Whatever happens now is done by whoever notes it.
    pub(super) fn at(&mut self, time: Time) {
        if time > self.now {
            self.next = Some(self.next.map_or(time, |next| next.min(time)));
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.next
    }
}

const _: () = assert!(BEAT_MS < PAUSE_MS);
const _: () = assert!(STALL_MS < STUCK_MS);
