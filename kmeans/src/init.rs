//! Initial centroids, the same for any number of workers.
//!
//! Draws depend only on the seed, the number of the draw and the global number of the row, and not
//! on the worker that has the row. That worker contributes the bits of the row's coordinates and
//! all others zeros, so that initial centroids are exactly data values.

use std::collections::HashSet;
use std::ops::Range;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::data::Points;
use crate::error::Result;
use crate::kernel::{Centres, Element, Isa, Scratch};
use crate::lloyd::Problem;
use crate::settings::Settings;

/// How initial centroids are chosen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// The first rows.
    First,
    /// Distinct rows, drawn uniformly.
    Random,
    /// Rows drawn one after the other, each with a probability proportional to its squared distance
    /// from the nearest centroid so far (Arthur and Vassilvitskii, 2007).
    #[default]
    #[serde(rename = "kmeans++")]
    PlusPlus,
    /// The given centroids, row by row.
    Centroids(Vec<f64>),
}

/// Agrees with the other workers on `k × dims` initial centroids.
///
/// # Errors
///
/// Those of the coordination.
pub fn centroids<T: Element>(
    problem: &Problem,
    points: &Points<T>,
    isa: Isa,
    origin: &[T],
    link: &mut dyn AllReduce,
) -> Result<Vec<f64>> {
    let Settings { k, seed, ref init, .. } = problem.settings;
    match init {
        Init::Centroids(centroids) => Ok(centroids.clone()),
        Init::First => rows::<T>(&(0..k as u64).collect::<Vec<_>>(), points, link),
        Init::Random => rows(&distinct(seed, k, problem.points), points, link),
        Init::PlusPlus => plus_plus(problem, points, isa, origin, link),
    }
}

/// Returns the coordinates of some rows, from the workers that have them.
fn rows<T: Element>(
    rows: &[u64],
    points: &Points<T>,
    link: &mut dyn AllReduce,
) -> Result<Vec<f64>> {
    let mut values = vec![0; rows.len() * points.dims];
    for (row, out) in rows.iter().zip(values.chunks_exact_mut(points.dims)) {
        for (out, x) in out.iter_mut().zip(points.row(*row).unwrap_or_default()) {
            *out = x.to_wire();
        }
    }
    link.all_reduce(Phase::Init(0), ReduceOp::Sum, &mut values)?;
    Ok(from_wire::<T>(&values))
}

fn from_wire<T: Element>(values: &[i64]) -> Vec<f64> {
    values.iter().map(|bits| T::from_wire(*bits).to_f64()).collect()
}

/// Draws `k` of `n` numbers, all sets with the same probability: Floyd's algorithm, with one draw
/// per number.
fn distinct(seed: u64, k: usize, n: u64) -> Vec<u64> {
    let mut seen = HashSet::new();
    let last = n - k as u64..n;
    last.map(|top| {
        let drawn = below(hash(seed, Draw::Row, top), top + 1);
        let row = if seen.contains(&drawn) { top } else { drawn };
        seen.insert(row);
        row
    })
    .collect()
}

fn plus_plus<T: Element>(
    problem: &Problem,
    points: &Points<T>,
    isa: Isa,
    origin: &[T],
    link: &mut dyn AllReduce,
) -> Result<Vec<f64>> {
    let dims = points.dims;
    let Settings { k, seed, .. } = problem.settings;
    let first = below(hash(seed, Draw::Row, 0), problem.points);
    let mut centroids = rows(&[first], points, link)?;
    let mut nearest = vec![f64::INFINITY; points.rows()];
    let mut scratch = Scratch::default();
    let slot_len = dims + 2;
    for draw in 1..k as u64 {
        let newest = Centres::new(isa, &centroids[centroids.len() - dims..], origin);
        let best = draw_row(seed, draw, points, &newest, &mut scratch, &mut nearest);
        let mut values = vec![0; problem.parties as usize * slot_len];
        if let Some((key, row)) = best {
            let slot = &mut values[slot(problem.party, slot_len)];
            slot[0] = key.to_wire();
            slot[1] = (row + 1).cast_signed();
            let row = points.row(row).expect("a worker draws from its own rows");
            slot[2..].iter_mut().zip(row).for_each(|(out, x)| *out = x.to_wire());
        }
        link.all_reduce(Phase::Init(draw), ReduceOp::Sum, &mut values)?;
        let winner = values
            .chunks_exact(slot_len)
            .filter(|slot| slot[1] != 0)
            .min_by_key(|slot| (slot[0], slot[1]));
        match winner {
            Some(slot) => centroids.extend(from_wire::<T>(&slot[2..])),
            // Every point is a centroid already; the remaining clusters stay empty.
            None => centroids.extend_from_within(..dims),
        }
    }
    Ok(centroids)
}

