//! Nodes in network namespaces of their own, between which links are cut, one way or both.
//!
//! Takes root and `ip`; without them these tests say so and do nothing. A cut is a wrong hardware
//! address among a node's neighbours: what it sends to that one is lost without a word, and the other
//! way goes on. Loss and delay take a kernel with netem.

use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::cluster::{Cluster, Namespace};
use crate::load::Load;

/// Namespaces around a hub, in which the clients are.
struct Net {
    hub: String,
    nodes: Vec<Namespace>,
}

impl Net {
    /// A hub and so many nodes; `None` if that is not allowed here.
    fn new(nodes: usize, test: &str) -> Option<Net> {
        let id = std::process::id();
        let name = |what: &str| format!("catena-{id}-{test}-{what}");
        let hub = name("hub");
        if !ip(&["netns", "add", &hub]) {
            println!("{test}: not done, since this takes root and network namespaces");
            return None;
        }
        let mut net = Net { hub: hub.clone(), nodes: Vec::new() };
        in_it(&hub, &["link", "set", "lo", "up"]);
        in_it(&hub, &["link", "add", "bridge", "type", "bridge"]);
        in_it(&hub, &["addr", "add", "10.99.0.254/24", "dev", "bridge"]);
        in_it(&hub, &["link", "set", "bridge", "up"]);
        for number in 0..nodes {
            let node = name(&number.to_string());
            let address = format!("10.99.0.{}", number + 1);
            assert!(ip(&["netns", "add", &node]));
            net.nodes.push(Namespace { name: node.clone(), address: address.clone() });
            let port = format!("port{number}");
            in_it(
                &hub,
                &["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &node],
            );
            in_it(&hub, &["link", "set", &port, "master", "bridge", "up"]);
            in_it(&node, &["link", "set", "lo", "up"]);
            in_it(&node, &["addr", "add", &format!("{address}/24"), "dev", "eth0"]);
            in_it(&node, &["link", "set", "eth0", "up"]);
        }
        Some(net)
    }

    /// Moves this thread, and all that it starts, to the hub.
    fn enter(&self) {
        let hub = std::fs::File::open(format!("/run/netns/{}", self.hub)).unwrap();
        setns(std::os::fd::AsRawFd::as_raw_fd(&hub), CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Loses what one sends to another.
    fn cut(&self, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from].name, &self.nodes[to].address);
        let nobody = "02:00:00:00:00:99";
        in_it(from, &["neigh", "replace", to, "lladdr", nobody, "dev", "eth0", "nud", "permanent"]);
    }

    /// Undoes that.
    fn mend(&self, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from].name, &self.nodes[to].address);
        in_it(from, &["neigh", "del", to, "dev", "eth0"]);
    }

    /// Loses and delays packets of all nodes; whether the kernel can.
    fn spoil(&self) -> bool {
        self.nodes.iter().all(|node| {
            let netem = "netem delay 2ms 1ms loss 1% reorder 5%".split(' ');
            let args = ["netns", "exec", &node.name, "tc", "qdisc", "add", "dev", "eth0", "root"];
            ip(&args.into_iter().chain(netem).collect::<Vec<_>>())
        })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in self.nodes.iter().map(|node| &node.name).chain([&self.hub]) {
            ip(&["netns", "del", name]);
        }
    }
}

fn ip(args: &[&str]) -> bool {
    let output = Command::new("ip").args(args).output();
    output.is_ok_and(|output| output.status.success())
}

fn in_it(namespace: &str, args: &[&str]) {
    assert!(ip(&[&["-n", namespace], args].concat()), "{args:?} in {namespace}");
}

/// Runs a test in a thread that may move to another namespace.
fn in_a_net(test: &str, body: impl FnOnce(&Net, Cluster) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let Some(net) = Net::new(3, test) else { return };
            net.enter();
            let cluster = Cluster::placed(3, Some(net.nodes.clone()));
            body(&net, cluster);
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// The head hears the others and is not heard: it is out, and nobody reads the past from it.
#[test]
fn a_head_that_is_not_heard_answers_nothing_old() {
    in_a_net("unheard", |net, cluster| {
        let load = Load::start(&cluster.seeds(), 8, 4);
        load.await_more(100);
        let before = cluster.record().chain();
        let head = cluster.place_of(&before[0]).unwrap();
        for other in (0..3).filter(|other| *other != head) {
            net.cut(head, other);
        }
        load.await_more(200);
        // It may be the others that it proposed to remove: it reaches the record. One side goes on.
        println!("unheard: longest wait {:?}", load.longest());
        for other in (0..3).filter(|other| *other != head) {
            net.mend(head, other);
        }
        load.await_more(200);
        std::thread::sleep(Duration::from_secs(1));
        println!("unheard: {:?}", load.finish(&cluster.seeds()));
    });
}

/// Two that do not hear each other, both heard by the third: the record decides who goes.
#[test]
fn two_that_are_cut_from_each_other_do_not_both_go_on() {
    in_a_net("cut", |net, cluster| {
        let load = Load::start(&cluster.seeds(), 8, 4);
        load.await_more(100);
        for (from, to) in [(0, 1), (1, 0)] {
            net.cut(from, to);
        }
        load.await_more(200);
        println!("cut: longest wait {:?}", load.longest());
        for (from, to) in [(0, 1), (1, 0)] {
            net.mend(from, to);
        }
        load.await_more(200);
        std::thread::sleep(Duration::from_secs(1));
        println!("cut: {:?}", load.finish(&cluster.seeds()));
    });
}

/// Packets that come late, twice as late, or never.
#[test]
fn a_bad_network_loses_nothing() {
    in_a_net("spoiled", |net, cluster| {
        if !net.spoil() {
            println!("spoiled: not done, since the kernel has no netem");
            return;
        }
        let load = Load::start(&cluster.seeds(), 8, 4);
        load.await_more(2_000);
        println!("spoiled: {:?}", load.finish(&cluster.seeds()));
    });
}
