//! Clusters of several nodes: how they join, leave, fail and replicate.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use catena_core::chain::record::{ChangeKind, NodeId};
use catena_engine::{ClusterSettings, Engine, Heads};
use catena_protocol::op::CellOp;
use catena_protocol::operator::{NodeStatus, Reply as OperatorReply, Request};
use catena_protocol::{ObjectId, Op, Reply, ShardId, ShardMap, Status};

use crate::binary::Running;
use crate::cluster::{ClusterDir, Operator, control, incarnation};
use crate::wire::{ADD, GET, GUARD, Received, RequestHeader, Wire, open_in};

/// Waits until the node at this control port is active in that role, among this many members.
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

/// Starts nodes of 1, 2, 1, … cores, which join one after the other.
fn chain<const N: usize>(dir: &ClusterDir, names: [&str; N]) -> [Engine; N] {
    let replicas = u32::try_from(N).expect("few");
    let mut count = 0;
    names.map(|name| {
        let settings =
            ClusterSettings { replicas, heads: Heads::One, ..ClusterSettings::default() };
        let cluster = dir.cluster().node_name(name).create(settings);
        let builder = Engine::builder().cores(count % 2 + 1).shards(8).cluster(cluster);
        let engine = builder.start().expect("it starts");
        count += 1;
        Operator::at(control(&engine))
            .wait(|status| status.members.len() == count && status.active);
        engine
    })
}

/// A connection to the core of a node that owns an object's shard.
struct ShardConn {
    wire: Wire,
    shard: ShardId,
    now_us: u64,
}

impl ShardConn {
    fn to(name: &str, addresses: &[SocketAddr]) -> ShardConn {
        let cores = u16::try_from(addresses.len()).expect("few");
        let map = ShardMap::new(8, cores).expect("a map");
        let shard = map.shard_of(ObjectId::of(name));
        let (wire, welcome) = Wire::welcomed(addresses[usize::from(map.core_of(shard))]);
        assert_eq!(welcome.shards, 8);
        ShardConn { wire, shard, now_us: welcome.now_us }
    }

    /// Opens a session and adds 1 to the counter, as its first update.
    fn add(&mut self, name: &str) -> i64 {
        let open = open_in(self.shard, 7, self.now_us);
        assert_eq!(self.request(&open).status(), Status::Ok);
        let ask = RequestHeader {
            session: 7,
            number: 1,
            shard: self.shard.0,
            name,
            ..RequestHeader::default()
        };
        int(&self.request(&ask.frame(ADD)).reply())
    }

    fn get(&mut self, name: &str) -> i64 {
        let ask = RequestHeader { shard: self.shard.0, name, ..RequestHeader::default() };
        int(&self.request(&ask.frame(GET)).reply())
    }

