//! Connections are cut at random, and every request takes effect exactly once.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catena_client::{Client, CounterOp, Reply};
use catena_engine::Engine;

use crate::proxy::{Proxy, Random};
use crate::{LONG, engine};

/// Decides where connections are cut. The interleaving of the threads also depends on the
/// scheduler.
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
                let mut random = Random::new(SEED + u64::try_from(thread).unwrap());
                let client = connect(address);
                let all = client.counter("all");
                let own = client.counter(&format!("own {thread}"));
                let mut added = 0;
                while added < ADDS {
                    // Single calls and pipelines.
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

/// Connects a client, through connections that may be cut before the Welcome.
fn connect(address: SocketAddr) -> Client {
    loop {
        if let Ok(client) = Client::connect(address) {
            return client;
        }
    }
}

/// Lets a client wait through a proxy, cuts its connections meanwhile, ends the wait, and returns
/// its result. `end` gets what `begin` returns.
fn wait_through_cuts<T: Send>(
    object: &str,
    begin: impl FnOnce(&Client) -> u64,
    wait: impl FnOnce(&Client) -> T + Send,
    end: impl FnOnce(&Client, u64),
) -> T {
    let (engine, client) = engine(1);
    let proxy = Proxy::calm(engine.addresses()[0]);
    let waiters = || client.inspect(object).unwrap().map_or(0, |found| found.waiters);
    let begun = begin(&client);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&Client::connect(proxy.address).unwrap()));
        let start = Instant::now();
        while waiters() == 0 {
            assert!(start.elapsed() < LONG, "no client waits for {object}");
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..3 {
            proxy.cut_all();
            std::thread::sleep(Duration::from_millis(20));
            // On a busy machine it takes longer until the client has connected again.
            let cut = Instant::now();
            while waiters() == 0 {
                assert!(cut.elapsed() < LONG, "no client waits for {object} any more");
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(waiters(), 1, "it still waits, once");
        }
        end(&client, begun);
        let came = waiting.join().unwrap();
        assert_eq!(waiters(), 0);
        came
    })
}

#[test]
fn a_lock_that_is_waited_for_through_cuts_is_granted_once() {
    wait_through_cuts(
        "lock",
        |client| client.lock("lock").lock(LONG).unwrap().keep(),
        |client| {
            let guard = client.lock("lock").lock(LONG).unwrap();
            let held = client.lock("lock").inspect().unwrap().unwrap().holders;
            assert_eq!(held.iter().map(|holder| holder.token).collect::<Vec<_>>(), [guard.token()]);
            assert!(guard.unlock().unwrap());
            assert_eq!(client.lock("lock").state().unwrap().holders, 0);
        },
        |client, token| assert!(client.lock("lock").unlock(token).unwrap()),
    );
}

#[test]
fn permits_that_are_waited_for_through_cuts_are_granted_once() {
    wait_through_cuts(
        "permits",
        |client| client.semaphore("permits", 4).acquire(2, LONG).unwrap().keep(),
        |client| {
            let permits = client.semaphore("permits", 4);
            let permit = permits.acquire(3, LONG).unwrap();
            let state = permits.state().unwrap();
            assert_eq!((state.available, state.holders), (1, 1));
            assert!(permit.release().unwrap());
            assert_eq!(permits.state().unwrap().available, 4);
        },
        |client, token| assert!(client.semaphore("permits", 4).release(token).unwrap()),
    );
}

#[test]
fn an_item_that_is_waited_for_through_cuts_is_taken_once() {
    let end = |client: &Client, _| {
        client.list("list").extend(["one", "two"]).unwrap();
    };
    wait_through_cuts(
        "list",
        |_| 0,
        |client| {
            let list = client.list("list");
            assert_eq!(&list.pop_front_wait(LONG).unwrap()[..], b"one");
            assert_eq!(list.len().unwrap(), 1);
        },
        end,
    );
    wait_through_cuts(
        "list",
        |_| 0,
        |client| {
            let list = client.list("list");
            let claim = list.claim(LONG).unwrap();
            assert_eq!(&claim[..], b"one");
            assert_eq!(list.inspect().unwrap().unwrap().holders.len(), 1);
            assert!(claim.done().unwrap());
            assert_eq!(list.len().unwrap(), 1);
        },
        end,
    );
}

