//! Lloyd's iterations on one worker's rows, in step with the other workers.
//!
//! In a round, a worker assigns each of its points to the nearest centre and contributes
//! per-cluster sums and counts and the cost, in one all-reduce call. The next centres follow from
//! the totals and are the same bits on all workers. The length of a contribution does not depend on
//! the number of workers. Only a round with an empty cluster takes two more calls: one in which all
//! workers offer their farthest points, and one for the coordinates of the chosen points. This
//! module guarantees:
//!
//! 1. The result depends only on the data, the initial centroids, `iterations` and `tolerance`; not
//!    on the number of workers, on where they run, or on workers that died and were restarted.
//!    Labels are those of [`crate::kernel`], sums those of [`crate::fixed`].
//! 2. The algorithm is Lloyd's: each round is over all points, without sampling. Cost and labels
//!    belong to the returned centroids, so after the last update one more round assigns the points
//!    without an update, unless the centres had come to rest.
//! 3. An empty cluster takes over the point farthest from its centre (of several, the one with the
//!    lowest row), as in scikit-learn, up to [`RELOCATIONS_MAX`] per round. A cluster for which
//!    there is no such point gets the centre of the first cluster that has points, which needs no
//!    memory of earlier rounds, cannot increase the cost, and stays when the others do. There is
//!    never a NaN.
//!
//! A worker keeps its sums between rounds and moves only the points whose label changed, which is
//! exact because the sums are integers. It can skip the comparisons of points whose label cannot
//! have changed ([`crate::pruning`]), but computes the distance to their centre, because cost and
//! farthest points need it.

mod farthest;
mod ranges;
mod relocation;

use std::time::Instant;

use crate::coordination::{self, AllReduce, Phase, ReduceOp};
use crate::data::Points;
use crate::error::{Error, Result};
use crate::fixed::{self, Cost, CostScale, Scale};
use crate::init::{self, Sampler};
use crate::kernel::{Centres, Element, Isa, Scratch, UNASSIGNED, all_finite, move_rows};
use crate::pruning::{Pruner, RowBlock};
use crate::settings::Settings;
use crate::weights::{self, Weights};
use farthest::{CANDIDATE_VALUES, Candidate, FarthestPoints};
use ranges::largest_shift;
use relocation::offered;

pub(crate) use ranges::{ROUNDING_SLACK, check_widths, extremes, farthest_bound};

/// The most empty clusters that are moved in one round, and the number of points that each party
/// offers.
pub const RELOCATIONS_MAX: usize = 4;

/// Returns where the number of points that changed their label is in the totals of a round.
pub(crate) fn moved_at(k: usize, dims: usize) -> usize {
    // It follows sums, counts and the two numbers of the cost.
    k * dims + k + 2
}

/// Returns the length of a contribution to a phase of the iterations.
pub(crate) fn length(phase: Phase, k: usize, dims: usize, parties: usize, weighted: bool) -> usize {
    let weight = usize::from(weighted);
    match phase {
        Phase::Step(_) => k * dims + k + NUMBERS + k * weight,
        Phase::Farthest(_) => parties * RELOCATIONS_MAX * CANDIDATE_VALUES,
        Phase::Relocate(_) => RELOCATIONS_MAX * (dims + weight),
        Phase::Count | Phase::WeightTotals => parties,
        Phase::Weights | Phase::ZeroRow => 1,
        Phase::Mean | Phase::ScaleMean => dims,
        Phase::Range
        | Phase::FillRange
        | Phase::FillMean
        | Phase::ScaleRange
        | Phase::ScaleVariance => 2 * dims,
        Phase::Init(_) | Phase::Initial => unreachable!("see `init::length`"),
    }
}

/// Values after sums and counts in a contribution, before the weights of clusters: cost (coarse and fine), moved, last, relocations.
pub(crate) const NUMBERS: usize = 5;

