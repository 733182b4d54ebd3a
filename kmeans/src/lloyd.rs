//! Lloyd's iterations on one worker's rows, in step with the other workers.
//!
//! A round assigns every point to its nearest centre and contributes, in one all-reduce, per-cluster sums and counts and
//! the cost. The totals make the next centres, the same bits for everybody. A contribution is as long for a thousand
//! workers as for one; only in a round with an empty cluster, two more calls ask all for their farthest points, and
//! the owners of those that are chosen for their coordinates. Promised:
//!
//! 1. The result depends on the data, the initial centroids, `iterations` and `tolerance` alone; not on the number of
//!    workers, their kind, or a worker that died and was started again. Labels are those of [`crate::kernel`], sums
//!    those of [`crate::fixed`].
//! 2. It is Lloyd's: every round is over all points, nothing is sampled. Cost and labels belong to the centroids that
//!    are returned, so after the last update one more round assigns the points without moving a centre, unless the
//!    centres had come to rest.
//! 3. An empty cluster takes over the point farthest from its centre, lowest row first, as scikit-learn does; up to
//!    [`RELOCATIONS_MAX`] a round. A cluster that finds no such point returns to its initial centroid, which needs no
//!    memory of earlier rounds and cannot raise the cost. There is never a NaN.
//!
//! A worker keeps its sums between rounds and moves only the points whose label changed: integers make that exact. It
//! may leave alone the points whose label cannot have changed ([`crate::pruning`]): their distance to their centre is
//! found all the same, since cost and farthest points need it.

use std::time::Instant;

use crate::coordination::{self, AllReduce, Phase, ReduceOp};
use crate::data::Points;
use crate::error::{Error, Result};
use crate::fixed;
use crate::init;
use crate::kernel::{Centres, Element, Isa, Scratch, UNASSIGNED, move_rows};
use crate::pruning::{Block, Pruner};
use crate::settings::Settings;

/// Empty clusters that can be moved in one round; each party offers as many points.
pub const RELOCATIONS_MAX: usize = 4;

/// Points that changed their label, in the totals of a round of so many clusters and dimensions.
pub(crate) fn moved(totals: &[i64], k: usize, dims: usize) -> Option<i64> {
    // After sums, counts and cost.
    totals.get(k * dims + k + 1).copied()
}

/// Distance, row and label.
const CANDIDATE_VALUES: usize = 3;

/// Cost, moved, last, relocations: what a contribution ends with.
const NUMBERS: usize = 4;

/// Distances may be rounded up to this much above what the range of the data allows.
const ROUNDING_SLACK: f64 = 1.01;

/// What all workers of a job know.
#[derive(Debug, Clone)]
pub struct Problem {
    /// How the points are clustered.
    pub settings: Settings,
    /// All points, of all workers.
    pub points: u64,
    /// Which worker this is.
    pub party: u32,
    /// How many there are.
    pub parties: u32,
}

/// What one round was like for one worker.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Round {
    /// Counted from 0; the one that follows the last update is a round too.
    pub round: u64,
    /// The sum of squared distances to the round's centres, over all points.
    pub cost: f64,
    /// Points of all workers with another label than in the round before.
    pub moved: i64,
    /// The whole round.
    pub seconds: f64,
    /// The part of it spent on contributing and waiting for the others.
    pub seconds_coordination: f64,
    /// All-reduce calls.
    pub calls: u64,
}

/// What all workers agree on in the end, and one worker's labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// `k × dims`, row by row.
    pub centroids: Vec<f64>,
    /// Points per cluster.
    pub counts: Vec<i64>,
    /// The sum of squared distances to `centroids`.
    pub cost: f64,
    /// Updates of the centres.
    pub iterations: u64,
    /// Whether the centres came to rest, within the tolerance, before the iterations ran out.
    pub converged: bool,
    /// Of this worker's rows.
    pub labels: Vec<u32>,
}

