//! Permits that sessions acquire and release; a lock is a semaphore with one permit.
//!
//! Requests are served in order, so a request for many permits is not starved by requests for few.
//! Every grant has a fencing token, and ends at its deadline or with its session.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use catena_protocol::limits::PERMITS_MAX;
use catena_protocol::op::{LockOp, Permit, SemaphoreOp};
use catena_protocol::{Fault, Missing, Refusal, Reply, Status};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::kind::{Growth, ObjectKind, SharedObject};
use super::queue::{QueuedRequest, TokenGrants, WaitQueue};
use super::state::check;
use super::{
    Applied, Description, HOLDERS_NAMED_MAX, HeldItem, HoldId, LossCause, StoredReply, Turn,
    WaiterId, check_waiters, count,
};

/// A semaphore; without permits before the first request says how many it has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Semaphore {
    permits: u32,
    /// Permits that are not granted.
    #[serde(skip)]
    available: u32,
    /// Grants, with their numbers of permits.
    grants: TokenGrants<u32>,
    /// Waiting requests, with the numbers of permits they want.
    queue: WaitQueue<u32>,
}

impl ObjectKind for Semaphore {
    type Op<'o> = SemaphoreOp;

    fn growth(op: &SemaphoreOp) -> Growth {
        match op {
            SemaphoreOp::Release { .. } | SemaphoreOp::Extend { .. } => Growth::None,
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &SemaphoreOp, _version: u64) -> Result<Reply<'_>, Refusal> {
        match op {
            SemaphoreOp::State if self.permits == 0 => Err(Fault::new(Status::Absent).into()),
            SemaphoreOp::State => Ok(self.state()),
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &SemaphoreOp) -> Result<(), Refusal> {
        match op {
            SemaphoreOp::Acquire(permit) => {
                self.check_permit(permit)?;
                Ok(check_waiters(self.queue.len())?)
            }
            SemaphoreOp::TryAcquire(permit) => Ok(self.check_permit(permit)?),
            SemaphoreOp::Release { .. } | SemaphoreOp::Extend { .. } => Ok(()),
            SemaphoreOp::State => unreachable!("{op:?} is a read"),
        }
    }

    fn apply(&mut self, op: &SemaphoreOp, turn: &mut Turn<'_>) -> Applied {
        match *op {
            SemaphoreOp::Acquire(permit) => self.acquire(permit, true, turn),
            SemaphoreOp::TryAcquire(permit) => self.acquire(permit, false, turn),
            SemaphoreOp::Release { token } => self.release(token, turn),
            SemaphoreOp::Extend { token, hold_ms } => self.extend(token, hold_ms, turn),
            SemaphoreOp::State => unreachable!("a read is not applied"),
        }
    }

    fn complete_restored(&mut self, seq: u64) -> Result<(), RestoreError> {
        check(self.permits <= PERMITS_MAX, "a semaphore has too many permits")?;
        self.grants.complete_restored(seq)?;
        self.queue.complete_restored(seq)?;
        let given =
            self.grants.iter().try_fold(0_u32, |sum, (_, _, count)| sum.checked_add(*count));
        let available = given.and_then(|given| self.permits.checked_sub(given));
        check(available.is_some(), "more permits are granted than a semaphore has")?;
        self.available = available.unwrap_or_default();
        let may_wait = |waiting: &QueuedRequest<u32>| {
            waiting.hold.is_some() && (1..=self.permits).contains(&waiting.wants)
        };
        check(
            self.queue.iter().all(may_wait),
            "a request waits for more permits than a semaphore has, or without a hold",
        )
    }
}

impl SharedObject for Semaphore {
    fn describe(&self) -> Description {
        let Semaphore { permits, available, .. } = self;
        let grants = self.grants.iter().take(HOLDERS_NAMED_MAX);
        let held = grants.map(|(token, hold, permits)| HeldItem {
            hold,
            token,
            permits: *permits,
            party: String::new(),
        });
        Description {
            detail: format!(
                "{available} of {permits} permits free, {} waiting",
                self.queue.attended()
            ),
            missing: Vec::new(),
            held: held.collect(),
        }
    }

