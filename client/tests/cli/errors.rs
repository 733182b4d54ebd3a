//! What the tool says when something fails.

use crate::shell::{Shell, utf8};

#[test]
fn errors_are_one_line() {
    let shell = Shell::new();
    let complaint = shell.complaint("--engine 127.0.0.1:1 counter visits get", 4);
    assert!(complaint.contains("no engine answers at 127.0.0.1:1"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    let cause = "entity not found";
    let complaint = shell.complaint("--engine file:///no/such/directory ping", 4);
    assert_eq!(complaint.matches(cause).count(), 1, "{complaint}");
    // Without a port it is that of an engine.
    let local = shell.output("--engine localhost --json ping --count 1");
    let complaint = utf8(&local.stderr);
    assert!(local.status.success() || complaint.contains(":7400"), "{complaint}");
    let long = format!("map users put {} x", "k".repeat(5_000));
    let long = utf8(&shell.output(&long).stderr);
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
fn a_usage_names_what_is_required_and_no_more() {
    let shell = Shell::new();
    for line in ["counter visits add", "rm", "barrier b arrive"] {
        let complaint = shell.complaint(line, 2);
        assert!(!complaint.contains("--engine"), "`{line}`: {complaint}");
    }
    // In a batch it is in the line that says which line is wrong.
    let output = shell.given("batch", b"barrier b arrive --party w1\n");
    let expected = "catena: line 1: the following required arguments were not provided: \
                    --parties <PARTIES>";
    assert_eq!(utf8(&output.stderr), expected);
}

#[test]
fn the_engine_is_given_or_in_the_environment_or_on_this_machine() {
    let shell = Shell::new();
    let complaint = |variable: &str, line: &str| {
        let mut command = shell.command(line);
        let output = command.env("CATENA_ENGINE", variable).output().expect("the tool runs");
        (output.status.code(), utf8(&output.stderr))
    };
    let nobody = "127.0.0.1:1";
    assert!(complaint(nobody, "ping --count 1").1.contains("no engine answers at 127.0.0.1:1"));
    let given = format!("--engine {} ping --count 1", shell.place);
    assert_eq!(complaint(nobody, &given), (Some(0), String::new()));
    // An empty variable counts as none.
    let (code, said) = complaint("", "ping --count 1");
    assert!(code == Some(0) || said.contains("127.0.0.1:7400"), "{said}");
}
