//! The client of a cluster: which members it asks, which topologies it accepts, what it retries
//! where.

use std::time::{Duration, Instant};

use catena_client::{Client, CounterOp, Error, OpCode, ReadFrom, Reply, Retry, Status};

use crate::LONG;
use crate::members::{Cluster, Mode};
use crate::peer::name_in;

const ADD: OpCode = OpCode::CounterAdd;
const GET: OpCode = OpCode::CounterGet;

/// A name in this shard, of four.
fn name(shard: u16) -> String {
    name_in(shard, 4)
}

fn client(cluster: &Cluster) -> Client {
    Client::connect(cluster.seeds()).unwrap()
}

/// A client that knows three members, and has sent an update to member 1 as the head of shard 1.
fn begun(cluster: &Cluster) -> Client {
    let client = client(cluster);
    assert_eq!(client.counter(&name(1)).add(1).unwrap(), 1);
    assert_eq!(cluster.asked(ADD), [(1, cluster.asked(ADD)[0].1)]);
    client
}

#[test]
fn updates_go_to_the_heads_and_name_no_epoch() {
    let cluster = Cluster::start(3, 4);
    let client = client(&cluster);
    for shard in 0..4 {
        assert_eq!(client.counter(&name(shard)).add(1).unwrap(), 1);
        assert_eq!(client.counter(&name(shard)).get().unwrap(), 1);
    }
    let asked = |op| cluster.asked(op).iter().map(|(member, _)| *member).collect::<Vec<_>>();
    assert_eq!((asked(ADD), asked(GET)), (vec![0, 1, 2, 0], vec![0, 1, 2, 0]));
    let state = cluster.state();
    assert!(state.asked.iter().all(|(_, header)| header.epoch == 0));
    assert_eq!(state.connections, [1, 1, 1], "the one that greeted is of use");
}

#[test]
fn a_node_that_is_no_longer_the_head_refuses_and_the_next_one_gets_the_same_request() {
    for outside in [false, true] {
        let cluster = Cluster::start(3, 4);
        let client = begun(&cluster);
        if outside {
            // It knows only that it is no longer a member.
            cluster.set(1, Mode::Outside);
            cluster.tell(&[0, 2], 2, &[0, 2]);
        } else {
            cluster.tell(&[0, 1, 2], 2, &[0, 2]);
        }
        assert_eq!(client.counter(&name(1)).add(1).unwrap(), 2);
        let asked = cluster.asked(ADD);
        let (first, last) = (asked[1], asked[asked.len() - 1]);
        assert_eq!((first.0, last.0), (1, 2));
        assert_eq!(first.1, last.1, "under the same session and number");
        assert_eq!(first.1.1, 2);
        assert_eq!(client.counter(&name(1)).add(1).unwrap(), 3, "and it is remembered");
        assert_eq!(cluster.asked(ADD).len(), asked.len() + 1);
    }
}

#[test]
fn an_older_epoch_is_rejected() {
    let cluster = Cluster::start(3, 4);
    cluster.tell(&[0, 1, 2], 7, &[0, 1, 2]);
    let timeout = Duration::from_secs(1);
    let client = Client::builder().call_timeout(timeout).connect(cluster.seeds()).unwrap();
    client.counter(&name(1)).add(1).unwrap();
    // One member reports an old epoch, in which it is the head.
    cluster.tell(&[0], 6, &[0]);
    cluster.tell(&[1, 2], 8, &[1, 2]);
    cluster.set(0, Mode::Outside);
    for shard in 0..4 {
        client.counter(&name(shard)).add(1).unwrap();
    }
    let asked = cluster.asked(ADD);
    assert!(asked.iter().filter(|(member, _)| *member == 0).count() <= 1, "{asked:?}");
    assert_eq!((0..4).map(|shard| cluster.state().count(shard)).sum::<i64>(), 5);
    // Only that member is left, and its topology is outdated.
    cluster.kill(1);
    cluster.kill(2);
    let error = client.counter(&name(0)).add(1).unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert_eq!(cluster.state().count(0), 1);
}

#[test]
fn a_head_that_dies_before_its_reply_is_replaced_by_the_next() {
    let cluster = Cluster::start(3, 4);
    let other = begun(&cluster);
    // It is executed, and only the reply is lost.
    cluster.set(1, Mode::Breaks);
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| client(&cluster).counter(&name(1)).add(10).unwrap());
        cluster.await_asked(1, ADD);
        let seen = Instant::now();
        while cluster.state().count(1) < 11 {
            assert!(seen.elapsed() < LONG);
        }
        cluster.kill(1);
        cluster.tell(&[0, 2], 2, &[0, 2]);
        assert_eq!(adding.join().unwrap(), 11);
    });
    assert_eq!(cluster.state().count(1), 11, "once");
    let asked = cluster.asked(ADD);
    assert_eq!(asked[asked.len() - 1].0, 2);
    // A client that was idle during the change notices it as well.
    assert_eq!(other.counter(&name(1)).add(1).unwrap(), 12);
}