    fn bytes(&self) -> u64 {
        size_of::<Semaphore>() as u64 + self.grants.bytes() + self.queue.bytes()
    }

    fn waiters(&self) -> Vec<WaiterId> {
        self.queue.waiters()
    }

    fn holds(&self) -> Vec<HoldId> {
        self.grants.holds().chain(self.queue.holds()).collect()
    }

    fn set_attended(&mut self, waiter: WaiterId, attended: bool) {
        self.queue.set_attended(waiter, attended);
    }

    /// Grants permits: one that is passed over may have kept them from those behind it, which want
    /// fewer.
    fn serve(&mut self, turn: &mut Turn<'_>) {
        if !self.serve_all(turn) {
            turn.unchanged();
        }
    }

    /// Removes a waiter; this may release those behind it, which want fewer permits.
    fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        let hold = self.queue.cancel(waiter).hold;
        turn.let_go(hold.expect("requests that wait for permits have a hold"));
        if !self.serve_all(turn) {
            turn.unchanged();
        }
        Missing::default()
    }

    /// Takes back the permits of a hold. If its request still waits, the wait ends.
    fn lose(&mut self, hold: HoldId, _cause: LossCause, turn: &mut Turn<'_>) {
        let taken_back = self.grants.lose(hold);
        match taken_back {
            Some(count) => self.available += count,
            None => {
                let waiting =
                    self.queue.lose(hold).expect("a hold is of a grant or of a waiting request");
                let answer = StoredReply::refusal(&Refusal::Timeout(Missing::default()));
                turn.release([waiting.waiter], &answer);
            }
        }
        if !self.serve_all(turn) && taken_back.is_none() {
            turn.unchanged();
        }
    }
}

impl Semaphore {
    fn check_permit(&self, permit: &Permit) -> Result<(), Fault> {
        let Permit { permits, count, .. } = *permit;
        for number in [permits, count] {
            if number == 0 || number > PERMITS_MAX {
                return Err(Fault::expected(
                    Status::BadArgument,
                    PERMITS_MAX.into(),
                    number.into(),
                ));
            }
        }
        if self.permits != 0 && self.permits != permits {
            return Err(Fault::expected(Status::Mismatch, self.permits.into(), permits.into()));
        }
        if count > permits {
            return Err(Fault::expected(Status::OutOfRange, permits.into(), count.into()));
        }
        Ok(())
    }

    fn acquire(&mut self, permit: Permit, waits: bool, turn: &mut Turn<'_>) -> Applied {
        let Permit { permits, count, hold_ms } = permit;
        if self.permits == 0 {
            (self.permits, self.available) = (permits, permits);
        }
        if self.queue.is_idle() && self.available >= count {
            let hold = turn.hold(hold_ms);
            let token = turn.token(0);
            self.available -= count;
            self.grants.put(token, hold, count);
            return turn.done(&Reply::Granted { granted: true, token });
        }
        // Waiting changes no grant.
        turn.unchanged();
        if !waits {
            return turn.done(&Reply::Granted { granted: false, token: 0 });
        }
        let (hold, hold_ms) = turn.hold_later(hold_ms);
        let (waiter, hold) = (turn.waiter, Some(hold));
        self.queue.push(turn.version, QueuedRequest { waiter, hold, hold_ms, wants: count });
        Applied::Parked
    }

    fn release(&mut self, token: u64, turn: &mut Turn<'_>) -> Applied {
        let released = self.grants.take(token);
        match released {
            Some((hold, count)) => {
                turn.let_go(hold);
                self.available += count;
                self.serve_all(turn);
            }
            None => turn.unchanged(),
        }
        turn.done(&Reply::Bool(released.is_some()))
    }

