//! Initial centroids, the same for any number of workers.
//!
//! Draws depend only on the seed, the number of the draw and the global number of the row, and not
//! on the worker that has the row. That worker contributes the bits of the row's coordinates and
//! all others zeros, so that initial centroids are exactly data values.

mod draw;
mod parallel;
mod sampler;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::data::Points;
use crate::error::Result;
use crate::fixed::Cost;
use crate::kernel::Element;
use crate::lloyd::Problem;
use crate::settings::Settings;
use draw::below_wide;

pub(crate) use draw::{Draw, below, hash, unit};
pub(crate) use sampler::Sampler;

/// How initial centroids are chosen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// The first rows.
    First,
    /// Distinct rows, drawn uniformly.
    Random,
    /// Rows drawn one after the other, with a probability proportional to the squared distance from
    /// the nearest centroid so far (Arthur and Vassilvitskii, 2007). Of `2 + ln k` rows that are drawn
    /// each time, the one is taken that leaves the lowest cost: the greedy variant, which misses
    /// clusters less often.
    #[default]
    #[serde(rename = "kmeans++")]
    PlusPlus,
    /// Rows drawn in a few rounds, many at a time, of which k-means++ takes the best (Bahmani et al.,
    /// "Scalable k-means++", 2012): fewer calls and passes over the points for many clusters.
    #[serde(rename = "kmeans||")]
    Parallel,
    /// The given centroids, row by row.
    Centroids(Vec<f64>),
}

/// How many rows are drawn for each centroid of k-means++.
fn trials(k: usize) -> usize {
    let mut trials = 2;
    // The integer part of ln k, without the library's logarithm, which differs between platforms.
    let mut reach = 1.0;
    while reach * std::f64::consts::E <= k as f64 {
        reach *= std::f64::consts::E;
        trials += 1;
    }
    trials
}

/// Returns the number of all-reduce calls that an initialisation can take.
pub(crate) fn calls(init: &Init, k: usize) -> u64 {
    match init {
        Init::PlusPlus => 2 * k as u64,
        Init::Parallel => parallel::CALLS,
        _ => 1,
    }
}

/// Returns the length of a contribution to [`Phase::Initial`] or to call number `call`.
pub(crate) fn length(
    init: &Init,
    call: Option<u64>,
    k: usize,
    dims: usize,
    parties: usize,
) -> usize {
    match (init, call) {
        (_, None) => k * dims,
        (Init::Parallel, Some(call)) => parallel::length(call, k, dims, parties),
        (Init::PlusPlus, Some(0)) => dims,
        (Init::PlusPlus, Some(1)) => parties * 2,
        (Init::PlusPlus, Some(call)) if call.is_multiple_of(2) => trials(k) * dims,
        (Init::PlusPlus, Some(_)) => trials(k) * parties * 2,
        (_, Some(_)) => k * dims,
    }
}

/// Agrees with the other workers on `k × dims` initial centroids. `resumes` says that an earlier attempt may have done a part of it, whose results are
/// then taken over.
///
/// # Errors
///
/// Errors of the coordination.
pub(crate) fn centroids<T: Element>(
    problem: &Problem,
    sampler: Sampler<'_, T>,
    link: &mut dyn AllReduce,
    resumes: bool,
) -> Result<Vec<f64>> {
    let Settings { k, seed, ref init, .. } = problem.settings;
    let points = sampler.points;
    match init {
        Init::Centroids(centroids) => Ok(centroids.clone()),
        Init::First => rows::<T>(&(0..k as u64).collect::<Vec<_>>(), points, link),
        Init::Random => rows(&distinct(seed, k, problem.points), points, link),
        Init::PlusPlus | Init::Parallel => {
            let phase = Phase::Initial;
            if resumes && let Some((_, values)) = link.last(phase)? {
                return Ok(from_wire::<T>(&values));
            }
            let mut agreement = Agreement { link, resumes };
            let centroids = match init {
                Init::PlusPlus => plus_plus(problem, sampler, &mut agreement)?,
                _ => parallel::centroids(problem, sampler, &mut agreement)?,
            };
            // All parties contribute the same, for those that are restarted later.
            let mut values: Vec<i64> =
                centroids.iter().map(|c| T::from_f64(*c).to_wire()).collect();
            link.all_reduce(phase, ReduceOp::Max, &mut values)?;
            Ok(centroids)
        }
    }
}

