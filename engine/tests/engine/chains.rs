//! Several nodes that hold the same: how they come together, and go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use catena_core::chain::record::{ChangeKind, NodeId};
use catena_engine::{ClusterSettings, Engine, Heads};
use catena_protocol::operator::{NodeStatus, Reply as Answer, Request};
use catena_protocol::{ObjectId, Reply, ShardId, ShardMap, Status};

use crate::binary::Running;
use crate::cluster::{Operator, Place, control, life};
use crate::wire::{ADD, Ask, GET, GUARD, Received, Wire, open_in};

/// Waits until the node at this control port takes part, with so many members and in that role.
pub(crate) fn wait_for(control: SocketAddr, members: usize, role: &str) -> NodeStatus {
    Operator::at(control)
        .wait(|status| status.members.len() == members && status.active && roles(status) == [role])
}

fn roles(status: &NodeStatus) -> Vec<&str> {
    let roles: BTreeSet<&str> = status.shards.iter().map(|shard| &*shard.role).collect();
    roles.into_iter().collect()
}

fn names(status: &NodeStatus) -> BTreeSet<&str> {
    status.members.iter().map(|member| &*member.name).collect()
}

/// Nodes of one core, two, one, … that joined one after the other.
fn chain<const N: usize>(place: &Place, names: [&str; N]) -> [Engine; N] {
    let replicas = u32::try_from(N).expect("few");
    let mut count = 0;
    names.map(|name| {
        let settings =
            ClusterSettings { replicas, heads: Heads::One, ..ClusterSettings::default() };
        let cluster = place.cluster().node_name(name).create(settings);
        let builder = Engine::builder().cores(count % 2 + 1).shards(8).cluster(cluster);
        let engine = builder.start().expect("it starts");
        count += 1;
        Operator::at(control(&engine))
            .wait(|status| status.members.len() == count && status.active);
        engine
    })
}

/// A connection to the core of a node that owns an object, and the shard.
struct Way {
    wire: Wire,
    shard: ShardId,
    now_us: u64,
}

impl Way {
    fn to(name: &str, addresses: &[SocketAddr]) -> Way {
        let cores = u16::try_from(addresses.len()).expect("few");
        let map = ShardMap::new(8, cores).expect("a map");
        let shard = map.shard_of(ObjectId::of(name));
        let (wire, welcome) = Wire::welcomed(addresses[usize::from(map.core_of(shard))]);
        assert_eq!(welcome.shards, 8);
        Way { wire, shard, now_us: welcome.now_us }
    }

    /// Opens a session and adds to the counter, as its first update.
    fn add(&mut self, name: &str) -> i64 {
        let open = open_in(self.shard, 7, self.now_us);
        assert_eq!(self.ask(&open).status(), Status::Ok);
        let ask = Ask { session: 7, number: 1, shard: self.shard.0, name, ..Ask::default() };
        int(&self.ask(&ask.frame(ADD)).reply())
    }

    fn get(&mut self, name: &str) -> i64 {
        let ask = Ask { shard: self.shard.0, name, ..Ask::default() };
        int(&self.ask(&ask.frame(GET)).reply())
    }

    /// Asks until the node may answer: one that has just got its place, or whose lease ran out, is busy.
    fn ask(&mut self, frame: &[u8]) -> Received {
        let started = Instant::now();
        loop {
            self.wire.send(frame);
            let answer = self.wire.receive();
            if answer.status() != Status::Busy || started.elapsed() > GUARD {
                return answer;
            }
            std::thread::yield_now();
        }
    }
}

fn int(reply: &Reply<'_>) -> i64 {
    match reply {
        Reply::Int(value) => *value,
        other => panic!("a counter is {other:?}"),
    }
}

#[test]
fn two_nodes_hold_the_same() {
    let place = Place::new();
    let engines = chain(&place, ["node-a", "node-b"]);
    for (engine, role) in engines.iter().zip(["head", "tail"]) {
        let status = wait_for(control(engine), 2, role);
        let order: Vec<u16> = status.shards.iter().map(|shard| shard.shard).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(status.lease_us.is_some(), "{status:?}");
        assert!(status.members.iter().all(|member| member.suspected.is_empty()), "{status:?}");
        assert_eq!((&*status.standing, status.epoch), ("member", 2));
        assert_eq!((status.learner, status.teacher, status.rejoins_ms), (0, 0, 0));
    }
    assert_eq!(Way::to("object", engines[0].addresses()).add("object"), 1);
    for engine in &engines {
        assert_eq!(Way::to("object", engine.addresses()).get("object"), 1);
    }
    let applied = |engine: &Engine| -> u64 {
        Operator::at(control(engine)).status().shards.iter().map(|shard| shard.applied).sum()
    };
    assert_eq!(applied(&engines[0]), 2, "a session and an update");
    assert_eq!(applied(&engines[1]), 2);
}

