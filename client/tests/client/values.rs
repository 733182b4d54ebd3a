//! Futures, logs, and more ops of vectors and reductions, against a real engine.

use std::time::Duration;

use catena_client::{Client, Error, FutureState, Loss, ReduceOp, Retry, Scalar, Status};

use crate::{LONG, SHORT, engine, status};

#[test]
fn futures() {
    let (engine, client) = engine(2);
    let future = client.future("result");
    assert_eq!(future.state().unwrap(), FutureState::Pending);
    assert!(future.peek().unwrap().is_none());
    assert_eq!(status(future.get(SHORT)), Status::Timeout);
    let address = engine.addresses()[0];
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let client = Client::connect(address).unwrap();
                client.future("result").get(LONG).unwrap().to_vec()
            })
        })
        .collect();
    while future.inspect().unwrap().is_none_or(|found| found.waiters < 4) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let large = vec![7; 2 << 20];
    assert!(future.set(&large).unwrap());
    assert!(!future.set("other").unwrap());
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap(), large);
    }
    assert_eq!(future.state().unwrap(), FutureState::Set);
    assert_eq!(future.peek().unwrap().unwrap().len(), large.len());
    assert!(!future.cancel("too late").unwrap());
    assert_eq!(status(client.future("huge").set(vec![0; 9 << 20])), Status::TooLarge);
    assert!(future.delete().unwrap());
}

#[test]
fn a_cancelled_future_says_why() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let waiting = std::thread::spawn(move || {
        Client::connect(address).unwrap().future("result").get(LONG).unwrap_err()
    });
    let future = client.future("result");
    while future.inspect().unwrap().is_none_or(|found| found.waiters == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(future.cancel("no money").unwrap());
    let error = waiting.join().unwrap();
    assert!(matches!(&error, Error::Broken { reason, .. } if &**reason == "no money"));
    assert_eq!(error.retry(), Retry::Anew);
    assert!(error.to_string().contains("cancelled: no money. It stays cancelled"), "{error}");
    assert_eq!(future.state().unwrap(), FutureState::Cancelled);
    assert_eq!(status(future.set("x")), Status::Broken);
    assert_eq!(status(future.peek()), Status::Broken);
    assert_eq!(status(future.get(LONG)), Status::Broken);
    assert!(!future.cancel("again").unwrap());
}

#[test]
fn logs() {
    let (engine, client) = engine(1);
    let log = client.log("job");
    assert!(log.tail(0).unwrap().is_empty());
    assert_eq!(status(log.tail_wait(0, SHORT)), Status::Timeout);
    assert_eq!(log.print("begins").unwrap(), 1);
    assert_eq!(log.print("goes on").unwrap(), 2);
    let page = log.tail(1).unwrap();
    assert_eq!((page.at(), page.iter().next()), (2, Some(&b"goes on"[..])));
    let lines: Vec<_> = log.lines(0).map(Result::unwrap).collect();
    assert_eq!(lines, [(1, "begins".to_owned()), (2, "goes on".to_owned())]);
    let address = engine.addresses()[0];
    let waiting = std::thread::spawn(move || {
        let client = Client::connect(address).unwrap();
        let page = client.log("job").tail_wait(2, LONG).unwrap();
        (page.at(), page.iter().next().unwrap().to_vec())
    });
    while log.inspect().unwrap().unwrap().waiters == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    log.print("ends").unwrap();
    assert_eq!(waiting.join().unwrap(), (3, b"ends".to_vec()));
    assert_eq!(status(log.print(&"x".repeat(4_097))), Status::TooLarge);
    // The oldest lines are dropped, and their numbers are not used again.
    let mut pipeline = client.pipeline();
    for _ in 0..9_000 {
        pipeline.push(&log, catena_client::LogOp::Print { line: "line" });
    }
    pipeline.run().all_ok().unwrap();
    let numbers: Vec<u64> = log.lines(0).map(|line| line.unwrap().0).collect();
    assert!(numbers[0] > 1 && numbers.is_sorted_by(|one, other| one + 1 == *other));
    assert_eq!(numbers.last(), Some(&9_003));
    assert!(log.delete().unwrap());
}

