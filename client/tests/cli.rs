//! The command-line tool as people and scripts use it, against engines in this process.
//!
//! Needs the feature `cli`: `cargo test -p catena-client --features cli`.
#![cfg(feature = "cli")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use catena_engine::{Cluster, ClusterSettings, Engine, Heads};
use tempfile::TempDir;

#[path = "../src/bin/catena/examples.rs"]
mod examples;

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

    /// Runs a line with this standard input.
    fn given(&self, line: &str, input: &[u8]) -> Output {
        run_with(self.command(line), input)
    }

    /// Runs a line until it prints this.
    fn await_printed(&self, line: &str, printed: &str) {
        let start = Instant::now();
        loop {
            let output = self.output(line);
            if String::from_utf8_lossy(&output.stdout).trim_end() == printed {
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
        map users put ada Ada+Lovelace     => new
        map users put bob Bob              => new
        map users put bob Bob              => replaced
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
    shell.script("list jobs claim --hold 20ms --timeout 5s --now => [1]");
    let too_long = shell.output("lock deploy lock --hold 61m");
    assert_eq!(too_long.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&too_long.stderr).contains("longer than the 1h"));
}

#[test]
fn a_command_runs_while_something_is_held_for_it() {
    let shell = Shell::new();
    shell.script(
        "
        lock deploy run -- true            =>
        lock deploy run -- false           => [1]
        lock deploy state                  => 1 of 1 free, 0 holding, 0 waiting
        list jobs push resize fail         => 2
        list jobs claim run -- cat         => resize
        list jobs len                      => 1
        list jobs claim run -- false       => [1]
        list jobs claim run -- printenv CATENA_ITEM => fail
        list jobs claim run --now -- cat   => [1]
        list jobs claim run --timeout 10ms -- cat => [3]
        semaphore pool run --permits 2 -- true =>
        semaphore pool state               => 2 of 2 free, 0 holding, 0 waiting
        ",
    );
    // The exit codes are those of the command, or of a shell.
    for (command, code) in
        [("exit+7", 7), ("kill+-9+$$", 137), ("catena-no-such-program", 127), ("/etc/passwd", 126)]
    {
        let output = shell.output(&format!("lock deploy run -- sh -c {command}"));
        assert_eq!(output.status.code(), Some(code), "{command}: {output:?}");
    }
    for (program, code) in [("catena-no-such-program", 127), ("/etc/passwd", 126)] {
        let output = shell.output(&format!("lock deploy run -- {program}"));
        assert_eq!(output.status.code(), Some(code), "{program}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(program), "{output:?}");
    }
    shell.check("lock deploy state", 0, "1 of 1 free, 0 holding, 0 waiting");
    let output = shell.output("lock deploy run -- printenv CATENA_TOKEN");
    assert!(String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().is_ok(), "{output:?}");
    // It is free only when it has ended.
    let inside = "lock deploy run -- sh -c $CATENA+lock+deploy+state"
        .replace("$CATENA", env!("CARGO_BIN_EXE_catena"));
    shell.check(&inside, 0, "0 of 1 free, 1 holding, 0 waiting");
}

/// A command line that says when it runs, gets TERM, and ends.
const TRAPS: &str = "trap+'echo+got+it;+exit+9'+TERM;+echo+runs;+while+:;+do+sleep+0.02;+done";

#[test]
fn signals_reach_the_command_which_is_waited_for() {
    let shell = Shell::new();
    shell.check("list jobs push work", 0, "1");
    for held in ["lock deploy run", "semaphore pool run --permits 1", "list jobs claim run"] {
        let mut running = shell
            .command(&format!("{held} -- sh -c {TRAPS}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tool runs");
        let mut said = BufReader::new(running.stdout.take().expect("a pipe")).lines();
        let mut next = || said.next().expect("a line").expect("text");
        assert_eq!(next(), "runs");
        signal(&running, "TERM");
        assert_eq!(next(), "got it");
        assert_eq!(running.wait().expect("it ends").code(), Some(9), "{held}");
    }
    shell.script(
        "
        lock deploy state                  => 1 of 1 free, 0 holding, 0 waiting
        semaphore pool state               => 1 of 1 free, 0 holding, 0 waiting
        list jobs len                      => 1
        ",
    );
    // A signal ends the tool while it waits, and what it waited for is not taken.
    let token = shell.token("lock deploy lock");
    let mut waiting = shell.command("lock deploy run --timeout 60s -- true").spawn().expect("runs");
    shell.await_printed("lock deploy state", "0 of 1 free, 1 holding, 1 waiting");
    signal(&waiting, "TERM");
    assert_eq!(waiting.wait().expect("it ends").signal(), Some(15));
    shell.check(&format!("lock deploy unlock {token}"), 0, "true");
    shell.await_printed("lock deploy state", "1 of 1 free, 0 holding, 0 waiting");
}

#[test]
fn a_hold_is_renewed_while_the_command_runs() {
    let shell = Shell::new();
    shell.check("list jobs push work", 0, "1");
    // Each runs for more than twice its hold, all at the same time.
    let helds = ["lock deploy run", "semaphore pool run --permits 1", "list jobs claim run"];
    let running: Vec<Child> = helds
        .iter()
        .map(|held| {
            let mut command = shell.command(&format!("{held} --hold 2s -- sh -c sleep+5"));
            command.stdin(Stdio::null()).spawn().expect("the tool runs")
        })
        .collect();
    for mut running in running {
        assert_eq!(running.wait().expect("it ends").code(), Some(0));
    }
    shell.check("list jobs len", 0, "0");
}

#[test]
fn a_hold_outlives_the_head_of_its_shard() {
    let shell = Shell::of_cluster(2);
    let mut running = shell
        .command("lock deploy run --hold 6s -- sh -c echo+runs;+read+word;+exit+8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    let mut said = BufReader::new(running.stdout.take().expect("a pipe")).lines();
    assert_eq!(said.next().expect("a line").expect("text"), "runs");
    // All heads are on the first node, so this moves the lock.
    shell.check("cluster remove node-0 --timeout 30s", 0, "*");
    // Longer than the hold: it was renewed at the other node.
    std::thread::sleep(Duration::from_secs(7));
    shell.check("lock deploy state", 0, "0 of 1 free, 1 holding, 0 waiting");
    drop(running.stdin.take());
    assert_eq!(running.wait().expect("it ends").code(), Some(8));
    shell.check("lock deploy state", 0, "1 of 1 free, 0 holding, 0 waiting");
}

#[test]
fn a_lost_hold_ends_the_command() {
    let shell = Shell::new();
    let lose = |held: &str, lost: &str, command: &str| {
        let mut running = shell
            .command(&format!("{held} --hold 3s --grace 300ms -- sh -c {command}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool runs");
        let mut said = BufReader::new(running.stdout.take().expect("a pipe")).lines();
        let token = said.next().expect("a line").expect("text");
        shell.check(&lost.replace("TOKEN", &token), 0, "*");
        let said: Vec<String> = said.map(|line| line.expect("text")).collect();
        let output = running.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(125), "{held}: {output:?}");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains("is no longer held: the command is ended"), "{complaint}");
        (said, complaint)
    };
    let ends = "trap+'echo+got+it;+exit+0'+TERM;+echo+$CATENA_TOKEN;+while+:;+do+sleep+0.02;+done";
    let (said, _) = lose("lock deploy run", "lock deploy unlock TOKEN", ends);
    assert_eq!(said, ["got it"]);
    let (said, _) = lose("semaphore pool run --permits 1", "rm pool", ends);
    assert_eq!(said, ["got it"]);
    shell.check("list jobs push work", 0, "1");
    let (said, _) = lose("list jobs claim run", "list jobs return TOKEN", ends);
    assert_eq!(said, ["got it"]);
    shell.check("list jobs len", 0, "1");
    // One that ignores TERM is killed.
    let stays = "trap+''+TERM;+echo+$CATENA_TOKEN;+while+:;+do+sleep+0.02;+done";
    let (_, complaint) = lose("lock deploy run", "lock deploy unlock TOKEN", stays);
    assert!(complaint.contains("has not ended yet, and is killed"), "{complaint}");
}

#[test]
fn a_command_ends_if_its_hold_cannot_be_renewed() {
    let mut shell = Shell::new();
    let mut running = shell
        .command("lock deploy run --hold 1s -- sh -c echo+runs;+exec+sleep+600")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    let mut said = BufReader::new(running.stdout.take().expect("a pipe")).lines();
    assert_eq!(said.next().expect("a line").expect("text"), "runs");
    shell.engines.clear();
    let output = running.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("could not be renewed in time"), "{complaint}");
}

/// Runs a command with this standard input.
fn run_with(mut command: Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = piped.spawn().expect("it runs");
    // It may end before it has read everything.
    _ = running.stdin.take().expect("a pipe").write_all(input);
    running.wait_with_output().expect("it ends")
}

/// Sends a signal to a process that was started here.
fn signal(process: &Child, name: &str) {
    let id = process.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill runs");
    assert!(sent.success(), "{sent}");
}

#[test]
fn bytes_are_what_they_are() {
    let shell = Shell::new();
    let exactly = |line: &str, printed: &[u8]| {
        let output = shell.output(line);
        assert!(output.status.success(), "`{line}`: {output:?}");
        assert!(
            output.stdout == printed,
            "`{line}`: {:?}",
            String::from_utf8_lossy(&output.stdout)
        );
    };
    let given = |line: &str, input: &[u8]| {
        let output = shell.given(line, input);
        assert!(output.status.success(), "`{line}`: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    // All bytes there are, 100,000 of them.
    let large: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    given("cell page set -", &large);
    exactly("cell page get", &large);
    exactly("cell page get --raw", &large);
    given("map users put ada -", &large);
    exactly("map users get ada", &large);
    exactly("map users entries", &[b"ada\t".as_slice(), &large, b"\n"].concat());
    // Items by line, by NUL, or as one.
    assert_eq!(given("list one push -", b"1\n2\n3\n"), "1");
    exactly("list one pop", b"1\n2\n3\n");
    assert_eq!(given("list lines push --lines -", b"1\n2\n\n3"), "4");
    exactly("list lines range", b"1\n2\n\n3\n");
    assert_eq!(given("list nuls push -0 -", b"a\nb\0c\0"), "2");
    exactly("list nuls range -0", b"a\nb\0c\0");
    let many: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(given("list many push --lines -", many.as_bytes()), "10000");
    assert_eq!(given("set seen add --lines -", many.as_bytes()), "10000");
    assert_eq!(given("map pairs put-all --lines -", many.as_bytes()), "5000");
    exactly("list many get 9999", b"9999");
    // Values that look like something else.
    shell.script(
        "
        list odd push @@ada                => 1
        list odd push --literal - @bob     => 3
        list odd push -- -x                => 4
        list odd range                     => @ada | - | @bob | -x
        list odd push @no-such-file        => [2]
        counter -x add 2                   => 2
        counter -x get                     => 2
        inspect --json -x                  => *
        ls -                               => -x
        list len push a                    => 1
        list len len                       => 1
        set members add x                  => 1
        counter -- --json increment        => 1
        counter -- --json get              => 1
        rm -x                              =>
        map words merge the 6              => 6
        map words merge f --op add-f64 1.5 => 1.5
        map words get the --number         => 6
        map words get f --float            => 1.5
        map words take f --float           => 1.5
        map words entries --number         => the\t6
        map words values --number          => 6
        map words first --number           => the\t6
        map words swap the x --number      => 6
        map words get the --number         => [5]
        ",
    );
}

#[test]
fn many_commands_run_in_one_process() {
    let shell = Shell::new();
    let batch = |line: &str, input: &str| {
        let output = shell.given(line, input.as_bytes());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said, complaint)
    };
    let adds: String =
        (1..=1_000).map(|number| format!("counter c{number} add {number}\n")).collect();
    let (code, said, _) = batch("batch", &adds);
    assert_eq!((code, said.lines().count(), said.lines().last()), (Some(0), 1_000, Some("1000")));
    // Quotes, comments, negative results; a failure ends it, or not.
    let lines = "# words\n\ncell page set 'a  b'\ncell page get\nmap m get x\ncell page jump\ncell page get";
    let (code, said, complaint) = batch("batch", lines);
    assert_eq!((code, said.lines().nth(1)), (Some(2), Some("a  b")), "{complaint}");
    assert!(
        complaint.starts_with("catena: line 6: ") && complaint.lines().count() == 1,
        "{complaint}"
    );
    let (code, said, complaint) = batch("batch --keep-going", lines);
    assert_eq!((code, said.matches("a  b\n").count()), (Some(2), 2), "{complaint}");
    let (code, said, _) = batch("--json batch", "cell page get\ncounter c7 get");
    assert_eq!((code, said.lines().nth(1)), (Some(0), Some("7")));
    assert!(said.contains("\"bytes\":\"a  b\""), "{said}");
    for refused in ["cell page set -", "lock l run -- true", "batch", "help", "cell page set 'x"] {
        let (code, _, complaint) = batch("batch", refused);
        assert_eq!(code, Some(2), "{refused}");
        assert!(complaint.starts_with("catena: line 1: "), "{refused}: {complaint}");
    }
    // What a batch takes stays held.
    let (_, token, _) = batch("batch", "lock deploy lock");
    shell.check(&format!("lock deploy unlock {}", token.trim()), 0, "true");
    let history = tempfile::tempdir().expect("a directory");
    let mut shell_command = shell.command("shell");
    shell_command.env("CATENA_HISTORY", history.path().join("deep/history"));
    let output =
        run_with(shell_command, b"counter c7 add 1\nlist c7 len\ncounter c7 get\nexit\nls\n");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), said.matches("8\n").count()), (Some(0), 2), "{output:?}");
    assert!(!said.contains("c1000"), "nothing runs after `exit`: {said}");
}

