//! Processes that are paused for a while, as on a machine that swaps or migrates, and then continue.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::load::Load;

/// The others remove it; when it continues it serves no stale read, and rejoins without objects.
#[test]
fn a_paused_head_serves_no_stale_read() {
    let cluster = Cluster::new(3);
    let load = Load::start(&cluster.seeds(), 8, 4);
    load.await_more(200);
    let before = cluster.record();
    let head = &before.chain()[0];
    let node = &cluster.nodes[cluster.index_of(head).unwrap()];
    node.signal(Signal::SIGSTOP);
    load.await_more(200);
    let after = cluster.record();
    assert!(after.epoch() > before.epoch() && !after.chain().contains(head), "it was removed");
    node.signal(Signal::SIGCONT);
    std::thread::sleep(Duration::from_secs(2));
    load.await_more(200);
    println!("paused head: longest wait {:?}, {:?}", load.longest(), load.finish(&cluster.seeds()));
}

/// Short pauses of one node after the other, shorter and longer than the suspicion timeout.
#[test]
fn short_pauses_lose_nothing() {
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
    println!("short pauses: {:?}", load.finish(&cluster.seeds()));
}
