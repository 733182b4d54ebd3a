//! The cost of the load generator itself for a request and its reply, without sockets: a peer must
//! not wait longer for its client than the engine does.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::record::Sample;
use crate::wire::{Dialect, LoadPlan, TakenReply, Wire, Workload};

/// Requests in a row, as on a connection with this many in flight.
const DEPTH: usize = 32;

const KEYS: u64 = 100_000;

/// Measures nanoseconds for a counter add, protocol by protocol.
pub(super) fn samples(rounds: u32, round: Duration) -> anyhow::Result<Vec<Sample>> {
    let sides: [(&str, Dialect, Option<&[u8]>); 3] = [
        // The wires of the echo are those of the engine without a Hello, and requests and replies
        // of a counter add have the same size: the requests themselves serve as replies.
        ("catena", Dialect::Echo, None),
        ("redis", Dialect::Redis, Some(b":1042\r\n")),
        ("memcached", Dialect::Memcached, Some(b"VA 4 \r\n1042\r\n")),
    ];
    let plan = LoadPlan { workload: Workload::CounterAdd, keys: KEYS, connections: 1 };
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut samples = Vec::new();
    for (name, dialect, reply) in sides {
        let (mut wire, _) = dialect.wires(nowhere, &plan)?.remove(0);
        let replies = reply.map(|reply| reply.repeat(DEPTH));
        let mut round = || round_ns(&mut *wire, replies.as_deref(), round);
        round()?;
        let ns: Vec<f64> = (0..rounds).map(|_| round()).collect::<Result<_, _>>()?;
        samples.push(Sample::new("load generator alone, counter_add", name, "ns/op", &ns));
    }
    Ok(samples)
}

#[allow(clippy::cast_precision_loss)] // far below 2^53 nanoseconds
fn round_ns(wire: &mut dyn Wire, replies: Option<&[u8]>, round: Duration) -> anyhow::Result<f64> {
    let (mut out, mut again) = (Vec::new(), Vec::new());
    let (start, mut ops) = (Instant::now(), 0);
    while start.elapsed() < round {
        out.clear();
        for _ in 0..DEPTH {
            wire.request(&mut out);
        }
        let replies = replies.unwrap_or(&out);
        let mut from = 0;
        while let Some(TakenReply { len, .. }) = wire.reply(&replies[from..], &mut again)? {
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
