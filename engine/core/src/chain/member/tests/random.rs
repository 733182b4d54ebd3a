//! Random numbers that follow from the seed.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A sequence that a seed decides. Its ranges are drawn in another way than the simulator's, which
/// the seeds that the tests name depend on.
#[derive(Debug)]
pub(super) struct TestRandom(SplitMix64);

impl TestRandom {
    pub(super) fn new(seed: u64) -> TestRandom {
        TestRandom(SplitMix64::seed_from_u64(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number from `least` to `most`, both included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        let last = u64::try_from(all.len()).expect("few") - 1;
        all[usize::try_from(self.between(0, last)).expect("few")]
    }

    /// Returns true in `per_mille` of a thousand cases.
    pub(super) fn happens(&mut self, per_mille: u64) -> bool {
        self.next() % 1_000 < per_mille
    }
}
