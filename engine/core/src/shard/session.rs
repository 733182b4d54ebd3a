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

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use catena_protocol::limits::{SESSION_TTL_MS_DEFAULT, SESSION_TTL_MS_MAX, SESSION_WINDOW_MAX};
use catena_protocol::{Fault, Header, Status};
use serde::{Deserialize, Serialize};
use slab::Slab;

use super::Time;
use super::closed_sessions::{ClosedSession, ClosedSessions};
use super::shared_replies::SharedReplies;
use super::table::{Seed, Table};
use crate::config::{BORN_AHEAD_MS_MAX, SESSION_BYTES, SESSIONS_MAX};
use crate::objects::RestoreError;
use crate::objects::{ITEMS_BYTES, StoredReply, WaiterId, check};
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

/// A walk over the sessions that were open when it began.
#[derive(Debug, Default)]
struct SessionWalk {
    /// Sessions below this key have been passed.
    from: SessionKey,
    /// Sessions that have changed before they were passed, as they were.
    kept: Vec<SessionSnapshot>,
    /// The session whose requests are being passed, and how many were.
    open: Option<(SessionSnapshot, usize)>,
}

/// The index of a session; valid until the session is removed.
pub(super) type SessionKey = usize;

#[derive(Debug)]
struct Session {
    id: u64,
    nonce: u64,
    /// By the clock of a node, which may be ahead.
    born: Time,
    ttl_ms: u32,
    touched: Time,
    /// Its entry among the expiries.
    listed: Time,
    /// Every request up to this number is acknowledged.
    acked_upto: u64,
    /// Its length is a power of two; request `n` is at `n % len`. Acknowledged requests may remain
    /// in it and mean nothing, unless they are counted in `parked` or `shared`.
    ring: Box<[RequestSlot]>,
    /// The number of slots with a waiting request.
    parked: u32,
    /// The number of slots with a reply on the heap.
    shared: u32,
    /// The last walk that has it, or that it was opened in.
    walked: u32,
}

/// One request in the ring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct RequestSlot {
    number: u64,
    state: RequestState,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
enum RequestState {
    /// Never used, or acknowledged.
    #[default]
    Free,
    /// The request waits.
    Parked(WaiterId),
    /// The request is done.
    Answered(StoredReply),
}

/// A session in a snapshot, without its requests.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SessionRow {
    id: u64,
    nonce: u64,
    born: Time,
    ttl_ms: u32,
    touched: Time,
    acked_upto: u64,
    ring_slots: u32,
}

/// A session as it was. It shares the large replies with the session.
#[derive(Debug)]
struct SessionSnapshot {
    row: SessionRow,
    /// The requests that are not acknowledged, in the order of their numbers.
    slots: Vec<RequestSlot>,
}

/// A part of the sessions in a snapshot.
pub(super) enum SessionPart<'a> {
    Session(SessionRow),
    /// Requests of the session before, with the replies that it keeps.
    Requests(&'a [RequestSlot]),
}

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

/// The slot for a request that is about to take effect.
pub(super) struct ReservedSlot<'a> {
    touched: &'a mut Time,
    acked: &'a mut u64,
    acked_upto: u64,
    slot: &'a mut RequestSlot,
    number: u64,
}

/// The initial length of a ring: enough for a client that waits for each reply.
const RING_SLOTS_MIN: usize = 4;