#[test]
fn a_silent_head_is_noticed() {
    for mode in [Mode::CutOff, Mode::Frozen] {
        let cluster = Cluster::start(3, 4);
        let client = begun(&cluster);
        cluster.set(1, mode);
        // The silent member would report the old epoch.
        cluster.tell(&[0, 2], 2, &[0, 2]);
        assert_eq!(client.counter(&name(1)).add(1).unwrap(), 2);
        let asked = cluster.asked(ADD);
        let last = asked[asked.len() - 1];
        assert_eq!((last.0, last.1.1), (2, 2));
        if mode == Mode::CutOff {
            assert_eq!(asked[1..asked.len() - 1], [(1, last.1)], "asked once, and left");
        }
    }
}

#[test]
fn a_wait_continues_at_the_new_head_with_its_remaining_time() {
    let cluster = Cluster::start(3, 4);
    let client = begun(&cluster);
    cluster.set(1, Mode::CutOff);
    cluster.tell(&[0, 2], 2, &[0, 2]);
    client.latch(&name(1)).wait(2, Duration::from_secs(60)).unwrap();
    let state = cluster.state();
    let waits = state.asked.iter().filter(|(_, header)| header.op == OpCode::LatchWait.to_wire());
    let [(first, before), (second, after)] = waits.collect::<Vec<_>>()[..] else {
        panic!("asked twice")
    };
    assert_eq!((first, second), (&1, &2));
    assert_eq!((before.session, before.number), (after.session, after.number));
    assert_eq!(before.deadline_ms, 60_000);
    assert!(after.deadline_ms <= 59_000, "{}", after.deadline_ms);
}

#[test]
fn after_a_call_without_a_reply_the_next_one_refreshes_first() {
    let cluster = Cluster::start(3, 4);
    let timeout = Duration::from_millis(300);
    let client = Client::builder().call_timeout(timeout).connect(cluster.seeds()).unwrap();
    client.counter(&name(1)).add(1).unwrap();
    cluster.set(1, Mode::CutOff);
    // Too short for a refresh.
    let error = client.counter(&name(1)).add(1).unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Unknown);
    let start = format!("add of counter `{}` at node-1 ({}): ", name(1), cluster.addresses[1]);
    assert!(error.to_string().starts_with(&start), "{error}");
    cluster.tell(&[0, 2], 2, &[0, 2]);
    assert_eq!(client.counter(&name(1)).add(1).unwrap(), 2);
    let asked = cluster.asked(ADD);
    assert_eq!(asked.iter().filter(|(member, _)| *member == 1).count(), 2, "{asked:?}");
}

#[test]
fn a_member_that_joins_delays_no_call_and_is_known_when_needed() {
    let cluster = Cluster::start(2, 4);
    cluster.tell(&[0, 1], 1, &[0]);
    let client = Client::connect(cluster.addresses[0]).unwrap();
    client.counter(&name(0)).add(1).unwrap();
    cluster.tell(&[0, 1], 2, &[0, 1]);
    client.counter(&name(0)).add(1).unwrap();
    assert_eq!(cluster.state().connections, [1, 0]);
    // The reply was of a newer epoch, so the next call refreshes the topology.
    client.counter(&name(0)).add(1).unwrap();
    cluster.kill(0);
    cluster.tell(&[1], 3, &[1]);
    assert_eq!(client.counter(&name(0)).add(1).unwrap(), 4);
}

#[test]
fn connections_outlive_changes_that_do_not_affect_them() {
    let cluster = Cluster::start(3, 4);
    let client = client(&cluster);
    for shard in 0..4 {
        client.counter(&name(shard)).add(1).unwrap();
    }
    cluster.kill(2);
    cluster.tell(&[0, 1], 2, &[0, 1]);
    let before = cluster.state().connections.clone();
    for shard in 0..4 {
        assert_eq!(client.counter(&name(shard)).add(1).unwrap(), 2);
    }
    let after = cluster.state().connections.clone();
    // One connection for the refresh; the lanes stay the same.
    assert_eq!(after[0] + after[1], before[0] + before[1] + 1, "{before:?} {after:?}");
}

