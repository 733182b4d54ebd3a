//! What is done to points before they are clustered: columns are scaled (`--scale`), rows are brought
//! to unit length (`--distance cosine`).
//!
//! The statistics of columns are integers ([`crate::fixed`]) that all workers add up in three calls, so
//! that they, and with them the changed points, are the same bits for any number of workers. They are
//! those of the rows; weights do not count. A model keeps them, so that other points are changed in the
//! same way.

use serde::{Deserialize, Serialize};

use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::data::Points;
use crate::error::{Error, Result};
use crate::fixed::{self, Cost, CostScale, Scale};
use crate::kernel::Element;
use crate::lloyd;

/// How columns are scaled, so that those of large numbers do not decide alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// They are taken as they are.
    #[default]
    None,
    /// To a mean of 0 and a standard deviation of 1.
    Standard,
    /// To the range from 0 to 1.
    #[value(name = "minmax")]
    MinMax,
}

/// How far points are from each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// The length of the line between them.
    #[default]
    Euclidean,
    /// By the angle between them: the Euclidean distance of the points at unit length.
    Cosine,
}

/// The change of every point: `(x − shift) / divisor` for each column, then the division by the length
/// of the row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transform {
    /// The kind of scaling.
    pub scaling: Scaling,
    /// The kind of distance.
    pub distance: Distance,
    /// What is subtracted from each column; empty without scaling.
    pub shifts: Vec<f64>,
    /// What each column is divided by; empty without scaling.
    pub divisors: Vec<f64>,
}

impl Transform {
    /// Agrees with the other workers on the statistics of the columns. `all` is the number of rows of
    /// all workers.
    ///
    /// # Errors
    ///
    /// Errors of the coordination, and values too far apart to subtract.
    pub(crate) fn agree<T: Element>(
        scaling: Scaling,
        distance: Distance,
        points: &Points<T>,
        all: u64,
        link: &mut dyn AllReduce,
    ) -> Result<Self> {
        let mut made = Self { scaling, distance, ..Self::default() };
        if scaling == Scaling::None {
            return Ok(made);
        }
        let mut values: Vec<i64> = lloyd::extremes(points).map(fixed::to_ordered).collect();
        link.all_reduce(Phase::ScaleRange, ReduceOp::Max, &mut values)?;
        let extremes: Vec<f64> = values.into_iter().map(fixed::from_ordered).collect();
        let (high, negated_low) = extremes.split_at(points.dims);
        let spans: Vec<Span> = high
            .iter()
            .zip(negated_low)
            .map(|(high, low)| Span { low: -low, high: *high })
            .collect();
        if let Some(span) = spans.iter().find(|span| !span.width().is_finite()) {
            let width = span.high / 2.0 - span.low / 2.0;
            return Err(Error::TooLarge { width, precision: T::PRECISION });
        }
        (made.shifts, made.divisors) = match scaling {
            Scaling::Standard => standard(&spans, points, all, link)?,
            _ => spans.iter().map(|span| (span.low, span.width())).unzip(),
        };
        // A column of equal values becomes 0, as in scikit-learn.
        made.divisors.iter_mut().filter(|x| **x == 0.0).for_each(|x| *x = 1.0);
        Ok(made)
    }

    /// Returns whether it changes nothing.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.shifts.is_empty() && self.distance == Distance::Euclidean
    }

    /// Changes points.
    ///
    /// # Errors
    ///
    /// With cosine distance, the number of a row, from 0, that is zero.
    pub fn apply<T: Element>(&self, values: &mut [T], dims: usize) -> Result<(), usize> {
        if self.is_identity() {
            return Ok(());
        }
        let mut changed = vec![0.0; dims];
        for (at, row) in values.chunks_exact_mut(dims).enumerate() {
            changed.iter_mut().zip(&*row).for_each(|(to, x)| *to = x.to_f64());
            for ((x, shift), divisor) in changed.iter_mut().zip(&self.shifts).zip(&self.divisors) {
                *x = (*x - shift) / divisor;
            }
            if self.distance == Distance::Cosine && !to_unit_length(&mut changed) {
                return Err(at);
            }
            row.iter_mut().zip(&changed).for_each(|(to, x)| *to = T::from_f64(*x));
        }
        Ok(())
    }

    /// Returns centroids in the units of the data. Those of points at unit length have no other.
    #[must_use]
    pub fn in_data_units(&self, centroids: &[f64], dims: usize) -> Vec<f64> {
        if self.shifts.is_empty() || self.distance == Distance::Cosine {
            return centroids.to_vec();
        }
        let rows = centroids.chunks_exact(dims);
        let columns = || self.shifts.iter().zip(&self.divisors);
        rows.flat_map(|row| row.iter().zip(columns()).map(|(x, (shift, by))| x * by + shift))
            .collect()
    }
}

/// The range of a column.
#[derive(Debug, Clone, Copy)]
struct Span {
    low: f64,
    high: f64,
}

impl Span {
    fn width(self) -> f64 {
        self.high - self.low
    }
}