const _: () = assert!(size_of::<RequestSlot>() <= 32, "a ring is two cache lines");

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

    /// Passes all sessions to `put`, in the order of their ids.
    pub(super) fn all(&self, mut put: impl FnMut(SessionPart<'_>)) {
        let mut sessions: Vec<&Session> = self.live.iter().map(|(_, session)| session).collect();
        sessions.sort_unstable_by_key(|session| session.id);
        for session in sessions {
            let snapshot = session.snapshot();
            put(SessionPart::Session(snapshot.row));
            let mut passed = 0;
            while passed < snapshot.slots.len() {
                passed += snapshot.pass(passed, &mut put);
            }
        }
    }

    /// Begins a walk over the open sessions, which sees them as they are now.
    pub(super) fn begin_walk(&mut self) {
        self.walks = self.walks.wrapping_add(1);
        self.walk = Some(SessionWalk::default());
        self.closed.begin_walk();
    }

    /// Passes the next parts of the walk to `put`. Returns whether it has ended.
    pub(super) fn continue_walk(
        &mut self,
        count: usize,
        mut put: impl FnMut(SessionPart<'_>),
    ) -> bool {
        let Some(mut walk) = self.walk.take() else { return true };
        for _ in 0..count {
            if let Some((snapshot, passed)) = walk.open.take() {
                let passed = passed + snapshot.pass(passed, &mut put);
                if passed < snapshot.slots.len() {
                    walk.open = Some((snapshot, passed));
                }
                continue;
            }
            let next = if walk.from < self.live.capacity() {
                let session = self.live.get_mut(walk.from);
                walk.from += 1;
                let session = session.filter(|session| session.walked != self.walks);
                session.map(|session| {
                    session.walked = self.walks;
                    session.snapshot()
                })
            } else if let Some(kept) = walk.kept.pop() {
                Some(kept)
            } else {
                return true;
            };
            if let Some(snapshot) = next {
                put(SessionPart::Session(snapshot.row));
                walk.open = (!snapshot.slots.is_empty()).then_some((snapshot, 0));
            }
        }
        self.walk = Some(walk);
        false
    }

    /// Does the same for the closed sessions.
    pub(super) fn continue_closed_walk(
        &mut self,
        count: usize,
        put: impl FnMut(ClosedSession),
    ) -> bool {
        self.closed.continue_walk(count, put)
    }

    /// Ends the walk.
    pub(super) fn end_walk(&mut self) {
        self.walk = None;
        self.closed.end_walk();
    }

    /// Keeps a session for the walk as it is before it changes.
    #[inline]
    fn preserve(&mut self, key: SessionKey) {
        let session = &mut self.live[key];
        if session.walked != self.walks {
            session.walked = self.walks;
            if let Some(walk) = &mut self.walk {
                walk.kept.push(session.snapshot());
            }
        }
    }

    /// Restores a session; its requests follow.
    pub(super) fn put_back(&mut self, row: SessionRow, now: Time) -> Result<(), RestoreError> {
        let id = row.id;
        check(
            id != 0 && self.index.get(&id).is_none(),
            "a session is listed twice, or has the id 0",
        )?;
        check(self.live.len() < SESSIONS_MAX, "there are too many sessions")?;
        check(row.touched <= now, "a session was used after the time of the snapshot")?;
        check(
            row.born <= now.plus_ms(BORN_AHEAD_MS_MAX),
            "a session was born after the time of the snapshot",
        )?;
        let session = Session { walked: self.walks, ..Session::restored(row)? };
        self.expiries.insert((session.listed, id));
        self.bytes += session.own_bytes();
        let key = self.live.insert(session);
        self.index.insert(id, key);
        self.restoring = Some((key, row.acked_upto));
        Ok(())
    }

    /// Restores further requests of the last session. Returns the session, and those that wait, by
    /// number.
    pub(super) fn put_back_requests(
        &mut self,
        slots: Vec<RequestSlot>,
    ) -> Result<(u64, Vec<(u64, WaiterId)>), RestoreError> {
        let Some((key, mut last)) = self.restoring else {
            return Err(RestoreError::Contradiction("requests follow no session"));
        };
        let (session, mut parked) = (&mut self.live[key], Vec::new());
        for mut slot in slots {
            let window = slot.number.saturating_sub(session.acked_upto);
            let is_open = slot.number > last && window <= session.ring.len() as u64;
            check(is_open, "a request is outside the window of its session")?;
            match &mut slot.state {
                RequestState::Free => check(false, "a request neither waits nor has a reply")?,
                RequestState::Parked(waiter) => parked.push((slot.number, *waiter)),
                RequestState::Answered(reply) => {
                    self.shared.share(reply);
                    self.bytes += self.shared.keep(reply);
                }
            }
            last = slot.number;
            session.put(slot);
        }
        self.restoring = Some((key, last));
        Ok((session.id, parked))
    }

    /// Iterates over the closed sessions in the order in which they were closed.
    pub(super) fn closed(&self) -> impl ExactSizeIterator<Item = ClosedSession> {
        self.closed.iter()
    }

    /// Restores a closed session.
    pub(super) fn put_back_closed(&mut self, closed: ClosedSession) -> Result<(), RestoreError> {
        check(!self.is_open(closed.id), "a session is open and closed")?;
        self.closed.put_back(closed)
    }

    /// Ends the restoring of sessions.
    pub(super) fn end_restoring(&mut self) {
        self.restoring = None;
        self.shared.end_restoring();
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

impl SessionSnapshot {
    /// Passes requests from a position on to `put`, until their replies take [`ITEMS_BYTES`]. Returns
    /// their number.
    fn pass(&self, from: usize, put: &mut impl FnMut(SessionPart<'_>)) -> usize {
        let (mut bytes, mut count) = (0, 0);
        for slot in &self.slots[from..] {
            (bytes, count) = (bytes + 16 + slot.state.bytes(), count + 1);
            if bytes >= ITEMS_BYTES as u64 {
                break;
            }
        }
        put(SessionPart::Requests(&self.slots[from..from + count]));
        count
    }
}

impl Session {
    fn new(id: u64, nonce: u64, born: Time, ttl_ms: u32, now: Time) -> Session {
        Session {
            id,
            nonce,
            born,
            ttl_ms,
            touched: now,
            listed: now.max(born).plus_ms(ttl_ms),
            acked_upto: 0,
            ring: ring(RING_SLOTS_MIN),
            parked: 0,
            shared: 0,
            walked: 0,
        }
    }

    fn snapshot(&self) -> SessionSnapshot {
        let Session { id, nonce, born, ttl_ms, touched, acked_upto, ref ring, .. } = *self;
        let open = ring.iter().filter(|slot| slot.number > acked_upto);
        let mut slots: Vec<RequestSlot> = open.cloned().collect();
        slots.sort_unstable_by_key(|slot| slot.number);
        let ring_slots = u32::try_from(ring.len()).expect("a ring is as long as a window");
        let row = SessionRow { id, nonce, born, ttl_ms, touched, acked_upto, ring_slots };
        SessionSnapshot { row, slots }
    }

    fn restored(row: SessionRow) -> Result<Session, RestoreError> {
        let SessionRow { id, nonce, born, ttl_ms, touched, acked_upto, ring_slots } = row;
        check(
            (1..=SESSION_TTL_MS_MAX).contains(&ttl_ms),
            "the time to live of a session is too long",
        )?;
        let len = ring_slots as usize;
        let is_ring = (RING_SLOTS_MIN..=usize::from(SESSION_WINDOW_MAX)).contains(&len);
        check(is_ring && len.is_power_of_two(), "the ring of a session has a wrong length")?;
        let session = Session::new(id, nonce, born, ttl_ms, touched);
        Ok(Session { ring: ring(len), acked_upto, ..session })
    }

    /// Returns when the session expires unless it is used again.
    fn end(&self) -> Time {
        // Not before its id is too old to be opened again.
        self.touched.max(self.born).plus_ms(self.ttl_ms)
    }

    /// Returns the memory that the session takes without the replies.
    fn own_bytes(&self) -> u64 {
        SESSION_BYTES + ring_bytes(self.ring.len())
    }

    /// Iterates over the replies in the ring.
    fn replies(&self) -> impl Iterator<Item = &StoredReply> {
        self.ring.iter().filter_map(|slot| match &slot.state {
            RequestState::Answered(reply) => Some(reply),
            RequestState::Free | RequestState::Parked(_) => None,
        })
    }

    #[inline(always)]
    fn index(&self, number: u64) -> usize {
        let mask = self.ring.len() as u64 - 1;
        usize::try_from(number & mask).expect("below the ring's length")
    }

    #[inline(always)]
    fn slot(&mut self, number: u64) -> &mut RequestSlot {
        let index = self.index(number);
        &mut self.ring[index]
    }

    /// Writes a request into its slot.
    fn put(&mut self, slot: RequestSlot) {
        let (parked, shared) = (slot.state.is_parked(), slot.state.has_memory());
        let before = core::mem::replace(self.slot(slot.number), slot);
        self.parked = self.parked + u32::from(parked) - u32::from(before.state.is_parked());
        self.shared = self.shared + u32::from(shared) - u32::from(before.state.has_memory());
    }

    /// Empties the slot of a waiting request.
    fn forget(&mut self, number: u64) {
        let slot = self.slot(number);
        assert!(slot.number == number && slot.state.is_parked(), "only a wait is forgotten");
        *slot = RequestSlot::default();
        self.parked -= 1;
    }

    fn parked(&self) -> impl Iterator<Item = WaiterId> {
        self.ring.iter().filter_map(|slot| match slot.state {
            RequestState::Parked(waiter) => Some(waiter),
            RequestState::Free | RequestState::Answered(_) => None,
        })
    }

    /// Iterates over the numbers up to `number` that are not acknowledged and can be in the ring.
    fn open_upto(&self, number: u64) -> impl Iterator<Item = u64> + use<> {
        let open = number.saturating_sub(self.acked_upto).min(self.ring.len() as u64);
        (0..open).map(move |back| number - back)
    }

    /// Returns whether a request up to `number` still waits, so that its client cannot have a reply
    /// to acknowledge.
    #[inline(always)]
    fn waits_below(&self, number: u64) -> bool {
        self.parked > 0
            && self.open_upto(number).any(|open| {
                // The slot of a number may have another number.
                let slot = &self.ring[self.index(open)];
                slot.number <= number && slot.state.is_parked()
            })
    }

    /// Removes the replies up to a number. Returns the bytes they took.
    #[inline(always)]
    fn acknowledge(&mut self, acked_upto: u64, shared: &mut SharedReplies) -> u64 {
        // Inline replies stay: their numbers show that they are acknowledged.
        let freed = if self.shared > 0 { self.free_replies(acked_upto, shared) } else { 0 };
        self.acked_upto = self.acked_upto.max(acked_upto);
        freed
    }

    fn free_replies(&mut self, acked_upto: u64, shared: &mut SharedReplies) -> u64 {
        let mut freed = 0;
        for number in self.open_upto(acked_upto) {
            let slot = self.slot(number);
            if slot.number <= acked_upto && slot.state.has_memory() {
                if let RequestState::Answered(reply) = &slot.state {
                    freed += shared.drop(reply);
                }
                slot.state = RequestState::Free;
                self.shared -= 1;
            }
        }
        freed
    }

    /// Grows the ring so that `window` requests fit. Returns the bytes that it takes more.
    fn grow(&mut self, window: usize) -> u64 {
        let len_before = self.ring.len();
        let len = window.next_power_of_two();
        let before = core::mem::replace(&mut self.ring, ring(len));
        let acked_upto = self.acked_upto;
        for slot in before.into_iter().filter(|slot| slot.number > acked_upto) {
            let number = slot.number;
            *self.slot(number) = slot;
        }
        ring_bytes(len) - ring_bytes(len_before)
    }
}

impl ReservedSlot<'_> {
    /// Records that the request has taken effect, and stores its reply.
    #[inline(always)]
    pub(super) fn fill(self, word: u64, now: Time) {
        *self.touched = now;
        *self.acked = self.acked_upto;
        self.slot.put_word(self.number, word);
    }
}

impl RequestSlot {
    /// Stores a reply in a slot that has nothing on the heap.
    #[inline(always)]
    fn put_word(&mut self, number: u64, word: u64) {
        self.number = number;
        let before =
            core::mem::replace(&mut self.state, RequestState::Answered(StoredReply::Word(word)));
        debug_assert!(!before.has_memory(), "a slot with heap is counted");
        // Skips the check whether there is heap to free, because there is none.
        core::mem::forget(before);
    }
}

impl RequestState {
    fn is_parked(&self) -> bool {
        matches!(self, RequestState::Parked(_))
    }

    fn has_memory(&self) -> bool {
        self.bytes() > 0
    }

    /// Returns the heap that a stored reply takes, in bytes.
    fn bytes(&self) -> u64 {
        match self {
            RequestState::Answered(answer) => answer.bytes(),
            RequestState::Free | RequestState::Parked(_) => 0,
        }
    }
}

fn ring(slots: usize) -> Box<[RequestSlot]> {
    core::iter::repeat_n(RequestSlot::default(), slots).collect()
}

/// Returns the heap that a ring takes beyond the initial one, in bytes.
fn ring_bytes(slots: usize) -> u64 {
    if slots <= RING_SLOTS_MIN { 0 } else { (slots * size_of::<RequestSlot>()) as u64 }
}
