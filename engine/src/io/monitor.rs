//! Requests that a core notes for people who want to see what clients do (`ScopeMonitor`).
//!
//! While nobody asks, a request costs one comparison more.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use catena_core::chain::replica::Replica;
use catena_protocol::{Frame, Monitored, MonitoredRequest, ObjectId, OpCode, Status};

use super::conn::Conn;
use crate::clock::unix_time;
use crate::config::{MONITOR_MS, MONITORED_MAX, MONITORED_PER_SECOND_MAX};
use catena_core::shard::Time;

/// What a core notes, for each of its shards.
pub(super) struct Monitor {
    /// Whether any shard notes requests.
    is_on: Cell<bool>,
    shards: RefCell<Vec<NotedRequests>>,
}

/// The requests that are noted of a shard.
#[derive(Clone, Default)]
struct NotedRequests {
    requests: VecDeque<MonitoredRequest>,
    /// How many were noted before these.
    gone: u64,
    /// Noted until this time, if somebody has asked.
    until: Option<Time>,
    interval_us: u64,
    /// The time for which no request was noted yet, up to that of a burst, and until when it is counted:
    /// each request that is noted takes an interval of it.
    unused_us: u64,
    counted_at: Time,
}

/// So many requests are noted in a burst, and a quarter of those of a second: a client often sends
/// several at once.
const BURST_MIN: u64 = 16;

/// A request that is to be noted when it is served.
pub(super) struct BegunRequest {
    index: usize,
    replies_before: usize,
    began: std::time::Instant,
}

impl Monitor {
    pub(super) fn new(shards: usize) -> Monitor {
        let shards = RefCell::new(vec![NotedRequests::default(); shards]);
        Monitor { is_on: Cell::new(false), shards }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.is_on.get()
    }

    /// Returns whether the next request to a shard is to be noted.
    #[cold]
    pub(super) fn begin(
        &self,
        index: usize,
        now: Time,
        op: u16,
        unsent: &[u8],
    ) -> Option<BegunRequest> {
        if op == OpCode::ScopeMonitor.to_wire() {
            return None;
        }
        let shards = &mut self.shards.borrow_mut();
        let noted = &mut shards[index];
        if noted.until.is_none_or(|until| now > until) {
            let gone = noted.gone + noted.requests.len() as u64;
            *noted = NotedRequests { gone, ..NotedRequests::default() };
            let is_on = |noted: &NotedRequests| noted.until.is_some_and(|until| now <= until);
            self.is_on.set(shards.iter().any(is_on));
            return None;
        }
        let passed_us = now.0.saturating_sub(noted.counted_at.0);
        let burst_us = (BURST_MIN * noted.interval_us).max(250_000);
        noted.unused_us = (noted.unused_us + passed_us).min(burst_us);
        noted.counted_at = now;
        noted.unused_us = noted.unused_us.checked_sub(noted.interval_us)?;
        Some(BegunRequest { index, replies_before: unsent.len(), began: std::time::Instant::now() })
    }

    /// Notes a request that was served. `replies` is what its connection is about to send.
    #[cold]
    pub(super) fn note(
        &self,
        request: &BegunRequest,
        conn: &Conn,
        frame: &Frame<'_>,
        replica: &Replica,
        replies: &[u8],
    ) {
        let took = request.began.elapsed();
        let header = &frame.header;
        let status = replies
            .get(request.replies_before + STATUS_AT..)
            .and_then(|rest| rest.first_chunk::<2>())
            .map(|bytes| u16::from_le_bytes(*bytes));
        let noted = &mut self.shards.borrow_mut()[request.index];
        if noted.requests.len() == MONITORED_MAX {
            noted.requests.pop_front();
            noted.gone += 1;
        }
        noted.requests.push_back(MonitoredRequest {
            at_us: u64::try_from(unix_time().as_micros()).unwrap_or(u64::MAX),
            session: header.session,
            took_ns: u32::try_from(took.as_nanos()).unwrap_or(u32::MAX),
            body_bytes: u32::try_from(frame.body.len()).unwrap_or(u32::MAX),
            op: header.op.into(),
            status: status.unwrap_or(Status::Ok.to_wire()).into(),
            replied: status.is_some(),
            source: conn.source.to_string(),
            object: object_name(header.object, replica),
        });
    }

    /// Returns what was noted of a shard behind the first `after`, and goes on.
    pub(super) fn monitored(
        &self,
        index: usize,
        now: Time,
        after: u64,
        per_second: u32,
    ) -> Monitored {
        let noted = &mut self.shards.borrow_mut()[index];
        let per_second = per_second.clamp(1, MONITORED_PER_SECOND_MAX);
        noted.interval_us = 1_000_000 / u64::from(per_second);
        noted.until = Some(now.plus_ms(MONITOR_MS));
        self.is_on.set(true);
        let last = noted.gone + noted.requests.len() as u64;
        // Another node, or this one before it was restarted, may have noted more.
        let after = if after > last { noted.gone } else { after };
        let skipped = usize::try_from(after.saturating_sub(noted.gone)).unwrap_or(usize::MAX);
        Monitored {
            next: last,
            missed: if after == 0 { 0 } else { noted.gone.saturating_sub(after) },
            requests: noted.requests.iter().skip(skipped).cloned().collect(),
        }
    }
}

/// Where the status is in the header of a reply.
const STATUS_AT: usize = 10;

fn object_name(object: ObjectId, replica: &Replica) -> String {
    match replica.shard().name(object) {
        Some(name) => name.to_owned(),
        None if object.0 == 0 => String::new(),
        None => format!("#{:032x}", object.0),
    }
}
