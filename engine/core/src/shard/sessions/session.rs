//! One session, and the ring in which it keeps its requests.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use crate::config::SESSION_BYTES;
use crate::objects::{StoredReply, WaiterId};
use crate::shard::Time;
use crate::shard::shared_replies::SharedReplies;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) nonce: u64,
    /// By the clock of a node, which may be ahead.
    pub(super) born: Time,
    pub(super) ttl_ms: u32,
    pub(super) touched: Time,
    /// Its entry among the expiries.
    pub(super) listed: Time,
    /// Every request up to this number is acknowledged.
    pub(super) acked_upto: u64,
    /// Its length is a power of two; request `n` is at `n % len`. Acknowledged requests may remain
    /// in it and mean nothing, unless they are counted in `parked` or `shared`.
    pub(super) ring: Box<[RequestSlot]>,
    /// The number of slots with a waiting request.
    pub(super) parked: u32,
    /// The number of slots with a reply on the heap.
    pub(super) shared: u32,
    /// The last walk that has it, or that it was opened in.
    pub(super) walked: u32,
}

/// One request in the ring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::shard) struct RequestSlot {
    pub(super) number: u64,
    pub(super) state: RequestState,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) enum RequestState {
    /// Never used, or acknowledged.
    #[default]
    Free,
    /// The request waits.
    Parked(WaiterId),
    /// The request is done.
    Answered(StoredReply),
}

/// The slot for a request that is about to take effect.
pub(in crate::shard) struct ReservedSlot<'a> {
    pub(super) touched: &'a mut Time,
    pub(super) acked: &'a mut u64,
    pub(super) acked_upto: u64,
    pub(super) slot: &'a mut RequestSlot,
    pub(super) number: u64,
}

/// The initial length of a ring: enough for a client that waits for each reply.
pub(super) const RING_SLOTS_MIN: usize = 4;

const _: () = assert!(size_of::<RequestSlot>() <= 32, "a ring is two cache lines");

impl Session {
    pub(super) fn new(id: u64, nonce: u64, born: Time, ttl_ms: u32, now: Time) -> Session {
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

    /// Returns when the session expires unless it is used again.
    pub(super) fn end(&self) -> Time {
        // Not before its id is too old to be opened again.
        self.touched.max(self.born).plus_ms(self.ttl_ms)
    }

    /// Returns the memory that the session takes without the replies.
    pub(super) fn own_bytes(&self) -> u64 {
        SESSION_BYTES + ring_bytes(self.ring.len())
    }

    /// Iterates over the replies in the ring.
    pub(super) fn replies(&self) -> impl Iterator<Item = &StoredReply> {
        self.ring.iter().filter_map(|slot| match &slot.state {
            RequestState::Answered(reply) => Some(reply),
            RequestState::Free | RequestState::Parked(_) => None,
        })
    }

    #[inline(always)]
    pub(super) fn index(&self, number: u64) -> usize {
        let mask = self.ring.len() as u64 - 1;
        usize::try_from(number & mask).expect("below the ring's length")
    }

    #[inline(always)]
    pub(super) fn slot(&mut self, number: u64) -> &mut RequestSlot {
        let index = self.index(number);
        &mut self.ring[index]
    }

    /// Writes a request into its slot.
    pub(super) fn put(&mut self, slot: RequestSlot) {
        let (parked, shared) = (slot.state.is_parked(), slot.state.has_memory());
        let before = core::mem::replace(self.slot(slot.number), slot);
        self.parked = self.parked + u32::from(parked) - u32::from(before.state.is_parked());
        self.shared = self.shared + u32::from(shared) - u32::from(before.state.has_memory());
    }

    /// Empties the slot of a waiting request.
    pub(super) fn forget(&mut self, number: u64) {
        let slot = self.slot(number);
        assert!(slot.number == number && slot.state.is_parked(), "only a wait is forgotten");
        *slot = RequestSlot::default();
        self.parked -= 1;
    }

    pub(super) fn parked(&self) -> impl Iterator<Item = WaiterId> {
        self.ring.iter().filter_map(|slot| match slot.state {
            RequestState::Parked(waiter) => Some(waiter),
            RequestState::Free | RequestState::Answered(_) => None,
        })
    }

    /// Iterates over the numbers up to `number` that are not acknowledged and can be in the ring.
    pub(super) fn open_upto(&self, number: u64) -> impl Iterator<Item = u64> + use<> {
        let open = number.saturating_sub(self.acked_upto).min(self.ring.len() as u64);
        (0..open).map(move |back| number - back)
    }

    /// Returns whether a request up to `number` still waits, so that its client cannot have a reply
    /// to acknowledge.
    #[inline(always)]
    pub(super) fn waits_below(&self, number: u64) -> bool {
        self.parked > 0
            && self.open_upto(number).any(|open| {
                // The slot of a number may have another number.
                let slot = &self.ring[self.index(open)];
                slot.number <= number && slot.state.is_parked()
            })
    }

    /// Removes the replies up to a number. Returns the bytes they took.
    #[inline(always)]
    pub(super) fn acknowledge(&mut self, acked_upto: u64, shared: &mut SharedReplies) -> u64 {
        // Inline replies stay: their numbers show that they are acknowledged.
        let freed = if self.shared > 0 { self.free_replies(acked_upto, shared) } else { 0 };
        self.acked_upto = self.acked_upto.max(acked_upto);
        freed
    }

    pub(super) fn free_replies(&mut self, acked_upto: u64, shared: &mut SharedReplies) -> u64 {
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
    pub(super) fn grow(&mut self, window: usize) -> u64 {
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
    pub(in crate::shard) fn fill(self, word: u64, now: Time) {
        *self.touched = now;
        *self.acked = self.acked_upto;
        self.slot.put_word(self.number, word);
    }
}

impl RequestSlot {
    /// Stores a reply in a slot that has nothing on the heap.
    #[inline(always)]
    pub(super) fn put_word(&mut self, number: u64, word: u64) {
        self.number = number;
        let before =
            core::mem::replace(&mut self.state, RequestState::Answered(StoredReply::Word(word)));
        debug_assert!(!before.has_memory(), "a slot with heap is counted");
        // Skips the check whether there is heap to free, because there is none.
        core::mem::forget(before);
    }
}

impl RequestState {
    pub(super) fn is_parked(&self) -> bool {
        matches!(self, RequestState::Parked(_))
    }

    pub(super) fn has_memory(&self) -> bool {
        self.bytes() > 0
    }

    /// Returns the heap that a stored reply takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            RequestState::Answered(answer) => answer.bytes(),
            RequestState::Free | RequestState::Parked(_) => 0,
        }
    }
}

pub(super) fn ring(slots: usize) -> Box<[RequestSlot]> {
    core::iter::repeat_n(RequestSlot::default(), slots).collect()
}

/// Returns the heap that a ring takes beyond the initial one, in bytes.
fn ring_bytes(slots: usize) -> u64 {
    if slots <= RING_SLOTS_MIN { 0 } else { (slots * size_of::<RequestSlot>()) as u64 }
}
