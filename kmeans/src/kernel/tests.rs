//! The kernel against a naive loop in f64, and every instruction set against every other, to the
//! bit.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::*;

/// Numbers between `offset - 2` and `offset + 2`.
fn numbers<T: Element>(seed: u64, count: usize, offset: f64) -> Vec<T> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let mut number = || (random.next_u64() >> 40) as f64 / f64::from(1 << 22) - 2.0;
    (0..count).map(|_| T::from_f64(offset + number())).collect()
}

struct Case<T> {
    dims: usize,
    points: Vec<T>,
    centroids: Vec<f64>,
    mean: Vec<T>,
}

impl<T: Element> Case<T> {
    fn new(rows: usize, dims: usize, k: usize, offset: f64) -> Self {
        let seed = (rows * 1_000_003 + dims * 1_009 + k) as u64;
        Self {
            dims,
            points: numbers(seed, rows * dims, offset),
            centroids: numbers::<T>(seed + 1, k * dims, offset)
                .into_iter()
                .map(T::to_f64)
                .collect(),
            mean: numbers(seed + 2, dims, offset),
        }
    }

    fn nearest(&self, isa: Isa) -> (Vec<u32>, Vec<f64>) {
        let rows = self.points.len() / self.dims;
        let (mut labels, mut distances) = (vec![UNASSIGNED; rows], vec![0.0; rows]);
        let centres = Centres::new(isa, &self.centroids, &self.mean);
        centres.nearest(&self.points, &[], &mut Scratch::default(), &mut labels, &mut distances);
        (labels, distances)
    }

    /// Squared distances of one point to all centres, in f64.
    fn naive(&self, row: usize) -> Vec<f64> {
        let point = &self.points[row * self.dims..(row + 1) * self.dims];
        let distance = |c: &[f64]| point.iter().zip(c).map(|(x, c)| (x.to_f64() - c).powi(2)).sum();
        self.centroids.chunks_exact(self.dims).map(distance).collect()
    }

