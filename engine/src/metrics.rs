//! What a node does, in numbers: counted by its cores, read by whoever asks.
//!
//! Each core has counters that it alone writes ([`meter`]), always on. [`Reader`] sums them, asks the cores
//! what they hold, and makes [`Metrics`] of it: for the program that embeds the engine, for Prometheus at an
//! HTTP port ([`http`]), and for CloudWatch on the standard output ([`stdout`]), each of these in a thread of
//! its own beside the cores.
//!
//! What is counted, exactly:
//!
//! 1. *Ops* are requests answered by this node, with the outcome that their reply has: a retry counts again,
//!    a request that nobody answers (its member left the cluster, its client repeats it elsewhere) does not,
//!    and neither does what other nodes forward.
//! 2. *Latency* is the time from the beginning of the turn that took the request up to the end of the turn
//!    that answered it, when its reply was handed to the socket. It begins when the core turns to the bytes
//!    that it received: how long they had been lying there, in the socket or behind other connections of the
//!    core, is not in it. It is measured once a turn, in whole microseconds.
//! 3. In a cluster an answer is held until all members have what it depends on. Its latency ends at the
//!    beginning of the turn that hears of that.
//! 4. The latency of a request that *waited* for something to happen (for a lock, for other parties, for its
//!    deadline) is kept apart: it says how long that took to happen, not how fast the node is. It begins with
//!    the first request also if that was repeated.

mod emf;
mod histogram;
mod http;
mod meter;
mod prometheus;
mod stdout;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use catena_protocol::{Kind, OpCode, Status};
use crossbeam::channel::bounded;

pub use self::histogram::Histogram;
use self::http::HttpThread;
pub(crate) use self::meter::{Counters, Meter};
use self::stdout::StdoutThread;
use crate::io::{Command, CoreCensus, CoreHand};

/// What a node has done since it started, and what it holds.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// How many requests were answered, by op and outcome, where there are any.
    pub ops: Vec<OpCount>,
    /// How long they took, by kind.
    pub latency: Vec<Latency>,
    /// What each core holds. A core that does not answer within a second is left out.
    pub cores: Vec<CoreCensus>,
    /// How many cores there are.
    cores_all: usize,
}

/// How many requests for an op ended in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpCount {
    /// The op; `None` for all that this version does not know.
    pub op: Option<OpCode>,
    /// How they ended.
    pub outcome: Status,
    /// How many.
    pub count: u64,
}

/// How long requests for one kind of object took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The kind; `None` for ops that this version does not know.
    pub kind: Option<Kind>,
    /// Whether they had to wait for something to happen.
    pub waited: bool,
    /// How long.
    pub histogram: Histogram,
}

impl Metrics {
    /// Whether all cores answered.
    pub fn is_complete(&self) -> bool {
        self.cores_all > 0 && self.cores.len() == self.cores_all
    }

    /// The epoch that the node acts by, once all its cores do; 0 if it is alone.
    pub fn epoch(&self) -> Option<u32> {
        self.cores.iter().map(|core| core.epoch).min().filter(|_| self.is_complete())
    }
}

impl OpCount {
    /// What the kind is called.
    pub fn kind_name(&self) -> &'static str {
        kind_name(self.op.map(OpCode::kind))
    }

    /// What the op is called among those of its kind, such as `fetch_add`.
    pub fn op_name(&self) -> &'static str {
        self.op.map_or(UNKNOWN, OpCode::op_name)
    }

    /// What the outcome is called: `done`, or the refusal, such as `wrong_kind`.
    pub fn outcome_name(&self) -> &'static str {
        match self.outcome {
            Status::Ok => "done",
            refusal => refusal.name(),
        }
    }
}

impl Latency {
    /// What the kind is called.
    pub fn kind_name(&self) -> &'static str {
        kind_name(self.kind)
    }
}

/// What this version does not know.
const UNKNOWN: &str = "unknown";

fn kind_name(kind: Option<Kind>) -> &'static str {
    kind.map_or(UNKNOWN, Kind::name)
}

/// Which node it is whose metrics these are.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// `none` if it is alone: dashboards look for something.
    pub(crate) cluster: String,
    pub(crate) node: String,
    pub(crate) driver: String,
    /// What each core may use.
    pub(crate) memory_bytes_max: u64,
}

/// Reads the metrics of a node, from any thread.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) about: About,
    pub(crate) cores: Vec<(CoreHand, Arc<Counters>)>,
}

impl Reader {
    pub(crate) fn read(&self) -> Metrics {
        // First: what a core has counted by the time that it answers is seen.
        let cores = self.census();
        let mut ops: BTreeMap<(Option<OpCode>, Status), u64> = BTreeMap::new();
        let mut latency: BTreeMap<(Option<Kind>, bool), Histogram> = BTreeMap::new();
        for (_, counters) in &self.cores {
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
            cores_all: self.cores.len(),
        }
    }

    /// What each core holds. A core that does not answer within a second is left out.
    pub(crate) fn census(&self) -> Vec<CoreCensus> {
        let ask = |(core, _): &(CoreHand, _)| {
            let (reply, census) = bounded(1);
            core.send(Command::Census(reply)).then_some(census)
        };
        let asked: Vec<_> = self.cores.iter().filter_map(ask).collect();
        let within = Duration::from_secs(1);
        asked.iter().filter_map(|census| census.recv_timeout(within).ok()).collect()
    }
}

/// The threads that tell others the metrics, as long as this is there.
#[derive(Debug)]
pub(crate) struct Tellers {
    http: Option<(SocketAddr, HttpThread)>,
    _stdout: Option<StdoutThread>,
}

impl Tellers {
    pub(crate) fn start(
        reader: Arc<Reader>,
        listener: Option<TcpListener>,
        emf: Option<Duration>,
    ) -> io::Result<Tellers> {
        let serve = |listener: TcpListener| {
            let address = listener.local_addr()?;
            io::Result::Ok((address, HttpThread::spawn(reader.clone(), listener)?))
        };
        let http = listener.map(serve).transpose()?;
        let stdout = emf.map(|every| StdoutThread::spawn(reader.clone(), every)).transpose()?;
        Ok(Tellers { http, _stdout: stdout })
    }

    /// Where they are served over HTTP.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(address, _)| *address)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_of_the_protocol_in_small_letters() {
        let named = |op, outcome| {
            let it = OpCount { op, outcome, count: 1 };
            [it.kind_name(), it.op_name(), it.outcome_name()]
        };
        let fetch_add = named(Some(OpCode::CounterFetchAdd), Status::Ok);
        assert_eq!(fetch_add, ["counter", "fetch_add", "done"]);
        let wait = named(Some(OpCode::ObjectWaitNewer), Status::WrongKind);
        assert_eq!(wait, ["object", "wait_newer", "wrong_kind"]);
        assert_eq!(named(None, Status::UnknownOp), ["unknown", "unknown", "unknown_op"]);
        let all: BTreeSet<[&str; 3]> =
            OpCode::ALL.iter().map(|op| named(Some(*op), Status::Ok)).collect();
        assert_eq!(all.len(), OpCode::ALL.len());
        assert!(all.iter().all(|[_, op, _]| !op.is_empty()));
    }
}
