//! The servers that are measured: started on one cpu, metered, and ended.
//!
//! 1. A server is a process of its own, ours as well as a peer's, so that the kernel counts its cpu
//!    time separately.
//! 2. It is ended when its [`Server`] is dropped, also after an error, and by the kernel if this
//!    process is killed. No other process is ever touched.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use catena_client::Client;
use tempfile::TempDir;

use crate::load::Load;
use crate::machine;
use crate::peer_server::{PeerServer, is_on_path, version_line};
use crate::wire::catena::NodeTopology;
use crate::wire::{Dialect, LoadPlan, Workload};

/// A server that listens at its address.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) address: SocketAddr,
    /// What a peer prints as its version.
    version: Option<String>,
    child: Option<Child>,
    /// Its standard input and output, if it is a part of this program.
    stdio: Option<(ChildStdin, BufReader<ChildStdout>)>,
    /// Which keys exist, by the workload that created them.
    filled: RefCell<Vec<(Workload, u64)>>,
    /// The nodes behind it, if it is the head of a chain.
    behind: Vec<Server>,
    /// Its files, which are deleted after the process has ended.
    folder: Option<TempDir>,
}

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many keys are created before the progress is shown.
const FILL_STEP: u64 = 100_000;

impl Server {
    /// Starts an engine with one core on each of these cpus.
    pub(crate) fn engine(cpus: &[usize], spin_us: u64) -> anyhow::Result<Server> {
        let list: Vec<String> = cpus.iter().map(usize::to_string).collect();
        let args = ["engine".to_owned(), format!("--spin={spin_us}")];
        Server::own("catena", Dialect::Catena, &list.join(","), &args)
    }

    /// Starts an engine with one core, which may use this much memory for its objects.
    pub(crate) fn large_engine(cpu: usize, memory_bytes: u64) -> anyhow::Result<Server> {
        let memory = format!("--memory-bytes={memory_bytes}");
        let args = ["engine".to_owned(), "--spin=0".to_owned(), memory];
        Server::own("catena", Dialect::Catena, &cpu.to_string(), &args)
    }

    /// Starts an engine that counts its heap allocations.
    pub(crate) fn counting_engine(cpu: usize) -> anyhow::Result<Server> {
        let args = ["engine", "--spin=0", "--count-allocations"].map(str::to_owned);
        Server::own("catena", Dialect::Catena, &cpu.to_string(), &args)
    }

