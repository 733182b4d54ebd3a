//! One client in several threads, and calls that another thread cancels.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use catena_client::{Canceller, Client, Counter, Error, Latch, Retry};
use catena_engine::{CancelHandle, Engine};
use catena_protocol::Reply;

use crate::peer::Peer;
use crate::{LONG, SHORT, engine};

/// What a program keeps: handles without a lifetime.
#[derive(Clone)]
struct Service {
    visits: Counter,
    ready: Latch,
}

#[test]
fn threads_share_a_client_and_its_handles() {
    let (_engine, client) = engine(2);
    let client = Arc::new(client);
    let service = Service { visits: client.counter("visits"), ready: client.latch("ready") };
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (service, client) = (service.clone(), Arc::clone(&client));
            std::thread::spawn(move || {
                for _ in 0..200 {
                    service.visits.increment().unwrap();
                    client.map("words").add("word", 1).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(service.ready.count_down("main", 1).unwrap(), 0);
    assert_eq!(service.visits.get().unwrap(), 1_600);
    assert_eq!(client.map("words").get_i64("word").unwrap(), Some(1_600));
    drop(client);
    assert_eq!(service.visits.increment().unwrap(), 1_601, "a handle keeps the connections");
}

/// The wait ends only by what the other thread does after its calls.
#[test]
fn a_call_does_not_stand_behind_the_wait_of_another_thread() {
    let (_engine, client) = engine(1);
    let waiting = {
        let client = client.clone();
        std::thread::spawn(move || client.latch("ready").wait(1, LONG))
    };
    let latch = client.latch("ready");
    while latch.state().is_ok_and(|state| state.waiting == 0) || latch.state().is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let visits = client.counter("visits");
    for expected in 1..=100 {
        assert_eq!(visits.increment().unwrap(), expected);
    }
    assert!(!waiting.is_finished());
    assert_eq!(latch.count_down("main", 1).unwrap(), 0);
    waiting.join().unwrap().unwrap();
}

#[test]
fn one_thread_keeps_to_one_connection_and_session() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let add = conn.request();
        let session = add.header.session;
        conn.reply(&add, &Reply::Int(1));
        for expected in 2..=20 {
            let add = conn.next().unwrap();
            assert_eq!((add.header.session, add.header.number), (session, expected));
            conn.reply(&add, &Reply::Int(1));
        }
        // The script accepts no other connection.
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    for _ in 0..20 {
        // Clones and other threads, one after the other, are no reason for another one.
        let client = client.clone();
        std::thread::spawn(move || client.counter("a").add(1).unwrap()).join().unwrap();
    }
    drop(client);
    peer.join();
}

#[test]
fn a_guard_is_released_while_its_thread_waits() {
    let (engine, client) = engine(1);
    let guard = client.lock("lock").lock(LONG).unwrap();
    let token = guard.token();
    let (latch, ready) = (client.latch("ready"), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ready.wait();
            latch.wait(1, LONG).unwrap();
        });
        ready.wait();
        assert!(guard.extend(LONG).unwrap());
        assert!(guard.unlock().unwrap());
        let other = Client::connect(engine.addresses()[0]).unwrap();
        assert!(other.lock("lock").lock(LONG).unwrap().token() > token);
        assert_eq!(latch.count_down("main", 1).unwrap(), 0);
    });
}

#[test]
fn closing_frees_what_all_threads_hold() {
    let (engine, client) = engine(2);
    let names = ["a", "b", "c", "d"];
    let all = Barrier::new(names.len());
    std::thread::scope(|scope| {
        for name in names {
            let (client, all) = (&client, &all);
            scope.spawn(move || {
                let guard = client.lock(name).lock(LONG).unwrap();
                all.wait();
                guard.keep();
            });
        }
    });
    let (visits, clone) = (client.counter("visits"), client.clone());
    client.close();
    let other = Client::connect(engine.addresses()[0]).unwrap();
    for name in names {
        assert!(other.lock(name).try_lock().unwrap().is_some(), "{name} is free");
    }
    for error in [visits.increment().unwrap_err(), clone.ping().map(drop).unwrap_err()] {
        assert!(matches!(error, Error::Closed { .. }), "{error:?}");
        assert_eq!((error.retry(), error.status()), (Retry::Never, None));
    }
}

