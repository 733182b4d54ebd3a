//! Connections are cut at random; what was asked happens once.

use catena_client::{Client, CounterOp, Reply};
use catena_engine::Engine;

use crate::proxy::{Proxy, Random};

/// Decides where connections are cut. What the threads make of it, the scheduler decides as well.
const SEED: u64 = 0xCA7E;

#[test]
fn adds_through_cut_connections_are_counted_once() {
    const THREADS: i64 = 64;
    const ADDS: i64 = 10_000;
    const BATCH: i64 = 50;
    let engine = Engine::builder().cores(1).start().unwrap();
    let proxy = Proxy::start(engine.addresses()[0], SEED, 200_000);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let address = proxy.address;
            scope.spawn(move || {
                let mut random = Random(SEED + u64::try_from(thread).unwrap());
                let client = loop {
                    // The connection may be cut before the Welcome.
                    if let Ok(client) = Client::connect(address) {
                        break client;
                    }
                };
                let all = client.counter("all");
                let own = client.counter(&format!("own {thread}"));
                let mut added = 0;
                while added < ADDS {
                    // One by one, or many at once.
                    if random.below(10) == 0 {
                        all.add(1).unwrap();
                        added += 1;
                        assert_eq!(own.add(1).unwrap(), added, "seed {SEED:#x}");
                        continue;
                    }
                    let batch = BATCH.min(ADDS - added);
                    let mut pipeline = client.pipeline();
                    for _ in 0..batch {
                        pipeline.push(&all, CounterOp::Add { delta: 1 });
                        pipeline.push(&own, CounterOp::Add { delta: 1 });
                    }
                    let replies = pipeline.run().all_ok().unwrap();
                    for (count, reply) in (1..).zip(replies.iter().skip(1).step_by(2)) {
                        assert_eq!(reply.unwrap(), Reply::Int(added + count), "seed {SEED:#x}");
                    }
                    added += batch;
                }
            });
        }
    });
    let client = Client::connect(engine.addresses()[0]).unwrap();
    assert_eq!(client.counter("all").get().unwrap(), THREADS * ADDS, "seed {SEED:#x}");
    assert!(proxy.cuts() > 500, "only {} connections were cut", proxy.cuts());
}
