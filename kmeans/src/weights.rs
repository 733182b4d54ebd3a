//! Weights of points, as all workers agree on them.
//!
//! A worker divides its weights by the largest power of two that keeps all of them at most 1, which is
//! exact. So weighted values and distances are no larger than others, the scales of [`crate::fixed`]
//! stay as they are, and sums are the same bits for any number of workers.

use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::error::Result;
use crate::fixed;
use crate::kernel::{Element, UNASSIGNED};
use crate::lloyd::Problem;

/// The weights of one worker's rows.
#[derive(Debug)]
pub(crate) struct Weights {
    /// Between 0 and 1.
    pub(crate) each: Vec<f64>,
    /// The same, as integers.
    pub(crate) quantised: Vec<i64>,
    /// What a weight of 1 stands for.
    pub(crate) unit: f64,
    /// The integer of a weight of 1.
    factor: f64,
    /// The sum of the integers of the workers before this one.
    before: i64,
    /// The sum of the integers of all workers.
    total: i64,
}

impl Weights {
    /// Agrees with the other workers on the largest weight and on the sum of all. Returns `None` if all weights are zero.
    pub(crate) fn agree(
        weights: &[f64],
        problem: &Problem,
        link: &mut dyn AllReduce,
    ) -> Result<Option<Self>> {
        let most = weights.iter().fold(0.0, |most: f64, weight| most.max(*weight));
        let mut values = vec![fixed::to_ordered(most)];
        link.all_reduce(Phase::Weights, ReduceOp::Max, &mut values)?;
        let most = fixed::from_ordered(values[0]);
        if most <= 0.0 {
            return Ok(None);
        }
        let mut made = Self::of(weights, most, problem.points);
        let mut totals = vec![0; problem.parties as usize];
        totals[problem.party as usize] = made.total;
        link.all_reduce(Phase::WeightTotals, ReduceOp::Sum, &mut totals)?;
        made.before = totals[..problem.party as usize].iter().sum();
        made.total = totals.iter().sum();
        Ok(Some(made))
    }

    /// Returns the weights of all rows, of which there are `all`.
    pub(crate) fn of(weights: &[f64], most: f64, all: u64) -> Self {
        let unit = fixed::power_of_two_above(most);
        let each: Vec<f64> = weights.iter().map(|weight| weight / unit).collect();
        let factor = fixed::factor(1.0, all);
        let quantised: Vec<i64> =
            each.iter().map(|weight| fixed::quantise(*weight, factor)).collect();
        let total = quantised.iter().sum();
        Self { each, quantised, unit, factor, before: 0, total }
    }

    /// Returns the sum of the integers of all workers.
    pub(crate) fn total(&self) -> u64 {
        self.total.unsigned_abs()
    }

    /// Returns the row at which the sum of the integers of all rows exceeds `target`, if it is one of
    /// this worker's.
    pub(crate) fn row(&self, target: u64) -> Option<usize> {
        let mut left = target.checked_sub(self.before.unsigned_abs())?;
        self.quantised.iter().position(|weight| {
            let is_within = left < weight.unsigned_abs();
            left -= if is_within { 0 } else { weight.unsigned_abs() };
            is_within
        })
    }

    /// Converts a sum of quantised weights to one in units of [`Weights::unit`].
    pub(crate) fn value(&self, sum: i64) -> f64 {
        sum as f64 / self.factor
    }
}

/// Does what [`crate::kernel::move_rows`] does, for rows with weights.
pub(crate) fn move_rows<T: Element>(
    rows: &[T],
    weights: &[f64],
    scales: &[fixed::Scale],
    old: &[u32],
    new: &[u32],
    sums: &mut [i64],
) {
    let dims = scales.len();
    let labels = old.iter().zip(new);
    for ((row, weight), (old, new)) in rows.chunks_exact(dims).zip(weights).zip(labels) {
        if old == new {
            continue;
        }
        let values =
            || row.iter().zip(scales).map(|(x, scale)| scale.weighted(x.to_f64(), *weight));
        let to = &mut sums[*new as usize * dims..][..dims];
        to.iter_mut().zip(values()).for_each(|(sum, x)| *sum += x);
        if *old != UNASSIGNED {
            let from = &mut sums[*old as usize * dims..][..dims];
            from.iter_mut().zip(values()).for_each(|(sum, x)| *sum -= x);
        }
    }
}
