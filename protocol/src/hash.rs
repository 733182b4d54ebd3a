//! XXH3-64, by the quicker of two implementations: one is quick on inputs that fit a few registers,
//! as most frames do; the other uses the vector instructions of the machine.

use std::hash::Hasher;

/// The longest input that XXH3 processes without its long loop, in bytes.
const SHORT_BYTES_MAX: usize = 240;

/// Returns the XXH3-64 of `bytes`.
#[inline]
pub(crate) fn xxh3(seed: u64, bytes: &[u8]) -> u64 {
    if bytes.len() <= SHORT_BYTES_MAX {
        xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
    } else {
        twox_hash::XxHash3_64::oneshot_with_seed(seed, bytes)
    }
}

/// The XXH3-64 of bytes that come in parts.
pub(crate) struct StreamHasher(twox_hash::XxHash3_64);

impl StreamHasher {
    pub(crate) fn new(seed: u64) -> StreamHasher {
        StreamHasher(twox_hash::XxHash3_64::with_seed(seed))
    }

    pub(crate) fn write(&mut self, part: &[u8]) {
        self.0.write(part);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_are_of_the_same_function() {
        let bytes: Vec<u8> =
            (0..10_000_u32).map(|at| u8::try_from(at * at % 251).expect("small")).collect();
        let lens = (0..1_200).chain([4_096, 9_999]);
        for len in lens {
            for seed in [0, 1, u64::from(u32::MAX), u64::MAX] {
                let bytes = &bytes[..len];
                let one = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed);
                let other = twox_hash::XxHash3_64::oneshot_with_seed(seed, bytes);
                assert_eq!((one, xxh3(seed, bytes)), (other, one), "{len} bytes, seed {seed}");
            }
        }
    }
}