#[test]
fn rows_and_sums_of_vectors() {
    let (_engine, client) = engine(1);
    let vector = client.vector("rows");
    assert_eq!(status(vector.get_rows(0..1)), Status::Absent);
    assert_eq!(status(vector.sum()), Status::Absent);
    let version = vector.set(2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let rows = vector.get_rows(1..3).unwrap();
    assert_eq!((rows.columns(), rows.version()), (2, version));
    assert_eq!(rows.as_f64(), Some(&[3.0, 4.0, 5.0, 6.0][..]));
    assert_eq!(status(vector.get_rows(2..4)), Status::OutOfRange);
    assert!(vector.add_rows(2, &[0.5, 0.5]).unwrap() > version);
    assert_eq!(status(vector.add_rows(2, &[0.0; 4])), Status::OutOfRange);
    assert_eq!(status(vector.add_rows(0, &[0.0; 3])), Status::Mismatch);
    vector.scale(2.0).unwrap();
    assert_eq!(status(vector.scale(2_i64)), Status::Mismatch);
    assert_eq!(vector.get().unwrap().as_f64(), Some(&[2.0, 4.0, 6.0, 8.0, 11.0, 13.0][..]));
    assert_eq!(vector.dot(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]).unwrap(), 19.0);
    assert_eq!(status(vector.dot(&[1.0])), Status::Mismatch);
    assert_eq!(vector.sum().unwrap(), Scalar::F64(44.0));
    let ints = client.vector("ints");
    ints.set(1, &[i64::MAX, 1]).unwrap();
    assert_eq!(status(ints.sum()), Status::Overflow);
    assert_eq!(status(ints.scale(2_i64)), Status::Overflow);
    assert_eq!(status(ints.dot(&[1_i64, 1])), Status::Overflow);
    assert_eq!(ints.dot(&[0_i64, 7]).unwrap(), 7);
}

#[test]
fn seats_keep_count_of_rounds() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    std::thread::scope(|scope| {
        for party in 0..3_u32 {
            scope.spawn(move || {
                let client = Client::connect(address).unwrap();
                let mut seat = client.reduction("sums").seat(party, 3).on_loss(Loss::Break);
                for round in 0..100 {
                    assert_eq!(seat.round(), round);
                    let view = seat.contribute(ReduceOp::Sum, &[i64::from(party)], LONG).unwrap();
                    assert_eq!((view.round(), view.as_i64()), (round, Some(&[3][..])));
                }
            });
        }
    });
    let sums = client.reduction("sums");
    let mut late = sums.seat(0, 3);
    assert_eq!(status(late.contribute(ReduceOp::Sum, &[0_i64], LONG)), Status::WrongRound);
    assert_eq!(late.round(), 0);
    let mut again = sums.seat(0, 3).starting_at(99);
    assert_eq!(again.contribute(ReduceOp::Sum, &[9_i64], LONG).unwrap().as_i64(), Some(&[3][..]));
    assert_eq!(again.round(), 100);
}

#[test]
fn a_broken_reduction_says_why_until_it_is_reset() {
    let (engine, client) = engine(1);
    let address = engine.addresses()[0];
    let waiting = std::thread::spawn(move || {
        let client = Client::connect(address).unwrap();
        let mut seat = client.reduction("sums").seat(0, 2);
        seat.contribute(ReduceOp::Sum, &[1.0], LONG).map(|view| view.round()).unwrap_err()
    });
    let sums = client.reduction("sums");
    while sums.state().map_or(0, |state| state.waiting) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(sums.break_with("out of memory").unwrap(), 0);
    let error = waiting.join().unwrap();
    assert!(matches!(&error, Error::Broken { reason, .. } if &**reason == "out of memory"));
    assert!(error.to_string().contains("Reset it"), "{error}");
    let mut seat = sums.seat(1, 2);
    assert_eq!(status(seat.contribute(ReduceOp::Sum, &[1.0], LONG)), Status::Broken);
    assert_eq!(sums.reset().unwrap(), 0);
    assert_eq!(status(seat.contribute(ReduceOp::Sum, &[1.0], SHORT)), Status::Timeout);
}

#[test]
fn reads_go_into_the_callers_memory() {
    let (_engine, client) = engine(1);
    let (weights, page) = (client.vector("weights"), client.cell("page"));
    let version = weights.set(2, &[1.0, 2.0, 3.0, 4.0]).unwrap();
    let (mut all, mut row) = ([0.0; 4], [0.0; 2]);
    assert_eq!(weights.get_into(&mut all).unwrap(), version);
    assert_eq!(weights.get_rows_into(1..2, &mut row).unwrap(), version);
    assert_eq!((all, row), ([1.0, 2.0, 3.0, 4.0], [3.0, 4.0]));
    assert_eq!(weights.get_if_newer_into(version, &mut all).unwrap(), None);
    assert_eq!(weights.get_if_newer_into(version - 1, &mut all).unwrap(), Some(version));
    assert_eq!(status(weights.get_into(&mut row)), Status::Mismatch);
    assert_eq!(status(weights.get_into(&mut [0_i64; 4])), Status::Mismatch);
    assert_eq!(row, [3.0, 4.0], "nothing is copied then");
    let version = page.set(b"hello").unwrap();
    let mut bytes = b"earlier".to_vec();
    assert_eq!((page.get_into(&mut bytes).unwrap(), &bytes[..]), (version, &b"hello"[..]));
    let sums = client.reduction("sums");
    let mut part = [1.0, 2.0];
    assert_eq!(sums.seat(0, 1).reduce(ReduceOp::Sum, &mut part, LONG).unwrap(), 0);
    assert_eq!((sums.last_into(&mut row).unwrap(), row), (0, [1.0, 2.0]));
}
