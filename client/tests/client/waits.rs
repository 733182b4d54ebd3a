//! Ops that wait inside a real engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use catena_client::{
    Arrival, Client, Contribution, Elements, Error, Loss, ReduceOp, Retry, Status,
};

use crate::proxy::Proxy;
use crate::{LONG, SHORT, engine, status};

#[test]
fn a_barrier_of_eight_keeps_step_for_many_generations() {
    let (engine, client) = engine(2);
    let address = engine.addresses()[0];
    std::thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                let client = Client::connect(address).unwrap();
                let step = client.counter("step");
                let barrier = client.barrier("round");
                let mut party = barrier.party(&format!("worker {worker}"), 8);
                for generation in 0..200 {
                    step.increment().unwrap();
                    assert_eq!(party.wait(LONG).unwrap(), generation * 2);
                    let expected = i64::try_from(generation + 1).unwrap() * 8;
                    assert_eq!(step.get().unwrap(), expected, "no worker is ahead or behind");
                    assert_eq!(party.wait(LONG).unwrap(), generation * 2 + 1);
                }
            });
        }
    });
    let state = client.barrier("round").state().unwrap();
    assert_eq!((state.round, state.arrived, state.waiting), (400, 0, 0));
}

#[test]
fn a_barrier_that_times_out_names_who_is_missing() {
    let (_engine, client) = engine(1);
    let barrier = client.barrier("round");
    for name in ["ada", "grace"] {
        barrier.arrive(Arrival { generation: 0, ..Arrival::new(name, 3) }).unwrap();
    }
    let mut alan = barrier.party("alan", 3);
    assert_eq!(alan.wait(LONG).unwrap(), 0);
    // Now the barrier knows its parties.
    barrier.arrive(Arrival { generation: 1, ..Arrival::new("ada", 3) }).unwrap();
    let start = Instant::now();
    let error = alan.wait(SHORT).unwrap_err();
    assert!(start.elapsed() >= SHORT && start.elapsed() < SHORT * 10, "{:?}", start.elapsed());
    let Error::TimedOut { missing, .. } = &error else { panic!("{error:?}") };
    assert_eq!(missing.names, ["grace"], "{missing:?}");
    assert_eq!((missing.arrived, missing.parties), (2, 3));
    assert!(error.to_string().contains("missing: grace"), "{error}");
    assert_eq!(error.retry(), Retry::Anew);
    barrier.arrive(Arrival { generation: 1, ..Arrival::new("grace", 3) }).unwrap();
    assert_eq!(alan.wait(LONG).unwrap(), 1, "the same generation again");
}

#[test]
fn a_broken_barrier_says_why_until_it_is_reset() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let waiting = std::thread::spawn(move || {
        let client = Client::connect(address).unwrap();
        let mut party = client.barrier("round").party("ada", 2);
        party.wait(LONG).unwrap_err()
    });
    let barrier = client.barrier("round");
    while barrier.state().unwrap().waiting == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(barrier.break_with("grace is out of memory").unwrap(), 0);
    let error = waiting.join().unwrap();
    assert!(
        matches!(&error, Error::Broken { reason, .. } if &**reason == "grace is out of memory")
    );
    assert!(error.to_string().contains("grace is out of memory"), "{error}");
    let arrival = Arrival::new("ada", 2);
    let error = barrier.arrive(arrival).unwrap_err();
    assert_eq!(error.status(), Some(Status::Broken));
    assert_eq!(barrier.reset().unwrap(), 1);
    assert_eq!(barrier.arrive(arrival).unwrap(), 1);
}

#[test]
fn a_latch_opens_once_all_have_counted_down() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let latch = client.latch("ready");
    assert_eq!(latch.state().unwrap_err().status(), Some(Status::Absent));
    assert_eq!(latch.count_down("ada", 2).unwrap(), 1);
    assert_eq!(latch.count_down("ada", 2).unwrap(), 1, "the same party counts once");
    let error = latch.wait(2, SHORT).unwrap_err();
    let Error::TimedOut { missing, .. } = &error else { panic!("{error:?}") };
    assert_eq!((missing.arrived, missing.parties), (1, 2));
    let waiting = std::thread::spawn(move || {
        Client::connect(address).unwrap().latch("ready").wait(2, LONG).unwrap();
    });
    while latch.state().unwrap().waiting == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(latch.count_down("grace", 2).unwrap(), 0);
    waiting.join().unwrap();
    latch.wait(2, Duration::ZERO).unwrap();
    assert_eq!(latch.wait(3, LONG).unwrap_err().status(), Some(Status::Mismatch));
}

#[test]
fn deleting_an_object_frees_those_who_wait_on_it() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let waiting = std::thread::spawn(move || {
        Client::connect(address).unwrap().latch("ready").wait(2, LONG).unwrap_err()
    });
    let latch = client.latch("ready");
    while latch.state().is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(latch.delete().unwrap());
    assert!(!latch.delete().unwrap());
    let error = waiting.join().unwrap();
    assert_eq!((error.status(), error.retry()), (Some(Status::Deleted), Retry::Anew));
}

