//! Finds a cluster by its record in a store, with a stand-in for S3 in this process.
//!
//! ```sh
//! cargo test -p catena-client --test s3 \
//!     --features cli,s3,catena-engine/s3,catena-s3-stand-in/server
//! ```

#![allow(clippy::unwrap_used, reason = "what goes wrong in a test ends it")]

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use catena_client::{Builder, Client, Error, Retry, S3Settings, Secret};
use catena_engine::{Cluster, ClusterSettings, Engine};
use catena_s3_stand_in::{ACCESS_KEY, GetFault, SECRET_ACCESS_KEY, StandIn};

/// Longer than any wait that succeeds.
const LONG: Duration = Duration::from_secs(30);

const PLACE: &str = "s3://records/a/b#km-1";
const KEY: &str = "a/b/km-1/config.json";

/// A store, and the nodes of a cluster with its record there.
struct Nodes {
    engines: Vec<Option<Engine>>,
    /// Declared after the engines, which use it when they stop.
    store: StandIn,
}

impl Nodes {
    /// Starts a cluster with this many members.
    fn start(count: usize) -> Nodes {
        let mut nodes = Nodes { engines: Vec::new(), store: StandIn::start(&["records"]) };
        (0..count).for_each(|_| nodes.add());
        nodes.await_members(count);
        nodes
    }

    /// Starts another node.
    fn add(&mut self) {
        let location = "s3://records/a/b".parse().unwrap();
        let cluster = Cluster::at(location).name("km-1").s3(settings(&self.store));
        let cluster = cluster.create(ClusterSettings::default());
        let cluster = cluster.node_name(format!("node-{}", self.engines.len()));
        let engine = Engine::builder().cores(1).shards(4).cluster(cluster).start();
        self.engines.push(Some(engine.expect("an engine starts on loopback")));
    }

    /// A client with a timeout that is long enough for a failover on a busy machine.
    fn client(&self) -> Builder {
        Client::builder().call_timeout(LONG).s3(settings(&self.store))
    }

