//! Tests of ops for objects of all kinds: deletion, expiry, inspection, waits for changes.

use super::check;
use alloc::format;

#[test]
fn an_object_of_any_kind_can_be_inspected() {
    check(
        r#"
        a object x inspect                    => Absent
        a counter c add 5                     => 5
        a object c inspect                    => counter v2: value 5
        a flag f set true                     => true
        a object f inspect                    => flag v3: value true
        a cell b set hello                    => 4
        a object b inspect                    => cell v4: 5 bytes
        a vector v set 2 i64:1,2,3,4          => 5
        a object v inspect                    => vector v5: 2 × 2 i64
        a @900 reduction r give 1/3 7 sum f64:1
        a object r inspect                    => reduction v6: round 7, 1 of 3 parties; 1 in line; missing 0 2
        a @900 barrier g wait p/2
        a object g inspect                    => barrier v7: round 0, 1 of 2 parties; 1 in line
        b barrier g wait q/2                  => 0 | a: 0
        a object g inspect                    => barrier v9: round 1, 0 of 2 parties; missing p q
        a @900 latch l wait 2
        a latch l count p/2                   => 1
        a object l inspect                    => latch v11: 1 of 2 parties, closed; 1 in line
        b latch l count q/2                   => 0 | a#7: 0
        a object l inspect                    => latch v12: 2 of 2 parties, open
        a list q extend one two three         => 3
        a list q claim hold 500               => t14 one
        a object q inspect                    => list v14: 2 items, 1 claimed, 0 waiting; a holds 1 by t14 for 500
        a map m put k v                       => false
        a object m inspect                    => map v15: 1 entries
        a set s add_all a b                   => 2
        a object s inspect                    => set v16: 2 members
        a semaphore p acquire 2/5             => t17
        b semaphore p acquire 1/5 hold 500    => t18
        b @900 semaphore p acquire 3/5
        a object p inspect                    => semaphore v18: 2 of 5 permits free, 1 waiting; 1 in line; a holds 2 by t17 as it lives; b holds 1 by t18 for 500
        a lock k acquire                      => t20
        a object k inspect                    => lock v20: held, 0 waiting; a holds 1 by t20 as it lives
        a future u set x                      => true
        a object u inspect                    => future v21: set, 1 bytes
        a log o print line                    => 1
        a object o inspect                    => log v22: 1 lines, 1 kept
        "#,
    );
}

/// A name, an expiry time, watchers, and the deadlines of holds.
#[test]
fn an_inspection_has_more_than_the_state() {
    check(
        "
        a named lock app/lock acquire hold 500 => t2
        a object app/lock expire 9000         => true
        b @900 object app/lock wait_newer 2
        b @900 #2~2 lock app/lock acquire
        c object app/lock inspect             => app/lock lock v2: held, 1 waiting; expires in 9000; 2 in line; a holds 1 by t2 for 500
        after 100
        c object app/lock inspect             => app/lock lock v2: held, 1 waiting; expires in 8900; 2 in line; a holds 1 by t2 for 400
        a lock app/lock extend t2             => true
        c object app/lock inspect             => app/lock lock v2: held, 1 waiting; expires in 8900; 2 in line; a holds 1 by t2 as it lives
        a object app/lock expire 0            => true
        c object app/lock inspect             => app/lock lock v2: held, 1 waiting; 2 in line; a holds 1 by t2 as it lives
        ",
    );
}

#[test]
fn objects_expire_on_time() {
    check(
        "
        a object c expire 50                  => false
        a counter c add 1                     => 1
        a object c expire 50                  => true
        after 20
        a counter c add 1                     => 2
        # Later updates do not extend the time to live.
        after 29
        a counter c get                       => 2
        after 1
        a counter c get                       => 0
        census                                => 0 objects, 1 sessions, 0 waiters
        # A new time to live counts from its op, and 0 removes it.
        a counter c add 1                     => 1
        a object c expire 10                  => true
        after 5
        a object c expire 10                  => true
        after 9
        a object c expire 0                   => true
        after 1000
        a counter c get                       => 1
        a object c expire 18446744073709551615 => true
        after 86400000
        b counter c get                       => 1
        b object c inspect                    => counter v7: value 1; expires in 18446743987308488
        ",
    );
}

