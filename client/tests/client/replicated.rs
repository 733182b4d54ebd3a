//! The client of a real cluster: three engines in this process, and a register in a directory.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use catena_client::operator::{NodeStatus, Operator, OperatorError};
use catena_client::{Builder, Client, CounterOp, ReadFrom, Reply};
use catena_engine::{Cluster, ClusterSettings, Engine, Heads};
use tempfile::TempDir;

use crate::LONG;

/// Engines, and the directory with their cluster's record.
struct Nodes {
    engines: Vec<Option<Engine>>,
    /// Declared after the engines, which use it when they stop.
    directory: TempDir,
}

impl Nodes {
    /// Starts a cluster with this many members.
    fn start(count: usize) -> Nodes {
        let nodes = Nodes { directory: tempfile::tempdir().unwrap(), engines: Vec::new() };
        let replicas = u32::try_from(count).unwrap();
        let start = |at| nodes.builder(at, replicas).start().expect("an engine starts on loopback");
        let engines = (0..count).map(|at| Some(start(at))).collect();
        let nodes = Nodes { engines, ..nodes };
        (0..count).for_each(|at| _ = nodes.wait(at, |status| status.members.len() == count));
        nodes
    }

    fn builder(&self, at: usize, replicas: u32) -> catena_engine::Builder {
        let location = format!("file://{}", self.directory.path().display()).parse().unwrap();
        // The chains change only through what a test does.
        let heads = Heads::One;
        let settings =
            ClusterSettings { replicas, min_members: 1, heads, ..ClusterSettings::default() };
        let cluster = Cluster::at(location).create(settings).node_name(format!("node-{at}"));
        Engine::builder().cores(1 + at % 2).shards(8).cluster(cluster)
    }

    fn engine(&self, at: usize) -> &Engine {
        self.engines[at].as_ref().expect("it was not stopped")
    }

    fn control(&self, at: usize) -> String {
        self.engine(at).control_address().unwrap().to_string()
    }

    fn operator(&self, at: usize) -> Operator {
        Operator::connect(&self.control(at), LONG).unwrap()
    }