#[test]
fn a_pipeline_follows_its_shards_while_it_runs() {
    const ROUNDS: i64 = 2_000;
    let cluster = Cluster::start(3, 4);
    let client = client(&cluster);
    let counters: Vec<_> = (0..4).map(|shard| client.counter(&name(shard))).collect();
    let mut pipeline = client.pipeline();
    for _ in 0..ROUNDS {
        counters.iter().for_each(|counter| _ = pipeline.push(counter, CounterOp::Add { delta: 1 }));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while cluster.state().count(1) < ROUNDS / 4 {
                assert!(start.elapsed() < LONG, "the pipeline runs");
            }
            cluster.kill(1);
            cluster.tell(&[0, 2], 2, &[0, 2]);
            while cluster.state().count(1) < ROUNDS / 2 {
                assert!(start.elapsed() < LONG, "the pipeline goes on");
            }
            cluster.tell(&[0, 2], 3, &[2]);
        });
        let replies = pipeline.run();
        for (place, reply) in replies.iter().enumerate() {
            let round = i64::try_from(place).unwrap() / 4;
            assert_eq!(reply.unwrap(), Reply::Int(round + 1), "in order, once");
        }
    });
    let state = cluster.state();
    assert!((0..4).all(|shard| state.count(shard) == ROUNDS));
}

#[test]
fn requests_to_all_shards_go_to_all_heads() {
    let cluster = Cluster::start(3, 4);
    let client = client(&cluster);
    let mut pipeline = client.pipeline();
    let counters: Vec<_> = (0..4).map(|shard| client.counter(&name(shard))).collect();
    counters.iter().for_each(|counter| _ = pipeline.push(counter, CounterOp::Get));
    assert_eq!(pipeline.run().all_ok().unwrap().len(), 4);
    let mut asked: Vec<usize> = cluster.asked(GET).iter().map(|(member, _)| *member).collect();
    asked.sort_unstable();
    assert_eq!(asked, [0, 0, 1, 2]);
}

#[test]
fn reads_go_to_any_member_and_stay_there() {
    let cluster = Cluster::start(3, 4);
    let (mut elsewhere, mut clients) = (0, 0);
    while elsewhere < 3 {
        clients += 1;
        assert!(clients < 100, "{elsewhere} of {clients} clients read elsewhere");
        let client = Client::builder().read_from(ReadFrom::Any).connect(cluster.seeds()).unwrap();
        let before = cluster.asked(GET).len();
        for _ in 0..5 {
            client.counter(&name(1)).get().unwrap();
        }
        let asked: Vec<usize> =
            cluster.asked(GET)[before..].iter().map(|(member, _)| *member).collect();
        assert_eq!(asked, [asked[0]; 5]);
        elsewhere += usize::from(asked[0] != 1);
        // Updates go to the head, and so do the reads in the same pipeline.
        let counter = client.counter(&name(1));
        let mut pipeline = client.pipeline();
        pipeline.push(&counter, CounterOp::Add { delta: 1 });
        pipeline.push(&counter, CounterOp::Get);
        pipeline.run().all_ok().unwrap();
        assert_eq!(cluster.asked(GET)[before + 5].0, 1);
    }
}

#[test]
fn a_read_that_a_member_cannot_serve_goes_to_the_head() {
    for mode in [Mode::Busy, Mode::Outside, Mode::Breaks, Mode::CutOff] {
        let cluster = Cluster::start(3, 4);
        [0, 2].into_iter().for_each(|member| cluster.set(member, mode));
        let mut met = 0;
        while met < 2 {
            let client =
                Client::builder().read_from(ReadFrom::Any).connect(cluster.seeds()).unwrap();
            let before = cluster.asked(GET).len();
            client.counter(&name(1)).get().unwrap();
            let asked: Vec<usize> =
                cluster.asked(GET)[before..].iter().map(|(member, _)| *member).collect();
            if asked[0] == 1 {
                continue;
            }
            met += 1;
            let tries = if mode == Mode::Busy { 2 } else { 1 };
            assert_eq!(asked, [vec![asked[0]; tries], vec![1]].concat(), "{mode:?}");
            // It is avoided for a while.
            client.counter(&name(1)).get().unwrap();
            assert_eq!(cluster.asked(GET).last().unwrap().0, 1);
        }
    }
}

#[test]
fn a_busy_head_is_retried() {
    let cluster = Cluster::start(1, 4);
    cluster.set(0, Mode::Busy);
    let timeout = Duration::from_millis(100);
    let client = Client::builder()
        .read_from(ReadFrom::Any)
        .call_timeout(timeout)
        .connect(cluster.seeds())
        .unwrap();
    let error = client.counter("visits").get().unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(Status::Busy), Retry::Later));
    cluster.set(0, Mode::Serves);
    assert_eq!(client.counter("visits").get().unwrap(), 0);
}