/// Runs the iterations for one worker; `again` if it may have contributed before, in another life.
///
/// # Errors
///
/// Values too large to square, and those of the coordination.
pub fn run<T: Element>(
    problem: &Problem,
    points: &Points<T>,
    isa: Isa,
    link: &mut dyn AllReduce,
    again: bool,
    on_round: &mut dyn FnMut(Round) -> Result<()>,
) -> Result<Outcome> {
    let mut worker = Worker::prepare(problem, points, isa, link)?;
    let mut state = if again { worker.catch_up(link)? } else { worker.first() };
    loop {
        let start = Instant::now();
        let contribution = worker.assign(&state);
        let computed = start.elapsed();
        let (totals, next) = match worker.agree(contribution, &state, link) {
            Err(Error::Behind { .. }) => {
                state = worker.catch_up(link)?;
                continue;
            }
            agreed => agreed?,
        };
        let seconds = start.elapsed().as_secs_f64();
        on_round(Round {
            round: state.round,
            cost: totals.cost,
            moved: totals.moved,
            seconds,
            seconds_coordination: seconds - computed.as_secs_f64(),
            calls: if totals.relocates() { 3 } else { 1 },
        })?;
        if let Some(next) = next {
            state = next;
            continue;
        }
        let at_rest = totals.last == Last::No;
        return Ok(Outcome {
            centroids: state.centroids,
            counts: totals.counts,
            cost: totals.cost,
            iterations: if at_rest { state.round + 1 } else { state.round },
            converged: at_rest || totals.last == Last::WithinTolerance,
            labels: worker.labels,
        });
    }
}

/// Where the iterations are; the same for all workers.
struct State {
    round: u64,
    centroids: Vec<f64>,
    last: Last,
    /// Rounds before this one in which points were offered to empty clusters.
    relocations: u64,
}

/// Whether a round is the last, and why. All parties contribute the same, so that totals tell it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    No = 0,
    WithinTolerance = 1,
    OutOfIterations = 2,
}

/// One round's totals over all workers.
struct Totals {
    round: u64,
    sums: Vec<i64>,
    counts: Vec<i64>,
    cost: f64,
    moved: i64,
    last: Last,
    /// See [`State::relocations`].
    relocations: u64,
}

impl Totals {
    fn relocates(&self) -> bool {
        self.last == Last::No && self.counts.contains(&0)
    }
}

/// A point that an empty cluster could take over.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    distance: f64,
    row: u64,
    label: u32,
}

struct Worker<'a, T> {
    problem: &'a Problem,
    points: &'a Points<T>,
    isa: Isa,
    /// Per dimension, see [`fixed`].
    factors: Vec<f64>,
    cost_factor: f64,
    /// What the kernel subtracts from points and centres.
    origin: Vec<T>,
    initial: Vec<f64>,
    labels: Vec<u32>,
    sums: Vec<i64>,
    counts: Vec<i64>,
    /// Of its rows in the round that it assigned last.
    farthest: Farthest,
    assigned: Option<u64>,
    scratch: Scratch<T>,
    pruner: Pruner<T>,
}

impl<'a, T: Element> Worker<'a, T> {
    /// Agrees with the others on scales, mean and initial centroids.
    fn prepare(
        problem: &'a Problem,
        points: &'a Points<T>,
        isa: Isa,
        link: &mut dyn AllReduce,
    ) -> Result<Self> {
        let (dims, rows) = (points.dims, points.rows());
        // The largest of each dimension, then the largest of its negative.
        let mut values: Vec<i64> = extremes(points).map(fixed::to_ordered).collect();
        link.all_reduce(Phase::Range, ReduceOp::Max, &mut values)?;
        let extremes: Vec<f64> = values.into_iter().map(fixed::from_ordered).collect();
        let (high, negated_low) = extremes.split_at(dims);
        let bounds = || high.iter().zip(negated_low);
        let range: Vec<f64> = bounds().map(|(high, low)| high.abs().max(low.abs())).collect();
        let squares: f64 = range.iter().map(|max| max * max).sum();
        if squares * 4.0 > T::SQUARES_MAX {
            let max = range.iter().copied().fold(0.0, f64::max);
            return Err(Error::TooLarge { max, precision: T::PRECISION });
        }
        let factors: Vec<f64> =
            range.iter().map(|max| fixed::factor(*max, problem.points)).collect();

        let mut sums = vec![0; dims];
        move_rows(
            isa,
            &points.values,
            &factors,
            &vec![UNASSIGNED; rows],
            &vec![0; rows],
            &mut sums,
        );
        link.all_reduce(Phase::Mean, ReduceOp::Sum, &mut sums)?;
        let count = problem.points.cast_signed();
        let means =
            sums.iter().zip(&factors).map(|(sum, factor)| fixed::mean(*sum, count, *factor));
        let widths = bounds().map(|(high, negated_low)| high + negated_low);
        let origin: Vec<T> = means
            .zip(widths)
            .map(|(mean, width)| T::from_f64(fixed::round_to_width(mean, width)))
            .collect();

        let initial = init::centroids(problem, points, isa, &origin, link)?;
        let farthest = farthest_bound(&range, &initial);
        if farthest > T::SQUARES_MAX {
            let max = initial.iter().map(|c| c.abs()).fold(0.0, f64::max);
            return Err(Error::TooLarge { max, precision: T::PRECISION });
        }
        Ok(Self {
            problem,
            points,
            isa,
            factors,
            cost_factor: fixed::factor(farthest * ROUNDING_SLACK, problem.points),
            origin,
            initial,
            labels: vec![UNASSIGNED; rows],
            sums: vec![0; problem.settings.k * dims],
            counts: vec![0; problem.settings.k],
            farthest: Farthest::default(),
            assigned: None,
            scratch: Scratch::default(),
            pruner: Pruner::new(problem.settings.pruning),
        })
    }

