//! Barriers, latches, reductions, futures and logs.

use crate::shell::Shell;

#[test]
fn parties_meet_from_several_calls() {
    let shell = Shell::new();
    let first = shell.start("barrier round arrive --party w1 --parties 2 --timeout 20s");
    shell.check("barrier round arrive --party w2 --parties 2 --timeout 20s", 0, "0");
    assert!(first.end().0.success());
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
