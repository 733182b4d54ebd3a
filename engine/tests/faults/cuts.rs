//! Nodes in network namespaces of their own, between which the network is cut in one or both directions.
//!
//! Needs root and `ip`; without them these tests print that they were skipped. A cut is a wrong
//! hardware address in a node's neighbour table: packets to that neighbour are lost silently, and the
//! other direction works. Loss and delay need a kernel with netem.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use catena_protocol::{Hello, features};
use nix::sched::{CloneFlags, setns};

use crate::cluster::{Cluster, Namespace};
use crate::load::Load;

/// Namespaces around a hub, where the clients run.
struct Net {
    hub: String,
    nodes: Vec<Namespace>,
}

impl Net {
    /// Creates a hub and this many nodes; returns `None` if that is not permitted here.
    fn new(nodes: usize, test: &str) -> Option<Net> {
        let id = std::process::id();
        let name = |what: &str| format!("catena-{id}-{test}-{what}");
        let hub = name("hub");
        if !ip(&["netns", "add", &hub]) {
            println!("{test}: skipped, because it needs root and network namespaces");
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

    /// Moves this thread, and the threads and processes that it starts, to the hub.
    fn enter(&self) {
        enter(&self.hub);
    }

    /// Loses all packets from one node to another.
    fn cut(&self, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from].name, &self.nodes[to].address);
        let unused = "02:00:00:00:00:99";
        in_it(from, &["neigh", "replace", to, "lladdr", unused, "dev", "eth0", "nud", "permanent"]);
    }

    /// Undoes that.
    fn mend(&self, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from].name, &self.nodes[to].address);
        in_it(from, &["neigh", "del", to, "dev", "eth0"]);
    }

    /// Loses and delays packets of all nodes; returns whether the kernel supports that.
    fn degrade(&self) -> bool {
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

/// Moves this thread to a namespace.
fn enter(namespace: &str) {
    let namespace = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    setns(std::os::fd::AsRawFd::as_raw_fd(&namespace), CloneFlags::CLONE_NEWNET).unwrap();
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

/// The head receives from the others and cannot send to them: it is removed, and serves no stale read.
#[test]
fn a_head_that_cannot_send_serves_no_stale_read() {
    in_a_net("mute", |net, cluster| {
        let load = Load::start(&cluster.seeds(), 8, 4);
        load.await_more(100);
        let before = cluster.record().chain();
        let head = cluster.index_of(&before[0]).unwrap();
        for other in (0..3).filter(|other| *other != head) {
            net.cut(head, other);
        }
        load.await_more(200);
        // It can write the record, so it may also be the others that are removed. One side goes on.
        println!("cannot send: longest wait {:?}", load.longest());
        for other in (0..3).filter(|other| *other != head) {
            net.mend(head, other);
        }
        load.await_more(200);
        std::thread::sleep(Duration::from_secs(1));
        println!("cannot send: {:?}", load.finish(&cluster.seeds()));
    });
}

/// Two members cannot reach each other, and the third reaches both: the record decides which is removed.
#[test]
fn of_two_members_cut_from_each_other_one_is_removed() {
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

/// Packets are delayed, reordered or lost.
#[test]
fn a_bad_network_loses_nothing() {
    in_a_net("degraded", |net, cluster| {
        if !net.degrade() {
            println!("degraded: skipped, because the kernel has no netem");
            return;
        }
        let load = Load::start(&cluster.seeds(), 8, 4);
        load.await_more(2_000);
        println!("degraded: {:?}", load.finish(&cluster.seeds()));
    });
}

/// An engine that is killed at the end.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Returns how many connections an engine has, according to its metrics.
fn connections(metrics: &str) -> u64 {
    let mut stream = TcpStream::connect(metrics).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find(|line| line.starts_with("catena_connections{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The host of clients is gone without a word: the engine closes their connections within a minute.
#[test]
fn connections_of_a_host_that_is_gone_are_closed() {
    const CLIENTS: u64 = 20;
    std::thread::scope(|scope| {
        let test = || {
            let Some(net) = Net::new(1, "gone") else { return };
            net.enter();
            let mut engine = Command::new(env!("CARGO_BIN_EXE_catena-engine"))
                .args(["--listen", "10.99.0.254:7400", "--insecure-network", "--no-pin"])
                .args(["--cores", "0", "--metrics", "10.99.0.254:9400"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map(Engine)
                .unwrap();
            let mut ready = String::new();
            BufReader::new(engine.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
            let node = net.nodes[0].name.clone();
            let connect = || {
                let mut stream = TcpStream::connect("10.99.0.254:7400").unwrap();
                let mut hello = Vec::new();
                Hello { features: features::ALL }.write(&mut hello);
                stream.write_all(&hello).unwrap();
                stream.read_exact(&mut [0; 64]).unwrap();
                stream
            };
            let clients = std::thread::scope(|scope| {
                let connecting = scope.spawn(|| {
                    enter(&node);
                    (0..CLIENTS).map(|_| connect()).collect::<Vec<_>>()
                });
                connecting.join().unwrap()
            });
            assert_eq!(connections("10.99.0.254:9400"), CLIENTS);
            in_it(&node, &["link", "set", "eth0", "down"]);
            let started = Instant::now();
            while connections("10.99.0.254:9400") > 0 {
                assert!(started.elapsed() < Duration::from_secs(60), "they stay");
                std::thread::sleep(Duration::from_millis(200));
            }
            println!("gone: {CLIENTS} connections closed after {:?}", started.elapsed());
            drop(clients);
        };
        let thread = scope.spawn(test);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
