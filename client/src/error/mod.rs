//! Errors of calls: what happened, to which object, on which node, and what to do.
//!
//! Every failure becomes an [`Error`] in one place, [`Error::of`]. [`Error::retry`] says whether
//! the call can be repeated safely. The text of an error includes its cause, so
//! [`std::error::Error::source`] does not return it again; it is a field of the variant.

mod explain;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use catena_protocol::limits::NAME_BYTES_MAX;
use catena_protocol::op::{MapOp, Merge};
use catena_protocol::{Fault, Kind, Missing, Op, OpCode, Refusal, Retry, Status};

use self::explain::{advice, advice_for, broken, loss};
use crate::node::Unreached;
use crate::request::{Failure, PendingRequest};

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the engine is not valid, or its name cannot be resolved.
    #[error(
        "`{address}` cannot be used as an address ({source}): give host:port of an engine, or the \
         place of a cluster's record as file:///directory#cluster or s3://bucket/prefix#cluster"
    )]
    BadAddress {
        /// The address as it was given.
        address: Box<str>,
        /// The error of the resolver.
        r#source: Arc<std::io::Error>,
    },

    /// The record with the members of a cluster cannot be read.
    #[error("no cluster is found through `{place}`: {source}")]
    NoRecord {
        /// The place as it was given.
        place: Box<str>,
        /// Why; its kind tells whether a retry may help.
        r#source: Arc<std::io::Error>,
    },

    /// No engine answers at the addresses.
    #[error("no engine answers at {} ({}): {}", list(addresses), reason(source), start(addresses))]
    Unreachable {
        /// The addresses that were tried.
        addresses: Box<[SocketAddr]>,
        /// The failure at the last of them.
        r#source: Arc<std::io::Error>,
    },

    /// The node temporarily accepts no connection.
    #[error("the engine at {address} accepts no new connection: {fault}. {}", advice(fault.status))]
    Unwelcome {
        /// The node.
        address: SocketAddr,
        /// Why.
        fault: Fault,
    },

    /// The peer is not an engine, or not one that this client can talk to.
    #[error("{address} cannot be used as a Catena engine: {fault}. {}", advice(fault.status))]
    Incompatible {
        /// The address.
        address: SocketAddr,
        /// What is wrong with its reply.
        fault: Fault,
    },

    /// An object cannot have this name.
    #[error(
        "a {} cannot have a name of {bytes} bytes: 1 to {NAME_BYTES_MAX} bytes are allowed",
        .kind.name()
    )]
    BadName {
        /// The kind of object.
        kind: Kind,
        /// The length of the name in bytes.
        bytes: usize,
    },

    /// The engine refused the request and changed nothing. If [`Error::retry`] is
    /// [`Retry::Unknown`], it refused the last attempt, and an earlier one, whose reply was lost, may
    /// have been executed.
    #[error("{call}: {}. {}", explain::reason(call, fault), advice_after(call, fault))]
    Refused {
        /// The call.
        call: Box<Call>,
        /// Why, with the numbers that explain it.
        fault: Fault,
    },

    /// A wait timed out; names the parties known to be missing.
    #[error("{call}: {}", Refusal::Timeout(missing.clone()))]
    TimedOut {
        /// The call.
        call: Box<Call>,
        /// The parties that are missing.
        missing: Missing,
    },

    /// The barrier or reduction was broken or reset, or the future was cancelled.
    #[error("{call}: {}", broken(.call.kind, reason))]
    Broken {
        /// The call.
        call: Box<Call>,
        /// The reason, from the client that broke it, or from the engine if a party was lost.
        reason: Box<str>,
    },

    /// The node was reached, but did not reply in time.
    #[error(
        "{call}: no reply in time; {}. The node may be overloaded, stopped or cut off",
        .call.effect()
    )]
    NoAnswer {
        /// The call.
        call: Box<Call>,
    },

    /// The connection broke, or could not be opened, until the deadline.
    #[error(
        "{call}: the engine cannot be reached ({}); {}. Check that it runs",
        reason(source),
        .call.effect()
    )]
    Lost {
        /// The call.
        call: Box<Call>,
        /// The last failure.
        r#source: Arc<std::io::Error>,
    },

    /// The engine no longer knows the session, and with it whether the request was executed.
    ///
    /// Either this process was frozen for longer than the session's time to live, or the engine was
    /// restarted without its objects.
    #[error(
        "{call}: the engine no longer knows the session; {}. Check the object before you repeat \
         the call",
        .call.effect()
    )]
    SessionLost {
        /// The call.
        call: Box<Call>,
    },

    /// The call was cancelled, see [`Canceller`](crate::Canceller) and
    /// [`Builder::cancel_with`](crate::Builder::cancel_with). It waits inside the engine no longer.
    #[error("{call}: cancelled; {}", .call.effect())]
    Cancelled {
        /// The call.
        call: Box<Call>,
    },

    /// The client was closed, see [`Client::close`](crate::Client::close).
    #[error("{call}: the client was closed before the call. Connect another one")]
    Closed {
        /// The call.
        call: Box<Call>,
    },

    /// As many calls were in progress as the client may have, until the deadline.
    #[error(
        "{call}: {calls_max} calls of this client were in progress, as many as it may have. Allow \
         more with `Builder::calls_max`, or wait in fewer threads"
    )]
    TooManyCalls {
        /// The call.
        call: Box<Call>,
        /// The limit.
        calls_max: u32,
    },

    /// An update of a user-defined object was executed, but its reply is lost: it is larger than
    /// the engine keeps for retries ([`Status::TooLarge`]), or not a reply of the type
    /// ([`Status::BadBody`]).
    #[error("{call}: it was executed, but its reply is lost: {}", loss(fault))]
    Unreadable {
        /// The call.
        call: Box<Call>,
        /// Why.
        fault: Fault,
    },

    /// A value cannot be encoded; nothing was sent. With the feature `serde`.
    #[cfg(feature = "serde")]
    #[error("the value for the {} `{object}` cannot be encoded: {source}", .kind.name())]
    Encode {
        /// The kind of the object.
        kind: Kind,
        /// The name of the object.
        object: Arc<str>,
        /// Why, in the words of the codec.
        r#source: crate::typed::CodecError,
    },

    /// What is stored is not a value of the type, see [`typed`](crate::typed); if it was to be removed
    /// from the object, it was. With the feature `serde`.
    #[cfg(feature = "serde")]
    #[error(
        "the {} `{object}` holds something else than a value of this type ({source}): read it as \
         bytes, or with the type and codec that wrote it",
        .kind.name()
    )]
    Decode {
        /// The kind of the object.
        kind: Kind,
        /// The name of the object.
        object: Arc<str>,
        /// Why, in the words of the codec.
        r#source: crate::typed::CodecError,
    },

    /// The reply is not valid.
    #[error(
        "{call}: the reply is not valid ({fault}); {}. {}",
        .call.effect(),
        advice(fault.status)
    )]
    Garbled {
        /// The call.
        call: Box<Call>,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// The call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The kind of the object.
    pub kind: Kind,
    /// The name of the object.
    pub object: Arc<str>,
    /// The op.
    pub op: OpCode,
    /// The address of the core that was asked, if the request was sent.
    pub node: Option<SocketAddr>,
    /// The name of the member that was asked, in a cluster.
    pub member: Option<Arc<str>>,
    /// Whether the call can be repeated.
    pub retry: Retry,
    /// The key of a map that the op is about, if it is about one.
    key: Option<Box<[u8]>>,
    /// How values were to be merged.
    merge: Option<Merge>,
}

