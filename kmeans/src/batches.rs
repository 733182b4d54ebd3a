//! Mini-batch k-means (Sculley, "Web-scale k-means clustering", 2010), for data that does not fit in memory.
//!
//! Each round draws a batch of rows, the same for any number of workers; a worker reads those that it has
//! from its disk ([`RowFile`]). A centroid is the mean of all points that were assigned to it in any batch,
//! which is what Sculley's learning rates amount to. After the last batch, one round assigns all points.
//! This module guarantees:
//!
//! 1. The result depends only on the data and the settings, as in [`crate::lloyd`]: rows are drawn by their
//!    global numbers, and sums are integers.
//! 2. The totals of a round are those of all batches so far, because worker 0 adds those of the rounds
//!    before. So the last one is all that a restarted worker needs.
//! 3. Initial centroids are chosen from a sample of rows, as in scikit-learn.

use std::time::Instant;

use crate::coordination::{self, AllReduce, Phase, ReduceOp};
use crate::data::{Points, RowFile, index};
use crate::error::{Error, Result};
use crate::fixed::{self, Cost, CostScale, Scale};
use crate::init::{self, Draw, Init, Sampler, below, hash};
use crate::kernel::{Centres, Element, Isa, Scratch, UNASSIGNED, move_rows};
use crate::lloyd::{
    LloydOutcome, NUMBERS, Problem, ROUNDING_SLACK, RoundStats, check_widths, farthest_bound,
};

/// The sample for initial centroids has this many times as many rows as a batch, or clusters.
const SAMPLE_PER_BATCH: u64 = 3;

/// The most rows of all batches: sums of more would lose precision.
const DRAWN_MAX: u64 = 1 << 40;

/// Checks the settings of a job with batches.
///
/// # Errors
///
/// [`Error::Flag`].
pub(crate) fn check(batch_size: u64, iterations: u64) -> Result<()> {
    let flag = |reason| Err(Error::Flag { flag: "--batch-size", reason });
    if batch_size == 0 {
        return flag("there must be at least one row in a batch");
    }
    if batch_size.checked_mul(iterations.max(1)).is_none_or(|drawn| drawn > DRAWN_MAX) {
        return flag("all batches together have more than 2^40 rows; choose fewer --iterations");
    }
    Ok(())
}

/// Runs the rounds for one worker; see [`lloyd::run`].
///
/// # Errors
///
/// Values too large to square, a disk that cannot be read, and errors of the coordination.
pub(crate) fn run<T: Element>(
    problem: &Problem,
    rows: &RowFile<T>,
    isa: Isa,
    link: &mut dyn AllReduce,
    resumes: bool,
    on_round: &mut dyn FnMut(RoundStats) -> Result<()>,
) -> Result<LloydOutcome> {
    let mut worker = BatchWorker::prepare(problem, rows, isa, link, resumes)?;
    let last = problem.settings.iterations;
    let mut state = if resumes { worker.catch_up(link)? } else { worker.first() };
    loop {
        let start = Instant::now();
        let mut values =
            if state.round < last { worker.batch(&state)? } else { worker.all(&state)? };
        let computed = start.elapsed();
        match link.all_reduce(Phase::Step(state.round), ReduceOp::Sum, &mut values) {
            Err(Error::Behind { .. }) => {
                state = worker.catch_up(link)?;
                continue;
            }
            reduced => reduced?,
        }
        let totals = worker.parse(&values);
        let seconds = start.elapsed().as_secs_f64();
        on_round(RoundStats {
            round: state.round,
            cost: totals.cost,
            moved: 0,
            seconds,
            seconds_coordination: seconds - computed.as_secs_f64(),
            calls: 1,
        })?;
        if state.round == last {
            return Ok(LloydOutcome {
                centroids: worker.centroids(&state),
                counts: totals.counts,
                weights: Vec::new(),
                cost: totals.cost,
                iterations: last,
                converged: false,
                labels: worker.labels,
            });
        }
        state = BatchState { round: state.round + 1, sums: totals.sums, counts: totals.counts };
    }
}

/// Sums and counts of the points of all batches so far, the same for all workers.
struct BatchState {
    round: u64,
    sums: Vec<i64>,
    counts: Vec<i64>,
}

struct BatchTotals {
    sums: Vec<i64>,
    counts: Vec<i64>,
    cost: f64,
}