    fn first(&self) -> State {
        let last =
            if self.problem.settings.iterations == 0 { Last::OutOfIterations } else { Last::No };
        State { round: 0, centroids: self.initial.clone(), last, relocations: 0 }
    }

    /// Where the others are, as their last rounds tell.
    fn catch_up(&mut self, link: &mut dyn AllReduce) -> Result<State> {
        loop {
            match self.follow(link) {
                // They went on meanwhile, which they can if this party is somewhere else as well.
                Err(Error::Behind { .. }) => {}
                caught_up => return caught_up,
            }
        }
    }

    fn follow(&mut self, link: &mut dyn AllReduce) -> Result<State> {
        let mut state = self.first();
        let Some(steps) = coordination::last_steps(link)? else { return Ok(state) };
        if let Some(before) = &steps.totals_before {
            let before = self.parse(before, steps.round - 1);
            // Who contributed to the round after it has offered what it could in it.
            let offered = if before.relocates() { Some(offered(&before, link)?) } else { None };
            state.centroids = self.means(&before, offered, link)?;
        }
        let totals = self.parse(&steps.totals, steps.round);
        (state.round, state.last) = (totals.round, totals.last);
        state.relocations = totals.relocations;
        // After the last round there are still its labels to be found, and its result to be fetched again.
        if totals.last != Last::No {
            return Ok(state);
        }
        Ok(self.advance(&totals, &state, link)?.unwrap_or(state))
    }

    /// Contributes to a round; answers what all have contributed, and what follows.
    fn agree(
        &mut self,
        mut values: Vec<i64>,
        state: &State,
        link: &mut dyn AllReduce,
    ) -> Result<(Totals, Option<State>)> {
        link.all_reduce(Phase::Step(state.round), ReduceOp::Sum, &mut values)?;
        let totals = self.parse(&values, state.round);
        let next = if totals.last == Last::No { self.advance(&totals, state, link)? } else { None };
        Ok((totals, next))
    }

    /// Labels all rows; returns this worker's contribution to the round.
    fn assign(&mut self, state: &State) -> Vec<i64> {
        let dims = self.points.dims;
        let centres = Centres::new(self.isa, &state.centroids, &self.origin);
        let block_rows = Centres::<T>::block_rows(dims);
        let (mut new, mut distances) = (vec![0; block_rows], vec![0.0; block_rows]);
        let mut bounds = self.pruner.begin(&centres, self.points.rows());
        let mut at = 0;
        let (mut cost, mut moved) = (0i64, 0i64);
        let mut farthest = Farthest::default();
        let mut row = self.points.first;
        let mut rest = &self.points.values[..];
        let blocks =
            self.points.values.chunks(block_rows * dims).zip(self.labels.chunks_mut(block_rows));
        for (block, old) in blocks {
            let (new, distances) = (&mut new[..old.len()], &mut distances[..old.len()]);
            let upcoming = rest.get(block.len()..).unwrap_or_default();
            rest = upcoming;
            match &mut bounds {
                None => centres.nearest(block, upcoming, &mut self.scratch, new, distances),
                Some(bounds) => {
                    let block = Block { rows: block, upcoming, old };
                    bounds.nearest(&centres, at, &block, &mut self.scratch, new, distances);
                }
            }
            at += old.len();
            move_rows(self.isa, block, &self.factors, old, new, &mut self.sums);
            for ((old, new), distance) in old.iter_mut().zip(&*new).zip(&*distances) {
                cost += fixed::quantise(*distance, self.cost_factor);
                farthest.offer(Candidate { distance: *distance, row, label: *new });
                row += 1;
                if old != new {
                    moved += 1;
                    self.counts[*new as usize] += 1;
                    if *old != UNASSIGNED {
                        self.counts[*old as usize] -= 1;
                    }
                    *old = *new;
                }
            }
        }
        self.pruner.end(moved.unsigned_abs(), self.points.rows());
        (self.farthest, self.assigned) = (farthest, Some(state.round));
        self.contribution(cost, moved, state)
    }