/// What each of three parties contributes to a round.
fn part(party: u32, round: u64, elements: Elements<'_>) -> Contribution<'_> {
    let (op, loss) = (ReduceOp::Sum, Loss::Wait);
    Contribution { party, parties: 3, round, op, hold_ms: 0, loss, elements }
}

#[test]
fn a_reduction_adds_up_round_after_round_through_cut_connections() {
    let (engine, client) = engine(1);
    let proxy = Proxy::start(engine.addresses()[0], 7, 20_000);
    let address = proxy.address;
    std::thread::scope(|scope| {
        for party in 0..3 {
            scope.spawn(move || {
                let client = loop {
                    if let Ok(client) = Client::connect(address) {
                        break client;
                    }
                };
                let sums = client.reduction("sums");
                for round in 0..300 {
                    let value = f64::from(party) + 1.0;
                    let mine = [value, f64::from(u32::try_from(round).unwrap())];
                    let view = sums.contribute(part(party, round, Elements::F64(&mine)), LONG);
                    let view = view.unwrap();
                    assert_eq!(view.round(), round);
                    assert_eq!(view.as_f64(), Some(&[6.0, 3.0 * mine[1]][..]));
                }
            });
        }
    });
    assert!(proxy.cuts() > 10, "only {} connections were cut", proxy.cuts());
    assert_eq!(client.reduction("sums").last().unwrap().round(), 299);
}

#[test]
fn a_reduction_that_times_out_says_who_is_missing_and_keeps_the_contribution() {
    let (_engine, client) = engine(1);
    let sums = client.reduction("sums");
    assert_eq!(sums.last().unwrap_err().status(), Some(Status::Absent));
    let one = [1_i64];
    let error = sums.contribute(part(0, 5, Elements::I64(&one)), SHORT).unwrap_err();
    let Error::TimedOut { missing, .. } = &error else { panic!("{error:?}") };
    assert_eq!((missing.arrived, missing.parties), (1, 3));
    assert_eq!(missing.names.len(), 2, "{missing:?}");
    let state = sums.state().unwrap();
    assert_eq!((state.round, state.arrived, state.waiting), (5, 1, 0));
    let error = sums.contribute(part(1, 5, Elements::F64(&[1.0])), SHORT).unwrap_err();
    assert_eq!(error.status(), Some(Status::Mismatch));
    let error = sums.contribute(part(1, 9, Elements::I64(&one)), SHORT).unwrap_err();
    assert_eq!(error.status(), Some(Status::WrongRound));
    sums.contribute(part(1, 5, Elements::I64(&one)), Duration::ZERO).unwrap_err();
    let view = sums.contribute(part(2, 5, Elements::I64(&one)), LONG).unwrap();
    assert_eq!(view.as_i64(), Some(&[3][..]));
    drop(view);
    // A restarted worker gets the same result.
    let view = sums.contribute(part(0, 5, Elements::I64(&one)), LONG).unwrap();
    assert_eq!(view.as_i64(), Some(&[3][..]));
}

/// A client that sends nothing more, with its connection open.
fn dead(address: std::net::SocketAddr) -> &'static Client {
    Box::leak(Box::new(Client::connect(address).unwrap()))
}

