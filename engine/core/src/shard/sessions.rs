//! Sessions: they keep what makes updates take effect exactly once.
//!
//! A session keeps, for every request that its client has not acknowledged, the reply, or that the
//! request still waits. Requests are found by number in a ring that is as long as the client's
//! window, so a lookup is one index, and the ring stops growing once it fits the window.
//!
//! The client chooses the id at random, so that it can open a session in front of its first
//! request, without a round trip. `born` makes that safe: an id older than its time to live may
//! have been open before and removed since, so it is refused rather than opened again, and no retry
//! is executed twice. For the same reason a closed session is remembered for a while: copies of its
//! requests may still arrive on a connection that the client has abandoned.

mod session;
mod snapshot;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use catena_protocol::limits::{SESSION_TTL_MS_DEFAULT, SESSION_TTL_MS_MAX, SESSION_WINDOW_MAX};
use catena_protocol::{Fault, Header, Status};
use slab::Slab;

pub(super) use self::session::RequestSlot;
use self::session::{RequestState, ReservedSlot, Session};
pub(super) use self::snapshot::SessionPart;
use self::snapshot::SessionWalk;
use super::Time;
use super::closed_sessions::ClosedSessions;
use super::shared_replies::SharedReplies;
use super::table::{Seed, Table};
use crate::config::{SESSION_BYTES, SESSIONS_MAX};
use crate::objects::{StoredReply, WaiterId};
use crate::prefetch::prefetch;

/// All sessions of a shard.
pub(super) struct Sessions {
    index: Table<u64, SessionKey>,
    live: Slab<Session>,
    /// The session of the last request, because the next one is mostly of the same.
    recent: Option<(u64, SessionKey)>,
    closed: ClosedSessions,
    /// When to check whether a session has expired: at its end, or earlier if it was used since it
    /// was listed.
    expiries: BTreeSet<(Time, u64)>,
    shared: SharedReplies,
    /// Memory that all sessions take, in bytes.
    bytes: u64,
    /// The number of the last walk of a snapshot over the sessions.
    walks: u32,
    walk: Option<SessionWalk>,
    /// While sessions are restored: the last one, and the number of its last request.
    restoring: Option<(SessionKey, u64)>,
}

/// The index of a session; valid until the session is removed.
pub(super) type SessionKey = usize;

/// When a session is opened, and whether it may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) now: Time,
    /// How far a birth may be in the future, in milliseconds.
    pub(super) ahead_ms: u32,
    pub(super) room: Result<(), Fault>,
}

/// What to do with a request.
#[derive(Debug)]
pub(super) enum Admission<'a> {
    /// It is new: execute it, and store its reply in the session.
    New(SessionKey),
    /// It is done: send the stored reply.
    Answered(&'a StoredReply),
    /// It waits: attach the connection.
    Parked(WaiterId),
}

impl Sessions {
    pub(super) fn new(seed: Seed) -> Sessions {
        Sessions {
            index: Table::new(seed),
            live: Slab::new(),
            recent: None,
            closed: ClosedSessions::new(seed),
            expiries: BTreeSet::new(),
            shared: SharedReplies::default(),
            bytes: 0,
            walks: 0,
            walk: None,
            restoring: None,
        }
    }

    /// Returns the number of open sessions.
    pub(super) fn open_count(&self) -> usize {
        self.live.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.closed.bytes()
    }

