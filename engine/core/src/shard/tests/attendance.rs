//! Tests of connections that end: a request that waits on one is passed over, and keeps its place for a
//! while.

use super::check;

#[test]
fn a_client_that_is_gone_takes_no_item() {
    check(
        "
        a @60000 list jobs pop_wait
        b @60000 list jobs claim
        c @60000 list jobs pop_wait
        a disconnect
        b disconnect
        c disconnect
        d list jobs extend w x y z            => 4
        d list jobs len                       => 4
        d list jobs pop                       => w
        d list jobs range 0 0                 => 0: x y z
        after 5000
        census                                => 1 objects, 4 sessions, 0 waiters
        ",
    );
}

#[test]
fn a_client_that_is_gone_is_not_counted_as_waiting() {
    check(
        "
        a @60000 list jobs claim
        b @60000 list jobs pop_wait
        b disconnect
        c object jobs inspect                 => list v2: 0 items, 0 claimed, 1 waiting; 1 in line
        b retry
        c object jobs inspect                 => list v2: 0 items, 0 claimed, 2 waiting; 2 in line
        d @60000 object jobs wait_newer 99
        d disconnect
        c object jobs inspect                 => list v2: 0 items, 0 claimed, 2 waiting; 2 in line
        ",
    );
}

#[test]
fn a_retry_in_time_takes_the_former_place() {
    check(
        "
        a @60000 list jobs pop_wait
        b @60000 list jobs pop_wait
        c @60000 list jobs pop_wait
        a disconnect
        d list jobs push 1                    => 0 | b: 1
        a retry
        d list jobs push 2                    => 0 | a': 2
        d list jobs push 3                    => 0 | c: 3
        ",
    );
}

#[test]
fn a_retry_gets_at_once_what_came_meanwhile() {
    check(
        "
        a @60000 list jobs pop_wait
        a disconnect
        b list jobs push 1                    => 1
        after 4999
        a retry                               => 1
        a retry                               => 1
        b list jobs len                       => 0
        ",
    );
}

#[test]
fn a_late_retry_begins_anew() {
    check(
        "
        a @60000 list jobs pop_wait
        a disconnect
        after 5000
        census                                => 1 objects, 1 sessions, 0 waiters
        b @60000 list jobs pop_wait
        a retry
        c list jobs push 1                    => 0 | b: 1
        c list jobs push 2                    => 0 | a': 2
        ",
    );
}

#[test]
fn the_deadline_of_a_wait_stays() {
    check(
        "
        a @3000 list jobs pop_wait
        a disconnect
        after 3000
        census                                => 1 objects, 1 sessions, 0 waiters
        a retry                               => Timeout
        b @6000 list jobs pop_wait
        after 2000
        b disconnect
        after 2000
        b retry
        after 1999
        after 1                               => b': Timeout
        ",
    );
}

#[test]
fn a_lock_is_not_granted_to_a_client_that_is_gone() {
    check(
        "
        a lock l try                          => t2
        b @60000 lock l acquire
        c @60000 lock l acquire
        b disconnect
        a lock l release t2                   => true | c: t8
        ",
    );
}

#[test]
fn a_request_for_fewer_permits_passes_a_client_that_is_gone() {
    check(
        "
        a semaphore s try 1/3                 => t2
        b @60000 semaphore s acquire 3/3
        c @60000 semaphore s acquire 2/3
        b disconnect                          => c: t7
        b retry
        ",
    );
}

#[test]
fn an_arrival_is_withdrawn_once_its_wait_is_forgotten() {
    check(
        "
        a @60000 barrier g wait p1/2
        a disconnect
        b @60000 barrier g wait p2/2          => 0
        a retry                               => 0
        a @60000 barrier g wait p1/2
        a disconnect
        after 5000
        b @100 barrier g wait p2/2
        after 100                             => b: Timeout 1/2, missing p1
        ",
    );
}

#[test]
fn all_kinds_of_waits_end_with_their_connection() {
    check(
        "
        a @60000 latch l wait 1
        a @60000 future f get
        a @60000 reduction r give 0/2 0 sum i64:1
        a @60000 object c wait_newer 0
        census                                => 3 objects, 1 sessions, 4 waiters
        a disconnect
        after 5000
        census                                => 3 objects, 1 sessions, 0 waiters
        ",
    );
}

#[test]
fn a_detached_wait_is_in_the_snapshot() {
    check(
        "
        a @60000 list jobs pop_wait
        b @60000 list jobs claim
        a disconnect
        restore
        b retry
        c list jobs push 1                    => 0 | b: t7 1
        c list jobs push 2                    => 1
        after 5000
        census                                => 1 objects, 3 sessions, 0 waiters
        ",
    );
}
