//! The allocator, and how often it was asked for memory, in a process that is told to count.
//! With `load/ring.rs` and `echo/raw.rs` the only `unsafe` of the package.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mimalloc::MiMalloc;

/// The allocator that the engine's own program has, with a counter in front of it. A process that is
/// not told to count pays a branch for it.
pub(crate) struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Counts from now on, and prints the number for each byte that comes in, until none comes any more.
/// Does not ask for memory itself, from the second byte on.
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

// SAFETY: every call goes to `MiMalloc` unchanged, whose promises are the ones to keep; counting
// touches numbers that need no allocation.
unsafe impl GlobalAlloc for Counting {
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