    /// Sums, counts, cost, moved, last, relocations.
    fn contribution(&self, cost: i64, moved: i64, state: &State) -> Vec<i64> {
        let mut values = Vec::with_capacity(self.sums.len() + self.counts.len() + NUMBERS);
        values.extend(&self.sums);
        values.extend(&self.counts);
        values.extend([cost, moved, state.last as i64, state.relocations.cast_signed()]);
        values
    }

    /// The inverse of [`Worker::contribution`], after the reduction.
    fn parse(&self, values: &[i64], round: u64) -> Totals {
        assert_eq!(
            values.len(),
            self.sums.len() + self.counts.len() + NUMBERS,
            "all parties of a job have the same k and dims"
        );
        let (sums, rest) = values.split_at(self.sums.len());
        let (counts, numbers) = rest.split_at(self.counts.len());
        let parties = i64::from(self.problem.parties);
        let last = match numbers[2] / parties {
            0 => Last::No,
            1 => Last::WithinTolerance,
            _ => Last::OutOfIterations,
        };
        Totals {
            round,
            sums: sums.to_vec(),
            counts: counts.to_vec(),
            cost: fixed::value(numbers[0], self.cost_factor),
            moved: numbers[1],
            last,
            relocations: (numbers[3] / parties).cast_unsigned(),
        }
    }

    /// What follows a round that was not the last: the next one, or nothing if the centres are at rest.
    fn advance(
        &mut self,
        totals: &Totals,
        state: &State,
        link: &mut dyn AllReduce,
    ) -> Result<Option<State>> {
        let offered = if totals.relocates() { Some(self.offer(state, link)?) } else { None };
        let relocations = state.relocations + u64::from(offered.is_some());
        let centroids = self.means(totals, offered, link)?;
        if centroids == state.centroids {
            return Ok(None);
        }
        let round = state.round + 1;
        let last = if largest_shift(&centroids, &state.centroids, self.points.dims)
            <= self.problem.settings.tolerance
        {
            Last::WithinTolerance
        } else if round >= self.problem.settings.iterations {
            Last::OutOfIterations
        } else {
            Last::No
        };
        Ok(Some(State { round, centroids, last, relocations }))
    }

    /// Offers the farthest of its rows to empty clusters; answers what all have offered, farthest first.
    fn offer(&mut self, state: &State, link: &mut dyn AllReduce) -> Result<Vec<Candidate>> {
        // A worker that starts again may find the others here.
        if self.assigned != Some(state.round) {
            self.assign(state);
        }
        let slot_len = RELOCATIONS_MAX * CANDIDATE_VALUES;
        let mut values = vec![0; self.problem.parties as usize * slot_len];
        let slots =
            values[self.problem.party as usize * slot_len..].chunks_exact_mut(CANDIDATE_VALUES);
        for (out, candidate) in slots.zip(&self.farthest.candidates) {
            let row = (candidate.row + 1).cast_signed();
            out.copy_from_slice(&[candidate.distance.to_wire(), row, i64::from(candidate.label)]);
        }
        link.all_reduce(Phase::Farthest(state.relocations), ReduceOp::Sum, &mut values)?;
        Ok(candidates(&values))
    }

    /// The centres that totals make; empty clusters get a point of those that were offered, or the centre they began
    /// with.
    fn means(
        &self,
        totals: &Totals,
        offered: Option<Vec<Candidate>>,
        link: &mut dyn AllReduce,
    ) -> Result<Vec<f64>> {
        let dims = self.points.dims;
        let (mut sums, mut counts) = (totals.sums.clone(), totals.counts.clone());
        if let Some(offered) = offered {
            self.relocate(totals, &offered, &mut sums, &mut counts, link)?;
        }
        let mut next = self.initial.clone();
        let clusters = next.chunks_exact_mut(dims).zip(sums.chunks_exact(dims)).zip(counts);
        for ((centroid, sums), count) in clusters.filter(|(_, count)| *count > 0) {
            for ((c, sum), factor) in centroid.iter_mut().zip(sums).zip(&self.factors) {
                *c = fixed::mean(*sum, count, *factor);
            }
        }
        Ok(next)
    }

