//! Large objects and large replies in a cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_client::{Client, ReduceOp};
use catena_engine::{ClusterSettings, Engine, Heads};
use catena_protocol::op::FutureOp;
use catena_protocol::{ObjectId, Op, ShardMap, Status};

use crate::chains::wait_for;
use crate::cluster::{ClusterDir, control};
use crate::wire::{RequestHeader, Wire, open_in};

const MIB: usize = 1024 * 1024;

/// Starts a node of a cluster with two members and one shard a core.
fn node(dir: &ClusterDir, name: &str, memory_bytes: usize) -> Engine {
    let settings = ClusterSettings { replicas: 2, heads: Heads::One, ..ClusterSettings::default() };
    let cluster = dir.cluster().node_name(name).create(settings);
    let builder = Engine::builder().cores(1).shards(2).cluster(cluster);
    builder.memory_bytes(memory_bytes as u64).start().expect("it starts")
}

fn pair(dir: &ClusterDir, memory_bytes: usize) -> [Engine; 2] {
    let head = node(dir, "node-a", memory_bytes);
    wait_for(control(&head), 1, "sole");
    let tail = node(dir, "node-b", memory_bytes);
    wait_for(control(&tail), 2, "tail");
    wait_for(control(&head), 2, "head");
    [head, tail]
}

/// All entries of the map are written over meanwhile, again and again. What is kept for the node that
/// joins is far less than the map.
#[test]
fn a_node_joins_while_a_large_map_is_changed() {
    const KEYS: usize = 40_000;
    let dir = ClusterDir::new();
    let head = node(&dir, "node-a", 512 * MIB);
    wait_for(control(&head), 1, "sole");
    let client = || Client::connect(head.addresses()[0]).expect("it is there");
    let value = [7; 2_048];
    let filler = client();
    let map = filler.map("large");
    for first in (0..KEYS).step_by(1_000) {
        let keys = (first..first + 1_000).map(|key| (key.to_string(), value));
        map.put_all(keys).expect("there is room");
    }
    let is_over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let client = client();
            let map = client.map("large");
            let mut written = 0;
            while !is_over.load(Ordering::Relaxed) {
                let keys = (0..200).map(|at| ((written * 200 + at) % KEYS).to_string());
                map.put_all(keys.map(|key| (key, value))).expect("it is written");
                written += 1;
            }
            written
        });
        let tail = node(&dir, "node-b", 512 * MIB);
        wait_for(control(&tail), 2, "tail");
        is_over.store(true, Ordering::Relaxed);
        let written = writer.join().expect("it writes");
        assert_eq!(map.len().expect("it is there"), KEYS as u64);
        written
    });
    assert!(written > 0);
}

#[test]
fn all_parties_of_a_replicated_reduction_get_a_large_result() {
    const PARTIES: u32 = 8;
    let dir = ClusterDir::new();
    let [head, _tail] = pair(&dir, 256 * MIB);
    let contribution = vec![1.0_f64; 4 * MIB / size_of::<f64>()];
    std::thread::scope(|scope| {
        for party in 0..PARTIES {
            let (contribution, address) = (&contribution, head.addresses()[0]);
            scope.spawn(move || {
                let client = Client::connect(address).expect("it is there");
                let reduction = client.reduction("large");
                let mut seat = reduction.seat(party, PARTIES);
                // Each round's result is freed when all have acknowledged it.
                for _ in 0..4 {
                    let result = seat
                        .contribute(ReduceOp::Sum, contribution, Duration::from_secs(30))
                        .expect("all contribute");
                    let sum = result.as_f64().expect("numbers");
                    assert_eq!(sum.len(), contribution.len());
                    assert!(sum.iter().all(|sum| *sum == f64::from(PARTIES)));
                }
            });
        }
    });
}

/// A client that asks for more than may wait for it, and reads late, has to wait. It is not closed as
/// one that others have made wait for replies.
#[test]
fn a_client_that_reads_its_large_replies_late_gets_all_of_them() {
    const ASKED: u64 = 64;
    let dir = ClusterDir::new();
    let alone = Engine::builder().cores(1).shards(2).memory_bytes(64 * MIB as u64);
    let alone = alone.start().expect("it starts");
    let [head, _tail] = pair(&dir, 64 * MIB);
    let bytes = vec![7; 4 * MIB];
    for engine in [&alone, &head] {
        let (mut wire, welcome) = Wire::welcomed(engine.addresses()[0]);
        let shard = ShardMap::new(2, 1).expect("a map").shard_of(ObjectId::of("future"));
        wire.send(&open_in(shard, 7, welcome.now_us));
        assert_eq!(wire.receive().status(), Status::Ok);
        let ask = |number, acked_gap| RequestHeader {
            session: 7,
            number,
            acked_gap,
            deadline_ms: 60_000,
            shard: shard.0,
            name: "future",
        };
        wire.send(&ask(1, 1).frame(Op::Future(FutureOp::Set { bytes: &bytes })));
        assert_eq!(wire.receive().status(), Status::Ok);
        let mut left: Vec<u64> = (2..2 + ASKED).collect();
        while !left.is_empty() {
            for number in &left {
                let gap = u16::try_from(number - 1).expect("few");
                wire.send(&ask(*number, gap).frame(Op::Future(FutureOp::Get)));
            }
            std::thread::sleep(Duration::from_millis(200));
            let mut busy = Vec::new();
            for _ in &left {
                let received = wire.receive();
                match received.status() {
                    // So much waits for the other node that it has to be asked for again.
                    Status::Busy => busy.push(received.header.number),
                    status => {
                        assert_eq!(status, Status::Ok);
                        assert!(received.body().starts_with(&bytes));
                    }
                }
            }
            assert!(busy.len() < left.len(), "it makes progress");
            left = busy;
        }
    }
}
