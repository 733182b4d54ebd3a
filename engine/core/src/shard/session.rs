//! The memory that makes retries safe.
//!
//! A session remembers, for every request that its client has not acknowledged, the answer or that
//! it still waits. Requests are found by number in a ring that is as long as the client's window,
//! so a lookup is one index and the ring stops growing once it fits the client.
//!
//! The id is drawn by the client, so that opening a session rides in front of the first request and
//! costs no round trip. `born` makes that safe: an id older than its time to live may have been open
//! and forgotten, so it is refused rather than opened anew, and no retry is executed twice. For the
//! same reason a closed session is remembered for a while: copies of its requests, left behind in a
//! connection that the client gave up, may still arrive.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use catena_protocol::limits::{SESSION_TTL_MS_DEFAULT, SESSION_TTL_MS_MAX, SESSION_WINDOW_MAX};
use catena_protocol::{Fault, Header, Status};
use serde::{Deserialize, Serialize};
use slab::Slab;

use super::Time;
use super::table::{Seed, Table};
use crate::config::{CLOSED_MS, SESSION_BYTES, SESSIONS_MAX};
use crate::objects::RestoreError;
use crate::objects::{StoredReply, WaiterId, check};
use crate::prefetch::prefetch;

/// All sessions of a shard.
pub(super) struct Sessions {
    index: Table<u64, SessionKey>,
    live: Slab<Session>,
    /// Whom the last request was from: as a rule the next one is, too.
    recent: Option<(u64, SessionKey)>,
    /// How many of them are closed.
    closed: usize,
    /// When to look whether a session expired: at its end as it was known when it was put here.
    expiries: BTreeSet<(Time, u64)>,
    /// Memory that all take, in bytes.
    bytes: u64,
}

/// Where a session is; good until the session is closed.
pub(super) type SessionKey = usize;

#[derive(Debug)]
struct Session {
    nonce: u64,
    ttl_ms: u32,
    touched: Time,
    /// Under which end it stands among the expiries.
    listed: Time,
    /// Every request up to this one is acknowledged.
    acked_upto: u64,
    /// A power of two long; request `n` is at `n % len`. What is acknowledged may still lie there
    /// and means nothing, unless it is counted in `parked` or `shared`.
    ring: Box<[RequestSlot]>,
    /// Takes no more requests.
    closed: bool,
    /// How many slots hold a request that waits.
    parked: u32,
    /// How many hold an answer that has memory of its own.
    shared: u32,
}

/// What is known of one request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct RequestSlot {
    number: u64,
    state: RequestState,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
enum RequestState {
    /// Nothing: never used, or acknowledged.
    #[default]
    Free,
    /// It waits.
    Parked(WaiterId),
    /// It is done.
    Answered(StoredReply),
}

/// What a snapshot says of a session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SessionSnapshot {
    id: u64,
    nonce: u64,
    ttl_ms: u32,
    touched: Time,
    acked_upto: u64,
    closed: bool,
    ring_slots: u32,
    /// What is not acknowledged, in the order of the numbers.
    slots: Vec<RequestSlot>,
}

/// What to do with a request.
#[derive(Debug)]
pub(super) enum Admission<'a> {
    /// It is new: execute it, and tell the session how it ended.
    New(SessionKey),
    /// It was done before: repeat the answer.
    Answered(&'a StoredReply),
    /// It waits: attach the connection.
    Parked(WaiterId),
}

/// A place in its session for a request that is about to take effect.
pub(super) struct ReservedSlot<'a> {
    touched: &'a mut Time,
    acked: &'a mut u64,
    acked_upto: u64,
    slot: &'a mut RequestSlot,
    number: u64,
}

/// Slots a ring begins with: enough for a client that waits for its answers.
const RING_SLOTS_MIN: usize = 4;

const _: () = assert!(size_of::<RequestSlot>() <= 32, "a ring is two cache lines");

