//! Rows of one worker, drawn by their distances from the centroids so far.

use crate::data::Points;
use crate::fixed::{Cost, CostScale};
use crate::kernel::{Centres, Element, Isa, Scratch};
use crate::weights::Weights;

/// Draws rows of one worker by their squared distance from the nearest centroid so far.
///
/// Distances are integers ([`CostScale`]), so that their sums, and with them the rows that are drawn,
/// do not depend on how the rows are divided.
pub(crate) struct Sampler<'p, T> {
    pub(super) points: &'p Points<T>,
    pub(super) weights: Option<&'p Weights>,
    pub(super) isa: Isa,
    pub(super) origin: &'p [T],
    pub(super) distance_max: f64,
    scale: CostScale,
    scratch: Scratch<T>,
    /// Squared distance of each row from its nearest centroid.
    nearest: Vec<f64>,
    /// Their sums by block.
    blocks: Vec<Cost>,
}

impl<'p, T: Element> Sampler<'p, T> {
    /// Squared distances of `all` points are at most `distance_max`.
    pub(crate) fn new(
        points: &'p Points<T>,
        weights: Option<&'p Weights>,
        isa: Isa,
        origin: &'p [T],
        (distance_max, all): (f64, u64),
    ) -> Self {
        let scale = CostScale::of(distance_max, all);
        let (nearest, scratch) = (vec![f64::INFINITY; points.rows()], Scratch::default());
        let blocks = Vec::new();
        Self { points, weights, isa, origin, distance_max, scale, scratch, nearest, blocks }
    }

    /// Adds centroids.
    pub(super) fn add(&mut self, centroids: &[f64]) {
        let Self { points, weights, scale, scratch, nearest, blocks, .. } = self;
        let centres = Centres::new(self.isa, centroids, self.origin);
        let block_rows = Centres::<T>::block_rows(points.dims);
        let rows = points.values.chunks(block_rows * points.dims);
        blocks.clear();
        for (block, (rows, nearest)) in rows.zip(nearest.chunks_mut(block_rows)).enumerate() {
            centres.each_distances(rows, scratch, |_, distances| {
                for (nearest, distance) in nearest.iter_mut().zip(distances) {
                    *nearest = nearest.min(*distance);
                }
            });
            let mut sum = Cost::default();
            let first = block * block_rows;
            for (at, distance) in nearest.iter().enumerate() {
                sum += scale.quantise(weighted(*weights, first + at, *distance));
            }
            blocks.push(sum);
        }
    }

    /// Returns the sum of distances if one of the candidates becomes a centroid, for each of them.
    pub(super) fn weigh(&mut self, candidates: &[f64]) -> Vec<Cost> {
        let Self { points, weights, scale, scratch, nearest, .. } = self;
        let centres = Centres::new(self.isa, candidates, self.origin);
        let block_rows = Centres::<T>::block_rows(points.dims);
        let rows = points.values.chunks(block_rows * points.dims);
        let mut sums = vec![Cost::default(); centres.k()];
        for (block, (rows, nearest)) in rows.zip(nearest.chunks(block_rows)).enumerate() {
            let first = block * block_rows;
            centres.each_distances(rows, scratch, |candidate, distances| {
                for (at, (nearest, distance)) in nearest.iter().zip(distances).enumerate() {
                    let nearest = weighted(*weights, first + at, nearest.min(*distance));
                    sums[candidate] += scale.quantise(nearest);
                }
            });
        }
        sums
    }

    pub(super) fn total(&self) -> Cost {
        let mut total = Cost::default();
        self.blocks.iter().for_each(|block| total += *block);
        total
    }

    /// Returns a contribution of the weight of each party's points.
    pub(super) fn slots(&self, party: usize, parties: usize) -> Vec<i64> {
        let mut values = vec![0; parties * 2];
        let Cost { coarse, fine } = self.total();
        values[party * 2..][..2].copy_from_slice(&[coarse, fine]);
        values
    }

    /// Returns the weight of the two numbers of a cost.
    pub(super) fn steps(&self, slot: &[i64]) -> u128 {
        self.scale.steps(Cost { coarse: slot[0], fine: slot[1] }).unsigned_abs()
    }

    /// Returns the weight of a row.
    pub(super) fn row_steps(&self, row: usize) -> u128 {
        let distance = weighted(self.weights, row, self.nearest[row]);
        self.scale.steps(self.scale.quantise(distance)).unsigned_abs()
    }

    /// Returns the row at which the sum of weights exceeds `target`, which is below the total.
    pub(super) fn row(&self, mut target: u128) -> &'p [T] {
        let block_rows = Centres::<T>::block_rows(self.points.dims);
        let mut blocks = self.blocks.iter().enumerate();
        let steps = |cost: Cost| self.scale.steps(cost).unsigned_abs();
        let block = blocks.find(|(_, cost)| exceeds(&mut target, steps(**cost)));
        let first = block.expect("the target is below the total").0 * block_rows;
        let mut rows = first..self.nearest.len();
        let row = rows.find(|row| exceeds(&mut target, self.row_steps(*row)));
        let row = row.expect("the target is below the sum of the block");
        &self.points.values[row * self.points.dims..][..self.points.dims]
    }
}

#[inline]
fn weighted(weights: Option<&Weights>, row: usize, distance: f64) -> f64 {
    weights.map_or(distance, |weights| weights.each[row] * distance)
}

/// Returns whether the target is within the next `weight`; otherwise goes past it.
fn exceeds(target: &mut u128, weight: u128) -> bool {
    let is_within = *target < weight;
    *target -= if is_within { 0 } else { weight };
    is_within
}
