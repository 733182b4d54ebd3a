//! The distance kernel: for every point of a block, its nearest centre and the squared distance to
//! it.
//!
//! It owns the packed centres and the choice of instructions. It guarantees:
//!
//! 1. A point's label depends only on that point and the centres: not on its position in a block,
//!    the worker, the thread, or the instructions. Every (point, centre) score is one chain of
//!    fused multiply-adds in the order of the dimensions, so AVX-512, AVX2, NEON and the portable
//!    code agree to the bit.
//! 2. Ties go to the centre with the lowest index.
//! 3. No `points × centres` matrix is written: scores live in registers until their minimum is
//!    taken.
//!
//! Scores are `|c|²/2 − x·c`, after an origin near the mean of the data is subtracted from both, so
//! that a large common offset does not cancel the significant digits. The distance to the chosen
//! centre is computed as `Σ (x−c)²`. The kernel knows nothing of row numbers, sums, rounds or
//! files.

mod simd;

use std::fmt;
use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Serialize};

use crate::fixed::Scale;

/// The label of a point that was not assigned yet.
pub const UNASSIGNED: u32 = u32::MAX;

/// Bytes of centred points in one block, which fits into a core's L2 cache together with a panel of
/// centres.
const BLOCK_BYTES: usize = 64 << 10;

/// Vectors in the widest panel.
const PANEL_VECTORS_MAX: usize = 2;

/// The alignment of a panel: one cache line, so that no vector load needs two.
const PANEL_ALIGNMENT: usize = 64;

/// The precision of coordinates in memory and in comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

/// A coordinate: `f32` or `f64`.
pub trait Element:
    simd::Dispatch
    + Copy
    + Default
    + PartialOrd
    + fmt::Debug
    + fmt::Display
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Send
    + Sync
    + 'static
{
    /// The precision of this type.
    const PRECISION: Precision;
    /// Greater than every score.
    const INFINITY: Self;
    /// The sum of squares beyond which scores could overflow.
    const SQUARES_MAX: f64;
    /// The square of a range below which the squares of differences that the range can resolve
    /// would vanish.
    const SQUARES_MIN: f64 = Self::TINY / (Self::ROUNDOFF * Self::ROUNDOFF);
    /// The relative error of an operation: half the distance from 1 to the next number.
    const ROUNDOFF: f64;
    /// Below this, the error of an operation is absolute.
    const TINY: f64;

    /// Converts, rounding to nearest.
    fn from_f64(value: f64) -> Self;
    /// Converts exactly.
    fn to_f64(self) -> f64;
    /// Returns `self * a + b` with one rounding.
    fn fused(self, a: Self, b: Self) -> Self;
    /// Returns the bits as an integer; a sum with zeros does not change it.
    fn to_wire(self) -> i64;
    /// Converts an integer of [`Element::to_wire`] back.
    fn from_wire(bits: i64) -> Self;
}

impl Element for f32 {
    const PRECISION: Precision = Precision::F32;
    const INFINITY: Self = f32::INFINITY;
    const SQUARES_MAX: f64 = f32::MAX as f64 / 8.0;
    const ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
    const TINY: f64 = f32::MIN_POSITIVE as f64;

    #[expect(clippy::cast_possible_truncation, reason = "the method rounds to nearest")]
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        self.mul_add(a, b)
    }
    fn to_wire(self) -> i64 {
        i64::from(self.to_bits())
    }
    fn from_wire(bits: i64) -> Self {
        f32::from_bits(u32::try_from(bits).expect("the bits of an f32 fill 32 bits"))
    }
}

impl Element for f64 {
    const PRECISION: Precision = Precision::F64;
    const INFINITY: Self = f64::INFINITY;
    const SQUARES_MAX: f64 = f64::MAX / 8.0;
    const ROUNDOFF: f64 = f64::EPSILON / 2.0;
    const TINY: f64 = f64::MIN_POSITIVE;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        self.mul_add(a, b)
    }
    fn to_wire(self) -> i64 {
        self.to_bits().cast_signed()
    }
    fn from_wire(bits: i64) -> Self {
        f64::from_bits(bits.cast_unsigned())
    }
}

/// Returns whether no value is NaN or infinite. All are looked at, without a branch for each, which is
/// quicker than to stop at the first.
#[must_use]
pub fn all_finite<T: Element>(values: &[T]) -> bool {
    // The product with zero is NaN for these values only, and NaN stays NaN in sums.
    let lanes =
        values.chunks(FINITE_LANES).fold([T::default(); FINITE_LANES], |mut sums, values| {
            sums.iter_mut().zip(values).for_each(|(sum, x)| *sum = *sum + *x * T::default());
            sums
        });
    lanes.into_iter().all(|sum| sum.to_f64() == 0.0)
}

/// Sums that [`all_finite`] makes side by side.
const FINITE_LANES: usize = 16;

/// The instructions a kernel runs on. All give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// The compiler's base target; fused multiply-adds may be slow calls.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F and DQ.
    Avx512,
    /// Arm's 128-bit vectors.
    Neon,
}