    /// Waits until the cluster has this many members, as seen by a client that knows only the
    /// bucket.
    fn await_members(&self, count: usize) {
        let start = Instant::now();
        loop {
            let client = self.client().connect(PLACE).unwrap();
            let members = client.cluster().map(|cluster| cluster.members.len());
            if members == Some(count) {
                return;
            }
            assert!(start.elapsed() < LONG, "{members:?} are members");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn settings(store: &StandIn) -> S3Settings {
    S3Settings {
        access_key: Some(ACCESS_KEY.into()),
        secret_access_key: Some(Secret::new(SECRET_ACCESS_KEY)),
        endpoint_url: Some(store.endpoint_url()),
        region: Some("us-east-1".into()),
        ..S3Settings::default()
    }
}

/// The error of a client that finds no cluster.
fn failure(builder: Builder, place: &str) -> (ErrorKind, Retry, String) {
    let error = builder.connect(place).unwrap_err();
    let Error::NoRecord { source, .. } = &error else { panic!("{error:?}") };
    (source.kind(), error.retry(), error.to_string())
}

#[test]
fn a_client_that_knows_the_bucket_outlives_all_members_it_knew() {
    let mut nodes = Nodes::start(2);
    let old = nodes.client().connect(PLACE).unwrap();
    let visits = old.counter("visits");
    assert_eq!(visits.add(1).unwrap(), 1);

    // A member is replaced: the old client may learn the new one, and a new client has to.
    nodes.engines[0] = None;
    assert_eq!(visits.add(1).unwrap(), 2);
    nodes.add();
    nodes.await_members(2);
    let new = nodes.client().connect(PLACE).unwrap();
    assert_eq!(new.counter("visits").add(1).unwrap(), 3);

    // While the clients are idle, all members that they know are replaced.
    for at in [1, 2] {
        nodes.engines[at] = None;
        nodes.add();
        nodes.await_members(2);
    }
    let gets = nodes.store.gets();
    assert_eq!(visits.add(1).unwrap(), 4);
    assert!(nodes.store.gets() > gets, "the record was read anew");
    assert_eq!(new.counter("visits").add(1).unwrap(), 5);
    let newest = nodes.client().connect(PLACE).unwrap();
    assert_eq!(newest.counter("visits").get().unwrap(), 5);

    // In the steady state no client asks the store.
    let gets = nodes.store.gets();
    for _ in 0..100 {
        visits.add(1).unwrap();
    }
    assert_eq!(nodes.store.gets(), gets);
}

#[test]
fn temporary_failures_of_the_store_are_retried() {
    let nodes = Nodes::start(1);
    let faults = [GetFault::Refuse(503), GetFault::Cut(10), GetFault::Refuse(429)];
    nodes.store.fail_gets(faults);
    let client = nodes.client().connect(PLACE).unwrap();
    assert_eq!(client.counter("visits").add(1).unwrap(), 1);

    // One good seed is enough, and the setting `location` names a bucket as well.
    let place = format!("127.0.0.1:1,{PLACE}");
    nodes.client().connect(place).unwrap();
    let named = S3Settings { location: Some("records".into()), ..settings(&nodes.store) };
    nodes.client().s3(named).connect("s3:///a/b#km-1").unwrap();

    // The calling thread may belong to a runtime, where blocking on another runtime is not allowed.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let client = runtime.block_on(async { nodes.client().connect(PLACE) }).unwrap();
    assert_eq!(client.counter("visits").get().unwrap(), 1);
}

#[test]
fn permanent_failures_are_errors_at_once() {
    let store = StandIn::start(&["records"]);
    let client = || Client::builder().call_timeout(LONG).s3(settings(&store));

    let (kind, retry, error) = failure(client(), PLACE);
    assert_eq!((kind, retry), (ErrorKind::NotFound, Retry::Later));
    assert_eq!(
        error,
        "no cluster is found through `s3://records/a/b#km-1`: \
         there is no record at s3://records/a/b/km-1/config.json: no cluster was created there"
    );
    let (_, _, error) = failure(client(), "s3://records");
    assert!(error.contains("at s3://records/catena/config.json:"), "{error}");

    let (_, retry, error) = failure(client(), "s3://nowhere/a");
    assert_eq!(retry, Retry::Never);
    assert!(error.contains("refused to read s3://nowhere/a/catena/config.json"), "{error}");
    assert!(error.contains("status 404, NoSuchBucket"), "{error}");

    let wrong = S3Settings { secret_access_key: Some(Secret::new("hush")), ..settings(&store) };
    let (kind, retry, error) = failure(client().s3(wrong), PLACE);
    assert_eq!((kind, retry), (ErrorKind::PermissionDenied, Retry::Never));
    assert!(error.contains("status 403"), "{error}");
    assert!(!error.contains("hush"), "a secret was shown");

    let half = S3Settings { secret_access_key: None, ..settings(&store) };
    let (_, _, error) = failure(client().s3(half), PLACE);
    assert!(error.contains("got only access_key"), "{error}");
    let (_, _, error) = failure(client(), "s3:///a");
    assert!(error.contains("no bucket: expected s3://bucket/prefix"), "{error}");
    let (_, _, error) = failure(client(), "s3://A_b/a");
    assert!(error.contains("a bucket's name"), "{error}");

    for (contents, expected) in [
        (b"<html>".to_vec(), "the record is not JSON"),
        (vec![0xff], "s3://records/a/b/km-1/config.json is not a record"),
        (vec![b' '; 5 << 20], "config.json is not a record: it has more than"),
    ] {
        store.put("records", KEY, contents);
        let (kind, _, error) = failure(client(), PLACE);
        assert_eq!(kind, ErrorKind::InvalidData);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_store_that_cannot_be_reached_is_retried_until_the_deadline() {
    let nobody = S3Settings {
        endpoint_url: Some("http://127.0.0.1:1".into()),
        ..settings(&StandIn::start(&[]))
    };
    let impatient = Client::builder().call_timeout(Duration::from_secs(3));
    let (kind, retry, error) = failure(impatient.s3(nobody), PLACE);
    assert_eq!((kind, retry), (ErrorKind::TimedOut, Retry::Later));
    assert!(error.contains("s3://records/a/b/km-1/config.json cannot be read"), "{error}");
}

/// The tool accepts the same places as the engine.
#[test]
fn the_tool_finds_the_cluster_too() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Output};

    let nodes = Nodes::start(2);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("s3.json");
    let keys =
        format!(r#"{{"access_key": "{ACCESS_KEY}", "secret_access_key": "{SECRET_ACCESS_KEY}"}}"#);
    std::fs::write(&file, keys).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let run = |place: &str, line: &str| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_catena"));
        command.args(["--endpoint-url", &nodes.store.endpoint_url(), "--seeds", place]);
        command.arg("--s3-config").arg(&file).args(line.split(' '));
        command.output().unwrap()
    };
    let output = run(PLACE, "counter visits add 2");
    assert_eq!(output.stdout, b"2\n", "{output:?}");
    let output = run(PLACE, "cluster status");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("node-1"), "{output:?}");
    let output = run("s3://records/a/b#other", "counter visits get");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("no record at s3://records/a/b/other/config.json"), "{complaint}");
}