#[test]
fn other_waits_go_on_through_cuts() {
    let got = wait_through_cuts(
        "future",
        |_| 0,
        |client| client.future("future").get(LONG).unwrap().to_vec(),
        |client, _| assert!(client.future("future").set("value").unwrap()),
    );
    assert_eq!(got, b"value");
    let completed = wait_through_cuts(
        "barrier",
        |_| 0,
        |client| client.barrier("barrier").party("ada", 2).wait(LONG).unwrap(),
        |client, _| _ = client.barrier("barrier").party("grace", 2).wait(LONG).unwrap(),
    );
    assert_eq!(completed, 0);
    let version = wait_through_cuts(
        "cell",
        |client| client.cell("cell").set(b"one").unwrap(),
        |client| {
            let version = client.cell("cell").version().unwrap();
            let newer = client.cell("cell").wait_newer(version, LONG).unwrap();
            assert!(newer > version);
            newer
        },
        |client, _| _ = client.cell("cell").set(b"two").unwrap(),
    );
    assert!(version > 0);
}

/// The maximum number of bytes before a connection is cut: a few requests.
const CUT_BYTES: u64 = 4_000;

/// Lets several clients work through connections that are cut continuously.
fn through_cuts(clients: u64, work: impl Fn(u64, Client) + Sync) -> (Engine, Client) {
    let (engine, client) = engine(1);
    let proxy = Proxy::start(engine.addresses()[0], SEED, CUT_BYTES);
    std::thread::scope(|scope| {
        for nth in 0..clients {
            let (address, work) = (proxy.address, &work);
            scope.spawn(move || work(nth, connect(address)));
        }
    });
    assert!(proxy.cuts() > 20, "only {} connections were cut", proxy.cuts());
    (engine, client)
}

#[test]
fn locks_and_permits_exclude_through_cut_connections() {
    let (inside, permitted) = (AtomicU64::new(0), AtomicU64::new(0));
    let tokens = Mutex::new(Vec::new());
    let (_engine, client) = through_cuts(4, |_, client| {
        let (lock, permits) = (client.lock("lock"), client.semaphore("permits", 2));
        for _ in 0..60 {
            let guard = lock.lock(LONG).unwrap();
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "seed {SEED:#x}");
            tokens.lock().unwrap().push(guard.token());
            inside.fetch_sub(1, Ordering::SeqCst);
            assert!(guard.unlock().unwrap(), "it was held, seed {SEED:#x}");
            let permit = permits.acquire(1, LONG).unwrap();
            assert!(permitted.fetch_add(1, Ordering::SeqCst) < 2, "seed {SEED:#x}");
            permitted.fetch_sub(1, Ordering::SeqCst);
            assert!(permit.release().unwrap(), "it was held, seed {SEED:#x}");
        }
    });
    let tokens = tokens.into_inner().unwrap();
    assert!(tokens.len() == 240 && tokens.is_sorted_by(|one, other| one < other));
    let (lock, permits) = (client.lock("lock"), client.semaphore("permits", 2));
    assert_eq!((lock.state().unwrap().holders, permits.state().unwrap().available), (0, 2));
}

#[test]
fn items_are_taken_once_through_cut_connections() {
    const ITEMS: u64 = 400;
    let taken = Mutex::new(Vec::new());
    let take = |item: &[u8]| {
        let item: u64 = std::str::from_utf8(item).unwrap().parse().unwrap();
        taken.lock().unwrap().push(item);
    };
    let (_engine, client) = through_cuts(4, |nth, client| {
        let (popped, claimed) = (client.list("popped"), client.list("claimed"));
        if nth == 0 {
            for item in 0..ITEMS {
                let list = if item % 2 == 0 { &popped } else { &claimed };
                list.push_back(item.to_string()).unwrap();
            }
            return;
        }
        // Three clients share the items; the last ones to ask wait in vain for a while.
        let idle = Duration::from_millis(500);
        while let Ok(item) = popped.pop_front_wait(idle) {
            take(&item);
            if let Ok(claim) = claimed.claim(idle) {
                take(&claim);
                assert!(claim.done().unwrap(), "it was held, seed {SEED:#x}");
            }
        }
        while let Some(claim) = claimed.try_claim().unwrap() {
            take(&claim);
            assert!(claim.done().unwrap(), "it was held, seed {SEED:#x}");
        }
    });
    let mut taken = taken.into_inner().unwrap();
    taken.sort_unstable();
    assert_eq!(taken, (0..ITEMS).collect::<Vec<_>>(), "seed {SEED:#x}");
    assert!(client.list("popped").is_empty().unwrap());
    assert!(client.list("claimed").is_empty().unwrap());
}

#[test]
fn parties_meet_through_cut_connections() {
    through_cuts(3, |nth, client| {
        let barrier = client.barrier("barrier");
        let mut party = barrier.party(&format!("party {nth}"), 3).starting_at(0);
        for generation in 0..100 {
            assert_eq!(party.wait(LONG).unwrap(), generation, "seed {SEED:#x}");
            let future = client.future(&format!("future {generation}"));
            match nth {
                0 => assert!(future.set(generation.to_string()).unwrap()),
                _ => assert_eq!(&future.get(LONG).unwrap()[..], generation.to_string().as_bytes()),
            }
        }
    });
}
