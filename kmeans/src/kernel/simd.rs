//! The instructions: one register-blocked micro-kernel, written once over [`Lanes`] and compiled
//! for each instruction set. The only file of this package with `unsafe` code.
//!
//! What keeps it sound:
//!
//! 1. A `#[target_feature]` function is called after [`has`] said that this processor has those
//!    features.
//! 2. Pointers come from slices whose lengths [`nearest`] asserts before its loops.
//! 3. The generic code is `#[inline(always)]`, so it is compiled with its caller's features.
#![allow(unsafe_code)]

use super::{Centres, Element, Isa, PANEL_VECTORS_MAX, Scratch};
use crate::fixed::Scale;

/// A multiple of the group size of every kernel.
pub(super) const POINTS_MULTIPLE: usize = 12;

/// Partial sums of a squared distance; the same number on every machine, so that the sum has the
/// same bits.
pub(super) const DISTANCE_LANES: usize = 16;

/// Lanes in the widest panel.
const PANEL_LANES_MAX: usize = 32;

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// The entry points of an element type, each with a version per instruction set.
pub trait Dispatch: Sized + 'static {
    /// Zeros with minus infinity in the middle. A panel's worth of lanes from a position before the
    /// middle has minus infinity in one lane; subtracting it from scores removes that lane from the
    /// minimum.
    const WITHOUT: &'static [Self; 2 * PANEL_LANES_MAX];

    /// Returns the number of elements in a vector.
    fn lanes(isa: Isa) -> usize;
    /// Centres the rows into `scratch` and finds their nearest centres.
    fn nearest(
        isa: Isa,
        centres: &Centres<Self>,
        rows: &[Self],
        upcoming: &[Self],
        scratch: &mut Scratch<Self>,
    );
    /// Like [`Dispatch::nearest`], and finds the second lowest scores.
    fn nearest_two(
        isa: Isa,
        centres: &Centres<Self>,
        rows: &[Self],
        upcoming: &[Self],
        scratch: &mut Scratch<Self>,
    );
    /// Computes squared distances of centred rows to the centres of their labels.
    fn distances(
        isa: Isa,
        centres: &Centres<Self>,
        centred: &[Self],
        labels: &[u32],
        distances: &mut [f64],
    );
    /// See [`super::move_rows`].
    fn move_rows(
        isa: Isa,
        rows: &[Self],
        scales: &[Scale],
        old: &[u32],
        new: &[u32],
        sums: &mut [i64],
    );
}

pub(super) fn lanes<T: Dispatch>(isa: Isa) -> usize {
    T::lanes(isa)
}

/// Returns whether this processor can run `isa`.
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
/// Methods may only run where the implementing type's instructions exist, inlined into a function
/// that enables them.
unsafe trait Lanes: Copy {
    type T: Element;
    const N: usize;

    /// Reads `N` elements; `from` must have that many.
    unsafe fn load(from: *const Self::T) -> Self;
    unsafe fn splat(value: Self::T) -> Self;
    /// Writes `N` elements; `to` must have room.
    unsafe fn store(self, to: *mut Self::T);
    unsafe fn minus(self, other: Self) -> Self;
    /// `a * b + self`, one rounding.
    unsafe fn fused(self, a: Self, b: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    unsafe fn reduce_min(self) -> Self::T;
    /// Returns a mask in which bit `i` is set if lane `i` equals that of `other`.
    unsafe fn equal(self, other: Self) -> u32;
}

/// The result so far for each of a group of points.
struct Found<'a, T> {
    /// The lowest scores.
    scores: &'a mut [T],
    /// The second lowest scores, if they are requested.
    seconds: &'a mut [T],
    /// The centres with the lowest scores.
    labels: &'a mut [u32],
}

