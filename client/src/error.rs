//! What can go wrong, in words that say what to do next.
//!
//! Every failure becomes an [`Error`] in one place, [`Error::of`]. An error names the object, the op
//! and the node, and says through [`Error::retry`] whether asking again is safe.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use catena_protocol::limits::NAME_BYTES_MAX;
use catena_protocol::{Fault, Kind, Missing, OpCode, Refusal, Retry, Status};

use crate::node::Unreached;
use crate::register;
use crate::request::{Failure, Request};

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine's address cannot be used as one.
    #[error(
        "`{address}` cannot be used as an address ({source}): give the engine's as host:port, or the \
         place of a cluster's record as file:///directory#cluster or s3://bucket/prefix#cluster"
    )]
    BadAddress {
        /// The address as it was given.
        address: Box<str>,
        /// What the resolver said.
        source: Arc<std::io::Error>,
    },

    /// The record that says where a cluster's members are cannot be had.
    #[error("no cluster is found through `{place}`: {source}")]
    NoRecord {
        /// The place as it was given.
        place: Box<str>,
        /// Why; its kind says whether that may pass.
        source: Arc<std::io::Error>,
    },

    /// No engine answers where one should be.
    #[error("no engine answers at {} ({}): {}", list(addresses), reason(source), start(addresses))]
    Unreachable {
        /// The addresses that were tried.
        addresses: Box<[SocketAddr]>,
        /// What happened at the last of them.
        source: Arc<std::io::Error>,
    },

    /// The node answers, but takes no connection now.
    #[error("the engine at {address} takes no new connection: {fault}. {}", advice(fault.status))]
    Unwelcome {
        /// The node.
        address: SocketAddr,
        /// Why.
        fault: Fault,
    },

    /// Whatever answers there, this client cannot talk to it.
    #[error("{address} cannot be used as a Catena engine: {fault}. {}", advice(fault.status))]
    Incompatible {
        /// The address.
        address: SocketAddr,
        /// What is wrong with what it said.
        fault: Fault,
    },

    /// An object cannot have this name.
    #[error("a {} cannot have a name of {bytes} bytes: 1 to {NAME_BYTES_MAX} are allowed", .kind.name())]
    BadName {
        /// The kind of object.
        kind: Kind,
        /// The length of the name in bytes.
        bytes: usize,
    },

    /// The engine refused the request and changed nothing.
    #[error("{call}: {fault}. {}", advice(fault.status))]
    Refused {
        /// Which call.
        call: Box<Call>,
        /// Why, with the numbers that explain it.
        fault: Fault,
    },

    /// A wait ran out of time; names the parties known to be missing.
    #[error("{call}: {}", Refusal::Timeout(missing.clone()))]
    TimedOut {
        /// Which call.
        call: Box<Call>,
        /// Who did not come.
        missing: Missing,
    },

    /// The barrier or reduction was broken or reset, or the future was cancelled.
    #[error("{call}: broken: {reason}. {}", mending(.call.kind))]
    Broken {
        /// Which call.
        call: Box<Call>,
        /// The reason given by who broke it, or by the engine if a party was lost.
        reason: Box<str>,
    },

    /// The node was reached, but did not answer in time.
    #[error(
        "{call}: no answer in time; {}. The node may be overloaded, stopped or cut off",
        .call.doubt()
    )]
    NoAnswer {
        /// Which call.
        call: Box<Call>,
    },

    /// The connection broke or could not be made, and that did not change in time.
    #[error("{call}: the engine cannot be reached ({}); {}. Check that it runs", reason(source), .call.doubt())]
    Lost {
        /// Which call.
        call: Box<Call>,
        /// What happened last.
        source: Arc<std::io::Error>,
    },

    /// The engine has forgotten the session, and with it whether the request was executed.
    ///
    /// Either this process was frozen for longer than the session's time to live, or the engine was
    /// started anew, without the objects it had.
    #[error("{call}: the engine has forgotten the session; {}", .call.doubt())]
    SessionLost {
        /// Which call.
        call: Box<Call>,
    },

    /// An update of a user-defined object was executed, but its reply is not to be had: it is larger
    /// than what an engine keeps ([`Status::TooLarge`]), or none of the type's
    /// ([`Status::BadBody`]).
    #[error("{call}: it was executed, but its reply is lost: {}", loss(fault))]
    Unreadable {
        /// Which call.
        call: Box<Call>,
        /// Why.
        fault: Fault,
    },

    /// What came back makes no sense.
    #[error("{call}: what came back makes no sense ({fault}); {}. {}", .call.doubt(), advice(fault.status))]
    Garbled {
        /// Which call.
        call: Box<Call>,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What was asked when something went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The kind of the object.
    pub kind: Kind,
    /// The name of the object.
    pub object: Arc<str>,
    /// What was asked of it.
    pub op: OpCode,
    /// The core that was asked, if it came to that.
    pub node: Option<SocketAddr>,
    /// What people call the node that was asked, in a cluster.
    pub member: Option<Arc<str>>,
    /// Whether asking again is safe.
    pub retry: Retry,
}

