//! Coordination: workers agree through one all-reduce call per iteration.
//!
//! A [`Phase`] names a shared object and a round of it. Each phase before the iterations has its
//! own object, which keeps its result. The iterations take turns with three objects, so that the
//! results of the last two rounds are kept, also while the next one is reduced in several pieces;
//! relocations, which are never in pieces, alternate between two. The number of objects therefore does
//! not depend on the number of iterations, and a driver can create them in advance. This
//! guarantees:
//!
//! 1. A contribution is identified by (phase, party). Repeating it changes nothing and returns the
//!    same result.
//! 2. A restarted worker repeats the phases before the iterations and reads the results of the last
//!    two rounds, and of their relocations, with [`AllReduce::last`]. The current centres follow
//!    from these alone.
//! 3. All parties make the same decisions, because they decide on reduced values only.
//!
//! [`LocalGroup`] does the same within a process, for tests and for jobs without an engine.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Number of objects that the iterations take turns with.
pub(crate) const STEPS: u64 = 3;

/// How contributions are combined, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceOp {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
}

/// A step that all workers take together: the object and the round of one all-reduce call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Number of rows of each party, if they were not counted before.
    Count,
    /// The range of each dimension without missing values.
    FillRange,
    /// The sum of each dimension without missing values, and the number of values.
    FillMean,
    /// The range of each column, to scale it.
    ScaleRange,
    /// The sum of each column, to scale it.
    ScaleMean,
    /// The sum of squared differences from the mean of each column, to scale it.
    ScaleVariance,
    /// The first row that is zero and has no direction, if there is one.
    ZeroRow,
    /// The range of each dimension.
    Range,
    /// The sum of each dimension.
    Mean,
    /// The largest weight.
    Weights,
    /// The sum of the weights of each party.
    WeightTotals,
    /// The rows that become initial centroids, or one call of k-means++.
    Init(u64),
    /// The result of k-means++, for workers that are restarted.
    Initial,
    /// Round `n` of assigning points to centres.
    Step(u64),
    /// The points farthest from their centres that each party offers to the empty clusters of a
    /// round; `n` counts the rounds that had empty clusters.
    Farthest(u64),
    /// The coordinates of the points that these clusters move to.
    Relocate(u64),
}

impl Phase {
    /// Returns the number of the round within its object.
    #[must_use]
    pub fn round(self) -> u64 {
        match self {
            Self::Step(round) => round / STEPS,
            Self::Farthest(round) | Self::Relocate(round) => round / 2,
            Self::Count
            | Self::FillRange
            | Self::FillMean
            | Self::ScaleRange
            | Self::ScaleMean
            | Self::ScaleVariance
            | Self::ZeroRow
            | Self::Range
            | Self::Mean
            | Self::Weights
            | Self::WeightTotals
            | Self::Init(_)
            | Self::Initial => 0,
        }
    }

    /// Returns one phase for each object of a job with this many calls for initial centroids.
    pub(crate) fn objects(draws: u64) -> impl Iterator<Item = Self> {
        let turns = [Self::Farthest, Self::Relocate];
        let turns = turns.into_iter().flat_map(|phase| [phase(0), phase(1)]);
        let turns = (0..STEPS).map(Self::Step).chain(turns);
        let before = [
            Self::Count,
            Self::FillRange,
            Self::FillMean,
            Self::ScaleRange,
            Self::ScaleMean,
            Self::ScaleVariance,
            Self::ZeroRow,
            Self::Range,
            Self::Mean,
            Self::Weights,
            Self::WeightTotals,
            Self::Initial,
        ];
        before.into_iter().chain(turns).chain((0..draws).map(Self::Init))
    }

    /// Returns a number that grows from each phase of a job to the next one.
    pub(crate) fn rank(self) -> u64 {
        /// More than the calls of an initialisation.
        const ROUNDS: u64 = 1 << 48;
        match self {
            Self::Count => 1,
            Self::FillRange => 2,
            Self::FillMean => 3,
            Self::ScaleRange => 4,
            Self::ScaleMean => 5,
            Self::ScaleVariance => 6,
            Self::ZeroRow => 7,
            Self::Range => 8,
            Self::Mean => 9,
            Self::Weights => 10,
            Self::WeightTotals => 11,
            Self::Init(call) => 12 + call,
            Self::Initial => ROUNDS,
            // Relocations belong to a round and are counted otherwise.
            Self::Farthest(_) | Self::Relocate(_) => 0,
            Self::Step(round) => ROUNDS + 1 + round,
        }
    }

    /// Returns the name of the phase for messages.
    pub(crate) fn step_name(self) -> String {
        match self {
            Self::Step(round) => format!("round {round}"),
            other => other.to_string(),
        }
    }

    /// Returns the round of the iterations that `round` of this object was.
    pub(crate) fn step_of(self, round: u64) -> u64 {
        match self {
            Self::Step(any) => round * STEPS + any % STEPS,
            _ => round,
        }
    }
}

/// The name of the object, below the job's name.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::FillRange => f.write_str("fill/range"),
            Self::FillMean => f.write_str("fill/mean"),
            Self::ScaleRange => f.write_str("scale/range"),
            Self::ScaleMean => f.write_str("scale/mean"),
            Self::ScaleVariance => f.write_str("scale/variance"),
            Self::ZeroRow => f.write_str("zero"),
            Self::Weights => f.write_str("weights"),
            Self::WeightTotals => f.write_str("weights/totals"),
            Self::Range => f.write_str("range"),
            Self::Mean => f.write_str("mean"),
            Self::Initial => f.write_str("initial"),
            Self::Init(draw) => write!(f, "init/{draw}"),
            Self::Step(round) => write!(f, "step/{}", round % STEPS),
            Self::Farthest(round) => write!(f, "farthest/{}", round % 2),
            Self::Relocate(round) => write!(f, "relocate/{}", round % 2),
        }
    }
}