#[test]
fn of_several_that_would_found_a_cluster_one_does() {
    let place = Place::new();
    let builders = ["node-a", "node-b", "node-c"].map(|name| {
        let settings =
            ClusterSettings { replicas: 3, heads: Heads::One, ..ClusterSettings::default() };
        Engine::builder().shards(8).cluster(place.cluster().node_name(name).create(settings))
    });
    let engines = std::thread::scope(|scope| {
        let starting = builders.map(|builder| scope.spawn(|| builder.start()));
        starting.map(|starting| starting.join().expect("no panic").expect("it starts"))
    });
    for engine in &engines {
        let all = ["node-a", "node-b", "node-c"].into();
        Operator::at(control(engine)).wait(|status| status.active && names(status) == all);
    }
    let record = place.record();
    assert_eq!(record.epoch, 3, "one was the first, and two were added");
}

#[test]
fn a_node_that_is_not_needed_waits_until_it_is() {
    let place = Place::new();
    let [a, b, c] = chain(&place, ["node-a", "node-b", "node-c"]);
    for (engine, role) in [(&a, "head"), (&b, "middle"), (&c, "tail")] {
        wait_for(control(engine), 3, role);
    }
    assert_eq!(Way::to("object", a.addresses()).add("object"), 1);
    let d = place.node("node-d").start().expect("it starts");
    let mut waiting = Operator::at(control(&d));
    waiting.wait(|status| status.standing == "learner");
    let ready = Operator::at(control(&c)).wait(|status| status.learner == life(&d).0);
    assert_eq!(ready.members.len(), 3);

    // An operator has the middle one removed, by another member.
    let (first, mut removed) = (life(&b), Operator::at(control(&b)));
    assert_eq!(Operator::at(control(&a)).ask(&Request::Remove(first.0)), Answer::Accepted);
    let status = removed.wait(|status| status.standing == "removed");
    assert!(status.rejoins_ms > 0 && status.node != first.0, "{status:?}");
    assert_ne!(life(&b), first);
    let status = wait_for(control(&d), 3, "tail");
    assert_eq!(names(&status), ["node-a", "node-c", "node-d"].into());
    assert_eq!(Way::to("object", d.addresses()).get("object"), 1);
    let record = place.record();
    assert!(record.is_retired(first));

    // It comes back, and waits in turn, until the head leaves.
    assert_eq!(removed.ask(&Request::Join), Answer::Accepted);
    removed.wait(|status| status.standing == "learner");
    let head = life(&a);
    a.stop();
    assert_eq!(a.wait(), Ok(()));
    let record = place.record();
    assert!(record.is_retired(head), "it left before it stopped");
    let status = wait_for(control(&b), 3, "tail");
    assert_eq!(names(&status), ["node-b", "node-c", "node-d"].into());
    assert_eq!(Way::to("object", b.addresses()).get("object"), 1);
    wait_for(control(&c), 3, "head");
}

#[test]
fn a_member_can_be_told_to_leave_and_to_come_back() {
    let place = Place::new();
    let [a, b] = chain(&place, ["node-a", "node-b"]);
    // The head leaves: what it holds, the other one has.
    assert_eq!(Way::to("object", a.addresses()).add("object"), 1);
    let (mut operator, first) = (Operator::at(control(&a)), life(&a));
    assert_eq!(operator.ask(&Request::Remove(first.0)), Answer::Accepted);
    operator.wait(|status| status.standing == "removed");
    wait_for(control(&b), 1, "sole");
    let record = place.record();
    assert_eq!((record.change.kind, record.change.subject), (ChangeKind::Remove, Some(first)));
    assert_eq!((&*record.change.reason, record.change.by), ("leaving", life(&b)));
    assert_eq!(Way::to("object", b.addresses()).get("object"), 1);
    assert_eq!(operator.ask(&Request::Join), Answer::Accepted);
    wait_for(control(&a), 2, "tail");
    wait_for(control(&b), 2, "head");
    assert_eq!(Way::to("object", a.addresses()).get("object"), 1);
}

/// The shards of which a node is the head.
fn heads(engine: &Engine) -> Vec<u16> {
    let status = Operator::at(control(engine)).status();
    let heads = status.shards.iter().filter(|shard| ["head", "sole"].contains(&&*shard.role));
    heads.map(|shard| shard.shard).collect()
}

