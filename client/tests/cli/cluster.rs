//! Commands about the members of a cluster.

use std::time::Duration;

use crate::shell::{Shell, utf8};

#[test]
fn a_cluster_is_shown() {
    let shell = Shell::of_cluster(2);
    shell.script(
        "
        counter visits add 5 => 5
        counter visits get   => 5
        ls                   => visits
        ",
    );
    let engines = &shell.engines;
    // Any member is as good as another.
    for seeds in [shell.address(0), format!("127.0.0.1:1,{}", shell.address(1))] {
        shell.check(&format!("--seeds {seeds} counter visits get"), 0, "5");
        shell.check(&format!("--engine {seeds} cluster status"), 0, "*");
    }
    let output = shell.output("cluster status --shards");
    let text = utf8(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "cluster catena, epoch 2: 2 members of 2 wanted, at least 1 for updates");
    for (at, engine) in engines.iter().enumerate() {
        let id = engine.node_id().expect("it is in a cluster").to_string();
        let row = lines[2..4].iter().find(|line| line.starts_with(&format!("node-{at} ")));
        let row = row.unwrap_or_else(|| panic!("no row of node-{at} in {text}"));
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[1..6], [&id[..10], &shell.control(at), "member", "2", "yes"], "{text}");
    }
    assert_eq!(lines.len(), 4 + 1 + 4, "{text}");
    assert!(lines[4].starts_with("shard  node-"), "{text}");
    assert!(lines[5..].iter().all(|line| line.contains("head") && line.contains("tail")), "{text}");

    let json = shell.json("cluster status");
    assert_eq!((&json["epoch"], &json["well"]), (&2.into(), &true.into()));
    let nodes = json["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 2);
    let shards = |node: &serde_json::Value| node["shards"].as_array().map(Vec::len);
    assert!(nodes.iter().all(|node| node["answers"] == true && shards(node) == Some(4)), "{json}");
    assert!(
        shell.json("ping --count 1")["node"].as_str().is_some_and(|node| node.starts_with("node-"))
    );
    let top = shell.json("top --every 10ms");
    let at_node = |shard: &serde_json::Value| {
        shard["node"].as_str().is_some_and(|node| node.starts_with("node-"))
    };
    assert!(top["shards"].as_array().expect("shards").iter().all(at_node), "{top}");
}

#[test]
fn members_are_removed_and_rejoin() {
    let shell = Shell::of_cluster(2);
    shell.check("counter visits add 5", 0, "5");
    let mut watching = shell.start("cluster watch --every 50ms --timeout 60s");
    shell.check("cluster remove node-9", 2, "*");
    // The other node does not remember any more that it asked to join.
    std::thread::sleep(Duration::from_millis(3_200));
    let id = shell.engines[1].node_id().expect("it is in a cluster").to_string();
    let removed = shell.output(&format!("cluster remove {} --timeout 30s", &id[..12]));
    let text = utf8(&removed.stdout);
    assert_eq!(text.trim_end(), "node-1 is no longer a member; epoch 3: node-0", "{removed:?}");
    shell.check("counter visits add 1", 0, "6");
    let status = shell.output("cluster status");
    assert_eq!(status.status.code(), Some(1), "one is missing: {status:?}");
    let text = utf8(&status.stdout);
    let why = "NOT healthy (exit code 1): 1 member is missing of 2 wanted";
    assert!(text.lines().any(|line| line == why), "{text}");
    // No other node has the objects of the last member.
    let last = shell.output("cluster remove node-0");
    assert_eq!(last.status.code(), Some(5), "{last:?}");
    // The other node knows where it is, although it has not asked to join since.
    shell.check("cluster join node-1 --timeout 30s", 0, "node-1 is a member");
    shell.await_code("cluster status", 0);
    assert_eq!(shell.json("cluster status")["epoch"], 4);
    shell.check("cluster join node-0 --timeout 1s", 0, "node-0 is a member");
    shell.check(&format!("cluster join {}", shell.address(0)), 4, "*");
    shell.check("counter visits get", 0, "6");

    let begins = |line: &str, what: &str| {
        line.split_once("s  ").is_some_and(|(_, said)| said.starts_with(what))
    };
    for what in ["epoch 2: ", "epoch 3: node-0", "node-1 (n-", "epoch 4: ", "node-1 (n-"] {
        watching.line_with(|line| begins(line, what));
    }
}

#[test]
fn a_member_that_does_not_answer_is_shown_as_such() {
    let mut shell = Shell::of_cluster(3);
    let gone = shell.engines.remove(2);
    let control = gone.control_address().expect("it is in a cluster");
    drop(gone);
    let output = shell.output(&format!("cluster status --control {control}"));
    assert_eq!(output.status.code(), Some(1));
    let text = utf8(&output.stdout);
    let row = text.lines().find(|line| line.contains(&control.to_string())).expect("a row");
    assert!(row.contains("no reply: connection refused"), "{text}");
    // No member is left to ask.
    shell.engines.clear();
    shell.check("cluster status", 4, "*");
    // A single node is not in a cluster.
    let alone = Shell::new();
    let complaint = alone.complaint("cluster status", 2);
    assert!(complaint.contains("is a single node"), "{complaint}");
}

#[test]
fn a_removed_node_is_no_obstacle() {
    let shell = Shell::of_cluster(2);
    shell.check("counter visits add 5", 0, "5");
    shell.check("cluster remove node-0 --timeout 30s", 0, "*");
    let (removed, member) = (shell.address(0), shell.address(1));
    let both = format!("{removed},{member}");
    // The removed one is asked first, and does not know the members.
    let status = shell.output(&format!("--engine {both} cluster status"));
    let text = utf8(&status.stdout);
    assert!(text.contains("epoch 3: 1 member of 2 wanted"), "{status:?}");
    shell.check(&format!("--engine {both} counter visits get"), 0, "5");
    // Alone it serves nobody, and says why.
    let complaint = shell.complaint(&format!("--engine {removed} counter visits get"), 5);
    assert!(complaint.contains("the node is outside its cluster: it was removed"), "{complaint}");
    assert!(!complaint.contains("epoch 0"), "{complaint}");
    let complaint = shell.complaint(&format!("--engine {removed} cluster status"), 2);
    assert!(complaint.contains("outside its cluster"), "{complaint}");
    // Nobody is there.
    let nobody = "--engine 127.0.0.1:1,127.0.0.1:2 cluster status";
    let complaint = shell.complaint(nobody, 4);
    assert!(complaint.contains("no engine answers at 127.0.0.1:1, 127.0.0.1:2"), "{complaint}");
}