    fn relocate(
        &self,
        totals: &Totals,
        offered: &[Candidate],
        sums: &mut [i64],
        counts: &mut [i64],
        link: &mut dyn AllReduce,
    ) -> Result<()> {
        let dims = self.points.dims;
        let mut values = vec![0; RELOCATIONS_MAX * dims];
        for (out, candidate) in values.chunks_exact_mut(dims).zip(offered) {
            let row = self.points.row(candidate.row).unwrap_or_default();
            for ((out, x), factor) in out.iter_mut().zip(row).zip(&self.factors) {
                *out = fixed::quantise(x.to_f64(), *factor);
            }
        }
        link.all_reduce(Phase::Relocate(totals.relocations), ReduceOp::Sum, &mut values)?;
        let mut offers = values.chunks_exact(dims).zip(offered);
        for empty in (0..counts.len()).filter(|cluster| totals.counts[*cluster] == 0) {
            // A cluster of one point is not emptied to fill another.
            let Some((point, from)) = offers.find(|(_, from)| counts[from.label as usize] > 1)
            else {
                break;
            };
            let from = from.label as usize;
            for (dim, x) in point.iter().enumerate() {
                sums[from * dims + dim] -= x;
                sums[empty * dims + dim] += x;
            }
            counts[from] -= 1;
            counts[empty] += 1;
        }
        Ok(())
    }
}

/// What was offered in a round that is over.
fn offered(totals: &Totals, link: &mut dyn AllReduce) -> Result<Vec<Candidate>> {
    let phase = Phase::Farthest(totals.relocations);
    match link.last(phase)? {
        Some((round, values)) if round == phase.round() => Ok(candidates(&values)),
        _ => Err(Error::Behind { object: phase.to_string(), round: phase.round() }),
    }
}

/// The points that all parties have offered, farthest first.
fn candidates(values: &[i64]) -> Vec<Candidate> {
    let mut farthest: Vec<Candidate> = values
        .chunks_exact(CANDIDATE_VALUES)
        .filter(|slot| slot[1] != 0)
        .map(|slot| Candidate {
            distance: f64::from_wire(slot[0]),
            row: slot[1].cast_unsigned() - 1,
            label: u32::try_from(slot[2]).expect("labels are 32 bits"),
        })
        .collect();
    farthest.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.row.cmp(&b.row)));
    farthest
}

/// The points farthest from their centres, farthest first; of equal ones those that were offered first.
#[derive(Debug, Default)]
struct Farthest {
    candidates: Vec<Candidate>,
    /// What a point has to exceed.
    bar: f64,
}

impl Farthest {
    #[inline]
    fn offer(&mut self, candidate: Candidate) {
        if candidate.distance > self.bar {
            self.insert(candidate);
        }
    }

    #[cold]
    fn insert(&mut self, candidate: Candidate) {
        let at = self.candidates.partition_point(|other| other.distance >= candidate.distance);
        self.candidates.insert(at, candidate);
        self.candidates.truncate(RELOCATIONS_MAX);
        if self.candidates.len() == RELOCATIONS_MAX {
            self.bar = self.candidates[RELOCATIONS_MAX - 1].distance;
        }
    }
}

/// The largest of each dimension, then the largest of its negative.
fn extremes<T: Element>(points: &Points<T>) -> impl Iterator<Item = f64> {
    let (mut high, mut low) =
        (vec![f64::NEG_INFINITY; points.dims], vec![f64::INFINITY; points.dims]);
    for row in points.values.chunks_exact(points.dims) {
        for ((high, low), x) in high.iter_mut().zip(&mut low).zip(row) {
            let x = x.to_f64();
            *high = if x > *high { x } else { *high };
            *low = if x < *low { x } else { *low };
        }
    }
    high.into_iter().chain(low.into_iter().map(|low| -low))
}

/// No point can be farther from a centre, squared: centres are initial ones or lie within the range of the data.
fn farthest_bound(range: &[f64], initial: &[f64]) -> f64 {
    let dims = range.len();
    let reach = |dim: usize| {
        initial.iter().skip(dim).step_by(dims).map(|c| c.abs()).fold(range[dim], f64::max)
    };
    range.iter().enumerate().map(|(dim, max)| (max + reach(dim)).powi(2)).sum()
}

/// The largest Euclidean distance between old and new centroids.
fn largest_shift(a: &[f64], b: &[f64], dims: usize) -> f64 {
    let shift =
        |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    a.chunks_exact(dims).zip(b.chunks_exact(dims)).map(shift).fold(0.0, f64::max).sqrt()
}

#[cfg(test)]
mod tests;
