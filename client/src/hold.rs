//! For how long something is held: a lock, permits, a claim, a seat.

use std::time::{Duration, Instant};

use catena_protocol::limits::HOLD_MS_MAX;

use crate::client::Client;
use crate::config::HOLD_MARGIN;

/// For how long something is held, unless it is given back before.
///
/// The engine counts from when the request arrives, and takes back by itself what was held longer;
/// nobody has to be heard from in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Until the function ends: what is left until [`Client::set_deadline`], and 2 seconds more. As
    /// [`Hold::Session`] if no deadline was set.
    #[default]
    Deadline,
    /// As long as the engine remembers the client: until the client is dropped, or was silent for its
    /// [`session_ttl`](crate::Builder::session_ttl). If the engine cannot be reached while this is asked
    /// for, it may be granted to a client that has given up, and stay held for so long.
    Session,
    /// So long, at most 24 hours. The time that is spent waiting for it counts.
    For(Duration),
}

impl From<Duration> for Hold {
    fn from(time: Duration) -> Hold {
        Hold::For(time)
    }
}

impl Client {
    /// A hold in milliseconds, as ops in a [`Pipeline`](crate::Pipeline) have it.
    pub fn hold_ms(&self, hold: impl Into<Hold>) -> u32 {
        match (hold.into(), self.deadline()) {
            (Hold::Session, _) | (Hold::Deadline, None) => 0,
            (Hold::Deadline, Some(deadline)) => {
                ms(deadline.saturating_duration_since(Instant::now()) + HOLD_MARGIN)
            }
            (Hold::For(time), _) => ms(time),
        }
    }
}

/// Whole milliseconds, rounded up; at least 1, because 0 means something else.
fn ms(time: Duration) -> u32 {
    let ms = time.as_micros().div_ceil(1_000);
    u32::try_from(ms).unwrap_or(HOLD_MS_MAX).clamp(1, HOLD_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_never_nothing_and_never_more_than_allowed() {
        assert_eq!(ms(Duration::ZERO), 1);
        assert_eq!(ms(Duration::from_micros(1_001)), 2);
        assert_eq!(ms(Duration::MAX), HOLD_MS_MAX);
    }
}