#[test]
fn a_dump_is_restored_on_another_engine() {
    let (from, to) = (Shell::new(), Shell::new());
    from.script(
        "
        counter d/counter add -5           => -5
        counter d/zero add 1               => 1
        counter d/zero add -1              => 0
        flag d/flag set true               => true
        cell d/cell set hello              => *
        vector d/vector set --columns 2 1 2.5 -3 1e300 => *
        vector d/integers set --type i64 1 -2 => *
        list d/list push a b c             => 3
        list d/empty push a                => 1
        list d/empty clear                 => 1
        map d/map put-all k1 v1 k2 v2      => 2
        map d/map merge n 7                => 7
        set d/set add x y                  => 2
        future d/future set 42             => true
        future d/cancelled cancel why+not  => true
        log d/log print one                => 1
        semaphore d/semaphore acquire --permits 3 --now => *
        lock d/lock lock                   => *
        cell d/expires set soon            => *
        expire d/expires 1h                => true
        counter other add 1                => 1
        ",
    );
    let many: String = (0..10_000).map(|number| format!("item-{number}\n")).collect();
    assert!(from.given("list d/many push --lines -", many.as_bytes()).status.success());
    let bytes: Vec<u8> = (0..=255).collect();
    assert!(from.given("map d/map put bytes -", &bytes).status.success());
    let dump = from.output("dump d/");
    assert_eq!(dump.status.code(), Some(0), "{dump:?}");
    let complaint = String::from_utf8_lossy(&dump.stderr).into_owned();
    assert!(complaint.contains("dumped 16 objects; left out 1 lock"), "{complaint}");

    // A dump that is truncated or damaged changes nothing, and says so.
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("dump");
    let restore = |options: &str, bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("it is written");
        let output = to.output(&format!("restore {options} {}", file.display()));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).trim_end().to_owned())
    };
    let whole = &dump.stdout[..];
    let (code, said) = restore("", &whole[..whole.len() - 10]);
    assert!(code == Some(5) && said.contains("the dump is truncated"), "{said}");
    let mut damaged = whole.to_vec();
    damaged[whole.len() / 2] ^= 1;
    let (code, said) = restore("", &damaged);
    assert!(code == Some(5) && said.contains("is damaged"), "{said}");
    to.check("ls", 0, "");
    assert_eq!(restore("--check", whole), (Some(0), "the dump is whole: 16 objects".to_owned()));
    to.check("ls", 0, "");

    assert_eq!(restore("", whole), (Some(0), "restored 16 objects".to_owned()));
    let again = to.output("dump d/");
    let records = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        // Without checksums and the time left.
        let lines = text.lines().map(|line| line[17..].to_owned());
        let lines = lines.filter(|line| !line.contains("expires_ms"));
        let lines: Vec<String> = lines.filter(|line| !line.contains("\"end\"")).collect();
        lines
    };
    let lock_free = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(lock_free.contains("dumped 16 objects"), "{lock_free}");
    assert_eq!(records(whole), records(&again.stdout));
    let expires = to.json("inspect d/expires")["expires_ms"].as_u64().expect("a time");
    assert!((1..=3_600_000).contains(&expires), "{expires}");
    to.script(
        "
        map d/map get n --number           => 7
        vector d/vector get                => *
        semaphore d/semaphore state        => 3 of 3 free, 0 holding, 0 waiting
        future d/cancelled get             => [6]
        ",
    );
    // What exists is replaced only on request.
    to.check("counter d/counter add 1", 0, "-4");
    let (code, said) = restore("", whole);
    assert!(code == Some(5) && said.contains("exists already"), "{said}");
    to.check("counter d/counter get", 0, "-4");
    assert_eq!(restore("--replace", whole), (Some(0), "restored 16 objects".to_owned()));
    to.check("counter d/counter get", 0, "-5");
    // From a pipe, objects are made as they come.
    let piped = to.given("restore --replace", &whole[..whole.len() - 10]);
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert_eq!(piped.status.code(), Some(5), "{said}");
    assert!(said.contains("then it failed: the dump is truncated"), "{said}");
    assert_eq!(to.given("restore --replace", whole).status.code(), Some(0));
    // Claimed items are not in it, which is said.
    from.check("list d/list claim", 0, "*");
    let dump = from.output("dump d/list");
    assert_eq!(dump.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&dump.stderr).contains("has items that are claimed"),
        "{dump:?}"
    );
    let (code, said) = restore("", b"hello\n");
    assert!(code == Some(5) && said.contains("this is not a dump"), "{said}");
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
        map other put k v          => new
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
        quota q/                   => [1] no quota
        quota q/ --objects 1       => at most 1 object in each of 16 shards, where names are spread by their hash: up to 16 objects in all
        quota q/ --bytes 1MiB      => *
        quota q/                   => at most 1 object and 1.0 MiB in each of 16 shards, where names are spread by their hash: up to 16 objects and 16.0 MiB in all
        quota q/ --remove          => no quota
        quota q/                   => [1] no quota
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
fn every_example_works() {
    let (alone, cluster) = (Shell::new(), Shell::of_cluster(2));
    let directory = tempfile::tempdir().expect("a directory");
    let tool = std::path::Path::new(env!("CARGO_BIN_EXE_catena"));
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{path}", tool.parent().expect("a folder").display());
    for (command, lines) in examples::EXAMPLES {
        let shell = if command.starts_with("cluster") { &cluster } else { &alone };
        for line in *lines {
            // Its name is known only once it asks to join, which it does after half a minute.
            let line = &line.replace("join node-1", &format!("join {}", cluster.control(1)));
            let run = || {
                Command::new("sh")
                    .args(["-c", line])
                    .current_dir(directory.path())
                    .env("PATH", &path)
                    .env("CATENA_ENGINE", &shell.place)
                    .env("CATENA_HISTORY", directory.path().join("history"))
                    .stdin(Stdio::null())
                    .output()
                    .expect("sh runs")
            };
            let start = Instant::now();
            let mut output = run();
            // A node that was removed needs some time until it can be let in.
            while command.starts_with("cluster")
                && !output.status.success()
                && start.elapsed() < Duration::from_secs(30)
            {
                std::thread::sleep(Duration::from_millis(50));
                output = run();
            }
            assert!(output.status.success(), "`{line}`: {output:?}");
        }
    }
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
    let cause = "entity not found";
    let nothing = Shell::new().output("--engine file:///no/such/directory ping");
    let complaint = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert_eq!(
        (nothing.status.code(), complaint.matches(cause).count()),
        (Some(4), 1),
        "{complaint}"
    );
    // Without a port it is that of an engine.
    let local = Shell::new().output("--engine localhost --json ping --count 1");
    let complaint = String::from_utf8_lossy(&local.stderr).into_owned();
    assert!(local.status.success() || complaint.contains(":7400"), "{complaint}");
    let shell = Shell::new();
    let long = format!("map users put {} x", "k".repeat(5_000));
    let long = String::from_utf8_lossy(&shell.output(&long).stderr).into_owned();
    assert!(
        long.contains("a key of 5,000 bytes is longer than 4,096 bytes. Use a shorter key"),
        "{long}"
    );
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
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
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
