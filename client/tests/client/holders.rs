//! Locks, semaphores and other holds: who holds them, for how long, and how they end.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use catena_client::{Client, Error, Hold, LockOp, PermitState, Reply, Status};
use catena_engine::Engine;

use crate::{LONG, SHORT, engine, status};

fn state(available: u32, permits: u32, holders: u32, waiting: u32) -> PermitState {
    PermitState { available, permits, holders, waiting }
}

#[test]
fn locks() {
    let (engine, client) = engine(2);
    let lock = client.lock("lock");
    assert_eq!(lock.state().unwrap(), state(1, 1, 0, 0));
    let guard = lock.lock(LONG).unwrap();
    assert_eq!(lock.state().unwrap(), state(0, 1, 1, 0));
    assert!(lock.try_lock().unwrap().is_none());
    assert_eq!(status(lock.lock(SHORT)), Status::Timeout);
    assert!(guard.extend(LONG).unwrap());
    let inspected = lock.inspect().unwrap().unwrap();
    assert_eq!((inspected.holders.len(), inspected.holders[0].token), (1, guard.token()));
    assert!(inspected.holders[0].left_ms > 20_000, "{inspected:?}");
    let first = guard.token();
    assert!(guard.unlock().unwrap());
    assert!(!lock.unlock(first).unwrap() && !lock.extend(first, LONG).unwrap());
    let guard = lock.try_lock().unwrap().unwrap();
    assert!(guard.token() > first, "tokens grow");
    drop(guard);
    assert_eq!(lock.state().unwrap(), state(1, 1, 0, 0), "dropping gives it back");
    let token = lock.lock(LONG).unwrap().keep();
    assert_eq!(lock.state().unwrap(), state(0, 1, 1, 0), "keeping does not");
    // Another client can release it with the token.
    let other = Client::connect(engine.addresses()[0]).unwrap();
    assert!(other.lock("lock").extend(token, Hold::Session).unwrap());
    assert!(other.lock("lock").unlock(token).unwrap());
    assert_eq!(status(client.counter("lock").add(1)), Status::WrongKind);
    assert!(lock.delete().unwrap());
    assert!(lock.lock(LONG).unwrap().token() > token, "also over deletion");
}

#[test]
fn a_lock_is_granted_in_order_and_to_one_client_at_a_time() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                let client = Client::connect(address).unwrap();
                let (lock, cell) = (client.lock("lock"), client.cell("number"));
                for _ in 0..50 {
                    let guard = lock.lock(LONG).unwrap();
                    let number = read(&cell.get().unwrap());
                    cell.set_with_token(guard.token(), (number + 1).to_string().as_bytes())
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(read(&client.cell("number").get().unwrap()), 400);
}

fn read(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).unwrap().parse().unwrap_or(0)
}

#[test]
fn semaphores() {
    let (engine, client) = engine(2);
    let gpus = client.semaphore("gpus", 4);
    assert_eq!(status(gpus.state()), Status::Absent);
    assert_eq!(status(gpus.acquire(5, LONG)), Status::OutOfRange);
    assert_eq!(status(gpus.acquire(0, LONG)), Status::BadArgument);
    let three = gpus.acquire(3, LONG).unwrap();
    assert_eq!(three.count(), 3);
    assert_eq!(gpus.state().unwrap(), state(1, 4, 1, 0));
    assert!(gpus.try_acquire(2).unwrap().is_none());
    let one = gpus.try_acquire(1).unwrap().unwrap();
    assert!(one.token() > three.token() && one.extend(LONG).unwrap());
    assert_eq!(status(gpus.acquire(1, SHORT)), Status::Timeout);
    assert_eq!(status(client.semaphore("gpus", 5).acquire(1, LONG)), Status::Mismatch);
    // A request for many permits is not overtaken by one for few.
    let address = engine.addresses()[0];
    let many = std::thread::spawn(move || {
        let client = Client::connect(address).unwrap();
        let token = client.semaphore("gpus", 4).acquire(4, LONG).unwrap().token();
        (token, client.semaphore("gpus", 4).state().unwrap())
    });
    while gpus.state().unwrap().waiting == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(one.release().unwrap());
    assert!(gpus.try_acquire(1).unwrap().is_none());
    let token = three.keep();
    assert!(gpus.extend(token, Hold::Session).unwrap() && gpus.release(token).unwrap());
    let (later, seen) = many.join().unwrap();
    assert!(later > token && seen.permits == 4);
    assert!(!gpus.release(token).unwrap());
    drop(gpus.acquire(4, LONG).unwrap());
    assert_eq!(gpus.state().unwrap(), state(4, 4, 0, 0));
    assert!(gpus.delete().unwrap());
    assert!(client.semaphore("gpus", 5).acquire(5, LONG).is_ok(), "a new one may have others");
}

#[test]
fn a_dead_holder_is_released_at_its_deadline_and_its_token_is_stale() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    // This client sends nothing more, and its connection stays open.
    let dead: &Client = Box::leak(Box::new(Client::connect(address).unwrap()));
    dead.set_deadline(Instant::now() + SHORT);
    let stale = dead.lock("lock").lock(LONG).unwrap().keep();
    std::mem::forget(dead.semaphore("permits", 2).acquire(2, LONG).unwrap());
    let start = Instant::now();
    let inspected = client.inspect("lock").unwrap().unwrap();
    let left = Duration::from_millis(inspected.holders[0].left_ms);
    assert!(left > Duration::from_secs(1) && left <= Duration::from_millis(2_100), "{left:?}");
    let guard = client.lock("lock").lock(LONG).unwrap();
    let permit = client.semaphore("permits", 2).acquire(1, LONG).unwrap();
    let waited = start.elapsed();
    assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(10), "{waited:?}");
    assert!(guard.token() > stale && permit.token() > 0);
    let (cell, map) = (client.cell("cell"), client.map("map"));
    cell.set_with_token(guard.token(), b"new").unwrap();
    map.put_with_token(guard.token(), "key", "new").unwrap();
    // It was not dead, only slow.
    assert_eq!(status(dead.cell("cell").set_with_token(stale, b"old")), Status::StaleToken);
    assert_eq!(status(dead.map("map").put_with_token(stale, "key", "old")), Status::StaleToken);
    assert!(!dead.lock("lock").unlock(stale).unwrap());
    assert_eq!(
        (&cell.get().unwrap()[..], &map.get("key").unwrap().unwrap()[..]),
        (&b"new"[..], &b"new"[..])
    );
    assert!(guard.unlock().unwrap());
}

