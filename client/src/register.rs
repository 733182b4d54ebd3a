//! Where the members of a cluster are, from the record that they keep in its register.
//!
//! The record is JSON; of all that it says, the addresses for clients are what is wanted here. They
//! serve as seeds: whoever answers there says how the cluster is by now.

use std::io;
use std::path::PathBuf;

/// What a cluster is called if nobody says otherwise.
const CLUSTER_DEFAULT: &str = "catena";

/// The record's file, of `file:///directory` or `file:///directory#cluster`; `None` for anything else.
pub(crate) fn file_of(seed: &str) -> Option<PathBuf> {
    let path = seed.strip_prefix("file://")?;
    let (directory, cluster) = path.rsplit_once('#').unwrap_or((path, CLUSTER_DEFAULT));
    Some(PathBuf::from(directory).join(cluster).join("config.json"))
}

/// The addresses in a record.
#[cfg(feature = "register")]
pub(crate) fn seeds_in(record: &str) -> io::Result<Vec<String>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let record: serde_json::Value = serde_json::from_str(record)
        .map_err(|error| bad(&format!("the record is no JSON: {error}")))?;
    if record["v"] != 1 {
        return Err(bad("the record is of another version: use the release that wrote it"));
    }
    let nodes = record["nodes"].as_object().ok_or_else(|| bad("the record names no nodes"))?;
    // All first cores before all second ones.
    let clients = |node: &serde_json::Value| node["clients"].as_array().cloned();
    let clients: Vec<Vec<serde_json::Value>> = nodes.values().filter_map(clients).collect();
    let most = clients.iter().map(Vec::len).max().unwrap_or_default();
    let nth = |nth: usize| clients.iter().filter_map(move |node| node.get(nth));
    let addresses = (0..most).flat_map(nth).filter_map(serde_json::Value::as_str);
    let addresses: Vec<String> = addresses.map(str::to_owned).collect();
    if addresses.is_empty() { Err(bad("the record names no addresses")) } else { Ok(addresses) }
}

#[cfg(not(feature = "register"))]
pub(crate) fn seeds_in(_record: &str) -> io::Result<Vec<String>> {
    Err(io::Error::other("this client was built without the feature `register`"))
}

/// The addresses in the record in a file.
pub(crate) fn seeds_at(file: &std::path::Path) -> io::Result<Vec<String>> {
    let record = std::fs::read_to_string(file).map_err(|error| {
        io::Error::new(error.kind(), format!("no record at {}: {}", file.display(), error.kind()))
    })?;
    seeds_in(&record)
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
        let seeds = seeds_in(record).unwrap();
        assert_eq!(seeds, ["10.0.0.1:7400", "10.0.0.2:7400", "10.0.0.1:7401"]);
        for (record, why) in [
            ("", "no JSON"),
            (r#"{"v":2}"#, "another version"),
            (r#"{"v":1}"#, "names no nodes"),
            (r#"{"v":1,"nodes":{"n-1":{"clients":[]}}}"#, "names no addresses"),
            (r#"{"v":1,"nodes":{"n-1":7}}"#, "names no addresses"),
        ] {
            let error = seeds_in(record).unwrap_err().to_string();
            assert!(error.contains(why), "{record}: {error}");
        }
    }
}
