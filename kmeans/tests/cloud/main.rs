//! A cloud on this machine: an engine, a stand-in for S3, and a stand-in for Lambda around the real
//! `bootstrap`, driven by the real program through the real SDKs. Results have to be the same bits
//! as with threads and files, also if workers are killed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use catena_client::{Client, Kind};
use catena_engine::{Cluster, ClusterSettings, Engine};
use catena_lambda_stand_in::{Function, StandIn as Lambda};
use catena_location::{S3Settings, Secret};
use catena_s3_stand_in::{ACCESS_KEY, SECRET_ACCESS_KEY, StandIn as Store};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_catena-kmeans");
const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");

/// How long a test waits for an event.
const WAIT_MAX: Duration = Duration::from_secs(60);

struct LocalCloud {
    engine: Engine,
    store: Store,
    lambda: Lambda,
    folder: TempDir,
}

impl LocalCloud {
    fn new(functions: impl FnOnce(&Engine) -> Vec<(&'static str, Function)>) -> Self {
        let engine = Engine::builder().start().unwrap();
        let store = Store::start(&["points"]);
        let variables = keys(&store);
        let functions = functions(&engine).into_iter().map(|(name, function)| {
            let variables = variables.iter();
            (name, variables.fold(function, |function, (name, value)| function.with(name, value)))
        });
        let lambda = Lambda::start(functions);
        Self { engine, store, lambda, folder: tempfile::tempdir().unwrap() }
    }

    /// Creates a cloud with one function, `kmeans`.
    fn of_workers() -> Self {
        Self::new(|_| vec![("kmeans", Function::new(BOOTSTRAP))])
    }

    fn address(&self) -> String {
        self.engine.addresses()[0].to_string()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).envs(keys(&self.store)).envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
        ]);
        command
    }

    /// Runs a command that has to succeed.
    fn kmeans(&self, arguments: &[&str]) -> Output {
        succeeded(self.command(arguments).output().unwrap())
    }

    /// Runs a command that has to fail; returns its message.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        text(&output.stderr)
    }

    /// Returns a run with this many workers on Lambda.
    fn on_lambda<'a>(&'a self, workers: &'a str, rest: &[&'a str]) -> Command {
        let (engine, url) = (self.address(), self.lambda.endpoint_url());
        let lambda = ["--backend", "lambda:kmeans", "--lambda-endpoint-url", &url];
        let shared = ["--engine", &engine, "--workers", workers];
        self.command(&[&["run"], &lambda[..], &shared, rest].concat())
    }

    fn contents(&self, key: &str) -> String {
        let contents = self.store.contents("points", key);
        text(
            &contents
                .unwrap_or_else(|| panic!("{key} is missing: {:?}", self.store.keys("points"))),
        )
    }

    /// Generates points on disk and, in parts, in the store.
    fn points(&self, name: &str, points: &str, parts: &str) -> (String, String) {
        let (near, far) = (self.path(name), format!("s3://points/{name}/"));
        let shape = ["--points", points, "--dims", "16", "--clusters", "40", "--spread", "12"];
        let generate = [&["generate", "--seed", "3"], &shape[..]].concat();
        self.kmeans(&[&generate[..], &["--out", &near]].concat());
        let in_parts = format!("{far}{name}");
        self.kmeans(&[&generate[..], &["--parts", parts, "--out", &in_parts]].concat());
        (near, far)
    }

    /// Invokes a function by hand; returns its result, and whether that is an error.
    fn invoke(&self, function: &str, kind: &str, payload: &Value) -> (Value, bool) {
        let url = self.lambda.endpoint_url();
        let address = url.strip_prefix("http://").unwrap();
        let (mut socket, payload) = (TcpStream::connect(address).unwrap(), payload.to_string());
        write!(
            socket,
            "POST /2015-03-31/functions/{function}/invocations HTTP/1.1\r\nHost: {address}\r\n\
             X-Amz-Invocation-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{payload}",
            payload.len()
        )
        .unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        (serde_json::from_str(body).unwrap_or_default(), head.contains("x-amz-function-error"))
    }

    /// Waits until the workers of the only job have finished this many rounds.
    fn wait_for_round(&self, round: u64) {
        let client = Client::connect(self.address()).unwrap();
        until(|| {
            let steps = client.objects("kmeans/").map(Result::unwrap).filter(|object| {
                object.kind == Some(Kind::Reduction) && object.name.contains("/step/")
            });
            // Rounds alternate between two objects.
            let rounds = steps.filter_map(|step| client.reduction(&step.name).last().ok());
            rounds.map(|view| view.round() * 2).max().is_some_and(|last| last >= round)
        });
    }

    fn assert_clear(&self) {
        let client = Client::connect(self.address()).unwrap();
        let left: Vec<_> = client.objects("kmeans/").map(|object| object.unwrap().name).collect();
        assert!(left.is_empty(), "the job leaves no objects: {left:?}");
    }
}

