//! Many commands in one process: batches and the shell.

use crate::shell::{Shell, run_with, utf8};

#[test]
fn many_commands_run_in_one_process() {
    let shell = Shell::new();
    let batch = |line: &str, input: &str| {
        let output = shell.given(line, input.as_bytes());
        (output.status.code(), utf8(&output.stdout), utf8(&output.stderr))
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
    assert_eq!((code, said.matches("a  b").count()), (Some(2), 2), "{complaint}");
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
    let said = utf8(&output.stdout);
    assert_eq!((output.status.code(), said.matches('8').count()), (Some(0), 2), "{output:?}");
    assert!(!said.contains("c1000"), "nothing runs after `exit`: {said}");
}

#[test]
fn a_batch_ends_like_the_first_command_that_failed_or_else_was_negative() {
    let shell = Shell::new();
    for (lines, options, code) in [
        ("counter c add 1\ncounter c get", "", 0),
        ("map m get x\ncounter c get", "", 1),
        ("map m get x\nlist l set 0 x\ncounter c get", "", 5),
        ("list l set 0 x\nfuture f get --timeout 1ms\nmap m get x", "--keep-going", 5),
        ("future f get --timeout 1ms\nlist l set 0 x", "--keep-going", 3),
        ("map m get x\ncounter c get", "--keep-going", 1),
        ("", "", 0),
    ] {
        let output = shell.given(&format!("batch {options}"), lines.as_bytes());
        assert_eq!(output.status.code(), Some(code), "{lines}: {output:?}");
    }
    // A negative result does not end it.
    let output = shell.given("batch", b"map m get x\ncounter c get");
    assert_eq!(utf8(&output.stdout), "1", "{output:?}");
    shell.check("batch /no/such/file", 2, "*");
}
