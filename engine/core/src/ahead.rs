//! Looking ahead in received bytes: what a request needs is on its way into the cache while those
//! before it are served, so that many misses are under way at a time and few are waited for.
//!
//! What is seen ahead was not checked and decides nothing. A lookahead only asks for memory.

use catena_protocol::Header;

/// What to ask for. Each step finds its places by what the one before asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What the header tells the place of.
    Places,
    /// What lies behind those.
    Behind,
    /// And what lies behind that.
    Contents,
}

/// So many requests ahead of their turn: far enough for a few misses in a row, and not so far that
/// what came is gone again, or more is asked for than a core can have under way.
const STEPS: [(Step, usize); 3] = [(Step::Places, 16), (Step::Behind, 10), (Step::Contents, 5)];

/// Goes through the same bytes as whoever serves them, ahead of it.
pub struct Lookahead<'a, P> {
    peek: P,
    /// For each step, what it has not looked at, and how many requests are before that.
    rest: [(&'a [u8], usize); STEPS.len()],
    served: usize,
    /// Whether any request needs more than the first step.
    goes_on: bool,
}

impl<'a, P: Fn(&'a [u8]) -> Option<(Header, usize)>> Lookahead<'a, P> {
    /// Looks ahead in `bytes`. `peek` says what they begin with, and how long that is.
    #[inline(always)]
    pub fn new(bytes: &'a [u8], peek: P) -> Lookahead<'a, P> {
        Lookahead { peek, rest: [(bytes, 0); STEPS.len()], served: 0, goes_on: false }
    }

    /// To be called before each request is served. `expect` asks for memory, and answers whether the
    /// request needs what a later step finds.
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

    /// A byte is a request, and says its shard.
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
        assert_eq!(later, 100, "both of them for all, once one needs them");
    }
}
