//! What a call is addressed to: an object by its name, or a shard about all of its objects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use catena_protocol::limits::NAME_BYTES_MAX;
use catena_protocol::{Fault, Kind, ObjectId, Op, OpCode, ShardId};

use crate::config::TIMEOUT_MAX;
use crate::error::Error;
use crate::request::{Addressee, Failure, PendingRequest};

/// The object of a handle, or a shard that is asked about its objects.
#[derive(Clone, Debug)]
pub struct CallTarget {
    pub(crate) kind: Kind,
    pub(crate) name: Arc<str>,
    pub(crate) addressee: Addressee,
}

impl CallTarget {
    pub(crate) fn new(kind: Kind, name: &str) -> CallTarget {
        CallTarget { kind, name: name.into(), addressee: Addressee::Object(ObjectId::of(name)) }
    }

    /// An object of which nothing but the name is known.
    pub(crate) fn any(name: &str) -> CallTarget {
        CallTarget::new(Kind::Object, name)
    }

    /// A shard, about objects whose names begin with `prefix`.
    pub(crate) fn shard(shard: ShardId, prefix: &Arc<str>) -> CallTarget {
        let addressee = Addressee::Shard(shard);
        CallTarget { kind: Kind::Scope, name: Arc::clone(prefix), addressee }
    }

    /// A request for `op`, which may wait for `wait` inside the engine. With a name that no object
    /// can have, it has failed already.
    pub(crate) fn request<'o>(&'o self, op: Op<'o>, wait: Option<Duration>) -> PendingRequest<'o> {
        let wait_until = wait.map(|wait| Instant::now() + wait.min(TIMEOUT_MAX));
        let mut request = PendingRequest::new(self.addressee, &self.name, op, wait_until);
        let is_object = matches!(self.addressee, Addressee::Object(_));
        if is_object && !(1..=NAME_BYTES_MAX).contains(&self.name.len()) {
            request.outcome = Some(Err(Failure::BadName));
        }
        request
    }

    /// The error of an op whose reply is not what the caller wants, as the engine would report it.
    pub(crate) fn refused(&self, op: Op<'_>, fault: Fault) -> Error {
        self.error(&self.request(op, None), Failure::Refused(fault.into()))
    }

    /// The error of a reply that is well-formed but of another sort than the op has.
    pub(crate) fn garbled(&self, code: OpCode) -> Error {
        Error::of_bad_reply(self.kind, &self.name, code)
    }

    /// The error of a request to this target.
    pub(crate) fn error(&self, request: &PendingRequest<'_>, failure: Failure) -> Error {
        Error::of(self.kind, &self.name, request, failure)
    }
}
