//! How long something is held: a lock, permits, a claim, a seat.

use std::time::{Duration, Instant};

use catena_protocol::Op;
use catena_protocol::limits::{HOLD_FROM_GRANT, HOLD_MS_MAX};
use catena_protocol::op::{
    Arrival, BarrierOp, Contribution, ListOp, LockOp, Loss, ReductionOp, SemaphoreOp,
};

use crate::config::HOLD_MARGIN;

/// How long something is held, unless it is released before.
///
/// The engine automatically releases what was held longer. The holder need not send anything in
/// between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Until the calling function ends: the time left until
    /// [`Client::set_deadline`](crate::Client::set_deadline), and 2 seconds more. The same as
    /// [`Hold::Session`] if no deadline was set.
    #[default]
    Deadline,
    /// As long as the engine remembers the session of the call: until the client is closed, or the
    /// session was silent for its [`session_ttl`](crate::Builder::session_ttl). The requests of
    /// its guard keep it alive, and those of the thread that took it, about objects in its shard. If the engine cannot be reached during the
    /// request, it may grant the hold to a client that has given up, and keep it for that long.
    Session,
    /// For this time from the grant on, at most 24 hours; and not longer than the calling function
    /// has left when it asks, if [`Client::set_deadline`](crate::Client::set_deadline) says so.
    For(Duration),
}

impl From<Duration> for Hold {
    fn from(time: Duration) -> Hold {
        Hold::For(time)
    }
}

impl Hold {
    /// The hold as requests carry it: in milliseconds, from the arrival of the request or from the
    /// grant on, for a function that ends at `deadline`; 0 for the session.
    pub(crate) fn ms(self, deadline: Option<Instant>) -> u32 {
        match (self, deadline) {
            (Hold::Session, _) | (Hold::Deadline, None) => 0,
            (Hold::Deadline, Some(deadline)) => ms(left(deadline)),
            (Hold::For(time), None) => ms(time) | HOLD_FROM_GRANT,
            (Hold::For(time), Some(deadline)) => ms(time.min(left(deadline))) | HOLD_FROM_GRANT,
        }
    }
}

/// How long an op may hold something: `None` if it holds nothing, or has a guard if it is the op of a
/// single call; `Some(None)` as long as the session.
pub(crate) fn held_by(op: &Op<'_>, is_single: bool) -> Option<Option<Duration>> {
    let hold_ms = match op {
        // Without a time a party that is waited for holds no seat.
        Op::Barrier(BarrierOp::Arrive(Arrival { hold_ms: 0, loss: Loss::Wait, .. }))
        | Op::Barrier(BarrierOp::ArriveAndWait(Arrival { hold_ms: 0, loss: Loss::Wait, .. }))
        | Op::Reduction(ReductionOp::Contribute(Contribution {
            hold_ms: 0,
            loss: Loss::Wait,
            ..
        })) => return None,
        Op::Barrier(BarrierOp::Arrive(arrival) | BarrierOp::ArriveAndWait(arrival)) => {
            arrival.hold_ms
        }
        Op::Reduction(ReductionOp::Contribute(contribution)) => contribution.hold_ms,
        _ if is_single => return None,
        Op::Lock(LockOp::Acquire { hold_ms } | LockOp::TryAcquire { hold_ms }) => *hold_ms,
        Op::Semaphore(SemaphoreOp::Acquire(permit) | SemaphoreOp::TryAcquire(permit)) => {
            permit.hold_ms
        }
        Op::List(ListOp::Claim { hold_ms } | ListOp::TryClaim { hold_ms }) => *hold_ms,
        _ => return None,
    };
    let time = Duration::from_millis((hold_ms & !HOLD_FROM_GRANT).into());
    Some(Some(time).filter(|time| !time.is_zero()))
}

/// The time that a function has left which ends at `deadline`, and a margin.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()) + HOLD_MARGIN
}

/// Whole milliseconds, rounded up; at least 1, because 0 means the session.
fn ms(time: Duration) -> u32 {
    let ms = time.as_micros().div_ceil(1_000);
    u32::try_from(ms).unwrap_or(HOLD_MS_MAX).clamp(1, HOLD_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_never_nothing_and_never_more_than_allowed() {
        assert_eq!(ms(Duration::ZERO), 1);
        assert_eq!(ms(Duration::from_micros(1_001)), 2);
        assert_eq!(ms(Duration::MAX), HOLD_MS_MAX);
    }
}
