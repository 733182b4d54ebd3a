//! Nodes of a cluster: how they create and join it, what the control port accepts, and what operators
//! see.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use catena_core::chain::member::PeerMessage;
use catena_core::chain::record::{ChangeId, NodeId, NodeInfo, Record};
use catena_engine::{Builder, Cluster, ClusterSettings, Engine, StartError};
use catena_protocol::operator::{NodeStatus, Reply, Request};
use catena_protocol::peer::{PeerHello, STATE_VERSION};
use catena_protocol::{Fault, FrameKind, Header, Refusal, Status, frame};
use tempfile::TempDir;

use crate::binary::Running;
use crate::wire::{GUARD, Received, Wire, hello};

/// A temporary directory with the records of clusters.
pub(crate) struct ClusterDir(TempDir);

impl ClusterDir {
    pub(crate) fn new() -> ClusterDir {
        ClusterDir(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::at(self.url().parse().expect("a location"))
            .join_timeout(Duration::from_millis(100))
    }

    /// Returns a node of two cores with this name.
    pub(crate) fn node(&self, name: &str) -> Builder {
        Engine::builder().cores(2).shards(8).cluster(self.cluster().node_name(name))
    }

    /// Returns a node that creates the cluster.
    pub(crate) fn creator(&self, name: &str) -> Builder {
        let cluster = self.cluster().node_name(name).create(ClusterSettings::default());
        Engine::builder().cores(2).shards(8).cluster(cluster)
    }

    fn path(&self, cluster: &str) -> PathBuf {
        self.0.path().join(cluster).join("config.json")
    }

    pub(crate) fn record(&self) -> Record {
        let bytes = std::fs::read(self.path("catena")).expect("there is a record");
        Record::from_bytes(&bytes).expect("a valid record")
    }

    fn put(&self, record: &Record) {
        self.put_as("catena", record);
    }

    fn put_as(&self, cluster: &str, record: &Record) {
        let path = self.path(cluster);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, record.to_bytes()).expect("a file");
    }
}

/// Another node, at an address where the test listens.
const OTHER: NodeId = NodeId(7);

/// Returns a record of epoch 1 with [`OTHER`] as its only member.
fn record_of_other(address: SocketAddr) -> Record {
    let settings = ClusterSettings { shards: 8, ..ClusterSettings::default() };
    let nowhere = ([127, 0, 0, 1], 1).into();
    let info = NodeInfo { name: "other".into(), peer: address, clients: vec![nowhere], az: None };
    let nodes = BTreeMap::from([(OTHER, info)]);
    Record::create("catena", &settings, nodes, OTHER, ChangeId(1)).expect("a record")
}

pub(crate) fn control(engine: &Engine) -> SocketAddr {
    engine.control_address().expect("it is part of a cluster")
}

pub(crate) fn incarnation(engine: &Engine) -> NodeId {
    engine.node_id().expect("it is part of a cluster")
}

fn peer_hello(from: NodeId, to: NodeId) -> PeerHello {
    let cluster = "catena".to_owned();
    PeerHello { from: from.0, to: to.0, shards: 0, core: 0, cores: 0, cluster }
}

fn bytes_of(hello: &PeerHello) -> Vec<u8> {
    let mut bytes = Vec::new();
    hello.write(&mut bytes);
    bytes
}

fn message(message: &PeerMessage) -> Vec<u8> {
    message_at(0, message)
}

/// A message of a node whose clock shows this time of day, in microseconds.
fn message_at(day_us: u64, message: &PeerMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let body = serde_json::to_vec(message).expect("JSON");
    let header = Header { number: day_us, ..Header::new(FrameKind::PeerMessage) };
    frame::write(&mut bytes, &header, |out| {
        out.extend_from_slice(&body);
    })
    .expect("a small frame");
    bytes
}

fn message_of(frame: &Received) -> PeerMessage {
    assert_eq!(frame.header.kind, FrameKind::PeerMessage);
    serde_json::from_slice(frame.body()).expect("a message")
}

/// The connection of an operator.
pub(crate) struct Operator(Wire);

