//! The memory of the whole process, as the kernel counts it, and a limit for it.
//!
//! Shards count what their objects take, near enough. What an allocator keeps, and what is not counted,
//! only the kernel knows. A thread reads that ten times a second; cores read one flag, and above the
//! limit refuse what needs more memory as if their budget were used up. Allocators keep much of what is
//! freed for the thread that freed it. So when the process has far more than is counted, each core asks
//! its allocator to return that, if the program has said how.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};

/// A limit for the memory of the process.
#[derive(Debug)]
pub(crate) struct ResidentLimit {
    bytes_max: u64,
    is_over: AtomicBool,
    /// Returns what the allocator keeps for the calling thread to the kernel.
    release: Option<fn()>,
    /// What all cores have counted.
    counted: AtomicU64,
    /// Whether the process has far more than that.
    is_far_above: AtomicBool,
}

/// A core's part in it.
#[derive(Debug, Default)]
pub(crate) struct ResidentShare {
    /// What the core has counted.
    counted: u64,
    /// Periods since it last returned memory.
    periods: u32,
}

/// The thread that watches the limit. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ResidentWatch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How often the kernel is asked.
const PERIOD: Duration = Duration::from_millis(100);

/// The limit is in force until the process has so many parts of it less, so that it does not flicker.
const CLEARANCE: u64 = 16;

/// The process has far more memory than is counted at one and a half times as much, and this much
/// more: threads, buffers and the program itself.
const UNCOUNTED_BYTES: u64 = 64 * 1024 * 1024;

/// Periods of a core between two requests to its allocator, unless the limit is exceeded: the allocator
/// may have nothing to return, and looking for it takes milliseconds.
const RELEASE_PERIODS: u32 = 10;

impl ResidentLimit {
    pub(crate) fn new(bytes_max: u64, release: Option<fn()>) -> ResidentLimit {
        ResidentLimit {
            bytes_max,
            is_over: AtomicBool::new(false),
            release,
            counted: AtomicU64::new(0),
            is_far_above: AtomicBool::new(false),
        }
    }

    /// Takes what a core has counted, once in a period, and returns memory if there is too much. Called
    /// on the thread of the core.
    pub(crate) fn sweep(&self, share: &mut ResidentShare, counted: u64) {
        let added = counted.wrapping_sub(share.counted);
        self.counted.fetch_add(added, Ordering::Relaxed);
        share.counted = counted;
        share.periods = share.periods.saturating_add(1);
        let is_due = share.periods >= RELEASE_PERIODS && self.is_far_above.load(Ordering::Relaxed);
        if let Some(release) = self.release.filter(|_| is_due || self.is_over()) {
            share.periods = 0;
            release();
        }
    }

    /// Returns whether nothing may be stored that needs more memory.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Compares the limit with what the process has; returns whether the answer has changed.
    fn compare(&self, bytes: u64) -> bool {
        let before = self.is_over();
        let limit =
            if before { self.bytes_max - self.bytes_max / CLEARANCE } else { self.bytes_max };
        let now = bytes > limit;
        self.is_over.store(now, Ordering::Relaxed);
        let counted = self.counted.load(Ordering::Relaxed);
        let much = counted.saturating_add(counted / 2).saturating_add(UNCOUNTED_BYTES);
        self.is_far_above.store(bytes > much, Ordering::Relaxed);
        now != before
    }

    /// Compares it with what the process has now.
    fn check(&self) {
        // Without an answer of the kernel, what it said last still counts.
        let Some(bytes) = resident_bytes() else { return };
        if !self.compare(bytes) {
            return;
        }
        let limit = self.bytes_max;
        if self.is_over() {
            tracing::warn!(
                bytes,
                limit,
                "this process has more memory than its limit: updates that need more are refused \
                 until objects are deleted, or it is started with more (--resident-max)"
            );
        } else {
            tracing::info!(bytes, limit, "this process has less memory than its limit again");
        }
    }
}

impl ResidentWatch {
    /// Starts to watch a limit, which is already known to be exceeded or not when this returns.
    pub(crate) fn start(limit: Arc<ResidentLimit>) -> io::Result<ResidentWatch> {
        limit.check();
        let (stop, stopped) = bounded::<()>(1);
        let thread =
            std::thread::Builder::new().name("catena-memory".to_owned()).spawn(move || {
                while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                    limit.check();
                }
            })?;
        Ok(ResidentWatch { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ResidentWatch {
    fn drop(&mut self) {
        // The thread wakes when its channel has no other end.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the thread does not panic");
        }
    }
}

/// Returns the memory of this process, in bytes; `None` if the kernel does not say.
pub(crate) fn resident_bytes() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_does_not_flicker() {
        let limit = ResidentLimit::new(1_600, None);
        let changes: Vec<(bool, bool)> = [1_600, 1_601, 1_550, 1_501, 1_500, 1_550, 1_700]
            .map(|bytes| (limit.compare(bytes), limit.is_over()))
            .into();
        let expected = [
            (false, false),
            (true, true),
            (false, true),
            (false, true),
            (true, false),
            (false, false),
            (true, true),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn cores_return_memory_when_there_is_far_more_than_counted() {
        static RELEASED: AtomicU64 = AtomicU64::new(0);
        let release = || _ = RELEASED.fetch_add(1, Ordering::Relaxed);
        let released = || RELEASED.load(Ordering::Relaxed);
        let limit = ResidentLimit::new(10 * UNCOUNTED_BYTES, Some(release));
        let [mut one, mut other] = [ResidentShare::default(), ResidentShare::default()];
        limit.sweep(&mut one, 3 * UNCOUNTED_BYTES);
        limit.sweep(&mut other, UNCOUNTED_BYTES);
        // Four times as much are counted.
        limit.compare(7 * UNCOUNTED_BYTES);
        (0..50).for_each(|_| limit.sweep(&mut one, 3 * UNCOUNTED_BYTES));
        assert_eq!(released(), 0, "it is not far more");
        limit.sweep(&mut one, UNCOUNTED_BYTES);
        limit.compare(7 * UNCOUNTED_BYTES);
        (0..RELEASE_PERIODS * 2).for_each(|_| limit.sweep(&mut one, UNCOUNTED_BYTES));
        assert_eq!(released(), 2, "now and then");
        limit.compare(11 * UNCOUNTED_BYTES);
        (0..5).for_each(|_| limit.sweep(&mut other, UNCOUNTED_BYTES));
        assert_eq!(released(), 7, "at once while the limit is exceeded");
    }

    #[test]
    fn the_kernel_says_how_much_memory_there_is() {
        let text = "Name:\tcatena\nVmHWM:\t  9000 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n";
        assert_eq!(resident_in(text), Some(1 << 20));
        assert_eq!(resident_in("VmRSS:\t12 pages\n"), None);
        assert_eq!(resident_in(""), None);
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20), "{:?}", resident_bytes());
    }
}
