//! The trace of a run: a hash of all events, and their text on request.

use core::fmt::Display;

/// The trace of a run.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    pub(super) events: u64,
    printed: bool,
}

impl Trace {
    pub(super) fn new(printed: bool) -> Trace {
        Trace { hash: 0xCBF2_9CE4_8422_2325, events: 0, printed }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Adds words to the hash.
    pub(super) fn words<const N: usize>(&mut self, words: [u64; N]) {
        for word in words {
            self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// Adds bytes to the hash.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.words([u64::from_le_bytes(*word)]);
        }
        for byte in rest {
            self.words([u64::from(*byte)]);
        }
    }

    /// Prints a line, if printing was requested.
    #[allow(clippy::print_stdout)] // the reader asked for it
    pub(super) fn print<T: Display>(&self, now: u64, line: impl FnOnce() -> T) {
        if self.printed {
            super::std::println!("{:>12.6} {}", now as f64 / 1e6, line());
        }
    }
}