    /// Starts a chain of engines, the head first, each with one core on a cpu.
    pub(crate) fn chain(cpus: &[usize], spin_us: u64) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let nodes = cpus.len();
        let start = |(number, cpu): (usize, &usize)| {
            let member = [format!("--replicas={nodes}"), format!("--spin={spin_us}")];
            Server::node(folder.path(), number, *cpu, &member)
        };
        let mut all = (0..).zip(cpus).map(start);
        let mut head = all.next().context("a chain has a node")??;
        for node in all {
            head.behind.push(node?);
            // One after the other: the first creates the cluster, and each that joins becomes the
            // tail.
            head.await_members(head.behind.len() + 1)?;
        }
        (head.name, head.folder) = (format!("catena, {nodes} nodes"), Some(folder));
        Ok(head)
    }

    /// Starts the first node of a chain of two, which may use this much memory for its objects.
    pub(crate) fn first_of_chain(cpu: usize, memory_bytes: u64) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let mut first = Server::of_two(folder.path(), 0, cpu, memory_bytes)?;
        first.folder = Some(folder);
        Ok(first)
    }

    /// Starts the node that joins it.
    pub(crate) fn next_of_chain(
        first: &Server,
        cpu: usize,
        memory_bytes: u64,
    ) -> anyhow::Result<Server> {
        let folder = first.folder.as_ref().context("it is not in a chain")?;
        Server::of_two(folder.path(), 1, cpu, memory_bytes)
    }

    fn of_two(folder: &Path, number: usize, cpu: usize, bytes: u64) -> anyhow::Result<Server> {
        let memory = format!("--memory-bytes={bytes}");
        Server::node(
            folder,
            number,
            cpu,
            &["--replicas=2".to_owned(), "--spin=0".to_owned(), memory],
        )
    }

    /// Starts a node of the cluster whose record is in a folder.
    fn node(folder: &Path, number: usize, cpu: usize, more: &[String]) -> anyhow::Result<Server> {
        let record = format!("--record=file://{}", folder.display());
        let args = ["engine".to_owned(), record, format!("--node=node-{number}")];
        Server::own("catena", Dialect::Catena, &cpu.to_string(), &[&args[..], more].concat())
    }

    /// Returns whether its cluster has this many members.
    pub(crate) fn has_members(&self, count: usize) -> anyhow::Result<bool> {
        Ok(NodeTopology::at(self.address)?.members() == count)
    }

    /// Waits until the cluster has this many members, and updates reach all of them.
    fn await_members(&self, count: usize) -> anyhow::Result<()> {
        let latest = Instant::now() + PATIENCE;
        while !self.has_members(count)? {
            if Instant::now() > latest {
                bail!("the chain did not come to have {count} nodes");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let client = Client::builder().call_timeout(PATIENCE).connect(self.address)?;
        client.counter("catena-bench/members").increment()?;
        Ok(())
    }

    /// Starts a reference server that sends back every frame.
    pub(crate) fn echo(kind: &str, cpu: usize) -> anyhow::Result<Server> {
        let args = ["echo".to_owned(), kind.to_owned()];
        Server::own(&format!("echo-{kind}"), Dialect::Echo, &cpu.to_string(), &args)
    }

    /// Starts this program once more, with a subcommand that prints its port.
    fn own(name: &str, dialect: Dialect, cpus: &str, args: &[String]) -> anyhow::Result<Server> {
        let mut command = child_on(cpus)?;
        command.arg(std::env::current_exe()?).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start this program once more")?;
        let stdin = child.stdin.take().expect("was asked for");
        let stdout = child.stdout.take().expect("was asked for");
        let mut server = Server {
            name: name.to_owned(),
            dialect,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            version: None,
            child: Some(child),
            stdio: Some((stdin, BufReader::new(stdout))),
            filled: RefCell::default(),
            behind: Vec::new(),
            folder: None,
        };
        let port = server.printed()?.parse().with_context(|| format!("{name} did not start"))?;
        server.address.set_port(port);
        Ok(server)
    }

    /// Returns the next line that it prints.
    fn printed(&mut self) -> anyhow::Result<String> {
        let (_, stdout) = self.stdio.as_mut().context("it is no part of this program")?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Returns the number of its heap allocations; only of a [`Server::counting_engine`].
    pub(crate) fn allocations(&mut self) -> anyhow::Result<u64> {
        let (stdin, _) = self.stdio.as_mut().context("it is no part of this program")?;
        stdin.write_all(b"?")?;
        self.printed()?.parse().context("the engine does not count")
    }

    /// Starts a peer on one cpu; `None` if it is not installed.
    pub(crate) fn peer(peer: PeerServer, cpu: usize, dir: &Path) -> anyhow::Result<Option<Server>> {
        let program = peer.program(dir);
        if !is_on_path(&program) {
            return Ok(None);
        }
        let (port, other_port) = (free_port()?, free_port()?);
        let folder = tempfile::tempdir()?;
        let mut command = child_on(&cpu.to_string())?;
        command.arg(&program).args(peer.arguments(port, other_port)).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = || format!("cannot start {}", program.display());
        let child = command.spawn().with_context(start)?;
        let version = version_line(&program).unwrap_or_default();
        let mut server = Server {
            name: peer.name_with(&version),
            dialect: peer.dialect(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            version: Some(version),
            child: Some(child),
            stdio: None,
            filled: RefCell::default(),
            behind: Vec::new(),
            folder: Some(folder),
        };
        server.await_ready()?;
        Ok(Some(server))
    }

    /// Starts those of these peers that are installed, and notes which are not.
    pub(crate) fn peers(
        peers: &[PeerServer],
        cpu: usize,
        dir: &Path,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Vec<Server>> {
        let mut servers = Vec::new();
        for peer in peers {
            match Server::peer(*peer, cpu, dir)? {
                Some(server) => {
                    notes.extend(server.version());
                    servers.push(server);
                }
                None => notes.push(peer.missing()),
            }
        }
        Ok(servers)
    }

    /// Starts a Redis with one replica, each on a cpu; `None` if it is not installed. Say with
    /// [`Server::wait_behind`] how often to wait for the replica.
    pub(crate) fn redis_pair(cpus: [usize; 2], dir: &Path) -> anyhow::Result<Option<Server>> {
        let [head, replica] = cpus.map(|cpu| Server::peer(PeerServer::Redis, cpu, dir));
        let (Some(mut head), Some(replica)) = (head?, replica?) else { return Ok(None) };
        let mut socket = TcpStream::connect(replica.address)?;
        let port = head.address.port();
        write!(socket, "REPLICAOF 127.0.0.1 {port}\r\n")?;
        socket.read_exact(&mut [0; 5])?;
        // Until the replica is there, a command that waits for it has no reply.
        let mut socket = TcpStream::connect(head.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        write!(socket, "INCR c000000000\r\nWAIT 1 0\r\n")?;
        socket.read_exact(&mut [0; 8]).context("the replica does not follow")?;
        head.name = format!("{}, 1 replica, WAIT 1", head.name);
        head.behind.push(replica);
        Ok(Some(head))
    }

    /// Returns whether it has the protocol of Redis.
    pub(crate) fn is_redis(&self) -> bool {
        matches!(self.dialect, Dialect::Redis | Dialect::RedisWaiting { .. })
    }

    /// Lets a [`Server::redis_pair`] wait for its replica after every `batch` commands.
    pub(crate) fn wait_behind(&mut self, batch: usize) {
        self.dialect = Dialect::RedisWaiting { batch };
    }

    /// Returns its name and version, if it is a peer that was started here.
    pub(crate) fn version(&self) -> Option<String> {
        self.version.as_ref().map(|version| format!("{}: {version}", self.name))
    }

    /// Describes a server that runs already, such as `redis://127.0.0.1:6379` or `127.0.0.1:7400`.
    pub(crate) fn running(url: &str) -> anyhow::Result<Server> {
        let (dialect, address) = match url.trim_end_matches('/').split_once("://") {
            Some(("redis", address)) => (Dialect::Redis, address),
            Some(("memcached", address)) => (Dialect::Memcached, address),
            Some(("catena", address)) => (Dialect::Catena, address),
            None => (Dialect::Catena, url),
            Some((other, _)) => {
                bail!("the protocol `{other}` is not supported: use redis, memcached or catena")
            }
        };
        let address = resolve(address)?;
        Ok(Server {
            name: url.to_owned(),
            dialect,
            address,
            version: None,
            child: None,
            stdio: None,
            filled: RefCell::default(),
            behind: Vec::new(),
            folder: None,
        })
    }

    fn await_ready(&mut self) -> anyhow::Result<()> {
        let latest = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            let child = self.child.as_mut().expect("was just started");
            if let Some(status) = child.try_wait()? {
                bail!("{} did not start: {status}", self.name);
            }
            if Instant::now() > latest {
                bail!("{} does not listen at {}", self.name, self.address);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Creates the keys of this plan, unless they exist.
    pub(crate) fn fill(&self, plan: &LoadPlan) -> anyhow::Result<()> {
        self.fill_watched(plan, &|_| {})
    }

    /// Creates the keys of this plan, unless they exist, and says now and then how many there are.
    pub(crate) fn fill_watched(
        &self,
        plan: &LoadPlan,
        progress: &dyn Fn(u64),
    ) -> anyhow::Result<()> {
        let plan = LoadPlan { workload: plan.workload.preparation(), ..*plan };
        let what = (plan.workload, self.dialect.keys(&plan));
        if self.dialect == Dialect::Echo || self.filled.borrow().contains(&what) {
            return Ok(());
        }
        // Not more in flight than a session allows; etcd answers one after the other anyway.
        let depth = if self.dialect == Dialect::Etcd { 16 } else { plan.workload.in_flight() };
        let mut load = Load::open(self.dialect.in_turn(self.address, &plan)?)?;
        let mut count = 0;
        while count < what.1 {
            count += load.send(FILL_STEP.min(what.1 - count), depth)?;
            progress(count);
        }
        let mut filled = self.filled.borrow_mut();
        // Keys of the same name have other values now.
        filled.retain(|(workload, _)| workload.key_prefix() != plan.workload.key_prefix());
        filled.push(what);
        Ok(())
    }

    /// Returns the cpu time of its threads so far, and of those of the nodes behind it; `None` if
    /// it was not started here.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let behind = self.behind.iter().filter_map(Server::cpu).sum::<Duration>();
        Some(self.own_cpu()? + behind)
    }

    fn own_cpu(&self) -> Option<Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.as_ref()?.id())).ok()?;
        let on_cpu = |task: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        Some(Duration::from_nanos(tasks.filter_map(on_cpu).sum()))
    }

    /// Returns its resident memory in bytes; `None` if it was not started here.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        machine::resident_bytes(self.child.as_ref()?.id()).ok()
    }

    /// Returns the id of its process, if it was started here.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the command that runs another program on these cpus, see [`become_child`].
pub(crate) fn child_on(cpus: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child").arg(format!("--cpus={cpus}"));
    Ok(command)
}

/// Replaces this process by another program, on these cpus, that ends when its parent does. Returns
/// only if that fails.
pub(crate) fn become_child(cpus: &[usize], program: &Path, args: &[String]) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    machine::pin(cpus)?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Returns a port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    address
        .to_socket_addrs()
        .with_context(|| format!("`{address}` is not an address: write it as host:port"))?
        .next()
        .with_context(|| format!("`{address}` has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_the_protocol() {
        let dialect = |url| Server::running(url).map(|server| server.dialect).ok();
        assert_eq!(dialect("redis://127.0.0.1:6379/"), Some(Dialect::Redis));
        assert_eq!(dialect("memcached://127.0.0.1:11211"), Some(Dialect::Memcached));
        assert_eq!(dialect("127.0.0.1:7400"), Some(Dialect::Catena));
        assert_eq!(dialect("mysql://127.0.0.1:3306"), None);
    }
}
