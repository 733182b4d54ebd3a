//! Which requests are retried, with which numbers, and which are not.

use std::time::{Duration, Instant};

use catena_client::Contribution;
use catena_client::{Client, Elements, Error, Loss, ReduceOp, Retry, Status};
use catena_protocol::Reply;

use crate::peer::{Peer, fault};

#[test]
fn a_request_whose_reply_was_lost_is_retried_with_its_number() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let open = conn.next().unwrap();
        let add = conn.next().unwrap();
        // The client cannot know whether anything was executed before the cut.
        drop(conn);
        let mut conn = stage.greet();
        let (again_open, again) = conn.request_and_open();
        let again_open = again_open.expect("the peer has not confirmed that the session is open");
        assert_eq!((open.header, open.op()), (again_open.header, again_open.op()));
        assert_eq!((add.header, add.op()), (again.header, again.op()));
        conn.reply(&again, &Reply::Int(7));
        let lost = conn.request();
        assert_eq!(lost.ticket(), (add.header.session, 2), "the next one has the next number");
        drop(conn);
        let mut conn = stage.greet();
        let (open, again) = conn.request_and_open();
        assert!(open.is_none(), "a session that was open and is gone must not be made anew");
        assert_eq!((lost.header, lost.op()), (again.header, again.op()));
        conn.reply(&again, &Reply::Int(8));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counter = client.counter("visits");
    assert_eq!(counter.add(7).unwrap(), 7);
    assert_eq!(counter.add(1).unwrap(), 8);
    client.close();
    peer.join();
}

#[test]
fn a_read_whose_reply_was_lost_is_retried() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        conn.request();
        drop(conn);
        let mut conn = stage.greet();
        let again = conn.request();
        assert_eq!(again.header.session, 0);
        conn.reply(&again, &Reply::Int(4));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    assert_eq!(client.counter("visits").get().unwrap(), 4);
    client.close();
    peer.join();
}

#[test]
fn a_busy_engine_is_given_the_time_it_asks_for() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let first = conn.request();
        conn.refuse(&first, fault(Status::Busy, 30));
        let second = conn.request();
        assert_eq!(second.ticket(), first.ticket());
        conn.refuse(&second, fault(Status::Busy, 30));
        let third = conn.request();
        assert_eq!(third.ticket(), first.ticket());
        conn.reply(&third, &Reply::Int(1));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let start = Instant::now();
    assert_eq!(client.counter("visits").add(1).unwrap(), 1);
    assert!(start.elapsed() >= Duration::from_millis(60), "{:?}", start.elapsed());
    client.close();
    peer.join();
}

#[test]
fn an_engine_that_stays_busy_is_an_error_at_the_deadline() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        while let Some(asked) = conn.next() {
            conn.refuse(&asked, fault(Status::Busy, 1));
        }
    });
    let timeout = Duration::from_millis(100);
    let client = Client::builder().call_timeout(timeout).connect(peer.address).unwrap();
    let start = Instant::now();
    let error = client.counter("visits").get().unwrap_err();
    assert!(start.elapsed() < 3 * timeout, "{:?}", start.elapsed());
    assert_eq!((error.status(), error.retry()), (Some(Status::Busy), Retry::Later));
    client.close();
    peer.join();
}

#[test]
fn an_endless_pause_is_cut_at_the_deadline() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let asked = conn.request();
        conn.refuse(&asked, fault(Status::Busy, u64::MAX));
        assert!(conn.next().is_none());
    });
    let timeout = Duration::from_millis(100);
    let client = Client::builder().call_timeout(timeout).connect(peer.address).unwrap();
    let error = client.counter("visits").add(1).unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::Busy), Retry::Later));
    client.close();
    peer.join();
}

#[test]
fn a_full_node_is_asked_three_times() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        for _ in 0..3 {
            let asked = conn.request();
            assert_eq!(asked.header.number, 1);
            conn.refuse(&asked, fault(Status::OutOfMemory, 1 << 30));
        }
        assert_eq!(conn.serve(), 0);
    });
    let client = Client::connect(peer.address).unwrap();
    let error = client.cell("page").set(b"bytes").unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::OutOfMemory), Retry::Later));
    assert!(error.to_string().contains("set of cell `page`"), "{error}");
    client.close();
    peer.join();
}

#[test]
fn a_session_that_expired_in_its_sleep_is_replaced() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let first = conn.request();
        conn.reply(&first, &Reply::Int(1));
        let late = conn.request();
        assert_eq!(late.ticket(), (first.header.session, 2));
        conn.refuse(&late, fault(Status::SessionUnknown, 0));
        // It is born by the clock of a new Welcome.
        let mut conn = stage.greet();
        let again = conn.request();
        assert_ne!(again.header.session, first.header.session);
        assert_eq!(again.header.number, 1);
        conn.reply(&again, &Reply::Int(2));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counter = client.counter("visits");
    assert_eq!(counter.add(1).unwrap(), 1);
    assert_eq!(counter.add(1).unwrap(), 2);
    client.close();
    peer.join();
}