    fn extend(&mut self, token: u64, hold_ms: u32, turn: &mut Turn<'_>) -> Applied {
        turn.unchanged();
        let held = self.grants.hold(token);
        if let Some(hold) = held {
            turn.extend(hold, hold_ms);
        }
        turn.done(&Reply::Bool(held.is_some()))
    }

    /// Grants permits to waiting requests, in their order, as long as there are enough. Returns
    /// whether any request was served.
    fn serve_all(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut nth = 0;
        while let Some(first) = self.queue.first()
            && first.wants <= self.available
        {
            let Some(QueuedRequest { waiter, hold, hold_ms, wants }) = self.queue.pop() else {
                break;
            };
            let hold = hold.expect("requests that wait for permits have a hold");
            if let Some(hold_ms) = hold_ms {
                turn.extend(hold, hold_ms);
            }
            let token = turn.token(nth);
            nth = nth.saturating_add(1);
            self.available -= wants;
            self.grants.put(token, hold, wants);
            let answer = turn.store(&Reply::Granted { granted: true, token });
            turn.release([waiter], &answer);
        }
        nth > 0
    }

    fn state(&self) -> Reply<'_> {
        Reply::Permits {
            available: self.available,
            permits: self.permits,
            holders: count(self.grants.len()),
            waiting: count(self.queue.attended()),
        }
    }
}

/// A lock: a semaphore with one permit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lock(Semaphore);

impl Default for Lock {
    fn default() -> Lock {
        Lock(Semaphore { permits: 1, available: 1, ..Semaphore::default() })
    }
}

impl ObjectKind for Lock {
    type Op<'o> = LockOp;

    fn growth(op: &LockOp) -> Growth {
        match op {
            LockOp::Release { .. } | LockOp::Extend { .. } => Growth::None,
            _ => Growth::Body,
        }
    }

    fn read(&self, op: &LockOp, _version: u64) -> Result<Reply<'_>, Refusal> {
        match op {
            LockOp::State => Ok(self.0.state()),
            _ => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &LockOp) -> Result<(), Refusal> {
        match op {
            LockOp::Acquire { .. } => Ok(check_waiters(self.0.queue.len())?),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, op: &LockOp, turn: &mut Turn<'_>) -> Applied {
        let permit = |hold_ms| Permit { permits: 1, count: 1, hold_ms };
        match *op {
            LockOp::Acquire { hold_ms } => self.0.acquire(permit(hold_ms), true, turn),
            LockOp::TryAcquire { hold_ms } => self.0.acquire(permit(hold_ms), false, turn),
            LockOp::Release { token } => self.0.release(token, turn),
            LockOp::Extend { token, hold_ms } => self.0.extend(token, hold_ms, turn),
            LockOp::State => unreachable!("a read is not applied"),
        }
    }

    fn complete_restored(&mut self, seq: u64) -> Result<(), RestoreError> {
        check(self.0.permits == 1, "a lock does not have one permit")?;
        self.0.complete_restored(seq)
    }
}

impl SharedObject for Lock {
    fn describe(&self) -> Description {
        let state = if self.0.available == 1 { "free" } else { "held" };
        let detail = format!("{state}, {} waiting", self.0.queue.attended());
        Description { detail, ..self.0.describe() }
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn waiters(&self) -> Vec<WaiterId> {
        self.0.waiters()
    }

    fn holds(&self) -> Vec<HoldId> {
        self.0.holds()
    }

    fn set_attended(&mut self, waiter: WaiterId, attended: bool) {
        self.0.set_attended(waiter, attended);
    }

    fn serve(&mut self, turn: &mut Turn<'_>) {
        self.0.serve(turn);
    }

    fn cancel(&mut self, waiter: WaiterId, turn: &mut Turn<'_>) -> Missing {
        self.0.cancel(waiter, turn)
    }

    fn lose(&mut self, hold: HoldId, cause: LossCause, turn: &mut Turn<'_>) {
        self.0.lose(hold, cause, turn);
    }
}