fn keys(store: &Store) -> [(&'static str, String); 3] {
    [
        ("CATENA_S3_ENDPOINT_URL", store.endpoint_url()),
        ("CATENA_S3_ACCESS_KEY", ACCESS_KEY.to_string()),
        ("CATENA_S3_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_string()),
    ]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !is_so() {
        assert!(Instant::now() < end, "the condition never holds");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn invocations_give_the_bits_of_threads() {
    let cloud = LocalCloud::of_workers();
    for (name, parts) in [("points.npy", "3"), ("points.csv", "2"), ("points.csv.gz", "5")] {
        let (near, far) = cloud.points(name, "9000", parts);
        let (here, labels) = (cloud.path("here.csv"), cloud.path("labels.csv"));
        let flags = ["--k", "20", "--seed", "5"];
        let written = ["--out", &here, "--assignments", &labels];
        cloud.kmeans(&[&["run", "--data", &near], &flags[..], &written].concat());

        let there = ["--out", "s3://points/there.csv", "--assignments", "s3://points/labels/"];
        let run = cloud.on_lambda("4", &[&["--json", "--data", &far], &flags[..], &there].concat());
        let mut run = run;
        let result: Value =
            serde_json::from_slice(&succeeded(run.output().unwrap()).stdout).unwrap();
        assert_eq!(result["backend"], "lambda");
        assert_eq!((&result["points"], &result["workers"]), (&9000.into(), &4.into()));
        assert_eq!(
            result["seconds_iterations"].as_array().unwrap().len() as u64,
            result["iterations"]
        );
        assert_eq!(cloud.contents("there.csv"), fs::read_to_string(&here).unwrap(), "{name}");
        let parts = (0..4).map(|part| cloud.contents(&format!("labels/part-{part:05}.csv")));
        assert_eq!(parts.collect::<String>(), fs::read_to_string(&labels).unwrap(), "{name}");
        cloud.assert_clear();
    }
    let reports = cloud.lambda.reports();
    assert_eq!(reports.len(), 12);
    assert!(reports.iter().all(|report| report.is_ok), "{reports:?}");
    let cold = reports.iter().filter(|report| report.init.is_some()).count();
    assert_eq!(cold, 4, "frozen environments are used again");
}

#[test]
fn a_killed_invocation_is_repeated_and_counts_once() {
    let cloud = LocalCloud::of_workers();
    let (near, far) = cloud.points("points.npy", "30000", "4");
    let here = cloud.path("here.csv");
    let flags = ["--k", "30", "--iterations", "25", "--init", "random"];
    cloud.kmeans(&[&["run", "--out", &here, "--data", &near], &flags[..]].concat());

    let there = ["--data", &far, "--out", "s3://points/there.csv"];
    let mut run = cloud.on_lambda("4", &[&flags[..], &there].concat());
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    cloud.wait_for_round(4);
    let busy = cloud.lambda.busy("kmeans");
    assert_eq!(busy.len(), 4);
    assert!(keepalives(&cloud.lambda.endpoint_url()) >= 4, "sockets of invocations are probed");
    cloud.lambda.kill(busy[2]);
    let output = succeeded(run.wait_with_output().unwrap());
    let message = text(&output.stderr);
    assert!(message.contains("Runtime exited with error: signal: killed; restarting it"));
    assert!(message.contains("  START RequestId: "), "the end of its log: {message}");
    assert_eq!(cloud.contents("there.csv"), fs::read_to_string(here).unwrap());
    let reports = cloud.lambda.reports();
    assert_eq!(reports.iter().filter(|report| !report.is_ok).count(), 1);
    assert_eq!(reports.len(), 5);
    cloud.assert_clear();
}

/// Returns how many sockets connected to a URL on this machine have a keepalive timer.
fn keepalives(url: &str) -> usize {
    let port: u16 = url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let remote = format!(":{port:04X}");
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_kept = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Remote address, state "established", timer "keepalive".
        fields.get(2).is_some_and(|address| address.ends_with(&remote))
            && fields.get(3) == Some(&"01")
            && fields.get(5).is_some_and(|timer| timer.starts_with("02:"))
    };
    sockets.lines().filter(is_kept).count()
}

#[test]
fn workers_out_of_time_continue_in_the_next_invocation() {
    let cloud = LocalCloud::new(|_| {
        let function = Function::new(BOOTSTRAP);
        vec![("kmeans", Function { timeout: Duration::from_secs(3), ..function })]
    });
    let (near, far) = cloud.points("points.csv", "3000", "1");
    let here = cloud.path("here.csv");
    cloud.kmeans(&["run", "--k", "7", "--out", &here, "--data", &near]);
    let assignment = |worker: u32| {
        json!({
            "engine": cloud.address(), "job": "by-hand/1", "worker": worker, "workers": 2,
            "data": far, "k": 7, "out": "s3://points/by-hand.csv",
        })
    };
    let (error, is_error) = cloud.invoke("kmeans", "RequestResponse", &assignment(0));
    assert!(is_error);
    let expected = json!({
        "errorType": "Again",
        "errorMessage": "the worker's time is nearly over, at count; call it again",
    });
    assert_eq!(error, expected);
    // The other worker starts, and this one again: its earlier contribution counts once.
    let results: Vec<_> = std::thread::scope(|scope| {
        let calls = [0, 1].map(|worker| {
            let (cloud, assignment) = (&cloud, assignment(worker));
            scope.spawn(move || cloud.invoke("kmeans", "RequestResponse", &assignment))
        });
        calls.map(|call| call.join().unwrap()).into()
    });
    let counts = |result: &Value| -> u64 {
        result["counts"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
    };
    assert!(results.iter().all(|(result, is_error)| !is_error && counts(result) == 3000));
    assert_eq!(cloud.contents("by-hand.csv"), fs::read_to_string(here).unwrap());
}

/// Starts a node of a cluster whose record is in the store.
fn node(store: &Store, name: &str) -> Engine {
    let settings = S3Settings {
        access_key: Some(ACCESS_KEY.to_string()),
        secret_access_key: Some(Secret::new(SECRET_ACCESS_KEY)),
        endpoint_url: Some(store.endpoint_url()),
        ..S3Settings::default()
    };
    let cluster = Cluster::at("s3://points/clusters".parse().unwrap()).name("km").s3(settings);
    let cluster = cluster.create(ClusterSettings::default()).node_name(name);
    Engine::builder().cores(1).shards(4).cluster(cluster).start().unwrap()
}

/// Returns the number of members in the record of that cluster.
fn members(cloud: &LocalCloud) -> usize {
    let record: Value = serde_json::from_str(&cloud.contents("clusters/km/config.json")).unwrap();
    record["nodes"].as_object().unwrap().len()
}

#[test]
fn workers_find_the_cluster_by_its_record() {
    const LOCATION: &str = "s3://points/clusters#km";
    let cloud = LocalCloud::of_workers();
    let (near, far) = cloud.points("points.npy", "3000", "2");
    let here = cloud.path("here.csv");
    let flags = ["--k", "7", "--seed", "4"];
    cloud.kmeans(&[&["run", "--out", &here, "--data", &near], &flags[..]].concat());
    let here = fs::read_to_string(here).unwrap();

    let url = cloud.lambda.endpoint_url();
    let run = |out: &str, backend: &[&str]| {
        let there = ["--workers", "3", "--engine", LOCATION, "--data", &far, "--out"];
        cloud.kmeans(&[&["run"], backend, &there[..], &[out], &flags[..]].concat());
        let key = out.strip_prefix("s3://points/").unwrap();
        assert_eq!(cloud.contents(key), here, "{backend:?}");
    };
    let first = node(&cloud.store, "first");
    let _second = node(&cloud.store, "second");
    let started = Instant::now();
    while members(&cloud) < 2 {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the second node does not become a member"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    run("s3://points/processes.csv", &["--backend", "processes"]);
    // The record still has the first node, which founded the cluster.
    drop(first);
    let lambda = ["--backend", "lambda:kmeans", "--lambda-endpoint-url", &url];
    run("s3://points/lambda.csv", &lambda);

    let nowhere = "s3://points/clusters#other";
    let run = ["run", "--engine", nowhere, "--timeout", "5", "--data", &far, "--workers", "1"];
    let message = cloud.fails(&run);
    let expected = "engine s3://points/clusters#other: no cluster is found through \
                    `s3://points/clusters#other`: there is no record at s3://points/clusters/other/config.json";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn uploads_are_clustered() {
    let cloud = LocalCloud::new(|engine| {
        let function = Function::new(BOOTSTRAP)
            .with("CATENA_KMEANS_K", "7")
            .with("CATENA_KMEANS_OUT", "s3://points/results/")
            .with("CATENA_KMEANS_SEED", "2");
        let invoking = function
            .clone()
            .with("CATENA_KMEANS_ENGINE", &engine.addresses()[0].to_string())
            .with("CATENA_KMEANS_FUNCTION", "self")
            .with("CATENA_KMEANS_WORKERS", "3");
        let half = function.clone().with("CATENA_KMEANS_FUNCTION", "self");
        vec![("on-upload", function), ("on-folder", invoking), ("half", half)]
    });
    let event = |key: &str| {
        json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "eventTime": "2026-11-28T12:00:00.000Z",
            "userIdentity": {"principalId": "AIDA"},
            "requestParameters": {"sourceIPAddress": "192.0.2.1"},
            "s3": {"bucket": {"name": "points"}, "object": {"key": key, "size": 1, "eTag": "0"}},
        }]})
    };
    let (near, _) = cloud.points("points.npy", "4000", "2");
    let here = cloud.path("here.csv");
    cloud.kmeans(&["run", "--k", "7", "--seed", "2", "--out", &here, "--data", &near]);
    let here = fs::read_to_string(here).unwrap();

    cloud.kmeans(&["upload", &near, "s3://points/in/a b.npy"]);
    assert_eq!(cloud.invoke("on-upload", "Event", &event("in/a+b.npy")), (Value::Null, false));
    until(|| cloud.store.keys("points").contains(&"results/in/a b.npy.centroids.csv".to_string()));
    assert_eq!(cloud.contents("results/in/a b.npy.centroids.csv"), here);

    let complete = event("points.npy/_SUCCESS");
    let (result, is_error) = cloud.invoke("on-folder", "RequestResponse", &complete);
    assert!(!is_error, "{result}");
    assert_eq!(result[0]["out"], "s3://points/results/points.npy.centroids.csv");
    assert_eq!((&result[0]["points"], &result[0]["converged"]), (&4000.into(), &true.into()));
    assert_eq!(cloud.contents("results/points.npy.centroids.csv"), here);
    let invoked =
        cloud.lambda.reports().iter().filter(|report| report.function == "on-folder").count();
    assert_eq!(invoked, 4, "the notified invocation, and its workers");
    cloud.assert_clear();

    let result = event("results/in/a+b.npy.centroids.csv");
    assert_eq!(cloud.invoke("on-upload", "RequestResponse", &result), (json!([]), false));
    let (error, _) = cloud.invoke("half", "RequestResponse", &event("in/a+b.npy"));
    let message = error["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("CATENA_KMEANS_FUNCTION: workers that are invocations need"));
}

/// Returns the event of a job whose driver is an invocation.
fn job_event(cloud: &LocalCloud, job: &str, data: &str, k: u32) -> Value {
    json!({"run": {
        "job": job, "engine": cloud.address(), "workers": 2, "k": k, "seed": 5,
        "data": data, "out": format!("s3://points/{job}.csv"),
    }})
}

#[test]
fn a_driver_is_an_invocation_that_can_be_killed() {
    let cloud = LocalCloud::of_workers();
    let (near, far) = cloud.points("points.npy", "20000", "2");
    let here = cloud.path("here.csv");
    cloud.kmeans(&["run", "--k", "40", "--seed", "5", "--out", &here, "--data", &near]);
    let event = job_event(&cloud, "one", &far, 40);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| cloud.invoke("kmeans", "RequestResponse", &event));
        cloud.wait_for_round(6);
        // The first environment is that of the driver.
        cloud.lambda.kill(cloud.lambda.busy("kmeans")[0]);
        assert!(first.join().unwrap().1, "a killed invocation fails");
    });
    let other = json!({"run": {
        "job": "one", "engine": cloud.address(), "workers": 3, "k": 40, "seed": 5, "data": far,
        "out": "s3://points/one.csv",
    }});
    let (error, _) = cloud.invoke("kmeans", "RequestResponse", &other);
    let message = error["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("kmeans/one is a job whose workers is 2, and here it is 3: "));
    let (result, is_error) = cloud.invoke("kmeans", "RequestResponse", &event);
    assert!(!is_error, "{result}");
    assert!(result["iterations_before"].as_u64().unwrap() >= 4, "{result}");
    assert_eq!((&result["points"], &result["converged"]), (&20_000.into(), &true.into()));
    assert_eq!(cloud.contents("one.csv"), fs::read_to_string(here).unwrap());
    until(|| cloud.lambda.busy("kmeans").is_empty());
    cloud.assert_clear();
}

#[test]
fn a_driver_out_of_time_is_invoked_again() {
    let cloud = LocalCloud::new(|_| {
        let function = Function::new(BOOTSTRAP);
        vec![("kmeans", Function { timeout: Duration::from_secs(3), ..function })]
    });
    let (near, far) = cloud.points("points.npy", "20000", "2");
    let here = cloud.path("here.csv");
    cloud.kmeans(&["run", "--k", "40", "--seed", "5", "--out", &here, "--data", &near]);
    let event = job_event(&cloud, "short", &far, 40);
    let (result, is_error) = loop {
        let (result, is_error) = cloud.invoke("kmeans", "RequestResponse", &event);
        if !is_error || result["errorType"] != "Again" {
            break (result, is_error);
        }
        let message = result["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("the worker's time is nearly over, at "), "{message}");
    };
    assert!(!is_error, "{result}");
    assert_eq!(cloud.contents("short.csv"), fs::read_to_string(here).unwrap());
    let (error, _) = cloud.invoke("kmeans", "RequestResponse", &json!({"run": {"job": "a"}}));
    let message = error["errorMessage"].as_str().unwrap();
    assert_eq!(message, "cannot read the fields of `run`: missing field `engine`");
}

#[test]
fn errors_end_the_run_at_once_and_are_clear() {
    let cloud = LocalCloud::new(|_| {
        vec![
            ("kmeans", Function::new(BOOTSTRAP)),
            ("dies", Function::new("/bin/false")),
            ("other", Function::new(pi())),
        ]
    });
    let (near, far) = cloud.points("points.npy", "100", "1");
    let (engine, url) = (cloud.address(), cloud.lambda.endpoint_url());
    let run = |function: &str, rest: &[&str]| {
        let backend = format!("lambda:{function}");
        let lambda = ["run", "--lambda-endpoint-url", &url, "--backend", &backend];
        cloud.fails(&[&lambda[..], rest].concat())
    };
    let on_engine = |function: &str, rest: &[&str]| {
        run(function, &[&["--engine", &engine, "--k", "2", "--workers", "3"], rest].concat())
    };

    cloud.store.put("points", "bad/a.csv", "1,2\n3,4\n");
    cloud.store.put("points", "bad/b.csv", "5,6\n7,nan\n");
    let message = on_engine("kmeans", &["--data", "s3://points/bad"]);
    let expected = "catena-kmeans: s3://points/bad/b.csv: the line at byte 4: column 2: \
                    \"nan\" is a missing value; pass --missing drop to leave such rows out, or \
                    --missing mean\n";
    assert_eq!(message.lines().last(), expected.lines().next());
    let costs = message.lines().filter(|line| line.contains(" USD for ")).count();
    assert_eq!(
        (costs, message.lines().count()),
        (2, 3),
        "what it can cost, and has cost: {message}"
    );
    until(|| cloud.lambda.busy("kmeans").is_empty());
    cloud.assert_clear();

    let message = on_engine("none", &["--data", &far]);
    let expected = "kmeans cannot be started: status 404, ResourceNotFoundException";
    assert!(message.contains(expected), "{message}");
    let message = on_engine("dies", &["--data", &far]);
    let expected = "exited with error: exit status 1; gave up after 4 attempts; \
                    the end of its log:\n  START RequestId: ";
    assert!(message.contains(expected), "{message}");
    let message = on_engine("other", &["--data", &far]);
    assert!(message.contains("unknown function; this program has: throw"), "{message}");

    let message = on_engine("kmeans", &["--data", &near]);
    let expected = "workers of --backend lambda cannot read local files; \
                    copy them to a store with `catena-kmeans upload`";
    assert!(message.contains(expected), "{message}");
    let message = run("kmeans", &["--data", &far]);
    assert!(message.starts_with("catena-kmeans: --engine: "), "{message}");
    let closed = {
        let engine = Engine::builder().start().unwrap();
        engine.addresses()[0].to_string()
    };
    let message = run("kmeans", &["--data", &far, "--engine", &closed, "--timeout", "0.3"]);
    assert!(message.contains(&format!("engine {closed}: no engine answers")), "{message}");

    // A worker that starts after its job is over.
    let late = json!({
        "engine": engine, "job": "kmeans/over", "worker": 0, "workers": 2, "data": far, "k": 2, "prepared": true,
    });
    let (error, is_error) = cloud.invoke("kmeans", "RequestResponse", &late);
    assert!(is_error && error["errorType"] == "Failed", "{error}");
    let message = error["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("kmeans/over/range no longer exists"), "{message}");
    cloud.assert_clear();
}

/// Measures the cold starts in kmeans/README.md, of the program in `CATENA_BOOTSTRAP`.
#[test]
#[ignore = "prints timings"]
fn cold_start() {
    const STARTS: usize = 21;
    let program = std::env::var("CATENA_BOOTSTRAP").unwrap_or_else(|_| BOOTSTRAP.to_string());
    let (mut polls, mut works) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let cloud = LocalCloud::new(|_| vec![("kmeans", Function::new(&program))]);
        let (_, far) = cloud.points("points.npy", "1000", "1");
        let client = Client::connect(cloud.address()).unwrap();
        // The other worker never starts, so this one waits after the first pass over its points.
        let assignment = json!({
            "engine": cloud.address(), "job": "cold", "worker": 0, "workers": 2, "data": far, "k": 2,
        });
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| cloud.invoke("kmeans", "RequestResponse", &assignment));
            let end = start + WAIT_MAX;
            while client.inspect("cold/range").unwrap().is_none() {
                assert!(Instant::now() < end, "the worker never processes its points");
                std::thread::sleep(Duration::from_micros(200));
            }
            works.push(start.elapsed());
            cloud.lambda.busy("kmeans").into_iter().for_each(|pid| cloud.lambda.kill(pid));
        });
        polls.push(cloud.lambda.reports()[0].init.unwrap());
    }
    for (what, mut times) in [("first poll", polls), ("first points processed", works)] {
        times.sort();
        let [least, median, most] = [0, STARTS / 2, STARTS - 1].map(|at| times[at]);
        println!("{what}: {median:.1?} (median of {STARTS}, {least:.1?} to {most:.1?})");
    }
}

/// The example of catena-cloud, which serves another function.
fn pi() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let path = deps.ancestors().nth(2).unwrap().join("examples/pi");
    let output = Command::new(&path).arg("?").output();
    let is_built = output.is_ok_and(|output| text(&output.stderr).contains("or lambda:NAME?"));
    assert!(is_built, "first: cargo build -p catena-cloud --features lambda --example pi");
    path
}