/// The calls of an initialisation, of which an earlier attempt may have made some.
struct Agreement<'l> {
    link: &'l mut dyn AllReduce,
    resumes: bool,
}

impl Agreement<'_> {
    /// Takes the result of a call from the last attempt, or computes a contribution.
    fn on(&mut self, call: u64, compute: impl FnOnce() -> Vec<i64>) -> Result<Vec<i64>> {
        let phase = Phase::Init(call);
        if self.resumes {
            match self.link.last(phase)? {
                Some((_, values)) => return Ok(values),
                None => self.resumes = false,
            }
        }
        let mut values = compute();
        self.link.all_reduce(phase, ReduceOp::Sum, &mut values)?;
        Ok(values)
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

/// Draws `count` of `n` rows, or all if there are no more, in order.
pub(crate) fn drawn(seed: u64, count: u64, n: u64) -> Vec<u64> {
    let count = usize::try_from(count.min(n)).expect("drawn rows fit the memory");
    // Not the rows that `Init::Random` draws, nor a part of them.
    let mut rows = distinct(!seed, count, n);
    rows.sort_unstable();
    rows
}

/// Agrees on the first centroid: a row, with a probability proportional to its weight.
fn first_centroid<T: Element>(
    problem: &Problem,
    sampler: &Sampler<'_, T>,
    agreement: &mut Agreement<'_>,
) -> Result<Vec<f64>> {
    let points = sampler.points;
    let drawn = hash(problem.settings.seed, Draw::Row, 0);
    let first = agreement.on(0, || {
        let row = match sampler.weights {
            None => points.row(below(drawn, problem.points)),
            Some(weights) => weights
                .row(below(drawn, weights.total()))
                .map(|row| &points.values[row * points.dims..][..points.dims]),
        };
        wire(std::iter::once(row), points.dims)
    })?;
    Ok(from_wire::<T>(&first))
}

/// What k-means++ and k-means|| begin with: the numbers of the problem, and the first centroid, which the
/// sampler has.
struct Opening {
    dims: usize,
    k: usize,
    seed: u64,
    party: usize,
    parties: usize,
    first: Vec<f64>,
}

impl Opening {
    fn of<T: Element>(
        problem: &Problem,
        sampler: &mut Sampler<'_, T>,
        agreement: &mut Agreement<'_>,
    ) -> Result<Self> {
        let first = first_centroid(problem, sampler, agreement)?;
        sampler.add(&first);
        let Settings { k, seed, .. } = problem.settings;
        let (party, parties) = (problem.party as usize, problem.parties as usize);
        Ok(Self { dims: sampler.points.dims, k, seed, party, parties, first })
    }
}

fn plus_plus<T: Element>(
    problem: &Problem,
    mut sampler: Sampler<'_, T>,
    agreement: &mut Agreement<'_>,
) -> Result<Vec<f64>> {
    let Opening { dims, k, seed, party, parties, first: mut centroids } =
        Opening::of(problem, &mut sampler, agreement)?;
    // The weight of each party's points: two numbers per party.
    let mut slots = agreement.on(1, || sampler.slots(party, parties))?;
    let trials = trials(k);
    for draw in 1..k as u64 {
        let weights: Vec<u128> = slots.chunks_exact(2).map(|slot| sampler.steps(slot)).collect();
        let total: u128 = weights.iter().sum();
        if total == 0 {
            // Every point is a centroid already; the remaining clusters stay empty.
            while centroids.len() < k * dims {
                centroids.extend_from_within(..dims);
            }
            return Ok(centroids);
        }
        let before: u128 = weights[..party].iter().sum();
        let own = before..before + weights[party];
        let drawn = agreement.on(2 * draw, || {
            let targets = (0..trials as u64)
                .map(|trial| below_wide(hash(seed, Draw::PlusPlus(draw), trial), total));
            let rows =
                targets.map(|target| own.contains(&target).then(|| sampler.row(target - before)));
            wire(rows, dims)
        })?;
        let candidates = from_wire::<T>(&drawn);
        // The weight of each party's points if a candidate becomes a centroid, by candidate.
        let left = agreement.on(2 * draw + 1, || {
            let mut values = vec![0; trials * parties * 2];
            for (at, Cost { coarse, fine }) in sampler.weigh(&candidates).into_iter().enumerate() {
                values[(at * parties + party) * 2..][..2].copy_from_slice(&[coarse, fine]);
            }
            values
        })?;
        let by_candidate = left.chunks_exact(parties * 2);
        let cost =
            |slots: &[i64]| -> u128 { slots.chunks_exact(2).map(|slot| sampler.steps(slot)).sum() };
        let (best, least) = by_candidate
            .enumerate()
            .min_by_key(|(_, slots)| cost(slots))
            .expect("there is a candidate");
        slots = least.to_vec();
        let best = &candidates[best * dims..][..dims];
        centroids.extend_from_slice(best);
        sampler.add(best);
    }
    Ok(centroids)
}

/// Returns the wire format of some rows; zeros for those of other workers.
fn wire<'p, T: Element>(rows: impl Iterator<Item = Option<&'p [T]>>, dims: usize) -> Vec<i64> {
    let mut values = Vec::new();
    for row in rows {
        match row {
            Some(row) => values.extend(row.iter().map(|x| x.to_wire())),
            None => values.resize(values.len() + dims, 0),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::CostScale;
    use crate::kernel::Isa;

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
    fn more_rows_are_drawn_for_more_clusters() {
        let drawn = [1, 2, 3, 7, 8, 25, 100, 20_000].map(trials);
        assert_eq!(drawn, [2, 2, 3, 3, 4, 5, 6, 11]);
    }

    #[test]
    fn wide_draws_are_below_their_bound() {
        for n in [1, 2, 1 << 63, 1 << 64, (1 << 100) + 12_345] {
            assert!(below_wide(u64::MAX, n) < n);
            assert_eq!(below_wide(0, n), 0);
        }
        assert_eq!(below_wide(1 << 63, 1 << 100), 1 << 99);
    }

    #[test]
    fn rows_are_drawn_by_their_weight() {
        let values = vec![0.0, 3.0, 0.0, 4.0, 12.0];
        let points = Points::<f64> { first: 0, dims: 1, values, missing: 0, weights: None };
        let scale = CostScale::of(144.0, 5);
        let mut sampler = Sampler::new(&points, None, Isa::Portable, &[0.0], (144.0, 5));
        sampler.add(&[0.0]);
        let total = sampler.steps(&[sampler.total().coarse, sampler.total().fine]);
        let at = |share: u128| sampler.row(total * share / 169)[0];
        assert_eq!([0, 8, 10, 24, 26, 168].map(at), [3.0, 3.0, 4.0, 4.0, 12.0, 12.0]);
        let weighed = sampler.weigh(&[12.0, 3.5]).map_values(scale);
        assert_eq!(weighed, [25.0, 72.75]);
    }

    trait MapValues {
        fn map_values(self, scale: CostScale) -> Vec<f64>;
    }

    impl MapValues for Vec<Cost> {
        fn map_values(self, scale: CostScale) -> Vec<f64> {
            self.into_iter().map(|cost| scale.value(cost)).collect()
        }
    }

    #[test]
    fn hashes_are_spread() {
        let mean: f64 =
            (0..10_000).map(|row| unit(hash(3, Draw::PlusPlus(1), row))).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
