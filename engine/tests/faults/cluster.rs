//! A cluster of node processes on this machine.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The nodes of a cluster, and the register of its record.
pub(crate) struct Cluster {
    register: Register,
    /// The log of each node.
    logs: TempDir,
    pub(crate) nodes: Vec<NodeProcess>,
    /// The network namespace of each node, if they have one each.
    namespaces: Option<Vec<Namespace>>,
}

/// Where the record is stored.
pub(crate) enum Register {
    Directory(TempDir),
    #[cfg(feature = "s3")]
    Store(catena_s3_stand_in::StandIn),
}

/// The network namespace of a node, and its address there.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// A node process.
pub(crate) struct NodeProcess {
    child: Child,
    /// Where its first core listens, which identifies the process. It may have several incarnations in
    /// the cluster.
    pub(crate) address: String,
    /// The number of the node, and of its name; processes that replace it have the same.
    number: usize,
}

/// The record, as JSON.
pub(crate) struct Record(Value);

const START_TIME_MAX: Duration = Duration::from_secs(40);

impl Cluster {
    /// Starts this many nodes, each of which is a replica. All are members when this returns.
    pub(crate) fn new(nodes: usize) -> Cluster {
        Cluster::placed(nodes, None)
    }

    pub(crate) fn placed(nodes: usize, namespaces: Option<Vec<Namespace>>) -> Cluster {
        let register = Register::Directory(tempfile::tempdir().unwrap());
        Cluster::around(register, nodes, namespaces)
    }

    pub(crate) fn around(
        register: Register,
        nodes: usize,
        namespaces: Option<Vec<Namespace>>,
    ) -> Cluster {
        let logs = tempfile::tempdir().unwrap();
        let mut cluster = Cluster { register, logs, nodes: Vec::new(), namespaces };
        for number in 0..nodes {
            let node = cluster.start(number, nodes);
            cluster.nodes.push(node);
            cluster.await_members(number + 1);
        }
        cluster
    }

