//! The program `catena-engine`.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use catena_protocol::op::LogOp;
use catena_protocol::{Op, Status};

use crate::wire::{GUARD, RequestHeader, Wire, hello};

/// A running `catena-engine`, killed at the end if it is still there.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) ready: String,
}

impl Running {
    /// Starts it on free ports, with one core unless `args` have `--cores`, and waits until it is ready.
    pub(crate) fn start(args: &[&str]) -> Running {
        Running::start_with(command(), args)
    }

    fn start_with(mut command: Command, args: &[&str]) -> Running {
        let mut child = command
            .args(if args.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] })
            .arg("--no-pin")
            .args(if args.contains(&"--cores") { &[][..] } else { &["--cores", "0"] })
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is built");
        let stdout = child.stdout.take().expect("it was piped");
        let (mut stdout, mut ready) = (BufReader::new(stdout), String::new());
        stdout.read_line(&mut ready).expect("it prints one line");
        let listens = ready.split('(').next().unwrap_or_default();
        let addresses = listens.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        Running { child, stdout, addresses, ready }
    }

    /// Returns the next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it writes text");
        line
    }

    /// Returns what it prints until its end.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("it writes text");
        rest
    }

    /// Returns where it serves metrics, according to its first line.
    pub(crate) fn metrics(&self) -> SocketAddr {
        let url = self.ready.split("metrics at http://").nth(1).expect("it prints the address");
        url.trim().trim_end_matches("/metrics").parse().expect("an address")
    }

    /// Returns the most memory it ever had, in bytes.
    pub(crate) fn memory_bytes_peak(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line =
            status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux reports it");
        let kib = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is kill").success());
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is our child");
    }

    /// Waits until it ends by itself; returns its status and what it wrote to stderr.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let started = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("it is our child") {
                Some(status) => break status,
                None => assert!(started.elapsed() < GUARD, "it does not end"),
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().expect("it was piped");
        stderr.read_to_string(&mut said).expect("it writes text");
        (status, said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catena-engine"));
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

fn run(args: &[&str]) -> Output {
    command().args(args).stdin(Stdio::null()).output().expect("the program is built")
}

/// The kernel keeps the connections of a killed process for a while, and the next one gets its ports
/// nevertheless.
#[test]
fn it_gets_its_ports_back_after_each_kill() {
    let start = |listen: &str| {
        let free = ["--cores", "0,1", "--metrics", "127.0.0.1:0"];
        Running::start(&[&free[..], &["--listen", listen]].concat())
    };
    // The ports of both cores have to be free, one behind the other.
    let mut engine = start("127.0.0.1:0");
    let mut listen = None;
    for _ in 0..100 {
        let port = engine.addresses[0].port();
        engine.kill();
        let address = format!("127.0.0.1:{port}");
        let taken = port.checked_add(1).map(|next| TcpListener::bind(("127.0.0.1", next)).is_err());
        if taken == Some(false) {
            listen = Some(address);
            break;
        }
        engine = start("127.0.0.1:0");
    }
    let listen = listen.expect("two free ports");
    let mut wires: Vec<Wire> = Vec::new();
    for _ in 0..12 {
        let engine = start(&listen);
        assert_eq!(engine.addresses[0].to_string(), listen, "{}", engine.ready);
        for address in &engine.addresses {
            wires.extend((0..4).map(|_| Wire::welcomed(*address).0));
            // And one whose last reply is unread.
            let mut wire = Wire::silent(*address);
            wire.send(&hello());
            wires.push(wire);
        }
        engine.kill();
        // Half of the connections stay, and the kernel has the other end of the others.
        let mut half = 0;
        wires.retain(|_| {
            half += 1;
            half % 2 == 0
        });
    }
}

#[test]
fn it_prints_when_it_is_ready_and_stops_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let mut engine = Running::start(&["--cores", "0,1", "--shards", "16"]);
        assert!(engine.ready.starts_with("ready on 127.0.0.1:"), "{}", engine.ready);
        assert!(engine.ready.contains("(2 cores, 16 shards, "), "{}", engine.ready);
        assert_eq!(engine.addresses.len(), 2, "{}", engine.ready);
        let mut wires: Vec<Wire> =
            engine.addresses.iter().map(|address| Wire::welcomed(*address).0).collect();
        engine.signal(signal);
        let (status, said) = engine.end();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(said.contains("stopped"), "{said}");
        assert!(wires.iter_mut().all(|wire| wire.next().is_none()), "it hangs up");
    }
}

#[test]
fn a_signal_stops_it_while_it_waits_for_a_cluster() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}", directory.path().display());
    for signal in ["-TERM", "-INT"] {
        let mut child = command()
            .args(["--listen", "127.0.0.1:0", "--no-pin", "--cores", "0", "--cluster", &url])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is built");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut said = BufReader::new(child.stderr.take().expect("it was piped"));
        let mut line = String::new();
        while !line.contains("waiting 30s for a node that creates it") {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("it writes text"), 0, "it waits");
        }
        let mut waiting = Running { child, stdout, addresses: Vec::new(), ready: String::new() };
        waiting.signal(signal);
        // No node creates the cluster: without the signal it would exit with 1.
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("it writes text");
        let status = waiting.child.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0), "{rest}");
        assert!(rest.contains("stopped"), "{rest}");
    }
}

