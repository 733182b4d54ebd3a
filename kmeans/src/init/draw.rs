//! Draws: numbers that depend on the seed, the purpose and an index, and not on who draws them.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// The purpose of a hash, so that different draws are independent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Draw {
    Row,
    PlusPlus(u64),
    Generate(u64),
    Parallel(u64),
    Batch(u64),
}

/// Returns 64 well-mixed bits of (seed, draw, index): SplitMix64, seeded with each in turn.
pub(crate) fn hash(seed: u64, draw: Draw, index: u64) -> u64 {
    let draw = match draw {
        Draw::Row => 0,
        Draw::PlusPlus(draw) => draw << 2 | 1,
        Draw::Generate(dim) => dim << 2 | 2,
        Draw::Parallel(round) => round << 2 | 3,
        // Above all others.
        Draw::Batch(round) => !round,
    };
    mix(mix(mix(seed).wrapping_add(draw)).wrapping_add(index))
}

/// Returns the first number of SplitMix64 with this seed, which is a bijection with well-mixed
/// bits.
fn mix(value: u64) -> u64 {
    SplitMix64::seed_from_u64(value).next_u64()
}

/// Returns a number below `n`, by multiplication: off from uniform by less than `n · 2^-64`.
pub(crate) fn below(hash: u64, n: u64) -> u64 {
    u64::try_from((u128::from(hash) * u128::from(n)) >> 64)
        .expect("the high half of a product of two")
}

/// Like [`below`], for an `n` of at most 2^126.
pub(super) fn below_wide(hash: u64, n: u128) -> u128 {
    let (high, low) = (n >> 64, n & u128::from(u64::MAX));
    high * u128::from(hash) + ((low * u128::from(hash)) >> 64)
}

/// Returns a number in (0, 1].
pub(crate) fn unit(hash: u64) -> f64 {
    ((hash >> 11) + 1) as f64 / (1u64 << 53) as f64
}