    /// Waits until the status of a node is as wanted.
    fn wait(&self, at: usize, is_wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        let (mut operator, start) = (self.operator(at), Instant::now());
        loop {
            let status = operator.status().unwrap();
            if status.active && is_wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < LONG, "it stays {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The place of the record.
    fn place(&self) -> String {
        format!("file://{}", self.directory.path().display())
    }

    fn seeds(&self) -> String {
        let engines = self.engines.iter().flatten();
        engines.map(|engine| engine.addresses()[0].to_string()).collect::<Vec<_>>().join(",")
    }

    /// The node that is the head of most shards.
    fn busiest(&self) -> usize {
        let heads = |at: &usize| {
            let shards = self.operator(*at).status().unwrap().shards;
            shards.iter().filter(|shard| shard.role == "head").count()
        };
        (0..self.engines.len()).max_by_key(heads).unwrap()
    }
}

/// A client with a timeout that is long enough for a failover on a busy machine.
fn patient() -> Builder {
    Client::builder().call_timeout(LONG)
}

#[test]
fn the_cluster_is_found_through_any_seed_or_its_record() {
    let nodes = Nodes::start(3);
    let client = Client::connect(nodes.engine(2).addresses()[0]).unwrap();
    let cluster = client.cluster().unwrap();
    let mut names: Vec<&str> = cluster.members.iter().map(|member| &*member.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["node-0", "node-1", "node-2"]);
    assert_eq!((cluster.epoch, cluster.shards()), (3, 8));
    for at in 0..3 {
        let member = cluster.members.iter().find(|member| member.name == format!("node-{at}"));
        let member = member.unwrap();
        assert_eq!(member.addresses, nodes.engine(at).addresses());
        assert_eq!(member.control, nodes.control(at));
    }
    assert!((0..8).all(|shard| cluster.chain(shard).len() == 3));
    assert_eq!(cluster.chain(8).len(), 0);
    let counters = (0..50).map(|at| client.counter(&format!("counter {at}")));
    for counter in counters {
        assert_eq!(counter.add(2).unwrap(), 2);
        assert_eq!(counter.get().unwrap(), 2);
    }
    // A client that reads from other members reads the same.
    let other = Client::builder().read_from(ReadFrom::Any).connect(nodes.seeds()).unwrap();
    for at in 0..50 {
        assert_eq!(other.counter(&format!("counter {at}")).get().unwrap(), 2);
    }
    assert_eq!(other.objects("counter ").count(), 50);
    assert_eq!(other.usage("counter ").unwrap().objects, 50);
    assert_eq!(other.delete_prefix("counter 1").unwrap(), 11);
    if cfg!(feature = "register") {
        for place in [nodes.place(), format!("{}#catena", nodes.place())] {
            let client = Client::connect(place).unwrap();
            assert_eq!(client.counter("counter 2").get().unwrap(), 2);
        }
    }
}

#[cfg(feature = "register")]
#[test]
fn a_record_that_the_caller_fetched_is_enough() {
    let nodes = Nodes::start(2);
    let record = nodes.directory.path().join("catena/config.json");
    let record = std::fs::read_to_string(record).unwrap();
    let client = Client::connect_record(&record).unwrap();
    assert_eq!(client.counter("visits").add(1).unwrap(), 1);
    assert_eq!(client.cluster().unwrap().members.len(), 2);
    let error = Client::connect_record("{}").unwrap_err().to_string();
    assert!(error.starts_with("no cluster is found through `the given record`: "), "{error}");
    let error = Client::connect(format!("{}#other", nodes.place())).unwrap_err().to_string();
    assert!(error.contains("other/config.json"), "{error}");
}

#[test]
fn an_engine_that_stops_meanwhile_loses_no_update() {
    const CLIENTS: i64 = 16;
    let mut nodes = Nodes::start(3);
    let (seeds, busiest) = (nodes.seeds(), nodes.busiest());
    let (added, over) = (AtomicI64::new(0), AtomicBool::new(false));
    let shared = patient().connect(&seeds).unwrap();
    let await_added = |more: i64| {
        let (until, start) = (added.load(Ordering::Relaxed) + more, Instant::now());
        while added.load(Ordering::Relaxed) < until {
            assert!(start.elapsed() < LONG, "nothing is added");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    std::thread::scope(|scope| {
        for nth in 0..CLIENTS {
            let (seeds, added, over, shared) = (&seeds, &added, &over, &shared);
            scope.spawn(move || {
                let client = match nth % 4 {
                    0 | 1 => shared.clone(),
                    _ => patient().connect(seeds).unwrap(),
                };
                let (all, own) = (client.counter("all"), client.counter(&format!("own {nth}")));
                let mut count = 0;
                while !over.load(Ordering::Relaxed) {
                    // Single calls and pipelines.
                    count += 1;
                    if nth % 2 == 0 {
                        all.add(1).unwrap();
                        assert_eq!(own.add(1).unwrap(), count);
                    } else {
                        let mut pipeline = client.pipeline().timeout(LONG);
                        pipeline.push(&all, CounterOp::Add { delta: 1 });
                        pipeline.push(&own, CounterOp::Add { delta: 1 });
                        let replies = pipeline.run().all_ok().unwrap();
                        assert_eq!(replies.get(1).unwrap(), Reply::Int(count));
                    }
                    added.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        await_added(500);
        nodes.engines[busiest] = None;
        await_added(2_000);
        over.store(true, Ordering::Relaxed);
    });
    let left = nodes.engines.iter().position(Option::is_some).unwrap();
    let status = nodes.wait(left, |status| status.members.len() == 2);
    assert!(status.members.iter().all(|member| member.name != format!("node-{busiest}")));
    let client = patient().connect(&seeds).unwrap();
    let total = added.load(Ordering::Relaxed);
    assert_eq!(client.counter("all").get().unwrap(), total, "nothing lost, nothing doubled");
    let own = (0..CLIENTS).map(|nth| client.counter(&format!("own {nth}")).get().unwrap());
    assert_eq!(own.sum::<i64>(), total);
}

#[test]
fn a_wait_and_a_lock_outlive_their_head() {
    let mut nodes = Nodes::start(3);
    let (seeds, busiest) = (nodes.seeds(), nodes.busiest());
    let client = patient().connect(&seeds).unwrap();
    let guard = client.lock("lock").lock(LONG).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let other = patient().connect(&seeds).unwrap();
            let guard = other.lock("lock").lock(4 * LONG).unwrap();
            let token = guard.token();
            guard.unlock().unwrap();
            token
        });
        let start = Instant::now();
        while client.lock("lock").state().unwrap().waiting == 0 {
            assert!(start.elapsed() < LONG, "no client waits");
        }
        nodes.engines[busiest] = None;
        // Still held, and with one waiter.
        let state = client.lock("lock").state().unwrap();
        assert_eq!((state.holders, state.waiting), (1, 1));
        let token = guard.token();
        assert!(guard.unlock().unwrap());
        assert!(waiting.join().unwrap() > token);
    });
}

#[test]
fn operators_read_the_state_of_nodes_and_remove_them() {
    let nodes = Nodes::start(3);
    let client = patient().connect(nodes.seeds()).unwrap();
    client.counter("visits").add(1).unwrap();
    let mut operator = nodes.operator(0);
    let status = operator.status().unwrap();
    assert_eq!((&*status.name, &*status.standing), ("node-0", "member"));
    assert_eq!((status.members.len(), status.shards.len()), (3, 8));
    assert!(status.shards.iter().all(|shard| shard.applied == shard.committed));
    let other = status.members.iter().find(|member| member.name == "node-1").unwrap().node;
    operator.remove(other).unwrap();
    let status = nodes.wait(0, |status| status.members.len() == 2);
    assert_eq!(status.epoch, 4);
    assert_eq!(client.counter("visits").add(1).unwrap(), 2);
    let error = operator.remove(other).unwrap_err();
    assert!(matches!(error, OperatorError::Refused { .. }), "{error:?}");
    // It would wait before it rejoins.
    let (mut removed, start) = (nodes.operator(1), Instant::now());
    while removed.status().unwrap().standing != "removed" {
        assert!(start.elapsed() < LONG, "it learns that it was removed");
    }
    removed.join().unwrap();
    nodes.wait(0, |status| status.members.len() == 3);
    assert_eq!(client.counter("visits").add(1).unwrap(), 3);
    // A port for clients accepts no operators.
    let address = nodes.engine(0).addresses()[0].to_string();
    let error = Operator::connect(&address, LONG).unwrap_err();
    assert!(matches!(error, OperatorError::Unwelcome { .. }), "{error:?}");
    let error = Operator::connect("nowhere", LONG).unwrap_err();
    assert!(matches!(error, OperatorError::BadAddress { .. }), "{error:?}");
}