    /// Repeats a request while the node is busy, as one is that has just joined or whose lease expired.
    fn request(&mut self, frame: &[u8]) -> Received {
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
fn two_nodes_hold_the_same_objects() {
    let dir = ClusterDir::new();
    let engines = chain(&dir, ["node-a", "node-b"]);
    for (engine, role) in engines.iter().zip(["head", "tail"]) {
        let status = wait_for(control(engine), 2, role);
        let order: Vec<u16> = status.shards.iter().map(|shard| shard.shard).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(status.lease_us.is_some(), "{status:?}");
        assert!(status.members.iter().all(|member| member.suspected.is_empty()), "{status:?}");
        assert_eq!((&*status.standing, status.epoch), ("member", 2));
        assert_eq!((status.learner, status.teacher, status.rejoins_ms), (0, 0, 0));
    }
    assert_eq!(ShardConn::to("object", engines[0].addresses()).add("object"), 1);
    for engine in &engines {
        assert_eq!(ShardConn::to("object", engine.addresses()).get("object"), 1);
    }
    let applied = |engine: &Engine| -> u64 {
        Operator::at(control(engine)).status().shards.iter().map(|shard| shard.applied).sum()
    };
    assert_eq!(applied(&engines[0]), 2, "a session and an update");
    assert_eq!(applied(&engines[1]), 2);
}

#[test]
fn one_of_several_nodes_creates_the_cluster() {
    let dir = ClusterDir::new();
    let builders = ["node-a", "node-b", "node-c"].map(|name| {
        let settings =
            ClusterSettings { replicas: 3, heads: Heads::One, ..ClusterSettings::default() };
        Engine::builder().shards(8).cluster(dir.cluster().node_name(name).create(settings))
    });
    let engines = std::thread::scope(|scope| {
        let starting = builders.map(|builder| scope.spawn(|| builder.start()));
        starting.map(|starting| starting.join().expect("it does not panic").expect("it starts"))
    });
    for engine in &engines {
        let all = ["node-a", "node-b", "node-c"].into();
        Operator::at(control(engine)).wait(|status| status.active && names(status) == all);
    }
    let record = dir.record();
    assert_eq!(record.epoch, 3, "one node created it, and two were added");
}

#[test]
fn a_spare_node_waits_until_a_member_leaves() {
    let dir = ClusterDir::new();
    let [a, b, c] = chain(&dir, ["node-a", "node-b", "node-c"]);
    for (engine, role) in [(&a, "head"), (&b, "middle"), (&c, "tail")] {
        wait_for(control(engine), 3, role);
    }
    assert_eq!(ShardConn::to("object", a.addresses()).add("object"), 1);
    let d = dir.node("node-d").start().expect("it starts");
    let mut waiting = Operator::at(control(&d));
    waiting.wait(|status| status.standing == "learner");
    let ready = Operator::at(control(&c)).wait(|status| status.learner == incarnation(&d).0);
    assert_eq!(ready.members.len(), 3);
    let spares: Vec<&str> = ready.spares.iter().map(|spare| &*spare.name).collect();
    assert_eq!(spares, ["node-d"]);
    assert_eq!(ready.spares[0].control, control(&d).to_string());

    // An operator has another member remove the middle one.
    let (first, mut removed) = (incarnation(&b), Operator::at(control(&b)));
    assert_eq!(Operator::at(control(&a)).ask(&Request::Remove(first.0)), OperatorReply::Accepted);
    let status = removed.wait(|status| status.standing == "removed");
    assert!(status.rejoins_ms > 0 && status.node != first.0, "{status:?}");
    assert_ne!(incarnation(&b), first);
    let status = wait_for(control(&d), 3, "tail");
    assert_eq!(names(&status), ["node-a", "node-c", "node-d"].into());
    assert_eq!(ShardConn::to("object", d.addresses()).get("object"), 1);
    let record = dir.record();
    assert!(record.is_retired(first));

    // It rejoins, and waits as a spare until the head leaves.
    assert_eq!(removed.ask(&Request::Join), OperatorReply::Accepted);
    removed.wait(|status| status.standing == "learner");
    let head = incarnation(&a);
    a.stop();
    a.wait().expect("it stops without an error");
    let record = dir.record();
    assert!(record.is_retired(head), "it left before it stopped");
    let status = wait_for(control(&b), 3, "tail");
    assert_eq!(names(&status), ["node-b", "node-c", "node-d"].into());
    assert_eq!(ShardConn::to("object", b.addresses()).get("object"), 1);
    wait_for(control(&c), 3, "head");
}

/// Nothing happens in the cluster meanwhile that would make the node look at the shard again.
#[test]
fn an_idle_node_transfers_a_large_state() {
    let dir = ClusterDir::new();
    let settings = ClusterSettings { replicas: 2, heads: Heads::One, ..ClusterSettings::default() };
    let node = |name: &str| {
        let cluster = dir.cluster().node_name(name).create(settings.clone());
        Engine::builder().shards(8).cluster(cluster).start().expect("it starts")
    };
    let a = node("node-a");
    wait_for(control(&a), 1, "sole");
    let mut conn = ShardConn::to("cell", a.addresses());
    let open = open_in(conn.shard, 7, conn.now_us);
    assert_eq!(conn.request(&open).status(), Status::Ok);
    let (shard, bytes) = (conn.shard.0, vec![7; 8 * 1024 * 1024]);
    let ask =
        RequestHeader { session: 7, number: 1, shard, name: "cell", ..RequestHeader::default() };
    assert_eq!(
        conn.request(&ask.frame(Op::Cell(CellOp::Set { bytes: &bytes }))).status(),
        Status::Ok
    );
    let b = node("node-b");
    wait_for(control(&b), 2, "tail");
}

/// A node that leaves gives its leases back: the others need not wait until these expire.
#[test]
fn a_planned_departure_does_not_stop_updates_for_a_lease() {
    let dir = ClusterDir::new();
    let settings = ClusterSettings {
        replicas: 3,
        heads: Heads::One,
        suspect_ms: 6_000,
        lease_ms: 5_000,
        ..ClusterSettings::default()
    };
    let mut count = 0;
    let [a, b, c] = ["node-a", "node-b", "node-c"].map(|name| {
        let cluster = dir.cluster().node_name(name).create(settings.clone());
        let engine = Engine::builder().shards(8).cluster(cluster).start().expect("it starts");
        count += 1;
        Operator::at(control(&engine))
            .wait(|status| status.members.len() == count && status.active);
        engine
    });
    let mut conn = ShardConn::to("object", a.addresses());
    assert_eq!(conn.add("object"), 1);
    b.stop();
    b.wait().expect("it stops without an error");
    let started = Instant::now();
    let (shard, name) = (conn.shard.0, "object");
    let ask = RequestHeader { session: 7, number: 2, shard, name, ..RequestHeader::default() };
    assert_eq!(int(&conn.request(&ask.frame(ADD)).reply()), 2);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let record = dir.record();
    assert_eq!((record.nodes.len(), &*record.change.reason), (2, "leaving"));
    drop(c);
}

#[test]
fn an_operator_removes_a_member_and_has_it_rejoin() {
    let dir = ClusterDir::new();
    let [a, b] = chain(&dir, ["node-a", "node-b"]);
    // The head leaves: the other member has all its objects.
    assert_eq!(ShardConn::to("object", a.addresses()).add("object"), 1);
    let (mut operator, first) = (Operator::at(control(&a)), incarnation(&a));
    assert_eq!(operator.ask(&Request::Remove(first.0)), OperatorReply::Accepted);
    operator.wait(|status| status.standing == "removed");
    wait_for(control(&b), 1, "sole");
    let record = dir.record();
    assert_eq!((record.change.kind, record.change.subject), (ChangeKind::Remove, Some(first)));
    assert_eq!((&*record.change.reason, record.change.by), ("leaving", incarnation(&b)));
    assert_eq!(ShardConn::to("object", b.addresses()).get("object"), 1);
    assert_eq!(operator.ask(&Request::Join), OperatorReply::Accepted);
    wait_for(control(&a), 2, "tail");
    wait_for(control(&b), 2, "head");
    assert_eq!(ShardConn::to("object", a.addresses()).get("object"), 1);
}

/// Returns the shards of which a node is the head.
fn heads(engine: &Engine) -> Vec<u16> {
    let status = Operator::at(control(engine)).status();
    let heads = status.shards.iter().filter(|shard| ["head", "sole"].contains(&&*shard.role));
    heads.map(|shard| shard.shard).collect()
}

/// Waits until each node is the head of its part of the shards, in the order of their ids.
fn wait_spread(engines: &[&Engine]) {
    let mut engines = engines.to_vec();
    engines.sort_by_key(|engine| incarnation(engine));
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
fn heads_are_spread_and_chains_lined_up_for_a_node_that_joins() {
    let dir = ClusterDir::new();
    let start = |name| {
        let settings =
            ClusterSettings { replicas: 3, min_members: 1, ..ClusterSettings::default() };
        let cluster = dir.cluster().node_name(name).create(settings);
        Engine::builder().cores(2).shards(8).cluster(cluster).start().expect("it starts")
    };
    let a = start("node-a");
    wait_for(control(&a), 1, "sole");
    let map = ShardMap::new(8, 2).expect("a map");
    let names = [0, 1, 2, 3, 4, 5, 6, 7].map(|shard| {
        let mut names = (0..).map(|number| format!("object {number}"));
        names.find(|name| map.shard_of(ObjectId::of(name)) == ShardId(shard)).expect("there is one")
    });
    let mut conns = Vec::new();
    for name in &names {
        let mut conn = ShardConn::to(name, a.addresses());
        assert_eq!(conn.add(name), 1);
        conns.push(conn);
    }
    let (b, c) = (start("node-b"), start("node-c"));
    wait_spread(&[&a, &b, &c]);
    assert_eq!(dir.record().change.kind, ChangeKind::Reorder);
    // A node that is the head of fewer shards than before closes its connections, because requests may
    // wait there.
    assert!(conns.iter_mut().all(|conn| conn.wire.next().is_none()));
    for engine in [&a, &b, &c] {
        for name in &names {
            assert_eq!(ShardConn::to(name, engine.addresses()).get(name), 1);
        }
    }

    // One member leaves and rejoins: the chains have to end at one member, the source of its state.
    assert_eq!(
        Operator::at(control(&b)).ask(&Request::Remove(incarnation(&b).0)),
        OperatorReply::Accepted
    );
    let mut removed = Operator::at(control(&b));
    removed.wait(|status| status.standing == "removed");
    assert_eq!(removed.ask(&Request::Join), OperatorReply::Accepted);
    wait_spread(&[&a, &b, &c]);
    for name in &names {
        let shard = ShardConn::to(name, a.addresses()).shard;
        let head = [&a, &b, &c].into_iter().find(|engine| heads(engine).contains(&shard.0));
        // The session is known, so its first update is a retry.
        assert_eq!(ShardConn::to(name, head.expect("it has one").addresses()).add(name), 1);
        assert_eq!(ShardConn::to(name, b.addresses()).get(name), 1);
    }
}

/// A node in a process of its own.
pub(crate) struct Process {
    pub(crate) running: Running,
    pub(crate) control: SocketAddr,
    incarnation: NodeId,
}

impl Process {
    fn start(dir: &ClusterDir, name: &str) -> Process {
        Process::with(dir, name, &[])
    }

    pub(crate) fn with(dir: &ClusterDir, name: &str, args: &[&str]) -> Process {
        let url = dir.url();
        let first =
            ["--heads", "one", "--cluster", &url, "--create", "--shards", "8", "--node-name", name];
        let running = Running::start(&[&first, args].concat());
        let ready = running.ready.trim();
        let (_, within) = ready.split_once(") as ").expect("it prints its id");
        let (id, rest) =
            within.split_once(" (").and_then(|(_, rest)| rest.split_once(')')).expect(ready);
        assert!(within.starts_with(name), "{ready}");
        let control = rest.strip_prefix(" in cluster catena, control ").expect(ready);
        let control = control.split(',').next().unwrap_or_default();
        let (incarnation, control) =
            (id.parse().expect("an id"), control.parse().expect("an address"));
        Process { running, control, incarnation }
    }
}

#[test]
fn a_process_leaves_the_cluster_before_it_stops() {
    let dir = ClusterDir::new();
    let mut a = Process::start(&dir, "node-a");
    wait_for(a.control, 1, "sole");
    let b = Process::start(&dir, "node-b");
    wait_for(b.control, 2, "tail");
    a.running.signal("-TERM");
    let (status, said) = a.running.end();
    assert_eq!(status.code(), Some(0), "{said}");
    for line in ["leaving the cluster", "this node has left the cluster", "stopped"] {
        assert!(said.contains(line), "`{said}` does not contain `{line}`");
    }
    let change = dir.record().change;
    assert_eq!((change.kind, change.subject), (ChangeKind::Remove, Some(a.incarnation)));
    assert_eq!((&*change.reason, change.by), ("leaving", b.incarnation));
    wait_for(b.control, 1, "sole");
}

#[test]
fn a_process_that_dies_is_removed_and_replaced() {
    let dir = ClusterDir::new();
    let a = Process::start(&dir, "node-a");
    wait_for(a.control, 1, "sole");
    let mut b = Process::start(&dir, "node-b");
    wait_for(b.control, 2, "tail");
    assert_eq!(ShardConn::to("object", &a.running.addresses).add("object"), 1);
    let first = a.incarnation;
    drop(a);
    wait_for(b.control, 1, "sole");
    assert!(dir.record().is_retired(first));
    assert_eq!(ShardConn::to("object", &b.running.addresses).get("object"), 1);
    let a = Process::start(&dir, "node-a");
    assert_ne!(a.incarnation, first);
    wait_for(a.control, 2, "tail");
    assert_eq!(ShardConn::to("object", &a.running.addresses).get("object"), 1);

    // A process that is stopped for long enough is removed, and learns that when it goes on.
    b.running.signal("-STOP");
    wait_for(a.control, 1, "sole");
    b.running.signal("-CONT");
    let status = Operator::at(b.control).wait(|status| status.standing == "removed");
    assert_ne!(status.node, b.incarnation.0);
    b.running.signal("-TERM");
    let (status, said) = b.running.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("this node was removed from the cluster: silent."), "{said}");
}

/// A refused connection shows at once that the process is gone, before it counts as silent.
#[test]
fn a_process_that_is_gone_is_removed_at_once() {
    let dir = ClusterDir::new();
    let patient = ["--suspect-ms", "60000", "--lease-ms", "100"];
    let a = Process::with(&dir, "node-a", &patient);
    wait_for(a.control, 1, "sole");
    let b = Process::with(&dir, "node-b", &[]);
    wait_for(b.control, 2, "tail");
    drop(a);
    wait_for(b.control, 1, "sole");
    assert_eq!(dir.record().change.reason, "its link is down");
}

#[cfg(feature = "s3")]
#[test]
fn nodes_join_through_s3_although_replies_get_lost() {
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
    assert_eq!(store.puts(), 1, "it recognized its own record");
    store.fail_puts([Fault::Drop, Fault::Refuse(503)]);
    let b = node("node-b");
    wait_for(control(&b), 2, "tail");
    assert_eq!(store.puts(), 4);
    assert!(store.contents("bucket", "clusters/catena/config.json").is_some());

    // Without the store requests are served, no change is possible, and the status says so.
    drop(store);
    let status = Operator::at(control(&a)).wait(|status| !status.register_trouble.is_empty());
    assert_eq!((&*status.standing, status.active), ("member", true));
    assert_eq!(ShardConn::to("object", a.addresses()).add("object"), 1);
    assert_eq!(ShardConn::to("object", b.addresses()).get("object"), 1);
    let another = Cluster::at("s3://bucket/clusters".parse().expect("a location"));
    let error = Engine::builder().cluster(another.s3(settings)).start().expect_err("no store");
    let text = error.to_string();
    assert!(
        text.starts_with("cannot use the cluster's register at s3://bucket/clusters: "),
        "{text}"
    );
}
