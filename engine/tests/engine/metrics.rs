//! Metrics: over HTTP for Prometheus, and on stdout for CloudWatch.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use catena_engine::{ClusterSettings, Engine, Heads, Metrics};
use catena_protocol::op::{CellOp, LatchOp};
use catena_protocol::{
    FrameKind, Header, Kind, ObjectId, Op, Reply, ShardId, ShardMap, Status, frame,
};
use serde_json::Value;

use crate::binary::Running;
use crate::chains::{Process, wait_for};
use crate::cluster::{ClusterDir, control};
use crate::wire::{ADD, GET, GUARD, RequestHeader, Wire, open_in};
use crate::with_drivers;

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Sends a request over HTTP; returns the status line with the headers, and the body.
fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(GUARD)).expect("a fresh socket");
    write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and hangs up");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

/// The samples of a page of metrics, by name with labels.
struct Page(BTreeMap<String, f64>);

/// Returns the memory of the process, and what its only core counts of it, in bytes.
pub(crate) fn memory(address: SocketAddr) -> (f64, f64) {
    let page = Page::at(address);
    let resident = page.get("catena_resident_bytes").expect("the kernel says it");
    (resident, page.get("catena_memory_bytes{core=\"0\"}").expect("the core replies"))
}

impl Page {
    /// Reads the page, and checks its format.
    fn at(address: SocketAddr) -> Page {
        let (head, text) = ask(address, "GET /metrics");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            head.to_lowercase().contains("content-type: application/openmetrics-text"),
            "{head}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
        let mut samples = BTreeMap::new();
        let mut family = String::new();
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(comment) = line.strip_prefix("# ") {
                let words: Vec<&str> = comment.splitn(3, ' ').collect();
                assert_eq!(words.len(), 3, "{line}");
                assert!(["HELP", "TYPE", "UNIT"].contains(&words[0]), "{line}");
                family = words[1].to_owned();
                continue;
            }
            assert!(
                !family.is_empty() && line.starts_with(&family),
                "`{line}` does not belong to {family}"
            );
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let before = samples.insert(name.to_owned(), value.parse().expect("a number"));
            assert_eq!(before, None, "{name} occurs twice");
        }
        Page(samples)
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    fn with(&self, prefix: &str) -> Vec<(&str, f64)> {
        let all = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        all.map(|(name, value)| (&**name, *value)).collect()
    }

    fn sum(&self, prefix: &str) -> f64 {
        self.with(prefix).iter().map(|(_, value)| value).sum()
    }
}

/// Returns how many connections the first core has.
pub(crate) fn connections(address: SocketAddr) -> Option<f64> {
    Page::at(address).get("catena_connections{core=\"0\"}")
}