impl Isa {
    /// Returns the best of this machine.
    #[must_use]
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// Returns all of this machine, best first; `Portable` is always the last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable]
            .into_iter()
            .filter(|isa| simd::has(*isa))
            .collect()
    }
}

/// Centres packed for the kernel.
///
/// The centres are cut into panels of one or two vectors; a panel is stored by dimension, each
/// vector holding one coordinate of several centres, so that a point's coordinate is broadcast
/// against a whole vector of centres. A panel opens with the half squared norms; lanes beyond the
/// last centre have an infinite one and never win.
#[derive(Debug)]
pub struct Centres<T> {
    isa: Isa,
    k: usize,
    dims: usize,
    origin: Vec<T>,
    /// Centred centres, row by row of `stride`, from which distances are computed.
    rows: Vec<T>,
    /// Number of dimensions, with padding, which is zero.
    stride: usize,
    panels: Vec<T>,
    /// Number of elements before the first aligned one in `panels`.
    panels_start: usize,
}

impl<T: Element> Centres<T> {
    /// Packs `centroids` (`k × dims`, row by row), both they and the points relative to `origin`.
    #[must_use]
    pub fn new(isa: Isa, centroids: &[f64], origin: &[T]) -> Self {
        let dims = origin.len();
        let k = centroids.len() / dims;
        assert_eq!(k * dims, centroids.len(), "centroids are whole rows");
        let stride = dims.next_multiple_of(simd::DISTANCE_LANES);
        let mut rows = vec![T::default(); k * stride];
        for (row, centroid) in rows.chunks_exact_mut(stride).zip(centroids.chunks_exact(dims)) {
            for ((out, c), m) in row.iter_mut().zip(centroid).zip(origin) {
                *out = T::from_f64(c - m.to_f64());
            }
        }
        let origin = origin.to_vec();
        let mut centres =
            Self { isa, k, dims, origin, rows, stride, panels: Vec::new(), panels_start: 0 };
        centres.pack();
        centres
    }

    fn pack(&mut self) {
        let lanes = simd::lanes::<T>(self.isa);
        let vectors = self.k.div_ceil(lanes);
        let slack = PANEL_ALIGNMENT / size_of::<T>();
        self.panels = vec![T::default(); vectors * lanes * (self.dims + 1) + slack];
        self.panels_start = self.panels.as_ptr().align_offset(PANEL_ALIGNMENT).min(slack);
        let mut at = self.panels_start;
        for first in (0..self.k).step_by(lanes * PANEL_VECTORS_MAX) {
            let width = lanes * PANEL_VECTORS_MAX.min(vectors - first / lanes);
            for lane in 0..width {
                let centre = first + lane;
                if centre >= self.k {
                    self.panels[at + lane] = T::INFINITY;
                    continue;
                }
                let row = &self.rows[centre * self.stride..][..self.dims];
                let norm: f64 = row.iter().map(|c| c.to_f64() * c.to_f64()).sum();
                self.panels[at + lane] = T::from_f64(norm / 2.0);
                for (dim, c) in row.iter().enumerate() {
                    self.panels[at + (dim + 1) * width + lane] = T::default() - *c;
                }
            }
            at += width * (self.dims + 1);
        }
    }

    /// Subtracts the origin from each row, and pads it.
    #[inline(always)]
    fn centre(&self, rows: &[T], centred: &mut [T]) {
        for (out, row) in centred.chunks_exact_mut(self.stride).zip(rows.chunks_exact(self.dims)) {
            let (out, padding) = out.split_at_mut(self.dims);
            for ((out, x), mean) in out.iter_mut().zip(row).zip(&self.origin) {
                *out = *x - *mean;
            }
            padding.fill(T::default());
        }
    }