#[test]
fn a_killed_process_loses_its_lock_when_its_hold_ends() {
    let (engine, client) = engine(1);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holders::a_process_locks_and_dies"])
        .env(TOLD, engine.addresses()[0].to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(!child.wait().unwrap().success());
    let inspected = client.inspect("lock").unwrap().expect("it was locked");
    assert_eq!(inspected.holders.len(), 1);
    let guard = client.lock("lock").lock(LONG).unwrap();
    assert!(guard.token() > inspected.holders[0].token);
}

/// The variable with the engine's address, for the process that dies.
const TOLD: &str = "CATENA_TEST_DIES_WITH_LOCK_OF";

#[test]
fn a_process_locks_and_dies() {
    let Ok(address) = std::env::var(TOLD) else { return };
    let client = Client::connect(address).unwrap();
    let guard = client.lock("lock").with_hold(Duration::from_secs(1)).lock(LONG);
    let _guard = guard.unwrap();
    std::process::abort();
}

#[test]
fn a_hold_is_of_the_deadline_the_session_or_a_time() {
    let (_engine, client) = engine(1);
    let left_ms = |name: &str| client.inspect(name).unwrap().unwrap().holders[0].left_ms;
    let second = Duration::from_secs(1);
    let _guard = client.lock("a").lock(LONG).unwrap();
    assert_eq!(left_ms("a"), 0, "as long as the session");
    assert_eq!(client.hold_ms(Hold::Deadline), 0);
    client.set_deadline(Instant::now() + second * 60);
    assert!(client.deadline().is_some());
    let _guard = client.lock("b").lock(LONG).unwrap();
    assert!((60_000..=62_000).contains(&left_ms("b")), "{}", left_ms("b"));
    let _guard = client.lock("c").with_hold(second).lock(LONG).unwrap();
    assert!((1..=1_000).contains(&left_ms("c")));
    let _guard = client.lock("d").with_hold(Hold::Session).lock(LONG).unwrap();
    assert_eq!(left_ms("d"), 0);
    client.list("work").push_back("item").unwrap();
    let _claim = client.list("work").claim(LONG).unwrap();
    assert!((60_000..=62_000).contains(&left_ms("work")));
    let _permit = client.semaphore("s", 3).with_hold(second * 5).try_acquire(2).unwrap().unwrap();
    assert!((1..=5_000).contains(&left_ms("s")));
    client.set_deadline(Instant::now());
    assert!((1..=2_000).contains(&client.hold_ms(Hold::Deadline)), "the margin is left");
    client.clear_deadline();
    assert_eq!(client.hold_ms(Hold::Deadline), 0);
    let early = Engine::builder().cores(1).start().unwrap();
    let builder = Client::builder().deadline(Instant::now() + second);
    let client = builder.connect(early.addresses()[0]).unwrap();
    assert!((2_500..=3_000).contains(&client.hold_ms(Hold::default())));
}

#[test]
fn a_closed_client_leaves_nothing_held() {
    let (engine, client) = engine(1);
    for _ in 0..200 {
        let other = Client::connect(engine.addresses()[0]).unwrap();
        std::mem::forget(other.lock("lock").lock(LONG).unwrap());
        other.close();
        let guard = client.lock("lock").try_lock().unwrap();
        assert!(guard.expect("it is free when `close` returns").unlock().unwrap());
    }
}

/// A hold for some time begins when it is granted, one until the end of the function does not.
#[test]
fn a_hold_for_some_time_is_granted_in_full() {
    let (engine, client) = engine(1);
    let other = Client::connect(engine.addresses()[0]).unwrap();
    let hold = Duration::from_secs(5);
    let _guard = other.lock("lock").with_hold(hold).lock(LONG).unwrap();
    let guard = client.lock("lock").with_hold(hold).lock(LONG).unwrap();
    let held = client.inspect("lock").unwrap().unwrap();
    assert!((2_000..=5_000).contains(&held.holders[0].left_ms), "{held:?}");
    let ended = Duration::from_secs(1);
    other.set_deadline(Instant::now());
    assert!(matches!(other.lock("lock").lock(ended), Err(Error::TimedOut { .. })));
    assert!(guard.unlock().unwrap());
}

#[test]
fn holds_can_be_requested_in_pipelines() {
    let (_engine, client) = engine(1);
    let lock = client.lock("lock");
    let hold_ms = client.hold_ms(LONG);
    let mut pipeline = client.pipeline();
    let first = pipeline.push(&lock, LockOp::TryAcquire { hold_ms });
    let second = pipeline.push(&lock, LockOp::TryAcquire { hold_ms });
    let replies = pipeline.run().all_ok().unwrap();
    assert!(matches!(replies.get(first), Ok(Reply::Granted { granted: true, token: 1.. })));
    assert_eq!(replies.get(second).unwrap(), Reply::Granted { granted: false, token: 0 });
}