#[test]
fn a_second_engine_on_the_same_port_fails_with_a_hint() {
    let engine = Running::start(&[]);
    let address = engine.addresses[0].to_string();
    let second = run(&["--listen", &address, "--cores", "0", "--no-pin"]);
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("another engine"), "{said}");
    assert!(second.stdout.is_empty(), "it is not ready");
}

#[test]
fn bad_flags_explain_themselves() {
    let cases: [(&[&str], &str); 25] = [
        (&["--metrics", "0.0.0.0:0"], "--insecure-network"),
        (&["--emf", "0"], "0 is not in 1.."),
        (&["--listen", "somewhere"], "invalid socket address"),
        (&["--cores", "x"], "`x` is not a CPU number"),
        (&["--cores", "3-1"], "`3-1` is not a range of CPUs"),
        (&["--cores", "1,1"], "CPU 1 is listed twice"),
        (&["--cores", "4000"], "cpu cannot be 4000"),
        (&["--no-pin", "--cores", "0", "--shards", "6"], "shards cannot be 6"),
        (&["--memory", "lots"], "--memory"),
        (
            &["--memory", "1KiB"],
            "memory cannot be 1024 bytes: expected at least 24 MiB for each core",
        ),
        (&["--connections", "0"], "connections cannot be 0: expected 1 to 65536"),
        (&["--log-format", "xml"], "json"),
        (&["--no-pin", "--cores", "0", "--spin", "2000"], "spin cannot be 2ms"),
        (&["--driver", "kqueue"], "io-uring"),
        (&["--shards", "many"], "--shards"),
        (&["--colour"], "--colour"),
        (&["--create"], "--cluster <URL>"),
        (&["--node-name", "a"], "--cluster <URL>"),
        (&["--cluster", "file:///tmp", "--replicas", "3"], "--create"),
        (
            &["--cluster", "file:///tmp", "--create", "--lease-ms", "1000"],
            "lease-ms cannot be 1000",
        ),
        (&["--cluster", "/tmp"], "expected file:///directory or s3://bucket/prefix, got \"/tmp\""),
        (&["--cluster", "file:///tmp", "--cluster-name", "a/b"], "the cluster's name cannot be"),
        (&["--cluster", "file:///tmp", "--advertise", "0.0.0.0"], "--advertise"),
        (&["--cluster", "file:///tmp", "--s3-config", "/none"], "cannot read /none"),
        (&["--cluster", "file:///tmp", "--create", "--on-total-loss", "shrug"], "halt"),
    ];
    for (args, expected) in cases {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{args:?} is accepted");
        assert!(said.contains(expected), "{args:?}: `{said}` does not contain `{expected}`");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
}

/// A client's line cannot look like another line of the engine's log.
#[test]
fn a_line_of_the_log_is_one_line_without_colours() {
    let forged = "done\n2026-01-01T00:00:00Z ERROR forged\x1b[31m";
    for format in ["text", "json"] {
        let mut colourful = command();
        colourful.env_remove("NO_COLOR");
        let args = ["--shards", "1", "--log-format", format];
        let mut engine = Running::start_with(colourful, &args);
        let mut wire = Wire::open(engine.addresses[0], 7);
        let ask = RequestHeader { session: 7, number: 1, ..RequestHeader::default() };
        wire.send(&ask.frame(Op::Log(LogOp::Print { line: forged })));
        assert_eq!(wire.receive().status(), Status::Ok);
        engine.signal("-TERM");
        let (_, said) = engine.end();
        assert!(!said.contains('\x1b'), "{said:?}");
        let line = said.lines().find(|line| line.contains("forged")).expect("it is in the log");
        assert!(line.contains("catena::log"), "{said}");
        for line in said.lines() {
            let parsed = serde_json::from_str::<serde_json::Value>(line);
            assert_eq!(parsed.is_ok(), format == "json", "{line}");
            if let Ok(entry) = parsed {
                assert!(entry["level"].is_string() && entry["fields"]["message"].is_string());
            }
        }
    }
}

#[test]
fn other_machines_can_connect_only_if_allowed() {
    let listen = ["--listen", "0.0.0.0:0", "--no-pin", "--cores", "0"];
    let output = run(&listen);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--insecure-network"), "{said}");
    let mut engine = Running::start(&["--insecure-network"]);
    engine.signal("-TERM");
    assert_eq!(engine.end().0.code(), Some(0));
}

#[test]
fn help_and_version_are_printed() {
    let help = run(&["--help"]);
    let said = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success());
    let flags = ["--listen", "--cores", "--memory", "--spin", "--driver", "--insecure-network"];
    let more = ["--cluster", "--create", "--advertise", "--metrics", "--emf"];
    for flag in flags.into_iter().chain(more) {
        assert!(said.contains(flag), "{flag} is not in the help");
    }
    let version = run(&["--version"]);
    let said = String::from_utf8_lossy(&version.stdout);
    assert_eq!(said.trim(), concat!("catena-engine ", env!("CARGO_PKG_VERSION")));
}