/// One worker's view of a job.
#[derive(Debug, Clone)]
pub struct Problem {
    /// How the points are clustered.
    pub settings: Settings,
    /// Number of points of all workers.
    pub points: u64,
    /// Number of this worker, from 0.
    pub party: u32,
    /// Number of workers.
    pub parties: u32,
}

/// One round, as one worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RoundStats {
    /// Number of the round, from 0. The assignment after the last update is a round, too.
    pub round: u64,
    /// Sum of squared distances to the round's centres, over all points.
    pub cost: f64,
    /// Points of all workers with another label than in the round before.
    pub moved: i64,
    /// Time of the whole round.
    pub seconds: f64,
    /// Time spent on contributing and on waiting for other workers.
    pub seconds_coordination: f64,
    /// Number of all-reduce calls.
    pub calls: u64,
}

/// The result of the iterations. All fields but the labels are the same for all workers.
#[derive(Debug, Clone, PartialEq)]
pub struct LloydOutcome {
    /// The centroids, `k × dims`, row by row.
    pub centroids: Vec<f64>,
    /// Number of points in each cluster.
    pub counts: Vec<i64>,
    /// Sum of the weights in each cluster, if points have weights.
    pub weights: Vec<f64>,
    /// Sum of squared distances to `centroids`, by weight.
    pub cost: f64,
    /// Number of updates of the centres.
    pub iterations: u64,
    /// Whether the centres came to rest, within the tolerance, before the iterations ran out.
    pub converged: bool,
    /// Labels of this worker's rows.
    pub labels: Vec<u32>,
}

/// Runs the iterations for one worker. `resumes` says that an earlier attempt may have contributed
/// already.
///
/// # Errors
///
/// Values too large to square, and errors of the coordination.
pub fn run<T: Element>(
    problem: &Problem,
    points: &Points<T>,
    isa: Isa,
    link: &mut dyn AllReduce,
    resumes: bool,
    on_round: &mut dyn FnMut(RoundStats) -> Result<()>,
) -> Result<LloydOutcome> {
    let mut worker = LloydWorker::prepare(problem, points, isa, link, resumes)?;
    let mut state = if resumes { worker.catch_up(link)? } else { worker.first() };
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
        on_round(RoundStats {
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
        let at_rest = totals.last == LastRound::No;
        return Ok(LloydOutcome {
            centroids: state.centroids,
            weights: worker.weights_of_clusters(&totals),
            counts: totals.counts,
            cost: totals.cost,
            iterations: if at_rest { state.round + 1 } else { state.round },
            converged: at_rest || totals.last == LastRound::WithinTolerance,
            labels: worker.labels,
        });
    }
}

/// The state of the iterations, the same for all workers.
struct IterationState {
    round: u64,
    centroids: Vec<f64>,
    last: LastRound,
    /// Number of earlier rounds in which points were offered to empty clusters.
    relocations: u64,
}

/// Whether a round is the last, and why. All parties contribute the same value, so that the totals
/// contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastRound {
    No = 0,
    WithinTolerance = 1,
    OutOfIterations = 2,
}

/// The totals of one round over all workers.
struct RoundTotals {
    round: u64,
    sums: Vec<i64>,
    counts: Vec<i64>,
    /// Quantised weights of clusters; empty if points have none.
    weights: Vec<i64>,
    cost: f64,
    moved: i64,
    last: LastRound,
    /// See [`IterationState::relocations`].
    relocations: u64,
}

impl RoundTotals {
    /// Returns what clusters have, in points or in quantised weights.
    fn masses(&self) -> &[i64] {
        if self.weights.is_empty() { &self.counts } else { &self.weights }
    }

    fn relocates(&self) -> bool {
        self.last == LastRound::No && self.masses().contains(&0)
    }
}

