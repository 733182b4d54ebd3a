//! Pipelines: order, windows, single failures, cut connections, full sockets.

use std::cmp::Reverse;
use std::collections::HashSet;

use catena_client::{
    CellOp, Client, CounterOp, Elements, Error, ItemsBuf, Reply, Retry, Scalar, Status, Swapped,
};
use catena_protocol::Op;
use catena_protocol::op::SessionOp;

use crate::engine;
use crate::peer::{Asked, Peer, Stage, fault, name_in};

const ADD: CounterOp = CounterOp::Add { delta: 1 };

#[test]
fn replies_come_in_order_whatever_the_engine_does() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let mut asked: Vec<Asked> = (0..100).map(|_| conn.request()).collect();
        asked.reverse();
        for asked in &asked {
            conn.reply(asked, &Reply::Int(asked.header.number.try_into().unwrap()));
        }
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counter = client.counter("visits");
    let mut pipeline = client.pipeline();
    for place in 0..100 {
        assert_eq!(pipeline.push(&counter, ADD), place);
    }
    let replies = pipeline.run();
    let values: Vec<_> = replies.iter().map(Result::unwrap).collect();
    assert_eq!(values, (1..=100).map(Reply::Int).collect::<Vec<_>>());
    drop(replies);
    assert_eq!(counter.add(1).unwrap(), 101);
    client.close();
    peer.join();
}

#[test]
fn replies_of_two_shards_overtake_one_another() {
    let peer = Peer::start(|mut stage| {
        stage.welcome.shards = 2;
        let mut conn = stage.greet();
        let mut asked: Vec<Asked> = (0..20).map(|_| conn.request()).collect();
        // Replies for shard 1 first; numbers begin at 1 in each shard.
        asked.sort_by_key(|asked| Reverse(asked.header.shard.0));
        for asked in &asked {
            let number = i64::try_from(asked.header.number).unwrap();
            conn.reply(asked, &Reply::Int(100 * i64::from(asked.header.shard.0) + number));
        }
        // A reply with the number of another shard belongs to no request.
        let mut lie = conn.request();
        lie.header.shard.0 ^= 1;
        conn.reply(&lie, &Reply::Int(9));
        let mut conn = stage.greet();
        let again = conn.request();
        assert_eq!(again.ticket(), lie.ticket());
        conn.reply(&again, &Reply::Int(11));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counters = [0, 1].map(|shard| client.counter(&name_in(shard, 2)));
    let mut pipeline = client.pipeline();
    for _ in 0..10 {
        counters.iter().for_each(|counter| _ = pipeline.push(counter, ADD));
    }
    let replies = pipeline.run().all_ok().unwrap();
    for place in 0..20 {
        let value = 100 * (place % 2) + place / 2 + 1;
        assert_eq!(replies.get(usize::try_from(place).unwrap()).unwrap(), Reply::Int(value));
    }
    drop(replies);
    assert_eq!(counters[0].add(1).unwrap(), 11);
    drop(counters);
    client.close();
    peer.join();
}

#[test]
fn a_window_is_never_exceeded() {
    const WINDOW: u64 = 8;
    let peer = Peer::start(|mut stage| {
        stage.welcome.session_window = 8;
        let mut conn = stage.greet();
        for number in 1..=1000 {
            let asked = conn.request();
            assert_eq!(asked.header.number, number);
            let acked = asked.header.number - u64::from(asked.header.acked_gap);
            assert!(number - acked <= WINDOW, "{number} with {acked} acknowledged");
            conn.reply(&asked, &Reply::Int(number.try_into().unwrap()));
        }
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counter = client.counter("visits");
    let mut pipeline = client.pipeline();
    for _ in 0..1000 {
        pipeline.push(&counter, ADD);
    }
    let replies = pipeline.run().all_ok().unwrap();
    assert_eq!(replies.len(), 1000);
    assert_eq!(replies.get(999).unwrap(), Reply::Int(1000));
    drop(replies);
    client.close();
    peer.join();
}

#[test]
fn one_failure_leaves_the_others_alone() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        for place in 0..5 {
            let asked = conn.request();
            match place {
                1 => conn.refuse(&asked, fault(Status::Overflow, 0)),
                3 => conn.refuse(&asked, fault(Status::Busy, 1)),
                _ => conn.reply(&asked, &Reply::Int(place)),
            }
        }
        let again = conn.request();
        assert_eq!(again.header.number, 4);
        conn.reply(&again, &Reply::Int(3));
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counter = client.counter("visits");
    let nameless = client.counter("");
    let mut pipeline = client.pipeline();
    for _ in 0..5 {
        pipeline.push(&counter, ADD);
    }
    pipeline.push(&nameless, ADD);
    let replies = pipeline.run();
    for place in [0, 2, 3, 4] {
        assert_eq!(replies.get(place).unwrap(), Reply::Int(place.try_into().unwrap()));
    }
    let error = replies.get(1).unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::Overflow), Retry::Never));
    assert!(matches!(replies.get(5), Err(Error::BadName { .. })));
    assert_eq!(replies.all_ok().unwrap_err().status(), Some(Status::Overflow));
    client.close();
    peer.join();
}

