//! Coordination: how workers agree, one all-reduce call at a time.
//!
//! A [`Phase`] names an object and a round of it. Phases before the iterations have an object each, so their results
//! stay; the iterations take turns on two objects, so that the last two rounds stay, and so do relocations. So the
//! objects of a job are known before it begins, however long it takes. Hence:
//!
//! 1. A contribution is named by (phase, party): repeating it changes nothing and gets the same result.
//! 2. A worker that starts again repeats the phases before the iterations, reads the last two rounds, and their
//!    relocations if there were any, with [`AllReduce::last`], and knows the current centres from these alone.
//! 3. All parties take the same decisions, because they only decide on reduced values.
//!
//! [`Local`] is the same within a process, for tests and for those who want no engine.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How contributions are combined, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceOp {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
}

/// A step that all workers take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// How many rows each party has, where nobody counted them before.
    Count,
    /// The largest magnitude of each dimension.
    Range,
    /// The sum of each dimension.
    Mean,
    /// The rows that become initial centroids, or one draw of k-means++.
    Init(u64),
    /// Round `n` of assigning points to centres.
    Step(u64),
    /// What each party offers to the empty clusters of a round, the `n`th that has any: its points farthest from their
    /// centres.
    Farthest(u64),
    /// The coordinates of the points that these clusters move to.
    Relocate(u64),
}

impl Phase {
    /// The number of the round within its object.
    #[must_use]
    pub fn round(self) -> u64 {
        match self {
            Self::Step(round) | Self::Farthest(round) | Self::Relocate(round) => round / 2,
            Self::Count | Self::Range | Self::Mean | Self::Init(_) => 0,
        }
    }

    /// A phase on each of the objects of a job with so many draws of initial centroids.
    pub(crate) fn objects(draws: u64) -> impl Iterator<Item = Self> {
        let turns = [Self::Step, Self::Farthest, Self::Relocate];
        let turns = turns.into_iter().flat_map(|phase| [phase(0), phase(1)]);
        [Self::Count, Self::Range, Self::Mean]
            .into_iter()
            .chain(turns)
            .chain((0..draws).map(Self::Init))
    }

    /// What people call it.
    pub(crate) fn step_name(self) -> String {
        match self {
            Self::Step(round) => format!("round {round}"),
            other => other.to_string(),
        }
    }

    /// The round of iterations that `round` of this object was.
    pub(crate) fn step_of(self, round: u64) -> u64 {
        match self {
            Self::Step(any) => round * 2 + any % 2,
            _ => round,
        }
    }
}

/// The name of the object, below the job's.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Range => f.write_str("range"),
            Self::Mean => f.write_str("mean"),
            Self::Init(draw) => write!(f, "init/{draw}"),
            Self::Step(round) => write!(f, "step/{}", round % 2),
            Self::Farthest(round) => write!(f, "farthest/{}", round % 2),
            Self::Relocate(round) => write!(f, "relocate/{}", round % 2),
        }
    }
}

/// One party's way to the others.
pub trait AllReduce {
    /// Contributes `values`, waits for all parties, leaves the reduced values in their place.
    ///
    /// # Errors
    ///
    /// [`Error::Behind`] if the others are farther, which they can be if this party is somewhere else as well. Not all
    /// parties came in time, or the engine is gone.
    fn all_reduce(&mut self, phase: Phase, op: ReduceOp, values: &mut Vec<i64>) -> Result<()>;

    /// The last complete round of the object of `phase`.
    ///
    /// # Errors
    ///
    /// The engine is gone.
    fn last(&mut self, phase: Phase) -> Result<Option<(u64, Vec<i64>)>>;
}

/// The last two rounds of the iterations that are complete, the later one first.
pub(crate) struct LastSteps {
    pub(crate) round: u64,
    pub(crate) totals: Vec<i64>,
    pub(crate) totals_before: Option<Vec<i64>>,
}

/// Reads how far the others are; `None` before the first round is complete.
///
/// While the asking party does not contribute, at most the round it had contributed to before can complete. So the
/// two answers are at most one round apart whatever their order, unless the same party is somewhere else as well and
/// goes on: then it is asked again.
pub(crate) fn last_steps(link: &mut dyn AllReduce) -> Result<Option<LastSteps>> {
    loop {
        let mut found = Vec::new();
        for phase in [Phase::Step(0), Phase::Step(1)] {
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
            // Rounds take turns on two objects, so one was read before, and one after others.
            _ => {}
        }
    }
}

/// A meeting place within this process.
#[derive(Debug, Clone)]
pub struct Local {
    meeting: Arc<Meeting>,
    parties: u32,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct Meeting {
    objects: Mutex<HashMap<String, Object>>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Object {
    round: u64,
    contributions: HashMap<u32, Vec<i64>>,
    last: Option<(u64, Vec<i64>)>,
}

impl Local {
    /// A place for `parties`, who wait for each other at most `timeout`.
    #[must_use]
    pub fn new(parties: u32, timeout: Duration) -> Self {
        Self { meeting: Arc::default(), parties, timeout }
    }

    /// The way in for one party.
    #[must_use]
    pub fn join(&self, party: u32) -> LocalLink {
        LocalLink { local: self.clone(), party }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<String, Object>> {
        // A party that panicked leaves whole contributions behind.
        self.meeting.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One party's way to a [`Local`] meeting.
#[derive(Debug)]
pub struct LocalLink {
    local: Local,
    party: u32,
}

impl AllReduce for LocalLink {
    fn all_reduce(&mut self, phase: Phase, op: ReduceOp, values: &mut Vec<i64>) -> Result<()> {
        let (name, round, local) = (phase.to_string(), phase.round(), &self.local);
        let until = Instant::now() + local.timeout;
        let mut objects = local.objects();
        let object = objects.entry(name.clone()).or_default();
        if object.round == round {
            object.contributions.entry(self.party).or_insert_with(|| values.clone());
            if object.contributions.len() == local.parties as usize {
                object.complete(op);
                local.meeting.changed.notify_all();
            }
        }
        loop {
            let object = objects.get(&name).expect("objects stay");
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
                    (0..local.parties).filter(|party| !object.contributions.contains_key(party));
                let missing = missing.map(|party| party.to_string()).collect::<Vec<_>>().join(", ");
                return Err(Error::Missing {
                    object: name,
                    round,
                    timeout: local.timeout,
                    missing,
                });
            }
            let waited = local.meeting.changed.wait_timeout(objects, left);
            objects = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn last(&mut self, phase: Phase) -> Result<Option<(u64, Vec<i64>)>> {
        Ok(self.local.objects().get(&phase.to_string()).and_then(|object| object.last.clone()))
    }
}

impl Object {
    fn complete(&mut self, op: ReduceOp) {
        let combine: fn(i64, i64) -> i64 = match op {
            ReduceOp::Sum => i64::wrapping_add,
            ReduceOp::Max => i64::max,
        };
        let result =
            self.contributions.drain().map(|(_, values)| values).reduce(|mut total, values| {
                assert_eq!(total.len(), values.len(), "all parties contribute as many values");
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
