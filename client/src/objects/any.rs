//! What can be asked of an object of any kind.

use std::time::Duration;

use catena_protocol::op::ObjectOp;
use catena_protocol::{Inspection, Op, Reply, Status};

use super::{boolean, number};
use crate::error::Error;
use crate::requester::Requester;
use crate::target::CallTarget;

/// The documentation is at the methods of the handles, and of [`Client`](crate::Client).
impl Requester {
    pub(crate) fn delete_object(&self, target: &CallTarget) -> Result<bool, Error> {
        self.ask(target, Op::Object(ObjectOp::Delete), None, boolean)
    }

    pub(crate) fn inspect_object(&self, target: &CallTarget) -> Result<Option<Inspection>, Error> {
        let inspected =
            self.ask(target, Op::Object(ObjectOp::Inspect), None, |reply| match reply {
                Reply::Inspection(inspection) => Some(*inspection),
                _ => None,
            });
        match inspected {
            Err(error) if error.status() == Some(Status::Absent) => Ok(None),
            inspected => inspected.map(Some),
        }
    }

    pub(crate) fn expire_object(
        &self,
        target: &CallTarget,
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        self.ask(target, Op::Object(ObjectOp::Expire { ttl_ms: ttl_ms(ttl) }), None, boolean)
    }

    pub(crate) fn wait_newer_object(
        &self,
        target: &CallTarget,
        version: u64,
        timeout: Duration,
    ) -> Result<u64, Error> {
        self.ask(target, Op::Object(ObjectOp::WaitNewer { version }), Some(timeout), number)
    }
}

/// Whole milliseconds, rounded up; 0 for never.
pub(crate) fn ttl_ms(ttl: Option<Duration>) -> u64 {
    let ms = |ttl: Duration| ttl.as_micros().div_ceil(1_000).max(1);
    ttl.map_or(0, |ttl| u64::try_from(ms(ttl)).unwrap_or(u64::MAX))
}
