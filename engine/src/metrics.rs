//! What a node does, in numbers: counted by its cores, and exported.
//!
//! Each core has counters that it alone writes ([`meter`]), always on. [`MetricsReader`] sums them, asks
//! the cores what they hold, and makes [`Metrics`] of both: for the program that embeds the engine, for
//! Prometheus at an HTTP port ([`http`]), and for CloudWatch on the standard output ([`stdout`]). Each
//! of the last two is a thread of its own beside the cores.
//!
//! What is counted, exactly:
//!
//! 1. *Ops* are requests to which this node replied, by the outcome in the reply. A retry counts again.
//!    A request without a reply (its member left the cluster, and its client retries elsewhere) does
//!    not count, nor do entries that other nodes forward.
//! 2. *Latency* is the time from the beginning of the turn that took the request to the end of the turn
//!    that replied, when the reply was handed to the socket. It begins when the core turns to the bytes
//!    that it received: the time they spent in the socket, or behind other connections of the core, is
//!    not included. It is measured once per turn, in whole microseconds.
//! 3. In a cluster a reply is held until all members have the updates that it depends on. Its latency
//!    ends at the beginning of the turn that receives the acknowledgement.
//! 4. The latency of a request that *waited* for an event (for a lock, for other parties, for its
//!    deadline) is kept apart: it says how long the event took, not how fast the node is. It begins with
//!    the first request, even if the client retried.

mod emf;
mod histogram;
mod http;
mod meter;
mod prometheus;
mod stdout;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::{Kind, OpCode, Status};

pub use self::histogram::Histogram;
use self::http::HttpThread;
pub(crate) use self::meter::{Counters, Meter};
use self::stdout::StdoutThread;
use crate::resident::resident_bytes;

/// What a node has done since it started, and what it holds.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// The number of replies, by op and outcome, where there are any.
    pub ops: Vec<OpCount>,
    /// The latency of requests, by kind.
    pub latency: Vec<Latency>,
    /// What each core holds. A core that does not reply within a second is left out.
    pub cores: Vec<CoreCensus>,
    /// The memory of the process, as the kernel counts it, in bytes; `None` if it does not say.
    pub resident_bytes: Option<u64>,
    /// The number of cores.
    cores_all: usize,
}

/// What a core holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreCensus {
    /// The number of the core.
    pub core: u16,
    /// Open connections.
    pub connections: u64,
    /// Objects of any kind.
    pub objects: u64,
    /// Open sessions.
    pub sessions: u64,
    /// Requests that wait for an event.
    pub waiters: u64,
    /// Memory of objects, sessions and logs, in bytes, as counted against the budget.
    pub bytes: u64,
    /// Memory for large frames that have not arrived whole, or for a moment for the next one, in bytes.
    pub receiving_bytes: u64,
    /// Replies that clients have not read yet, in bytes, without those in the kernel.
    pub unsent_bytes: u64,
    /// Updates applied since the start.
    pub updates: u64,
    /// Entries that not all members have acknowledged, in the shard of the core that has most.
    pub chain_lag: u64,
    /// The epoch that the core acts by; 0 if the node stands alone or has not joined.
    pub epoch: u32,
}

/// The number of requests for an op that ended with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpCount {
    /// The op; `None` for all ops that this version does not know.
    pub op: Option<OpCode>,
    /// The outcome in the reply.
    pub outcome: Status,
    /// The number of requests.
    pub count: u64,
}

/// The latency of requests for one kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The kind; `None` for ops that this version does not know.
    pub kind: Option<Kind>,
    /// Whether these requests waited for an event.
    pub waited: bool,
    /// Their latency.
    pub histogram: Histogram,
}

impl Metrics {
    /// Returns whether all cores replied.
    pub fn is_complete(&self) -> bool {
        self.cores_all > 0 && self.cores.len() == self.cores_all
    }

    /// Returns the epoch that all cores act by, if all of them replied; 0 if the node stands alone.
    pub fn epoch(&self) -> Option<u32> {
        self.cores.iter().map(|core| core.epoch).min().filter(|_| self.is_complete())
    }
}

impl OpCount {
    /// Returns the name of the kind.
    pub fn kind_name(&self) -> &'static str {
        kind_name(self.op.map(OpCode::kind))
    }

    /// Returns the name of the op among those of its kind, such as `fetch_add`.
    pub fn op_name(&self) -> &'static str {
        self.op.map_or(UNKNOWN, OpCode::op_name)
    }

    /// Returns the name of the outcome: `done`, or the refusal, such as `wrong_kind`.
    pub fn outcome_name(&self) -> &'static str {
        match self.outcome {
            Status::Ok => "done",
            refusal => refusal.name(),
        }
    }
}

