//! Where the sessions of a core were opened, so that one source does not take the places of all others.
//!
//! A source that has its share of a shard opens no more sessions there while the shard is at least half
//! full. Sessions that are open stay. Sessions are counted by the core that opened them: a head that
//! took over a shard does not know the sources of those that were open before.
//!
//! A shard does not say when a session ends. So the entries here are looked up in the shard, a few with
//! every session that is opened and in every period, and all of them at most once in a period if that
//! may let a source in. With every session more entries are checked than added, so there are never many
//! more entries than open sessions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use catena_protocol::{Fault, Status};

use crate::config::{SESSION_SOURCE_SHARE, SESSIONS_CROWDED};

/// The sources of the sessions in one shard.
#[derive(Debug, Default)]
pub(super) struct SessionSources {
    /// Sessions that were opened, and where. Some may have ended.
    opened: Vec<(u64, IpAddr)>,
    /// How many of them each source has.
    counts: BTreeMap<IpAddr, usize>,
    /// The index in `opened` of the entry to check next.
    next: usize,
    /// Whether all entries were checked in this period.
    is_recounted: bool,
}

/// Entries that are checked when a session is opened.
const CHECKED_PER_OPENING: usize = 4;

/// Entries that are checked in each period.
const CHECKED_PER_PERIOD: usize = 1_024;

impl SessionSources {
    /// Decides whether a source may open another session in the shard, which has `open` of them.
    ///
    /// # Errors
    ///
    /// `TooManySessions`, with the share of a source.
    pub(super) fn admit(
        &mut self,
        source: IpAddr,
        open: u64,
        is_open: impl Fn(u64) -> bool,
    ) -> Result<(), Fault> {
        if open < SESSIONS_CROWDED {
            return Ok(());
        }
        if self.count(source) >= SESSION_SOURCE_SHARE && !self.is_recounted {
            self.is_recounted = true;
            self.check(self.opened.len(), &is_open);
        }
        let count = self.count(source);
        if count < SESSION_SOURCE_SHARE {
            return Ok(());
        }
        let (limit, got) = (SESSION_SOURCE_SHARE as u64, count as u64 + 1);
        Err(Fault::expected(Status::TooManySessions, limit, got))
    }

    /// Records that a source has opened a session.
    pub(super) fn on_opened(
        &mut self,
        source: IpAddr,
        session: u64,
        is_open: impl Fn(u64) -> bool,
    ) {
        self.check(CHECKED_PER_OPENING, &is_open);
        self.opened.push((session, source));
        *self.counts.entry(source).or_default() += 1;
    }

    /// Forgets some of the sessions that have ended; called once in a period.
    pub(super) fn sweep(&mut self, is_open: impl Fn(u64) -> bool) {
        self.is_recounted = false;
        self.check(CHECKED_PER_PERIOD, &is_open);
        if self.opened.len() < self.opened.capacity() / 4 {
            self.opened.shrink_to(self.opened.len() * 2);
        }
    }

    fn count(&self, source: IpAddr) -> usize {
        self.counts.get(&source).copied().unwrap_or_default()
    }

    /// Checks a number of entries, but each at most once.
    fn check(&mut self, entries: usize, is_open: &impl Fn(u64) -> bool) {
        for _ in 0..entries.min(self.opened.len()) {
            if self.next >= self.opened.len() {
                self.next = 0;
            }
            let (session, source) = self.opened[self.next];
            if is_open(session) {
                self.next += 1;
                continue;
            }
            self.opened.swap_remove(self.next);
            let count = self.counts.get_mut(&source).expect("each entry is counted");
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    /// A shard's open sessions, and their sources.
    #[derive(Default)]
    struct Crowd {
        open: RefCell<BTreeSet<u64>>,
        sources: SessionSources,
    }

    impl Crowd {
        fn open(&mut self, source: IpAddr, session: u64) -> Result<(), Fault> {
            let is_open = |session| self.open.borrow().contains(&session);
            self.sources.admit(source, self.open.borrow().len() as u64, is_open)?;
            self.open.borrow_mut().insert(session);
            self.sources.on_opened(source, session, is_open);
            Ok(())
        }

        fn sweep(&mut self) {
            self.sources.sweep(|session| self.open.borrow().contains(&session));
        }
    }

    fn sources() -> [IpAddr; 3] {
        [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn a_source_has_a_share_once_the_shard_is_half_full() {
        let [one, other, third] = sources();
        let mut crowd = Crowd::default();
        let half = SESSIONS_CROWDED;
        let refused =
            Fault::expected(Status::TooManySessions, SESSION_SOURCE_SHARE as u64, half + 1);
        (1..=half).for_each(|session| crowd.open(one, session).expect("there is room"));
        assert_eq!(crowd.open(one, half + 1), Err(refused));
        let share = SESSION_SOURCE_SHARE as u64;
        for session in 1..=share {
            crowd.open(other, half + session).expect("it has a share");
        }
        let limit = Fault::expected(Status::TooManySessions, share, share + 1);
        assert_eq!(crowd.open(other, half + share + 1), Err(limit));
        crowd.open(third, half + share + 1).expect("it has a share, too");
    }

    #[test]
    fn sessions_that_have_ended_do_not_count() {
        let [one, other, third] = sources();
        let mut crowd = Crowd::default();
        let half = SESSIONS_CROWDED;
        (1..=half).for_each(|session| crowd.open(one, session).expect("there is room"));
        // Most of them end, and others open as many.
        let share = SESSION_SOURCE_SHARE as u64;
        crowd.open.borrow_mut().retain(|session| *session < share);
        for session in half + 1..=half + share {
            crowd.open(other, session).expect("there is room");
        }
        crowd.open(third, 2 * half).expect("there is room");
        crowd.open(one, 3 * half).expect("it has one less than its share");
        assert!(crowd.open(one, 3 * half + 1).is_err(), "it has its share");
        // Within the same period not all are looked up again.
        crowd.open.borrow_mut().remove(&1);
        assert!(crowd.open(one, 3 * half + 1).is_err());
        crowd.sweep();
        crowd.open(one, 3 * half + 1).expect("one has ended");
    }

    #[test]
    fn sources_are_forgotten_with_their_sessions() {
        let mut crowd = Crowd::default();
        for session in 1..=100_000u64 {
            let [_, _, c, d] = u32::try_from(session % 1_000).expect("small").to_be_bytes();
            let source = IpAddr::from([10, 0, c, d]);
            crowd.open(source, session).expect("there is room");
            // Only the last few are open.
            crowd.open.borrow_mut().remove(&session.saturating_sub(10));
            assert!(crowd.sources.opened.len() <= 100, "{}", crowd.sources.opened.len());
        }
        crowd.open.borrow_mut().clear();
        crowd.sweep();
        let sources = &crowd.sources;
        assert!(sources.opened.is_empty() && sources.counts.is_empty(), "{sources:?}");
    }
}
