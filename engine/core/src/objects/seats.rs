//! Seats of a barrier or reduction: the holds on them, and sets of seats.
//!
//! A party's seat is held by the session that arrived for it last. So a function that is restarted
//! takes over the seat of its predecessor, with a new deadline. A seat is held across rounds: a
//! party that fails between two rounds is noticed.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;

use catena_protocol::SeatState;
use catena_protocol::limits::PARTIES_MAX;
use catena_protocol::op::Loss;
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::state::check;
use super::tree::tree_bytes;
use super::{Description, HOLDERS_NAMED_MAX, HeldItem, HoldId, Turn, WaiterId};

/// The held seats, by party.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "P: Ord + Deserialize<'de>"))]
pub(super) struct SeatHolders<P> {
    held: BTreeMap<P, SeatHold>,
    #[serde(skip)]
    by_hold: BTreeMap<HoldId, P>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SeatHold {
    hold: HoldId,
    /// The request that took it, if it waits.
    waiter: Option<WaiterId>,
}

/// How long a seat is held, and what happens if its deadline passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatTerms {
    pub(super) hold_ms: u32,
    pub(super) loss: Loss,
}

impl<P> Default for SeatHolders<P> {
    fn default() -> SeatHolders<P> {
        SeatHolders { held: BTreeMap::new(), by_hold: BTreeMap::new() }
    }
}

impl<P: Ord + Clone + ToString> SeatHolders<P> {
    /// Gives a party its seat on new terms, and takes it from the session that had it. A seat
    /// without a deadline and without consequences is not held: its party may leave.
    pub(super) fn take(
        &mut self,
        party: &P,
        terms: SeatTerms,
        waiter: Option<WaiterId>,
        turn: &mut Turn<'_>,
    ) {
        let SeatTerms { hold_ms, loss } = terms;
        if hold_ms == 0 && loss == Loss::Wait {
            return self.leave(party, turn);
        }
        if let Some(seat) = self.held.get_mut(party) {
            seat.waiter = waiter;
            return turn.take_over(seat.hold, hold_ms);
        }
        let hold = turn.hold(hold_ms);
        self.held.insert(party.clone(), SeatHold { hold, waiter });
        self.by_hold.insert(hold, party.clone());
    }

    /// Ends the hold on a party's seat, if there is one.
    pub(super) fn leave<Q>(&mut self, party: &Q, turn: &mut Turn<'_>)
    where
        P: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        if let Some(SeatHold { hold, .. }) = self.held.remove(party) {
            self.by_hold.remove(&hold);
            turn.let_go(hold);
        }
    }

    /// Ends all holds.
    pub(super) fn clear(&mut self, turn: &mut Turn<'_>) {
        for hold in core::mem::take(&mut self.by_hold).into_keys() {
            turn.let_go(hold);
        }
        self.held.clear();
    }

    /// Removes a hold that has ended. Returns its party, and the request that took it, if that
    /// waits.
    pub(super) fn lose(&mut self, hold: HoldId) -> (P, Option<WaiterId>) {
        let party = self.by_hold.remove(&hold).expect("a hold is of a seat");
        let seat = self.held.remove(&party).expect("a seat has a party");
        (party, seat.waiter)
    }

    pub(super) fn holds(&self) -> Vec<HoldId> {
        self.by_hold.keys().copied().collect()
    }

    /// Describes the object of these seats for people, with the first holders.
    pub(super) fn describe(
        &self,
        state: SeatState,
        broken: Option<&str>,
        dropped: u64,
    ) -> Description {
        let SeatState { round, arrived, parties, missing, .. } = state;
        let detail = match (broken, dropped) {
            (Some(reason), _) => format!("round {round}, broken: {reason}"),
            (None, 0) => format!("round {round}, {arrived} of {parties} parties"),
            (None, dropped) => {
                format!("round {round}, {arrived} of {parties} parties, {dropped} dropped")
            }
        };
        let held = self.held.iter().take(HOLDERS_NAMED_MAX).map(|(party, seat)| HeldItem {
            hold: seat.hold,
            token: 0,
            permits: 0,
            party: party.to_string(),
        });
        Description { detail, missing, held: held.collect() }
    }

    /// Iterates over the parties whose seats are held.
    pub(super) fn parties(&self) -> impl Iterator<Item = &P> {
        self.held.keys()
    }