    fn check(&self, tolerance: f64) {
        let what = format!(
            "{} dims {} centroids {}",
            T::PRECISION,
            self.dims,
            self.centroids.len() / self.dims
        );
        let (labels, distances) = self.nearest(Isa::Portable);
        for (row, (label, distance)) in labels.iter().zip(&distances).enumerate() {
            let naive = self.naive(row);
            let least = naive.iter().copied().fold(f64::INFINITY, f64::min);
            let chosen = naive[*label as usize];
            assert!(
                chosen - least <= tolerance * (1.0 + least),
                "{what} row {row}: {chosen} is not {least}"
            );
            assert!(
                (distance - chosen).abs() <= tolerance * (1.0 + chosen),
                "{what} row {row}: {distance} {chosen}"
            );
        }
        for isa in Isa::available() {
            let (other, other_distances) = self.nearest(isa);
            assert_eq!(other, labels, "{isa:?} {what}");
            assert_eq!(bits(&other_distances), bits(&distances), "{isa:?} {what}");
        }
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn odd_shapes_match_a_naive_loop_and_each_other() {
    for dims in [1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 100, 130] {
        for k in [1, 2, 3, 7, 8, 9, 15, 16, 17, 25, 32, 33, 48, 49, 64, 70] {
            let rows = 1 + (dims * 7 + k * 3) % 40;
            Case::<f32>::new(rows, dims, k, 0.0).check(1e-4);
            Case::<f64>::new(rows, dims, k, 0.0).check(1e-12);
        }
    }
}

#[test]
fn a_large_common_offset_does_not_cancel() {
    Case::<f32>::new(97, 10, 9, 10_000.0).check(1e-2);
    Case::<f64>::new(97, 10, 9, 1e9).check(1e-5);
}

#[test]
fn a_label_does_not_depend_on_the_neighbours() {
    let case = Case::<f32>::new(61, 19, 23, 0.0);
    for isa in Isa::available() {
        let (labels, distances) = case.nearest(isa);
        let centres = Centres::new(isa, &case.centroids, &case.mean);
        for (row, point) in case.points.chunks_exact(case.dims).enumerate() {
            let (mut label, mut distance) = ([0], [0.0]);
            centres.nearest(point, &[], &mut Scratch::default(), &mut label, &mut distance);
            assert_eq!(
                (label[0], distance[0].to_bits()),
                (labels[row], distances[row].to_bits()),
                "{isa:?} {row}"
            );
        }
    }
}

#[test]
fn ties_go_to_the_lowest_index() {
    for isa in Isa::available() {
        for copies in [2, 9, 17, 33, 65] {
            let case = Case::<f32> {
                dims: 2,
                points: vec![1.0, 0.5, -3.0, 0.0],
                centroids: [9.0, 9.0].into_iter().chain([1.0, 0.5].repeat(copies)).collect(),
                mean: vec![0.25, -0.5],
            };
            assert_eq!(case.nearest(isa), (vec![1, 1], vec![0.0, 16.25]), "{isa:?} {copies}");
        }
    }
}

#[test]
fn moved_rows_leave_exact_sums() {
    let (dims, k) = (19, 5);
    let rows: Vec<f32> = numbers(5, 40 * dims, 0.0);
    let scales = vec![crate::fixed::Scale::of(-2.0, 2.0, 40); dims];
    let old: Vec<u32> = (0..40).map(|row| row % 5).collect();
    let new: Vec<u32> = (0..40).map(|row| row / 8).collect();
    for isa in Isa::available() {
        let mut moved = vec![0; k * dims];
        move_rows(isa, &rows, &scales, &[UNASSIGNED; 40], &old, &mut moved);
        move_rows(isa, &rows, &scales, &old, &new, &mut moved);
        let mut fresh = vec![0; k * dims];
        move_rows(Isa::Portable, &rows, &scales, &[UNASSIGNED; 40], &new, &mut fresh);
        assert_eq!(moved, fresh, "{isa:?}");
    }
}

/// Prints timings: `cargo test --release -p catena-kmeans --lib -- --ignored --nocapture
/// kernel_speed`.
#[test]
#[ignore = "prints timings"]
fn kernel_speed() {
    let (rows, dims, k) = (250_000, 100, 25);
    let points: Vec<f32> = numbers(1, rows * dims, 0.0);
    let centroids: Vec<f64> = numbers::<f32>(2, k * dims, 0.0).into_iter().map(f64::from).collect();
    let block = Centres::<f32>::block_rows(dims);
    for isa in Isa::available() {
        let centres = Centres::new(isa, &centroids, &vec![0.5f32; dims]);
        let (mut labels, mut distances, mut scratch) =
            (vec![0; block], vec![0.0; block], Scratch::default());
        let mut best = f64::INFINITY;
        for _ in 0..7 {
            let start = std::time::Instant::now();
            for rows in points.chunks(block * dims) {
                let count = rows.len() / dims;
                centres.nearest(
                    rows,
                    &[],
                    &mut scratch,
                    &mut labels[..count],
                    &mut distances[..count],
                );
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        let mut hot = f64::INFINITY;
        for _ in 0..7 {
            let start = std::time::Instant::now();
            for _ in 0..rows / block {
                centres.nearest(
                    &points[..block * dims],
                    &[],
                    &mut scratch,
                    &mut labels[..block],
                    &mut distances[..block],
                );
            }
            hot = hot.min(start.elapsed().as_secs_f64());
        }
        println!("hot {:.2} ms", hot * 1e3);
        let mut hot = f64::INFINITY;
        for _ in 0..7 {
            let start = std::time::Instant::now();
            for _ in 0..rows / block {
                centres.distances(
                    &points[..block * dims],
                    &mut scratch,
                    &labels[..block],
                    &mut distances[..block],
                );
            }
            hot = hot.min(start.elapsed().as_secs_f64());
        }
        println!("hot centre+distances {:.2} ms", hot * 1e3);
        let flops = 2.0 * (rows * dims * k) as f64;
        println!("{isa:?}: {:.2} ms, {:.1} GFLOP/s", best * 1e3, flops / best / 1e9);
    }
}

#[test]
fn a_value_that_is_not_finite_is_seen_wherever_it_is() {
    fn check<T: Element>() {
        for length in [0, 1, 15, 16, 17, 100] {
            let mut values = vec![T::from_f64(-1.5e30); length];
            assert!(all_finite(&values));
            for at in 0..length {
                for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    let good = std::mem::replace(&mut values[at], T::from_f64(bad));
                    assert!(!all_finite(&values), "{bad} at {at} of {length}");
                    values[at] = good;
                }
            }
        }
        let extremes = [f64::from(f32::MAX), -f64::from(f32::MAX), -0.0, 1e-320].map(T::from_f64);
        assert!(all_finite(&extremes));
    }
    check::<f32>();
    check::<f64>();
}
