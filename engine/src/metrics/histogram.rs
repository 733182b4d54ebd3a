//! Histograms of microseconds: a fixed number of buckets, eight for every power of two.
//!
//! 1. Up to 16 µs a bucket is one microsecond wide. Beyond, its width is at most an eighth of the times
//!    in it, so the result of [`Histogram::quantile_us`] is off by at most a sixteenth.
//! 2. [`Recorder`] has one writer, which only loads and stores; any thread may read meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

/// A histogram that one thread records and other threads read.
#[derive(Debug)]
pub(super) struct Recorder {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// The number of times in each bucket, and their sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    sum_us: u64,
}

const SUB_BITS: u32 = 3;

/// The longest time that is told apart, 71 minutes; longer ones count as this.
const US_MAX: u64 = u32::MAX as u64;

const BUCKETS: usize = bucket_of(US_MAX) + 1;

const _: () = assert!(BUCKETS == 240);

/// Returns the bucket of a time.
#[allow(clippy::cast_possible_truncation)] // a small number
const fn bucket_of(us: u64) -> usize {
    let us = if us < US_MAX { us } else { US_MAX };
    let octave = (us | 1 << SUB_BITS).ilog2() - SUB_BITS;
    ((octave << SUB_BITS) as u64 + (us >> octave)) as usize
}

/// Returns the shortest time in a bucket, and the number of times in it.
fn times_of(bucket: usize) -> (u64, u64) {
    let octave = (bucket >> SUB_BITS).saturating_sub(1);
    (((bucket - (octave << SUB_BITS)) as u64) << octave, 1 << octave)
}

impl Recorder {
    pub(super) fn new() -> Recorder {
        Recorder { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum_us: AtomicU64::new(0) }
    }

    /// Records `times` times of `us` microseconds each. Only one thread may call this.
    pub(super) fn record(&self, us: u64, times: u64) {
        add(&self.counts[bucket_of(us)], times);
        add(&self.sum_us, us.min(US_MAX) * times);
    }

    pub(super) fn read(&self) -> Histogram {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Histogram { counts, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

/// Adds to a number that no other thread writes.
#[inline(always)]
pub(super) fn add(number: &AtomicU64, amount: u64) {
    number.store(number.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], sum_us: 0 }
    }
}

impl Histogram {
    /// Returns the number of recorded times.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all times, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// Returns the time that the share `q` of all times does not exceed, in microseconds, accurate to a
    /// sixteenth; `None` if there are none.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn quantile_us(&self, q: f64) -> Option<u64> {
        let rank = ((q.clamp(0.0, 1.0) * self.count() as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let (shortest, times) = times_of(bucket);
        Some(shortest + (times - 1) / 2)
    }

    /// Returns how many times are shorter than 2^`power` µs.
    pub(super) fn count_below(&self, power: u32) -> u64 {
        self.counts[..bucket_of(1 << power)].iter().sum()
    }

    /// Adds the times of another histogram.
    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(ours, theirs)| *ours += theirs);
        self.sum_us += other.sum_us;
    }

    /// Returns what was recorded since an earlier reading of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let counts = self.counts.iter().zip(&earlier.counts);
        Histogram {
            counts: counts.map(|(now, before)| now - before).collect(),
            sum_us: self.sum_us - earlier.sum_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = u64>) -> Histogram {
        let recorder = Recorder::new();
        times.into_iter().for_each(|us| recorder.record(us, 1));
        recorder.read()
    }

    #[test]
    fn buckets_follow_one_another_without_gaps() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (shortest, times) = times_of(bucket);
            assert_eq!(shortest, next, "bucket {bucket}");
            assert_eq!([bucket_of(shortest), bucket_of(shortest + times - 1)], [bucket, bucket]);
            assert!(times == 1 || times * 8 <= shortest, "bucket {bucket} is {times} wide");
            next = shortest + times;
        }
        assert_eq!(next, US_MAX + 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_off_by_a_sixteenth_at_most() {
        // Times of many sizes: 1, 2, … and then ever further apart.
        let mut times: Vec<u64> = (1..5_000).map(|i: u64| i + i.pow(4) / 1_000_000).collect();
        times.extend([0, 0, 0, 3_000_000_000]);
        times.sort_unstable();
        let histogram = of(times.iter().copied());
        assert_eq!(histogram.count(), times.len() as u64);
        assert_eq!(histogram.sum_us(), times.iter().sum::<u64>());
        for permille in 1..=1_000 {
            let exact = times[(permille * times.len()).div_ceil(1_000) - 1];
            let got = histogram.quantile_us(permille as f64 / 1_000.0).expect("there are some");
            assert!(got.abs_diff(exact) * 16 <= exact, "{permille} ‰: {got} instead of {exact}");
        }
        assert_eq!(Histogram::default().quantile_us(0.5), None);
    }

    #[test]
    fn powers_of_two_are_bounds_of_buckets() {
        let histogram = of([0, 1, 2, 3, 4, 1_023, 1_024, 1_025]);
        let below = |power| histogram.count_below(power);
        assert_eq!([below(0), below(1), below(2), below(3)], [1, 2, 4, 5]);
        assert_eq!([below(10), below(11), below(31)], [6, 8, 8]);
    }

    #[test]
    fn histograms_are_subtracted_and_added() {
        let (early, late) = (of([5, 70]), of([5, 70, 900]));
        assert_eq!(late.since(&early), of([900]));
        let mut sum = early.clone();
        sum.add(&of([900]));
        assert_eq!(sum, late);
    }
}