/// Returns the row with the smallest exponential variate of rate `D²`. A row wins with a
/// probability proportional to its `D²` (Efraimidis and Spirakis, 2006).
fn draw_row<T: Element>(
    seed: u64,
    draw: u64,
    points: &Points<T>,
    newest: &Centres<T>,
    scratch: &mut Scratch<T>,
    nearest: &mut [f64],
) -> Option<(f64, u64)> {
    let block_rows = Centres::<T>::block_rows(points.dims);
    let labels = vec![0; block_rows];
    let mut distances = vec![0.0; block_rows];
    let mut best: Option<(f64, u64)> = None;
    let mut row = points.first;
    for (block, nearest) in
        points.values.chunks(block_rows * points.dims).zip(nearest.chunks_mut(block_rows))
    {
        let distances = &mut distances[..nearest.len()];
        newest.distances(block, scratch, &labels[..nearest.len()], distances);
        for (nearest, distance) in nearest.iter_mut().zip(distances) {
            *nearest = nearest.min(*distance);
            if *nearest > 0.0 {
                let key = -unit(hash(seed, Draw::PlusPlus(draw), row)).ln() / *nearest;
                if best.is_none_or(|(least, _)| key < least) {
                    best = Some((key, row));
                }
            }
            row += 1;
        }
    }
    best
}

fn slot(party: u32, len: usize) -> Range<usize> {
    party as usize * len..(party as usize + 1) * len
}

/// The purpose of a hash, so that different draws are independent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Draw {
    Row,
    PlusPlus(u64),
    Generate(u64),
}

/// Returns 64 well-mixed bits of (seed, draw, index): SplitMix64, seeded with each in turn.
pub(crate) fn hash(seed: u64, draw: Draw, index: u64) -> u64 {
    let draw = match draw {
        Draw::Row => 0,
        Draw::PlusPlus(draw) => draw << 2 | 1,
        Draw::Generate(dim) => dim << 2 | 2,
    };
    mix(mix(mix(seed).wrapping_add(draw)).wrapping_add(index))
}

/// Returns the first number of SplitMix64 with this seed, which is a bijection with well-mixed
/// bits.
fn mix(value: u64) -> u64 {
    SplitMix64::seed_from_u64(value).next_u64()
}

/// Returns a number below `n`, by multiplication: off from uniform by less than `n · 2^-64`.
pub(crate) fn below(hash: u64, n: u64) -> u64 {
    u64::try_from((u128::from(hash) * u128::from(n)) >> 64)
        .expect("the high half of a product of two")
}

/// Returns a number in (0, 1].
pub(crate) fn unit(hash: u64) -> f64 {
    ((hash >> 11) + 1) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_rows_are_distinct_and_in_range() {
        for (k, n) in [(1, 1), (5, 5), (3, 1000), (500, 1000)] {
            let rows: HashSet<u64> = distinct(7, k, n).into_iter().collect();
            assert_eq!(rows.len(), k);
            assert!(rows.iter().all(|row| *row < n));
        }
        assert_ne!(distinct(1, 3, 1000), distinct(2, 3, 1000));
    }

    /// Results of earlier versions, and points that were generated by them, depend on these bits.
    #[test]
    fn hashes_stay_the_same() {
        let hashes = [
            hash(0, Draw::Row, 0),
            hash(7, Draw::Row, 1_797),
            hash(3, Draw::PlusPlus(2), 5),
            hash(u64::MAX, Draw::Generate(99), 1 << 40),
        ];
        let expected = [
            0x2382_75bc_38fc_be91,
            0x83f1_5f6b_8b31_9854,
            0x63ea_ea30_e5ec_1daf,
            0xcccc_9497_af98_d5ab,
        ];
        assert_eq!(hashes, expected);
    }

    #[test]
    fn hashes_are_spread() {
        let mean: f64 =
            (0..10_000).map(|row| unit(hash(3, Draw::PlusPlus(1), row))).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
