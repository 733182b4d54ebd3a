//! Ranges of coordinates, and what follows from them for distances.

use crate::data::Points;
use crate::error::{Error, Result};
use crate::kernel::Element;

/// Rounded distances exceed the bound from the range of the data by less than this factor.
pub(crate) const ROUNDING_SLACK: f64 = 1.01;

/// Returns the maximum of each dimension, then the maximum of its negative. NaN is ignored.
pub(crate) fn extremes<T: Element>(points: &Points<T>) -> impl Iterator<Item = f64> {
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

/// Checks that squared distances neither overflow nor vanish.
pub(crate) fn check_widths<T: Element>(spans: &[(f64, f64)]) -> Result<()> {
    let width = spans.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
    let squares: f64 = spans.iter().map(|(low, high)| (high - low).powi(2)).sum();
    if squares * 4.0 > T::SQUARES_MAX {
        return Err(Error::TooLarge { width, precision: T::PRECISION });
    }
    if width > 0.0 && width * width < T::SQUARES_MIN {
        return Err(Error::TooSmall { width, precision: T::PRECISION });
    }
    Ok(())
}

/// Returns an upper bound of squared distances: a centre is an initial one or lies within the range
/// of the data.
pub(crate) fn farthest_bound(spans: &[(f64, f64)], initial: &[f64]) -> f64 {
    let dims = spans.len();
    let reach = |(dim, (low, high)): (usize, &(f64, f64))| {
        let centres = || initial.iter().skip(dim).step_by(dims).copied();
        centres().fold(*high, f64::max) - centres().fold(*low, f64::min)
    };
    spans.iter().enumerate().map(|span| reach(span).powi(2)).sum()
}

/// Returns the largest Euclidean distance between old and new centroids.
pub(super) fn largest_shift(a: &[f64], b: &[f64], dims: usize) -> f64 {
    let shift =
        |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    a.chunks_exact(dims).zip(b.chunks_exact(dims)).map(shift).fold(0.0, f64::max).sqrt()
}
