//! Nodes of a cluster: how it is founded, who is let in at the control port, and what operators see.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use catena_core::chain::member::PeerMessage;
use catena_core::chain::record::{ChangeId, NodeId, NodeInfo, Record};
use catena_engine::{Builder, Cluster, ClusterSettings, Engine, StartError};
use catena_protocol::operator::{NodeStatus, Reply, Request};
use catena_protocol::peer::PeerHello;
use catena_protocol::{Fault, FrameKind, Header, Refusal, Status, frame};
use tempfile::TempDir;

use crate::wire::{GUARD, Received, Wire, hello};

/// A directory with the records of clusters.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::at(self.url().parse().expect("a location"))
            .join_timeout(Duration::from_millis(100))
    }

    /// A node of two cores, which is going to be called that.
    pub(crate) fn node(&self, name: &str) -> Builder {
        Engine::builder().cores(2).shards(8).cluster(self.cluster().node_name(name))
    }

    /// A node that founds the cluster.
    pub(crate) fn founder(&self, name: &str) -> Builder {
        let cluster = self.cluster().node_name(name).create(ClusterSettings::default());
        Engine::builder().cores(2).shards(8).cluster(cluster)
    }

    fn path(&self, cluster: &str) -> PathBuf {
        self.0.path().join(cluster).join("config.json")
    }

    pub(crate) fn record(&self) -> Record {
        let bytes = std::fs::read(self.path("catena")).expect("there is a record");
        Record::from_bytes(&bytes).expect("a record that makes sense")
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

/// A node of somebody else, at an address where this test listens.
const OTHER: NodeId = NodeId(7);

/// A record of epoch 1 with [`OTHER`] as its only member.
fn record_of_other(address: SocketAddr) -> Record {
    let settings = ClusterSettings { shards: 8, ..ClusterSettings::default() };
    let nowhere = ([127, 0, 0, 1], 1).into();
    let info = NodeInfo { name: "other".into(), peer: address, clients: vec![nowhere], az: None };
    let founders = BTreeMap::from([(OTHER, info)]);
    Record::create("catena", &settings, founders, OTHER, ChangeId(1)).expect("a record")
}

pub(crate) fn control(engine: &Engine) -> SocketAddr {
    engine.control_address().expect("it is part of a cluster")
}

pub(crate) fn life(engine: &Engine) -> NodeId {
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
    let mut bytes = Vec::new();
    let body = serde_json::to_vec(message).expect("JSON");
    frame::write(&mut bytes, &Header::new(FrameKind::PeerMessage), |out| {
        out.extend_from_slice(&body);
    })
    .expect("a small frame");
    bytes
}

fn message_of(frame: &Received) -> PeerMessage {
    assert_eq!(frame.header.kind, FrameKind::PeerMessage);
    serde_json::from_slice(frame.body()).expect("a message")
}

/// An operator.
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
            other => panic!("{request:?} is answered with {other:?}"),
        }
    }

    pub(crate) fn status(&mut self) -> NodeStatus {
        match self.ask(&Request::Status) {
            Reply::Status(status) => *status,
            other => panic!("a status is {other:?}"),
        }
    }

    /// Asks for the status until it is as wanted.
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
fn a_node_founds_a_cluster() {
    let place = Place::new();
    let engine = place.founder("node-a").start().expect("it starts");
    assert_eq!(engine.names(), Some(("node-a", "catena")));
    assert_eq!(engine.shards(), 8);
    let mut operator = Operator::at(control(&engine));
    let status = operator.wait(|status| status.epoch == 1);
    assert_eq!(status.node, life(&engine).0);
    assert_eq!((&*status.name, &*status.cluster), ("node-a", "catena"));
    assert_eq!((&*status.standing, status.active), ("member", true));
    assert_eq!((status.replicas, status.min_members), (2, 1));
    assert_eq!((&*status.proposal, &*status.register_trouble), ("", ""));
    assert_eq!((status.learner, status.teacher, status.rejoins_ms), (0, 0, 0));
    assert_eq!(status.lease_us, None, "nobody has to let it read");
    let [member] = &status.members[..] else { panic!("{:?}", status.members) };
    assert_eq!((member.node, &*member.name), (status.node, "node-a"));
    assert_eq!(member.control, control(&engine).to_string());
    assert_eq!((member.silent_us, &*member.suspected), (0, ""));

    let record = place.record();
    let info = &record.nodes[&life(&engine)];
    assert_eq!((&*info.name, info.peer, &info.az), ("node-a", control(&engine), &None));
    assert_eq!(info.clients, engine.addresses());
    assert_eq!((record.epoch, record.settings.shards, record.settings.replicas), (1, 8, 2));
}

