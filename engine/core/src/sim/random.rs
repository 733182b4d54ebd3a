//! Random numbers that follow from the seed.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A sequence that a seed decides: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(super) struct SimRandom(SplitMix64);

impl SimRandom {
    pub(super) fn new(seed: u64) -> SimRandom {
        SimRandom(SplitMix64::seed_from_u64(seed))
    }

    /// Returns an independent sequence, so that what one part of the simulation draws does not
    /// depend on how much another part drew.
    pub(super) fn fork(&mut self) -> SimRandom {
        SimRandom::new(self.bits())
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(super) fn wide(&mut self) -> u128 {
        u128::from(self.bits()) << 64 | u128::from(self.bits())
    }

    /// Returns a number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The bias is far too small for a simulation to notice.
        u64::try_from((u128::from(self.bits()) * u128::from(end)) >> 64).expect("below a u64")
    }

    /// Returns a number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Returns true in `times` of a thousand cases.
    pub(super) fn per_mille(&mut self, times: u64) -> bool {
        self.below(1_000) < times
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            return None;
        }
        from.get(usize::try_from(self.below(from.len() as u64)).expect("an index"))
    }
}
