//! The servers that are measured: started here on one cpu, metered, and ended here.
//!
//! 1. A server is a process of its own, so that the kernel counts its work by itself, ours no other
//!    than a peer's.
//! 2. It is ended when its [`Server`] is dropped, also on an error, and by the kernel should this
//!    process be killed. No other process is ever touched.

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
use crate::wire::catena::Node;
use crate::wire::{Dialect, Plan, Workload};

/// A server that answers at its address.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) address: SocketAddr,
    child: Option<Child>,
    /// What it reads and prints, if it is a part of this program.
    talk: Option<(ChildStdin, BufReader<ChildStdout>)>,
    /// What all its keys were filled with.
    filled: RefCell<Vec<(Workload, u64)>>,
    /// The nodes behind it, if it is the head of a chain.
    behind: Vec<Server>,
    /// Where it keeps its files; goes after the process.
    folder: Option<TempDir>,
}

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    /// An engine with one core on each of these cpus.
    pub(crate) fn engine(cpus: &[usize], spin_us: u64) -> anyhow::Result<Server> {
        let list: Vec<String> = cpus.iter().map(usize::to_string).collect();
        let args = ["engine".to_owned(), format!("--spin={spin_us}")];
        Server::own("catena", Dialect::Catena, &list.join(","), &args)
    }

    /// An engine that counts its heap allocations.
    pub(crate) fn counting_engine(cpu: usize) -> anyhow::Result<Server> {
        let args = ["engine", "--spin=0", "--count-allocations"].map(str::to_owned);
        Server::own("catena", Dialect::Catena, &cpu.to_string(), &args)
    }

    /// A chain of engines, the head first, each with one core on a cpu.
    pub(crate) fn chain(cpus: &[usize], spin_us: u64) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let nodes = cpus.len();
        let start = |(number, cpu): (usize, &usize)| {
            let record = format!("--record=file://{}", folder.path().display());
            let (node, replicas) = (format!("--node=node-{number}"), format!("--replicas={nodes}"));
            let args = ["engine".to_owned(), format!("--spin={spin_us}"), record, node, replicas];
            Server::own("catena", Dialect::Catena, &cpu.to_string(), &args)
        };
        let mut all = (0..).zip(cpus).map(start);
        let mut head = all.next().context("a chain has a node")??;
        for node in all {
            head.behind.push(node?);
            // One after the other: the first founds the chain, and each becomes its tail.
            head.await_members(head.behind.len() + 1)?;
        }
        (head.name, head.folder) = (format!("catena, {nodes} nodes"), Some(folder));
        Ok(head)
    }

    /// Waits until so many nodes hold everything, and updates get through to all of them.
    fn await_members(&self, count: usize) -> anyhow::Result<()> {
        let latest = Instant::now() + PATIENCE;
        while Node::at(self.address)?.members() < count {
            if Instant::now() > latest {
                bail!("the chain did not come to have {count} nodes");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let client = Client::builder().call_timeout(PATIENCE).connect(self.address)?;
        client.counter("catena-bench/members").increment()?;
        Ok(())
    }

    /// A reference server that sends back every frame.
    pub(crate) fn echo(kind: &str, cpu: usize) -> anyhow::Result<Server> {
        let args = ["echo".to_owned(), kind.to_owned()];
        Server::own(&format!("echo-{kind}"), Dialect::Echo, &cpu.to_string(), &args)
    }

    /// Starts this program once more, in a part that prints its port.
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
            child: Some(child),
            talk: Some((stdin, BufReader::new(stdout))),
            filled: RefCell::default(),
            behind: Vec::new(),
            folder: None,
        };
        let port = server.told()?.parse().with_context(|| format!("{name} did not start"))?;
        server.address.set_port(port);
        Ok(server)
    }

    /// The next line that it prints.
    fn told(&mut self) -> anyhow::Result<String> {
        let (_, stdout) = self.talk.as_mut().context("it is no part of this program")?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// How often it has asked for memory; only of a [`Server::counting_engine`].
    pub(crate) fn allocations(&mut self) -> anyhow::Result<u64> {
        let (stdin, _) = self.talk.as_mut().context("it is no part of this program")?;
        stdin.write_all(b"?")?;
        self.told()?.parse().context("the engine does not count")
    }

    /// A peer by name, on one cpu; `None` if it is not installed.
    pub(crate) fn peer(name: &str, cpu: usize) -> anyhow::Result<Option<Server>> {
        let (program, dialect) = program_of(name)
            .with_context(|| format!("`{name}` is no peer that can be started here"))?;
        if !is_on_path(program) {
            return Ok(None);
        }
        let (port, other_port) = (free_port()?, free_port()?);
        let folder = tempfile::tempdir()?;
        let mut command = child_on(&cpu.to_string())?;
        command.arg(program).args(arguments(name, port, other_port)).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let mut server = Server {
            name: name.to_owned(),
            dialect,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            child: Some(child),
            talk: None,
            filled: RefCell::default(),
            behind: Vec::new(),
            folder: Some(folder),
        };
        server.await_ready()?;
        Ok(Some(server))
    }

    /// A Redis with one replica, each on a cpu; `None` if it is not installed. [`Server::wait_behind`]
    /// says how it is to be asked.
    pub(crate) fn redis_pair(cpus: [usize; 2]) -> anyhow::Result<Option<Server>> {
        let Some(mut head) = Server::peer("redis", cpus[0])? else { return Ok(None) };
        let replica = Server::peer("redis", cpus[1])?.context("there was one a moment ago")?;
        let mut socket = TcpStream::connect(replica.address)?;
        let port = head.address.port();
        write!(socket, "REPLICAOF 127.0.0.1 {port}\r\n")?;
        socket.read_exact(&mut [0; 5])?;
        // Until the replica is there, nothing that waits for it is answered.
        let mut socket = TcpStream::connect(head.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        write!(socket, "INCR c000000000\r\nWAIT 1 0\r\n")?;
        socket.read_exact(&mut [0; 8]).context("the replica does not follow")?;
        head.name = "redis, 1 replica, WAIT 1".to_owned();
        head.behind.push(replica);
        Ok(Some(head))
    }

    pub(crate) fn is_redis(&self) -> bool {
        matches!(self.dialect, Dialect::Redis | Dialect::RedisWaiting { .. })
    }

    /// Lets a [`Server::redis_pair`] confirm every so many commands.
    pub(crate) fn wait_behind(&mut self, batch: usize) {
        self.dialect = Dialect::RedisWaiting { batch };
    }

    /// What it calls itself, if it was started here and is no part of this program.
    pub(crate) fn version(&self) -> Option<String> {
        let (program, _) = program_of(&self.name)?;
        let output = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(format!("{}: {}", self.name, text.lines().next()?.trim()))
    }

    /// A server that runs already, such as `redis://127.0.0.1:6379` or `127.0.0.1:7400`.
    pub(crate) fn running(url: &str) -> anyhow::Result<Server> {
        let (dialect, address) = match url.trim_end_matches('/').split_once("://") {
            Some(("redis", address)) => (Dialect::Redis, address),
            Some(("memcached", address)) => (Dialect::Memcached, address),
            Some(("catena", address)) => (Dialect::Catena, address),
            None => (Dialect::Catena, url),
            Some((other, _)) => {
                bail!("`{other}` is no protocol known here: redis, memcached, catena")
            }
        };
        let address = resolve(address)?;
        Ok(Server {
            name: url.to_owned(),
            dialect,
            address,
            child: None,
            talk: None,
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
                bail!("{} does not answer at {}", self.name, self.address);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Puts everything there that the workload of this plan is going to ask for, unless it is.
    pub(crate) fn fill(&self, plan: &Plan) -> anyhow::Result<()> {
        let plan = Plan { workload: plan.workload.preparation(), ..*plan };
        let what = (plan.workload, self.dialect.keys(&plan));
        if self.dialect == Dialect::Echo || self.filled.borrow().contains(&what) {
            return Ok(());
        }
        // Not more under way than a session allows, nor than etcd answers in any hurry.
        let depth = if self.dialect == Dialect::Etcd { 16 } else { plan.workload.in_flight() };
        let mut load = Load::open(self.dialect.in_turn(self.address, &plan)?)?;
        load.send(what.1, depth)?;
        self.filled.borrow_mut().push(what);
        Ok(())
    }

    /// What its threads have worked so far, and those of the nodes behind it; `None` for one that was
    /// not started here.
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

    /// What it has in memory, in bytes; `None` for one that was not started here.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let path = format!("/proc/{}/status", self.child.as_ref()?.id());
        let status = std::fs::read_to_string(path).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kb| kb * 1024)
    }

    /// Its process, if it was started here.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended by itself needs no killing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The program of a peer, and what it speaks.
fn program_of(name: &str) -> Option<(&'static str, Dialect)> {
    match name {
        "redis" => Some(("redis-server", Dialect::Redis)),
        "memcached" => Some(("memcached", Dialect::Memcached)),
        "etcd" => Some(("etcd", Dialect::Etcd)),
        _ => None,
    }
}

/// This program in the part of [`become_child`].
pub(crate) fn child_on(cpus: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child").arg(format!("--cpus={cpus}"));
    Ok(command)
}

/// Becomes another program, on these cpus, that ends when its parent does. Comes back only if that
/// fails.
pub(crate) fn become_child(cpus: &[usize], program: &Path, args: &[String]) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    machine::pin(cpus)?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Nothing is kept, nothing is written to a disk that need not be, nobody else is let in.
fn arguments(name: &str, port: u16, other_port: u16) -> Vec<String> {
    let line = match name {
        "redis" => format!("--port {port} --bind 127.0.0.1 --appendonly no --daemonize no --save"),
        // Staying who it is: the kernel forgets to end a child that becomes somebody else. A whole
        // pipeline before it turns to the next connection: 20 requests, as it is, cost it much.
        "memcached" => format!("-p {port} -U 0 -l 127.0.0.1 -t 1 -m 1024 -c 4096 -R 256 -u root"),
        _ => format!(
            "--data-dir data --listen-client-urls http://127.0.0.1:{port} \
             --advertise-client-urls http://127.0.0.1:{port} \
             --listen-peer-urls http://127.0.0.1:{other_port} \
             --initial-advertise-peer-urls http://127.0.0.1:{other_port} \
             --initial-cluster default=http://127.0.0.1:{other_port} --unsafe-no-fsync"
        ),
    };
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if name == "redis" {
        words.push(String::new());
    }
    words
}

/// Whether there is such a program: by its path, or by its name where programs are looked for.
pub(crate) fn is_on_path(program: impl AsRef<Path>) -> bool {
    let program = program.as_ref();
    if program.components().nth(1).is_some() {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    address
        .to_socket_addrs()
        .with_context(|| format!("`{address}` is no address; write it as host:port"))?
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
