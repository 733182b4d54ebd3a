//! Spans and events for the crate `tracing`, nothing without the feature `tracing`.
//!
//! A call is a span `call` of the level debug, with the fields `op` and `object`; a pipeline is a span
//! `pipeline` with `ops`. In a span there are events: retries (debug), lost connections (warn), and
//! changes of the cluster (info). Nothing is recorded of values.

#[cfg(feature = "tracing")]
mod imp {
    use std::net::SocketAddr;

    use catena_protocol::{OpCode, Status};
    use tracing::span::EnteredSpan;

    pub(crate) fn call(op: OpCode, object: &str) -> EnteredSpan {
        tracing::debug_span!(target: "catena_client", "call", ?op, object).entered()
    }

    pub(crate) fn pipeline(ops: usize) -> EnteredSpan {
        tracing::debug_span!(target: "catena_client", "pipeline", ops).entered()
    }

    pub(crate) fn on_refused(op: OpCode, status: Status, tries: u32) {
        tracing::debug!(target: "catena_client", ?op, ?status, tries, "refused");
    }

    pub(crate) fn on_lost(node: Option<SocketAddr>, reason: &dyn std::fmt::Debug) {
        let node = node.map(tracing::field::display);
        tracing::warn!(target: "catena_client", node, ?reason, "the connection is lost");
    }

    pub(crate) fn on_changed(epoch: u32) {
        tracing::info!(target: "catena_client", epoch, "the node or cluster has changed");
    }
}

#[cfg(not(feature = "tracing"))]
mod imp {
    use std::net::SocketAddr;

    use catena_protocol::{OpCode, Status};

    /// Stands for a span.
    pub(crate) struct NoSpan;

    pub(crate) fn call(_op: OpCode, _object: &str) -> NoSpan {
        NoSpan
    }

    pub(crate) fn pipeline(_ops: usize) -> NoSpan {
        NoSpan
    }

    pub(crate) fn on_refused(_op: OpCode, _status: Status, _tries: u32) {}

    pub(crate) fn on_lost(_node: Option<SocketAddr>, _reason: &dyn std::fmt::Debug) {}

    pub(crate) fn on_changed(_epoch: u32) {}
}

pub(crate) use self::imp::*;
