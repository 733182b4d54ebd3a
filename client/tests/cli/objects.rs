//! Commands about objects of any kind, and the examples of all commands.

use std::process::{Command, Output, Stdio};

use crate::examples;
use crate::shell::{LONG, Shell, until, utf8};

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
    let text = utf8(&inspected.stdout);
    assert!(text.starts_with("x is a counter: value 5\nversion "), "{text}");
    let json = shell.json("inspect x");
    assert_eq!((&json["kind"], &json["detail"]), (&"counter".into(), &"value 5".into()));
    let ping = shell.output("ping --count 2");
    assert!(utf8(&ping.stdout).contains("median"), "{ping:?}");
    let mut monitor = shell.start("monitor seen --op counter --count 2");
    let seen = || shell.check("counter seen add 1", 0, "*");
    std::thread::sleep(std::time::Duration::from_millis(100));
    let (mut lines, mut line) = (Vec::new(), None);
    let start = std::time::Instant::now();
    while lines.len() < 2 {
        assert!(start.elapsed() < LONG, "nothing was seen");
        seen();
        shell.check("counter other add 1", 0, "*");
        line = monitor.line_within(std::time::Duration::from_millis(100)).or(line);
        lines.extend(line.take());
    }
    for line in &lines {
        assert!(line.contains("127.0.0.1") && line.contains("counter add"), "{line}");
        assert!(line.contains("  seen  ") && line.contains("Ok"), "{line}");
    }
    assert!(monitor.wait().success());
    let top = shell.json("top --every 10ms");
    assert_eq!(top["shards"].as_array().map(Vec::len), Some(16), "{top}");
    let completions = shell.output("completions bash");
    assert!(utf8(&completions.stdout).contains("catena"));
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
            // A node that was removed needs some time until it can be let in.
            let may_fail = command.starts_with("cluster");
            let output = until(line, run, |output| output.status.success() || !may_fail);
            assert!(output.status.success(), "`{line}`: {output:?}");
        }
    }
}

#[test]
fn a_quota_is_one_that_can_be_counted() {
    let shell = Shell::new();
    shell.check("quota q/ --bytes 3TiB", 0, "*");
    assert_eq!(shell.json("quota q/")["bytes_max_per_shard"], 3_u64 << 40);
    for (line, why) in [
        ("quota q/ --bytes 20000000TiB", "is too large"),
        ("quota q/ --bytes 99999999TB", "is too large"),
        ("quota q/ --bytes 2EiB", "all 16 shards together cannot have that much"),
        ("quota q/ --objects 18446744073709551615", "all 16 shards together"),
        ("quota q/ --bytes apples", "is not a size"),
    ] {
        let complaint = shell.complaint(line, 2);
        assert!(complaint.contains(why), "`{line}`: {complaint}");
    }
    assert_eq!(shell.json("quota q/")["bytes_max_per_shard"], 3_u64 << 40, "it is as it was");
}

#[test]
fn a_time_is_one_that_can_be_added_to_a_clock() {
    let shell = Shell::new();
    for line in ["list l pop --wait --timeout 1e30h", "expire x 9999999999h"] {
        let complaint = shell.complaint(line, 2);
        assert!(complaint.contains("is too long"), "`{line}`: {complaint}");
    }
    shell.check("list l push a", 0, "1");
    shell.check("list l claim run --timeout 876000h -- true", 0, "");
}

#[test]
fn a_waiter_is_counted_while_its_client_is_there() {
    let shell = Shell::new();
    let waiting = shell.start("list jobs pop --wait --timeout 60s");
    let waiters = |output: &Output| {
        let text = utf8(&output.stdout);
        text.contains("\n1 waiting").then_some(text.contains(" 1 waiting\n"))
    };
    shell.until("inspect jobs", |output| waiters(output) == Some(true));
    drop(waiting);
    // At once, and not when its place is given up.
    shell.until("inspect jobs", |output| {
        let text = utf8(&output.stdout);
        text.starts_with("jobs is a list: 0 items, 0 claimed, 0 waiting")
            && waiters(output).is_none()
    });
}
