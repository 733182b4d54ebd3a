//! Results that cannot be written: a full device, and a pipe that nobody reads.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};

use crate::shell::{Shell, utf8};

/// Runs a line whose output has no room.
fn to_full(shell: &Shell, line: &str) -> Output {
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    shell.command(line).stdout(full).stdin(Stdio::null()).output().expect("the tool runs")
}

/// Runs a line whose output nobody reads.
fn to_closed(shell: &Shell, line: &str) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    shell.command(line).stdout(writer).stdin(Stdio::null()).output().expect("the tool runs")
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let shell = Shell::new();
    shell.script(
        "
        cell page set hello   => *
        list jobs push a      => 1
        map users put ada x   => new
        log events print one  => 1
        ",
    );
    for line in [
        "cell page get",
        "cell page get --json",
        "counter visits get",
        "list jobs range",
        "map users entries",
        "log events tail",
        "log events tail --follow --timeout 10ms",
        "ls",
        "inspect page",
        "ping --count 1",
        "top --every 10ms",
        "top --every 10ms --times 2",
        "dump",
        "completions bash",
        "help",
        "list --help",
        "--version",
    ] {
        let output = to_full(&shell, line);
        let complaint = utf8(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "`{line}`: {complaint}");
        assert!(complaint.contains("cannot write to standard output"), "`{line}`: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "`{line}`: {complaint}");
        let output = to_closed(&shell, line);
        assert_eq!(output.status.signal(), Some(13), "`{line}`: {output:?}");
        assert!(output.stderr.is_empty(), "`{line}`: {output:?}");
    }
    let cluster = Shell::of_cluster(1);
    for line in ["cluster status", "cluster watch"] {
        assert_eq!(to_full(&cluster, line).status.code(), Some(7), "{line}");
        assert_eq!(to_closed(&cluster, line).status.signal(), Some(13), "{line}");
    }
}

#[test]
fn what_a_command_took_is_not_lost_with_its_result() {
    let shell = Shell::new();
    shell.script(
        "
        list jobs push a b c d e f g h => 8
        map users put ada Ada  => new
        cell page set old      => *
        ",
    );
    // It is in the complaint, because it is nowhere else.
    for (line, taken) in [
        ("list jobs pop", "\"a\""),
        ("list jobs pop --wait", "\"b\""),
        ("list jobs pop-back", "\"h\""),
        ("list jobs remove-at 0", "\"c\""),
        ("list jobs set 0 x", "\"d\""),
        ("map users swap ada Eve", "\"Ada\""),
        ("map users take ada", "\"Eve\""),
        ("counter tickets add 5", "5"),
        ("flag ready swap true", "false"),
    ] {
        let output = to_full(&shell, line);
        let complaint = utf8(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "`{line}`: {complaint}");
        assert!(complaint.contains("the command was executed"), "`{line}`: {complaint}");
        assert!(complaint.ends_with(taken), "`{line}`: {complaint}");
    }
    let output = to_full(&shell, "cell page swap new");
    assert!(utf8(&output.stderr).contains(": {\"bytes\":\"old\""), "{output:?}");
    // So it is if nobody reads.
    let output = to_closed(&shell, "list jobs pop");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(utf8(&output.stderr).ends_with(": \"x\""), "{output:?}");
    // A value that is not the number that was asked for is not lost either.
    shell.check("map users put bob Bob", 0, "new");
    let complaint = shell.complaint("map users take bob --number", 5);
    assert!(complaint.contains("was taken from the map: \"Bob\""), "{complaint}");
}

#[test]
fn what_is_held_is_given_back_if_nobody_learns_of_it() {
    let shell = Shell::new();
    shell.check("list jobs push a b", 0, "2");
    for is_full in [true, false] {
        for line in [
            "list jobs claim",
            "list jobs claim --json",
            "lock deploy lock",
            "semaphore pool acquire --permits 2",
            // A batch does not end with the command, so that its client holds on.
            "batch BATCH",
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            let batch = directory.path().join("batch");
            std::fs::write(&batch, "lock deploy lock\nlist jobs claim\n").expect("it is written");
            let line = line.replace("BATCH", &batch.display().to_string());
            let output = if is_full { to_full(&shell, &line) } else { to_closed(&shell, &line) };
            let (code, signal) = if is_full { (Some(7), None) } else { (None, Some(13)) };
            let ended = (output.status.code(), output.status.signal());
            assert_eq!(ended, (code, signal), "`{line}`: {output:?}");
            let complaint = utf8(&output.stderr);
            assert_eq!(complaint.contains("was given back"), is_full, "`{line}`: {complaint}");
        }
        shell.script(
            "
            list jobs range        => a | b
            lock deploy state      => 1 of 1 free, 0 holding, 0 waiting
            semaphore pool state   => 2 of 2 free, 0 holding, 0 waiting
            ",
        );
    }
}

#[test]
fn a_batch_ends_when_it_can_say_nothing_more() {
    let shell = Shell::new();
    let directory = tempfile::tempdir().expect("a directory");
    let batch = directory.path().join("batch");
    std::fs::write(&batch, "counter a add 1\ncounter b add 1\n").expect("it is written");
    let output = to_full(&shell, &format!("batch --keep-going {}", batch.display()));
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    shell.check("ls", 0, "a");
}

#[test]
fn complaints_that_cannot_be_written_change_nothing() {
    let shell = Shell::new();
    for (line, code) in [("counter visits add x", 2), ("list missing set 0 x", 5), ("jump", 2)] {
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let status = shell.command(line).stderr(full).status().expect("the tool runs");
        assert_eq!(status.code(), Some(code), "{line}");
    }
}
