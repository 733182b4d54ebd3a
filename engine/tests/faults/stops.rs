//! Processes that stand still for a while, as a machine does that swaps or is moved, and then go on as
//! if nothing had been.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::load::Load;

/// The others go on without it; when it wakes it answers nobody from the past, and comes back with
/// nothing.
#[test]
fn a_head_that_stood_still_answers_nothing_old() {
    let cluster = Cluster::new(3);
    let load = Load::start(&cluster.seeds(), 8, 4);
    load.await_more(200);
    let before = cluster.record();
    let head = &before.chain()[0];
    let node = &cluster.nodes[cluster.place_of(head).unwrap()];
    node.signal(Signal::SIGSTOP);
    load.await_more(200);
    let after = cluster.record();
    assert!(after.epoch() > before.epoch() && !after.chain().contains(head), "it is out");
    node.signal(Signal::SIGCONT);
    std::thread::sleep(Duration::from_secs(2));
    load.await_more(200);
    println!("stood still: longest wait {:?}, {:?}", load.longest(), load.finish(&cluster.seeds()));
}

/// Short stops, shorter and longer than the silence that makes suspect, of one after the other.
#[test]
fn short_stops_lose_nothing() {
    let cluster = Cluster::new(3);
    let load = Load::start(&cluster.seeds(), 8, 4);
    load.await_more(200);
    for (at, ms) in [(0, 100), (1, 250), (2, 380), (0, 250)] {
        let node = &cluster.nodes[at];
        node.signal(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_millis(ms));
        node.signal(Signal::SIGCONT);
        load.await_more(100);
    }
    println!("short stops: {:?}", load.finish(&cluster.seeds()));
}