#[test]
fn requests_are_counted_by_kind_op_and_outcome() {
    with_drivers(|builder| {
        let engine = builder.metrics(ANY_PORT).memory_bytes(64 << 20).start().expect("it starts");
        let address = engine.metrics_address().expect("it serves metrics");
        assert!(Page::at(address).with("catena_ops_total").is_empty(), "there was no request");

        let mut wire = Wire::open(engine.addresses()[0], 7);
        for number in 1..=5 {
            wire.add(7, number, "visits");
        }
        // A retry gets the same reply and counts again.
        wire.add(7, 5, "visits");
        // Three reads at once, of which the second is of another kind.
        let read = |op| RequestHeader { name: "visits", ..RequestHeader::default() }.frame(op);
        wire.send(&[read(GET), read(Op::Cell(CellOp::Get)), read(GET)].concat());
        let outcomes = [wire.receive(), wire.receive(), wire.receive()].map(|it| it.status());
        assert_eq!(outcomes, [Status::Ok, Status::WrongKind, Status::Ok]);
        let mut bytes = Vec::new();
        let unknown = Header { op: 0x02FF, ..Header::new(FrameKind::Request) };
        frame::write(&mut bytes, &unknown, |_| ()).expect("a small frame");
        wire.send(&bytes);
        assert_eq!(wire.receive().status(), Status::UnknownOp);

        let page = Page::at(address);
        let expected = [
            ("catena_ops_total{kind=\"cell\",op=\"get\",outcome=\"wrong_kind\"}", 1.0),
            ("catena_ops_total{kind=\"counter\",op=\"add\",outcome=\"done\"}", 6.0),
            ("catena_ops_total{kind=\"counter\",op=\"get\",outcome=\"done\"}", 2.0),
            ("catena_ops_total{kind=\"session\",op=\"open\",outcome=\"done\"}", 1.0),
            ("catena_ops_total{kind=\"unknown\",op=\"unknown\",outcome=\"unknown_op\"}", 1.0),
        ];
        assert_eq!(page.with("catena_ops_total"), expected);
        for kind in ["cell", "counter", "session", "unknown"] {
            let ops = page.sum(&format!("catena_ops_total{{kind=\"{kind}\""));
            let of = |what: &str| {
                format!("catena_latency_seconds_{what}{{kind=\"{kind}\",waited=\"no\"")
            };
            assert_eq!(page.get(&format!("{}}}", of("count"))), Some(ops), "{kind}");
            let (start, rest) = (
                "catena_latency_seconds_bucket{le=\"",
                format!("\",kind=\"{kind}\",waited=\"no\"}}"),
            );
            let mut buckets: Vec<(f64, f64)> = page
                .with(start)
                .into_iter()
                .filter_map(|(name, count)| {
                    let end = name[start.len()..].strip_suffix(&rest)?;
                    Some((end.parse().expect("a number"), count))
                })
                .collect();
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert_eq!(buckets.len(), 28, "from 1 µs to 67 s, and +Inf");
            assert!(buckets.iter().map(|(_, count)| count).is_sorted(), "{buckets:?}");
            assert_eq!((buckets[0].0, buckets[27]), (1e-6, (f64::INFINITY, ops)), "{kind}");
        }
        assert_eq!(page.sum("catena_latency_seconds_count"), page.sum("catena_ops_total"));

        let of_core = |name: &str| page.get(&format!("catena_{name}{{core=\"0\"}}"));
        assert_eq!(of_core("connections"), Some(1.0));
        assert_eq!((of_core("sessions"), of_core("objects")), (Some(1.0), Some(1.0)));
        assert_eq!((of_core("waiters"), of_core("chain_lag_entries")), (Some(0.0), Some(0.0)));
        assert!(of_core("memory_bytes").is_some_and(|bytes| bytes > 0.0));
        assert_eq!(page.get("catena_memory_bytes_max"), Some(f64::from(64 << 20)));
        let resident = page.get("catena_resident_bytes").expect("the kernel says it");
        assert!(resident > of_core("memory_bytes").unwrap_or_default(), "{resident}");
        assert_eq!(page.get("catena_connections_max"), Some(8_192.0));
        assert_eq!((of_core("receiving_bytes"), of_core("unsent_bytes")), (Some(0.0), Some(0.0)));
        assert_eq!(page.get("catena_epoch"), Some(0.0));
        let build = format!(
            "catena_build_info{{version=\"{}\",driver=\"{}\"}}",
            env!("CARGO_PKG_VERSION"),
            engine.driver()
        );
        assert_eq!(page.get(&build), Some(1.0));
        let [(node, 1.0)] = page.with("catena_node_info")[..] else { panic!("one node") };
        assert!(node.starts_with("catena_node_info{cluster=\"none\",node=\""), "{node}");

        // The program that embeds the engine reads the same numbers.
        let metrics = engine.metrics();
        let ops: u64 = metrics.ops.iter().map(|it| it.count).sum();
        assert_eq!((ops, metrics.is_complete()), (11, true));
    });
}

#[test]
fn requests_that_wait_are_gauged_and_timed_apart() {
    with_drivers(|builder| {
        let engine = builder.metrics(ANY_PORT).start().expect("it starts");
        let address = engine.metrics_address().expect("it serves metrics");
        let waiters = || Page::at(address).get("catena_waiters{core=\"0\"}");
        let latch = |number, deadline_ms, op| {
            let acked_gap = 2;
            let ask = RequestHeader {
                session: 7,
                number,
                acked_gap,
                deadline_ms,
                ..RequestHeader::default()
            };
            ask.frame(Op::Latch(op))
        };
        let mut wire = Wire::open(engine.addresses()[0], 7);
        assert_eq!(waiters(), Some(0.0));
        wire.send(&latch(1, 60_000, LatchOp::Wait { parties: 1 }));
        // The engine has received the wait once it has replied to the request behind it.
        wire.send(&RequestHeader::default().frame(Op::Latch(LatchOp::State)));
        assert_eq!(wire.receive().status(), Status::Ok);
        assert_eq!(waiters(), Some(1.0));
        let waited = Duration::from_millis(20);
        std::thread::sleep(waited);
        wire.send(&latch(2, 0, LatchOp::CountDown { party: "p", parties: 1 }));
        assert!([wire.receive(), wire.receive()].iter().all(|it| it.status() == Status::Ok));
        assert_eq!(waiters(), Some(0.0));

        let page = Page::at(address);
        let count = |waited| {
            page.get(&format!("catena_latency_seconds_count{{kind=\"latch\",waited=\"{waited}\"}}"))
        };
        assert_eq!((count("no"), count("yes")), (Some(2.0), Some(1.0)));
        let sum = page.get("catena_latency_seconds_sum{kind=\"latch\",waited=\"yes\"}");
        assert!(sum.is_some_and(|sum| sum >= waited.as_secs_f64()), "{sum:?}");
        let done = "catena_ops_total{kind=\"latch\",op=\"wait\",outcome=\"done\"}";
        assert_eq!(page.get(done), Some(1.0));
    });
}