impl Error {
    /// Whether asking again is safe.
    ///
    /// [`Retry::Later`] and [`Retry::Anew`]: nothing was changed, the same call may be made again.
    /// [`Retry::Never`]: it would end the same way. [`Retry::Unknown`]: it may have been executed;
    /// only ops that may happen twice should be repeated.
    pub fn retry(&self) -> Retry {
        match self {
            Error::Unreachable { .. } | Error::Unwelcome { .. } => Retry::Later,
            Error::NoRecord { source, .. } => match source.kind() {
                // The settings, or what lies there, would have to be another.
                ErrorKind::InvalidInput
                | ErrorKind::InvalidData
                | ErrorKind::PermissionDenied
                | ErrorKind::Unsupported => Retry::Never,
                _ => Retry::Later,
            },
            Error::BadAddress { .. } | Error::Incompatible { .. } | Error::BadName { .. } => {
                Retry::Never
            }
            Error::Refused { call, .. }
            | Error::TimedOut { call, .. }
            | Error::Broken { call, .. }
            | Error::NoAnswer { call }
            | Error::Lost { call, .. }
            | Error::SessionLost { call }
            | Error::Unreadable { call, .. }
            | Error::Garbled { call, .. } => call.retry,
        }
    }

    /// What the engine, or the client in its place, said; `None` if there was no answer.
    pub fn status(&self) -> Option<Status> {
        match self {
            Error::Unwelcome { fault, .. }
            | Error::Incompatible { fault, .. }
            | Error::Refused { fault, .. }
            | Error::Unreadable { fault, .. }
            | Error::Garbled { fault, .. } => Some(fault.status),
            Error::TimedOut { .. } => Some(Status::Timeout),
            Error::Broken { .. } => Some(Status::Broken),
            Error::BadAddress { .. }
            | Error::NoRecord { .. }
            | Error::Unreachable { .. }
            | Error::BadName { .. }
            | Error::NoAnswer { .. }
            | Error::Lost { .. }
            | Error::SessionLost { .. } => None,
        }
    }

    /// The code with which a user-defined object refused, if that is what happened.
    pub fn rejection(&self) -> Option<u64> {
        match self {
            Error::Refused { fault: Fault { status: Status::Rejected, expected, .. }, .. } => {
                Some(*expected)
            }
            _ => None,
        }
    }

    /// The error of a request that failed.
    pub(crate) fn of(
        kind: Kind,
        object: &Arc<str>,
        request: &Request<'_>,
        failure: Failure,
    ) -> Error {
        let asked_again = if request.maybe_done { Retry::Unknown } else { Retry::Later };
        let call = |retry| {
            let (object, op, node) = (Arc::clone(object), request.code, request.node);
            Box::new(Call { kind, object, op, node, member: request.member.clone(), retry })
        };
        match failure {
            Failure::BadName => Error::BadName { kind, bytes: object.len() },
            Failure::Refused(refusal) => {
                let retry = match refusal.status().retry() {
                    Retry::Later => asked_again,
                    retry => retry,
                };
                let call = call(retry);
                match refusal {
                    Refusal::Fault(fault) => Error::Refused { call, fault },
                    Refusal::Timeout(missing) => Error::TimedOut { call, missing },
                    Refusal::Broken(reason) => Error::Broken { call, reason: reason.into() },
                }
            }
            Failure::Incompatible(fault) => match request.node {
                Some(address) => Error::Incompatible { address, fault },
                None => Error::Garbled { call: call(Retry::Never), fault },
            },
            Failure::Garbled(fault) => Error::Garbled { call: call(asked_again), fault },
            Failure::Lost(source) => Error::Lost { call: call(asked_again), source },
            Failure::NoAnswer => Error::NoAnswer { call: call(asked_again) },
            Failure::SessionLost => Error::SessionLost { call: call(Retry::Unknown) },
        }
    }

    /// The error of a client that found no node.
    pub(crate) fn of_unreached(seeds: &str, unreached: Unreached) -> Error {
        let Unreached { addresses, failure } = unreached;
        let timed_out = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        match (addresses.last().copied(), failure) {
            (None, Failure::Lost(source)) if register::is_place(seeds) => {
                Error::NoRecord { place: seeds.into(), source }
            }
            (None, Failure::Lost(source)) => Error::BadAddress { address: seeds.into(), source },
            (Some(_), Failure::Lost(source)) => {
                Error::Unreachable { addresses: addresses.into(), source }
            }
            (Some(address), Failure::Refused(refusal)) => {
                let fault = match refusal {
                    Refusal::Fault(fault) => fault,
                    Refusal::Timeout(_) | Refusal::Broken(_) => refusal.status().into(),
                };
                Error::Unwelcome { address, fault }
            }
            (Some(address), Failure::Incompatible(fault) | Failure::Garbled(fault)) => {
                Error::Incompatible { address, fault }
            }
            (_, _) => {
                Error::Unreachable { addresses: addresses.into(), source: Arc::new(timed_out()) }
            }
        }
    }
}

