//! What is held beside a call that is cancelled, or while a thread panics: it stays as long as it
//! should, and no longer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_client::{Canceller, Client, Error};

use crate::{LONG, engine};

/// Waits until a request waits on an object.
fn until_waiting(client: &Client, name: &str) {
    while client.inspect(name).unwrap().is_none_or(|object| object.waiters == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Cancels a wait of `client` for an item, which is under way.
fn cancel_a_wait(client: &Client, watcher: &Client, name: &str) {
    let canceller = Canceller::new();
    let cancellable = client.cancelled_by(&canceller);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until_waiting(watcher, name);
            canceller.cancel();
        });
        let error = cancellable.list(name).pop_front_wait(LONG).map(drop).unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
    });
}

fn is_free(client: &Client, name: &str) -> bool {
    client.lock(name).try_lock().unwrap().is_some()
}

#[test]
fn what_is_held_in_the_session_of_a_cancelled_wait_is_free_after_close() {
    for cores in [1, 2] {
        let (engine, client) = engine(cores);
        let other = Client::connect(engine.addresses()[0]).unwrap();
        for name in ["a", "b", "c", "d"] {
            client.lock(name).try_lock().unwrap().unwrap().keep();
        }
        cancel_a_wait(&client, &other, "jobs");
        assert!(!is_free(&other, "a"));
        client.close();
        for name in ["a", "b", "c", "d"] {
            assert!(is_free(&other, name), "{name}");
        }
    }
}

/// A party that is waited for holds no seat, so nothing keeps its session.
#[test]
fn an_earlier_wait_at_a_barrier_keeps_no_cancelled_lock() {
    let (engine, client) = engine(1);
    let other = Client::connect(engine.addresses()[0]).unwrap();
    client.barrier("alone").party("me", 1).wait(LONG).unwrap();
    let held = other.lock("lock").lock(LONG).unwrap();
    let canceller = Canceller::new();
    let cancellable = client.cancelled_by(&canceller);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until_waiting(&other, "lock");
            canceller.cancel();
        });
        cancellable.lock("lock").lock(LONG).map(drop).unwrap_err();
    });
    assert_eq!(other.inspect("lock").unwrap().unwrap().waiters, 0, "its session is closed");
    held.unlock().unwrap();
    assert!(is_free(&other, "lock"));
}

#[test]
fn what_a_cancelled_pipeline_was_granted_stays_held() {
    let (engine, client) = engine(1);
    let other = Client::connect(engine.addresses()[0]).unwrap();
    let canceller = Canceller::new();
    let cancellable = client.cancelled_by(&canceller);
    // More locks than there are shards: one is in the session of the pop.
    let (jobs, locks) = (client.list("jobs"), (0..64).map(|at| format!("lock {at}")));
    let locks: Vec<_> = locks.map(|name| client.lock(&name)).collect();
    let mut pipeline = cancellable.pipeline().timeout(LONG);
    let popped = pipeline.on(&jobs).pop_front_wait();
    let tickets: Vec<_> = locks.iter().map(|lock| pipeline.on(lock).try_lock()).collect();
    let replies = std::thread::scope(|scope| {
        scope.spawn(|| {
            until_waiting(&other, "jobs");
            std::thread::sleep(Duration::from_millis(50));
            canceller.cancel();
        });
        pipeline.run()
    });
    assert!(replies.value(popped).is_err());
    for (at, ticket) in tickets.into_iter().enumerate() {
        let token = replies.value(ticket).unwrap();
        assert!(token.is_some(), "lock {at} was free");
        assert!(!is_free(&other, &format!("lock {at}")), "lock {at} is held");
    }
    client.close();
    assert!(is_free(&other, "lock 0"));
}

#[test]
fn a_guard_is_released_although_calls_are_cancelled() {
    let (engine, other) = engine(1);
    let flag = Arc::new(AtomicBool::new(false));
    let builder = Client::builder().cancel_with(Arc::clone(&flag));
    let client = builder.connect(engine.addresses()[0]).unwrap();
    let guard = client.lock("lock").try_lock().unwrap();
    flag.store(true, Ordering::SeqCst);
    client.counter("visits").add(1).unwrap_err();
    drop(guard);
    flag.store(false, Ordering::SeqCst);
    assert!(is_free(&other, "lock"));
    client.counter("visits").add(1).unwrap();
}

#[test]
fn what_outlasts_a_panic_is_free_with_the_client() {
    let (engine, client) = engine(1);
    let other = Client::connect(engine.addresses()[0]).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        client.lock("kept").try_lock().unwrap().unwrap().keep();
        let _guard = client.lock("guarded").try_lock().unwrap();
        std::panic::resume_unwind(Box::new("of the program"));
    }));
    assert!(panicked.is_err());
    assert!(is_free(&other, "guarded") && !is_free(&other, "kept"));
    client.close();
    assert!(is_free(&other, "kept"));
}
