//! Random numbers: unique session ids, and jitter for pauses.
//!
//! Ids always come from the operating system, never from a state kept in this process, because a
//! frozen environment may be copied, and its copies must not draw the same ids.

use std::time::Duration;

use crate::config::{BACKOFF_MAX, BACKOFF_MIN};

/// 64 random bits.
pub(crate) fn bits() -> u64 {
    getrandom::u64().expect("the operating system has random numbers")
}

/// 64 random bits, not all of them zero.
pub(crate) fn id() -> u64 {
    bits().max(1)
}

/// The pause before retry number `tries`, from 1: none before the first, then doubling, half of it
/// random.
pub(crate) fn backoff(tries: u32) -> Duration {
    if tries <= 1 {
        return Duration::ZERO;
    }
    let doublings = (tries - 2).min(16);
    let pause = BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    let chance = u32::from(bits().to_le_bytes()[0]);
    pause / 2 + pause * chance / 512
}

/// A pause made up to a quarter longer at random.
pub(crate) fn stretched(pause: Duration) -> Duration {
    let chance = u32::from(bits().to_le_bytes()[0]);
    pause + pause * chance / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert_eq!(backoff(1), Duration::ZERO);
        for tries in 2..100 {
            let pause = backoff(tries);
            assert!(pause >= BACKOFF_MIN / 2 && pause <= BACKOFF_MAX, "{tries}: {pause:?}");
        }
        assert!(backoff(50) >= BACKOFF_MAX / 2);
    }
}
