//! A cyclic barrier of named parties.
//!
//! Arrivals are a set of names, not a count: a party that arrives again changes nothing. A wait
//! that times out withdraws its arrival, unless the party also arrived without waiting.
//!
//! A party that has arrived once is on the roster and expected in later generations, until it is
//! dropped or a generation is completed without it.
//!
//! 1. The roster consists of the parties that have arrived and those that are missing. No party is
//!    both, and only they hold seats.
//! 2. A generation needs `parties` less the dropped ones, and is complete when that many have
//!    arrived.
//! 3. While a party is dropped, roster and dropped parties together are at most `parties`: a party
//!    with a new name replaces a dropped one.
//! 4. At most `parties` have arrived, and at most `parties` others are missing.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use catena_protocol::limits::{MISSING_NAMED_MAX, PARTIES_MAX, PARTY_BYTES_MAX};
use catena_protocol::op::{Arrival, BarrierOp, GENERATION_CURRENT, Loss};
use catena_protocol::{Fault, Missing, Refusal, Reply, SeatState, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::kind::{Growth, ObjectKind, SharedObject};
use super::seats::{SeatHolders, SeatTerms};
use super::state::{check, loss};
use super::tree::tree_bytes;
use super::{
    Applied, Description, HoldId, LossCause, StoredReply, Turn, WaiterId, check_loss, check_reason,
    check_seat, check_waiters, count,
};

/// A barrier in its current generation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Barrier {
    generation: u64,
    /// The number of parties; 0 before the first arrival sets it.
    parties: u32,
    /// What happens when a party is lost; set by the first arrival.
    #[serde(with = "loss")]
    loss: Option<Loss>,
    arrived: BTreeMap<Arc<str>, Arrived>,
    /// Parties on the roster that have not arrived in this generation.
    missing: BTreeSet<Arc<str>>,
    /// Parties that generations no longer wait for.
    dropped: BTreeSet<Arc<str>>,
    seats: SeatHolders<Arc<str>>,
    /// The party of each waiting request. An index, because many requests may time out at once.
    #[serde(skip)]
    waiters: BTreeMap<WaiterId, Arc<str>>,
    /// Why the barrier is broken, until a reset.
    broken: Option<Box<str>>,
}

/// One party's arrival in the current generation.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Arrived {
    /// It arrived without waiting, so the arrival stays when its waits end.
    firm: bool,
    /// It was on the roster, or dropped, before it arrived.
    known: bool,
    /// Its deadline has passed since: it counts in this generation and is dropped from the next.
    leaving: bool,
    waiters: BTreeSet<WaiterId>,
}

impl ObjectKind for Barrier {
    type Op<'o> = BarrierOp<'o>;

