//! Locks, permits and claims that outlive the command that took them.

use crate::shell::Shell;

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
    let too_long = shell.complaint("lock deploy lock --hold 61m", 2);
    assert!(too_long.contains("longer than the 1h"), "{too_long}");
}
