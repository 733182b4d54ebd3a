//! The command-line tool as people and scripts use it, against engines in this process.
//!
//! Needs the feature `cli`: `cargo test -p catena-client --features cli`.
#![cfg(feature = "cli")]

use std::process::{Command, Output, Stdio};

use std::time::{Duration, Instant};

use catena_engine::{Cluster, ClusterSettings, Engine, Heads};
use tempfile::TempDir;

/// Engines, and a shell to run the tool in.
struct Shell {
    engines: Vec<Engine>,
    /// The address that the tool gets.
    place: String,
    /// Declared after the engines, which use it when they stop.
    directory: Option<TempDir>,
}

impl Shell {
    fn new() -> Shell {
        let engine = Engine::builder().cores(2).start().expect("the engine starts");
        let place = engine.addresses()[0].to_string();
        Shell { engines: vec![engine], place, directory: None }
    }

    /// A cluster with this many members, found through its record.
    fn of_cluster(nodes: usize) -> Shell {
        let directory = tempfile::tempdir().expect("a directory");
        let place = format!("file://{}", directory.path().display());
        let replicas = u32::try_from(nodes).expect("a few");
        let start = |at| {
            let cluster = Cluster::at(place.parse().expect("a location")).create(ClusterSettings {
                replicas,
                min_members: 1,
                heads: Heads::One,
                ..ClusterSettings::default()
            });
            let cluster = cluster.node_name(format!("node-{at}"));
            Engine::builder().shards(4).cluster(cluster).start().expect("the engine starts")
        };
        let engines = (0..nodes).map(start).collect();
        let shell = Shell { engines, place, directory: Some(directory) };
        shell.await_code("cluster status", 0);
        shell
    }

    fn control(&self, at: usize) -> String {
        self.engines[at].control_address().expect("it is in a cluster").to_string()
    }

    /// Runs a line until it exits with this code.
    fn await_code(&self, line: &str, code: i32) {
        let start = Instant::now();
        loop {
            let output = self.output(line);
            if output.status.code() == Some(code) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "`{line}`: {output:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn json(&self, line: &str) -> serde_json::Value {
        let output = self.output(&format!("--json {line}"));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("`{line}`: {output:?}"))
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_catena"));
        command.env("CATENA_ENGINE", &self.place);
        command.args(line.split_whitespace().map(|word| word.replace('+', " ")));
        command
    }

    fn output(&self, line: &str) -> Output {
        self.command(line).output().expect("the tool runs")
    }

    /// Runs a line, with `+` for blanks inside a word, and compares its exit code and, unless
    /// `printed` is `*`, its output.
    fn check(&self, line: &str, code: i32, printed: &str) {
        let output = self.output(line);
        let out = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "`{line}` printed {out}{complaint}");
        if printed != "*" {
            assert_eq!(out.trim_end(), printed, "`{line}`");
        }
        let is_fine = code < 2;
        assert_eq!(complaint.is_empty(), is_fine, "`{line}` said {complaint}");
        assert!(complaint.lines().count() <= 1 || code == 2, "one line: {complaint}");
    }

    /// Runs scenarios: `line => printed`, with the exit code in brackets unless it is 0.
    fn script(&self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (line, expected) = line.split_once("=>").unwrap_or((line, ""));
            let expected = expected.trim();
            let (code, printed) = match expected.strip_prefix('[') {
                Some(rest) => {
                    let (code, printed) = rest.split_once(']').expect("a code in brackets");
                    (code.parse().expect("a code"), printed.trim())
                }
                None => (0, expected),
            };
            self.check(line.trim(), code, &printed.replace(" | ", "\n"));
        }
    }

    fn token(&self, line: &str) -> String {
        let output = self.output(line);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .expect("a number")
            .split_whitespace()
            .next()
            .expect("a token")
            .to_owned()
    }
}