struct LloydWorker<'a, T> {
    problem: &'a Problem,
    points: &'a Points<T>,
    isa: Isa,
    /// One per dimension, see [`fixed`].
    scales: Vec<Scale>,
    cost_scale: CostScale,
    /// The origin that the kernel subtracts from points and centres.
    origin: Vec<T>,
    initial: Vec<f64>,
    labels: Vec<u32>,
    sums: Vec<i64>,
    counts: Vec<i64>,
    weights: Option<Weights>,
    /// Sums of quantised weights; empty without weights.
    weight_sums: Vec<i64>,
    /// The farthest of its rows in the round that it assigned last.
    farthest: FarthestPoints,
    assigned: Option<u64>,
    scratch: Scratch<T>,
    pruner: Pruner<T>,
}

impl<'a, T: Element> LloydWorker<'a, T> {
    /// Agrees with the other workers on scales, mean and initial centroids.
    fn prepare(
        problem: &'a Problem,
        points: &'a Points<T>,
        isa: Isa,
        link: &mut dyn AllReduce,
        resumes: bool,
    ) -> Result<Self> {
        let (dims, rows) = (points.dims, points.rows());
        assert!(all_finite(&points.values), "points are checked when they are read");
        // The maximum of each dimension, then the maximum of its negative.
        let mut values: Vec<i64> = extremes(points).map(fixed::to_ordered).collect();
        link.all_reduce(Phase::Range, ReduceOp::Max, &mut values)?;
        let extremes: Vec<f64> = values.into_iter().map(fixed::from_ordered).collect();
        let (high, negated_low) = extremes.split_at(dims);
        let bounds = || high.iter().zip(negated_low);
        let spans: Vec<(f64, f64)> = bounds().map(|(high, low)| (-low, *high)).collect();
        check_widths::<T>(&spans)?;
        let scales: Vec<Scale> =
            spans.iter().map(|(low, high)| Scale::of(*low, *high, problem.points)).collect();

        let mut sums = vec![0; dims];
        move_rows(isa, &points.values, &scales, &vec![UNASSIGNED; rows], &vec![0; rows], &mut sums);
        link.all_reduce(Phase::Mean, ReduceOp::Sum, &mut sums)?;
        let count = problem.points.cast_signed();
        let means = sums.iter().zip(&scales).map(|(sum, scale)| scale.mean(*sum, count));
        let widths = spans.iter().map(|(low, high)| high - low);
        let origin: Vec<T> = means
            .zip(widths)
            .map(|(mean, width)| T::from_f64(fixed::round_to_width(mean, width)))
            .collect();

        let weights = match &points.weights {
            None => None,
            Some(weights) => match Weights::agree(weights, problem, link)? {
                None => return Err(Error::NoWeight),
                weights => weights,
            },
        };
        let distances = (farthest_bound(&spans, &[]) * ROUNDING_SLACK, problem.points);
        let sampler = Sampler::new(points, weights.as_ref(), isa, &origin, distances);
        let initial = init::centroids(problem, sampler, link, resumes)?;
        let farthest = farthest_bound(&spans, &initial);
        if farthest > T::SQUARES_MAX {
            return Err(Error::TooLarge { width: farthest.sqrt(), precision: T::PRECISION });
        }
        Ok(Self {
            problem,
            points,
            isa,
            scales,
            cost_scale: CostScale::of(farthest * ROUNDING_SLACK, problem.points),
            origin,
            initial,
            labels: vec![UNASSIGNED; rows],
            sums: vec![0; problem.settings.k * dims],
            counts: vec![0; problem.settings.k],
            weight_sums: vec![0; if weights.is_some() { problem.settings.k } else { 0 }],
            weights,
            farthest: FarthestPoints::default(),
            assigned: None,
            scratch: Scratch::default(),
            pruner: Pruner::new(problem.settings.pruning),
        })
    }

    fn first(&self) -> IterationState {
        let last = if self.problem.settings.iterations == 0 {
            LastRound::OutOfIterations
        } else {
            LastRound::No
        };
        IterationState { round: 0, centroids: self.initial.clone(), last, relocations: 0 }
    }