    /// Rebuilds the index, which a snapshot leaves out.
    pub(super) fn complete_restored(&mut self) -> Result<(), RestoreError> {
        for (party, seat) in &self.held {
            let before = self.by_hold.insert(seat.hold, party.clone());
            check(before.is_none(), "two seats have the same hold")?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        tree_bytes::<P, SeatHold>(self.held.len()) + tree_bytes::<HoldId, P>(self.by_hold.len())
    }
}

/// A set of seats by number, with a bit for each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SeatSet {
    words: Vec<u64>,
    #[serde(skip)]
    len: u32,
}

impl SeatSet {
    /// Returns an empty set with room for the seats below `end`.
    pub(super) fn with_room(end: u32) -> SeatSet {
        SeatSet { words: vec![0; end.div_ceil(64) as usize], len: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn contains(&self, seat: u32) -> bool {
        let (word, bit) = place(seat);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds a seat. Returns whether it was not in the set before.
    pub(super) fn insert(&mut self, seat: u32) -> bool {
        let (word, bit) = place(seat);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += u32::from(is_new);
        is_new
    }

    /// Removes a seat. Returns whether it was in the set.
    pub(super) fn remove(&mut self, seat: u32) -> bool {
        let was_there = self.contains(seat);
        if was_there {
            let (word, bit) = place(seat);
            self.words[word] &= !bit;
            self.len -= 1;
        }
        was_there
    }

    /// Returns the first seat from `from` on that is not in the set.
    pub(super) fn next_absent(&self, from: u32) -> u32 {
        let (mut seat, (mut word, _)) = (from, place(from));
        while let Some(bits) = self.words.get(word) {
            let taken = (bits >> (seat % 64)).trailing_ones();
            if seat % 64 + taken < 64 {
                return seat + taken;
            }
            word += 1;
            seat = (seat / 64 + 1) * 64;
        }
        seat
    }

    /// Iterates over the seats below `end` that are neither in this set nor in `other`, in order.
    /// Skips full words, because many waits may end at once and each needs the missing parties.
    pub(super) fn absent<'s>(
        &'s self,
        other: &'s SeatSet,
        end: u32,
    ) -> impl Iterator<Item = u32> + 's {
        let word = |set: &SeatSet, at: u32| set.words.get(at as usize).copied().unwrap_or(0);
        (0..end.div_ceil(64))
            .map(move |at| (at * 64, word(self, at) | word(other, at)))
            .filter(|(_, word)| *word != u64::MAX)
            .flat_map(|(first, word)| {
                (0..64).filter(move |bit| word & (1 << bit) == 0).map(move |bit| first + bit)
            })
            .take_while(move |seat| *seat < end)
    }

    /// Iterates over the seats in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        (0..).step_by(64).zip(&self.words).flat_map(|(first, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| first + bit)
        })
    }

    /// Computes the length, which a snapshot leaves out, and refuses seats from `end` on.
    pub(super) fn complete_restored(&mut self, end: u32) -> Result<(), RestoreError> {
        check(self.words.len() <= place(PARTIES_MAX).0, "a set of seats is too long")?;
        check(self.iter().all(|seat| seat < end), "a seat has a number beyond its parties")?;
        self.len = self.words.iter().map(|word| word.count_ones()).sum();
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.words.len() * size_of::<u64>()) as u64
    }
}

/// Returns the word and the bit of a seat.
fn place(seat: u32) -> (usize, u64) {
    ((seat / 64) as usize, 1 << (seat % 64))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::SeatSet;

    #[test]
    fn seats_are_found_across_words() {
        let mut set = SeatSet::default();
        assert_eq!((set.next_absent(0), set.next_absent(200)), (0, 200));
        for seat in (0..130).filter(|seat| *seat != 64) {
            assert!(set.insert(seat));
            assert!(!set.insert(seat));
        }
        assert_eq!(set.next_absent(0), 64);
        assert_eq!(set.next_absent(65), 130);
        assert_eq!(set.absent(&SeatSet::default(), 132).collect::<Vec<_>>(), [64, 130, 131]);
        assert!(set.insert(64) && set.remove(127) && !set.remove(127) && !set.remove(1_000));
        assert_eq!((set.next_absent(0), set.next_absent(128), set.len()), (127, 130, 129));
        let mut other = SeatSet::with_room(200);
        assert!(other.insert(131));
        assert_eq!(set.absent(&other, 133).collect::<Vec<_>>(), [127, 130, 132]);
    }
}
