//! Shows the state of a cluster as tables.

use std::time::Duration;

use catena_client::operator::{NodeStatus, ShardStatus};

use super::probe::{ClusterProbe, ProbedNode, id_text, reason};
use crate::names::short_names;

/// How many characters of an id are shown.
const ID_CHARS: usize = 10;

/// The whole state, for people, in lines of at most this width as far as the node's own texts allow;
/// unless a width is given, with all columns.
pub(super) fn text(probe: &ClusterProbe, with_shards: bool, width: Option<usize>) -> String {
    let all = aligned(&nodes(probe, &COLUMNS));
    let longest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let table = match width {
        Some(width) if longest(&all) > width => aligned(&nodes(probe, &FEW_COLUMNS)),
        _ => all,
    };
    let mut parts = vec![headline(probe), table];
    parts.extend(notes(probe));
    if with_shards {
        parts.push(aligned(&shards(probe)));
    }
    parts.join("\n")
}

/// The columns of the nodes, and those for narrow terminals.
const COLUMNS: [&str; 12] = [
    "name", "node", "control", "standing", "epoch", "active", "lease", "lag", "heads", "tails",
    "suspects", "register",
];
const FEW_COLUMNS: [&str; 7] = ["name", "control", "standing", "epoch", "active", "lag", "heads"];

/// The maximum length at which a node's name is shown on a narrow terminal.
const NAME_CHARS: usize = 16;

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

fn nodes(probe: &ClusterProbe, columns: &[&str]) -> Vec<Vec<String>> {
    let names = probe.nodes.iter().map(|node| &node.name[..]);
    let width = if columns.len() < COLUMNS.len() { NAME_CHARS } else { usize::MAX };
    let names = short_names(names, width);
    let head = columns.iter().map(|column| (*column).to_owned()).collect();
    let rows = probe.nodes.iter().zip(names).map(|(node, name)| row(node, name, columns));
    std::iter::once(head).chain(rows).collect()
}

fn row(node: &ProbedNode, name: String, columns: &[&str]) -> Vec<String> {
    let nothing = || "-".to_owned();
    let name = if name.is_empty() { nothing() } else { name };
    let status = match &node.status {
        Ok(status) => status,
        Err(error) => {
            let silent = format!("no reply: {}", reason(error));
            let cells = columns.iter().take_while(|column| **column != "standing");
            let cells = cells.map(|column| match *column {
                "name" => name.clone(),
                "control" => node.control.clone(),
                _ => nothing(),
            });
            return cells.chain([silent]).collect();
        }
    };
    let with = |roles: [&str; 2]| {
        let is_it = |shard: &&ShardStatus| roles.contains(&shard.role.as_str());
        status.shards.iter().filter(is_it).count().to_string()
    };
    let suspects = || {
        let suspected = status.members.iter().filter(|member| !member.suspected.is_empty());
        suspected.map(|member| member.name.as_str()).collect::<Vec<_>>().join(",")
    };
    let cell = |column: &&str| match *column {
        "name" => name.clone(),
        "node" => id_text(status.node).chars().take(ID_CHARS).collect(),
        "control" => node.control.clone(),
        "standing" => status.standing.clone(),
        "epoch" => status.epoch.to_string(),
        "active" => if status.active { "yes" } else { "no" }.to_owned(),
        "lease" => status.lease_us.map_or_else(nothing, |left| format!("{} ms", left / 1_000)),
        "lag" => node.lag().to_string(),
        "heads" => with(["head", "sole"]),
        "tails" => with(["tail", "sole"]),
        "suspects" => Some(suspects()).filter(|names| !names.is_empty()).unwrap_or_else(nothing),
        "register" => if status.register_trouble.is_empty() { "ok" } else { "fails" }.to_owned(),
        column => unreachable!("`{column}` is a column"),
    };
    columns.iter().map(cell).collect()
}

