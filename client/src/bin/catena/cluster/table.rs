//! Shows the state of a cluster as tables.

use catena_client::operator::{NodeStatus, ShardStatus};

use super::probe::{ClusterProbe, ProbedNode, id_text, reason};

/// How many characters of an id are shown.
const ID_CHARS: usize = 10;

/// The whole state, for people.
pub(super) fn text(probe: &ClusterProbe, with_shards: bool) -> String {
    let mut parts = vec![headline(probe), aligned(&nodes(probe))];
    parts.extend(notes(probe));
    if with_shards {
        parts.push(aligned(&shards(probe)));
    }
    parts.join("\n")
}

fn headline(probe: &ClusterProbe) -> String {
    let Some(newest) = probe.newest() else {
        return "no node knows the members of the cluster".to_owned();
    };
    let (members, replying) = (newest.members.len(), probe.members_replying());
    let of_them = match members {
        1 => "1 member".to_owned(),
        members => format!("{members} members"),
    };
    let silent = match replying {
        _ if replying == members => String::new(),
        0 => "; NO member replies: unless one comes back, the objects are lost".to_owned(),
        replying => format!("; only {replying} of them reply"),
    };
    format!(
        "cluster {}, epoch {}: {of_them} of {} wanted, at least {} for updates{silent}",
        newest.cluster, newest.epoch, newest.replicas, newest.min_members
    )
}

fn nodes(probe: &ClusterProbe) -> Vec<Vec<String>> {
    let columns = [
        "name", "node", "control", "standing", "epoch", "active", "lease", "lag", "heads", "tails",
        "suspects", "register",
    ];
    let head = columns.map(str::to_owned).to_vec();
    std::iter::once(head).chain(probe.nodes.iter().map(row)).collect()
}

fn row(node: &ProbedNode) -> Vec<String> {
    let nothing = || "-".to_owned();
    let status = match &node.status {
        Ok(status) => status,
        Err(error) => {
            let name = if node.name.is_empty() { nothing() } else { node.name.clone() };
            let silent = format!("no reply: {}", reason(error));
            return vec![name, nothing(), node.control.clone(), silent];
        }
    };
    let with = |roles: [&str; 2]| {
        let is_it = |shard: &&ShardStatus| roles.contains(&shard.role.as_str());
        status.shards.iter().filter(is_it).count().to_string()
    };
    let suspects: Vec<&str> = status
        .members
        .iter()
        .filter(|member| !member.suspected.is_empty())
        .map(|member| member.name.as_str())
        .collect();
    vec![
        status.name.clone(),
        id_text(status.node).chars().take(ID_CHARS).collect(),
        node.control.clone(),
        status.standing.clone(),
        status.epoch.to_string(),
        if status.active { "yes" } else { "no" }.to_owned(),
        status.lease_us.map_or_else(nothing, |left| format!("{} ms", left / 1_000)),
        node.lag().to_string(),
        with(["head", "sole"]),
        with(["tail", "sole"]),
        if suspects.is_empty() { nothing() } else { suspects.join(",") },
        if status.register_trouble.is_empty() { "ok" } else { "fails" }.to_owned(),
    ]
}

/// What does not fit into the table.
fn notes(probe: &ClusterProbe) -> Vec<String> {
    probe.statuses().flat_map(|status| notes_of(probe, status)).collect()
}

/// The notes about one node.
pub(super) fn notes_of(probe: &ClusterProbe, status: &NodeStatus) -> Vec<String> {
    let name = &status.name;
    let mut notes = Vec::new();
    if !status.proposal.is_empty() {
        notes.push(format!("{name} proposes: {}", status.proposal));
    }
    if status.teacher != 0 {
        notes.push(format!("{name} copies the state from {}", name_of(probe, status.teacher)));
    }
    if status.rejoins_ms != 0 {
        let seconds = status.rejoins_ms.div_ceil(1_000);
        notes.push(format!("{name} rejoins in {seconds} s, or with `catena cluster join`"));
    }
    for member in status.members.iter().filter(|member| !member.suspected.is_empty()) {
        notes.push(format!("{name} suspects {}: {}", member.name, member.suspected));
    }
    if !status.register_trouble.is_empty() {
        notes.push(format!("{name} cannot use the register: {}", status.register_trouble));
    }
    notes
}

fn name_of(probe: &ClusterProbe, node: u128) -> String {
    let own = probe.statuses().find(|status| status.node == node).map(|status| &status.name);
    let named = probe
        .statuses()
        .flat_map(|status| &status.members)
        .find(|member| member.node == node)
        .map(|member| &member.name);
    own.or(named).cloned().unwrap_or_else(|| id_text(node))
}

/// A row for each shard, with the columns of every node: its role, its last log entry, the last one
/// that all members have, and the lag of its successor.
fn shards(probe: &ClusterProbe) -> Vec<Vec<String>> {
    let statuses: Vec<&NodeStatus> = probe.statuses().collect();
    let mut head = vec!["shard".to_owned()];
    for status in &statuses {
        let columns = ["", "applied", "committed", "lag"].map(str::to_owned);
        head.extend(columns);
        let at = head.len() - 4;
        head[at].clone_from(&status.name);
    }
    let count =
        statuses.iter().flat_map(|status| &status.shards).map(|shard| shard.shard + 1).max();
    let row = |shard: u16| {
        let mut row = vec![shard.to_string()];
        for status in &statuses {
            match status.shards.iter().find(|other| other.shard == shard) {
                Some(of_it) => row.extend([
                    of_it.role.clone(),
                    of_it.applied.to_string(),
                    of_it.committed.to_string(),
                    of_it.lag.to_string(),
                ]),
                None => row.extend(["-"; 4].map(str::to_owned)),
            }
        }
        row
    };
    std::iter::once(head).chain((0..count.unwrap_or_default()).map(row)).collect()
}

/// Aligns the columns of rows. The last cell of a row can have any length.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > column + 1 || row.len() == columns);
        cells.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a", "bbb", "c"], vec!["aaaa", "b", "cc"], vec!["aa", "a long reason"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(aligned(&rows), "a     bbb  c\naaaa  b    cc\naa    a long reason");
    }
}
