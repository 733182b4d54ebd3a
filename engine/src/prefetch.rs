//! Asking for memory ahead of its use.
//!
//! A load would do the same without `unsafe`, but the cpu can have only so many instructions under
//! way behind one that waits.
#![allow(unsafe_code)]

/// Begins to bring what lies at `place` into the cache, one line of it, and waits for nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(place: &T) {
    let place = std::ptr::from_ref(place);
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint about an address that may be read. It changes no state that a program sees.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: likewise.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{place}]",
            place = in(reg) place,
            options(nostack, readonly, preserves_flags)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}
