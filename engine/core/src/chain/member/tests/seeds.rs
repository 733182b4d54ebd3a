//! Random clusters: the invariants hold whatever fails, and after the faults the cluster recovers
//! soon.

use super::cluster::TestCluster;
use super::faults::FaultRates;
use super::random::TestRandom;
use super::{oracle, settings};
use crate::chain::record::{Heads, Settings};
use crate::chain::rules::Rules;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const SEEDS: u64 = 250;
const FAULTS_US: u64 = 40_000_000;
const CALM_US: u64 = 30_000_000;

#[test]
fn invariants_hold_and_the_cluster_recovers() {
    for seed in 0..SEEDS {
        check(seed);
    }
}

/// Prints the trace of one seed: `SEED=17 cargo test -p catena-core one_seed -- --nocapture
/// --ignored`.
#[test]
#[ignore = "prints a trace"]
fn one_seed() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let mut cluster = random_cluster(seed, Rules::default());
    cluster.trace = Some(Vec::new());
    let result = run(&mut cluster);
    println!("{}", cluster.trace.unwrap_or_default().join("\n"));
    result.expect("the invariants hold");
}

/// Runs many seeds: `SEEDS=100000 cargo test --release -p catena-core many_seeds -- --ignored`.
#[test]
#[ignore = "hours"]
fn many_seeds() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10_000);
    for seed in SEEDS..seeds {
        check(seed);
    }
}

#[test]
fn a_seed_decides_the_whole_run() {
    let trace = |seed| {
        let mut cluster = random_cluster(seed, Rules::default());
        cluster.trace = Some(Vec::new());
        run(&mut cluster).expect("the invariants hold");
        cluster.trace
    };
    assert_eq!(trace(3), trace(3));
}

fn check(seed: u64) {
    let mut cluster = random_cluster(seed, Rules::default());
    if let Err(what) = run(&mut cluster) {
        panic!(
            "seed {seed} failed: {what}\n\
             to reproduce: SEED={seed} cargo test -p catena-core one_seed -- --nocapture --ignored"
        );
    }
}

/// Returns whether an invariant is violated when these rules are followed.
pub(super) fn is_violated(seed: u64, rules: Rules) -> bool {
    let mut cluster = random_cluster(seed, rules);
    cluster.pass(FAULTS_US).is_err()
}

/// Returns a cluster of two to four nodes, one of which creates it.
fn random_cluster(seed: u64, rules: Rules) -> TestCluster {
    let mut random = TestRandom::new(seed ^ 0x5eed);
    let nodes = random.pick(&[2, 3, 3, 4]);
    let replicas = random.pick(&[2, 3, 3]);
    let heads = random.pick(&[Heads::Spread, Heads::Spread, Heads::One]);
    let settings = Settings { replicas, heads, ..settings() };
    let drift = i64::from(settings.drift_ppm);
    let mut cluster = TestCluster::new(seed, settings, rules);
    for name in ('a'..).take(nodes) {
        let at = cluster.add(name);
        let rate_ppm = random.pick(&[-drift, -drift / 2, 0, drift / 3, drift]);
        let node = &mut cluster.nodes[at];
        (node.rate_ppm, node.durable) = (rate_ppm, random.happens(500));
        node.offset_us = random.between(1_000_000, 1_000_000_000_000);
        cluster.start_later(at, at == 0);
    }
    // The faults begin when the cluster runs.
    let quiet_us = random.between(0, 3_000_000);
    cluster.pass(quiet_us).expect("no fault yet");
    cluster.faults = FaultRates::random(&mut random);
    cluster.schedule_faults();
    cluster
}

fn run(cluster: &mut TestCluster) -> Result<(), String> {
    cluster.pass(FAULTS_US)?;
    cluster.end_faults();
    let is_lost = |cluster: &TestCluster| {
        let record = cluster.register.record().expect("the cluster was created");
        record.members().all(|id| cluster.node_of(id).is_none_or(|node| node.cores.is_none()))
    };
    let is_good = |cluster: &TestCluster| oracle::is_healthy(cluster) || is_lost(cluster);
    if cluster.pass_until(CALM_US, is_good)? {
        return Ok(());
    }
    let record = cluster.register.record().map(|record| (record.epoch, &record.chains[0]));
    Err(format!("the cluster did not recover after the faults: {record:?}"))
}
