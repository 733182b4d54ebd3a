//! Many clients wait at once, and the engine needs no thread for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catena_client::Client;

use crate::{LONG, engine};

/// The number of workers of a large job.
const CLIENTS: u32 = 1_000;

#[test]
fn a_thousand_clients_wait_at_one_barrier() {
    let (engine, client) = engine(2);
    let address = engine.addresses()[0];
    let threads = engine_threads();
    let passed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (builder, passed) = (std::thread::Builder::new(), &passed);
            let wait = move || {
                let client = Client::connect(address).unwrap();
                let mut party = client.barrier("start").party(&format!("worker {n}"), CLIENTS + 1);
                assert_eq!(party.wait(LONG * 2).unwrap(), 0);
                passed.fetch_add(1, Ordering::Relaxed);
            };
            // A blocking client needs a thread here, and a small stack is enough.
            let builder = builder.name("worker".to_owned()).stack_size(256 * 1024);
            builder.spawn_scoped(scope, wait).unwrap();
        }
        let barrier = client.barrier("start");
        let start = Instant::now();
        while barrier.state().unwrap().waiting < CLIENTS {
            assert!(start.elapsed() < LONG, "{:?}", barrier.state());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(passed.load(Ordering::Relaxed), 0);
        // Other tests start engines in this process meanwhile, but not hundreds.
        assert!(engine_threads() < threads + 100);
        assert_eq!(client.inspect("start").unwrap().unwrap().waiters, CLIENTS);
        // The engine serves other clients as usual.
        assert_eq!(client.counter("visits").increment().unwrap(), 1);
        assert_eq!(barrier.party("last", CLIENTS + 1).wait(LONG).unwrap(), 0);
    });
    assert_eq!(passed.into_inner(), u64::from(CLIENTS));
}

/// The number of threads in this process that belong to engines.
fn engine_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks.filter_map(name).filter(|name| name.starts_with("catena-")).count()
}