#[test]
fn numbers_and_flags() {
    Shell::new().script(
        "
        counter visits get                 => 0
        counter visits add 1               => 1
        counter visits add -3              => -2
        counter visits fetch-add 5         => -2
        counter visits increment           => 4
        counter visits decr                => 3
        counter visits swap 7              => 3
        counter visits cas 7 8             => 8
        counter visits cas 7 9             => [1] 8
        counter visits multiply 3          => 24
        counter visits min 5               => 5
        counter visits max 9               => 9
        counter visits add 9223372036854775807 => [5]
        counter visits reset               => 0
        --json counter visits add 2        => 2
        --json counter visits cas 2 3      => {\"now\":3,\"swapped\":true}
        flag ready get                     => [1] false
        flag ready set true                => true
        flag ready get                     => true
        flag ready cas false true          => [1] true
        counter ready get                  => [5]
        ",
    );
}

#[test]
fn bytes_and_vectors() {
    Shell::new().script(
        "
        cell page set hello+world          => *
        cell page get                      => hello world
        cell page range 6..                => world
        cell page append !                 => 12
        cell page cas hello+world! bye     => *
        cell page cas hello+world! bye     => [1] *
        cell page swap again               => bye
        cell page set-with-token 9 safe    => *
        cell page set-with-token 8 late    => [5]
        cell page cas-version 1 late       => [1] *
        cell page get --newer 999999999999999        => [1]
        vector weights get                 => [5]
        vector weights set --columns 2 1 2 3 4.5 => *
        vector weights get                 => 1 2 | 3 4.5
        vector weights add 1 1 1 1         => *
        vector weights rows 1..            => 4 5.5
        vector weights sum                 => 14.5
        vector weights dot 1 0 0 -1        => -3.5
        vector weights scale 2             => *
        vector weights add-rows 1 1 1      => *
        vector weights get                 => 4 6 | 9 12
        vector counts set --type i64 1 2   => *
        vector counts sum                  => 3
        vector counts add 1 2              => [5]
        ",
    );
}

#[test]
fn lists_maps_and_sets() {
    Shell::new().script(
        "
        list jobs push a b c               => 3
        list jobs push-front z             => 4
        list jobs range                    => z | a | b | c
        list jobs pop                      => z
        list jobs pop-back                 => c
        list jobs index-of b               => 1
        list jobs index-of q               => [1]
        list jobs insert 1 m               => 3
        list jobs remove m                 => true
        list jobs contains a b             => true
        list jobs set 0 x                  => a
        list jobs len                      => 2
        list jobs clear                    => 2
        list jobs pop                      => [1]
        list jobs pop --wait --timeout 10ms => [3]
        list jobs set 0 x                  => [5]
        map users put ada Ada+Lovelace     => false
        map users put bob Bob              => false
        map users get ada                  => Ada Lovelace
        map users get eve                  => [1]
        map users put-if-absent ada x      => [1] false
        map users cas bob --expected Bob --value Robert => true
        map users keys                     => ada | bob
        map users entries --reverse        => bob\tRobert | ada\tAda Lovelace
        map users keys --from b            => bob
        map users first                    => ada\tAda Lovelace
        map users top 1                    => bob\tRobert
        map users take bob                 => Robert
        map users rm ada eve               => 1
        map users len                      => 0
        map words merge the 2              => 2
        map words merge the 3              => 5
        map words merge-all the 1 a 7      => 1
        map words get the --number         => 6
        map words merge a x                => [2]
        set seen add a b a                 => 2
        set seen contains a b              => true
        set seen contains a c              => [1] false
        set seen members                   => a | b
        set seen rm b                      => 1
        set seen len                       => 1
        ",
    );
}

#[test]
fn what_is_held_outlives_the_call() {
    let shell = Shell::new();
    let token = shell.token("lock deploy lock --hold 60s");
    shell.script(
        "
        lock deploy state                  => 0 of 1 free, 1 holding, 0 waiting
        lock deploy lock --now             => [1]
        lock deploy lock --timeout 10ms    => [3]
        ",
    );
    shell.check(&format!("lock deploy unlock {token}"), 0, "true");
    shell.check(&format!("lock deploy unlock {token}"), 1, "false");
    let token = shell.token("semaphore pool acquire --permits 3 --count 2");
    shell.script("semaphore pool state => 1 of 3 free, 1 holding, 0 waiting");
    shell.check(&format!("semaphore pool release {token}"), 0, "true");
    shell.script("list jobs push resize => 1");
    let token = shell.token("list jobs claim --hold 60s");
    shell.script("list jobs claim --now => [1]");
    shell.check(&format!("list jobs return {token}"), 0, "true");
    let token = shell.token("list jobs claim");
    shell.check(&format!("list jobs done {token}"), 0, "true");
    shell.script(
        "
        list jobs claim --hold 20ms --timeout 5s --now => [1]
        lock deploy run -- true            =>
        lock deploy run -- false           => [1]
        lock deploy state                  => 1 of 1 free, 0 holding, 0 waiting
        ",
    );
    let output = shell.output("lock deploy run -- printenv CATENA_TOKEN");
    assert!(String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().is_ok(), "{output:?}");
}

#[test]
fn parties_meet_from_several_calls() {
    let shell = Shell::new();
    let mut first = shell
        .command("barrier round arrive --party w1 --parties 2 --timeout 20s")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    shell.check("barrier round arrive --party w2 --parties 2 --timeout 20s", 0, "0");
    assert!(first.wait().expect("it ends").success());
    shell.script(
        "
        barrier round arrive --party w1 --parties 2 --no-wait => 1
        barrier round state        => round 1, 1 of 2 arrived, 0 waiting, missing: w2
        barrier round break fire   => 1
        barrier round arrive --party w2 --parties 2 => [6]
        barrier round reset        => 2
        barrier round arrive --party w1 --parties 2 --timeout 10ms => [3]
        latch done count-down --party a --parties 1 => 0
        latch done wait --parties 1
        latch done state           => round 0, 1 of 1 arrived, 0 waiting
        reduction sum contribute --party 0 --parties 1 1 2.5 => 1 2.5
        reduction sum last         => 1 2.5
        future answer peek         => [1]
        future answer get --timeout 10ms => [3]
        future answer set 42       => true
        future answer set 43       => [1] false
        future answer get          => 42
        future never cancel why+not => true
        future never get           => [6]
        log events print one       => 1
        log events print two       => 2
        log events tail --after 1  => two
        log events tail -f --timeout 10ms => one | two
        ",
    );
}

#[test]
fn objects_are_listed_and_looked_at() {
    let shell = Shell::new();
    shell.script(
        "
        counter job/a add 5        => 5
        counter job/b add 6        => 6
        map other put k v          => false
        ls                         => job/a | job/b | other
        ls job/                    => job/a | job/b
        ls job/ --after job/a      => job/b
        ls --limit 1               => job/a
        usage nothing              => 0 objects, 0 B
        inspect missing            => [1]
        wait job/a --newer 0       => *
        wait job/a --timeout 10ms  => [3]
        expire job/a 1h            => true
        expire job/a never         => true
        expire missing 1h          => [1] false
        quota q/ --objects 1
        rm other                   =>
        rm other                   => [1] there is no such object
        rm --prefix job/           => 2
        ls                         =>
        ",
    );
    shell.script("counter x add 5 => 5");
    let inspected = shell.output("inspect x");
    let text = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(text.starts_with("x is a counter: value 5\nversion "), "{text}");
    let json = shell.output("--json inspect x");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("a line of JSON");
    assert_eq!((&json["kind"], &json["detail"]), (&"counter".into(), &"value 5".into()));
    let ping = shell.output("ping --count 2");
    assert!(String::from_utf8_lossy(&ping.stdout).contains("median"), "{ping:?}");
    let top = shell.output("top --every 10ms --json");
    let top: serde_json::Value = serde_json::from_slice(&top.stdout).expect("a line of JSON");
    assert_eq!(top["shards"].as_array().map(Vec::len), Some(16), "{top}");
    let completions = shell.output("completions bash");
    assert!(String::from_utf8_lossy(&completions.stdout).contains("catena"));
}

#[test]
fn errors_are_one_line() {
    let nobody = Command::new(env!("CARGO_BIN_EXE_catena"))
        .args(["--engine", "127.0.0.1:1", "counter", "visits", "get"])
        .output()
        .expect("the tool runs");
    assert_eq!(nobody.status.code(), Some(4));
    let complaint = String::from_utf8_lossy(&nobody.stderr);
    assert!(complaint.contains("no engine answers at 127.0.0.1:1"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    let shell = Shell::new();
    assert_eq!(shell.output("counter visits add apples").status.code(), Some(2));
    assert_eq!(shell.output("rm").status.code(), Some(2));
    let refused = shell.output("--json semaphore s release 1");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

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
    for seeds in [
        engines[0].addresses()[0].to_string(),
        format!("127.0.0.1:1,{}", engines[1].addresses()[0]),
    ] {
        shell.check(&format!("--seeds {seeds} counter visits get"), 0, "5");
        shell.check(&format!("--engine {seeds} cluster status"), 0, "*");
    }
    let output = shell.output("cluster status --shards");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
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
    let watching = shell
        .command("cluster watch --every 50ms --timeout 60s")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    shell.check("cluster remove node-9", 2, "*");
    // The other node does not remember any more that it asked to join.
    std::thread::sleep(Duration::from_millis(3_200));
    let id = shell.engines[1].node_id().expect("it is in a cluster").to_string();
    let removed = shell.output(&format!("cluster remove {} --timeout 30s", &id[..12]));
    let text = String::from_utf8_lossy(&removed.stdout);
    assert_eq!(text.trim_end(), "node-1 is no longer a member; epoch 3: node-0", "{removed:?}");
    shell.check("counter visits add 1", 0, "6");
    let status = shell.output("cluster status");
    assert_eq!(status.status.code(), Some(1), "one is missing: {status:?}");
    // No other node has the objects of the last member.
    let last = shell.output("cluster remove node-0");
    assert_eq!(last.status.code(), Some(5), "{last:?}");
    // The other node knows where it is, although it has not asked to join since.
    shell.check("cluster join node-1 --timeout 30s", 0, "node-1 is a member");
    shell.await_code("cluster status", 0);
    assert_eq!(shell.json("cluster status")["epoch"], 4);
    shell.check("cluster join node-0 --timeout 1s", 0, "node-0 is a member");
    shell.check(&format!("cluster join {}", shell.engines[0].addresses()[0]), 4, "*");
    shell.check("counter visits get", 0, "6");

    let mut watching = watching;
    std::thread::sleep(Duration::from_millis(500));
    watching.kill().expect("it still watches");
    let said = watching.wait_with_output().expect("it watched");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let begins = |line: &str, what: &str| {
        line.split_once("s  ").is_some_and(|(_, said)| said.starts_with(what))
    };
    let mut lines = said.lines();
    for what in ["epoch 2: ", "epoch 3: node-0", "node-1 (n-", "epoch 4: ", "node-1 (n-"] {
        assert!(lines.any(|line| begins(line, what)), "`{what}` is missing in:\n{said}");
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
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = text.lines().find(|line| line.contains(&control.to_string())).expect("a row");
    assert!(row.contains("no reply: connection refused"), "{text}");
    // No member is left to ask.
    shell.engines.clear();
    shell.check("cluster status", 4, "*");
    // A single node is not in a cluster.
    let alone = Shell::new();
    let output = alone.output("cluster status");
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("is a single node"), "{complaint}");
    assert!(shell.directory.is_some() && alone.directory.is_none());
}
