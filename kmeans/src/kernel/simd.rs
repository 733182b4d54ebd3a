//! The instructions: one register-blocked micro-kernel, written once over [`Lanes`] and compiled for each
//! instruction set. The only file of this package with `unsafe` code.
//!
//! What keeps it sound:
//!
//! 1. A `#[target_feature]` function is called after [`has`] said that this processor has those features.
//! 2. Pointers come from slices whose lengths [`nearest`] asserts before its loops.
//! 3. The generic code is `#[inline(always)]`, so it is compiled with its caller's features.
#![allow(unsafe_code)]

use super::{Centres, Element, Isa, PANEL_VECTORS_MAX, Scratch, UNASSIGNED};
use crate::fixed;

/// Every kernel's number of points at once divides this.
pub(super) const POINTS_MULTIPLE: usize = 12;

/// Partial sums of a squared distance: as many on every machine, so that the sum has the same bits.
const DISTANCE_LANES: usize = 16;

/// The entry points of an element type, each with a version per instruction set.
pub trait Dispatch: Sized {
    /// Elements in one vector.
    fn lanes(isa: Isa) -> usize;
    /// Centres the rows into `scratch` and finds their nearest centres.
    fn nearest(isa: Isa, centres: &Centres<Self>, rows: &[Self], scratch: &mut Scratch<Self>);
    /// Squared distances of centred rows to the centres of their labels.
    fn distances(isa: Isa, centres: &Centres<Self>, centred: &[Self], labels: &[u32], distances: &mut [f64]);
    /// See [`super::move_rows`].
    fn move_rows(isa: Isa, rows: &[Self], factors: &[f64], old: &[u32], new: &[u32], sums: &mut [i64]);
}

pub(super) fn lanes<T: Dispatch>(isa: Isa) -> usize {
    T::lanes(isa)
}

/// Whether this processor can run `isa`.
pub(super) fn has(isa: Isa) -> bool {
    match isa {
        Isa::Portable => true,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq"),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        _ => false,
    }
}

/// One vector of centres.
///
/// # Safety
///
/// Methods may only run where the implementing type's instructions exist, inlined into a function that enables them.
unsafe trait Lanes: Copy {
    type T: Element;
    const N: usize;

    /// Reads `N` elements; `from` must have that many.
    unsafe fn load(from: *const Self::T) -> Self;
    unsafe fn splat(value: Self::T) -> Self;
    /// `a * b + self`, one rounding.
    unsafe fn fused(self, a: Self, b: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    unsafe fn reduce_min(self) -> Self::T;
    /// Bit `i` is set where lane `i` equals `other`'s.
    unsafe fn equal(self, other: Self) -> u32;
}

/// Scores `P` points against the `V` vectors of one panel; keeps the winner where it beats `scores`.
///
/// # Safety
///
/// `points` has `P` rows of `dims`, `panel` has `(dims + 1) × V` vectors, and `L`'s instructions exist.
#[inline(always)]
unsafe fn micro<L: Lanes, const P: usize, const V: usize>(
    points: *const L::T,
    dims: usize,
    panel: *const L::T,
    first: u32,
    scores: &mut [L::T],
    labels: &mut [u32],
) {
    // SAFETY: the caller promises the rows, the panel and the instructions.
    unsafe {
        let mut acc = [[L::load(panel); V]; P];
        for point in &mut acc {
            for (v, value) in point.iter_mut().enumerate() {
                *value = L::load(panel.add(v * L::N));
            }
        }
        let mut column = panel.add(V * L::N);
        for dim in 0..dims {
            let mut centre = [L::load(column); V];
            for (v, value) in centre.iter_mut().enumerate() {
                *value = L::load(column.add(v * L::N));
            }
            for (p, point) in acc.iter_mut().enumerate() {
                let x = L::splat(*points.add(p * dims + dim));
                for (value, c) in point.iter_mut().zip(centre) {
                    *value = value.fused(x, c);
                }
            }
            column = column.add(V * L::N);
        }
        for (p, point) in acc.into_iter().enumerate() {
            let low = point.into_iter().reduce(|a, b| a.min(b)).expect("a panel has a vector").reduce_min();
            if low < scores[p] {
                let lowest = L::splat(low);
                let mut lane = 0;
                let mut hit = 0;
                for (value, start) in point.into_iter().zip((0u32..).step_by(L::N)).rev_array() {
                    let equal = value.equal(lowest);
                    if equal != 0 {
                        lane = start;
                        hit = equal;
                    }
                }
                scores[p] = low;
                labels[p] = first + lane + hit.trailing_zeros();
            }
        }
    }
}
