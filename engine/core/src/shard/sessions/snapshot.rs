//! Sessions in a snapshot: how they are written in short steps, and restored.

use alloc::vec::Vec;

use catena_protocol::limits::{SESSION_TTL_MS_MAX, SESSION_WINDOW_MAX};
use serde::{Deserialize, Serialize};

use super::session::{RING_SLOTS_MIN, RequestSlot, RequestState, Session, ring};
use super::{SessionKey, Sessions};
use crate::config::{BORN_AHEAD_MS_MAX, SESSIONS_MAX};
use crate::objects::{ITEMS_BYTES, RestoreError, WaiterId, check};
use crate::shard::Time;
use crate::shard::closed_sessions::ClosedSession;

/// A walk over the sessions that were open when it began.
#[derive(Debug, Default)]
pub(super) struct SessionWalk {
    /// Sessions below this key have been passed.
    from: SessionKey,
    /// Sessions that have changed before they were passed, as they were, and the bytes that they take.
    kept: Vec<SessionSnapshot>,
    kept_bytes: usize,
    /// The session whose requests are being passed, and how many were.
    open: Option<(SessionSnapshot, usize)>,
}

/// A session in a snapshot, without its requests.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::shard) struct SessionRow {
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
pub(super) struct SessionSnapshot {
    row: SessionRow,
    /// The requests that are not acknowledged, in the order of their numbers.
    slots: Vec<RequestSlot>,
}

/// A part of the sessions in a snapshot.
pub(in crate::shard) enum SessionPart<'a> {
    Session(SessionRow),
    /// Requests of the session before, with the replies that it keeps.
    Requests(&'a [RequestSlot]),
}

impl Sessions {
    /// Passes all sessions to `put`, in the order of their ids.
    pub(in crate::shard) fn all(&self, mut put: impl FnMut(SessionPart<'_>)) {
        let mut sessions: Vec<&Session> = self.live.iter().map(|(_, session)| session).collect();
        sessions.sort_unstable_by_key(|session| session.id);
        for session in sessions {
            let snapshot = session.snapshot();
            put(SessionPart::Session(snapshot.row));
            let mut rest = &snapshot.slots[..];
            while !rest.is_empty() {
                let (part, behind) = rest.split_at(part_len(rest));
                put(SessionPart::Requests(part));
                rest = behind;
            }
        }
    }

    /// Begins a walk over the open sessions, which sees them as they are now.
    pub(in crate::shard) fn begin_walk(&mut self) {
        self.walks = self.walks.wrapping_add(1);
        self.walk = Some(SessionWalk::default());
        self.closed.begin_walk();
    }

    /// Passes the next parts of the walk to `put`, at most `count`, or fewer if `put` returns that they
    /// are enough. Returns whether it has ended.
    pub(in crate::shard) fn continue_walk(
        &mut self,
        count: usize,
        mut put: impl FnMut(SessionPart<'_>) -> bool,
    ) -> bool {
        let Some(mut walk) = self.walk.take() else { return true };
        for _ in 0..count {
            let goes_on = if let Some((snapshot, passed)) = walk.open.take() {
                let rest = &snapshot.slots[passed..];
                let part = &rest[..part_len(rest)];
                let goes_on = put(SessionPart::Requests(part));
                let passed = passed + part.len();
                walk.open = (passed < snapshot.slots.len()).then_some((snapshot, passed));
                goes_on
            } else if walk.from < self.live.capacity() {
                let session = self.live.get_mut(walk.from);
                walk.from += 1;
                let session = session.filter(|session| session.walked != self.walks);
                session.is_none_or(|session| {
                    session.walked = self.walks;
                    walk.begin(session.snapshot(), &mut put)
                })
            } else if let Some(kept) = walk.kept.pop() {
                walk.kept_bytes -= kept.bytes();
                walk.begin(kept, &mut put)
            } else {
                return true;
            };
            if !goes_on {
                break;
            }
        }
        self.walk = Some(walk);
        false
    }

    /// Does the same for the closed sessions.
    pub(in crate::shard) fn continue_closed_walk(
        &mut self,
        count: usize,
        put: impl FnMut(ClosedSession),
    ) -> bool {
        self.closed.continue_walk(count, put)
    }

    /// Returns the memory of what the walk keeps, in bytes, near enough.
    pub(in crate::shard) fn walk_bytes(&self) -> usize {
        self.walk.as_ref().map_or(0, |walk| walk.kept_bytes)
    }

    /// Ends the walk.
    pub(in crate::shard) fn end_walk(&mut self) {
        self.walk = None;
        self.closed.end_walk();
    }

    /// Restores a session; its requests follow.
    pub(in crate::shard) fn put_back(
        &mut self,
        row: SessionRow,
        now: Time,
    ) -> Result<(), RestoreError> {
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
    pub(in crate::shard) fn put_back_requests(
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
    pub(in crate::shard) fn closed(&self) -> impl ExactSizeIterator<Item = ClosedSession> {
        self.closed.iter()
    }

    /// Restores a closed session.
    pub(in crate::shard) fn put_back_closed(
        &mut self,
        closed: ClosedSession,
    ) -> Result<(), RestoreError> {
        check(!self.is_open(closed.id), "a session is open and closed")?;
        self.closed.put_back(closed)
    }

    /// Ends the restoring of sessions.
    pub(in crate::shard) fn end_restoring(&mut self) {
        self.restoring = None;
        self.shared.end_restoring();
    }
}

impl SessionWalk {
    /// Keeps a session as it was.
    pub(super) fn keep(&mut self, session: SessionSnapshot) {
        self.kept_bytes += session.bytes();
        self.kept.push(session);
    }

    /// Passes a session to `put`; its requests follow.
    fn begin(
        &mut self,
        snapshot: SessionSnapshot,
        put: &mut impl FnMut(SessionPart<'_>) -> bool,
    ) -> bool {
        let goes_on = put(SessionPart::Session(snapshot.row));
        self.open = (!snapshot.slots.is_empty()).then_some((snapshot, 0));
        goes_on
    }
}

impl SessionSnapshot {
    /// Returns the memory that it takes in bytes, near enough.
    fn bytes(&self) -> usize {
        let replies: u64 = self.slots.iter().map(|slot| slot.state.bytes()).sum();
        size_of::<SessionSnapshot>()
            + self.slots.len() * size_of::<RequestSlot>()
            + usize::try_from(replies).expect("it is in memory")
    }
}

/// Returns how many of these requests are written in one part: until their replies take
/// [`ITEMS_BYTES`].
fn part_len(slots: &[RequestSlot]) -> usize {
    let mut bytes = 0;
    let is_before = |slot: &&RequestSlot| {
        let fits = bytes < ITEMS_BYTES as u64;
        bytes += 16 + slot.state.bytes();
        fits
    };
    slots.iter().take_while(is_before).count()
}

impl Session {
    pub(super) fn snapshot(&self) -> SessionSnapshot {
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
}