/// Scores `P` points against the `V` vectors of one panel. Updates the lowest scores and, with
/// `TWO`, the second lowest.
///
/// # Safety
///
/// `points` has `P` rows `stride ≥ dims` apart, `panel` has `(dims + 1) × V` vectors, and `L`'s
/// instructions exist.
#[inline(always)]
unsafe fn micro<L: Lanes, const P: usize, const V: usize, const TWO: bool>(
    points: *const L::T,
    stride: usize,
    dims: usize,
    panel: *const L::T,
    first: u32,
    found: &mut Found<'_, L::T>,
) {
    let Found { scores, seconds, labels } = found;
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
                let x = L::splat(*points.add(p * stride + dim));
                for (value, c) in point.iter_mut().zip(centre) {
                    *value = value.fused(x, c);
                }
            }
            column = column.add(V * L::N);
        }
        for (p, point) in acc.into_iter().enumerate() {
            let low = point
                .into_iter()
                .reduce(|a, b| a.min(b))
                .expect("a panel has a vector")
                .reduce_min();
            if low < scores[p] {
                let lowest = L::splat(low);
                let mut equal = 0;
                for (v, value) in point.into_iter().enumerate() {
                    equal |= value.equal(lowest) << (v * L::N);
                }
                let place = equal.trailing_zeros();
                if TWO {
                    // The minimum of all lanes but the lowest, which becomes infinity.
                    let without = L::T::WITHOUT.as_ptr().add(PANEL_LANES_MAX - place as usize);
                    let mut second = point[0].minus(L::load(without));
                    for (v, value) in point.into_iter().enumerate().skip(1) {
                        second = second.min(value.minus(L::load(without.add(v * L::N))));
                    }
                    let second = second.reduce_min();
                    seconds[p] = if second < scores[p] { second } else { scores[p] };
                }
                scores[p] = low;
                labels[p] = first + place;
            } else if TWO && low < seconds[p] {
                seconds[p] = low;
            }
        }
    }
}

/// # Safety
///
/// `L`'s instructions exist.
#[inline(always)]
unsafe fn nearest<L: Lanes, const P: usize, const TWO: bool>(
    centres: &Centres<L::T>,
    rows: &[L::T],
    mut upcoming: &[L::T],
    scratch: &mut Scratch<L::T>,
) {
    const {
        assert!(POINTS_MULTIPLE.is_multiple_of(P), "groups fill the scratch");
        assert!(PANEL_VECTORS_MAX == 2, "panels have one or two vectors");
        assert!(L::N * PANEL_VECTORS_MAX <= PANEL_LANES_MAX, "a mask covers a panel");
    }
    let (dims, stride) = (centres.dims, centres.stride);
    let Scratch { centred, labels, scores, seconds } = scratch;
    centres.centre(rows, centred);
    centred[rows.len() / dims * stride..].fill(L::T::default());
    scores.fill(L::T::INFINITY);
    if TWO {
        seconds.fill(L::T::INFINITY);
    }
    assert!(
        labels.len() == scores.len()
            && labels.len() == seconds.len()
            && centred.len() == labels.len() * stride,
        "scratch holds whole rows"
    );
    assert!(labels.len().is_multiple_of(P), "scratch holds whole groups");

    let vectors = centres.k.div_ceil(L::N);
    let panels = &centres.panels[centres.panels_start..];
    assert!(panels.len() >= vectors * L::N * (dims + 1), "panels hold all centres");
    let mut first = 0u32;
    let mut at = 0;
    for start in (0..vectors).step_by(PANEL_VECTORS_MAX) {
        let width = L::N * PANEL_VECTORS_MAX.min(vectors - start);
        let panel = &panels[at..at + width * (dims + 1)];
        let groups = centred
            .chunks_exact(P * stride)
            .zip(scores.chunks_exact_mut(P))
            .zip(seconds.chunks_exact_mut(P))
            .zip(labels.chunks_exact_mut(P));
        for (((points, scores), seconds), labels) in groups {
            let mut found = Found { scores, seconds, labels };
            // The next block comes from memory while this one is computed on; a panel is enough.
            if start == 0 {
                let coming = upcoming.split_off(..upcoming.len().min(P * dims)).unwrap_or_default();
                for line in coming.chunks(LINE_BYTES / size_of::<L::T>()) {
                    prefetch(line);
                }
            }
            // SAFETY: the slices above have the sizes that `micro` wants; the caller promises the
            // instructions.
            unsafe {
                if width == L::N {
                    micro::<L, P, 1, TWO>(
                        points.as_ptr(),
                        stride,
                        dims,
                        panel.as_ptr(),
                        first,
                        &mut found,
                    );
                } else {
                    micro::<L, P, 2, TWO>(
                        points.as_ptr(),
                        stride,
                        dims,
                        panel.as_ptr(),
                        first,
                        &mut found,
                    );
                }
            }
        }
        at += panel.len();
        first += u32::try_from(width).expect("a panel is at most 32 wide");
    }
}