#[test]
fn seeds_may_be_dead_or_know_nothing() {
    let cluster = Cluster::start(3, 4);
    cluster.kill(0);
    cluster.tell(&[1, 2], 2, &[1, 2]);
    let [dead, alive, _] = cluster.addresses[..] else { unreachable!("there are three") };
    let client = Client::connect(format!("nowhere,{dead},{alive}")).unwrap();
    assert_eq!(client.counter(&name(1)).add(1).unwrap(), 1);
    // A node that has not joined its cluster yet, and does not know the members.
    let cluster = Cluster::start(3, 4);
    {
        let mut state = cluster.state();
        state.modes[0] = Mode::Outside;
        state.views[0].epoch = 0;
        state.views[0].members = Default::default();
    }
    cluster.tell(&[1, 2], 2, &[1, 2]);
    let client = Client::connect(cluster.seeds()).unwrap();
    assert_eq!(client.counter(&name(1)).add(1).unwrap(), 1);
}

#[test]
fn a_new_head_with_a_clock_behind_loses_nothing() {
    let cluster = Cluster::start(3, 4);
    let client = client(&cluster);
    // The session is born by the clock of a head that dies while the first request is in flight.
    client.counter(&name(0)).get().unwrap();
    client.counter(&name(1)).get().unwrap();
    cluster.state().behind_us[2] = 2_000_000;
    cluster.set(1, Mode::CutOff);
    cluster.tell(&[0, 2], 2, &[0, 2]);
    assert_eq!(client.counter(&name(1)).add(1).unwrap(), 1);
    let asked = cluster.asked(ADD);
    let first = asked[0];
    assert_eq!(first.0, 1);
    assert!(asked.len() > 2 && asked.iter().all(|(_, ticket)| *ticket == first.1), "{asked:?}");
    assert_eq!(cluster.state().count(1), 1);
}

#[test]
fn a_used_session_that_no_member_knows_is_an_error() {
    let cluster = Cluster::start(3, 4);
    let client = client(&cluster);
    client.counter(&name(1)).get().unwrap();
    cluster.set(1, Mode::CutOff);
    cluster.state().forgets = true;
    cluster.tell(&[0, 2], 2, &[0, 2]);
    let error = client.counter(&name(1)).add(1).unwrap_err();
    assert!(matches!(error, Error::SessionLost { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Unknown);
}

#[test]
fn a_new_session_is_born_by_the_clock_of_its_head() {
    let cluster = Cluster::start(3, 4);
    // Further behind than the margin by which a session's birth is set back.
    cluster.state().behind_us[1] = 60_000_000;
    let client = client(&cluster);
    assert_eq!(client.counter(&name(0)).add(1).unwrap(), 1);
    assert_eq!(client.counter(&name(1)).add(1).unwrap(), 1);
    let asked = cluster.asked(ADD);
    assert!(asked.len() <= 3, "{asked:?}");
}

/// A cluster that was created anew has nothing of what clients had put into the one before. A client
/// that had a session there is told so, once, whatever the epochs are.
#[test]
fn a_cluster_that_was_created_anew_is_reported_once() {
    for epoch in [1, 9] {
        let cluster = Cluster::start(2, 2);
        cluster.tell(&[0, 1], 5, &[0, 1]);
        let [updates, reads, idle] = [(); 3].map(|()| client(&cluster));
        for client in [&updates, &reads] {
            client.counter(&name_in(0, 2)).add(1).unwrap();
        }
        assert_eq!(idle.counter(&name_in(0, 2)).get().unwrap(), 2);
        cluster.create_anew(epoch);
        let error = updates.counter(&name_in(0, 2)).add(1).unwrap_err();
        assert!(matches!(error, Error::SessionLost { .. }), "{error:?}");
        let error = reads.counter(&name_in(0, 2)).get().unwrap_err();
        assert!(matches!(error, Error::SessionLost { .. }), "{error:?}");
        assert_eq!(idle.counter(&name_in(0, 2)).get().unwrap(), 0, "it had nothing to lose");
        assert_eq!(cluster.state().count(0), 0, "nothing was executed");
        assert_eq!(updates.counter(&name_in(0, 2)).add(1).unwrap(), 1);
        assert_eq!(reads.counter(&name_in(0, 2)).get().unwrap(), 1);
    }
}

#[test]
fn a_client_that_forgot_its_sessions_accepts_any_epoch() {
    let cluster = Cluster::start(2, 4);
    cluster.tell(&[0, 1], 9, &[0, 1]);
    let client = client(&cluster);
    client.counter(&name(1)).add(1).unwrap();
    cluster.tell(&[0, 1], 1, &[0]);
    client.forget_sessions();
    client.counter(&name(1)).add(1).unwrap();
    let asked = cluster.asked(ADD);
    assert_eq!((asked[1].0, asked[1].1.1), (0, 1));
    assert_ne!(asked[0].1.0, asked[1].1.0);
}
