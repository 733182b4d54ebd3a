//! Prefetching memory ahead of its use.
//!
//! A load would do the same without `unsafe`, but a cpu can hold only so many instructions behind
//! one that stalls.
#![allow(unsafe_code)]

/// Size of a cache line, in bytes, on the cpus that Catena supports.
pub(crate) const LINE_BYTES: usize = 64;

/// Begins to load `lines` cache lines from `place` on; does not wait for them.
#[inline(always)]
pub(crate) fn prefetch<T>(place: &T, lines: usize) {
    for line in 0..lines {
        // A prefetch of an address without memory has no effect.
        let place = core::ptr::from_ref(place).wrapping_byte_add(line * LINE_BYTES);
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint that reads nothing and changes no state that a program sees.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: likewise.
        unsafe {
            core::arch::asm!(
                "prfm pldl1keep, [{place}]",
                place = in(reg) place,
                options(nostack, readonly, preserves_flags)
            );
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = place;
    }
}