#[test]
fn an_expired_object_ends_its_waits_and_holds() {
    check(
        "
        a lock l acquire                      => t2
        b @900 lock l acquire
        c @900 object l wait_newer 99
        d object l expire 10                  => true
        after 10                              => b: Deleted | c: Deleted
        d scope stats                         => at 10000: 9 updates, 1 reads, 0 objects, 0 named, 4 sessions, 0 waiters, 0 holds
        # A new object with the same name does not inherit the expiry time.
        a lock l acquire                      => t10
        d object l expire 10                  => true
        d delete l                            => true
        a lock l acquire                      => t13
        after 100
        d lock l state                        => 0/1 free, 1 held, 0 waiting
        ",
    );
}

#[test]
fn a_change_releases_its_watchers() {
    check(
        "
        # The object need not exist yet.
        a @900 object c wait_newer 0
        b counter c add 1                     => 1 | a: 4
        a object c wait_newer 2               => 4
        a @900 object c wait_newer 4
        b @900 object c wait_newer 4
        d @900 object c wait_newer 5
        e @900 object c wait_newer 99
        c object c inspect                    => counter v4: value 1; 4 in line
        c counter c get                       => 1
        # Updates that change nothing release no watcher.
        c counter c cas 7 8                   => 1 kept
        c object c expire 5000                => true
        c counter other add 1                 => 1
        c counter c add 1                     => 2 | a: 16 | b: 16 | d: 16
        a retry                               => 16
        c delete c                            => e: Deleted | true
        c object c wait_newer 0
        ",
    );
}

#[test]
fn a_wait_for_a_change_times_out() {
    check(
        "
        a object c wait_newer 0
        after 0                               => a: Timeout
        a @10 object c wait_newer 0
        after 5
        a reconnect
        a retry
        census                                => 0 objects, 1 sessions, 1 waiters
        after 5                               => a': Timeout
        a retry                               => Timeout
        b counter c add 1                     => 1
        a retry                               => Timeout
        a object c wait_newer 0               => 7
        # A wait that times out does not create or change an object.
        a @5 object none wait_newer 0
        after 5                               => a': Timeout
        a @5 object c wait_newer 11
        after 5                               => a': Timeout
        a object c inspect                    => counter v7: value 1
        census                                => 1 objects, 2 sessions, 0 waiters
        ",
    );
}

#[test]
fn objects_of_all_kinds_can_be_watched() {
    let changes = [
        ("counter", "add 1", "1"),
        ("flag", "set true", "true"),
        ("cell", "append x", "v4 1 long"),
        ("vector", "add i64:1", "4"),
        ("list", "push x", "1"),
        ("map", "put k v", "false"),
        ("set", "add x", "true"),
        ("semaphore", "acquire 1/2", "t4"),
        ("lock", "acquire", "t4"),
        ("future", "set x", "true"),
        ("log", "print x", "1"),
        ("barrier", "arrive p/2", "0"),
        ("latch", "count p/2", "1"),
        ("reduction", "give 0/1 0 sum i64:1", "round 0 i64:1"),
    ];
    for (kind, change, answer) in changes {
        check(&format!(
            "
            a @900 object x wait_newer 0
            b {kind} x {change}   => {answer} | a: 4
            "
        ));
    }
}

/// An update by the shard itself is a change as well.
#[test]
fn a_hold_that_ends_is_a_change() {
    check(
        "
        a lock l acquire hold 10              => t2
        b @900 object l wait_newer 2
        after 10                              => b: 5
        a list q push x                       => 1
        a list q claim hold 10                => t7 x
        b @900 object q wait_newer 7
        after 10                              => b: 9
        ",
    );
}

#[test]
fn a_session_that_ends_stops_watching() {
    check(
        "
        a @900 object c wait_newer 0
        a @900 #2~2 object c wait_newer 7
        a close                               => a: SessionUnknown | a#1: SessionUnknown | ok
        b counter c add 1                     => 1
        census                                => 1 objects, 1 sessions, 0 waiters
        ",
    );
}