/// Prefetches a cache line, on targets with a stable intrinsic for it.
#[inline(always)]
fn prefetch<T>(line: &[T]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no visible effect, and SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Sums squares in [`DISTANCE_LANES`] chains over the padded rows and folds them as a tree, in the
/// same order for all instruction sets.
///
/// # Safety
///
/// `L`'s instructions exist.
#[inline(always)]
unsafe fn distances<L: Lanes>(
    centres: &Centres<L::T>,
    centred: &[L::T],
    labels: &[u32],
    distances: &mut [f64],
) {
    const { assert!(DISTANCE_LANES.is_multiple_of(L::N), "vectors fill the chains") };
    let stride = centres.stride;
    for ((row, label), out) in centred.chunks_exact(stride).zip(labels).zip(distances) {
        let centre = &centres.rows[*label as usize * stride..][..stride];
        let chunks = row.as_chunks().0.iter().zip(centre.as_chunks().0);
        // SAFETY: the caller promises the instructions.
        let mut sums = unsafe { squares::<L>(chunks) };
        let mut half = DISTANCE_LANES / 2;
        while half > 0 {
            for lane in 0..half {
                sums[lane] = sums[lane] + sums[lane + half];
            }
            half /= 2;
        }
        *out = sums[0].to_f64();
    }
}

/// # Safety
///
/// `L`'s instructions exist.
#[inline(always)]
unsafe fn squares<'a, L: Lanes>(
    chunks: impl Iterator<Item = (&'a [L::T; DISTANCE_LANES], &'a [L::T; DISTANCE_LANES])>,
) -> [L::T; DISTANCE_LANES] {
    let mut sums = [L::T::default(); DISTANCE_LANES];
    // SAFETY: the caller promises the instructions; `v + N` is within the lanes of a chunk.
    unsafe {
        // Enough for the narrowest vectors; wider ones use fewer.
        let mut acc = [L::splat(L::T::default()); DISTANCE_LANES];
        for (xs, cs) in chunks {
            for (acc, v) in acc.iter_mut().zip((0..DISTANCE_LANES).step_by(L::N)) {
                let difference = L::load(xs.as_ptr().add(v)).minus(L::load(cs.as_ptr().add(v)));
                *acc = acc.fused(difference, difference);
            }
        }
        for (acc, v) in acc.into_iter().zip((0..DISTANCE_LANES).step_by(L::N)) {
            acc.store(sums.as_mut_ptr().add(v));
        }
    }
    sums
}

/// `N` elements, for the compiler to vectorise.
#[derive(Clone, Copy)]
struct Portable<T, const N: usize>([T; N]);

// SAFETY: plain Rust, which runs everywhere.
unsafe impl<T: Element, const N: usize> Lanes for Portable<T, N> {
    type T = T;
    const N: usize = N;

    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller promises `N` elements.
        Self(unsafe { from.cast::<[T; N]>().read() })
    }
    #[inline(always)]
    unsafe fn splat(value: T) -> Self {
        Self([value; N])
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller promises room for `N` elements.
        unsafe { to.cast::<[T; N]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }
    #[inline(always)]
    unsafe fn fused(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| a.0[lane].fused(b.0[lane], self.0[lane])))
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            if other.0[lane] < self.0[lane] { other.0[lane] } else { self.0[lane] }
        }))
    }
    #[inline(always)]
    unsafe fn reduce_min(self) -> T {
        self.0.into_iter().reduce(|a, b| if b < a { b } else { a }).expect("a vector has a lane")
    }
    #[inline(always)]
    unsafe fn equal(self, other: Self) -> u32 {
        self.0
            .iter()
            .zip(&other.0)
            .zip(0u32..)
            .map(|((a, b), lane)| u32::from(a == b) << lane)
            .sum()
    }
}