#[test]
fn a_cut_pipeline_is_sent_again_under_its_numbers() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let sent: Vec<Asked> = (0..50).map(|_| conn.request()).collect();
        for asked in &sent[..20] {
            conn.reply(asked, &Reply::Int(asked.header.number.try_into().unwrap()));
        }
        // Half a reply, so that the cut is not a clean end.
        conn.send(&[0x7E, 0xCA, 1]);
        drop(conn);
        let mut conn = stage.greet();
        for asked in &sent[20..] {
            let again = conn.request();
            assert_eq!(again.ticket(), asked.ticket());
            assert_eq!(u64::from(again.header.acked_gap), again.header.number - 20);
            conn.reply(&again, &Reply::Int(again.header.number.try_into().unwrap()));
        }
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counter = client.counter("visits");
    let mut pipeline = client.pipeline();
    for _ in 0..50 {
        pipeline.push(&counter, ADD);
    }
    let replies = pipeline.run().all_ok().unwrap();
    let values: Vec<_> = replies.iter().map(Result::unwrap).collect();
    assert_eq!(values, (1..=50).map(Reply::Int).collect::<Vec<_>>());
    drop(replies);
    client.close();
    peer.join();
}

#[test]
fn an_expired_session_is_replaced_for_the_whole_pipeline() {
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        let first = conn.request();
        conn.reply(&first, &Reply::Int(0));
        for _ in 0..20 {
            let asked = conn.request();
            conn.refuse(&asked, fault(Status::SessionUnknown, 0));
        }
        assert!(conn.next().is_none());
        let mut conn = stage.greet();
        for number in 1..=20 {
            let asked = conn.request();
            assert_ne!(asked.header.session, first.header.session);
            assert_eq!(asked.header.number, number);
            conn.reply(&asked, &Reply::Int(number.try_into().unwrap()));
        }
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let counter = client.counter("visits");
    counter.add(1).unwrap();
    let mut pipeline = client.pipeline();
    for _ in 0..20 {
        pipeline.push(&counter, ADD);
    }
    pipeline.run().all_ok().unwrap();
    client.close();
    peer.join();
}

/// Replies to requests in pairs, the second before the first, with their numbers.
fn serve_by_pairs(stage: Stage) {
    let mut conn = stage.greet();
    let mut waiting: Option<Asked> = None;
    let mut sessions = HashSet::new();
    while let Some(asked) = conn.next() {
        match asked.op() {
            Op::Session(SessionOp::Open { .. }) => {
                assert!(sessions.insert(asked.header.session), "opened once a connection");
                conn.reply(&asked, &Reply::Unit);
            }
            Op::Session(SessionOp::Close) => {}
            _ => {
                if let Some(before) = waiting.take() {
                    conn.reply(&asked, &Reply::Int(asked.header.number.try_into().unwrap()));
                    conn.reply(&before, &Reply::Int(before.header.number.try_into().unwrap()));
                } else {
                    waiting = Some(asked);
                }
            }
        }
    }
}

#[test]
fn several_cores_work_at_the_same_time() {
    let peers = Peer::of_cores([serve_by_pairs as fn(Stage); 4]);
    let client = Client::connect(peers[0].address).unwrap();
    let counters: Vec<_> = (0..4).map(|shard| client.counter(&name_in(shard, 4))).collect();
    let mut pipeline = client.pipeline();
    for _ in 0..1000 {
        for counter in &counters {
            pipeline.push(counter, ADD);
        }
    }
    let replies = pipeline.run().all_ok().unwrap();
    for (place, reply) in replies.iter().map(Result::unwrap).enumerate() {
        assert_eq!(reply, Reply::Int(i64::try_from(place / 4).unwrap() + 1));
    }
    drop(replies);
    client.close();
    peers.into_iter().for_each(Peer::join);
}