impl Sessions {
    pub(super) fn new(seed: Seed) -> Sessions {
        Sessions {
            index: Table::new(seed),
            live: Slab::new(),
            recent: None,
            closed: 0,
            expiries: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// How many are open.
    pub(super) fn open_count(&self) -> usize {
        self.live.len() - self.closed
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens a session if there is `room` for it, or finds it open.
    pub(super) fn open(
        &mut self,
        id: u64,
        nonce: u64,
        born: Time,
        ttl_ms: u32,
        now: Time,
        room: Result<(), Fault>,
    ) -> Result<(), Fault> {
        let ttl_ms = match ttl_ms {
            0 => SESSION_TTL_MS_DEFAULT,
            asked => asked.min(SESSION_TTL_MS_MAX),
        };
        if let Some(key) = self.index.get(&id) {
            let session = &mut self.live[*key];
            if session.closed {
                return Err(Fault::new(Status::SessionUnknown));
            }
            if session.nonce != nonce {
                return Err(Fault::new(Status::SessionConflict));
            }
            session.touched = now;
            return Ok(());
        }
        // 0 means no session, and a clock ahead of ours is another node's or a liar's.
        if id == 0 || born > now || born.plus_ms(ttl_ms) <= now {
            return Err(Fault::new(Status::SessionUnknown));
        }
        if self.live.len() >= SESSIONS_MAX {
            let (limit, got) = (SESSIONS_MAX as u64, SESSIONS_MAX as u64 + 1);
            return Err(Fault::expected(Status::TooManySessions, limit, got));
        }
        room?;
        let session = Session::new(nonce, ttl_ms, now);
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

    /// Begins to bring the slot of a request into the cache. Its session mostly is there: others of the
    /// same connection came before.
    #[inline]
    pub(super) fn prefetch(&mut self, header: &Header) {
        if let Some(key) = self.find(header.session) {
            let session = &self.live[key];
            prefetch(&session.ring[session.index(header.number)], 1);
        }
    }

    /// Decides about an update; changes nothing yet. Without room for growth, a client with more
    /// requests in flight than ever before is refused.
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
        if session.closed {
            return Err(Fault::new(Status::SessionUnknown));
        }
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

    /// [`Sessions::admit`], [`Sessions::accept`] and [`Sessions::settle_word`] in one for the common
    /// case: a new request of a session that knows of numbers only, with room in its ring. `None` says
    /// that this is another case; nothing has changed.
    #[inline(always)]
    pub(super) fn reserve(&mut self, header: &Header) -> Option<ReservedSlot<'_>> {
        let key = self.find(header.session)?;
        let session = self.live.get_mut(key)?;
        let number = header.number;
        let acked_upto = header.acked_upto().max(session.acked_upto);
        let is_common = !session.closed
            && session.parked + session.shared == 0
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

    /// Takes note of an admitted update that took effect: forgets the answers that its client has
    /// acknowledged, and makes room for one more.
    pub(super) fn accept(&mut self, key: SessionKey, header: &Header, now: Time) {
        let session = &mut self.live[key];
        session.touched = now;
        let acked_upto = header.acked_upto().max(session.acked_upto);
        self.bytes -= session.acknowledge(acked_upto);
        let window = usize::try_from(header.number - acked_upto).expect("at most the window");
        if window > session.ring.len() {
            self.bytes += session.grow(window);
        }
    }

    /// Keeps the answer to a request that was just admitted.
    pub(super) fn settle(&mut self, key: SessionKey, number: u64, answer: StoredReply) {
        self.bytes += answer.bytes();
        self.live[key].put(RequestSlot { number, state: RequestState::Answered(answer) });
    }

    /// The same for an [`StoredReply::Word`], the common case: written where it stays.
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

    /// Keeps the answer to a request that waited, unless its session is gone.
    pub(super) fn settle_parked(&mut self, id: u64, number: u64, answer: StoredReply) {
        if let Some(key) = self.index.get(&id) {
            self.settle(*key, number, answer);
        }
    }

    /// Notes that a request that was just admitted waits.
    pub(super) fn park(&mut self, key: SessionKey, number: u64, waiter: WaiterId) {
        self.live[key].put(RequestSlot { number, state: RequestState::Parked(waiter) });
    }

    /// The requests of a session that wait.
    pub(super) fn parked(&self, id: u64) -> Vec<WaiterId> {
        self.index.get(&id).into_iter().flat_map(|key| self.live[*key].parked()).collect()
    }

    /// How many requests wait, over all sessions.
    pub(super) fn parked_count(&self) -> usize {
        self.live.iter().flat_map(|(_, session)| session.parked()).count()
    }

    /// All that an answer may depend on; for debugging.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn memory(&self) -> impl core::fmt::Debug {
        let live: Vec<_> = self.live.iter().collect();
        (&self.index, live, &self.expiries, self.closed, self.bytes)
    }

    /// All that there is to know of each session, in the order of their ids.
    pub(super) fn kept(&self) -> impl ExactSizeIterator<Item = SessionSnapshot> {
        let mut sessions: Vec<(u64, SessionKey)> =
            self.index.iter().map(|(id, key)| (id, *key)).collect();
        sessions.sort_unstable();
        sessions.into_iter().map(|(id, key)| self.live[key].kept(id))
    }

    /// Puts a session back. Answers the requests of it that wait, by number.
    pub(super) fn put_back(
        &mut self,
        kept: SessionSnapshot,
        now: Time,
    ) -> Result<Vec<(u64, WaiterId)>, RestoreError> {
        let id = kept.id;
        check(id != 0 && self.index.get(&id).is_none(), "a session is there twice, or is none")?;
        check(self.live.len() < SESSIONS_MAX, "there are too many sessions")?;
        check(kept.touched <= now, "a session was used later than now")?;
        let session = Session::restored(kept)?;
        let numbers = session.ring.iter().filter_map(|slot| match slot.state {
            RequestState::Parked(waiter) => Some((slot.number, waiter)),
            RequestState::Free | RequestState::Answered(_) => None,
        });
        let parked = numbers.collect();
        self.expiries.insert((session.listed, id));
        self.bytes += session.bytes();
        self.closed += usize::from(session.closed);
        self.index.insert(id, self.live.insert(session));
        Ok(parked)
    }

    /// Whether a session is there and takes requests.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.index.get(&id).is_some_and(|key| !self.live[*key].closed)
    }

    /// What is counted along the way is what there is; for debugging.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.index.len(), self.live.len(), "I5: every session is in the index");
        assert_eq!(self.expiries.len(), self.live.len(), "I5: every session has one end");
        let bytes: u64 = self.live.iter().map(|(_, session)| session.bytes()).sum();
        assert_eq!(bytes, self.bytes, "I5: memory is accounted for");
        let closed = self.live.iter().filter(|(_, session)| session.closed).count();
        assert_eq!(closed, self.closed, "I5: closed sessions are counted");
        if let Some((id, key)) = &self.recent {
            assert_eq!(self.index.get(id), Some(key), "the last one is where it was");
        }
    }

    /// Closes a session, if there is one: forgets its answers now, and itself a while after it was
    /// closed or expired.
    pub(super) fn close(&mut self, id: u64, now: Time) {
        let Some(key) = self.index.get(&id).copied() else { return };
        let session = &mut self.live[key];
        self.bytes -= session.acknowledge(u64::MAX) + session.shrink();
        self.expiries.remove(&(session.listed, id));
        if session.end() <= now {
            self.closed -= usize::from(session.closed);
            self.live.remove(key);
            self.index.remove(&id);
            self.recent = None;
            self.bytes -= SESSION_BYTES;
            return;
        }
        if !session.closed {
            self.closed += 1;
            session.closed = true;
            session.touched = now;
            session.ttl_ms = session.ttl_ms.min(CLOSED_MS);
        }
        session.listed = session.end();
        self.expiries.insert((session.listed, id));
    }

    /// When to look for expired sessions.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.expiries.first().map(|(due, _)| *due)
    }