/// Implements [`Lanes`] for a newtype of a vector register: every method is one expression over
/// intrinsics.
macro_rules! lanes {
    ($name:ident($register:ty), $t:ty, $n:literal, load($from:ident) $load:expr, splat($x:ident) $splat:expr,
     store($s:ident, $to:ident) $store:expr, minus($g:ident, $h:ident) $minus:expr,
     fused($acc:ident, $a:ident, $b:ident) $fused:expr, min($c:ident, $d:ident) $min:expr,
     reduce($v:ident) $reduce:expr, equal($e:ident, $f:ident) $equal:expr) => {
        #[derive(Clone, Copy)]
        struct $name($register);

        // SAFETY: the intrinsics need the features that `has` checks for this instruction set.
        unsafe impl Lanes for $name {
            type T = $t;
            const N: usize = $n;

            #[inline(always)]
            unsafe fn load($from: *const $t) -> Self {
                // SAFETY: the caller promises `N` readable elements, at any alignment, and the
                // features.
                Self(unsafe { $load })
            }
            #[inline(always)]
            unsafe fn splat($x: $t) -> Self {
                // SAFETY: the caller promises the features.
                Self(unsafe { $splat })
            }
            #[inline(always)]
            unsafe fn store(self, $to: *mut $t) {
                let $s = self.0;
                // SAFETY: the caller promises room for `N` elements, at any alignment, and the
                // features.
                unsafe { $store }
            }
            #[inline(always)]
            unsafe fn minus(self, other: Self) -> Self {
                let ($g, $h) = (self.0, other.0);
                // SAFETY: the caller promises the features.
                Self(unsafe { $minus })
            }
            #[inline(always)]
            unsafe fn fused(self, a: Self, b: Self) -> Self {
                let ($acc, $a, $b) = (self.0, a.0, b.0);
                // SAFETY: the caller promises the features.
                Self(unsafe { $fused })
            }
            #[inline(always)]
            unsafe fn min(self, other: Self) -> Self {
                let ($c, $d) = (self.0, other.0);
                // SAFETY: the caller promises the features.
                Self(unsafe { $min })
            }
            #[inline(always)]
            unsafe fn reduce_min(self) -> $t {
                let $v = self.0;
                // SAFETY: the caller promises the features.
                unsafe { $reduce }
            }
            #[inline(always)]
            unsafe fn equal(self, other: Self) -> u32 {
                let ($e, $f) = (self.0, other.0);
                // SAFETY: the caller promises the features.
                unsafe { $equal }
            }
        }
    };
}

