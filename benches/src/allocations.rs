//! The allocator, and the number of allocations in a process that is started to count them.
//! With `load/ring.rs`, `load/direct.rs` and `echo/raw.rs` the only `unsafe` of the package.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mimalloc::MiMalloc;

/// The allocator of the engine's own program, with a counter in front of it. A process that does
/// not count pays a branch for it.
pub(crate) struct CountingAllocator;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Counts from now on, and prints the number for each byte of the standard input until its end.
/// Allocates nothing itself, from the second byte on.
pub(crate) fn answer() -> anyhow::Result<()> {
    let (mut input, mut out) = (std::io::stdin().lock(), std::io::stdout().lock());
    COUNTS.store(true, Ordering::Relaxed);
    while input.read(&mut [0])? > 0 {
        writeln!(out, "{}", ASKED.load(Ordering::Relaxed))?;
        out.flush()?;
    }
    Ok(())
}

fn count() {
    if COUNTS.load(Ordering::Relaxed) {
        ASKED.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to `MiMalloc` unchanged, which keeps the contract; counting touches
// numbers that need no allocation.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the promises of `realloc`, and `pointer` came from `MiMalloc`.
        unsafe { MiMalloc.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`, and `pointer` came from `MiMalloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}