    /// Opens a session, if there is `room` for it, or finds it open.
    pub(super) fn open(
        &mut self,
        id: u64,
        nonce: u64,
        born: Time,
        ttl_ms: u32,
        Opening { now, ahead_ms, room }: Opening,
    ) -> Result<(), Fault> {
        let ttl_ms = match ttl_ms {
            0 => SESSION_TTL_MS_DEFAULT,
            asked => asked.min(SESSION_TTL_MS_MAX),
        };
        if let Some(key) = self.index.get(&id).copied() {
            if self.live[key].nonce != nonce {
                return Err(Fault::new(Status::SessionConflict));
            }
            self.preserve(key);
            self.live[key].touched = now;
            return Ok(());
        }
        if self.closed.contains(id) {
            return Err(Fault::new(Status::SessionUnknown));
        }
        // 0 is no session, and a birth in the far future is forged.
        if id == 0 || born > now.plus_ms(ahead_ms) || born.plus_ms(ttl_ms) <= now {
            return Err(Fault::new(Status::SessionUnknown));
        }
        if self.live.len() >= SESSIONS_MAX {
            let (limit, got) = (SESSIONS_MAX as u64, SESSIONS_MAX as u64 + 1);
            return Err(Fault::expected(Status::TooManySessions, limit, got));
        }
        room?;
        let session = Session { walked: self.walks, ..Session::new(id, nonce, born, ttl_ms, now) };
        self.expiries.insert((session.listed, id));
        let key = self.live.insert(session);
        self.index.insert(id, key);
        self.bytes += SESSION_BYTES;
        Ok(())
    }

    #[inline(always)]
    fn find(&mut self, id: u64) -> Option<SessionKey> {
        match self.recent {
            Some((recent, key)) if recent == id => Some(key),
            _ => {
                let key = *self.index.get(&id)?;
                self.recent = Some((id, key));
                Some(key)
            }
        }
    }

    /// Prefetches the slot of a request. Its session is mostly in the cache, from earlier requests
    /// of the same connection.
    #[inline]
    pub(super) fn prefetch(&mut self, header: &Header) {
        if let Some(key) = self.find(header.session) {
            let session = &self.live[key];
            prefetch(&session.ring[session.index(header.number)], 1);
        }
    }