    /// Starts a node without objects.
    fn start(&self, number: usize, replicas: usize) -> NodeProcess {
        let engine = env!("CARGO_BIN_EXE_catena-engine");
        let mut command = match self.namespaces.as_ref().map(|all| &all[number]) {
            None => Command::new(engine),
            Some(Namespace { name, .. }) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, engine, "--insecure-network"]);
                command
            }
        };
        let ip = self.namespaces.as_ref().map_or("127.0.0.1", |all| &all[number].address);
        command
            .args(["--listen", &format!("{ip}:0"), "--cores", "0", "--no-pin", "--shards", "8"])
            .args(self.register.flags())
            .args(["--create", "--replicas", &replicas.to_string(), "--min-members", "1"])
            .args(["--lease-ms", "300", "--suspect-ms", "400"])
            .args(["--node-name", &format!("node-{number}")])
            .env("RUST_LOG", "info")
            .envs(self.register.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.log_of(number));
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (said, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                _ = said.send(line);
            }
        });
        let ready = heard.recv_timeout(START_TIME_MAX).unwrap_or_else(|error| {
            panic!("node-{number} did not start ({error}): {}", self.log_tail(number))
        });
        let address = ready.split_whitespace().find(|word| word.starts_with(&format!("{ip}:")));
        let address = address.unwrap_or_else(|| panic!("no address in {ready:?}")).to_owned();
        NodeProcess { child, address, number }
    }

    /// Opens the log of a node, which all its processes share.
    fn log_of(&self, number: usize) -> std::fs::File {
        let path = self.logs.path().join(format!("node-{number}.log"));
        std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
    }

    /// Returns the last lines of that log.
    pub(crate) fn log_tail(&self, number: usize) -> String {
        let path = self.logs.path().join(format!("node-{number}.log"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Kills a process, and starts another in its place.
    pub(crate) fn replace(&mut self, at: usize) {
        self.kill(at);
        self.revive(at);
    }

    /// Kills a process.
    pub(crate) fn kill(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    /// Starts another process in the place of one that was killed.
    pub(crate) fn revive(&mut self, at: usize) {
        self.nodes[at] = self.start(self.nodes[at].number, self.nodes.len());
    }

    /// Returns the index in `nodes` of the process that listens at an address.
    pub(crate) fn index_of(&self, address: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.address == address)
    }

    pub(crate) fn record(&self) -> Record {
        Record(serde_json::from_slice(&self.register.read()).unwrap_or_default())
    }

    /// Returns the register of its record.
    #[cfg(feature = "s3")]
    pub(crate) fn register(&self) -> &Register {
        &self.register
    }

    /// Waits until the record has this many members, all of them running processes.
    pub(crate) fn await_members(&self, count: usize) -> Record {
        let latest = Instant::now() + START_TIME_MAX;
        loop {
            let record = self.record();
            let members = record.chain();
            if members.len() == count && members.iter().all(|it| self.index_of(it).is_some()) {
                return record;
            }
            assert!(
                Instant::now() < latest,
                "expected {count} members, got {members:?}\n{}",
                (0..self.nodes.len()).map(|n| self.log_tail(n)).collect::<Vec<_>>().join("\n\n"),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the heads are spread over all members, the last change after the nodes have joined.
    #[cfg(feature = "s3")]
    pub(crate) fn await_spread(&self) {
        let latest = Instant::now() + START_TIME_MAX;
        while self.record().0["change"]["kind"] != "reorder" {
            assert!(Instant::now() < latest, "the heads are not spread");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the addresses of all nodes, for clients.
    pub(crate) fn seeds(&self) -> String {
        let addresses: Vec<&str> = self.nodes.iter().map(|node| &*node.address).collect();
        addresses.join(",")
    }
}

impl Cluster {
    /// Returns the location of the record, from which clients find members whose addresses they never
    /// heard of; the addresses of all nodes if the record is not in a directory.
    pub(crate) fn location(&self) -> String {
        match &self.register {
            Register::Directory(directory) => format!("file://{}", directory.path().display()),
            #[cfg(feature = "s3")]
            Register::Store(_) => self.seeds(),
        }
    }
}

impl Register {
    /// Returns the flags of a node for this register.
    fn flags(&self) -> Vec<String> {
        match self {
            Register::Directory(directory) => {
                vec!["--cluster".into(), format!("file://{}", directory.path().display())]
            }
            #[cfg(feature = "s3")]
            Register::Store(store) => {
                let url = store.endpoint_url();
                ["--cluster", "s3://faults/some/prefix", "--endpoint-url", &url]
                    .map(Into::into)
                    .into()
            }
        }
    }

    /// Returns the environment of a node: credentials, which do not belong on a command line.
    fn environment(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            Register::Directory(_) => Vec::new(),
            #[cfg(feature = "s3")]
            Register::Store(_) => vec![
                ("CATENA_S3_ACCESS_KEY", catena_s3_stand_in::ACCESS_KEY),
                ("CATENA_S3_SECRET_ACCESS_KEY", catena_s3_stand_in::SECRET_ACCESS_KEY),
            ],
        }
    }

    /// Returns the bytes of the record.
    fn read(&self) -> Vec<u8> {
        match self {
            Register::Directory(directory) => {
                std::fs::read(directory.path().join("catena/config.json")).unwrap_or_default()
            }
            #[cfg(feature = "s3")]
            Register::Store(store) => {
                let contents = store.contents("faults", "some/prefix/catena/config.json");
                contents.map(|contents| contents.to_vec()).unwrap_or_default()
            }
        }
    }
}

impl NodeProcess {
    /// Sends a signal to the process, such as one that pauses or continues it.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for number in 0..self.nodes.len() {
                println!("the last log lines of node-{number}:\n{}\n", self.log_tail(number));
            }
        }
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // This also ends a paused process.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Record {
    /// Returns the chain of the first shard, the head first, by the address of each member's first core.
    /// Empty if there is no record yet.
    pub(crate) fn chain(&self) -> Vec<String> {
        let chain = self.0["chains"][0].as_array().cloned().unwrap_or_default();
        let address =
            |id: &Value| self.0["nodes"][id.as_str()?]["clients"][0].as_str().map(Into::into);
        chain.iter().filter_map(address).collect()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.0["epoch"].as_u64().unwrap_or_default()
    }
}