    /// Derives the current state from the last rounds of the other workers.
    fn catch_up(&mut self, link: &mut dyn AllReduce) -> Result<IterationState> {
        loop {
            match self.follow(link) {
                // They went on meanwhile, because the same party runs twice.
                Err(Error::Behind { .. }) => {}
                caught_up => return caught_up,
            }
        }
    }

    fn follow(&mut self, link: &mut dyn AllReduce) -> Result<IterationState> {
        let mut state = self.first();
        let Some(steps) = coordination::last_steps(link)? else { return Ok(state) };
        if let Some(before) = &steps.totals_before {
            let before = self.parse(before, steps.round - 1);
            // All parties offered their points before they contributed to the next round.
            let offered = if before.relocates() { Some(offered(&before, link)?) } else { None };
            state.centroids = self.means(&before, offered, link)?;
        }
        let totals = self.parse(&steps.totals, steps.round);
        (state.round, state.last) = (totals.round, totals.last);
        state.relocations = totals.relocations;
        // After the last round, its labels are still to be computed and its result to be read.
        if totals.last != LastRound::No {
            return Ok(state);
        }
        Ok(self.advance(&totals, &state, link)?.unwrap_or(state))
    }

    /// Contributes to a round; returns the totals and the next state.
    fn agree(
        &mut self,
        mut values: Vec<i64>,
        state: &IterationState,
        link: &mut dyn AllReduce,
    ) -> Result<(RoundTotals, Option<IterationState>)> {
        link.all_reduce(Phase::Step(state.round), ReduceOp::Sum, &mut values)?;
        let totals = self.parse(&values, state.round);
        let next =
            if totals.last == LastRound::No { self.advance(&totals, state, link)? } else { None };
        Ok((totals, next))
    }

