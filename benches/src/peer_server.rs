//! The servers of others: where their programs are, and how they are started.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::wire::Dialect;

/// A server that Catena is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PeerServer {
    /// The Redis of the distribution.
    #[value(name = "redis7")]
    Redis,
    /// The Valkey that `benches/peers/prepare.sh` installs.
    Valkey,
    /// The Redis that `benches/peers/prepare.sh` installs.
    #[value(name = "redis8")]
    Redis8,
    #[value(skip)]
    Memcached,
    #[value(skip)]
    Etcd,
}

impl PeerServer {
    /// Those with the protocol of Redis.
    pub(crate) const REDISES: [PeerServer; 3] =
        [PeerServer::Redis, PeerServer::Valkey, PeerServer::Redis8];

    /// All of them, in the order of the tables.
    pub(crate) const ALL: [PeerServer; 5] = [
        PeerServer::Redis,
        PeerServer::Valkey,
        PeerServer::Redis8,
        PeerServer::Memcached,
        PeerServer::Etcd,
    ];

    /// Returns its program; `dir` is what `benches/peers/prepare.sh` filled.
    pub(crate) fn program(self, dir: &Path) -> PathBuf {
        // It is started in another directory.
        let prepared = |name: &str| {
            let path = dir.join(name);
            std::path::absolute(&path).unwrap_or(path)
        };
        match self {
            PeerServer::Redis => "redis-server".into(),
            PeerServer::Valkey => prepared("valkey-server"),
            PeerServer::Redis8 => prepared("redis8-server"),
            PeerServer::Memcached => "memcached".into(),
            PeerServer::Etcd => "etcd".into(),
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            PeerServer::Redis | PeerServer::Valkey | PeerServer::Redis8 => Dialect::Redis,
            PeerServer::Memcached => Dialect::Memcached,
            PeerServer::Etcd => Dialect::Etcd,
        }
    }

    /// Returns what the tables call it, such as `redis 7.0`.
    pub(crate) fn name_with(self, version: &str) -> String {
        let name = match self {
            PeerServer::Redis | PeerServer::Redis8 => "redis",
            PeerServer::Valkey => "valkey",
            PeerServer::Memcached => "memcached",
            PeerServer::Etcd => "etcd",
        };
        match major_minor(version) {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        }
    }

    /// Says that it is missing, and how to install it.
    pub(crate) fn missing(self) -> String {
        let (name, how) = match self {
            PeerServer::Redis => ("redis 7", "apt-get install redis-server"),
            PeerServer::Valkey => ("valkey 9", "benches/peers/prepare.sh"),
            PeerServer::Redis8 => ("redis 8", "benches/peers/prepare.sh"),
            PeerServer::Memcached => ("memcached", "apt-get install memcached"),
            PeerServer::Etcd => ("etcd", "apt-get install etcd-server"),
        };
        format!("{name}: skipped, it is not installed: {how}")
    }

    /// Returns its arguments: only this machine can connect, nothing persists, and nothing is
    /// written to a disk that need not be.
    pub(crate) fn arguments(self, port: u16, other_port: u16) -> Vec<String> {
        let line = match self {
            PeerServer::Redis | PeerServer::Valkey | PeerServer::Redis8 => {
                format!("--port {port} --bind 127.0.0.1 --appendonly no --daemonize no --save")
            }
            // It keeps its user, because the kernel does not end a child with its parent once the
            // child has changed its user. `-R`: a whole pipeline before the next connection has its
            // turn; the default of 20 requests is a disadvantage.
            PeerServer::Memcached => {
                format!("-p {port} -U 0 -l 127.0.0.1 -t 1 -m 1024 -c 4096 -R 256 -u root")
            }
            PeerServer::Etcd => format!(
                "--data-dir data --listen-client-urls http://127.0.0.1:{port} \
                 --advertise-client-urls http://127.0.0.1:{port} \
                 --listen-peer-urls http://127.0.0.1:{other_port} \
                 --initial-advertise-peer-urls http://127.0.0.1:{other_port} \
                 --initial-cluster default=http://127.0.0.1:{other_port} --unsafe-no-fsync"
            ),
        };
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if self.dialect() == Dialect::Redis {
            // The value of --save.
            words.push(String::new());
        }
        words
    }
}

/// Returns the first line of what a program prints as its version.
pub(crate) fn version_line(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// Returns `7.0` of `Redis server v=7.0.15 sha=00000000:0`.
fn major_minor(version: &str) -> Option<String> {
    let mut words = version.split_whitespace().map(|word| word.trim_start_matches("v="));
    let number = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = number.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

/// Returns whether there is such a program: at its path, or by its name in `PATH`.
pub(crate) fn is_on_path(program: impl AsRef<Path>) -> bool {
    let program = program.as_ref();
    if program.components().nth(1).is_some() {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_version() {
        for (peer, version, name) in [
            (PeerServer::Redis, "Redis server v=7.0.15 sha=00000000:0 malloc=libc", "redis 7.0"),
            (PeerServer::Valkey, "Valkey server v=9.1.2 sha=00000000:1", "valkey 9.1"),
            (PeerServer::Memcached, "memcached 1.6.18", "memcached 1.6"),
            (PeerServer::Etcd, "etcd Version: 3.4.23", "etcd 3.4"),
            (PeerServer::Redis8, "", "redis"),
        ] {
            assert_eq!(peer.name_with(version), name);
        }
    }
}