#[test]
fn without_anybody_who_founds_it_there_is_no_cluster() {
    let place = Place::new();
    let error = place.node("node-a").start().expect_err("nobody founds it");
    assert!(matches!(error, StartError::NoCluster { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("there is no cluster \"catena\" at file://"), "{text}");
    assert!(text.ends_with("within 100ms: start one node with --create"), "{text}");
}

#[test]
fn a_node_waits_for_the_one_that_founds_the_cluster() {
    let place = Place::new();
    let patient = place.cluster().node_name("node-b").join_timeout(GUARD);
    let (early, founder) = std::thread::scope(|scope| {
        let early = scope.spawn(|| Engine::builder().cluster(patient).start());
        let founder = place.founder("node-a").start().expect("it starts");
        (early.join().expect("no panic"), founder)
    });
    let early = early.expect("it starts once there is a cluster");
    assert_eq!(early.shards(), 8, "the founder decides");
    let status = Operator::at(control(&early)).status();
    assert_eq!(status.members[0].node, life(&founder).0);
}

#[test]
fn a_register_that_cannot_be_used_is_said_at_once() {
    let place = Place::new();
    let file = place.0.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below = format!("file://{}", file.display()).parse().expect("a location");
    let error =
        Engine::builder().cluster(Cluster::at(below).create(ClusterSettings::default())).start();
    let text = error.expect_err("a file is no directory").to_string();
    assert!(text.starts_with("cannot use the cluster's register at file://"), "{text}");
    assert!(text.contains("cannot open"), "{text}");

    // Somebody copied a record.
    let other = place
        .founder("node-a")
        .cluster(place.cluster().name("other").create(ClusterSettings::default()));
    let other = other.start().expect("it starts");
    Operator::at(control(&other)).wait(|status| status.epoch == 1);
    let record = std::fs::read(place.path("other")).expect("a record");
    let record = Record::from_bytes(&record).expect("a record");
    place.put_as("catena", &record);
    let text = place.node("node-a").start().expect_err("another's record").to_string();
    let expected = "the record is of cluster \"other\", expected \"catena\"";
    assert!(text.ends_with(expected), "{text}");

    std::fs::write(place.path("catena"), "{\"v\":2}").expect("a file");
    let text = place.node("node-a").start().expect_err("a later format").to_string();
    assert!(text.contains("the record has version 2, this program reads version 1"), "{text}");
}

#[test]
fn clusters_of_several_names_share_a_place() {
    let place = Place::new();
    let one = place.founder("node-a").start().expect("it starts");
    let cluster =
        place.cluster().name("second").node_name("node-b").create(ClusterSettings::default());
    let two = Engine::builder().shards(16).cluster(cluster).start().expect("it starts");
    for (engine, name, shards) in [(&one, "catena", 8), (&two, "second", 16)] {
        let status = Operator::at(control(engine)).wait(|status| status.epoch == 1);
        assert_eq!((&*status.cluster, status.members.len()), (name, 1));
        assert_eq!(engine.shards(), shards);
    }
}

#[test]
fn a_cluster_takes_a_core_for_each_shard_at_most() {
    let place = Place::new();
    place.put(&Record { ..record_of_other(([127, 0, 0, 1], 1).into()) });
    let cluster = place.cluster().node_name("node-a");
    let error = Engine::builder().cores(9).cluster(cluster).start().expect_err("9 cores");
    let text = error.to_string();
    assert_eq!(text, "cores cannot be 9: at least 1 and at most one a shard, 8");
}

#[test]
fn addresses_of_other_machines_have_to_be_allowed_and_known() {
    let place = Place::new();
    let wide: SocketAddr = ([0, 0, 0, 0], 0).into();
    let cluster = place.cluster().create(ClusterSettings::default());
    let refusals = [
        (Engine::builder().cluster(cluster.clone().control(wide)), "does not encrypt"),
        (Engine::builder().listen(wide).insecure_network(true).cluster(cluster), "--advertise"),
    ];
    for (builder, expected) in refusals {
        let text = builder.start().expect_err(expected).to_string();
        assert!(text.contains(expected), "`{text}` says nothing of `{expected}`");
    }
    let cluster = place.cluster().create(ClusterSettings::default());
    let cluster = cluster.control(wide).advertise(IpAddr::from([127, 0, 0, 1]));
    let builder = Engine::builder().listen(wide).insecure_network(true).cluster(cluster);
    let engine = builder.start().expect("it starts");
    let status = Operator::at(([127, 0, 0, 1], control(&engine).port()).into())
        .wait(|status| status.epoch == 1);
    assert_eq!(status.members[0].control, format!("127.0.0.1:{}", control(&engine).port()));
}

#[test]
fn whoever_is_not_meant_is_refused_at_the_control_port() {
    let place = Place::new();
    let retired = NodeId(8);
    let nowhere = ([127, 0, 0, 1], 1).into();
    place.put(&Record { retired: vec![retired], ..record_of_other(nowhere) });
    let engine = place.node("node-a").start().expect("it starts");
    let me = life(&engine);
    let hello_from = |from| peer_hello(from, me);
    let another = PeerHello { cluster: "another".into(), ..hello_from(OTHER) };
    let of_core = PeerHello { shards: 8, cores: 1, ..hello_from(OTHER) };
    let nobody = PeerHello { to: 0, ..hello_from(OTHER) };
    let another_operator =
        PeerHello { cluster: "another".into(), ..peer_hello(NodeId(0), NodeId(0)) };
    let mut older = bytes_of(&hello_from(OTHER));
    older[2] = 0;
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
    // Nobody else was harmed.
    assert_eq!(Operator::at(control(&engine)).status().standing, "outside");
}

#[test]
fn a_node_that_is_no_member_hears_so_over_the_connection_on_which_it_spoke() {
    let place = Place::new();
    let engine = place.founder("node-a").start().expect("it starts");
    Operator::at(control(&engine)).wait(|status| status.epoch == 1);
    let mut wire = Wire::silent(control(&engine));
    let request = PeerMessage::LeaseRequest { epoch: 1, asked_at_us: 5 };
    // Several in one write, and the handshake before them.
    let hello = bytes_of(&peer_hello(OTHER, life(&engine)));
    wire.send(&[hello, message(&request), message(&request)].concat());
    assert_eq!(wire.receive().header.kind, FrameKind::PeerWelcome);
    for _ in 0..2 {
        let answer = message_of(&wire.receive());
        assert_eq!(answer, PeerMessage::NotMember(Box::new(place.record())));
    }
    // What is no message ends the connection.
    let mut nonsense = Vec::new();
    frame::write(&mut nonsense, &Header::new(FrameKind::PeerMessage), |out| {
        out.extend_from_slice(b"{\"sync\":{}}");
    })
    .expect("a small frame");
    wire.send(&nonsense);
    assert!(wire.next().is_none());
}

/// The next node that connects to a test, and what it says first.
fn next_peer(listener: &TcpListener) -> (Wire, PeerHello) {
    let started = Instant::now();
    listener.set_nonblocking(true).expect("a socket");
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if started.elapsed() < GUARD => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("nobody connects: {error}"),
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
fn a_node_asks_the_tail_to_be_taught() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    place.put(&record_of_other(listener.local_addr().expect("an address")));
    let engine = place.node("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    let (mut wire, hello) = next_peer(&listener);
    assert_eq!(hello, peer_hello(life(&engine), OTHER));
    welcome(&mut wire);
    let PeerMessage::Join { epoch: 1, ready: false, info } = message_of(&wire.receive()) else {
        panic!("it wants in");
    };
    assert_eq!((&*info.name, info.peer), ("node-a", control(&engine)));
    assert_eq!(info.clients, engine.addresses());
    wire.send(&message(&PeerMessage::Sync { epoch: 1 }));
    let status = operator.wait(|status| status.standing == "learner");
    assert_eq!(status.teacher, OTHER.0);
    let why = operator.refused(&Request::Join);
    assert!(why.starts_with("this node is joining already"), "{why}");
    let why = operator.refused(&Request::Remove(OTHER.0));
    assert!(why.starts_with("this node is no member of cluster \"catena\" now"), "{why}");

    // The connection breaks, and is made again.
    drop(wire);
    let (mut wire, hello) = next_peer(&listener);
    assert_eq!(hello.from, life(&engine).0);
    welcome(&mut wire);
    message_of(&wire.receive());
}

#[test]
fn a_node_that_was_removed_begins_another_life() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let record = record_of_other(listener.local_addr().expect("an address"));
    place.put(&record);
    let engine = place.node("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    let first = life(&engine);
    let (mut wire, _) = next_peer(&listener);
    welcome(&mut wire);
    message_of(&wire.receive());
    let info = record.nodes[&OTHER].clone();
    let with_it = record.appended(first, info, OTHER, ChangeId(2)).expect("a record");
    let without = with_it.removed(first, OTHER, "a test", ChangeId(3)).expect("a record");
    place.put(&without);
    wire.send(&message(&PeerMessage::NotMember(Box::new(without.clone()))));
    let status = operator.wait(|status| status.standing == "removed");
    assert!(wire.next().is_none_or(|frame| frame.header.kind == FrameKind::PeerMessage));
    assert_eq!((status.epoch, status.active), (3, false));
    assert!((1..=30_000).contains(&status.rejoins_ms), "{status:?}");
    let second = life(&engine);
    assert_ne!(first, second);
    assert_eq!(status.node, second.0);
    // Between two lives it is nobody.
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

/// A call that was under way when a life ended does not keep the next one from calling.
#[test]
fn each_life_calls_the_cores_that_teach_it() {
    let place = Place::new();
    let control_port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let core_port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut record = record_of_other(control_port.local_addr().expect("an address"));
    let info = record.nodes.get_mut(&OTHER).expect("it is a member");
    info.clients = vec![core_port.local_addr().expect("an address")];
    place.put(&record);
    let engine = place.node("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    let taught = |wire: &mut Wire, epoch| {
        welcome(wire);
        message_of(&wire.receive());
        wire.send(&message(&PeerMessage::Sync { epoch }));
        [next_peer(&core_port), next_peer(&core_port)]
    };
    let (mut wire, _) = next_peer(&control_port);
    let first = life(&engine);
    // These are not answered.
    let calls = taught(&mut wire, 1);
    assert!(calls.iter().all(|(_, hello)| hello.from == first.0));

    let info = record.nodes[&OTHER].clone();
    let with_it = record.appended(first, info, OTHER, ChangeId(2)).expect("a record");
    let without = with_it.removed(first, OTHER, "a test", ChangeId(3)).expect("a record");
    place.put(&without);
    wire.send(&message(&PeerMessage::NotMember(Box::new(without))));
    operator.wait(|status| status.standing == "removed");
    assert_eq!(operator.ask(&Request::Join), Reply::Accepted);
    let (mut wire, _) = next_peer(&control_port);
    let second = life(&engine);
    let calls = taught(&mut wire, 3);
    assert!(calls.iter().all(|(_, hello)| hello.from == second.0));
}

#[test]
fn a_refusal_is_the_end_only_of_a_node_of_another_cluster() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    place.put(&record_of_other(listener.local_addr().expect("an address")));
    let engine = place.node("node-a").start().expect("it starts");
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
    let error = engine.wait().expect_err("it is of another cluster");
    let expected = format!(
        "other at {} refused this node: it is of another cluster than \"catena\"",
        listener.local_addr().expect("an address")
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_node_goes_by_the_shards_that_it_was_started_for() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let record = record_of_other(listener.local_addr().expect("an address"));
    place.put(&record);
    let engine = place.node("node-a").start().expect("it starts");
    let (mut wire, _) = next_peer(&listener);
    welcome(&mut wire);
    let mut other = record.bumped(OTHER, "a test", ChangeId(2)).expect("a record");
    other.settings.shards = 4;
    other.chains.truncate(4);
    wire.send(&message(&PeerMessage::Config(Box::new(other))));
    let error = engine.wait().expect_err("it has the wrong shards");
    let expected = "the cluster \"catena\" has 4 shards, and this node was started for 8";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn operators_are_told_why_not() {
    let place = Place::new();
    let engine = place.founder("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    operator.wait(|status| status.epoch == 1);
    let why = operator.refused(&Request::Join);
    assert_eq!(why, "this node is a member of cluster \"catena\" already");
    let why = operator.refused(&Request::Remove(OTHER.0));
    let me = life(&engine);
    assert_eq!(
        why,
        format!("{OTHER} is no member of cluster \"catena\"; these are: node-a ({me})")
    );
    let why = operator.refused(&Request::Remove(me.0));
    assert!(why.starts_with("node-a is the last member of cluster \"catena\""), "{why}");

    // One after the other, however they are sent.
    for _ in 0..10 {
        operator.send(&Request::Status);
        operator.send(&Request::Join);
    }
    for _ in 0..10 {
        assert!(matches!(operator.receive(), Reply::Status(_)));
        assert!(matches!(operator.receive(), Reply::Refused(_)));
    }
    // What is no question is the last that is heard.
    operator.0.send(&message(&PeerMessage::Leaving));
    let kinds = (FrameKind::Operator.to_wire(), FrameKind::PeerMessage.to_wire());
    let fault = Fault::expected(Status::BadFrameKind, kinds.0.into(), kinds.1.into());
    assert_eq!(operator.0.receive().refusal(), Refusal::Fault(fault));
    assert!(operator.0.next().is_none());
}

#[test]
fn strangers_do_not_keep_operators_out_for_long() {
    let place = Place::new();
    let engine = place.founder("node-a").start().expect("it starts");
    let address = control(&engine);
    let strangers: Vec<Wire> = (0..64).map(|_| Wire::silent(address)).collect();
    let fault = Fault::expected(Status::TooManyConnections, 64, 65);
    let mut refused = Wire::silent(address);
    assert_eq!(refused.receive().refusal(), Refusal::Fault(fault));
    assert!(refused.next().is_none());
    // They have five seconds to say who they are.
    for mut stranger in strangers {
        assert!(stranger.next().is_none());
    }
    Operator::at(address);
}

#[test]
fn a_node_in_a_cluster_stops_when_told() {
    let place = Place::new();
    let engine = place.founder("node-a").start().expect("it starts");
    Operator::at(control(&engine)).wait(|status| status.epoch == 1);
    engine.stop();
    assert_eq!(engine.wait(), Ok(()));
    let (control, clients) = (control(&engine), engine.addresses().to_vec());
    drop(engine);
    for address in [vec![control], clients].concat() {
        TcpListener::bind(address).expect("the port is free");
    }
    // Its record is left. Whoever comes now finds a cluster of which nobody is there.
    let second = place.founder("node-a").start().expect("it starts");
    let status = Operator::at(crate::cluster::control(&second)).wait(|status| status.epoch == 1);
    assert_eq!(status.standing, "outside");
    drop(second);
}

#[test]
fn trouble_with_the_register_is_told_until_it_is_over() {
    let place = Place::new();
    let record = record_of_other(([127, 0, 0, 1], 1).into());
    place.put(&record);
    let engine = place.node("node-a").start().expect("it starts");
    let mut operator = Operator::at(control(&engine));
    assert_eq!(operator.status().register_trouble, "");
    std::fs::write(place.path("catena"), "<html>").expect("a file");
    let status = operator.wait(|status| !status.register_trouble.is_empty());
    assert!(status.register_trouble.starts_with("the record cannot be read"), "{status:?}");
    assert_eq!((status.epoch, &*status.standing), (1, "outside"));
    place.put(&record);
    operator.wait(|status| status.register_trouble.is_empty());
}
