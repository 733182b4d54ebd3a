//! `kill -9`, many times.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::load::Load;

/// The number of kills, unless `CATENA_KILLS` sets another.
const KILLS: usize = 6;

fn kills() -> usize {
    std::env::var("CATENA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

/// Kills the head, a middle member and the tail in turn: each rejoins without objects and copies the
/// state.
#[test]
fn kills_in_a_row_lose_nothing_and_double_nothing() {
    kill_in_a_row(3);
}

/// Of two, one is left each time, and has everything.
#[test]
fn kills_in_a_row_of_two_lose_nothing_and_double_nothing() {
    kill_in_a_row(2);
}

fn kill_in_a_row(replicas: usize) {
    let mut cluster = Cluster::new(replicas);
    // A node that is replaced has another address.
    let load = Load::start(&cluster.location(), 16, 2);
    load.await_more(200);
    let mut waits = Vec::new();
    for kill in 0..kills() {
        let chain = cluster.await_members(replicas).chain();
        let victim = &chain[kill % chain.len()];
        let at = cluster.index_of(victim).unwrap();
        load.longest();
        println!("kill {kill}: {victim}");
        cluster.replace(at);
        load.await_more(200);
        waits.push(load.longest());
    }
    cluster.await_members(replicas);
    let tally = load.finish(&cluster.seeds());
    waits.sort_unstable();
    println!(
        "{replicas} replicas, {} kills: {} updates acknowledged and found, {} reads; longest wait of an update: median {:?}, most {:?}",
        waits.len(),
        tally.acknowledged,
        tally.reads,
        waits[waits.len() / 2],
        waits[waits.len() - 1],
    );
}

/// Kills two of three at once: the last one goes on with all objects.
#[test]
fn the_last_one_of_three_has_everything() {
    let mut cluster = Cluster::new(3);
    let load = Load::start(&cluster.seeds(), 8, 1);
    load.await_more(200);
    let chain = cluster.record().chain();
    let victims: Vec<usize> = chain[..2].iter().map(|id| cluster.index_of(id).unwrap()).collect();
    for at in &victims {
        cluster.kill(*at);
    }
    load.await_more(200);
    assert_eq!(cluster.record().chain(), chain[2..]);
    for at in victims {
        cluster.revive(at);
    }
    cluster.await_members(3);
    load.await_more(200);
    std::thread::sleep(Duration::from_millis(500));
    println!("two at once: {:?}", load.finish(&cluster.seeds()));
}
