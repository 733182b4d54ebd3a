//! Random worlds: whatever goes wrong, what must hold holds; and when nothing goes wrong any more,
//! everything is well soon.

use super::chance::Chance;
use super::faults::Faults;
use super::world::World;
use super::{settings, truth};
use crate::chain::record::{Heads, Settings};
use crate::chain::rules::Rules;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const SEEDS: u64 = 250;
const FAULTS_US: u64 = 40_000_000;
const CALM_US: u64 = 30_000_000;

#[test]
fn what_must_hold_holds_and_all_is_well_at_last() {
    for seed in 0..SEEDS {
        check(seed);
    }
}

/// One seed, to look at: `SEED=17 cargo test -p catena-engine one_seed -- --nocapture --ignored`.
#[test]
#[ignore = "for people"]
fn one_seed() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let mut world = random_world(seed, Rules::default());
    world.trace = Some(Vec::new());
    let result = run(&mut world);
    println!("{}", world.trace.unwrap_or_default().join("\n"));
    result.expect("what must hold holds");
}

/// Many seeds: `SEEDS=100000 cargo test --release -p catena-engine many_seeds -- --ignored`.
#[test]
#[ignore = "hours"]
fn many_seeds() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10_000);
    for seed in SEEDS..seeds {
        check(seed);
    }
}

#[test]
fn a_seed_decides_everything() {
    let trace = |seed| {
        let mut world = random_world(seed, Rules::default());
        world.trace = Some(Vec::new());
        run(&mut world).expect("what must hold holds");
        world.trace
    };
    assert_eq!(trace(3), trace(3));
}

fn check(seed: u64) {
    let mut world = random_world(seed, Rules::default());
    if let Err(what) = run(&mut world) {
        panic!(
            "{what}\nto see it: SEED={seed} cargo test -p catena-engine one_seed -- --nocapture --ignored"
        );
    }
}

/// Whether a world contradicts itself without some rule.
pub(super) fn is_harmed(seed: u64, rules: Rules) -> bool {
    let mut world = random_world(seed, rules);
    world.pass(FAULTS_US).is_err()
}

/// Two to four nodes, one of which founds the cluster.
fn random_world(seed: u64, rules: Rules) -> World {
    let mut chance = Chance::new(seed ^ 0x5eed);
    let nodes = chance.pick(&[2, 3, 3, 4]);
    let replicas = chance.pick(&[2, 3, 3]);
    let heads = chance.pick(&[Heads::Spread, Heads::Spread, Heads::One]);
    let settings = Settings { replicas, heads, ..settings() };
    let drift = i64::from(settings.drift_ppm);
    let mut world = World::new(seed, settings, rules);
    for name in ('a'..).take(nodes) {
        let at = world.add(name);
        let rate_ppm = chance.pick(&[-drift, -drift / 2, 0, drift / 3, drift]);
        let node = &mut world.nodes[at];
        (node.rate_ppm, node.durable) = (rate_ppm, chance.happens(500));
        node.offset_us = chance.between(1_000_000, 1_000_000_000_000);
        world.begin(at, at == 0);
    }
    // What goes wrong begins when there is something that can.
    let quiet_us = chance.between(0, 3_000_000);
    world.pass(quiet_us).expect("nothing is wrong yet");
    world.faults = Faults::random(&mut chance);
    world.add_mischief();
    world
}

fn run(world: &mut World) -> Result<(), String> {
    world.pass(FAULTS_US)?;
    world.heal();
    let is_lost = |world: &World| {
        let record = world.register.record().expect("it was founded");
        record.members().all(|id| world.node_of(id).is_none_or(|node| node.cores.is_none()))
    };
    let is_good = |world: &World| truth::is_well(world) || is_lost(world);
    if world.pass_until(CALM_US, is_good)? {
        return Ok(());
    }
    let record = world.register.record().map(|record| (record.epoch, &record.chains[0]));
    Err(format!("nothing goes wrong, and all is not well: {record:?}"))
}
