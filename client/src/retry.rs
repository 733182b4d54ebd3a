//! Decides whether and how to retry a refused request: the one place where a status becomes a
//! decision.

use catena_protocol::{Fault, Refusal, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryDecision {
    /// Fail the call.
    Fail,
    /// Retry after a pause of at least this many milliseconds.
    After { pause_ms: u64 },
    /// Retry a few times, then fail the call: the node is full, and retries will not change that.
    FewTimes,
    /// Retry on the core that the engine named.
    OnCore { core: u64 },
    /// Refresh the topology, then retry.
    AfterRefresh,
    /// Retry with the object's name attached.
    WithName,
    /// The session does not exist: retry with a new one, if the request cannot have been executed.
    WithNewSession,
}

impl RetryDecision {
    pub(crate) fn on(refusal: &Refusal) -> RetryDecision {
        let Refusal::Fault(Fault { status, expected, .. }) = *refusal else {
            return RetryDecision::Fail;
        };
        match status {
            Status::Busy => RetryDecision::After { pause_ms: expected },
            Status::WindowExceeded | Status::UnderReplicated => {
                RetryDecision::After { pause_ms: 0 }
            }
            Status::WrongShard => RetryDecision::OnCore { core: expected },
            Status::WrongEpoch | Status::ShuttingDown | Status::NotHead => {
                RetryDecision::AfterRefresh
            }
            Status::TooManyConnections
            | Status::TooManySessions
            | Status::TooManyObjects
            | Status::TooManyWaiters
            | Status::OutOfMemory
            | Status::QuotaExceeded
            | Status::TooSlow => RetryDecision::FewTimes,
            Status::NameNeeded => RetryDecision::WithName,
            Status::SessionUnknown | Status::SessionConflict => RetryDecision::WithNewSession,
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
            | Status::Retired => RetryDecision::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use catena_protocol::Retry;

    use super::*;

    #[test]
    fn no_request_is_retried_that_the_protocol_forbids() {
        for status in Status::ALL.iter().copied() {
            let decision = RetryDecision::on(&Refusal::Fault(status.into()));
            match status.retry() {
                Retry::Later => assert_ne!(decision, RetryDecision::Fail, "{status:?}"),
                Retry::Never | Retry::Anew => {
                    assert_eq!(decision, RetryDecision::Fail, "{status:?}")
                }
                // Retried under a new session only if it was not executed; otherwise not at all.
                Retry::Unknown => {
                    assert!(
                        matches!(decision, RetryDecision::WithNewSession | RetryDecision::Fail),
                        "{status:?}"
                    );
                }
            }
        }
    }
}