#[test]
fn a_session_that_is_lost_with_the_reply_is_an_error() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let first = conn.request();
        drop(conn);
        let mut conn = stage.greet();
        let again = conn.request();
        assert_eq!(again.ticket(), first.ticket());
        conn.refuse(&again, fault(Status::SessionUnknown, 0));
        let next = conn.request();
        assert_ne!(next.header.session, first.header.session, "the next call has a new one");
        conn.reply(&next, &Reply::Int(1));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let error = client.counter("visits").add(1).unwrap_err();
    assert!(matches!(error, Error::SessionLost { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Unknown);
    assert_eq!(client.counter("visits").add(1).unwrap(), 1);
    client.close();
    peer.join();
}

#[test]
fn a_session_that_cannot_be_opened_is_the_reason_given() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        for _ in 0..3 {
            let open = conn.next().unwrap();
            conn.refuse(&open, fault(Status::TooManySessions, 65_536));
            let add = conn.next().unwrap();
            conn.refuse(&add, fault(Status::SessionUnknown, 0));
        }
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let error = client.counter("visits").add(1).unwrap_err();
    assert_eq!(error.status(), Some(Status::TooManySessions), "{error}");
    client.close();
    peer.join();
}

#[test]
fn a_wait_that_was_given_up_does_not_bind_the_next_request() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let wait = conn.request();
        assert_eq!(wait.header.deadline_ms, 50);
        assert!(conn.next().is_none(), "the client gives up");
        let mut conn = stage.greet();
        let next = conn.request();
        // A request of the old session may still wait inside the engine, and must not be
        // acknowledged.
        assert_ne!(next.header.session, wait.header.session);
        conn.reply(&next, &Reply::Int(1));
        conn.serve();
    });
    let client =
        Client::builder().call_timeout(Duration::from_millis(100)).connect(peer.address).unwrap();
    let contribution = Contribution {
        party: 0,
        parties: 2,
        round: 0,
        op: ReduceOp::Sum,
        hold_ms: 0,
        loss: Loss::Wait,
        elements: Elements::F64(&[1.0]),
    };
    let wait = Duration::from_millis(50);
    let error = client.reduction("sums").contribute(contribution, wait).unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    assert_eq!(client.counter("visits").add(1).unwrap(), 1);
    client.close();
    peer.join();
}

#[test]
fn a_wait_that_may_continue_after_a_refusal_does_not_bind_the_next_request() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let wait = conn.request();
        drop(conn);
        let mut conn = stage.greet();
        let again = conn.request();
        assert_eq!(again.ticket(), wait.ticket());
        conn.refuse(&again, fault(Status::Busy, 10_000));
        assert!(conn.next().is_none(), "the client gives up");
        let mut conn = stage.greet();
        let next = conn.request();
        assert_ne!(next.header.session, wait.header.session);
        conn.reply(&next, &Reply::Int(1));
        conn.serve();
    });
    let client =
        Client::builder().call_timeout(Duration::from_millis(100)).connect(peer.address).unwrap();
    let error = client.latch("done").wait(2, Duration::from_millis(50)).unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::Busy), Retry::Unknown));
    assert_eq!(client.counter("visits").add(1).unwrap(), 1);
    client.close();
    peer.join();
}

#[test]
fn forgetting_sessions_begins_new_ones() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let first = conn.request();
        conn.reply(&first, &Reply::Int(1));
        let mut conn = stage.greet();
        let second = conn.request();
        assert_ne!(second.header.session, first.header.session);
        conn.reply(&second, &Reply::Int(2));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    client.counter("visits").add(1).unwrap();
    client.forget_sessions();
    client.counter("visits").add(1).unwrap();
    client.close();
    peer.join();
}

/// A node that says that it stops, and does, has stopped: it is not just out of reach.
#[test]
fn an_engine_that_has_shut_down_is_named_as_the_reason() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let first = conn.request();
        conn.refuse(&first, fault(Status::ShuttingDown, 0));
    });
    let builder = Client::builder().call_timeout(Duration::from_millis(300));
    let client = builder.connect(peer.address).unwrap();
    let error = client.counter("visits").add(1).unwrap_err();
    assert_eq!(error.status(), Some(Status::ShuttingDown), "{error}");
    client.close();
    peer.join();
}

#[test]
fn an_engine_that_shuts_down_is_retried() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let first = conn.request();
        conn.refuse(&first, fault(Status::ShuttingDown, 0));
        let mut conn = stage.greet();
        let again = conn.request();
        assert_eq!(again.ticket(), first.ticket());
        conn.reply(&again, &Reply::Int(1));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    assert_eq!(client.counter("visits").add(1).unwrap(), 1);
    client.close();
    peer.join();
}