/// What does not fit into the table.
fn notes(probe: &ClusterProbe) -> Vec<String> {
    let spares = probe.spares().into_iter().map(|(name, control)| {
        format!("{name} ({control}) is a spare: it joins once there is a place")
    });
    let mut notes: Vec<String> = spares.collect();
    notes.extend(probe.statuses().flat_map(|status| notes_of(probe, status)));
    let troubles = probe.troubles();
    // What a note says already is not repeated.
    let new: Vec<String> =
        troubles.iter().filter(|trouble| !notes.contains(trouble)).cloned().collect();
    if !troubles.is_empty() {
        let why = if new.is_empty() { troubles } else { new };
        notes.push(format!("NOT healthy (exit code 1): {}", why.join("; ")));
    }
    notes
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
    for member in status.members.iter().filter(|member| member.clock_ahead_us != 0) {
        let direction = if member.clock_ahead_us > 0 { "ahead of" } else { "behind" };
        let apart = Duration::from_micros(member.clock_ahead_us.unsigned_abs()).as_secs_f64();
        notes.push(format!("the clock of {} is {apart:.1} s {direction} {name}'s", member.name));
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
    use catena_client::Client;
    use catena_client::operator::MemberStatus;

    use super::*;

    fn node(at: u128, members: &[u128], spares: &[u128]) -> ProbedNode {
        let member = |at: &u128| MemberStatus {
            node: *at << 120,
            name: format!("ip-10-0-{at}-17.eu-central-1.compute.internal"),
            control: format!("10.100.100.{at}:7399"),
            ..MemberStatus::default()
        };
        let me = member(&at);
        let status = NodeStatus {
            node: me.node,
            name: me.name.clone(),
            cluster: "catena".to_owned(),
            epoch: 7,
            standing: "member".to_owned(),
            active: true,
            replicas: 3,
            min_members: 2,
            members: members.iter().map(member).collect(),
            spares: spares.iter().map(member).collect(),
            ..NodeStatus::default()
        };
        ProbedNode { control: me.control, name: me.name, status: Ok(Box::new(status)) }
    }

    fn probe(nodes: Vec<ProbedNode>) -> ClusterProbe {
        let mut probe = ClusterProbe::new(Client::builder(), "", &[]);
        probe.nodes = nodes;
        probe
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns_and_names_that_differ() {
        let members = [1, 2, 3];
        let probe = probe(members.iter().map(|at| node(*at, &members, &[])).collect());
        assert!(probe.is_healthy());
        let narrow = text(&probe, false, Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        let rows: Vec<&str> = narrow.lines().skip(2).collect();
        let name = |at: usize| rows[at].split_whitespace().next();
        assert_eq!((name(0), name(1), name(2)), (Some("…1"), Some("…2"), Some("…3")), "{narrow}");
        assert!(rows[0].contains("10.100.100.1:7399"), "{narrow}");
        let wide = text(&probe, false, Some(200));
        assert_eq!(wide, text(&probe, false, None));
        assert!(wide.contains("ip-10-0-1-17.eu-central-1.compute.internal"), "{wide}");
    }

    #[test]
    fn it_says_why_a_cluster_is_not_healthy_and_which_spares_there_are() {
        let members = || [1, 2].iter().map(|at| node(*at, &[1, 2], &[4]));
        let shown = text(&probe(members().collect()), false, None);
        let spare = "(10.100.100.4:7399) is a spare: it joins once there is a place";
        assert_eq!(shown.matches(spare).count(), 1, "{shown}");
        let why = "NOT healthy (exit code 1): 1 member is missing of 3 wanted";
        assert_eq!(shown.lines().last(), Some(why), "{shown}");
        let troubles = probe(members().take(1).collect()).troubles();
        assert_eq!(troubles.len(), 2, "{troubles:?}");
        assert!(troubles[1].ends_with("does not reply"), "{troubles:?}");
        let nobody = probe(Vec::new());
        assert!(!nobody.is_healthy() && nobody.troubles()[0].starts_with("no node"));
    }

    #[test]
    fn it_says_which_clocks_differ() {
        let mut first = node(1, &[1, 2, 3], &[]);
        let status = first.status.as_mut().expect("it has one");
        status.members[1].clock_ahead_us = 120_000_000;
        status.members[2].clock_ahead_us = -2_560_000;
        let shown = text(&probe(vec![first]), false, None);
        let name = |at| format!("ip-10-0-{at}-17.eu-central-1.compute.internal");
        let ahead = format!("the clock of {} is 120.0 s ahead of {}'s", name(2), name(1));
        let behind = format!("the clock of {} is 2.6 s behind {}'s", name(3), name(1));
        assert!(shown.contains(&ahead) && shown.contains(&behind), "{shown}");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a", "bbb", "c"], vec!["aaaa", "b", "cc"], vec!["aa", "a long reason"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(aligned(&rows), "a     bbb  c\naaaa  b    cc\naa    a long reason");
    }
}