struct BatchWorker<'a, T> {
    problem: &'a Problem,
    rows: &'a RowFile<T>,
    isa: Isa,
    scales: Vec<Scale>,
    cost_scale: CostScale,
    origin: Vec<T>,
    initial: Vec<f64>,
    labels: Vec<u32>,
    scratch: Scratch<T>,
}

impl<'a, T: Element> BatchWorker<'a, T> {
    /// Agrees with the other workers on scales and initial centroids.
    fn prepare(
        problem: &'a Problem,
        rows: &'a RowFile<T>,
        isa: Isa,
        link: &mut dyn AllReduce,
        resumes: bool,
    ) -> Result<Self> {
        let dims = rows.dims;
        let mut values: Vec<i64> = rows.extremes.iter().copied().map(fixed::to_ordered).collect();
        link.all_reduce(Phase::Range, ReduceOp::Max, &mut values)?;
        let extremes: Vec<f64> = values.into_iter().map(fixed::from_ordered).collect();
        let (high, negated_low) = extremes.split_at(dims);
        let spans: Vec<(f64, f64)> =
            high.iter().zip(negated_low).map(|(high, low)| (-low, *high)).collect();
        check_widths::<T>(&spans)?;
        let batch = problem.settings.batch_size.expect("a job with batches");
        let summands = problem.points.max(batch * problem.settings.iterations.max(1));
        let scales: Vec<Scale> =
            spans.iter().map(|(low, high)| Scale::of(*low, *high, summands)).collect();

        let sample_rows = SAMPLE_PER_BATCH * batch.max(problem.settings.k as u64);
        let sampled = match problem.settings.init {
            Init::First => (0..(problem.settings.k as u64).min(problem.points)).collect(),
            _ => init::drawn(problem.settings.seed, sample_rows, problem.points),
        };
        let sample: Points<T> = rows.gather(&sampled, 0)?;
        let mut sums = vec![0; dims];
        let new = vec![0; sample.rows()];
        move_rows(isa, &sample.values, &scales, &vec![UNASSIGNED; sample.rows()], &new, &mut sums);
        link.all_reduce(Phase::Mean, ReduceOp::Sum, &mut sums)?;
        let count = (sampled.len() as u64).cast_signed();
        let means = sums.iter().zip(&scales).map(|(sum, scale)| scale.mean(*sum, count));
        let widths = spans.iter().map(|(low, high)| high - low);
        let origin: Vec<T> = means
            .zip(widths)
            .map(|(mean, width)| T::from_f64(fixed::round_to_width(mean, width)))
            .collect();
        let of_sample = Problem { points: sampled.len() as u64, ..problem.clone() };
        let distances = (farthest_bound(&spans, &[]) * ROUNDING_SLACK, of_sample.points);
        let sampler = Sampler::new(&sample, None, isa, &origin, distances);
        let initial = init::centroids(&of_sample, sampler, link, resumes)?;
        let farthest = farthest_bound(&spans, &initial);
        if farthest > T::SQUARES_MAX {
            return Err(Error::TooLarge { width: farthest.sqrt(), precision: T::PRECISION });
        }
        Ok(Self {
            problem,
            rows,
            isa,
            scales,
            cost_scale: CostScale::of(farthest * ROUNDING_SLACK, problem.points.max(batch)),
            origin,
            initial,
            labels: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    fn first(&self) -> BatchState {
        let k = self.problem.settings.k;
        BatchState { round: 0, sums: vec![0; k * self.rows.dims], counts: vec![0; k] }
    }

    /// Takes over the state from the last rounds of the other workers.
    fn catch_up(&self, link: &mut dyn AllReduce) -> Result<BatchState> {
        let Some(steps) = coordination::last_steps(link)? else { return Ok(self.first()) };
        // The totals of the last round are no state, because they are of all points once.
        let is_last = steps.round == self.problem.settings.iterations;
        let (round, values) = match (is_last, steps.totals_before) {
            (true, Some(before)) => (steps.round, before),
            (true, None) => return Ok(self.first()),
            (false, _) => (steps.round + 1, steps.totals),
        };
        let BatchTotals { sums, counts, .. } = self.parse(&values);
        Ok(BatchState { round, sums, counts })
    }

    /// Returns the centroids: the mean of all points of a cluster so far, or the initial one.
    fn centroids(&self, state: &BatchState) -> Vec<f64> {
        let dims = self.rows.dims;
        let mut centroids = self.initial.clone();
        let clusters =
            centroids.chunks_exact_mut(dims).zip(state.sums.chunks_exact(dims)).zip(&state.counts);
        for ((centroid, sums), count) in clusters.filter(|(_, count)| **count > 0) {
            for ((c, sum), scale) in centroid.iter_mut().zip(sums).zip(&self.scales) {
                *c = scale.mean(*sum, *count);
            }
        }
        centroids
    }

    /// Assigns a batch; returns this worker's contribution to the totals of all batches so far.
    fn batch(&mut self, state: &BatchState) -> Result<Vec<i64>> {
        let batch = self.problem.settings.batch_size.expect("a job with batches");
        let (seed, points) = (self.problem.settings.seed, self.problem.points);
        let drawn = |at| below(hash(seed, Draw::Batch(state.round), at), points);
        let mut drawn: Vec<u64> = (0..batch).map(drawn).collect();
        drawn.sort_unstable();
        let own = self.rows.gather(&drawn, 0)?;
        let mut share = Share::new(self.problem.settings.k, self.rows.dims);
        // Worker 0 has what all have agreed on before.
        if self.problem.party == 0 {
            share.sums.copy_from_slice(&state.sums);
            share.counts.copy_from_slice(&state.counts);
        }
        let centroids = self.centroids(state);
        self.assign(&centroids, &own.values, &mut share, None);
        Ok(share.values())
    }

    /// Assigns all rows; returns this worker's contribution.
    fn all(&mut self, state: &BatchState) -> Result<Vec<i64>> {
        let centroids = self.centroids(state);
        let mut share = Share::new(self.problem.settings.k, self.rows.dims);
        let mut labels = Vec::with_capacity(index(self.rows.rows()));
        let rows = self.rows;
        rows.each_block(|block| {
            self.assign(&centroids, block, &mut share, Some(&mut labels));
            Ok(())
        })?;
        self.labels = labels;
        Ok(share.values())
    }

    fn assign(
        &mut self,
        centroids: &[f64],
        values: &[T],
        share: &mut Share,
        mut labels: Option<&mut Vec<u32>>,
    ) {
        let dims = self.rows.dims;
        let centres = Centres::new(self.isa, centroids, &self.origin);
        let block_rows = Centres::<T>::block_rows(dims);
        let old = vec![UNASSIGNED; block_rows];
        let (mut new, mut distances) = (vec![0; block_rows], vec![0.0; block_rows]);
        for block in values.chunks(block_rows * dims) {
            let count = block.len() / dims;
            let (new, distances) = (&mut new[..count], &mut distances[..count]);
            centres.nearest(block, &[], &mut self.scratch, new, distances);
            move_rows(self.isa, block, &self.scales, &old[..count], new, &mut share.sums);
            for (label, distance) in new.iter().zip(&*distances) {
                share.counts[*label as usize] += 1;
                share.cost += self.cost_scale.quantise(*distance);
            }
            share.assigned += count as u64;
            if let Some(labels) = &mut labels {
                labels.extend_from_slice(new);
            }
        }
    }

    fn parse(&self, values: &[i64]) -> BatchTotals {
        let k = self.problem.settings.k;
        let (sums, rest) = values.split_at(k * self.rows.dims);
        let (counts, numbers) = rest.split_at(k);
        let cost = self.cost_scale.value(Cost { coarse: numbers[0], fine: numbers[1] });
        // That of a batch is an estimate of that of all points.
        let cost = cost * (self.problem.points as f64 / numbers[2].max(1) as f64);
        BatchTotals { sums: sums.to_vec(), counts: counts.to_vec(), cost }
    }
}

/// One worker's contribution to a round.
struct Share {
    sums: Vec<i64>,
    counts: Vec<i64>,
    cost: Cost,
    assigned: u64,
}

impl Share {
    fn new(k: usize, dims: usize) -> Self {
        Self { sums: vec![0; k * dims], counts: vec![0; k], cost: Cost::default(), assigned: 0 }
    }

    /// Returns sums, counts, cost, and the number of points that were assigned, in as many numbers as those
    /// of [`lloyd::length`].
    fn values(self) -> Vec<i64> {
        let Self { sums: mut values, counts, cost: Cost { coarse, fine }, assigned } = self;
        let length = values.len() + counts.len() + NUMBERS;
        values.extend(counts);
        values.extend([coarse, fine, assigned.cast_signed()]);
        values.resize(length, 0);
        values
    }
}
