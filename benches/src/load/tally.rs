//! Which replies count, and their number and latency.

use std::time::Instant;

use hdrhistogram::Histogram;

/// Counts replies.
#[derive(Debug)]
pub(super) struct LoadTally {
    from: Instant,
    upto: Instant,
    /// In the open loop a reply counts if its request was due in the measured time.
    by_due: bool,
    pub(super) ops: u64,
    pub(super) latency_ns: Histogram<u64>,
}

impl LoadTally {
    pub(super) fn new(from: Instant, upto: Instant, by_due: bool) -> anyhow::Result<LoadTally> {
        let latency_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        Ok(LoadTally { from, upto, by_due, ops: 0, latency_ns })
    }

    pub(super) fn everything() -> anyhow::Result<LoadTally> {
        let now = Instant::now();
        LoadTally::new(now, now, false)
    }

    /// Begins to count in the closed loop: replies that are at hand already came before.
    pub(super) fn begin(&mut self, now: Instant) {
        if !self.by_due {
            self.from = now;
        }
    }

    pub(super) fn note(&mut self, due: Instant, now: Instant) {
        let counts =
            if self.by_due { due >= self.from && due < self.upto } else { now > self.from };
        if counts {
            self.ops += 1;
            let ns = u64::try_from((now - due).as_nanos()).unwrap_or(u64::MAX);
            self.latency_ns.saturating_record(ns);
        }
    }
}