/// The entry points for one instruction set, compiled with its features, for both element types.
macro_rules! compile {
    ($isa:ident, $($feature:literal,)? f32: $f32:ty, f64: $f64:ty, points: $points:literal) => {
        pub(in crate::kernel::simd) mod $isa {
            use super::*;

            compile!(single, $($feature,)? $f32, f32, $points);
            compile!(double, $($feature,)? $f64, f64, $points);
        }
    };
    ($element:ident, $($feature:literal,)? $lanes:ty, $t:ty, $points:literal) => {
        pub(in crate::kernel::simd) mod $element {
            #[allow(unused_imports, reason = "each instruction set uses its own")]
            use super::*;
            use crate::kernel::{Centres, Scratch, simd};

            pub(in crate::kernel::simd) const LANES: usize = <$lanes as Lanes>::N;

            $(#[target_feature(enable = $feature)])?
            pub(in crate::kernel::simd) fn nearest(centres: &Centres<$t>, rows: &[$t], upcoming: &[$t], scratch: &mut Scratch<$t>) {
                // SAFETY: this function's features are the vector type's.
                unsafe { simd::nearest::<$lanes, $points, false>(centres, rows, upcoming, scratch) }
            }
            $(#[target_feature(enable = $feature)])?
            pub(in crate::kernel::simd) fn nearest_two(centres: &Centres<$t>, rows: &[$t], upcoming: &[$t], scratch: &mut Scratch<$t>) {
                // SAFETY: this function's features are the vector type's.
                unsafe { simd::nearest::<$lanes, $points, true>(centres, rows, upcoming, scratch) }
            }
            $(#[target_feature(enable = $feature)])?
            pub(in crate::kernel::simd) fn distances(
                centres: &Centres<$t>, centred: &[$t], labels: &[u32], out: &mut [f64],
            ) {
                // SAFETY: this function's features are the vector type's.
                unsafe { simd::distances::<$lanes>(centres, centred, labels, out) }
            }
            $(#[target_feature(enable = $feature)])?
            pub(in crate::kernel::simd) fn move_rows(
                rows: &[$t], scales: &[Scale], old: &[u32], new: &[u32], sums: &mut [i64],
            ) {
                crate::kernel::accumulate(rows, scales, old, new, sums);
            }
        }
    };
}

compile!(portable, f32: Portable<f32, 4>, f64: Portable<f64, 2>, points: 2);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    lanes!(Avx512F32(__m512), f32, 16,
        load(from) _mm512_loadu_ps(from), splat(x) _mm512_set1_ps(x),
        store(s, to) _mm512_storeu_ps(to, s), minus(g, h) _mm512_sub_ps(g, h),
        fused(acc, a, b) _mm512_fmadd_ps(a, b, acc), min(c, d) _mm512_min_ps(c, d),
        reduce(v) _mm512_reduce_min_ps(v), equal(e, f) u32::from(_mm512_cmpeq_ps_mask(e, f)));
    lanes!(Avx512F64(__m512d), f64, 8,
        load(from) _mm512_loadu_pd(from), splat(x) _mm512_set1_pd(x),
        store(s, to) _mm512_storeu_pd(to, s), minus(g, h) _mm512_sub_pd(g, h),
        fused(acc, a, b) _mm512_fmadd_pd(a, b, acc), min(c, d) _mm512_min_pd(c, d),
        reduce(v) _mm512_reduce_min_pd(v), equal(e, f) u32::from(_mm512_cmpeq_pd_mask(e, f)));
    lanes!(Avx2F32(__m256), f32, 8,
        load(from) _mm256_loadu_ps(from), splat(x) _mm256_set1_ps(x),
        store(s, to) _mm256_storeu_ps(to, s), minus(g, h) _mm256_sub_ps(g, h),
        fused(acc, a, b) _mm256_fmadd_ps(a, b, acc), min(c, d) _mm256_min_ps(c, d),
        reduce(v) {
            let four = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)))
        },
        equal(e, f) _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(e, f)).cast_unsigned());
    lanes!(Avx2F64(__m256d), f64, 4,
        load(from) _mm256_loadu_pd(from), splat(x) _mm256_set1_pd(x),
        store(s, to) _mm256_storeu_pd(to, s), minus(g, h) _mm256_sub_pd(g, h),
        fused(acc, a, b) _mm256_fmadd_pd(a, b, acc), min(c, d) _mm256_min_pd(c, d),
        reduce(v) {
            let two = _mm_min_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
            _mm_cvtsd_f64(_mm_min_sd(two, _mm_unpackhi_pd(two, two)))
        },
        equal(e, f) _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_EQ_OQ>(e, f)).cast_unsigned());

    compile!(avx512, "avx512f,avx512dq", f32: Avx512F32, f64: Avx512F64, points: 12);
    compile!(avx2, "avx2,fma", f32: Avx2F32, f64: Avx2F64, points: 6);
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::*;
    use std::arch::aarch64::*;

    const BITS_F32: [u32; 4] = [1, 2, 4, 8];
    const BITS_F64: [u64; 2] = [1, 2];

    // Two registers per vector, so that a panel fills twelve accumulators of two registers.
    lanes!(NeonF32([float32x4_t; 2]), f32, 8,
    load(from) [vld1q_f32(from), vld1q_f32(from.add(4))], splat(x) [vdupq_n_f32(x); 2],
        store(s, to) {
            vst1q_f32(to, s[0]);
            vst1q_f32(to.add(4), s[1]);
        },
        minus(g, h) [vsubq_f32(g[0], h[0]), vsubq_f32(g[1], h[1])],
    fused(acc, a, b) [vfmaq_f32(acc[0], a[0], b[0]), vfmaq_f32(acc[1], a[1], b[1])],
    min(c, d) [vminq_f32(c[0], d[0]), vminq_f32(c[1], d[1])],
    reduce(v) vminvq_f32(vminq_f32(v[0], v[1])),
    equal(e, f) {
        let bits = vld1q_u32(BITS_F32.as_ptr());
        let low = vaddvq_u32(vandq_u32(vceqq_f32(e[0], f[0]), bits));
        let high = vaddvq_u32(vandq_u32(vceqq_f32(e[1], f[1]), bits));
        low | high << 4
    });
    lanes!(NeonF64([float64x2_t; 2]), f64, 4,
    load(from) [vld1q_f64(from), vld1q_f64(from.add(2))], splat(x) [vdupq_n_f64(x); 2],
        store(s, to) {
            vst1q_f64(to, s[0]);
            vst1q_f64(to.add(2), s[1]);
        },
        minus(g, h) [vsubq_f64(g[0], h[0]), vsubq_f64(g[1], h[1])],
    fused(acc, a, b) [vfmaq_f64(acc[0], a[0], b[0]), vfmaq_f64(acc[1], a[1], b[1])],
    min(c, d) [vminq_f64(c[0], d[0]), vminq_f64(c[1], d[1])],
    reduce(v) vminvq_f64(vminq_f64(v[0], v[1])),
    equal(e, f) {
        let bits = vld1q_u64(BITS_F64.as_ptr());
        let low = vaddvq_u64(vandq_u64(vceqq_f64(e[0], f[0]), bits));
        let high = vaddvq_u64(vandq_u64(vceqq_f64(e[1], f[1]), bits));
        u32::from((low | high << 2).to_le_bytes()[0])
    });

    compile!(neon, "neon", f32: NeonF32, f64: NeonF64, points: 6);
}