/// One party's connection to the others.
pub trait AllReduce {
    /// Contributes `values`, waits for all parties, and replaces `values` by the reduced values.
    ///
    /// # Errors
    ///
    /// [`Error::Behind`] if the round is over, which happens if the same party runs twice. Not all
    /// parties contributed in time, or the engine is unreachable.
    fn all_reduce(&mut self, phase: Phase, op: ReduceOp, values: &mut Vec<i64>) -> Result<()>;

    /// Returns the number and the result of the last complete round of the object of `phase`.
    ///
    /// # Errors
    ///
    /// The engine is unreachable.
    fn last(&mut self, phase: Phase) -> Result<Option<(u64, Vec<i64>)>>;
}

/// The results of the last complete round of the iterations, and of the one before it.
pub(crate) struct LastSteps {
    pub(crate) round: u64,
    pub(crate) totals: Vec<i64>,
    pub(crate) totals_before: Option<Vec<i64>>,
}

/// Reads the state of the iterations; returns `None` before the first round is complete.
///
/// While the caller does not contribute, only the round that it has contributed to before can
/// complete. So the newest two of the objects are one round apart, whatever the order of the reads,
/// unless the same party runs twice and goes on meanwhile: then they are read again.
pub(crate) fn last_steps(link: &mut dyn AllReduce) -> Result<Option<LastSteps>> {
    loop {
        let mut found = Vec::new();
        for phase in (0..STEPS).map(Phase::Step) {
            if let Some((round, totals)) = link.last(phase)? {
                found.push((phase.step_of(round), totals));
            }
        }
        found.sort_by_key(|(round, _)| *round);
        let Some((round, totals)) = found.pop() else { return Ok(None) };
        match (found.pop(), round) {
            (Some((before, totals_before)), _) if before + 1 == round => {
                return Ok(Some(LastSteps { round, totals, totals_before: Some(totals_before) }));
            }
            (None, 0) => return Ok(Some(LastSteps { round, totals, totals_before: None })),
            // A round completed between the two reads.
            _ => {}
        }
    }
}

/// The parties of a job within this process.
#[derive(Debug, Clone)]
pub struct LocalGroup {
    state: Arc<GroupState>,
    parties: u32,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct GroupState {
    objects: Mutex<HashMap<String, LocalReduction>>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LocalReduction {
    round: u64,
    contributions: HashMap<u32, Vec<i64>>,
    last: Option<(u64, Vec<i64>)>,
}

impl LocalGroup {
    /// Creates a group of `parties`, which wait for each other for at most `timeout`.
    #[must_use]
    pub fn new(parties: u32, timeout: Duration) -> Self {
        Self { state: Arc::default(), parties, timeout }
    }

    /// Returns the connection of one party.
    #[must_use]
    pub fn join(&self, party: u32) -> LocalLink {
        LocalLink { group: self.clone(), party }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<String, LocalReduction>> {
        // A party that panics leaves no half contribution.
        self.state.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One party's connection to a [`LocalGroup`].
#[derive(Debug)]
pub struct LocalLink {
    group: LocalGroup,
    party: u32,
}

impl AllReduce for LocalLink {
    fn all_reduce(&mut self, phase: Phase, op: ReduceOp, values: &mut Vec<i64>) -> Result<()> {
        let (name, round, group) = (phase.to_string(), phase.round(), &self.group);
        let until = Instant::now() + group.timeout;
        let mut objects = group.objects();
        let object = objects.entry(name.clone()).or_default();
        if object.round == round {
            object.contributions.entry(self.party).or_insert_with(|| values.clone());
            if object.contributions.len() == group.parties as usize {
                object.complete(op);
                group.state.changed.notify_all();
            }
        }
        loop {
            let object = objects.get(&name).expect("objects are not removed");
            match &object.last {
                Some((last, result)) if *last == round => {
                    values.clone_from(result);
                    return Ok(());
                }
                _ => {}
            }
            if object.round > round {
                return Err(Error::Behind { object: name, round });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let missing =
                    (0..group.parties).filter(|party| !object.contributions.contains_key(party));
                let missing = missing.map(|party| party.to_string()).collect::<Vec<_>>().join(", ");
                return Err(Error::Missing {
                    object: name,
                    round,
                    timeout: group.timeout,
                    missing,
                });
            }
            let waited = group.state.changed.wait_timeout(objects, left);
            objects = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn last(&mut self, phase: Phase) -> Result<Option<(u64, Vec<i64>)>> {
        Ok(self.group.objects().get(&phase.to_string()).and_then(|object| object.last.clone()))
    }
}

impl LocalReduction {
    fn complete(&mut self, op: ReduceOp) {
        let combine: fn(i64, i64) -> i64 = match op {
            ReduceOp::Sum => i64::wrapping_add,
            ReduceOp::Max => i64::max,
        };
        let result =
            self.contributions.drain().map(|(_, values)| values).reduce(|mut total, values| {
                assert_eq!(
                    total.len(),
                    values.len(),
                    "all parties contribute the same number of values"
                );
                total
                    .iter_mut()
                    .zip(values)
                    .for_each(|(total, value)| *total = combine(*total, value));
                total
            });
        self.last = Some((self.round, result.expect("there is a party")));
        self.round += 1;
    }
}
