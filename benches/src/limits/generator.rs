//! What the load generator itself works for a request and its reply, without sockets: a peer must
//! not wait longer for its client than the engine does for its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use catena_protocol::{FrameKind, Header, frame};

use crate::record::Sample;
use crate::wire::{Dialect, Plan, Wire, Workload};

/// Requests in a row, as to a connection with so many in flight.
const DEPTH: usize = 32;

const KEYS: u64 = 100_000;

/// Nanoseconds for a counter add, protocol by protocol.
pub(super) fn samples(rounds: u32, round: Duration) -> anyhow::Result<Vec<Sample>> {
    let mut replied = Vec::new();
    frame::write_word(&mut replied, &Header::new(FrameKind::Request), 1_042);
    let sides: [(&str, Dialect, &[u8]); 3] = [
        // The echo's wires are the engine's, without a Hello.
        ("catena", Dialect::Echo, &replied),
        ("redis", Dialect::Redis, b":1042\r\n"),
        ("memcached", Dialect::Memcached, b"VA 4 \r\n1042\r\n"),
    ];
    let plan = Plan { workload: Workload::CounterAdd, keys: KEYS, connections: 1 };
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut samples = Vec::new();
    for (name, dialect, reply) in sides {
        let (mut wire, _) = dialect.wires(nowhere, &plan)?.remove(0);
        let replies = reply.repeat(DEPTH);
        round_ns(&mut *wire, &replies, round)?;
        let ns: Vec<f64> =
            (0..rounds).map(|_| round_ns(&mut *wire, &replies, round)).collect::<Result<_, _>>()?;
        samples.push(Sample::new("load generator alone, counter_add", name, "ns/op", &ns));
    }
    Ok(samples)
}

#[allow(clippy::cast_precision_loss)] // far below 2^53 nanoseconds
fn round_ns(wire: &mut dyn Wire, replies: &[u8], round: Duration) -> anyhow::Result<f64> {
    let mut out = Vec::new();
    let (start, mut ops) = (Instant::now(), 0);
    while start.elapsed() < round {
        out.clear();
        for _ in 0..DEPTH {
            wire.request(&mut out);
        }
        let mut from = 0;
        while let Some(len) = wire.reply(&replies[from..])? {
            from += len;
            ops += 1;
            if from == replies.len() {
                break;
            }
        }
        std::hint::black_box(&out);
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(ops))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_takes_some_time() {
        let samples = samples(1, Duration::from_millis(1)).unwrap();
        assert_eq!(samples.len(), 3);
        assert!(samples.iter().all(|sample| sample.value > 0.0), "{samples:?}");
    }
}