    fn growth(op: &BarrierOp<'_>) -> Growth {
        match op {
            // A reason is short, and must reach the waiting parties even if memory is short.
            BarrierOp::Break { .. } => Growth::None,
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &BarrierOp<'_>, _version: u64) -> Result<Reply<'_>, Refusal> {
        match op {
            BarrierOp::State => Ok(Reply::Seats(self.state())),
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &BarrierOp<'_>) -> Result<(), Refusal> {
        match op {
            BarrierOp::Arrive(arrival) | BarrierOp::ArriveAndWait(arrival) => {
                self.check_arrival(arrival)
            }
            BarrierOp::Break { reason } => Ok(check_reason(reason)?),
            BarrierOp::Reset => Ok(()),
            BarrierOp::State => unreachable!("{op:?} is a read"),
        }
    }

    fn apply(&mut self, op: &BarrierOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match *op {
            BarrierOp::Arrive(arrival) => self.arrive(&arrival, false, turn),
            BarrierOp::ArriveAndWait(arrival) => self.arrive(&arrival, true, turn),
            BarrierOp::Reset => {
                self.break_waits("the barrier was reset", turn);
                // All parties are needed again, including dropped ones.
                self.missing.append(&mut self.dropped);
                self.seats.clear(turn);
                self.broken = None;
                self.generation += 1;
                turn.done(&Reply::Number(self.generation))
            }
            BarrierOp::Break { reason } => {
                self.break_up(reason, turn);
                turn.done(&Reply::Number(self.generation))
            }
            BarrierOp::State => unreachable!("a read is not applied"),
        }
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        check(self.parties <= PARTIES_MAX, "a barrier has too many parties")?;
        let (arrived, missing, dropped) = (&self.arrived, &self.missing, &self.dropped);
        let most = [arrived.len(), missing.len(), dropped.len()].into_iter().max().unwrap_or(0);
        check(most <= self.parties as usize, "a barrier has more names than parties")?;
        let is_once = missing.iter().all(|name| !arrived.contains_key(name))
            && dropped.iter().all(|name| !arrived.contains_key(name) && !missing.contains(name));
        check(is_once, "a party of a barrier is listed twice")?;
        let mut names = arrived.keys().chain(missing).chain(dropped);
        let is_name = |name: &Arc<str>| (1..=PARTY_BYTES_MAX).contains(&name.len());
        check(names.all(is_name), "the name of a party is empty or too long")?;
        self.seats.complete_restored()?;
        let is_known = |name: &Arc<str>| arrived.contains_key(name) || missing.contains(name);
        check(self.seats.parties().all(is_known), "a party that is not on the roster has a seat")?;
        for (party, arrived) in &self.arrived {
            for waiter in &arrived.waiters {
                let before = self.waiters.insert(*waiter, party.clone());
                check(before.is_none(), "a request waits for two parties of a barrier")?;
            }
        }
        Ok(())
    }
}

impl SharedObject for Barrier {
    fn describe(&self) -> Description {
        self.seats.describe(self.state(), self.broken.as_deref(), self.dropped.len() as u64)
    }

    fn bytes(&self) -> u64 {
        /// Heap of a name, of a common length.
        const NAME_BYTES: usize = 32;
        let Barrier { arrived, missing, dropped, waiters, .. } = self;
        let names = (arrived.len() + missing.len() + dropped.len()) * NAME_BYTES;
        let reason = self.broken.as_ref().map_or(0, |reason| reason.len());
        // Each party waits by itself, mostly.
        let waits = waiters.len().min(arrived.len()) as u64 * tree_bytes::<WaiterId, ()>(1);
        let trees = tree_bytes::<Arc<str>, Arrived>(arrived.len())
            + tree_bytes::<Arc<str>, ()>(missing.len())
            + tree_bytes::<Arc<str>, ()>(dropped.len())
            + tree_bytes::<WaiterId, Arc<str>>(waiters.len());
        (size_of::<Barrier>() + names + reason) as u64 + trees + waits + self.seats.bytes()
    }

    fn waiters(&self) -> Vec<WaiterId> {
        self.waiters.keys().copied().collect()
    }

    fn holds(&self) -> Vec<HoldId> {
        self.seats.holds()
    }

    /// Removes a waiter and, unless another wait or a firm arrival keeps it, its party's arrival.
    fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        // The parties that were missing while it waited, so before its own arrival is withdrawn.
        let missing = self.who_is_missing();
        let party = self.waiters.remove(&waiter).expect("a waiter waits for a party");
        let arrived = self.arrived.get_mut(&party).expect("the party of a waiter has arrived");
        arrived.waiters.remove(&waiter);
        if arrived.waiters.is_empty() && !arrived.firm {
            let arrived = core::mem::take(arrived);
            self.arrived.remove(&party);
            self.withdraw(party, &arrived, turn);
        } else {
            turn.unchanged();
        }
        missing
    }

    /// Frees a seat, and does what the parties agreed on for this case.
    fn lose(&mut self, hold: HoldId, cause: LossCause, turn: &mut Turn<'_>) {
        let (party, _) = self.seats.lose(hold);
        if self.loss == Some(Loss::Break) && cause == LossCause::Expired && self.broken.is_none() {
            return self.break_up(&format!("party {party} is past its deadline"), turn);
        }
        self.time_out(&party, turn);
        if self.loss == Some(Loss::Drop) {
            self.drop_party(party, turn);
        } else if let Some(arrived) = self.arrived.remove(&party) {
            self.withdraw(party, &arrived, turn);
        } else {
            turn.unchanged();
        }
    }
}

impl Barrier {
    fn check_arrival(&self, arrival: &Arrival<'_>) -> Result<(), Refusal> {
        check_seat(Some(arrival.party), arrival.parties)?;
        if self.parties != 0 && self.parties != arrival.parties {
            let (expected, got) = (self.parties.into(), arrival.parties.into());
            return Err(Fault::expected(Status::Mismatch, expected, got).into());
        }
        check_loss(self.loss, arrival.loss)?;
        if arrival.generation != GENERATION_CURRENT && arrival.generation > self.generation {
            let (expected, got) = (self.generation, arrival.generation);
            return Err(Fault::expected(Status::WrongRound, expected, got).into());
        }
        check_waiters(self.waiters.len())?;
        match &self.broken {
            Some(reason) if arrival.generation >= self.generation => {
                Err(Refusal::Broken(reason.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn arrive(&mut self, arrival: &Arrival<'_>, waits: bool, turn: &mut Turn<'_>) -> Applied {
        let Arrival { party, parties, generation, hold_ms, loss } = *arrival;
        let terms = SeatTerms { hold_ms, loss };
        if generation < self.generation {
            self.come_late(party, terms, turn);
            return turn.done(&Reply::Number(generation));
        }
        (self.parties, self.loss) = (parties, Some(loss));
        let came_before = self.arrived.remove_entry(party);
        if came_before.is_some() {
            turn.unchanged();
        }
        let (party, mut arrived) = came_before.unwrap_or_else(|| self.come(party));
        self.seats.take(&party, terms, None, turn);
        arrived.leaving = false;
        if self.arrived.len() + 1 == self.needed() {
            self.arrived.insert(party, arrived);
            return Applied::Done(self.complete(turn));
        }
        let applied = if waits {
            arrived.waiters.insert(turn.waiter);
            self.waiters.insert(turn.waiter, party.clone());
            Applied::Parked
        } else {
            arrived.firm = true;
            turn.done(&Reply::Number(self.generation))
        };
        self.arrived.insert(party, arrived);
        applied
    }

    /// Makes room for a party that has not arrived yet in this generation.
    fn come(&mut self, party: &str) -> (Arc<str>, Arrived) {
        let known = self.missing.take(party).or_else(|| self.dropped.take(party));
        if let Some(party) = known {
            return (party, Arrived { known: true, ..Arrived::default() });
        }
        if self.is_full() {
            self.dropped.pop_first();
        }
        (party.into(), Arrived::default())
    }

    /// Gives a party that arrives for a past generation its seat, because it is expected in this
    /// generation; a party that is neither on the roster nor dropped is not.
    fn come_late(&mut self, party: &str, terms: SeatTerms, turn: &mut Turn<'_>) {
        if self.broken.is_some() {
            return turn.unchanged();
        }
        if let Some((party, arrived)) = self.arrived.remove_entry(party) {
            turn.unchanged();
            self.seats.take(&party, terms, None, turn);
            self.arrived.insert(party, Arrived { leaving: false, ..arrived });
        } else if let Some(party) = self.missing.get(party) {
            turn.unchanged();
            self.seats.take(party, terms, None, turn);
        } else if let Some(party) = self.dropped.take(party) {
            self.seats.take(&party, terms, None, turn);
            self.missing.insert(party);
        } else {
            turn.unchanged();
        }
    }

    /// Ends a complete generation and begins the next. Returns the reply to all that waited.
    fn complete(&mut self, turn: &mut Turn<'_>) -> StoredReply {
        let answer = turn.store(&Reply::Number(self.generation));
        // Other parties have replaced them.
        for party in core::mem::take(&mut self.missing) {
            self.seats.leave(&party, turn);
        }
        self.waiters.clear();
        let mut staying = Vec::with_capacity(self.arrived.len());
        for (party, arrived) in core::mem::take(&mut self.arrived) {
            turn.release(arrived.waiters, &answer);
            if arrived.leaving {
                self.dropped.insert(party);
            } else {
                staying.push(party);
            }
        }
        self.missing = staying.into_iter().collect();
        self.generation += 1;
        answer
    }

    fn break_up(&mut self, reason: &str, turn: &mut Turn<'_>) {
        self.break_waits(reason, turn);
        self.broken = Some(reason.into());
    }

    /// Withdraws all arrivals of the generation; requests that wait for it get `Broken`.
    fn break_waits(&mut self, reason: &str, turn: &mut Turn<'_>) {
        let answer = StoredReply::refusal(&Refusal::Broken(reason.into()));
        self.waiters.clear();
        while let Some((party, mut arrived)) = self.arrived.pop_first() {
            turn.release(core::mem::take(&mut arrived.waiters), &answer);
            self.withdraw(party, &arrived, turn);
        }
    }

    /// Withdraws an arrival that was removed from the table.
    fn withdraw(&mut self, party: Arc<str>, arrived: &Arrived, turn: &mut Turn<'_>) {
        match arrived {
            Arrived { leaving: true, .. } => self.drop_unless_replaced(party),
            // Invariant 4: a new party has no place on a full roster.
            Arrived { known: false, .. } if self.is_full() => self.seats.leave(&party, turn),
            _ => _ = self.missing.insert(party),
        }
    }

    /// Drops a party that was removed from the roster, unless the roster is full without it: then
    /// others have replaced it.
    fn drop_unless_replaced(&mut self, party: Arc<str>) {
        if !self.is_full() {
            self.dropped.insert(party);
        }
    }

    /// Returns whether the names of all parties are known.
    fn is_full(&self) -> bool {
        let named = self.arrived.len() + self.missing.len() + self.dropped.len();
        named >= self.parties as usize
    }

    /// Returns the number of arrivals that complete this generation.
    fn needed(&self) -> usize {
        self.parties as usize - self.dropped.len()
    }

    /// Ends the waits of a party.
    fn time_out(&mut self, party: &str, turn: &mut Turn<'_>) {
        let Some(arrived) = self.arrived.get_mut(party) else { return };
        let waiters = core::mem::take(&mut arrived.waiters);
        if waiters.is_empty() {
            return;
        }
        for waiter in &waiters {
            self.waiters.remove(waiter);
        }
        let answer = StoredReply::refusal(&Refusal::Timeout(self.who_is_missing()));
        turn.release(waiters, &answer);
    }

    fn drop_party(&mut self, party: Arc<str>, turn: &mut Turn<'_>) {
        if let Some(arrived) = self.arrived.get_mut(&party) {
            arrived.leaving = true;
            return;
        }
        self.missing.remove(&party);
        self.drop_unless_replaced(party);
        if !self.arrived.is_empty() && self.arrived.len() == self.needed() {
            self.complete(turn);
        }
    }

    fn state(&self) -> SeatState {
        let missing = self.missing.iter().take(MISSING_NAMED_MAX);
        SeatState {
            round: self.generation,
            arrived: count(self.arrived.len()),
            parties: count(self.needed()),
            waiting: count(self.waiters.len()),
            missing: missing.map(|name| name.to_string()).collect(),
        }
    }

    fn who_is_missing(&self) -> Missing {
        let SeatState { arrived, parties, missing: names, .. } = self.state();
        Missing { arrived, parties, names }
    }
}