impl Operator {
    pub(crate) fn at(address: SocketAddr) -> Operator {
        let mut wire = Wire::silent(address);
        let hello = PeerHello { cluster: String::new(), ..peer_hello(NodeId(0), NodeId(0)) };
        wire.send(&bytes_of(&hello));
        assert_eq!(wire.receive().header.kind, FrameKind::PeerWelcome);
        Operator(wire)
    }

    pub(crate) fn send(&mut self, request: &Request) {
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        self.0.send(&bytes);
    }

    pub(crate) fn receive(&mut self) -> Reply {
        let frame = self.0.receive();
        assert_eq!(frame.header.kind, FrameKind::OperatorReply);
        Reply::decode(frame.body()).expect("a reply")
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        self.send(request);
        self.receive()
    }

    pub(crate) fn refused(&mut self, request: &Request) -> String {
        match self.ask(request) {
            Reply::Refused(why) => why,
            other => panic!("the reply to {request:?} is {other:?}"),
        }
    }

    pub(crate) fn status(&mut self) -> NodeStatus {
        match self.ask(&Request::Status) {
            Reply::Status(status) => *status,
            other => panic!("the reply to a status request is {other:?}"),
        }
    }

    /// Requests the status until `is_wanted` accepts it.
    pub(crate) fn wait(&mut self, is_wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        let started = Instant::now();
        loop {
            let status = self.status();
            if is_wanted(&status) {
                return status;
            }
            assert!(started.elapsed() < GUARD, "it stays {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_node_creates_a_cluster() {
    let dir = ClusterDir::new();
    let engine = dir.creator("node-a").start().expect("it starts");
    assert_eq!(engine.names(), Some(("node-a", "catena")));
    assert_eq!(engine.shards(), 8);
    let mut operator = Operator::at(control(&engine));
    let status = operator.wait(|status| status.epoch == 1);
    assert_eq!(status.node, incarnation(&engine).0);
    assert_eq!((&*status.name, &*status.cluster), ("node-a", "catena"));
    assert_eq!((&*status.standing, status.active), ("member", true));
    assert_eq!((status.replicas, status.min_members), (2, 1));
    assert_eq!((&*status.proposal, &*status.register_trouble), ("", ""));
    assert_eq!((status.learner, status.teacher, status.rejoins_ms), (0, 0, 0));
    assert_eq!(status.lease_us, None, "a sole member needs no lease");
    let [member] = &status.members[..] else { panic!("{:?}", status.members) };
    assert_eq!((member.node, &*member.name), (status.node, "node-a"));
    assert_eq!(member.control, control(&engine).to_string());
    assert_eq!((member.silent_us, &*member.suspected), (0, ""));

    let record = dir.record();
    let info = &record.nodes[&incarnation(&engine)];
    assert_eq!((&*info.name, info.peer, &info.az), ("node-a", control(&engine), &None));
    assert_eq!(info.clients, engine.addresses());
    assert_eq!((record.epoch, record.settings.shards, record.settings.replicas), (1, 8, 2));
}

#[test]
fn a_node_that_does_not_create_its_cluster_times_out() {
    let dir = ClusterDir::new();
    let error = dir.node("node-a").start().expect_err("no node creates it");
    assert!(matches!(error, StartError::NoCluster { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("the cluster \"catena\" does not exist at file://"), "{text}");
    assert!(text.ends_with("within 100ms: start one node with --create"), "{text}");
}

#[test]
fn a_node_waits_for_another_to_create_the_cluster() {
    let dir = ClusterDir::new();
    let patient = dir.cluster().node_name("node-b").join_timeout(GUARD);
    let (early, creator) = std::thread::scope(|scope| {
        let early = scope.spawn(|| Engine::builder().cluster(patient).start());
        let creator = dir.creator("node-a").start().expect("it starts");
        (early.join().expect("it does not panic"), creator)
    });
    let early = early.expect("it starts once there is a cluster");
    assert_eq!(early.shards(), 8, "the creator's settings win");
    let status = Operator::at(control(&early)).status();
    assert_eq!(status.members[0].node, incarnation(&creator).0);
}

#[test]
fn an_unusable_register_fails_the_start_at_once() {
    let dir = ClusterDir::new();
    let file = dir.0.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below = format!("file://{}", file.display()).parse().expect("a location");
    let error =
        Engine::builder().cluster(Cluster::at(below).create(ClusterSettings::default())).start();
    let text = error.expect_err("a file is not a directory").to_string();
    assert!(text.starts_with("cannot use the cluster's register at file://"), "{text}");
    assert!(text.contains("cannot open"), "{text}");

    // The record of another cluster was copied there.
    let other = dir
        .creator("node-a")
        .cluster(dir.cluster().name("other").create(ClusterSettings::default()));
    let other = other.start().expect("it starts");
    Operator::at(control(&other)).wait(|status| status.epoch == 1);
    let record = std::fs::read(dir.path("other")).expect("a record");
    let record = Record::from_bytes(&record).expect("a record");
    dir.put_as("catena", &record);
    let text = dir.node("node-a").start().expect_err("another's record").to_string();
    let expected = "the record belongs to cluster \"other\", expected \"catena\"";
    assert!(text.ends_with(expected), "{text}");

    std::fs::write(dir.path("catena"), "{\"v\":2}").expect("a file");
    let text = dir.node("node-a").start().expect_err("a later format").to_string();
    assert!(text.contains("the record has version 2, this program reads version 1"), "{text}");
}

#[test]
fn clusters_of_several_names_share_a_location() {
    let dir = ClusterDir::new();
    let one = dir.creator("node-a").start().expect("it starts");
    let cluster =
        dir.cluster().name("second").node_name("node-b").create(ClusterSettings::default());
    let two = Engine::builder().shards(16).cluster(cluster).start().expect("it starts");
    for (engine, name, shards) in [(&one, "catena", 8), (&two, "second", 16)] {
        let status = Operator::at(control(engine)).wait(|status| status.epoch == 1);
        assert_eq!((&*status.cluster, status.members.len()), (name, 1));
        assert_eq!(engine.shards(), shards);
    }
}

#[test]
fn a_node_has_at_most_one_core_per_shard() {
    let dir = ClusterDir::new();
    dir.put(&Record { ..record_of_other(([127, 0, 0, 1], 1).into()) });
    let cluster = dir.cluster().node_name("node-a");
    let error = Engine::builder().cores(9).cluster(cluster).start().expect_err("9 cores");
    let text = error.to_string();
    assert_eq!(text, "cores cannot be 9: expected 1 to 8, the number of shards");
}

#[test]
fn addresses_of_other_machines_have_to_be_allowed_and_known() {
    let dir = ClusterDir::new();
    let wide: SocketAddr = ([0, 0, 0, 0], 0).into();
    let cluster = dir.cluster().create(ClusterSettings::default());
    let refusals = [
        (Engine::builder().cluster(cluster.clone().control(wide)), "does not encrypt or"),
        (Engine::builder().listen(wide).insecure_network(true).cluster(cluster), "--advertise"),
    ];
    for (builder, expected) in refusals {
        let text = builder.start().expect_err(expected).to_string();
        assert!(text.contains(expected), "`{text}` does not contain `{expected}`");
    }
    let cluster = dir.cluster().create(ClusterSettings::default());
    let cluster = cluster.control(wide).advertise(IpAddr::from([127, 0, 0, 1]));
    let builder = Engine::builder().listen(wide).insecure_network(true).cluster(cluster);
    let engine = builder.start().expect("it starts");
    let status = Operator::at(([127, 0, 0, 1], control(&engine).port()).into())
        .wait(|status| status.epoch == 1);
    assert_eq!(status.members[0].control, format!("127.0.0.1:{}", control(&engine).port()));
}

#[test]
fn the_control_port_refuses_other_nodes_clusters_and_protocols() {
    let dir = ClusterDir::new();
    let retired = NodeId(8);
    let nowhere = ([127, 0, 0, 1], 1).into();
    dir.put(&Record { retired: vec![retired], ..record_of_other(nowhere) });
    let engine = dir.node("node-a").start().expect("it starts");
    let me = incarnation(&engine);
    let hello_from = |from| peer_hello(from, me);
    let another = PeerHello { cluster: "another".into(), ..hello_from(OTHER) };
    let of_core = PeerHello { shards: 8, cores: 1, ..hello_from(OTHER) };
    let nobody = PeerHello { to: 0, ..hello_from(OTHER) };
    let another_operator =
        PeerHello { cluster: "another".into(), ..peer_hello(NodeId(0), NodeId(0)) };
    let mut older = bytes_of(&hello_from(OTHER));
    older[2] = 0;
    let mut other_state = Vec::new();
    hello_from(OTHER).write_as(STATE_VERSION + 1, &mut other_state);
    let mut ask = Vec::new();
    Request::Status.write(&mut ask);
    let large = PeerHello { cluster: "x".repeat(5_000), ..hello_from(OTHER) };
    let mut malformed = Vec::new();
    frame::write(&mut malformed, &Header::new(FrameKind::PeerHello), |_| {}).expect("no body");
    let large_bytes = u64::try_from(bytes_of(&large).len()).expect("small");
    let cases = [
        (bytes_of(&another), Fault::new(Status::WrongCluster)),
        (bytes_of(&another_operator), Fault::new(Status::WrongCluster)),
        (bytes_of(&peer_hello(OTHER, NodeId(me.0 ^ 1))), Fault::new(Status::WrongNode)),
        (bytes_of(&nobody), Fault::new(Status::WrongNode)),
        (bytes_of(&hello_from(me)), Fault::new(Status::WrongNode)),
        (bytes_of(&hello_from(NodeId(0))), Fault::new(Status::WrongNode)),
        (bytes_of(&hello_from(retired)), Fault::new(Status::Retired)),
        (bytes_of(&of_core), Fault::expected(Status::BadShard, 0, 8)),
        (older, Fault::expected(Status::BadVersion, 1, 0)),
        (other_state, Fault::expected(Status::BadVersion, STATE_VERSION, STATE_VERSION + 1)),
        (bytes_of(&large), Fault::expected(Status::BadLength, 4_096, large_bytes)),
        (malformed, Fault::new(Status::BadBody)),
        (ask, Fault::new(Status::HelloRequired)),
        (hello(), Fault::new(Status::HelloRequired)),
        (b"GET / HTTP/1.1\r\n".to_vec(), Fault::expected(Status::BadMagic, 0xCA7E, 0x4547)),
    ];
    for (bytes, fault) in cases {
        let mut wire = Wire::silent(control(&engine));
        wire.send(&bytes);
        assert_eq!(wire.receive().refusal(), Refusal::Fault(fault));
        assert!(wire.next().is_none(), "{fault} ends the connection");
    }
    // Other connections work.
    assert_eq!(Operator::at(control(&engine)).status().standing, "outside");
}

#[test]
fn a_node_that_is_not_a_member_is_told_on_its_own_connection() {
    let dir = ClusterDir::new();
    let engine = dir.creator("node-a").start().expect("it starts");
    Operator::at(control(&engine)).wait(|status| status.epoch == 1);
    let mut wire = Wire::silent(control(&engine));
    let request = PeerMessage::LeaseRequest { epoch: 1, asked_at_us: 5, active: false };
    // Several messages in one write, after the handshake.
    let hello = bytes_of(&peer_hello(OTHER, incarnation(&engine)));
    wire.send(&[hello, message(&request), message(&request)].concat());
    assert_eq!(wire.receive().header.kind, FrameKind::PeerWelcome);
    for _ in 0..2 {
        let answer = message_of(&wire.receive());
        assert_eq!(answer, PeerMessage::NotMember(Box::new(dir.record())));
    }
    // Bytes that are not a message end the connection.
    let mut nonsense = Vec::new();
    frame::write(&mut nonsense, &Header::new(FrameKind::PeerMessage), |out| {
        out.extend_from_slice(b"{\"sync\":{}}");
    })
    .expect("a small frame");
    wire.send(&nonsense);
    assert!(wire.next().is_none());
}

/// Returns the next connection of a node to the test, and its hello.
fn next_peer(listener: &TcpListener) -> (Wire, PeerHello) {
    let started = Instant::now();
    listener.set_nonblocking(true).expect("a socket");
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if started.elapsed() < GUARD => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("no node connects: {error}"),
        }
    };
    stream.set_nonblocking(false).expect("a socket");
    let mut wire = Wire::accepted(stream);
    let frame = wire.receive();
    assert_eq!(frame.header.kind, FrameKind::PeerHello);
    let hello = PeerHello::decode(frame.body()).expect("a hello");
    (wire, hello)
}

fn welcome(wire: &mut Wire) {
    let mut bytes = Vec::new();
    catena_protocol::peer::write_welcome(&mut bytes);
    wire.send(&bytes);
}

fn refuse(wire: &mut Wire, fault: Fault) {
    let mut bytes = Vec::new();
    let refusal = Refusal::Fault(fault);
    frame::write_reply(&mut bytes, &Header::new(FrameKind::Reply), Err(&refusal));
    wire.send(&bytes);
}

#[test]
fn a_node_joins_through_the_tail() {
    let dir = ClusterDir::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    dir.put(&record_of_other(listener.local_addr().expect("an address")));
    let engine = dir.node("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    let (mut wire, hello) = next_peer(&listener);
    assert_eq!(hello, peer_hello(incarnation(&engine), OTHER));
    welcome(&mut wire);
    let PeerMessage::Join { epoch: 1, ready: false, lost: false, info } =
        message_of(&wire.receive())
    else {
        panic!("it asks to join");
    };
    assert_eq!((&*info.name, info.peer), ("node-a", control(&engine)));
    assert_eq!(info.clients, engine.addresses());
    wire.send(&message(&PeerMessage::Sync { epoch: 1 }));
    let status = operator.wait(|status| status.standing == "learner");
    assert_eq!(status.teacher, OTHER.0);
    assert_eq!(operator.ask(&Request::Join), Reply::Accepted);
    assert_eq!(operator.status().standing, "learner", "it goes on");
    let why = operator.refused(&Request::Remove(OTHER.0));
    assert!(why.starts_with("this node is not a member of cluster \"catena\" now"), "{why}");

    // The connection breaks, and the node connects again.
    drop(wire);
    let (mut wire, hello) = next_peer(&listener);
    assert_eq!(hello.from, incarnation(&engine).0);
    welcome(&mut wire);
    message_of(&wire.receive());
}

#[test]
fn a_member_whose_clock_is_off_is_named_in_the_log() {
    const MINUTE_US: u64 = 60_000_000;
    let dir = ClusterDir::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    dir.put(&record_of_other(listener.local_addr().expect("an address")));
    let mut engine = Running::start(&["--cluster", &dir.url(), "--node-name", "node-a"]);
    let (mut wire, _) = next_peer(&listener);
    welcome(&mut wire);
    let started = Instant::now();
    // Longer than it compares clocks.
    while started.elapsed() < Duration::from_secs(12) {
        let day = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
        let day_us = u64::try_from(day.as_micros()).expect("it is before 500000");
        wire.send(&message_at(day_us + MINUTE_US, &PeerMessage::Wait { epoch: 1 }));
        std::thread::sleep(Duration::from_millis(100));
    }
    engine.signal("-TERM");
    let (_, said) = engine.end();
    assert_eq!(said.matches("the clock of other is").count(), 1, "{said}");
    assert!(said.contains("s ahead of this node's: synchronize the clocks"), "{said}");
}

#[test]
fn a_removed_node_rejoins_as_another_incarnation() {
    let dir = ClusterDir::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let record = record_of_other(listener.local_addr().expect("an address"));
    dir.put(&record);
    let engine = dir.node("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    let first = incarnation(&engine);
    let (mut wire, _) = next_peer(&listener);
    welcome(&mut wire);
    message_of(&wire.receive());
    let info = record.nodes[&OTHER].clone();
    let with_it = record.appended(first, info, OTHER, ChangeId(2)).expect("a record");
    let without = with_it.removed(first, OTHER, OPERATOR, ChangeId(3)).expect("a record");
    dir.put(&without);
    wire.send(&message(&PeerMessage::NotMember(Box::new(without.clone()))));
    let status = operator.wait(|status| status.rejoins_ms > 0);
    assert_eq!(status.standing, "removed");
    assert!(wire.next().is_none_or(|frame| frame.header.kind == FrameKind::PeerMessage));
    assert_eq!((status.epoch, status.active), (3, false));
    assert!((1..=30_000).contains(&status.rejoins_ms), "{status:?}");
    let second = incarnation(&engine);
    assert_ne!(first, second);
    assert_eq!(status.node, second.0);
    // Between two incarnations it has no id that others may use.
    for to in [first, second] {
        let mut wire = Wire::silent(control(&engine));
        wire.send(&bytes_of(&peer_hello(OTHER, to)));
        assert_eq!(wire.receive().refusal(), Refusal::Fault(Fault::new(Status::WrongNode)));
    }
    assert_eq!(operator.ask(&Request::Join), Reply::Accepted);
    operator.wait(|status| status.standing == "outside");
    let (mut wire, hello) = next_peer(&listener);
    assert_eq!(hello, peer_hello(second, OTHER));
    welcome(&mut wire);
    assert!(matches!(message_of(&wire.receive()), PeerMessage::Join { epoch: 3, .. }));
}

/// The reason of a removal after which a node waits long enough for a test to look at it.
const OPERATOR: &str = "an operator asked for it";

/// A connection attempt that was under way when an incarnation ended does not keep the next one from
/// connecting.
#[test]
fn each_incarnation_connects_to_the_source_of_its_state() {
    let dir = ClusterDir::new();
    let control_port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let core_port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut record = record_of_other(control_port.local_addr().expect("an address"));
    let info = record.nodes.get_mut(&OTHER).expect("it is a member");
    info.clients = vec![core_port.local_addr().expect("an address")];
    dir.put(&record);
    let engine = dir.node("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    let start_transfer = |wire: &mut Wire, epoch| {
        welcome(wire);
        message_of(&wire.receive());
        wire.send(&message(&PeerMessage::Sync { epoch }));
        [next_peer(&core_port), next_peer(&core_port)]
    };
    let (mut wire, _) = next_peer(&control_port);
    let first = incarnation(&engine);
    // The test does not reply to these.
    let calls = start_transfer(&mut wire, 1);
    assert!(calls.iter().all(|(_, hello)| hello.from == first.0));

    let info = record.nodes[&OTHER].clone();
    let with_it = record.appended(first, info, OTHER, ChangeId(2)).expect("a record");
    let without = with_it.removed(first, OTHER, OPERATOR, ChangeId(3)).expect("a record");
    dir.put(&without);
    wire.send(&message(&PeerMessage::NotMember(Box::new(without))));
    operator.wait(|status| status.rejoins_ms > 0);
    assert_eq!(operator.ask(&Request::Join), Reply::Accepted);
    let (mut wire, _) = next_peer(&control_port);
    let second = incarnation(&engine);
    let calls = start_transfer(&mut wire, 3);
    assert!(calls.iter().all(|(_, hello)| hello.from == second.0));
}

#[test]
fn only_a_wrong_cluster_ends_a_refused_node() {
    let dir = ClusterDir::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    dir.put(&record_of_other(listener.local_addr().expect("an address")));
    let engine = dir.node("node-a").start().expect("it starts");
    for fault in [
        Fault::new(Status::Retired),
        Fault::new(Status::WrongNode),
        Fault::expected(Status::BadVersion, 2, 1),
    ] {
        let (mut wire, _) = next_peer(&listener);
        refuse(&mut wire, fault);
    }
    let (mut wire, _) = next_peer(&listener);
    wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let (mut wire, _) = next_peer(&listener);
    refuse(&mut wire, Fault::new(Status::WrongCluster));
    let error = engine.wait().expect_err("it belongs to another cluster");
    let expected = format!(
        "other at {} refused this node because it belongs to another cluster than \"catena\"",
        listener.local_addr().expect("an address")
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn another_number_of_shards_ends_the_node() {
    let dir = ClusterDir::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let record = record_of_other(listener.local_addr().expect("an address"));
    dir.put(&record);
    let engine = dir.node("node-a").start().expect("it starts");
    let (mut wire, _) = next_peer(&listener);
    welcome(&mut wire);
    let mut other = record.bumped(OTHER, "a test", ChangeId(2)).expect("a record");
    other.settings.shards = 4;
    other.chains.truncate(4);
    wire.send(&message(&PeerMessage::Config(Box::new(other))));
    let error = engine.wait().expect_err("it has the wrong shards");
    let expected = "the cluster \"catena\" has 4 shards, and this node was started for 8";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn operators_get_the_reason_of_a_refusal() {
    let dir = ClusterDir::new();
    let engine = dir.creator("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    operator.wait(|status| status.epoch == 1);
    let why = operator.refused(&Request::Join);
    assert_eq!(why, "this node is already a member of cluster \"catena\"");
    let why = operator.refused(&Request::Remove(OTHER.0));
    let me = incarnation(&engine);
    assert_eq!(
        why,
        format!("{OTHER} is not a member of cluster \"catena\"; the members are: node-a ({me})")
    );
    let why = operator.refused(&Request::Remove(me.0));
    assert!(why.starts_with("node-a is the last member of cluster \"catena\""), "{why}");

    // Requests are served in order, even if they are sent at once.
    for _ in 0..10 {
        operator.send(&Request::Status);
        operator.send(&Request::Join);
    }
    for _ in 0..10 {
        assert!(matches!(operator.receive(), Reply::Status(_)));
        assert!(matches!(operator.receive(), Reply::Refused(_)));
    }
    // A frame that is not a request ends the connection.
    operator.0.send(&message(&PeerMessage::Leaving));
    let kinds = (FrameKind::Operator.to_wire(), FrameKind::PeerMessage.to_wire());
    let fault = Fault::expected(Status::BadFrameKind, kinds.0.into(), kinds.1.into());
    assert_eq!(operator.0.receive().refusal(), Refusal::Fault(fault));
    assert!(operator.0.next().is_none());
}

#[test]
fn silent_connections_do_not_keep_operators_out() {
    let dir = ClusterDir::new();
    let engine = dir.creator("node-a").start().expect("it starts");
    let address = control(&engine);
    let mut early = Operator::at(address);
    let mut silent: Vec<Wire> = (0..100).map(|_| Wire::silent(address)).collect();
    Operator::at(address).status();
    early.status();
    // The oldest made room for the others, which have five seconds for the handshake.
    for wire in &mut silent {
        assert!(wire.next().is_none());
    }
    // Nor do operators that ask for nothing.
    let mut idle: Vec<Operator> = (0..70).map(|_| Operator::at(address)).collect();
    Operator::at(address).status();
    assert!(idle[0].0.next().is_none(), "the oldest made room");
    idle[69].status();
}

#[test]
fn a_node_of_a_cluster_stops_and_frees_its_ports() {
    let dir = ClusterDir::new();
    let engine = dir.creator("node-a").start().expect("it starts");
    Operator::at(control(&engine)).wait(|status| status.epoch == 1);
    engine.stop();
    engine.wait().expect("it stops without an error");
    let (control, clients) = (control(&engine), engine.addresses().to_vec());
    drop(engine);
    for address in [vec![control], clients].concat() {
        TcpListener::bind(address).expect("the port is free");
    }
    // Its record remains: a node that starts now finds a cluster without a live member.
    let second = dir.creator("node-a").start().expect("it starts");
    let status = Operator::at(crate::cluster::control(&second)).wait(|status| status.epoch == 1);
    assert_eq!(status.standing, "outside");
    drop(second);
}

#[test]
fn the_status_has_the_error_of_the_register_until_it_is_over() {
    let dir = ClusterDir::new();
    let record = record_of_other(([127, 0, 0, 1], 1).into());
    dir.put(&record);
    let engine = dir.node("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    assert_eq!(operator.status().register_trouble, "");
    std::fs::write(dir.path("catena"), "<html>").expect("a file");
    let status = operator.wait(|status| !status.register_trouble.is_empty());
    assert!(status.register_trouble.starts_with("the record cannot be read"), "{status:?}");
    assert_eq!((status.epoch, &*status.standing), (1, "outside"));
    dir.put(&record);
    operator.wait(|status| status.register_trouble.is_empty());
}
