//! What to do about a refusal: the one place where a status becomes a decision.

use catena_protocol::{Fault, Refusal, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Tell the caller.
    Final,
    /// Ask again after a pause of at least this many milliseconds.
    Later { pause_ms: u64 },
    /// Ask again a few times, then tell the caller: the node is full and somebody has to act.
    Scarce,
    /// Ask the core that the engine named.
    Elsewhere { core: u64 },
    /// Learn anew how the node looks, then ask again.
    LookAgain,
    /// Ask again with the object's name in front.
    WithName,
    /// The session is not there: take a new one, if the request cannot have been executed.
    NewSession,
}

impl Verdict {
    pub(crate) fn on(refusal: &Refusal) -> Verdict {
        let Refusal::Fault(Fault { status, expected, .. }) = *refusal else {
            return Verdict::Final;
        };
        match status {
            Status::Busy => Verdict::Later { pause_ms: expected },
            Status::WindowExceeded | Status::UnderReplicated => Verdict::Later { pause_ms: 0 },
            Status::WrongShard => Verdict::Elsewhere { core: expected },
            Status::WrongEpoch | Status::ShuttingDown | Status::NotHead => Verdict::LookAgain,
            Status::TooManyConnections
            | Status::TooManySessions
            | Status::TooManyObjects
            | Status::TooManyWaiters
            | Status::OutOfMemory
            | Status::QuotaExceeded => Verdict::Scarce,
            Status::NameNeeded => Verdict::WithName,
            Status::SessionUnknown | Status::SessionConflict => Verdict::NewSession,
            Status::Ok
            | Status::Timeout
            | Status::Broken
            | Status::Deleted
            | Status::Stale
            | Status::WrongKind
            | Status::Overflow
            | Status::OutOfRange
            | Status::TooLarge
            | Status::Absent
            | Status::Mismatch
            | Status::WrongRound
            | Status::BadArgument
            | Status::StaleToken
            | Status::Rejected
            | Status::UnknownType
            | Status::Panicked
            | Status::BadMagic
            | Status::BadVersion
            | Status::BadLength
            | Status::BadChecksum
            | Status::BadFrameKind
            | Status::HelloRequired
            | Status::MissingFeature
            | Status::BadFlags
            | Status::UnknownOp
            | Status::BadBody
            | Status::BadShard
            | Status::WrongCluster
            | Status::WrongNode
            | Status::Retired => Verdict::Final,
        }
    }
}

#[cfg(test)]
mod tests {
    use catena_protocol::Retry;

    use super::*;

    #[test]
    fn nothing_is_asked_again_that_the_protocol_forbids() {
        for status in Status::ALL.iter().copied() {
            let verdict = Verdict::on(&Refusal::Fault(status.into()));
            match status.retry() {
                Retry::Later => assert_ne!(verdict, Verdict::Final, "{status:?}"),
                Retry::Never | Retry::Anew => assert_eq!(verdict, Verdict::Final, "{status:?}"),
                // Repeated under a new session only if it was never executed, or not at all.
                Retry::Unknown => {
                    assert!(matches!(verdict, Verdict::NewSession | Verdict::Final), "{status:?}");
                }
            }
        }
    }
}