/// Waits until this many requests wait at a barrier.
fn until_waiting(client: &Client, barrier: &str, waiting: u32) {
    let start = Instant::now();
    while client.barrier(barrier).state().unwrap().waiting != waiting {
        assert!(start.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_party_that_is_started_again_takes_its_seat_back() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let arrival = Arrival { generation: 0, loss: Loss::Break, ..Arrival::new("ada", 2) };
    dead(address).barrier("round").with_hold(SHORT * 4).arrive(arrival).unwrap();
    std::thread::scope(|scope| {
        let ada = scope.spawn(|| {
            let client = Client::connect(address).unwrap();
            let barrier = client.barrier("round").with_hold(LONG);
            let mut party = barrier.party("ada", 2).on_loss(Loss::Break).starting_at(0);
            (party.wait(LONG).unwrap(), party.wait(LONG).unwrap())
        });
        until_waiting(&client, "round", 1);
        // The hold of the first one has ended long ago, and nothing is broken.
        std::thread::sleep(SHORT * 6);
        let state = client.barrier("round").state().unwrap();
        assert_eq!((state.round, state.arrived, state.waiting), (0, 1, 1));
        let mut grace = client.barrier("round").party("grace", 2).on_loss(Loss::Break);
        assert_eq!((grace.wait(LONG).unwrap(), grace.wait(LONG).unwrap()), (0, 1));
        assert_eq!(ada.join().unwrap(), (0, 1));
    });
}

#[test]
fn a_party_that_is_lost_breaks_the_barrier_with_its_name() {
    let (engine, client) = engine(1);
    let arrival = Arrival { loss: Loss::Break, ..Arrival::new("ada", 2) };
    let dead = dead(engine.addresses()[0]);
    dead.barrier("round").with_hold(SHORT).arrive(arrival).unwrap();
    let barrier = client.barrier("round");
    let mut grace = barrier.party("grace", 2).on_loss(Loss::Break);
    assert_eq!(grace.wait(LONG).unwrap(), 0, "ada had arrived");
    let error = grace.wait(LONG).unwrap_err();
    assert!(matches!(&error, Error::Broken { reason, .. } if reason.contains("ada")), "{error}");
    assert_eq!(error.retry(), Retry::Anew);
    assert!(client.inspect("round").unwrap().unwrap().detail.contains("broken"));
    barrier.reset().unwrap();
    assert_eq!(status(grace.wait(SHORT)), Status::Timeout);
    let wait = barrier.party("alan", 2);
    assert_eq!(status(wait.clone().wait(SHORT)), Status::Mismatch, "all agree what to do");
}

#[test]
fn a_party_that_is_lost_is_dropped() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let arrival = Arrival { loss: Loss::Drop, ..Arrival::new("ada", 3) };
    dead(address).barrier("round").with_hold(SHORT).arrive(arrival).unwrap();
    std::thread::scope(|scope| {
        for name in ["grace", "alan"] {
            scope.spawn(move || {
                let client = Client::connect(address).unwrap();
                let mut party = client.barrier("round").party(name, 3).on_loss(Loss::Drop);
                for generation in 0..5 {
                    assert_eq!(party.wait(LONG).unwrap(), generation, "{name}");
                }
            });
        }
    });
    let inspected = client.inspect("round").unwrap().unwrap();
    assert!(inspected.detail.contains("dropped"), "{inspected:?}");
}

#[test]
fn a_party_that_is_lost_is_waited_for_and_named() {
    let (engine, client) = engine(1);
    let dead = dead(engine.addresses()[0]);
    dead.barrier("round").with_hold(SHORT).arrive(Arrival::new("ada", 2)).unwrap();
    let mut grace = client.barrier("round").party("grace", 2);
    std::thread::sleep(SHORT * 2);
    // Its arrival was withdrawn with it.
    let error = grace.wait(SHORT).unwrap_err();
    let Error::TimedOut { missing, .. } = &error else { panic!("{error:?}") };
    assert_eq!(missing.names, ["ada"]);
}

#[test]
fn a_seat_of_a_reduction_is_lost_and_taken_back_too() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let lost = dead(address).reduction("sums").with_hold(SHORT * 4);
    let mut first = lost.seat(0, 2).on_loss(Loss::Break);
    assert_eq!(status(first.contribute(ReduceOp::Sum, &[5_i64], Duration::ZERO)), Status::Timeout);
    std::thread::scope(|scope| {
        let again = scope.spawn(|| {
            let client = Client::connect(address).unwrap();
            let mut seat = client.reduction("sums").with_hold(LONG).seat(0, 2).on_loss(Loss::Break);
            // The contribution of the first one counts.
            let round = seat.contribute(ReduceOp::Sum, &[7_i64], LONG).unwrap();
            assert_eq!(round.as_i64(), Some(&[6][..]));
        });
        while client.reduction("sums").state().unwrap().waiting == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(SHORT * 6);
        let other = client.reduction("sums").with_hold(SHORT);
        let mut seat = other.seat(1, 2).on_loss(Loss::Break);
        let round = seat.contribute(ReduceOp::Sum, &[1_i64], LONG).unwrap();
        assert_eq!(round.as_i64(), Some(&[6][..]));
        again.join().unwrap();
        // Now seat 1 is not taken in time, which breaks the waits for it.
        let mut seat = client.reduction("sums").seat(0, 2).on_loss(Loss::Break).starting_at(1);
        let error = seat.contribute(ReduceOp::Sum, &[1_i64], LONG).map(drop).unwrap_err();
        assert!(matches!(&error, Error::Broken { .. }), "{error:?}");
    });
    assert_eq!(client.reduction("sums").reset().unwrap(), 1);
}

#[test]
fn a_wait_that_is_cancelled_takes_nothing() {
    let (engine, other) = engine(1);
    let cancel = Arc::new(AtomicBool::new(false));
    let builder = Client::builder().cancel_with(Arc::clone(&cancel));
    let client = builder.connect(engine.addresses()[0]).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let looker = Client::connect(engine.addresses()[0]).unwrap();
            while looker.inspect("jobs").unwrap().is_none_or(|jobs| jobs.waiters == 0) {
                std::thread::sleep(Duration::from_millis(1));
            }
            cancel.store(true, Ordering::SeqCst);
        });
        let error = client.list("jobs").pop_front_wait(Duration::from_secs(600)).unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
    });
    // Calls end at once until it is taken back, and the engine notices that nobody waits any more.
    assert!(client.counter("visits").get().is_err());
    while other.inspect("jobs").unwrap().is_some_and(|jobs| jobs.waiters > 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    cancel.store(false, Ordering::SeqCst);
    other.list("jobs").push_back(b"work").unwrap();
    assert_eq!(other.list("jobs").len().unwrap(), 1);
    assert_eq!(&*client.list("jobs").pop_front_wait(LONG).unwrap(), b"work");
}