    /// A session whose time is up, and when it was. Sessions that were used since they were put among the expiries
    /// are put back with their new end.
    pub(super) fn first_due(&mut self, now: Time) -> Option<(Time, u64)> {
        while let Some((due, id)) = self.expiries.first().copied() {
            if due > now {
                return None;
            }
            let session =
                &mut self.live[*self.index.get(&id).expect("I5: every session is in the index")];
            let end = session.end();
            if end == session.listed {
                return Some((end, id));
            }
            // Also if it is over: another one may have ended before.
            session.listed = end;
            self.expiries.pop_first();
            self.expiries.insert((end, id));
        }
        None
    }
}

/// Without `recent`: that is where to look first, and no part of what there is.
impl core::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Sessions { index, live, recent: _, closed, expiries, bytes } = self;
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
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Session {
    fn new(nonce: u64, ttl_ms: u32, now: Time) -> Session {
        Session {
            nonce,
            ttl_ms,
            touched: now,
            listed: now.plus_ms(ttl_ms),
            acked_upto: 0,
            ring: ring(RING_SLOTS_MIN),
            closed: false,
            parked: 0,
            shared: 0,
        }
    }

    fn kept(&self, id: u64) -> SessionSnapshot {
        let Session { nonce, ttl_ms, touched, acked_upto, ref ring, closed, .. } = *self;
        let open = ring.iter().filter(|slot| slot.number > acked_upto);
        let mut slots: Vec<RequestSlot> = open.cloned().collect();
        slots.sort_unstable_by_key(|slot| slot.number);
        let ring_slots = u32::try_from(ring.len()).expect("a ring is as long as a window");
        SessionSnapshot { id, nonce, ttl_ms, touched, acked_upto, closed, ring_slots, slots }
    }

    fn restored(kept: SessionSnapshot) -> Result<Session, RestoreError> {
        let SessionSnapshot {
            nonce, ttl_ms, touched, acked_upto, closed, ring_slots, slots, ..
        } = kept;
        check((1..=SESSION_TTL_MS_MAX).contains(&ttl_ms), "a session lives too long")?;
        check(!closed || slots.is_empty(), "a session is closed and has answers")?;
        let len = ring_slots as usize;
        let is_ring = (RING_SLOTS_MIN..=usize::from(SESSION_WINDOW_MAX)).contains(&len);
        check(is_ring && len.is_power_of_two(), "a ring has no such length")?;
        let mut session =
            Session { ring: ring(len), acked_upto, closed, ..Session::new(nonce, ttl_ms, touched) };
        let mut last = acked_upto;
        for slot in slots {
            let is_open = slot.number > last && slot.number - acked_upto <= len as u64;
            check(is_open, "a request is outside its window")?;
            check(!matches!(slot.state, RequestState::Free), "a request has come to nothing")?;
            last = slot.number;
            session.put(slot);
        }
        Ok(session)
    }

    /// When the session expires if nothing more is heard of it.
    fn end(&self) -> Time {
        self.touched.plus_ms(self.ttl_ms)
    }

    /// Memory it takes, counted slot by slot.
    fn bytes(&self) -> u64 {
        let answers: u64 = self.ring.iter().map(|slot| slot.state.bytes()).sum();
        SESSION_BYTES + ring_bytes(self.ring.len()) + answers
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

    /// Puts what is known of a request in its place.
    fn put(&mut self, slot: RequestSlot) {
        let (parked, shared) = (slot.state.is_parked(), slot.state.has_memory());
        let before = core::mem::replace(self.slot(slot.number), slot);
        self.parked = self.parked + u32::from(parked) - u32::from(before.state.is_parked());
        self.shared = self.shared + u32::from(shared) - u32::from(before.state.has_memory());
    }

    fn parked(&self) -> impl Iterator<Item = WaiterId> {
        self.ring.iter().filter_map(|slot| match slot.state {
            RequestState::Parked(waiter) => Some(waiter),
            RequestState::Free | RequestState::Answered(_) => None,
        })
    }

    /// The numbers above the acknowledged ones and up to `number` that can be in the ring.
    fn open_upto(&self, number: u64) -> impl Iterator<Item = u64> + use<> {
        let open = number.saturating_sub(self.acked_upto).min(self.ring.len() as u64);
        (0..open).map(move |back| number - back)
    }

    /// Whether a request up to `number` still waits: nobody can have its reply.
    #[inline(always)]
    fn waits_below(&self, number: u64) -> bool {
        self.parked > 0
            && self.open_upto(number).any(|open| {
                // A number that is not there shares its slot with one that may be.
                let slot = &self.ring[self.index(open)];
                slot.number <= number && slot.state.is_parked()
            })
    }

    /// Forgets the answers up to a number; gives back the bytes they took.
    #[inline(always)]
    fn acknowledge(&mut self, acked_upto: u64) -> u64 {
        // Those without memory are simply left: their numbers say that they mean nothing.
        let freed = if self.shared > 0 { self.forget(acked_upto) } else { 0 };
        self.acked_upto = self.acked_upto.max(acked_upto);
        freed
    }

    fn forget(&mut self, acked_upto: u64) -> u64 {
        let mut freed = 0;
        for number in self.open_upto(acked_upto) {
            let slot = self.slot(number);
            if slot.number <= acked_upto && slot.state.has_memory() {
                freed += slot.state.bytes();
                slot.state = RequestState::Free;
                self.shared -= 1;
            }
        }
        freed
    }

    /// Gives the memory of the ring back; answers how much that was, in bytes.
    fn shrink(&mut self) -> u64 {
        let bytes = ring_bytes(self.ring.len());
        self.ring = ring(RING_SLOTS_MIN);
        bytes
    }

    /// Grows the ring so that `window` requests fit; gives back the bytes it took.
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
    /// Takes note that the request took effect, and keeps its answer.
    #[inline(always)]
    pub(super) fn fill(self, word: u64, now: Time) {
        *self.touched = now;
        *self.acked = self.acked_upto;
        self.slot.put_word(self.number, word);
    }
}

impl RequestSlot {
    /// Keeps an answer where nothing lies that has memory of its own.
    #[inline(always)]
    fn put_word(&mut self, number: u64, word: u64) {
        self.number = number;
        let before =
            core::mem::replace(&mut self.state, RequestState::Answered(StoredReply::Word(word)));
        debug_assert!(!before.has_memory(), "nothing that has memory was counted");
        // There is nothing to drop, and no need to look.
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

    /// Heap that a kept answer takes, in bytes.
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

/// Heap that a ring takes once it has outgrown its session, in bytes.
fn ring_bytes(slots: usize) -> u64 {
    if slots <= RING_SLOTS_MIN { 0 } else { (slots * size_of::<RequestSlot>()) as u64 }
}