/// Waits until each node is the head of its part of the shards, in the order of their ids.
fn wait_spread(engines: &[&Engine]) {
    let mut engines = engines.to_vec();
    engines.sort_by_key(|engine| life(engine));
    let started = Instant::now();
    let place = |shard: u16| usize::from(shard) * engines.len() / 8;
    let wanted = |at| (0..8).filter(|shard| place(*shard) == at).collect::<Vec<u16>>();
    let wanted: Vec<Vec<u16>> = (0..engines.len()).map(wanted).collect();
    loop {
        let found: Vec<Vec<u16>> = engines.iter().map(|engine| heads(engine)).collect();
        if found == wanted {
            return;
        }
        assert!(started.elapsed() < GUARD, "the heads stay {found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn heads_are_spread_and_chains_lined_up_for_whoever_joins() {
    let place = Place::new();
    let start = |name| {
        let settings =
            ClusterSettings { replicas: 3, min_members: 1, ..ClusterSettings::default() };
        let cluster = place.cluster().node_name(name).create(settings);
        Engine::builder().cores(2).shards(8).cluster(cluster).start().expect("it starts")
    };
    let a = start("node-a");
    wait_for(control(&a), 1, "sole");
    let map = ShardMap::new(8, 2).expect("a map");
    let names = [0, 1, 2, 3, 4, 5, 6, 7].map(|shard| {
        let mut names = (0..).map(|number| format!("object {number}"));
        names.find(|name| map.shard_of(ObjectId::of(name)) == ShardId(shard)).expect("there is one")
    });
    let mut ways = Vec::new();
    for name in &names {
        let mut way = Way::to(name, a.addresses());
        assert_eq!(way.add(name), 1);
        ways.push(way);
    }
    let (b, c) = (start("node-b"), start("node-c"));
    wait_spread(&[&a, &b, &c]);
    assert_eq!(place.record().change.kind, ChangeKind::Reorder);
    // Where it is the head of less than before, the node has hung up: somebody may wait there.
    assert!(ways.iter_mut().all(|way| way.wire.next().is_none()));
    for engine in [&a, &b, &c] {
        for name in &names {
            assert_eq!(Way::to(name, engine.addresses()).get(name), 1);
        }
    }

    // One goes and comes back: the chains have to end at one node before it can be taught.
    assert_eq!(Operator::at(control(&b)).ask(&Request::Remove(life(&b).0)), Answer::Accepted);
    let mut removed = Operator::at(control(&b));
    removed.wait(|status| status.standing == "removed");
    assert_eq!(removed.ask(&Request::Join), Answer::Accepted);
    wait_spread(&[&a, &b, &c]);
    for name in &names {
        let shard = Way::to(name, a.addresses()).shard;
        let head = [&a, &b, &c].into_iter().find(|engine| heads(engine).contains(&shard.0));
        // The session is the old one, and so is its first update.
        assert_eq!(Way::to(name, head.expect("it has one").addresses()).add(name), 1);
        assert_eq!(Way::to(name, b.addresses()).get(name), 1);
    }
}

/// A node in a process of its own.
pub(crate) struct Process {
    pub(crate) running: Running,
    pub(crate) control: SocketAddr,
    life: NodeId,
}

impl Process {
    fn start(place: &Place, name: &str) -> Process {
        Process::with(place, name, &[])
    }

    pub(crate) fn with(place: &Place, name: &str, args: &[&str]) -> Process {
        let url = place.url();
        let first =
            ["--heads", "one", "--cluster", &url, "--create", "--shards", "8", "--node-name", name];
        let running = Running::start(&[&first, args].concat());
        let ready = running.ready.trim();
        let (_, within) = ready.split_once(") as ").expect("it says who it is");
        let (id, rest) =
            within.split_once(" (").and_then(|(_, rest)| rest.split_once(')')).expect(ready);
        assert!(within.starts_with(name), "{ready}");
        let control = rest.strip_prefix(" in cluster catena, control ").expect(ready);
        let control = control.split(',').next().unwrap_or_default();
        let (life, control) = (id.parse().expect("an id"), control.parse().expect("an address"));
        Process { running, control, life }
    }
}

#[test]
fn a_process_that_is_told_to_stop_leaves_first() {
    let place = Place::new();
    let mut a = Process::start(&place, "node-a");
    wait_for(a.control, 1, "sole");
    let b = Process::start(&place, "node-b");
    wait_for(b.control, 2, "tail");
    a.running.signal("-TERM");
    let (status, said) = a.running.end();
    assert_eq!(status.code(), Some(0), "{said}");
    for line in ["leaving the cluster", "this node is out of the cluster", "stopped"] {
        assert!(said.contains(line), "`{said}` says nothing of `{line}`");
    }
    let change = place.record().change;
    assert_eq!((change.kind, change.subject), (ChangeKind::Remove, Some(a.life)));
    assert_eq!((&*change.reason, change.by), ("leaving", b.life));
    wait_for(b.control, 1, "sole");
}

#[test]
fn a_process_that_dies_is_removed_and_another_takes_its_place() {
    let place = Place::new();
    let a = Process::start(&place, "node-a");
    wait_for(a.control, 1, "sole");
    let mut b = Process::start(&place, "node-b");
    wait_for(b.control, 2, "tail");
    assert_eq!(Way::to("object", &a.running.addresses).add("object"), 1);
    let first = a.life;
    drop(a);
    wait_for(b.control, 1, "sole");
    assert!(place.record().is_retired(first));
    assert_eq!(Way::to("object", &b.running.addresses).get("object"), 1);
    let a = Process::start(&place, "node-a");
    assert_ne!(a.life, first);
    wait_for(a.control, 2, "tail");
    assert_eq!(Way::to("object", &a.running.addresses).get("object"), 1);

    // One that is stopped for long enough is taken for dead, and finds out when it goes on.
    b.running.signal("-STOP");
    wait_for(a.control, 1, "sole");
    b.running.signal("-CONT");
    let status = Operator::at(b.control).wait(|status| status.standing == "removed");
    assert_ne!(status.node, b.life.0);
    b.running.signal("-TERM");
    let (status, said) = b.running.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("this node was removed from the cluster: silent."), "{said}");
}

/// Nobody has to wait for silence when the machine says that the process is gone.
#[test]
fn a_process_that_is_gone_is_not_waited_for() {
    let place = Place::new();
    let patient = ["--suspect-ms", "60000", "--lease-ms", "100"];
    let a = Process::with(&place, "node-a", &patient);
    wait_for(a.control, 1, "sole");
    let b = Process::with(&place, "node-b", &[]);
    wait_for(b.control, 2, "tail");
    drop(a);
    wait_for(b.control, 1, "sole");
    assert_eq!(place.record().change.reason, "its link is down");
}

#[cfg(feature = "s3")]
#[test]
fn nodes_meet_in_s3_though_answers_get_lost() {
    use catena_engine::Cluster;
    use catena_engine::{S3Settings, Secret};
    use catena_s3_stand_in::{ACCESS_KEY, Fault, SECRET_ACCESS_KEY, StandIn};

    let store = StandIn::start(&["bucket"]);
    let settings = S3Settings {
        access_key: Some(ACCESS_KEY.into()),
        secret_access_key: Some(Secret::new(SECRET_ACCESS_KEY)),
        endpoint_url: Some(store.endpoint_url()),
        region: Some("eu-central-1".into()),
        ..S3Settings::default()
    };
    let node = |name: &str| {
        let location = "s3://bucket/clusters".parse().expect("a location");
        let cluster = Cluster::at(location).s3(settings.clone()).node_name(name);
        let cluster = cluster.create(ClusterSettings::default());
        Engine::builder().shards(8).cluster(cluster).start().expect("it starts")
    };
    store.fail_puts([Fault::LoseReply]);
    let a = node("node-a");
    wait_for(control(&a), 1, "sole");
    assert_eq!(store.puts(), 1, "it saw that the record was its own");
    store.fail_puts([Fault::Drop, Fault::Refuse(503)]);
    let b = node("node-b");
    wait_for(control(&b), 2, "tail");
    assert_eq!(store.puts(), 4);
    assert!(store.contents("bucket", "clusters/catena/config.json").is_some());

    // Without the store all goes on but changes, and it says so.
    drop(store);
    let status = Operator::at(control(&a)).wait(|status| !status.register_trouble.is_empty());
    assert_eq!((&*status.standing, status.active), ("member", true));
    assert_eq!(Way::to("object", a.addresses()).add("object"), 1);
    assert_eq!(Way::to("object", b.addresses()).get("object"), 1);
    let another = Cluster::at("s3://bucket/clusters".parse().expect("a location"));
    let error = Engine::builder().cluster(another.s3(settings)).start().expect_err("no store");
    let text = error.to_string();
    assert!(
        text.starts_with("cannot use the cluster's register at s3://bucket/clusters: "),
        "{text}"
    );
}