/// Calls an entry point's version for `$isa`.
macro_rules! dispatch {
    ($isa:expr, $element:ident::$function:ident($($argument:expr),*)) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                assert!(has(Isa::Avx512), "AVX-512 is there");
                // SAFETY: just checked.
                unsafe { x86::avx512::$element::$function($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                assert!(has(Isa::Avx2), "AVX2 is there");
                // SAFETY: just checked.
                unsafe { x86::avx2::$element::$function($($argument),*) }
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {
                assert!(has(Isa::Neon), "NEON is there");
                // SAFETY: just checked.
                unsafe { arm::neon::$element::$function($($argument),*) }
            }
            _ => portable::$element::$function($($argument),*),
        }
    };
}

/// Implements [`Dispatch`] for one element type.
macro_rules! element {
    ($t:ty, $element:ident) => {
        impl Dispatch for $t {
            const WITHOUT: &'static [$t; 2 * PANEL_LANES_MAX] = &{
                let mut lanes = [0.0; 2 * PANEL_LANES_MAX];
                lanes[PANEL_LANES_MAX] = <$t>::NEG_INFINITY;
                lanes
            };

            fn lanes(isa: Isa) -> usize {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => x86::avx512::$element::LANES,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => x86::avx2::$element::LANES,
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => arm::neon::$element::LANES,
                    _ => portable::$element::LANES,
                }
            }
            fn nearest(
                isa: Isa,
                centres: &Centres<$t>,
                rows: &[$t],
                upcoming: &[$t],
                scratch: &mut Scratch<$t>,
            ) {
                dispatch!(isa, $element::nearest(centres, rows, upcoming, scratch));
            }
            fn nearest_two(
                isa: Isa,
                centres: &Centres<$t>,
                rows: &[$t],
                upcoming: &[$t],
                scratch: &mut Scratch<$t>,
            ) {
                dispatch!(isa, $element::nearest_two(centres, rows, upcoming, scratch));
            }
            fn distances(
                isa: Isa,
                centres: &Centres<$t>,
                centred: &[$t],
                labels: &[u32],
                distances: &mut [f64],
            ) {
                dispatch!(isa, $element::distances(centres, centred, labels, distances));
            }
            fn move_rows(
                isa: Isa,
                rows: &[$t],
                scales: &[Scale],
                old: &[u32],
                new: &[u32],
                sums: &mut [i64],
            ) {
                dispatch!(isa, $element::move_rows(rows, scales, old, new, sums));
            }
        }
    };
}

element!(f32, single);
element!(f64, double);
