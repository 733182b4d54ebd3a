//! Finds the members of a cluster through the record that they keep in its register.
//!
//! The record is JSON, of which only the addresses for clients are used. They serve as seeds: the
//! node that answers there sends the current configuration.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{CLUSTER_DEFAULT, Config, RECORD_AGE_MIN};

/// Where to find a node: `host:port`, or a place where a cluster keeps its record.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    text: String,
    /// The record in a store, as last read.
    record: Option<CachedRecord>,
}

/// The result of reading a record.
#[derive(Clone, Debug)]
struct CachedRecord {
    read_at: Instant,
    names: Result<Vec<String>, Arc<io::Error>>,
}

impl Seed {
    pub(crate) fn new(text: &str) -> Seed {
        Seed { text: text.to_owned(), record: None }
    }

    /// Resolves the seed, reading its record if it is a place of one. Members whose names no longer
    /// resolve are left out, as long as others resolve.
    pub(crate) fn addresses(
        &mut self,
        config: &Config,
        time: Duration,
    ) -> io::Result<Vec<SocketAddr>> {
        let names = match (file_of(&self.text), self.text.starts_with("s3://")) {
            (Some(file), _) => names_at(&file)?,
            (None, true) => self.names_in_store(config, time)?,
            (None, false) => return self.text.to_socket_addrs().map(Iterator::collect),
        };
        let (mut addresses, mut failure) = (Vec::new(), None);
        for name in names {
            match name.to_socket_addrs() {
                Ok(found) => addresses.extend(found),
                Err(error) => failure = Some(error),
            }
        }
        failure.filter(|_| addresses.is_empty()).map_or(Ok(addresses), Err)
    }

    /// Reads the record in a store, or returns it as it was a moment ago: many clients that lose
    /// their cluster at once must not flood the store.
    fn names_in_store(&mut self, config: &Config, time: Duration) -> io::Result<Vec<String>> {
        let recent = self.record.take().filter(|read| read.read_at.elapsed() < RECORD_AGE_MIN);
        let record = recent.unwrap_or_else(|| {
            let record = read_in_store(&self.text, config, time);
            let names = record.and_then(|record| names_in(&record)).map_err(Arc::new);
            CachedRecord { read_at: Instant::now(), names }
        });
        let names = self.record.insert(record).names.clone();
        names.map_err(|error| io::Error::new(error.kind(), error))
    }
}

/// Whether one of these seeds is the place of a record.
pub(crate) fn is_place(seeds: &str) -> bool {
    seeds.contains("://")
}

/// The file of the record at `file:///directory` or `file:///directory#cluster`; `None` for other
/// seeds.
fn file_of(seed: &str) -> Option<PathBuf> {
    let path = seed.strip_prefix("file://")?;
    let (directory, cluster) = path.rsplit_once('#').unwrap_or((path, CLUSTER_DEFAULT));
    Some(PathBuf::from(directory).join(cluster).join("config.json"))
}

#[cfg(feature = "s3")]
fn read_in_store(place: &str, config: &Config, time: Duration) -> io::Result<String> {
    crate::store::read(place, &config.s3, time)
}

#[cfg(not(feature = "s3"))]
fn read_in_store(_place: &str, _config: &Config, _time: Duration) -> io::Result<String> {
    Err(not_built("s3"))
}

#[cfg(not(all(feature = "register", feature = "s3")))]
fn not_built(feature: &str) -> io::Error {
    let what =
        format!("this client was built without the feature `{feature}` of the crate catena-client");
    io::Error::new(io::ErrorKind::Unsupported, what)
}

/// The addresses in a record.
#[cfg(feature = "register")]
pub(crate) fn names_in(record: &str) -> io::Result<Vec<String>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let record: serde_json::Value = serde_json::from_str(record)
        .map_err(|error| bad(&format!("the record is not JSON: {error}")))?;
    if record["v"] != 1 {
        return Err(bad("the record has an unknown version: use the release that wrote it"));
    }
    let nodes = record["nodes"].as_object().ok_or_else(|| bad("the record names no nodes"))?;
    // The first core of every node, then the second cores, and so on.
    let clients = |node: &serde_json::Value| node["clients"].as_array().cloned();
    let clients: Vec<Vec<serde_json::Value>> = nodes.values().filter_map(clients).collect();
    let most = clients.iter().map(Vec::len).max().unwrap_or_default();
    let nth = |nth: usize| clients.iter().filter_map(move |node| node.get(nth));
    let addresses = (0..most).flat_map(nth).filter_map(serde_json::Value::as_str);
    let addresses: Vec<String> = addresses.map(str::to_owned).collect();
    if addresses.is_empty() { Err(bad("the record names no addresses")) } else { Ok(addresses) }
}

#[cfg(not(feature = "register"))]
fn names_in(_record: &str) -> io::Result<Vec<String>> {
    Err(not_built("register"))
}

/// The addresses in the record in a file.
fn names_at(file: &Path) -> io::Result<Vec<String>> {
    let record = std::fs::read_to_string(file).map_err(|error| {
        io::Error::new(error.kind(), format!("no record at {}: {}", file.display(), error.kind()))
    })?;
    names_in(&record)
}

#[cfg(all(test, feature = "register"))]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_and_a_cluster() {
        let file = |seed| file_of(seed).map(|path| path.display().to_string());
        assert_eq!(file("file:///srv/c").as_deref(), Some("/srv/c/catena/config.json"));
        assert_eq!(file("file:///srv/c#km-1").as_deref(), Some("/srv/c/km-1/config.json"));
        assert_eq!(file("127.0.0.1:7400"), None);
    }

    #[test]
    fn all_nodes_are_seeds_their_first_cores_in_front() {
        let record = r#"{"v":1,"epoch":3,"nodes":{
            "n-1":{"name":"a","peer":"10.0.0.1:7399","clients":["10.0.0.1:7400","10.0.0.1:7401"]},
            "n-2":{"name":"b","peer":"10.0.0.2:7399","clients":["10.0.0.2:7400"]}}}"#;
        let seeds = names_in(record).unwrap();
        assert_eq!(seeds, ["10.0.0.1:7400", "10.0.0.2:7400", "10.0.0.1:7401"]);
        for (record, why) in [
            ("", "not JSON"),
            (r#"{"v":2}"#, "unknown version"),
            (r#"{"v":1}"#, "names no nodes"),
            (r#"{"v":1,"nodes":{"n-1":{"clients":[]}}}"#, "names no addresses"),
            (r#"{"v":1,"nodes":{"n-1":7}}"#, "names no addresses"),
        ] {
            let error = names_in(record).unwrap_err().to_string();
            assert!(error.contains(why), "{record}: {error}");
        }
    }
}