#[test]
fn only_metrics_and_health_are_served() {
    let engine = Engine::builder().metrics(ANY_PORT).start().expect("it starts");
    let address = engine.metrics_address().expect("it serves metrics");
    let (head, body) = ask(address, "GET /health");
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "ok\n", "{head}\n{body}");
    assert!(ask(address, "GET /").0.starts_with("HTTP/1.1 404 "));
    assert!(ask(address, "POST /metrics").0.starts_with("HTTP/1.1 405 "));
    // Connections that are silent or stop in the middle do not delay others.
    let silent: Vec<TcpStream> = (0..48)
        .map(|nth| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            if nth % 2 == 0 {
                // It may have made room already.
                _ = write!(stream, "GET /health HTTP/1.1\r\nHost: ");
            }
            stream
        })
        .collect();
    let started = Instant::now();
    assert!(ask(address, "GET /health").0.starts_with("HTTP/1.1 200 "));
    assert!(started.elapsed() < Duration::from_secs(4), "before their time is up");
    drop(engine);
    drop(silent);
    assert!(TcpStream::connect(address).is_err(), "it is gone");
}

fn ops_of(metrics: &Metrics, kind: Kind) -> u64 {
    let of_kind = metrics.ops.iter().filter(|it| it.op.is_some_and(|op| op.kind() == kind));
    of_kind.map(|it| it.count).sum()
}

#[test]
fn members_export_their_epoch_and_chain_lag() {
    let dir = ClusterDir::new();
    // No member is suspected while the test stops one.
    let settings = ClusterSettings {
        suspect_ms: 60_000,
        lease_ms: 300,
        heads: Heads::One,
        ..ClusterSettings::default()
    };
    let cluster = dir.cluster().node_name("node-a").create(settings);
    let builder = Engine::builder().cores(2).shards(8).cluster(cluster).metrics(ANY_PORT);
    let head = builder.start().expect("it starts");
    let tail = Process::with(&dir, "node-b", &["--metrics", "127.0.0.1:0"]);
    wait_for(control(&head), 2, "head");
    wait_for(tail.control, 2, "tail");
    let pages = [head.metrics_address().expect("it serves metrics"), tail.running.metrics()];
    for (address, name) in pages.into_iter().zip(["node-a", "node-b"]) {
        let page = Page::at(address);
        assert_eq!(page.get("catena_epoch"), Some(2.0));
        let node = format!("catena_node_info{{cluster=\"catena\",node=\"{name}\"}}");
        assert_eq!(page.get(&node), Some(1.0));
        assert_eq!(page.sum("catena_chain_lag_entries"), 0.0);
    }

    let map = ShardMap::new(8, 2).expect("a map");
    let shard = map.shard_of(ObjectId::of("object"));
    let core = map.core_of(shard);
    let (mut wire, welcome) = Wire::welcomed(head.addresses()[usize::from(core)]);
    wire.send(&open_in(shard, 7, welcome.now_us));
    assert_eq!(wire.receive().status(), Status::Ok);
    let add = |number| {
        let ask = RequestHeader {
            session: 7,
            number,
            acked_gap: 3,
            shard: shard.0,
            ..RequestHeader::default()
        };
        ask.frame(ADD)
    };
    let counted = ops_of(&head.metrics(), Kind::Counter);
    assert_eq!(counted, 0);
    tail.running.signal("-STOP");
    wire.send(&[add(1), add(2), add(3)].concat());
    let lag = || {
        let lag =
            |core| Page::at(pages[0]).get(&format!("catena_chain_lag_entries{{core=\"{core}\"}}"));
        (lag(core), lag(1 - core))
    };
    let started = Instant::now();
    while lag() != (Some(3.0), Some(0.0)) {
        assert!(started.elapsed() < GUARD, "the lag stays {:?}", lag());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ops_of(&head.metrics(), Kind::Counter), 0, "no reply was sent yet");
    let held = Duration::from_millis(20);
    std::thread::sleep(held);
    tail.running.signal("-CONT");
    for value in 1..=3 {
        assert_eq!(wire.receive().reply(), Reply::Int(value));
    }
    assert_eq!(lag(), (Some(0.0), Some(0.0)));

    // The head has replied, the tail has not; the time for which replies were held counts as latency.
    let [here, there] = pages.map(Page::at);
    let done = "catena_ops_total{kind=\"counter\",op=\"add\",outcome=\"done\"}";
    assert_eq!((here.get(done), there.get(done)), (Some(3.0), None));
    let of = |what: &str| {
        here.get(&format!("catena_latency_seconds_{what}{{kind=\"counter\",waited=\"no\"}}"))
    };
    assert_eq!(of("count"), Some(3.0));
    assert!(of("sum").is_some_and(|sum| sum >= 3.0 * held.as_secs_f64()), "{:?}", of("sum"));
}