    /// Assigns all rows; returns this worker's contribution to the round.
    fn assign(&mut self, state: &IterationState) -> Vec<i64> {
        let dims = self.points.dims;
        let centres = Centres::new(self.isa, &state.centroids, &self.origin);
        let block_rows = Centres::<T>::block_rows(dims);
        let (mut new, mut distances) = (vec![0; block_rows], vec![0.0; block_rows]);
        let mut bounds = self.pruner.begin(&centres, self.points.rows());
        let mut at = 0;
        let (mut cost, mut moved) = (Cost::default(), 0i64);
        let mut farthest = FarthestPoints::default();
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
                    let block = RowBlock { rows: block, upcoming, old };
                    bounds.nearest(&centres, at, &block, &mut self.scratch, new, distances);
                }
            }
            match &self.weights {
                None => move_rows(self.isa, block, &self.scales, old, new, &mut self.sums),
                Some(weights) => {
                    let own = &weights.each[at..at + old.len()];
                    weights::move_rows(block, own, &self.scales, old, new, &mut self.sums);
                    // Distances are weighted for the cost, and points without weight do not move to
                    // empty clusters.
                    let quantised = &weights.quantised[at..at + old.len()];
                    for ((old, new), weight) in old.iter().zip(&*new).zip(quantised) {
                        if *old != UNASSIGNED {
                            self.weight_sums[*old as usize] -= weight;
                        }
                        self.weight_sums[*new as usize] += weight;
                    }
                }
            }
            for (i, ((old, new), distance)) in
                old.iter_mut().zip(&*new).zip(&*distances).enumerate()
            {
                let (weighted, counts) = match &self.weights {
                    None => (*distance, true),
                    Some(weights) => {
                        let weight = weights.each[at + i];
                        (*distance * weight, weights.quantised[at + i] > 0)
                    }
                };
                cost += self.cost_scale.quantise(weighted);
                if counts {
                    farthest.offer(Candidate { distance: *distance, row, label: *new });
                }
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
            at += new.len();
        }
        self.pruner.end(moved.unsigned_abs(), self.points.rows());
        (self.farthest, self.assigned) = (farthest, Some(state.round));
        self.contribution(cost, moved, state)
    }

    /// Returns sums, counts, cost, moved, last, relocations, and the weights of clusters.
    fn contribution(&self, cost: Cost, moved: i64, state: &IterationState) -> Vec<i64> {
        let length = self.sums.len() + self.counts.len() + NUMBERS + self.weight_sums.len();
        let mut values = Vec::with_capacity(length);
        values.extend(&self.sums);
        values.extend(&self.counts);
        let Cost { coarse, fine } = cost;
        values.extend([coarse, fine, moved, state.last as i64, state.relocations.cast_signed()]);
        values.extend(&self.weight_sums);
        values
    }

    /// Converts reduced contributions back, see [`LloydWorker::contribution`].
    fn parse(&self, values: &[i64], round: u64) -> RoundTotals {
        assert_eq!(
            values.len(),
            self.sums.len() + self.counts.len() + NUMBERS + self.weight_sums.len(),
            "all parties of a job have the same k and dims"
        );
        let (sums, rest) = values.split_at(self.sums.len());
        let (counts, rest) = rest.split_at(self.counts.len());
        let (numbers, weights) = rest.split_at(NUMBERS);
        let parties = i64::from(self.problem.parties);
        let last = match numbers[3] / parties {
            0 => LastRound::No,
            1 => LastRound::WithinTolerance,
            _ => LastRound::OutOfIterations,
        };
        RoundTotals {
            round,
            sums: sums.to_vec(),
            counts: counts.to_vec(),
            weights: weights.to_vec(),
            cost: self.cost_scale.value(Cost { coarse: numbers[0], fine: numbers[1] })
                * self.weights.as_ref().map_or(1.0, |weights| weights.unit),
            moved: numbers[2],
            last,
            relocations: (numbers[4] / parties).cast_unsigned(),
        }
    }

    /// Returns the state after a round that was not the last, or `None` if the centres are at rest.
    fn advance(
        &mut self,
        totals: &RoundTotals,
        state: &IterationState,
        link: &mut dyn AllReduce,
    ) -> Result<Option<IterationState>> {
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
            LastRound::WithinTolerance
        } else if round >= self.problem.settings.iterations {
            LastRound::OutOfIterations
        } else {
            LastRound::No
        };
        Ok(Some(IterationState { round, centroids, last, relocations }))
    }

    /// Returns the centres that follow from totals. An empty cluster gets one of the offered
    /// points, or the centre of the first cluster that has points.
    fn means(
        &self,
        totals: &RoundTotals,
        offered: Option<Vec<Candidate>>,
        link: &mut dyn AllReduce,
    ) -> Result<Vec<f64>> {
        let dims = self.points.dims;
        let (mut sums, mut masses) = (totals.sums.clone(), totals.masses().to_vec());
        if let Some(offered) = offered {
            self.relocate(totals, &offered, &mut sums, &mut masses, link)?;
        }
        let mut next = vec![0.0; sums.len()];
        let clusters = next.chunks_exact_mut(dims).zip(sums.chunks_exact(dims)).zip(&masses);
        for ((centroid, sums), mass) in clusters.filter(|(_, mass)| **mass > 0) {
            for ((c, sum), scale) in centroid.iter_mut().zip(sums).zip(&self.scales) {
                *c = match &self.weights {
                    None => scale.mean(*sum, *mass),
                    Some(weights) => scale.weighted_mean(*sum, weights.value(*mass)),
                };
            }
        }
        let first = masses.iter().position(|mass| *mass > 0).expect("every point has a cluster");
        let first = next[first * dims..][..dims].to_vec();
        let clusters = next.chunks_exact_mut(dims).zip(&masses);
        clusters
            .filter(|(_, mass)| **mass == 0)
            .for_each(|(centroid, _)| centroid.copy_from_slice(&first));
        Ok(next)
    }

    fn weights_of_clusters(&self, totals: &RoundTotals) -> Vec<f64> {
        let Some(weights) = &self.weights else { return Vec::new() };
        totals.weights.iter().map(|sum| weights.value(*sum) * weights.unit).collect()
    }
}

#[cfg(test)]
mod tests;