impl Call {
    /// Whether the request may have been executed, in words.
    fn doubt(&self) -> &'static str {
        match self.retry {
            Retry::Unknown => "it is not known whether it was executed",
            Retry::Never | Retry::Later | Retry::Anew => "nothing was changed",
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} `{}`", op_name(self.op), self.kind.name(), self.object)?;
        match (self.node, &self.member) {
            (Some(node), Some(member)) => write!(f, " at {member} ({node})"),
            (Some(node), None) => write!(f, " at {node}"),
            (None, _) => Ok(()),
        }
    }
}

/// The name of an op as its method has it: `CounterFetchAdd` is `fetch_add`.
fn op_name(op: OpCode) -> String {
    let code = format!("{op:?}");
    // The first word is the kind.
    let begins = code.char_indices().skip(1).find(|(_, letter)| letter.is_uppercase());
    let mut name = String::new();
    for letter in code[begins.map_or(0, |(at, _)| at)..].chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// An input or output error without the operating system's number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.kind().to_string(),
        None => error.to_string(),
    }
}

fn start(addresses: &[SocketAddr]) -> String {
    match addresses.first() {
        Some(address) if address.ip().is_loopback() => {
            format!("start one with `catena-engine --listen {address}`")
        }
        _ => "check that the engine runs and that the network lets you through".to_owned(),
    }
}

/// What to do about something broken.
fn mending(kind: Kind) -> &'static str {
    match kind {
        Kind::Future => "It stays so; use another one",
        _ => "Reset it to use it again",
    }
}

/// Why a reply is lost, and what to do about it.
fn loss(fault: &Fault) -> &'static str {
    match fault.status {
        Status::TooLarge => "it is larger than what an engine keeps. Let the type answer less",
        _ => "it is none of the type. Build client and engine with the same types",
    }
}

/// What to do about a status.
fn advice(status: Status) -> &'static str {
    match status {
        Status::Busy | Status::ShuttingDown | Status::NotHead | Status::WrongEpoch => {
            "Try again later"
        }
        Status::UnderReplicated => "Let the lost nodes come back, or name others",
        Status::TooManyConnections => "Share clients between calls, or add a node",
        Status::TooManySessions => "Keep clients from call to call, or ask for a shorter session",
        Status::TooManyObjects | Status::OutOfMemory => {
            "Delete objects, or give the node more memory"
        }
        Status::QuotaExceeded => "Delete objects with such names, or raise the quota",
        Status::StaleToken => "Stop: somebody else holds the lock now",
        Status::UnknownType => "Build the engine with this type",
        Status::Rejected => "The type says what its codes mean",
        Status::TooManyWaiters => "Let fewer callers wait on one object",
        Status::BadVersion | Status::MissingFeature => "Use client and engine of the same release",
        Status::BadMagic => "Something else listens there: check the address",
        Status::WrongKind => "Use the handle of the right kind, or another name",
        Status::TooLarge => "Split the value over several objects",
        Status::Absent => "Write it before reading it",
        Status::WrongRound => "Ask for its state to learn the current one",
        Status::Deleted => "Begin again with a new one",
        Status::BadLength => "Raise reply_bytes_max if the reply is meant to be that large",
        Status::BadChecksum
        | Status::BadBody
        | Status::BadFrameKind
        | Status::NameNeeded
        | Status::Panicked => "Please report this if it repeats",
        Status::Ok
        | Status::Timeout
        | Status::Broken
        | Status::WrongShard
        | Status::SessionUnknown
        | Status::Stale
        | Status::WindowExceeded
        | Status::SessionConflict
        | Status::Overflow
        | Status::OutOfRange
        | Status::Mismatch
        | Status::BadArgument
        | Status::HelloRequired
        | Status::BadFlags
        | Status::UnknownOp
        | Status::BadShard
        | Status::WrongCluster
        | Status::WrongNode
        | Status::Retired => "Check the arguments",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_are_named_like_their_methods() {
        assert_eq!(op_name(OpCode::CounterFetchAdd), "fetch_add");
        assert_eq!(op_name(OpCode::BarrierArriveAndWait), "arrive_and_wait");
        assert_eq!(op_name(OpCode::ObjectDelete), "delete");
    }

    #[test]
    fn messages_say_what_where_and_what_next() {
        let call = Call {
            kind: Kind::Counter,
            object: "visits".into(),
            op: OpCode::CounterAdd,
            node: Some("127.0.0.1:7400".parse().unwrap()),
            member: None,
            retry: Retry::Unknown,
        };
        let in_cluster = Call { member: Some("node-a".into()), ..call.clone() };
        assert_eq!(in_cluster.to_string(), "add of counter `visits` at node-a (127.0.0.1:7400)");
        let error = Error::NoAnswer { call: Box::new(call) };
        assert_eq!(
            error.to_string(),
            "add of counter `visits` at 127.0.0.1:7400: no answer in time; it is not known whether \
             it was executed. The node may be overloaded, stopped or cut off"
        );
        assert_eq!(error.retry(), Retry::Unknown);
    }
}
