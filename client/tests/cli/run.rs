//! Commands that run while something is held for them.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::shell::Shell;

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
        let complaint = shell.complaint(&format!("lock deploy run -- {program}"), code);
        assert!(complaint.contains(program), "{complaint}");
    }
    shell.check("lock deploy state", 0, "1 of 1 free, 0 holding, 0 waiting");
    let token = shell.token("lock deploy run -- printenv CATENA_TOKEN");
    assert!(token.parse::<u64>().is_ok(), "{token}");
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
        let mut running = shell.start(&format!("{held} -- sh -c {TRAPS}"));
        assert_eq!(running.line(), "runs");
        running.signal("TERM");
        assert_eq!(running.line(), "got it");
        assert_eq!(running.wait().code(), Some(9), "{held}");
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
    let mut waiting = shell.start("lock deploy run --timeout 60s -- true");
    shell.await_printed("lock deploy state", "0 of 1 free, 1 holding, 1 waiting");
    waiting.signal("TERM");
    assert_eq!(waiting.wait().signal(), Some(15));
    shell.check(&format!("lock deploy unlock {token}"), 0, "true");
    shell.await_printed("lock deploy state", "1 of 1 free, 0 holding, 0 waiting");
}

#[test]
fn a_hold_is_renewed_while_the_command_runs() {
    let shell = Shell::new();
    shell.check("list jobs push work", 0, "1");
    // Each runs for more than twice its hold, all at the same time.
    let helds = ["lock deploy run", "semaphore pool run --permits 1", "list jobs claim run"];
    let running = helds.map(|held| shell.start(&format!("{held} --hold 2s -- sh -c sleep+5")));
    for mut running in running {
        assert_eq!(running.wait().code(), Some(0));
    }
    shell.check("list jobs len", 0, "0");
}

#[test]
fn a_hold_outlives_the_head_of_its_shard() {
    let shell = Shell::of_cluster(2);
    let mut running =
        shell.start("lock deploy run --hold 6s -- sh -c echo+runs;+read+word;+exit+8");
    assert_eq!(running.line(), "runs");
    // All heads are on the first node, so this moves the lock.
    shell.check("cluster remove node-0 --timeout 30s", 0, "*");
    // Longer than the hold: it was renewed at the other node.
    std::thread::sleep(Duration::from_secs(7));
    shell.check("lock deploy state", 0, "0 of 1 free, 1 holding, 0 waiting");
    running.close_input();
    assert_eq!(running.wait().code(), Some(8));
    shell.check("lock deploy state", 0, "1 of 1 free, 0 holding, 0 waiting");
}

#[test]
fn a_lost_hold_ends_the_command() {
    let shell = Shell::new();
    let lose = |held: &str, lost: &str, command: &str| {
        let mut running =
            shell.start(&format!("{held} --hold 3s --grace 300ms -- sh -c {command}"));
        let token = running.line();
        shell.check(&lost.replace("TOKEN", &token), 0, "*");
        let (status, said, complaint) = running.end();
        assert_eq!(status.code(), Some(125), "{held}: {complaint}");
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
    let mut running = shell.start("lock deploy run --hold 1s -- sh -c echo+runs;+exec+sleep+600");
    assert_eq!(running.line(), "runs");
    shell.engines.clear();
    let (status, _, complaint) = running.end();
    assert_eq!(status.code(), Some(125), "{complaint}");
    assert!(complaint.contains("could not be renewed in time"), "{complaint}");
}

#[test]
fn options_of_a_claim_stand_before_or_after_run() {
    let shell = Shell::new();
    shell.script(
        "
        list jobs push a b c d               => 4
        list jobs claim --timeout 1m run -- cat => a
        list jobs claim --hold 60s run -- cat   => b
        list jobs claim --now run --hold 60s -- cat => c
        list jobs claim --hold 60s run --hold 50s --now -- cat => d
        list jobs claim --now run -- cat     => [1]
        list jobs claim --timeout 10ms run -- cat => [3]
        ",
    );
    let complaint = shell.complaint("list jobs claim --hold 10ms run -- cat", 2);
    assert!(complaint.contains("give at least 1s"), "{complaint}");
}
