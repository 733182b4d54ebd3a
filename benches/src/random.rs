//! Numbers that a seed decides.

use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// [SplitMix64](rand_xoshiro::SplitMix64), and what the load draws from it.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(rand_xoshiro::SplitMix64);

impl SplitMix64 {
    /// Every seed gives another sequence; 0 is as good as any.
    pub(crate) fn new(seed: u64) -> SplitMix64 {
        SplitMix64(rand_xoshiro::SplitMix64::seed_from_u64(seed))
    }

    /// Returns the next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number below `end`, which is below 2^32.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // A product of two halves: a division would take longer than everything else.
        ((self.bits() >> 32) * end) >> 32
    }
}
