//! For all shapes of points and movements of centres, labels and distances are those of the full
//! search.

use proptest::prelude::*;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::SeedableRng as _;

use super::*;
use crate::coordination::LocalGroup;
use crate::data::Points;
use crate::init::Init;
use crate::kernel::{Isa, UNASSIGNED};
use crate::lloyd::{self, LloydOutcome, Problem};
use crate::settings::Settings;

/// How points are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PointShape {
    /// Small integers: many points twice, and many halfway between centres.
    Grid,
    /// Clusters that lie apart.
    Apart,
    /// Uniform between -1 and 1.
    Cloud,
    /// Close together, far from zero.
    Offset,
    /// Of all magnitudes.
    Wide,
    /// So small that squares vanish.
    Tiny,
}

const SHAPES: [PointShape; 6] = [
    PointShape::Grid,
    PointShape::Apart,
    PointShape::Cloud,
    PointShape::Offset,
    PointShape::Wide,
    PointShape::Tiny,
];

struct Numbers(SplitMix64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    fn unit(&mut self) -> f64 {
        self.below(1 << 24) as f64 / f64::from(1 << 23) - 1.0
    }

    fn row(&mut self, shape: PointShape, dims: usize) -> Vec<f64> {
        let cluster = self.below(5) as f64 * 100.0;
        let value = |numbers: &mut Self| match shape {
            PointShape::Grid => numbers.below(4) as f64,
            PointShape::Apart => cluster + numbers.unit(),
            PointShape::Cloud => numbers.unit(),
            PointShape::Offset => 1e4 + numbers.unit(),
            PointShape::Wide => numbers.unit() * 10f64.powf(numbers.below(12) as f64 - 6.0),
            PointShape::Tiny => numbers.unit() * 1e-22,
        };
        (0..dims).map(|_| value(self)).collect()
    }

    fn rows(&mut self, shape: PointShape, rows: usize, dims: usize) -> Vec<f64> {
        (0..rows).flat_map(|_| self.row(shape, dims)).collect()
    }
}

fn elements<T: Element>(values: &[f64]) -> Vec<T> {
    values.iter().map(|value| T::from_f64(*value)).collect()
}

/// Moves centres at random (far, by a rounding, onto points, onto each other, or not) and checks
/// all rounds.
fn check_rounds<T: Element>(
    shape: PointShape,
    rows: usize,
    dims: usize,
    k: usize,
    seed: u64,
    isa: Isa,
) {
    let mut numbers = Numbers::new(seed);
    let points: Vec<T> = elements(&numbers.rows(shape, rows, dims));
    let origin: Vec<T> = elements(&numbers.row(shape, dims));
    let mut centroids = numbers.rows(shape, k, dims);
    let mut bounds = Bounds::new(rows, k);
    let mut scratch = Scratch::default();
    let mut old = vec![UNASSIGNED; rows];
    let block_rows = Centres::<T>::block_rows(dims);
    for round in 0..8 {
        let centres = Centres::new(isa, &centroids, &origin);
        bounds.begin(&centres);
        let (mut new, mut distances) = (vec![0; rows], vec![0.0; rows]);
        let (mut labels, mut expected) = (vec![0; rows], vec![0.0; rows]);
        for first in (0..rows).step_by(block_rows) {
            let range = first..rows.min(first + block_rows);
            let rows = &points[range.start * dims..range.end * dims];
            let block = RowBlock { rows, upcoming: &[], old: &old[range.clone()] };
            let (new, distances) = (&mut new[range.clone()], &mut distances[range.clone()]);
            bounds.nearest(&centres, first, &block, &mut scratch, new, distances);
            let (labels, expected) = (&mut labels[range.clone()], &mut expected[range]);
            centres.nearest(rows, &[], &mut scratch, labels, expected);
        }
        let what = format!("{shape:?} {} {rows} × {dims}, {k}, {seed}, {isa:?}", T::PRECISION);
        assert_eq!(new, labels, "{what}, round {round}");
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&distances), bits(&expected), "{what}, round {round}");
        old = new;
        for centre in 0..k {
            let row = centre * dims..(centre + 1) * dims;
            match numbers.below(8) {
                0 => centroids[row].copy_from_slice(&numbers.row(shape, dims)),
                1 => {
                    let other = usize::try_from(numbers.below(k as u64)).unwrap() * dims;
                    centroids.copy_within(other..other + dims, row.start);
                }
                2 => {
                    let point = usize::try_from(numbers.below(rows as u64)).unwrap() * dims;
                    let point = points[point..point + dims].iter().map(|x| x.to_f64());
                    centroids[row].iter_mut().zip(point).for_each(|(c, x)| *c = x);
                }
                3 | 4 => {
                    let scale = numbers.unit() * T::ROUNDOFF * 4.0;
                    centroids[row].iter_mut().for_each(|c| *c += *c * scale);
                }
                _ => {}
            }
        }
    }
}

/// The outcome of a run, and cost and moved points of each round.
type RunTrace = (LloydOutcome, Vec<(u64, i64)>);