impl Latency {
    /// Returns the name of the kind.
    pub fn kind_name(&self) -> &'static str {
        kind_name(self.kind)
    }
}

/// The name of everything that this version does not know.
const UNKNOWN: &str = "unknown";

fn kind_name(kind: Option<Kind>) -> &'static str {
    kind.map_or(UNKNOWN, Kind::name)
}

/// What exported metrics say of their node.
#[derive(Clone, Debug)]
pub(crate) struct NodeLabels {
    /// `none` if the node stands alone, because dashboards need a value.
    pub(crate) cluster: String,
    pub(crate) node: String,
    pub(crate) driver: String,
    /// The memory budget of each core.
    pub(crate) memory_bytes_max: u64,
    /// The number of connections that each core accepts.
    pub(crate) connections_max: usize,
}

/// Reads the metrics of a node, from any thread.
pub(crate) struct MetricsReader {
    pub(crate) labels: NodeLabels,
    /// The counters of each core.
    pub(crate) counters: Vec<Arc<Counters>>,
    /// Asks the cores what they hold.
    pub(crate) census: Box<dyn Fn() -> Vec<CoreCensus> + Send + Sync>,
}

impl MetricsReader {
    pub(crate) fn read(&self) -> Metrics {
        // First, so that the sums include what a core has counted by the time it replies.
        let cores = self.census();
        let mut ops: BTreeMap<(Option<OpCode>, Status), u64> = BTreeMap::new();
        let mut latency: BTreeMap<(Option<Kind>, bool), Histogram> = BTreeMap::new();
        for counters in &self.counters {
            for OpCount { op, outcome, count } in counters.ops() {
                *ops.entry((op, outcome)).or_default() += count;
            }
            for Latency { kind, waited, histogram } in counters.latency() {
                latency.entry((kind, waited)).or_default().add(&histogram);
            }
        }
        let count = |((op, outcome), count)| OpCount { op, outcome, count };
        let of_kind = |((kind, waited), histogram)| Latency { kind, waited, histogram };
        Metrics {
            ops: ops.into_iter().map(count).collect(),
            latency: latency.into_iter().map(of_kind).collect(),
            cores,
            resident_bytes: resident_bytes(),
            cores_all: self.counters.len(),
        }
    }

    /// Returns what each core holds. A core that does not reply within a second is left out.
    pub(crate) fn census(&self) -> Vec<CoreCensus> {
        (self.census)()
    }
}

impl fmt::Debug for MetricsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsReader").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// The threads that export the metrics. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Exporters {
    http: Option<(SocketAddr, HttpThread)>,
    _stdout: Option<StdoutThread>,
}

impl Exporters {
    pub(crate) fn start(
        reader: Arc<MetricsReader>,
        listener: Option<TcpListener>,
        emf: Option<Duration>,
    ) -> io::Result<Exporters> {
        let serve = |listener: TcpListener| {
            let address = listener.local_addr()?;
            io::Result::Ok((address, HttpThread::spawn(reader.clone(), listener)?))
        };
        let http = listener.map(serve).transpose()?;
        let stdout =
            emf.map(|interval| StdoutThread::spawn(reader.clone(), interval)).transpose()?;
        Ok(Exporters { http, _stdout: stdout })
    }

    /// Returns where the metrics are served over HTTP.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(address, _)| *address)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_of_the_protocol_in_snake_case() {
        let names = |op, outcome| {
            let it = OpCount { op, outcome, count: 1 };
            [it.kind_name(), it.op_name(), it.outcome_name()]
        };
        let fetch_add = names(Some(OpCode::CounterFetchAdd), Status::Ok);
        assert_eq!(fetch_add, ["counter", "fetch_add", "done"]);
        let wait = names(Some(OpCode::ObjectWaitNewer), Status::WrongKind);
        assert_eq!(wait, ["object", "wait_newer", "wrong_kind"]);
        assert_eq!(names(None, Status::UnknownOp), ["unknown", "unknown", "unknown_op"]);
        let all: BTreeSet<[&str; 3]> =
            OpCode::ALL.iter().map(|op| names(Some(*op), Status::Ok)).collect();
        assert_eq!(all.len(), OpCode::ALL.len());
        assert!(all.iter().all(|[_, op, _]| !op.is_empty()));
    }
}
