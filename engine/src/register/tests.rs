//! Every kind of register in the same trials, and under the faults that it can have.

use std::collections::BTreeMap;

use super::*;
use catena_core::chain::record::{ChangeId, NodeId, NodeInfo, Settings};

mod counter;
mod faulty;
mod file;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod seaweed;
#[cfg(feature = "s3")]
mod stand_in;

use counter::{count, race_to_create};
use faulty::{Faults, FaultyRegister, MemoryRegister, RacyRegister};

/// Returns the first record of a cluster, as the node of this number would write it.
fn first_record(cluster: &str, node: u128) -> Record {
    let address = ([127, 0, 0, 1], 1).into();
    let info =
        NodeInfo { name: format!("n{node}"), peer: address, clients: vec![address], az: None };
    let nodes = BTreeMap::from([(NodeId(node), info)]);
    Record::create(cluster, &Settings::default(), nodes, NodeId(node), ChangeId(node))
        .expect("a valid record")
}

/// Runs on one thread, as the control thread does.
fn run<T>(trial: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), trial)
}

#[test]
fn a_register_in_memory_keeps_the_contract() {
    run(async {
        let register = MemoryRegister::new("c");
        check_register(&register).await;
    });
}

/// Checks what a single writer observes.
async fn check_register(register: &impl Register) {
    let cluster = register.cluster().to_owned();
    assert_eq!(register.read().await.expect("a result"), None);
    let first = first_record(&cluster, 1);
    let stale = RecordToken::new("\"d41d8cd98f00b204e9800998ecf8427e\"");
    let early = register.cas(&stale, &first).await.expect("an outcome");
    assert_eq!(early, StoreOutcome::Lost, "there is no record to replace");

    let StoreOutcome::Won(token) = register.create(&first).await.expect("an outcome") else {
        panic!("there is no other writer");
    };
    assert_eq!(register.read().await.expect("a result"), Some((first.clone(), token.clone())));
    let again = register.create(&first_record(&cluster, 2)).await.expect("an outcome");
    assert_eq!(again, StoreOutcome::Lost, "the cluster has a record");

    let second = first.bumped(NodeId(1), "é", ChangeId(2)).expect("a bump");
    let StoreOutcome::Won(next) = register.cas(&token, &second).await.expect("an outcome") else {
        panic!("there is no other writer");
    };
    assert_ne!(token, next);
    assert_eq!(register.read().await.expect("a result"), Some((second.clone(), next)));
    let repeated = register.cas(&token, &second).await.expect("an outcome");
    assert_eq!(repeated, StoreOutcome::Lost, "its own success is what it lost to");

    let error =
        register.cas(&token, &first_record("another", 1)).await.expect_err("another cluster");
    assert!(matches!(error, RegisterError::Cluster { .. }), "{error}");
    assert_eq!(register.read().await.expect("a result").map(|(record, _)| record), Some(second));
}

#[test]
fn a_register_returns_only_records_of_its_cluster() {
    run(async {
        let register = MemoryRegister::new("c");
        for (bytes, expected) in [
            (b"{\"v\":2}".to_vec(), "the record has version 2"),
            (b"<html>".to_vec(), "the record cannot be read"),
            (first_record("another", 1).to_bytes(), "the record belongs to cluster \"another\""),
        ] {
            register.put(bytes);
            let error = register.read().await.expect_err("not a record of this cluster");
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    });
}

/// A counter in a register that is not atomic must come out wrong, or the trials below prove nothing.
#[test]
fn the_counter_detects_a_racy_register() {
    let tally = run(count(vec![RacyRegister(MemoryRegister::new("c")); 32], 3));
    assert!(tally.won.len() > tally.increments(), "{tally:?}");
    let winners =
        run(race_to_create((0..8).map(|_| RacyRegister(MemoryRegister::new("c"))).take(1), 8));
    assert!(winners[0] > 1, "{winners:?}");
}

#[test]
fn an_atomic_register_counts() {
    run(count(vec![MemoryRegister::new("c"); 32], 8)).assert_exact();
    let winners = run(race_to_create([MemoryRegister::new("c")], 32));
    assert_eq!(winners, [1]);
}

#[test]
fn faults_lose_no_increment() {
    let mut counts = faulty::FaultCounts::default();
    for seed in 0..60 {
        let register = FaultyRegister::new(MemoryRegister::new("c"), Faults::all(), seed);
        let tally = run(count(vec![register.clone(); 8], 4));
        let landed = run(register.landed());
        tally.assert_fits(&landed, &format!("seed {seed}"));
        counts.add(register.counts());
    }
    counts.assert_each();
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_build_without_s3_says_how_to_get_one_with_it() {
    let location = "s3://bucket/a".parse().expect("a location");
    let opened = run(AnyRegister::open(&location, "c", &S3Settings::default()));
    let error = opened.expect_err("not built in").to_string();
    assert_eq!(
        error,
        "this program was built without S3 and cannot use s3://bucket/a: build it with \
         `cargo build --release -p catena-engine --features s3`"
    );
}
