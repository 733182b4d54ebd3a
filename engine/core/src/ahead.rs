//! Looking ahead in received bytes: the memory that a request needs is prefetched while earlier
//! requests are served, so that many cache misses overlap and few stall the core.
//!
//! The requests that a lookahead sees are not validated yet, so it decides nothing: it only
//! prefetches.

use catena_protocol::Header;

/// What to prefetch. Each step finds its addresses in the memory that the step before prefetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The table slots whose addresses follow from the header.
    Places,
    /// The memory that these slots point to.
    Behind,
    /// The memory that that points to.
    Contents,
}

/// How many requests ahead of its turn each step looks: far enough to cover a few misses in a row,
/// and not so far that the lines are evicted before their use, or that there are more misses than a
/// core can have in flight.
const STEPS: [(Step, usize); 3] = [(Step::Places, 16), (Step::Behind, 10), (Step::Contents, 5)];

/// A walk through the same bytes as the loop that serves them, some requests ahead of it.
pub struct Lookahead<'a, P> {
    peek: P,
    /// For each step, the bytes that it has not looked at, and the number of requests before them.
    rest: [(&'a [u8], usize); STEPS.len()],
    served: usize,
    /// Whether any request so far needs more than the first step.
    goes_on: bool,
}

impl<'a, P: Fn(&'a [u8]) -> Option<(Header, usize)>> Lookahead<'a, P> {
    /// Looks ahead in `bytes`. `peek` returns the header that they begin with, and the length of
    /// its frame.
    #[inline(always)]
    pub fn new(bytes: &'a [u8], peek: P) -> Lookahead<'a, P> {
        Lookahead { peek, rest: [(bytes, 0); STEPS.len()], served: 0, goes_on: false }
    }

    /// Looks ahead by one request; to be called before each request is served. `expect` prefetches
    /// memory, and returns whether the request needs the later steps.
    #[inline(always)]
    pub fn advance(&mut self, mut expect: impl FnMut(Step, &Header) -> bool) {
        for ((step, distance), (rest, seen)) in STEPS.into_iter().zip(&mut self.rest) {
            while *seen < self.served + distance {
                let Some((header, len)) = (self.peek)(rest) else { break };
                *rest = &rest[len..];
                *seen += 1;
                self.goes_on |= expect(step, &header);
            }
            if !self.goes_on {
                break;
            }
        }
        self.served += 1;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use catena_protocol::{FrameKind, ShardId};

    use super::*;

    /// Takes each byte as a request to the shard of that number.
    fn peek(bytes: &[u8]) -> Option<(Header, usize)> {
        let shard = ShardId(u16::from(*bytes.first()?));
        Some((Header { shard, ..Header::new(FrameKind::Request) }, 1))
    }

    #[test]
    fn each_step_sees_every_request_once_and_before_its_turn() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut ahead = Lookahead::new(&bytes, peek);
        let mut seen = [const { Vec::new() }; STEPS.len()];
        for turn in 0..bytes.len() {
            ahead.advance(|step, header| {
                seen[step as usize].push(header.shard.0);
                true
            });
            for (seen, (_, distance)) in seen.iter().zip(STEPS) {
                assert_eq!(seen.len(), (turn + distance).min(bytes.len()), "at turn {turn}");
            }
        }
        let all: Vec<u16> = (0..100).collect();
        assert_eq!(seen, [all.clone(), all.clone(), all]);
    }

    #[test]
    fn later_steps_begin_where_a_request_needs_them() {
        let bytes: Vec<u8> = (0..50).collect();
        let mut ahead = Lookahead::new(&bytes, peek);
        let mut later = 0;
        for _ in 0..bytes.len() {
            ahead.advance(|step, header| {
                later += usize::from(step != Step::Places);
                step == Step::Places && header.shard.0 == 40
            });
        }
        assert_eq!(later, 100, "both later steps see all requests, once one needs them");
    }
}