impl Error {
    /// Returns whether the call can be repeated.
    ///
    /// [`Retry::Later`] and [`Retry::Anew`]: nothing was changed, and the same call can be made
    /// again. [`Retry::Never`]: it would fail again. [`Retry::Unknown`]: it may have been executed;
    /// only idempotent ops should be repeated.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Retry;
    ///
    /// client.counter("visits").increment()?;
    /// let error = client.cell("visits").get().unwrap_err();
    /// assert_eq!(error.retry(), Retry::Never, "it would fail again");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn retry(&self) -> Retry {
        match self {
            Error::Unreachable { .. } | Error::Unwelcome { .. } => Retry::Later,
            Error::NoRecord { source, .. } => match source.kind() {
                // A retry cannot succeed before the settings, or the record, are changed.
                ErrorKind::InvalidInput
                | ErrorKind::InvalidData
                | ErrorKind::PermissionDenied
                | ErrorKind::Unsupported => Retry::Never,
                _ => Retry::Later,
            },
            Error::BadAddress { .. } | Error::Incompatible { .. } | Error::BadName { .. } => {
                Retry::Never
            }
            #[cfg(feature = "serde")]
            Error::Encode { .. } | Error::Decode { .. } => Retry::Never,
            Error::Refused { call, .. }
            | Error::TimedOut { call, .. }
            | Error::Broken { call, .. }
            | Error::NoAnswer { call }
            | Error::Lost { call, .. }
            | Error::SessionLost { call }
            | Error::Cancelled { call }
            | Error::Closed { call }
            | Error::TooManyCalls { call, .. }
            | Error::Unreadable { call, .. }
            | Error::Garbled { call, .. } => call.retry,
        }
    }

    /// Returns the status with which the engine, or the client in its place, refused; `None` if
    /// there was no reply.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Status;
    ///
    /// client.counter("visits").increment()?;
    /// let error = client.cell("visits").get().unwrap_err();
    /// assert_eq!(error.status(), Some(Status::WrongKind));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
            | Error::SessionLost { .. }
            | Error::Cancelled { .. }
            | Error::Closed { .. }
            | Error::TooManyCalls { .. } => None,
            #[cfg(feature = "serde")]
            Error::Encode { .. } | Error::Decode { .. } => None,
        }
    }

    /// Returns the code with which a user-defined object refused the op, if it did.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// client.counter("visits").increment()?;
    /// let error = client.cell("visits").get().unwrap_err();
    /// assert_eq!(error.rejection(), None, "no object of a user-defined type refused it");
    /// # Ok::<(), catena_client::Error>(())
    /// ```
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
        request: &PendingRequest<'_>,
        failure: Failure,
    ) -> Error {
        let later = if request.maybe_done { Retry::Unknown } else { Retry::Later };
        let call = |retry| {
            let (object, op) = (Arc::clone(object), request.code);
            let (node, member) = (request.node, request.member.clone());
            let (key, merge) = key_and_merge(&request.op);
            let key = key.map(Box::from);
            Box::new(Call { kind, object, op, node, member, retry, key, merge })
        };
        match failure {
            Failure::BadName => Error::BadName { kind, bytes: object.len() },
            Failure::Refused(refusal) => {
                let retry = match refusal.status().retry() {
                    Retry::Later => later,
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
            Failure::Garbled(fault) => Error::Garbled { call: call(later), fault },
            Failure::Lost(source) => Error::Lost { call: call(later), source },
            Failure::NoAnswer => Error::NoAnswer { call: call(later) },
            Failure::SessionLost => Error::SessionLost { call: call(Retry::Unknown) },
            Failure::Cancelled => Error::Cancelled { call: call(later) },
            Failure::Closed => Error::Closed { call: call(Retry::Never) },
            Failure::TooManyCalls { calls_max } => {
                Error::TooManyCalls { call: call(Retry::Later), calls_max }
            }
        }
    }

    /// The error of a reply that is not one that the op has.
    pub(crate) fn of_bad_reply(kind: Kind, object: &Arc<str>, op: OpCode) -> Error {
        let (object, node, member) = (Arc::clone(object), None, None);
        let retry = if op.is_read() { Retry::Later } else { Retry::Unknown };
        let call = Box::new(Call { kind, object, op, node, member, retry, key: None, merge: None });
        Error::Garbled { call, fault: Status::BadBody.into() }
    }

    /// The error of a client that cannot connect. `is_record` is whether `seeds` names a record
    /// rather than addresses.
    pub(crate) fn of_unreached(seeds: &str, is_record: bool, unreached: Unreached) -> Error {
        let Unreached { addresses, failure } = unreached;
        let timed_out = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        match (addresses.last().copied(), failure) {
            (None, Failure::Lost(source)) if is_record => {
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

/// Turns "there is nothing" into `None`.
pub trait Optional<T> {
    /// Returns `None` instead of the error [`Status::Absent`], with which objects are read that do not
    /// exist and have no beginning of their own; see
    /// [objects that do not exist](crate#objects-that-do-not-exist).
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// use catena_client::Optional;
    ///
    /// assert!(client.vector("weights").get().optional()?.is_none());
    /// assert!(client.reduction("sums").last().optional()?.is_none());
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// All other errors.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> Optional<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Err(error) if error.status() == Some(Status::Absent) => Ok(None),
            result => result.map(Some),
        }
    }
}

/// What to do about a refusal.
fn advice_after(call: &Call, fault: &Fault) -> &'static str {
    match call.retry {
        Retry::Unknown => {
            "It is not known whether an earlier attempt was executed: check the object before you \
             repeat the call"
        }
        Retry::Never | Retry::Later | Retry::Anew => advice_for(call, fault),
    }
}

impl Call {
    /// Whether the request may have been executed, for messages.
    fn effect(&self) -> &'static str {
        match self.retry {
            Retry::Unknown => "it is not known whether it was executed",
            Retry::Never | Retry::Later | Retry::Anew => "nothing was changed",
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::User => "user object",
            Kind::Scope => "prefix",
            kind => kind.name(),
        };
        write!(f, "{} of {kind} `{}`", op_name(self.op), self.object)?;
        match (self.node, &self.member) {
            (Some(node), Some(member)) => write!(f, " at {member} ({node})"),
            (Some(node), None) => write!(f, " at {node}"),
            (None, _) => Ok(()),
        }
    }
}

/// The key of a map that an op is about, if it is about one, and how it merges values.
fn key_and_merge<'a>(op: &Op<'a>) -> (Option<&'a [u8]>, Option<Merge>) {
    match *op {
        Op::Map(MapOp::Merge { key, merge, .. }) => (Some(key), Some(merge)),
        Op::Map(MapOp::MergeAll { merge, .. }) => (None, Some(merge)),
        Op::Map(MapOp::Get { key } | MapOp::Take { key } | MapOp::Swap { key, .. }) => {
            (Some(key), None)
        }
        _ => (None, None),
    }
}

/// The name of an op, as that of its method: `fetch_add` for `CounterFetchAdd`.
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

/// An input or output error without the operating system's error number.
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
        _ => "check that the engine runs, and that the network allows the connection".to_owned(),
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
    fn messages_tell_what_happened_where_and_what_to_do() {
        let call = Call {
            kind: Kind::Counter,
            object: "visits".into(),
            op: OpCode::CounterAdd,
            node: Some("127.0.0.1:7400".parse().unwrap()),
            member: None,
            retry: Retry::Unknown,
            key: None,
            merge: None,
        };
        let in_cluster = Call { member: Some("node-a".into()), ..call.clone() };
        assert_eq!(in_cluster.to_string(), "add of counter `visits` at node-a (127.0.0.1:7400)");
        let error = Error::NoAnswer { call: Box::new(call) };
        assert_eq!(
            error.to_string(),
            "add of counter `visits` at 127.0.0.1:7400: no reply in time; it is not known whether \
             it was executed. The node may be overloaded, stopped or cut off"
        );
        assert_eq!(error.retry(), Retry::Unknown);
    }
}