#[test]
fn two_full_sockets_do_not_stop_each_other() {
    const BYTES: usize = 1 << 20;
    let peer = Peer::start(|stage| {
        let mut conn = stage.greet();
        // It reads nothing more until its reply, of the same size, is sent.
        for count in 0..64 {
            let asked = conn.request();
            let Op::Cell(CellOp::Swap { bytes }) = asked.op() else { panic!("not a swap") };
            assert_eq!(bytes.len(), BYTES);
            conn.reply(&asked, &Reply::Cell { version: count, bytes: Some(bytes) });
        }
        conn.serve();
    });
    let client = Client::connect(peer.address).unwrap();
    let cell = client.cell("page");
    let bytes = vec![7; BYTES];
    let mut pipeline = client.pipeline();
    for _ in 0..64 {
        pipeline.push(&cell, CellOp::Swap { bytes: &bytes });
    }
    let replies = pipeline.run().all_ok().unwrap();
    for (count, reply) in (0..).zip(replies.iter()) {
        assert_eq!(reply.unwrap(), Reply::Cell { version: count, bytes: Some(&bytes) });
    }
    drop(replies);
    client.close();
    peer.join();
}

#[test]
fn an_empty_pipeline_asks_nothing() {
    let peer = Peer::start(|stage| assert_eq!(stage.greet().serve(), 0));
    let client = Client::connect(peer.address).unwrap();
    assert!(client.pipeline().run().is_empty());
    client.close();
    peer.join();
}

#[test]
fn tickets_are_redeemed_for_values_of_the_right_types() {
    let (_engine, client) = engine(2);
    let (visits, flag, page) = (client.counter("visits"), client.flag("flag"), client.cell("page"));
    let (jobs, words, names) = (client.list("jobs"), client.map("words"), client.set("names"));
    let (lock, weights) = (client.lock("lock"), client.vector("weights"));
    let items: ItemsBuf = ["a", "b"].into_iter().collect();
    let mut pipeline = client.pipeline();
    let added = pipeline.on(&visits).add(5);
    let swapped = pipeline.on(&visits).compare_and_swap(5, 7);
    let was_set = pipeline.on(&flag).swap(true);
    let appended = pipeline.on(&page).append(b"hello");
    let text = pipeline.on(&page).get();
    let length = pipeline.on(&jobs).extend(items.items());
    let claimed = pipeline.on(&jobs).try_claim();
    let found = pipeline.on(&jobs).index_of("b");
    let replaced = pipeline.on(&words).put("key", "value");
    let value = pipeline.on(&words).get("key");
    let absent = pipeline.on(&words).get("other");
    let new = pipeline.on(&names).add("ada");
    let token = pipeline.on(&lock).try_lock();
    let none = pipeline.on(&lock).try_lock();
    let set = pipeline.on(&weights).set(2, &[1.5, 2.5]);
    let elements = pipeline.on(&weights).get();
    let sum = pipeline.on(&weights).sum();
    let refused = pipeline.on(&weights).add(&[1_i64]);
    let deleted = pipeline.on(&names).delete();
    assert_eq!((added.index(), pipeline.len()), (0, 19));
    let replies = pipeline.run();
    assert_eq!(replies.value(added).unwrap(), 5);
    assert_eq!(replies.value(swapped).unwrap(), Swapped { swapped: true, now: 7 });
    assert!(!replies.value(was_set).unwrap());
    let text = replies.value(text).unwrap();
    assert_eq!(
        (text.bytes, text.version),
        (&b"hello"[..], replies.value(appended).unwrap().version)
    );
    assert_eq!(replies.value(length).unwrap(), 2);
    let claim = replies.value(claimed).unwrap().unwrap();
    assert_eq!(claim.bytes, b"a");
    assert_eq!(replies.value(found).unwrap(), Some(0), "the claimed one is gone");
    assert!(!replies.value(replaced).unwrap());
    assert_eq!(replies.value(value).unwrap(), Some(&b"value"[..]));
    assert_eq!(replies.value(absent).unwrap(), None);
    assert!(replies.value(new).unwrap() && replies.value(deleted).unwrap());
    let token = replies.value(token).unwrap().unwrap();
    assert_eq!(replies.value(none).unwrap(), None);
    let vector = replies.value(elements).unwrap();
    assert_eq!((vector.version, vector.columns), (replies.value(set).unwrap(), 2));
    assert_eq!(vector.elements, Elements::F64(&[1.5, 2.5]));
    assert_eq!(replies.value(sum).unwrap(), Scalar::F64(4.0));
    let error = replies.value(refused).unwrap_err();
    assert_eq!(error.status(), Some(Status::Mismatch));
    assert!(lock.unlock(token).unwrap() && jobs.done(claim.token).unwrap());
}

#[test]
#[should_panic(expected = "the ticket is of another pipeline")]
fn a_ticket_of_another_pipeline_is_refused() {
    let (_engine, client) = engine(1);
    let visits = client.counter("visits");
    let (mut first, mut second) = (client.pipeline(), client.pipeline());
    let ticket = first.on(&visits).get();
    second.on(&visits).get();
    _ = second.run().value(ticket);
}
