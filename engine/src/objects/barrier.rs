//! A cyclic barrier of named parties.
//!
//! Arrivals are names in a set, not a count: a party that arrives again changes nothing. A wait that
//! times out takes its arrival back, unless the party also arrived without waiting.

use std::collections::{BTreeMap, BTreeSet};

use catena_protocol::limits::{MISSING_NAMED_MAX, REASON_BYTES_MAX};
use catena_protocol::op::{Arrival, BarrierOp, GENERATION_CURRENT};
use catena_protocol::{Fault, Missing, Refusal, Reply, SeatState, Status};

use super::{
    Answer, Applied, Description, HoldId, Lost, Turn, WaiterId, check_seat, check_waiters,
};

/// A barrier in its current generation.
#[derive(Debug, Default)]
pub(crate) struct Barrier {
    generation: u64,
    /// How many a generation needs; 0 until the first arrival says so.
    parties: u32,
    seats: BTreeMap<Box<str>, Seat>,
    /// Where each waiter sits: many may give up at once, and each is found without a search.
    waiters: BTreeMap<WaiterId, Box<str>>,
    /// Who was there in the last generation and has not come in this one.
    missing: BTreeSet<Box<str>>,
    /// Why the barrier is broken, until a reset.
    broken: Option<Box<str>>,
}

/// One party's arrival in the current generation.
#[derive(Debug, Default)]
struct Seat {
    /// Arrived without waiting: stays whatever happens to waiters.
    firm: bool,
    /// Was there in the last generation.
    known: bool,
    waiters: BTreeSet<WaiterId>,
}

impl Barrier {
    pub(super) fn read(&self, op: &BarrierOp<'_>) -> Result<Reply<'_>, Refusal> {
        match op {
            BarrierOp::State => Ok(Reply::Seats(self.state())),
            _ => unreachable!("{op:?} is no read"),
        }
    }

    pub(super) fn check(&self, op: &BarrierOp<'_>) -> Result<(), Refusal> {
        match op {
            BarrierOp::Arrive(arrival) | BarrierOp::ArriveAndWait(arrival) => {
                self.check_arrival(arrival)
            }
            BarrierOp::Break { reason } if reason.len() > REASON_BYTES_MAX => {
                let (limit, got) = (REASON_BYTES_MAX as u64, reason.len() as u64);
                Err(Fault::expected(Status::BadArgument, limit, got).into())
            }
            BarrierOp::Break { .. } | BarrierOp::Reset => Ok(()),
            BarrierOp::State => unreachable!("{op:?} is a read"),
        }
    }

    fn check_arrival(&self, arrival: &Arrival<'_>) -> Result<(), Refusal> {
        check_seat(Some(arrival.party), arrival.parties)?;
        if self.parties != 0 && self.parties != arrival.parties {
            let (expected, got) = (self.parties.into(), arrival.parties.into());
            return Err(Fault::expected(Status::Mismatch, expected, got).into());
        }
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

    pub(super) fn apply(&mut self, op: &BarrierOp<'_>, turn: &mut Turn<'_>) -> Applied {
        match *op {
            BarrierOp::Arrive(arrival) => self.arrive(&arrival, false, turn),
            BarrierOp::ArriveAndWait(arrival) => self.arrive(&arrival, true, turn),
            BarrierOp::Reset => {
                let answer = Answer::refusal(&Refusal::Broken("the barrier was reset".into()));
                turn.release(self.empty_seats(|seat| seat.known), &answer);
                self.broken = None;
                self.generation += 1;
                turn.done(&Reply::Number(self.generation))
            }
            BarrierOp::Break { reason } => {
                let answer = Answer::refusal(&Refusal::Broken(reason.into()));
                turn.release(self.empty_seats(|seat| seat.known), &answer);
                self.broken = Some(reason.into());
                turn.done(&Reply::Number(self.generation))
            }
            BarrierOp::State => unreachable!("a read is not applied"),
        }
    }

    fn arrive(&mut self, arrival: &Arrival<'_>, waits: bool, turn: &mut Turn<'_>) -> Applied {
        if arrival.generation < self.generation {
            return turn.done(&Reply::Number(arrival.generation));
        }
        self.parties = arrival.parties;
        let completes = !self.seats.contains_key(arrival.party)
            && self.seats.len() + 1 == self.parties as usize;
        let party: Box<str> = arrival.party.into();
        let known = self.missing.remove(&party);
        let seat = self.seats.entry(party.clone()).or_default();
        seat.known |= known;
        if completes {
            let answer = turn.answer(&Reply::Number(self.generation));
            self.missing.clear();
            turn.release(self.empty_seats(|_| true), &answer);
            self.generation += 1;
            return Applied::Done(answer);
        }
        if waits {
            seat.waiters.insert(turn.waiter);
            self.waiters.insert(turn.waiter, party);
            return Applied::Parked;
        }
        seat.firm = true;
        turn.done(&Reply::Number(self.generation))
    }

    /// Clears the generation and hands over whoever waits in it. Those that `stay` says are missing
    /// from now on.
    fn empty_seats(&mut self, stay: impl Fn(&Seat) -> bool) -> Vec<WaiterId> {
        self.waiters.clear();
        let mut waiters = Vec::new();
        for (party, seat) in std::mem::take(&mut self.seats) {
            if stay(&seat) {
                self.missing.insert(party);
            }
            waiters.extend(seat.waiters);
        }
        waiters
    }

    /// Forgets a waiter and, if nothing else holds it, its party's arrival.
    pub(super) fn cancel(&mut self, waiter: WaiterId, _turn: &mut Turn<'_>) -> Missing {
        // Who is missing is said from the point of view of the one that waited.
        let SeatState { arrived, parties, missing: names, .. } = self.state();
        let party = self.waiters.remove(&waiter).expect("a waiter sits somewhere");
        let seat = self.seats.get_mut(&party).expect("its party has a seat");
        seat.waiters.remove(&waiter);
        if seat.waiters.is_empty() && !seat.firm {
            let known = seat.known;
            self.seats.remove(&party);
            if known {
                self.missing.insert(party);
            }
        }
        Missing { arrived, parties, names }
    }

    pub(super) fn describe(&self) -> Description {
        let SeatState { round, arrived, parties, missing, .. } = self.state();
        let detail = format!("round {round}, {arrived} of {parties} parties");
        Description { detail, missing, held: Vec::new() }
    }

    pub(super) fn lose(&mut self, _hold: HoldId, _why: Lost, _turn: &mut Turn<'_>) {}

    pub(super) fn holds(&self) -> Vec<HoldId> {
        Vec::new()
    }

    pub(super) fn waiters(&self) -> Vec<WaiterId> {
        self.waiters.keys().copied().collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        // A name, its seat and the tree around it.
        const NAME_BYTES: usize = 112;
        let names = self.seats.len() + self.missing.len() + self.waiters.len();
        (size_of::<Barrier>() + names * NAME_BYTES) as u64
    }

    fn state(&self) -> SeatState {
        let missing = self.missing.iter().take(MISSING_NAMED_MAX);
        SeatState {
            round: self.generation,
            arrived: u32::try_from(self.seats.len()).expect("parties are bounded"),
            parties: self.parties,
            waiting: u32::try_from(self.waiters.len()).expect("waiters are bounded"),
            missing: missing.map(|name| name.to_string()).collect(),
        }
    }
}
