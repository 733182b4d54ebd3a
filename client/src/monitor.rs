//! What clients do, live.

use std::sync::Arc;

use catena_protocol::op::ScopeOp;
use catena_protocol::{MonitoredRequest, Op, Reply, ShardId};

use crate::error::Error;
use crate::pipeline::Pipeline;
use crate::requester::Requester;
use crate::target::CallTarget;

/// Follows the requests that the heads of all shards serve, a sample of them; see
/// [`Client::monitor`](crate::Client::monitor).
#[derive(Debug)]
pub struct Monitor {
    requester: Requester,
    per_second: u32,
    /// For each shard, up to where its requests are known.
    after: Vec<u64>,
    missed: u64,
}

impl Monitor {
    pub(crate) fn new(requester: &Requester, per_second: u32) -> Monitor {
        let shards = requester.shards() as usize;
        Monitor { requester: requester.clone(), per_second, after: vec![0; shards], missed: 0 }
    }

    /// Returns the requests that were noted since the last call, in the order in which they arrived.
    /// The first call begins, and returns those that are noted for others already.
    ///
    /// Requests are noted until 5 seconds after the last call, so call it several times a second.
    ///
    /// # Errors
    ///
    /// If a shard does not answer. Nothing is lost: the next call returns the same requests.
    pub fn poll(&mut self) -> Result<Vec<MonitoredRequest>, Error> {
        let of_no_prefix: Arc<str> = "".into();
        let mut pipeline = Pipeline::new(&self.requester);
        for (shard, after) in (0..).zip(&self.after) {
            let op = ScopeOp::Monitor { after: *after, per_second: self.per_second };
            pipeline.queue(&CallTarget::shard(ShardId(shard), &of_no_prefix), Op::Scope(op));
        }
        let replies = pipeline.run().all_ok()?;
        let mut requests = Vec::new();
        for (reply, after) in replies.iter().zip(&mut self.after) {
            if let Ok(Reply::Monitored(monitored)) = reply {
                *after = monitored.next;
                self.missed += monitored.missed;
                requests.extend(monitored.requests);
            }
        }
        requests.sort_by_key(|request| request.at_us);
        Ok(requests)
    }

    /// Returns how many requests were noted and not returned, because [`poll`](Monitor::poll) was called
    /// too late.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