fn trace<T: Element>(problem: &Problem, all: &Points<T>, parties: u32) -> RunTrace {
    let local = LocalGroup::new(parties, std::time::Duration::from_secs(60));
    let traces: Vec<RunTrace> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..parties)
            .map(|party| {
                let mut link = local.join(party);
                let problem = Problem { party, parties, ..problem.clone() };
                scope.spawn(move || {
                    let at = |party: u32| all.rows() * party as usize / parties as usize;
                    let range = at(party)..at(party + 1);
                    let points = Points {
                        first: range.start as u64,
                        dims: all.dims,
                        values: all.values[range.start * all.dims..range.end * all.dims].to_vec(),
                        missing: 0,
                        weights: None,
                    };
                    let mut rounds = Vec::new();
                    let outcome = lloyd::run(
                        &problem,
                        &points,
                        Isa::detect(),
                        &mut link,
                        false,
                        &mut |round| {
                            rounds.push((round.cost.to_bits(), round.moved));
                            Ok(())
                        },
                    );
                    (outcome.unwrap(), rounds)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let labels = traces.iter().flat_map(|(outcome, _)| outcome.labels.clone()).collect();
    let (outcome, rounds) = traces.into_iter().next().unwrap();
    (LloydOutcome { labels, ..outcome }, rounds)
}

fn problem(k: usize, rows: usize, init: Init, pruning: Pruning) -> Problem {
    let settings = Settings { k, iterations: 20, init, seed: 3, pruning, ..Settings::default() };
    Problem { settings, points: rows as u64, party: 0, parties: 1 }
}

#[test]
fn every_width_of_row_and_panel_gives_the_same() {
    for shape in SHAPES {
        for (dims, k) in
            (1..=35).zip([1, 2, 3, 8, 15, 16, 17, 31, 32, 33, 47, 65].into_iter().cycle())
        {
            let seed = (dims * 101 + k) as u64;
            for isa in Isa::available() {
                check_rounds::<f32>(shape, 61, dims, k, seed, isa);
                check_rounds::<f64>(shape, 61, dims, k, seed, isa);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn centres_may_move_as_they_like(
        shape in prop::sample::select(&SHAPES[..]), rows in 1usize..700, dims in 1usize..130, k in 1usize..70, seed: u64,
    ) {
        check_rounds::<f32>(shape, rows, dims, k, seed, Isa::detect());
        check_rounds::<f64>(shape, rows, dims, k, seed, Isa::detect());
    }

    /// Includes empty clusters, more clusters than distinct points, and several workers.
    #[test]
    fn a_run_is_the_same_with_and_without(
        shape in prop::sample::select(&SHAPES[..]), rows in 1usize..300, dims in 1usize..20, share in 0.0..1.0, far: bool,
        parties in 1u32..4, seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small number")]
        let k = 1 + (share * (rows.min(40) - 1) as f64) as usize;
        let values = numbers.rows(shape, rows, dims);
        let init = if far {
            // Most centres are nearest to no point.
            Init::Centroids(numbers.rows(shape, k, dims).iter().map(|c| c * 7.0).collect())
        } else {
            Init::Random
        };
        let points = Points { first: 0, dims, values: elements::<f32>(&values), missing: 0, weights: None };
        // A run refuses values whose squares vanish in its precision.
        let narrow = if shape == PointShape::Tiny { &[][..] } else { &[Pruning::Hamerly, Pruning::Auto] };
        for pruning in narrow.iter().copied() {
            let expected = trace(&problem(k, rows, init.clone(), Pruning::None), &points, 1);
            let got = trace(&problem(k, rows, init.clone(), pruning), &points, parties);
            prop_assert_eq!(&got, &expected, "{:?}", pruning);
        }
        let points = Points { first: 0, dims, values: elements::<f64>(&values), missing: 0, weights: None };
        let expected = trace(&problem(k, rows, init.clone(), Pruning::None), &points, 1);
        let got = trace(&problem(k, rows, init, Pruning::Hamerly), &points, parties);
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn points_of_clusters_that_lie_apart_are_hardly_compared() {
    let (rows, dims, k) = (1_000, 5, 5);
    let mut numbers = Numbers::new(1);
    let points: Vec<f32> = elements(&numbers.rows(PointShape::Apart, rows, dims));
    let mut centroids: Vec<f64> = (0..k).flat_map(|c| vec![f64::from(c) * 100.0; dims]).collect();
    let mut pruner = Pruner::new(Pruning::Auto);
    let (mut old, mut new, mut distances) = (vec![0; rows], vec![0; rows], vec![0.0; rows]);
    let mut compared = Vec::new();
    for _ in 0..4 {
        let centres = Centres::new(Isa::detect(), &centroids, &vec![200.0; dims]);
        let mut scratch = Scratch::default();
        if let Some(bounds) = pruner.begin(&centres, rows) {
            let block = RowBlock { rows: &points, upcoming: &[], old: &old };
            bounds.nearest(&centres, 0, &block, &mut scratch, &mut new, &mut distances);
            old.clone_from(&new);
            compared.push(bounds.compared);
        }
        pruner.end(0, rows);
        centroids[0] += 0.1;
    }
    assert_eq!(compared, [rows, 0, 0], "a round without bounds, then one that computes them");
}

#[test]
fn bounds_that_spare_little_are_kept_less_and_less() {
    let centres = Centres::new(Isa::detect(), &[1.0f64], &[0.0f64]);
    let mut pruner = Pruner::new(Pruning::Auto);
    let kept: Vec<_> = (0..16)
        .map(|_| {
            let is_kept = pruner.begin(&centres, 10).map(|bounds| bounds.compared = 10).is_some();
            pruner.end(0, 10);
            u8::from(is_kept)
        })
        .collect();
    assert_eq!(kept, [0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0]);
}
