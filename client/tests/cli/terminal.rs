//! The shell on a terminal, which `script` of util-linux provides.

use std::process::Command;

use crate::shell::{Running, Shell, utf8};

/// Starts the shell of the tool on a terminal.
fn on_terminal(shell: &Shell, history: &std::path::Path) -> Running {
    let mut command = Command::new("script");
    command
        .args([
            "-q",
            "-e",
            "-c",
            &format!("exec {} shell", env!("CARGO_BIN_EXE_catena")),
            "/dev/null",
        ])
        .env("CATENA_ENGINE", &shell.place)
        .env("CATENA_HISTORY", history)
        .env("TERM", "xterm");
    Running::start(command)
}

const CTRL_C: &[u8] = b"\x03";
const CTRL_D: &[u8] = b"\x04";

#[test]
fn an_interrupt_ends_the_command_and_not_the_shell() {
    let shell = Shell::new();
    let directory = tempfile::tempdir().expect("a directory");
    let history = directory.path().join("deep/history");
    let mut running = on_terminal(&shell, &history);
    shell.script(
        "
        log events print one    => 1
        counter changes add 1   => 1
        ",
    );
    let token = shell.token("lock taken lock");
    for line in [
        "list jobs pop --wait --timeout 600s",
        "lock taken lock --timeout 600s",
        "future answer get --timeout 600s",
        "log events tail -f --timeout 600s",
        "wait changes --timeout 600s",
    ] {
        running.write(format!("{line}\n").as_bytes());
        let object = line.split(' ').nth(1).expect("a name");
        shell.until(&format!("inspect {object}"), |output| {
            utf8(&output.stdout).contains("\n1 waiting")
        });
        running.write(CTRL_C);
        running.line_with(|said| said.contains("interrupted"));
    }
    shell.check(&format!("lock taken unlock {token}"), 0, "true");
    // What nobody waits for any more stays, and the shell goes on.
    shell.check("list jobs push work", 0, "1");
    running.write(b"counter visits add 41\n");
    running.line_with(|said| said.trim() == "41");
    shell.check("list jobs len", 0, "1");
    running.write(CTRL_C);
    running.line_with(|said| said.contains("press Ctrl-C again"));
    // Not only at the prompt: at any time after that.
    running.write(CTRL_C);
    assert!(running.wait().success());
    let lines = std::fs::read_to_string(&history).expect("it was saved");
    for line in ["list jobs pop --wait --timeout 600s", "counter visits add 41"] {
        assert!(lines.contains(line), "{lines}");
    }
}

#[test]
fn the_history_is_there_however_the_shell_ends() {
    let shell = Shell::new();
    let directory = tempfile::tempdir().expect("a directory");
    let history = directory.path().join("history");
    let mut running = on_terminal(&shell, &history);
    running.write(b"counter first add 1\n");
    running.line_with(|said| said.trim() == "1");
    running.write(CTRL_D);
    assert!(running.wait().success());
    // One that is killed has saved its lines as well.
    let mut running = on_terminal(&shell, &history);
    running.write(b"counter second add 2\n");
    running.line_with(|said| said.trim() == "2");
    drop(running);
    let lines = std::fs::read_to_string(&history).expect("it was saved");
    assert!(
        lines.contains("counter first add 1") && lines.contains("counter second add 2"),
        "{lines}"
    );
}

#[test]
fn commands_and_names_are_completed() {
    let shell = Shell::new();
    shell.check("list build-jobs push a b c", 0, "3");
    let directory = tempfile::tempdir().expect("a directory");
    let mut running = on_terminal(&shell, &directory.path().join("history"));
    running.write(b"lis\tbui\tle\t\n");
    running.line_with(|said| said.trim() == "3");
}