    /// Decides whether an update is new; changes nothing yet. If the ring has to grow for it, it is
    /// refused without `room`.
    pub(super) fn admit(
        &mut self,
        header: &Header,
        room: impl FnOnce(u64) -> Result<(), Fault>,
    ) -> Result<Admission<'_>, Fault> {
        let number = header.number;
        let Some(key) = self.find(header.session) else {
            return Err(Fault::new(Status::SessionUnknown));
        };
        let session = &self.live[key];
        let acked_upto = header.acked_upto().max(session.acked_upto);
        if number <= acked_upto {
            let lowest = acked_upto.saturating_add(1);
            return Err(Fault::expected(Status::Stale, lowest, number));
        }
        let window = number - acked_upto;
        if window > u64::from(SESSION_WINDOW_MAX) {
            return Err(Fault::expected(Status::WindowExceeded, SESSION_WINDOW_MAX.into(), window));
        }
        if session.waits_below(acked_upto) {
            return Err(Fault::expected(Status::BadArgument, session.acked_upto, acked_upto));
        }
        if window > session.ring.len() as u64 {
            room(self.bytes)?;
        }
        let slot = &session.ring[session.index(number)];
        if slot.number != number {
            return Ok(Admission::New(key));
        }
        Ok(match &slot.state {
            RequestState::Free => Admission::New(key),
            RequestState::Parked(waiter) => Admission::Parked(*waiter),
            RequestState::Answered(answer) => Admission::Answered(answer),
        })
    }

    /// Does [`Sessions::admit`], [`Sessions::accept`] and [`Sessions::settle_word`] in one step for
    /// the common case: a new request that fits the ring, of a session whose replies are all
    /// numbers. `None` if it is another case; then nothing has changed.
    #[inline(always)]
    pub(super) fn reserve(&mut self, header: &Header) -> Option<ReservedSlot<'_>> {
        let key = self.find(header.session)?;
        let session = self.live.get_mut(key)?;
        let number = header.number;
        let acked_upto = header.acked_upto().max(session.acked_upto);
        let is_common = session.parked + session.shared == 0
            && session.walked == self.walks
            && number > acked_upto
            && number - acked_upto <= session.ring.len() as u64;
        let Session { touched, acked_upto: acked, ring, .. } = session;
        let index = usize::try_from(number & (ring.len() as u64 - 1)).ok()?;
        let slot = ring.get_mut(index)?;
        (is_common && slot.number != number).then_some(ReservedSlot {
            touched,
            acked,
            acked_upto,
            slot,
            number,
        })
    }

    /// Records that an admitted update has taken effect: removes the replies that its client has
    /// acknowledged, and makes room for one more.
    pub(super) fn accept(&mut self, key: SessionKey, header: &Header, now: Time) {
        self.preserve(key);
        let session = &mut self.live[key];
        session.touched = now;
        let acked_upto = header.acked_upto().max(session.acked_upto);
        self.bytes -= session.acknowledge(acked_upto, &mut self.shared);
        let window = usize::try_from(header.number - acked_upto).expect("at most the window");
        if window > session.ring.len() {
            self.bytes += session.grow(window);
        }
    }

    /// Returns whether the reply to a request is kept.
    pub(super) fn is_answered(&self, header: &Header) -> bool {
        let Some(key) = self.index.get(&header.session) else { return false };
        let session = &self.live[*key];
        let slot = &session.ring[session.index(header.number)];
        let is_kept = matches!(slot.state, RequestState::Answered(_));
        slot.number == header.number && header.number > session.acked_upto && is_kept
    }

    /// Returns up to which number a request acknowledges replies that are kept, if it may.
    pub(super) fn acknowledged(&self, header: &Header) -> Option<u64> {
        let session = &self.live[*self.index.get(&header.session)?];
        let upto = header.acked_upto();
        let is_news = upto > session.acked_upto && upto < header.number;
        (is_news && session.shared > 0 && !session.waits_below(upto)).then_some(upto)
    }

    /// Removes the replies of a session up to a number. Returns whether anything has changed.
    pub(super) fn acknowledge(&mut self, id: u64, upto: u64) -> bool {
        let Some(key) = self.index.get(&id).copied() else { return false };
        let session = &self.live[key];
        if upto <= session.acked_upto || session.waits_below(upto) {
            return false;
        }
        self.preserve(key);
        self.bytes -= self.live[key].acknowledge(upto, &mut self.shared);
        true
    }

    /// Stores the reply to an accepted request.
    pub(super) fn settle(&mut self, key: SessionKey, number: u64, answer: StoredReply) {
        self.bytes += self.shared.keep(&answer);
        self.live[key].put(RequestSlot { number, state: RequestState::Answered(answer) });
    }

    /// Stores a [`StoredReply::Word`], the common case, in place.
    #[inline(always)]
    pub(super) fn settle_word(&mut self, key: SessionKey, number: u64, word: u64) {
        let session = &mut self.live[key];
        if session.parked + session.shared > 0 {
            return session.put(RequestSlot {
                number,
                state: RequestState::Answered(StoredReply::Word(word)),
            });
        }
        session.slot(number).put_word(number, word);
    }

    /// Stores the reply to a request that waited, unless its session is gone.
    pub(super) fn settle_parked(&mut self, id: u64, number: u64, answer: StoredReply) {
        if let Some(key) = self.index.get(&id).copied() {
            self.preserve(key);
            self.settle(key, number, answer);
        }
    }

    /// Records that an accepted request waits.
    pub(super) fn park(&mut self, key: SessionKey, number: u64, waiter: WaiterId) {
        self.live[key].put(RequestSlot { number, state: RequestState::Parked(waiter) });
    }

    /// Forgets a request that waited, so that a retry is a new request.
    pub(super) fn forget(&mut self, id: u64, number: u64) {
        if let Some(key) = self.index.get(&id).copied() {
            self.preserve(key);
            self.live[key].forget(number);
        }
    }

    /// Returns the waiting requests of a session.
    pub(super) fn parked(&self, id: u64) -> Vec<WaiterId> {
        self.index.get(&id).into_iter().flat_map(|key| self.live[*key].parked()).collect()
    }

    /// Returns the number of waiting requests of all sessions.
    pub(super) fn parked_count(&self) -> usize {
        self.live.iter().flat_map(|(_, session)| session.parked()).count()
    }

    /// Returns everything that a reply may depend on; for debugging.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn memory(&self) -> impl core::fmt::Debug {
        let live: Vec<_> = self.live.iter().collect();
        (&self.index, live, &self.expiries, &self.closed, self.bytes)
    }

    /// Keeps a session for the walk as it is before it changes.
    #[inline]
    fn preserve(&mut self, key: SessionKey) {
        let session = &mut self.live[key];
        if session.walked != self.walks {
            session.walked = self.walks;
            if let Some(walk) = &mut self.walk {
                walk.keep(session.snapshot());
            }
        }
    }

    /// Returns whether a session is open.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.index.get(&id).is_some()
    }

    /// Checks that counts and indices match the sessions; for debugging.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.index.len(), self.live.len(), "every session is in the index");
        assert_eq!(self.expiries.len(), self.live.len(), "every session has one expiry");
        let mut shared = SharedReplies::default();
        let bytes_of = |session: &Session| {
            session.own_bytes() + session.replies().map(|reply| shared.keep(reply)).sum::<u64>()
        };
        let bytes: u64 = self.live.iter().map(|(_, session)| session).map(bytes_of).sum();
        assert_eq!(bytes, self.bytes, "shard invariant 5: memory is accounted for");
        self.closed.check_invariants();
        if let Some((id, key)) = &self.recent {
            assert_eq!(self.index.get(id), Some(key), "the last session has not moved");
        }
    }

    /// Removes a session, if it exists, and remembers its id for a while. One that has expired need
    /// not be remembered: it is too old to be opened.
    pub(super) fn close(&mut self, id: u64, now: Time) {
        let Some(key) = self.index.remove(&id) else { return };
        self.preserve(key);
        let session = self.live.remove(key);
        self.recent = None;
        self.bytes -= session.own_bytes();
        self.bytes -= session.replies().map(|reply| self.shared.drop(reply)).sum::<u64>();
        self.expiries.remove(&(session.listed, id));
        if session.end() > now {
            self.closed.insert(id, now);
        }
    }

    /// Forgets closed sessions whose time has passed.
    pub(super) fn forget_closed(&mut self, now: Time) {
        self.closed.forget_due(now);
    }

    /// Returns when to forget closed sessions.
    pub(super) fn closed_due(&self) -> Option<Time> {
        self.closed.next_due()
    }

    /// Returns when to check for expired sessions, or to forget closed ones.
    pub(super) fn next_due(&self) -> Option<Time> {
        let expiry = self.expiries.first().map(|(due, _)| *due);
        [expiry, self.closed_due()].into_iter().flatten().min()
    }

    /// Returns the session that has expired first by `now`, and when. Sessions that were used since
    /// they were listed are listed again with their new end.
    pub(super) fn first_due(&mut self, now: Time) -> Option<(Time, u64)> {
        while let Some((due, id)) = self.expiries.first().copied() {
            if due > now {
                return None;
            }
            let session =
                &mut self.live[*self.index.get(&id).expect("every session is in the index")];
            let end = session.end();
            if end == session.listed {
                return Some((end, id));
            }
            // Also if it has passed: another session may have expired before.
            session.listed = end;
            self.expiries.pop_first();
            self.expiries.insert((end, id));
        }
        None
    }
}

/// Without what is not a part of the state: `recent`, which is a cache, and walks.
impl core::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Sessions { index, live, closed, expiries, bytes, .. } = self;
        f.debug_struct("Sessions")
            .field("index", index)
            .field("live", live)
            .field("closed", closed)
            .field("expiries", expiries)
            .field("bytes", bytes)
            .finish_non_exhaustive()
    }
}
