//! Tests of waits: every waiting request gets exactly one reply.

use super::check;

#[test]
fn a_deadline_of_zero_waits_for_nothing() {
    check(
        "
        a latch l wait 1
        after 0                   => a: Timeout 0/1
        a reduction r give 0/2 0 sum i64:1
        after 0                   => a: Timeout 1/2, missing 1
        a barrier g wait p/2
        after 0                   => a: Timeout 1/2
        a latch l wait 1
        b latch l count p/1       => 0 | a: 0
        after 0
        ",
    );
}

#[test]
fn a_wait_is_never_longer_than_the_longest() {
    check(
        "
        a open ttl 3600000        => ok
        a @4294967295 latch l wait 1
        after 899999
        after 1                   => a: Timeout 0/1
        ",
    );
}

#[test]
fn waits_end_in_the_order_of_their_deadlines() {
    check(
        "
        a @30 latch l wait 1
        b @10 barrier g wait p/2
        c @20 reduction r give 0/2 0 sum i64:1
        d @20 latch l wait 1
        after 30                  => b: Timeout 1/2 | c: Timeout 1/2, missing 1 | d: Timeout 0/1 | a: Timeout 0/1
        ",
    );
}

#[test]
fn what_is_deleted_keeps_nobody_waiting() {
    check(
        "
        a @900 latch l wait 1
        b @900 barrier g wait p/2
        c @900 reduction r give 0/2 0 sum i64:1
        d @900 reduction r give 1/3 0 sum i64:1     => Mismatch(2,3)
        d delete l                                  => a: Deleted | true
        d delete g                                  => b: Deleted | true
        d delete r                                  => c: Deleted | true
        census                                      => 0 objects, 4 sessions, 0 waiters
        a retry                                     => Deleted
        after 1000
        # New objects have the same names.
        d barrier l wait p/1                        => 0
        c reduction r give 0/1 9 sum i64:4          => round 9 i64:4
        ",
    );
}

#[test]
fn who_deletes_may_wait_there_too() {
    check(
        "
        a @900 latch l wait 1
        a #2~2 delete l          => a#1: Deleted | true
        a retry 1                => Deleted
        ",
    );
}

#[test]
fn a_node_that_stops_answers_everybody_once() {
    check(
        "
        a @900 latch l wait 1
        b @50 barrier g wait p/2
        c @900 #2~2 latch l wait 1
        shutdown                 => a: ShuttingDown | b: ShuttingDown | c: ShuttingDown
        shutdown
        # Time passes while the last replies are sent.
        after 50
        census                   => 2 objects, 3 sessions, 2 waiters
        after 5000
        b barrier g state        => round 0 0/2 0 waiting, missing p
        census                   => 2 objects, 3 sessions, 0 waiters
        ",
    );
}