    /// Returns the number of centres.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Returns the centres as the kernel uses them: relative to the origin, rounded, each padded
    /// with zeros.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[T]> {
        self.rows.chunks_exact(self.stride)
    }

    /// Returns the number of points in a block: as many as stay in cache, in multiples of the
    /// kernel's group size.
    #[must_use]
    pub fn block_rows(dims: usize) -> usize {
        let fit = BLOCK_BYTES / (dims.next_multiple_of(simd::DISTANCE_LANES) * size_of::<T>());
        (fit / simd::POINTS_MULTIPLE).max(1) * simd::POINTS_MULTIPLE
    }

    /// Writes each row's nearest centre to `labels` and its squared distance to `distances`.
    ///
    /// `rows` are at most [`Centres::block_rows`] rows without NaN or infinity. `upcoming` are the
    /// rows of the next call, if there is one; they are prefetched meanwhile.
    pub fn nearest(
        &self,
        rows: &[T],
        upcoming: &[T],
        scratch: &mut Scratch<T>,
        labels: &mut [u32],
        distances: &mut [f64],
    ) {
        self.search(rows, upcoming, scratch, labels, distances, T::nearest);
    }

    /// Like [`Centres::nearest`], and writes to `gaps` the difference between the second lowest
    /// score and the lowest, which is infinity if there is one centre.
    pub fn nearest_two(
        &self,
        rows: &[T],
        upcoming: &[T],
        scratch: &mut Scratch<T>,
        labels: &mut [u32],
        distances: &mut [f64],
        gaps: &mut [f64],
    ) {
        self.search(rows, upcoming, scratch, labels, distances, T::nearest_two);
        assert_eq!(labels.len(), gaps.len(), "one gap per row");
        for ((gap, score), second) in gaps.iter_mut().zip(&scratch.scores).zip(&scratch.seconds) {
            *gap = second.to_f64() - score.to_f64();
        }
    }

    fn search(
        &self,
        rows: &[T],
        upcoming: &[T],
        scratch: &mut Scratch<T>,
        labels: &mut [u32],
        distances: &mut [f64],
        search: fn(Isa, &Self, &[T], &[T], &mut Scratch<T>),
    ) {
        assert_eq!(rows.len(), labels.len() * self.dims, "one label per row");
        assert_eq!(labels.len(), distances.len(), "one distance per row");
        let padded = labels.len().next_multiple_of(simd::POINTS_MULTIPLE);
        scratch.centred.resize(padded * self.stride, T::default());
        scratch.labels.resize(padded, 0);
        scratch.scores.resize(padded, T::INFINITY);
        scratch.seconds.resize(padded, T::INFINITY);
        search(self.isa, self, rows, upcoming, scratch);
        labels.copy_from_slice(&scratch.labels[..labels.len()]);
        T::distances(self.isa, self, &scratch.centred, labels, distances);
    }

    /// Writes each row's squared distance to the centre of its label to `distances`.
    pub fn distances(
        &self,
        rows: &[T],
        scratch: &mut Scratch<T>,
        labels: &[u32],
        distances: &mut [f64],
    ) {
        assert_eq!(rows.len(), labels.len() * self.dims, "one label per row");
        assert_eq!(labels.len(), distances.len(), "one distance per row");
        scratch.centred.resize(labels.len() * self.stride, T::default());
        self.centre(rows, &mut scratch.centred);
        T::distances(self.isa, self, &scratch.centred, labels, distances);
    }
}

impl<T: Element> Centres<T> {
    /// Calls `on_centre` for each centre, with the squared distances of all rows to it. `rows` are
    /// at most [`Centres::block_rows`] rows.
    pub(crate) fn each_distances(
        &self,
        rows: &[T],
        scratch: &mut Scratch<T>,
        mut on_centre: impl FnMut(usize, &[f64]),
    ) {
        let count = rows.len() / self.dims;
        scratch.centred.resize(count * self.stride, T::default());
        self.centre(rows, &mut scratch.centred);
        let (mut labels, mut distances) = (vec![0; count], vec![0.0; count]);
        for (centre, label) in (0..self.k).zip(0..) {
            labels.fill(label);
            T::distances(self.isa, self, &scratch.centred, &labels, &mut distances);
            on_centre(centre, &distances);
        }
    }
}

/// A worker's buffers for one block.
#[derive(Debug, Default)]
pub struct Scratch<T> {
    centred: Vec<T>,
    labels: Vec<u32>,
    scores: Vec<T>,
    seconds: Vec<T>,
}

/// Adds each row, as fixed point, to the sums of its new centre, and subtracts it from those of its
/// old one.
///
/// Rows whose label did not change are skipped. For the old label [`UNASSIGNED`] nothing is
/// subtracted. `scales` holds one per dimension, see [`crate::fixed`].
pub fn move_rows<T: Element>(
    isa: Isa,
    rows: &[T],
    scales: &[Scale],
    old: &[u32],
    new: &[u32],
    sums: &mut [i64],
) {
    assert_eq!(old.len(), new.len(), "an old and a new label per row");
    assert_eq!(rows.len(), old.len() * scales.len(), "one scale per dimension");
    T::move_rows(isa, rows, scales, old, new, sums);
}

/// Does the work of [`move_rows`]; compiled for each instruction set.
#[inline(always)]
fn accumulate<T: Element>(
    rows: &[T],
    scales: &[Scale],
    old: &[u32],
    new: &[u32],
    sums: &mut [i64],
) {
    let dims = scales.len();
    for ((row, old), new) in rows.chunks_exact(dims).zip(old).zip(new) {
        if old == new {
            continue;
        }
        let start = *new as usize * dims;
        for ((sum, x), scale) in sums[start..start + dims].iter_mut().zip(row).zip(scales) {
            *sum += scale.quantise(x.to_f64());
        }
        if *old != UNASSIGNED {
            let start = *old as usize * dims;
            for ((sum, x), scale) in sums[start..start + dims].iter_mut().zip(row).zip(scales) {
                *sum -= scale.quantise(x.to_f64());
            }
        }
    }
}

#[cfg(test)]
mod tests;