/// Returns the metrics that the guide lists, with unit and dimensions.
fn guide() -> BTreeMap<String, (String, Vec<String>)> {
    let guide = include_str!("../../deploy/README.md");
    let rows = guide.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let unit = match cells[2] {
            "count" | "entries" => "Count",
            "µs" => "Microseconds",
            "bytes" => "Bytes",
            "number" => "None",
            other => panic!("`{other}` is not a unit"),
        };
        let each = cells[3].split(';').map(|each| each.trim().trim_matches('`').to_owned());
        (cells[1].trim_matches('`').to_owned(), (unit.to_owned(), each.collect()))
    })
    .collect()
}

#[test]
fn lines_for_cloudwatch_are_as_the_guide_says() {
    let mut engine = Running::start(&["--emf", "1"]);
    let mut wire = Wire::open(engine.addresses[0], 7);
    let map = ShardMap::new(8, 1).expect("a map");
    let name = (0..).map(|i| format!("object-{i}"));
    let name = name.into_iter().find(|name| map.shard_of(ObjectId::of(name)) == ShardId(0));
    let name = name.expect("one of them is there");
    for number in 1..=5 {
        wire.add(7, number, &name);
    }
    let mut lines: Vec<Value> = Vec::new();
    // At least two intervals, the second of them idle.
    while lines.iter().filter(|line| line.get("epoch").is_some()).count() < 2 {
        lines.push(serde_json::from_str(&engine.line()).expect("a line of JSON"));
    }
    wire.send(&RequestHeader { name: &name, ..RequestHeader::default() }.frame(GET));
    assert_eq!(wire.receive().status(), Status::Ok);
    engine.signal("-TERM");
    assert_eq!(engine.end().0.code(), Some(0));
    let rest = engine.rest();
    lines.extend(rest.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));

    let guide = guide();
    let mut seen = BTreeMap::new();
    for line in &lines {
        assert!(line["_aws"]["Timestamp"].is_u64(), "{line}");
        for declared in line["_aws"]["CloudWatchMetrics"].as_array().expect("a list") {
            assert_eq!(declared["Namespace"], "Catena");
            let sets = declared["Dimensions"].as_array().expect("a list").iter();
            let sets: Vec<String> = sets
                .map(|set| {
                    let names = set.as_array().expect("a list").iter();
                    let names: Vec<&str> = names.map(|it| it.as_str().expect("a name")).collect();
                    assert!(
                        names.iter().all(|it| line[it].is_string()),
                        "{line} lacks a dimension"
                    );
                    names.join(", ")
                })
                .collect();
            for metric in declared["Metrics"].as_array().expect("a list") {
                let name = metric["Name"].as_str().expect("a name");
                assert!(line[name].is_u64(), "{line} declares {name} and has none");
                let unit = metric["Unit"].as_str().expect("a unit").to_owned();
                seen.insert(name.to_owned(), (unit, sets.clone()));
            }
        }
        assert_eq!(line["cluster"], "none");
    }
    assert_eq!(seen, guide, "units and dimensions are those of the guide");
    let ops = |kind: &str| -> u64 {
        let of_kind = lines.iter().filter(|line| line["kind"] == kind && line["outcome"] == "done");
        of_kind.map(|line| line["ops"].as_u64().expect("a count")).sum()
    };
    assert_eq!(
        (ops("session"), ops("counter")),
        (1, 6),
        "all intervals together, the last included"
    );
}