#[test]
fn calls_above_the_limit_are_refused_in_time_and_waits_leave_room_for_others() {
    let engine = Engine::builder().cores(1).start().unwrap();
    let builder = Client::builder().calls_max(2).call_timeout(SHORT);
    let client = builder.connect(engine.addresses()[0]).unwrap();
    let latch = client.latch("ready");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| latch.wait(1, LONG));
        while latch.state().map_or(0, |state| state.waiting) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let error = client.latch("other").wait(1, LONG).unwrap_err();
        assert!(matches!(error, Error::TooManyCalls { calls_max: 2, .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Later);
        assert!(error.to_string().contains("Builder::calls_max"), "{error}");
        assert_eq!(client.counter("visits").increment().unwrap(), 1);
        assert_eq!(latch.count_down("main", 1).unwrap(), 0);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(client.latch("ready").wait(1, LONG).map_err(|error| error.status()), Ok(()));
}

/// Both connections have a session; the loss is one event all the same.
#[test]
fn a_restarted_node_is_reported_once_to_a_shared_client() {
    let engine = Engine::builder().cores(1).start().unwrap();
    let address = engine.addresses()[0];
    let client = Client::connect(address).unwrap();
    let (latch, visits) = (client.latch("ready"), client.counter("visits"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| latch.wait(1, LONG));
        while latch.state().map_or(0, |state| state.waiting) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        visits.increment().unwrap();
        latch.count_down("main", 1).unwrap();
        waiting.join().unwrap().unwrap();
    });
    drop(engine);
    let builder = Engine::builder().cores(1).listen(address);
    let _engine = builder.wait_for_ports(LONG, &CancelHandle::default()).start().unwrap();
    let error = visits.get().unwrap_err();
    assert!(matches!(error, Error::SessionLost { .. }), "{error:?}");
    std::thread::scope(|scope| {
        // Several at once, so that the other connection and new ones are used.
        let calls = [(); 4].map(|()| scope.spawn(|| visits.increment().unwrap()));
        let mut values = calls.map(|call| call.join().unwrap());
        values.sort_unstable();
        assert_eq!(values, [1, 2, 3, 4]);
    });
}

#[test]
fn forgotten_sessions_are_not_used_by_any_thread() {
    let (_engine, client) = engine(1);
    let visits = client.counter("visits");
    assert_eq!(visits.increment().unwrap(), 1);
    client.forget_sessions();
    assert_eq!(visits.increment().unwrap(), 2);
}

#[test]
fn a_canceller_ends_the_waits_of_other_threads() {
    let (_engine, client) = engine(1);
    let canceller = Canceller::new();
    let cancellable = client.cancelled_by(&canceller);
    std::thread::scope(|scope| {
        let pop = scope.spawn(|| cancellable.list("jobs").pop_front_wait(LONG * 20).map(drop));
        let wait = scope.spawn(|| cancellable.latch("jobs done").wait(2, LONG * 20));
        while client.inspect("jobs").unwrap().is_none_or(|jobs| jobs.waiters == 0)
            || client.latch("jobs done").state().map_or(0, |state| state.waiting) == 0
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        canceller.cancel();
        for error in [pop.join().unwrap().unwrap_err(), wait.join().unwrap().unwrap_err()] {
            assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
        }
    });
    assert!(canceller.is_cancelled());
    let error = cancellable.counter("visits").increment().unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Later, "it was not sent");
    assert_eq!(client.list("jobs").push_back("job").unwrap(), 1, "nobody waits for it");
    assert_eq!(client.list("jobs").len().unwrap(), 1);
}

/// The grant and the cancellation race: in either order, nothing stays held.
#[test]
fn a_cancelled_lock_is_held_by_nobody() {
    let (_engine, client) = engine(1);
    let lock = client.lock("lock");
    let mut granted = 0;
    for round in 0..200_u64 {
        let guard = lock.lock(LONG).unwrap();
        let canceller = Canceller::new();
        let cancellable = client.cancelled_by(&canceller);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| cancellable.lock("lock").lock(LONG).map(drop));
            while lock.state().unwrap().waiting == 0 {
                std::thread::yield_now();
            }
            let cancelling = scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(round % 50));
                canceller.cancel();
            });
            assert!(guard.unlock().unwrap());
            cancelling.join().unwrap();
            match waiting.join().unwrap() {
                Ok(()) => granted += 1,
                Err(Error::Cancelled { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        });
        assert!(lock.try_lock().unwrap().is_some(), "round {round}: it is free");
    }
    assert!(granted <= 200);
}