/// Returns mean and standard deviation of each column.
fn standard<T: Element>(
    spans: &[Span],
    points: &Points<T>,
    all: u64,
    link: &mut dyn AllReduce,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let scales: Vec<Scale> = spans.iter().map(|span| Scale::of(span.low, span.high, all)).collect();
    let mut sums = vec![0; spans.len()];
    for row in points.values.chunks_exact(points.dims) {
        for ((sum, x), scale) in sums.iter_mut().zip(row).zip(&scales) {
            *sum += scale.quantise(x.to_f64());
        }
    }
    link.all_reduce(Phase::ScaleMean, ReduceOp::Sum, &mut sums)?;
    let means: Vec<f64> =
        sums.iter().zip(&scales).map(|(sum, scale)| scale.mean(*sum, all.cast_signed())).collect();
    // In units of the width, whose squares neither overflow nor vanish.
    let squares = CostScale::of(1.0, all);
    let mut sums = vec![Cost::default(); spans.len()];
    for row in points.values.chunks_exact(points.dims) {
        for (((sum, x), mean), span) in sums.iter_mut().zip(row).zip(&means).zip(spans) {
            if span.width() > 0.0 {
                let part = (x.to_f64() - mean) / span.width();
                *sum += squares.quantise((part * part).min(1.0));
            }
        }
    }
    let mut values: Vec<i64> = sums.iter().flat_map(|sum| [sum.coarse, sum.fine]).collect();
    link.all_reduce(Phase::ScaleVariance, ReduceOp::Sum, &mut values)?;
    let deviations = values.chunks_exact(2).zip(spans).map(|(sum, span)| {
        let sum = squares.value(Cost { coarse: sum[0], fine: sum[1] });
        (sum / all as f64).sqrt() * span.width()
    });
    let deviations = deviations.collect();
    Ok((means, deviations))
}

/// Divides a row by its length; returns whether it has one.
fn to_unit_length(row: &mut [f64]) -> bool {
    let most = row.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    if most == 0.0 {
        return false;
    }
    // First to numbers whose squares neither overflow nor vanish.
    row.iter_mut().for_each(|x| *x /= most);
    let length = row.iter().map(|x| *x * *x).sum::<f64>().sqrt();
    row.iter_mut().for_each(|x| *x /= length);
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::coordination::LocalGroup;

    fn points(values: &[f64], dims: usize) -> Points<f64> {
        Points { first: 0, dims, values: values.to_vec(), missing: 0, weights: None }
    }

    fn agreed(scaling: Scaling, values: &[f64], parties: u32) -> Transform {
        let local = LocalGroup::new(parties, Duration::from_secs(20));
        let all = (values.len() / 2) as u64;
        let made: Vec<Transform> = std::thread::scope(|scope| {
            let cut = |party: u32| values.len() / 2 * party as usize / parties as usize * 2;
            let workers: Vec<_> = (0..parties)
                .map(|party| {
                    let own = points(&values[cut(party)..cut(party + 1)], 2);
                    let mut link = local.join(party);
                    scope.spawn(move || {
                        Transform::agree(scaling, Distance::Euclidean, &own, all, &mut link)
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap().unwrap()).collect()
        });
        assert!(made.iter().all(|other| *other == made[0]));
        made[0].clone()
    }

    #[test]
    fn statistics_are_the_same_bits_for_any_number_of_workers() {
        let values: Vec<f64> =
            (0..200u32).map(|i| f64::from(i * 7 % 31) * 0.1 + f64::from(i % 2) * 1e9).collect();
        for scaling in [Scaling::Standard, Scaling::MinMax] {
            let one = agreed(scaling, &values, 1);
            for parties in [2, 3, 7] {
                assert_eq!(agreed(scaling, &values, parties), one, "{scaling:?}");
            }
        }
        let Transform { shifts, divisors, .. } = agreed(Scaling::Standard, &values, 1);
        for (column, (shift, divisor)) in shifts.iter().zip(divisors).enumerate() {
            let column: Vec<f64> = values.iter().skip(column).step_by(2).copied().collect();
            let base = column[0];
            let mean = column.iter().map(|x| x - base).sum::<f64>() / 100.0;
            let variance = column.iter().map(|x| (x - base - mean).powi(2)).sum::<f64>() / 100.0;
            assert!((shift - base - mean).abs() < 1e-6, "{shift}");
            assert!((divisor / variance.sqrt() - 1.0).abs() < 1e-6, "{divisor}");
        }
    }

    #[test]
    fn columns_of_equal_values_become_zero() {
        for scaling in [Scaling::Standard, Scaling::MinMax] {
            let made = agreed(scaling, &[0.1, 3.0, 0.1, 5.0, 0.1, 7.0], 2);
            let mut values = [0.1, 3.0, 0.1, 7.0];
            made.apply(&mut values, 2).unwrap();
            assert_eq!([values[0], values[2]], [0.0, 0.0], "{scaling:?}");
            assert_eq!(made.in_data_units(&values, 2)[2..], [0.1, 7.0], "{scaling:?}");
        }
    }

    #[test]
    fn rows_come_to_unit_length_at_any_magnitude() {
        let cosine = Transform { distance: Distance::Cosine, ..Transform::default() };
        for by in [1.0, 1e-300, 1e300, 5e-324] {
            let mut values = [3.0 * by, 4.0 * by];
            cosine.apply(&mut values, 2).unwrap();
            let expected: [f64; 2] = [0.6, 0.8];
            let is_near = values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15);
            assert!(is_near, "{by}: {values:?}");
        }
        assert_eq!(cosine.apply(&mut [1.0, 0.0, 0.0, -0.0], 2), Err(1));
    }
}
