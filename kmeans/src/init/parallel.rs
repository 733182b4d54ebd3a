//! k-means||: many rows are drawn in each of a few rounds, instead of one centroid after the other.
//!
//! 1. Each row is drawn for itself in every round, with a probability of [`DRAWN_PER_CLUSTER`] times
//!    `k` times its share of the squared distances from the rows drawn so far. Whether it is drawn
//!    depends on its global number and on sums that are integers, so the same rows are drawn for any
//!    number of workers.
//! 2. A round has a place for twice as many rows as are drawn on average; rows beyond are left out, in
//!    the order of the data.
//! 3. Each drawn row then counts for the points that are nearest to it, and every worker reduces them to
//!    `k` centroids by k-means++ on its own, with the same result.

use std::time::Duration;

use super::{Agreement, Draw, Opening, Sampler, from_wire, hash, plus_plus, unit};
use crate::coordination::LocalGroup;
use crate::data::Points;
use crate::error::Result;
use crate::init::Init;
use crate::kernel::{Centres, Element, Scratch};
use crate::lloyd::Problem;
use crate::settings::Settings;
use crate::weights::Weights;

/// Rounds of drawing.
const ROUNDS: u64 = 5;

/// Calls of a round.
const ROUND_CALLS: u64 = 3;

/// All calls: the first centroid, those of the rounds, and the points of each drawn row.
pub(super) const CALLS: u64 = 1 + ROUNDS * ROUND_CALLS + 1;

/// Rows that are drawn on average, for each cluster and round.
const DRAWN_PER_CLUSTER: usize = 2;

/// Returns the number of places of a round.
fn places(k: usize) -> usize {
    2 * DRAWN_PER_CLUSTER * k
}

/// Returns the length of a contribution to a call.
pub(super) fn length(call: u64, k: usize, dims: usize, parties: usize) -> usize {
    if call == 0 {
        return dims;
    }
    if call == CALLS - 1 {
        let rounds = usize::try_from(ROUNDS).expect("a few");
        return 1 + rounds * places(k);
    }
    match (call - 1) % ROUND_CALLS {
        0 => parties * 2,
        1 => parties,
        _ => places(k) * dims,
    }
}

pub(super) fn centroids<T: Element>(
    problem: &Problem,
    mut sampler: Sampler<'_, T>,
    agreement: &mut Agreement<'_>,
) -> Result<Vec<f64>> {
    let Opening { dims, k, seed, party, parties, first: mut drawn } =
        Opening::of(problem, &mut sampler, agreement)?;
    for round in 0..ROUNDS {
        let call = 1 + round * ROUND_CALLS;
        let slots = agreement.on(call, || sampler.slots(party, parties))?;
        let total: u128 = slots.chunks_exact(2).map(|slot| sampler.steps(slot)).sum();
        if total == 0 {
            // Every point is drawn already.
            break;
        }
        let expected = (DRAWN_PER_CLUSTER * k) as f64 / total as f64;
        let is_drawn = |row: &usize| {
            let number = sampler.points.first + *row as u64;
            let steps = sampler.row_steps(*row);
            steps > 0 && unit(hash(seed, Draw::Parallel(round), number)) <= steps as f64 * expected
        };
        let rows: Vec<usize> = (0..sampler.points.rows()).filter(is_drawn).collect();
        let counts = agreement.on(call + 1, || {
            let mut counts = vec![0; parties];
            counts[party] = (rows.len() as u64).cast_signed();
            counts
        })?;
        let sum = |counts: &[i64]| -> usize {
            let sum: i64 = counts.iter().sum();
            usize::try_from(sum).expect("rows fit the memory")
        };
        let before = sum(&counts[..party]);
        let values = agreement.on(call + 2, || {
            let mut values = vec![0; places(k) * dims];
            let free = values.chunks_exact_mut(dims).skip(before);
            for (place, row) in free.zip(&rows) {
                let row = &sampler.points.values[row * dims..][..dims];
                place.iter_mut().zip(row).for_each(|(to, x)| *to = x.to_wire());
            }
            values
        })?;
        let more = from_wire::<T>(&values[..sum(&counts).min(places(k)) * dims]);
        sampler.add(&more);
        drawn.extend(more);
    }
    let length = length(CALLS - 1, k, dims, parties);
    let counts = agreement.on(CALLS - 1, || {
        let mut counts = sampler.count_nearest(&drawn);
        counts.resize(length, 0);
        counts
    })?;
    reduce(problem, &sampler, &drawn, &counts[..drawn.len() / dims])
}

/// Takes `k` of the drawn rows, each of which counts for the points that are nearest to it.
fn reduce<T: Element>(
    problem: &Problem,
    sampler: &Sampler<'_, T>,
    drawn: &[f64],
    counts: &[i64],
) -> Result<Vec<f64>> {
    let dims = sampler.points.dims;
    let rows = drawn.len() / dims;
    let values = drawn.iter().map(|x| T::from_f64(*x)).collect();
    let points = Points { first: 0, dims, values, missing: 0, weights: None };
    let counts: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
    let most = counts.iter().copied().fold(0.0, f64::max);
    let weights = Weights::of(&counts, most, rows as u64);
    let settings = Settings { init: Init::PlusPlus, ..problem.settings.clone() };
    let problem = Problem { settings, points: rows as u64, party: 0, parties: 1 };
    // Alone, so there is nobody to wait for.
    let mut alone = LocalGroup::new(1, Duration::ZERO).join(0);
    let mut agreement = Agreement { link: &mut alone, resumes: false };
    let Sampler { isa, origin, distance_max, .. } = *sampler;
    let own = Sampler::new(&points, Some(&weights), isa, origin, (distance_max, rows as u64));
    plus_plus(&problem, own, &mut agreement)
}

impl<T: Element> Sampler<'_, T> {
    /// Returns the quantised weight of the points that are nearest to each centroid, or their number.
    fn count_nearest(&self, centroids: &[f64]) -> Vec<i64> {
        let dims = self.points.dims;
        let centres = Centres::new(self.isa, centroids, self.origin);
        let block_rows = Centres::<T>::block_rows(dims);
        let mut counts = vec![0; centres.k()];
        let mut scratch = Scratch::default();
        let (mut labels, mut distances) = (vec![0; block_rows], vec![0.0; block_rows]);
        for (block, rows) in self.points.values.chunks(block_rows * dims).enumerate() {
            let count = rows.len() / dims;
            let (labels, distances) = (&mut labels[..count], &mut distances[..count]);
            centres.nearest(rows, &[], &mut scratch, labels, distances);
            for (at, label) in labels.iter().enumerate() {
                let row = block * block_rows + at;
                counts[*label as usize] += self.weights.map_or(1, |weights| weights.quantised[row]);
            }
        }
        counts
    }
}
