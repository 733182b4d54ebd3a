//! How a run ends: its summary, or why it failed.

use alloc::format;
use alloc::string::String;
use core::fmt;

use catena_protocol::ShardId;

use crate::chain::outbox::ReplicaReport;
use crate::chain::record::NodeId;

/// The summary of a run in which every invariant held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// The hash of all events.
    pub trace: u64,
    /// The number of events.
    pub events: u64,
    /// The number of client calls that were answered.
    pub answered: u64,
    /// The number of client calls whose outcome remains unknown.
    pub open: u64,
    /// The last epoch.
    pub epoch: u32,
    /// Whether no member survived, so that calls could not end.
    pub lost: bool,
}

impl fmt::Display for RunSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunSummary { trace, events, answered, open, epoch, lost } = self;
        write!(
            f,
            "trace hash {trace}, {events} events, {answered} calls answered, {open} open, \
             epoch {epoch}"
        )?;
        if *lost { f.write_str(", no member survived") } else { Ok(()) }
    }
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimFailure {
    /// The seed that reproduces it.
    pub seed: u64,
    /// The rule that was left out, if any.
    pub without: Option<&'static str>,
    /// When it was found, in simulated microseconds; `None` if it was found at the end of the run,
    /// or if a panic ended the run.
    pub at_us: Option<u64>,
    /// What went wrong.
    pub kind: FailureKind,
}

/// What went wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailureKind {
    /// An invariant did not hold.
    #[error("invariant {} ({invariant}): {detail}", *invariant as u8)]
    Violated {
        /// Which.
        invariant: Invariant,
        /// Where, and what was found there.
        detail: String,
    },
    /// A replica reported a peer that no fault of the simulator explains.
    #[error("shard {}: {}", shard.0, describe(*node, *report))]
    Reported {
        /// The shard.
        shard: ShardId,
        /// The node that reported it.
        node: NodeId,
        /// Its report.
        report: ReplicaReport,
    },
    /// A client got a reply that does not fit its request.
    #[error("unexpected reply: {0}")]
    UnexpectedReply(String),
    /// The code under test, or the simulator, panicked.
    #[error("panicked: {0}")]
    Panicked(String),
}

/// What every run is checked for: the first three after every event, the others at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// The entries on which replies to clients depend are in the log of every member of the newest
    /// record.
    RepliesAreDurable = 1,
    /// Logs of members nest along the chain, and have equal hashes at equal indices.
    LogsNest = 2,
    /// A committed entry stays committed, and no two entries are committed at one index.
    CommitsAreFinal = 3,
    /// A linearizable store could have given the replies that the clients got.
    Linearizable = 4,
    /// Once the faults are over, every call ends and all members work in one epoch.
    Recovers = 5,
    /// Members that have applied the same log have the same state.
    StatesAreEqual = 6,
    /// A shard's time advances by the time that passes, whatever the clocks of nodes say.
    TimeElapses = 7,
}

impl FailureKind {
    pub(super) fn violated(invariant: Invariant, detail: String) -> FailureKind {
        FailureKind::Violated { invariant, detail }
    }
}

impl SimFailure {
    /// Returns the command that reproduces the failure and prints every event.
    pub fn command(&self) -> String {
        let SimFailure { seed, without, .. } = self;
        let without = without.map_or(String::new(), |rule| format!(" --without {rule}"));
        format!("catena-sim --seed {seed} --trace{without}")
    }
}

impl fmt::Display for SimFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} failed: ", self.seed)?;
        if let Some(at_us) = self.at_us {
            write!(f, "at {:.6} s: ", at_us as f64 / 1e6)?;
        }
        self.kind.fmt(f)
    }
}

impl core::error::Error for SimFailure {}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invariant::RepliesAreDurable => "members have every entry that a reply depends on",
            Invariant::LogsNest => "logs nest along the chain",
            Invariant::CommitsAreFinal => "committed entries stay as they are",
            Invariant::Linearizable => "replies are linearizable",
            Invariant::Recovers => "the cluster recovers",
            Invariant::StatesAreEqual => "equal logs give equal states",
            Invariant::TimeElapses => "time advances by the time that passes",
        })
    }
}

fn describe(node: NodeId, report: ReplicaReport) -> String {
    match report {
        ReplicaReport::Diverged(peer) => format!("the logs of {node} and {peer} diverged"),
        ReplicaReport::Differs(peer) => format!("{node} and {peer} came to other replies"),
        ReplicaReport::Behind(peer) => format!("{peer} needs entries that {node} no longer keeps"),
    }
}
