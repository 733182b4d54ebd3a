//! Tests of semaphores: permits with deadlines.

use super::check;

#[test]
fn every_op_of_a_semaphore() {
    check(
        "
        a semaphore s state                   => Absent
        a semaphore s release t1              => false
        a semaphore s extend t1 hold 50       => false
        census                                => 0 objects, 1 sessions, 0 waiters
        a semaphore s acquire 2/5 hold 50     => t4
        b semaphore s try 3/5                 => t6
        a semaphore s state                   => 0/5 free, 2 held, 0 waiting
        c semaphore s try 1/5                 => denied
        a object s inspect                    => semaphore v6: 0 of 5 permits free, 0 waiting; a holds 2 by t4 for 50; b holds 3 by t6 as it lives
        b semaphore s release t6              => true
        b semaphore s release t6              => false
        c semaphore s acquire 1/5 hold 20     => t11
        a semaphore s extend t4 hold 90       => true
        after 19
        c semaphore s state                   => 2/5 free, 2 held, 0 waiting
        after 1
        c semaphore s state                   => 3/5 free, 1 held, 0 waiting
        c semaphore s extend t11 hold 50      => false
        c semaphore s release t11             => false
        after 69
        c semaphore s state                   => 3/5 free, 1 held, 0 waiting
        after 1
        c semaphore s state                   => 5/5 free, 0 held, 0 waiting
        a semaphore s release t4              => false
        # Without a time, permits are held until the session ends.
        a semaphore s acquire 5/5 hold 10     => t18
        a semaphore s extend t18              => true
        a object s inspect                    => semaphore v18: 0 of 5 permits free, 0 waiting; a holds 5 by t18 as it lives
        after 1199999
        b semaphore s state                   => 0/5 free, 1 held, 0 waiting
        after 1
        b semaphore s state                   => 5/5 free, 0 held, 0 waiting
        ",
    );
}

#[test]
fn invalid_permits_are_refused() {
    check(
        "
        a semaphore s acquire 0/5             => BadArgument(65536,0)
        a semaphore s acquire 1/0             => BadArgument(65536,0)
        a semaphore s acquire 65537/65537     => BadArgument(65536,65537)
        a semaphore s acquire 1/65537         => BadArgument(65536,65537)
        a semaphore s acquire 6/5             => OutOfRange(5,6)
        a semaphore s try 0/5                 => BadArgument(65536,0)
        a semaphore s try 6/5                 => OutOfRange(5,6)
        census                                => 0 objects, 1 sessions, 0 waiters
        a semaphore s try 65536/65536         => t2
        a semaphore s try 1/5                 => Mismatch(65536,5)
        a semaphore s acquire 1/5             => Mismatch(65536,5)
        a lock s try                          => WrongKind(13,12)
        ",
    );
}

/// A request for many permits is not overtaken by requests for few.
#[test]
fn permits_are_granted_in_order() {
    check(
        "
        a semaphore s acquire 2/3             => t2
        b @100 semaphore s acquire 3/3
        c @100 semaphore s acquire 1/3
        d @100 semaphore s acquire 1/3
        e semaphore s try 1/3                 => denied
        e semaphore s state                   => 1/3 free, 1 held, 3 waiting
        a semaphore s release t2              => true | b: t11
        b semaphore s release t12             => false
        e semaphore s state                   => 0/3 free, 1 held, 2 waiting
        ",
    );
}

#[test]
fn a_request_that_times_out_releases_those_behind_it() {
    check(
        "
        a semaphore s acquire 2/3             => t2
        b @10 semaphore s acquire 3/3
        c @100 semaphore s acquire 1/3
        d @100 semaphore s acquire 1/3
        after 10                              => b: Timeout | c: t9
        b retry                               => Timeout
        # The second grant of one update has its own token.
        a semaphore s release t2              => true | d: t10
        e semaphore s acquire 1/3             => t12
        f @100 semaphore s acquire 2/3
        g @100 semaphore s acquire 1/3
        c close                               => ok
        d close                               => f: t19 | ok
        e semaphore s state                   => 0/3 free, 2 held, 1 waiting
        ",
    );
}

#[test]
fn one_update_can_serve_many_requests() {
    check(
        "
        a semaphore s acquire 3/3             => t2
        b @100 semaphore s acquire 1/3 hold 50
        c @100 semaphore s acquire 1/3 hold 60
        d @100 semaphore s acquire 1/3
        a semaphore s release t2              => true | b: t9 | c: t9.1 | d: t9.2
        e object s inspect                    => semaphore v9: 0 of 3 permits free, 0 waiting; b holds 1 by t9 for 50; c holds 1 by t9.1 for 60; d holds 1 by t9.2 as it lives
        after 50
        e semaphore s state                   => 1/3 free, 2 held, 0 waiting
        b semaphore s release t9              => false
        d semaphore s release t9.2            => true
        after 10
        e semaphore s state                   => 3/3 free, 0 held, 0 waiting
        ",
    );
}

/// The deadline of a hold counts from the request, not from the grant.
#[test]
fn a_hold_that_ends_while_waiting_is_never_granted() {
    check(
        "
        a semaphore s acquire 1/1             => t2
        b @100 semaphore s acquire 1/1 hold 30
        c @100 semaphore s acquire 1/1 hold 60
        d semaphore s state                   => 0/1 free, 1 held, 2 waiting
        after 30                              => b: Timeout
        b retry                               => Timeout
        a semaphore s release t2              => true | c: t9
        after 29
        d semaphore s state                   => 0/1 free, 1 held, 0 waiting
        after 1
        d semaphore s state                   => 1/1 free, 0 held, 0 waiting
        ",
    );
}

#[test]
fn a_retry_keeps_its_position_in_the_queue() {
    check(
        "
        a semaphore s acquire 1/1             => t2
        b @100 semaphore s acquire 1/1
        c @100 semaphore s acquire 1/1
        b reconnect
        b retry
        b retry
        d semaphore s state                   => 0/1 free, 1 held, 2 waiting
        a semaphore s release t2              => true | b': t8
        b retry                               => t8
        b reconnect
        b retry                               => t8
        d semaphore s state                   => 0/1 free, 1 held, 1 waiting
        ",
    );
}

/// A session that ends loses its waits and holds at once, in any order.
#[test]
fn a_session_that_ends_loses_everything_at_once() {
    check(
        "
        a semaphore s acquire 1/2             => t2
        a semaphore s acquire 1/2 hold 900    => t3
        a @900 semaphore s acquire 2/2
        b @900 semaphore s acquire 1/2
        c @900 semaphore s acquire 1/2
        a close                               => a: SessionUnknown | b: t10 | c: t11 | ok
        d semaphore s state                   => 0/2 free, 2 held, 0 waiting
        d scope stats                         => at 0: 13 updates, 2 reads, 1 objects, 0 named, 3 sessions, 0 waiters, 2 holds
        ",
    );
}

/// The end of a request would release a later one of the same session, which must end first.
#[test]
fn a_session_that_ends_does_not_release_its_own_waits() {
    check(
        "
        a semaphore s acquire 1/2             => t2
        b @900 semaphore s acquire 2/2
        b @900 #2~2 semaphore s acquire 1/2
        c @900 semaphore s acquire 1/2
        b close                               => b: SessionUnknown | b#1: SessionUnknown | c: t9 | ok
        d semaphore s state                   => 0/2 free, 2 held, 0 waiting
        b retry                               => SessionUnknown
        ",
    );
}

#[test]
fn deleting_a_semaphore_ends_its_waits_and_holds() {
    check(
        "
        a semaphore s acquire 1/1 hold 50     => t2
        b @900 semaphore s acquire 1/1 hold 60
        c delete s                            => b: Deleted | true
        c scope stats                         => at 0: 6 updates, 1 reads, 0 objects, 0 named, 3 sessions, 0 waiters, 0 holds
        a semaphore s release t2              => false
        after 1000
        census                                => 0 objects, 3 sessions, 0 waiters
        # A new semaphore with the same name and another number of permits.
        a semaphore s acquire 1/7             => t8
        a semaphore s release t2              => false
        a semaphore s state                   => 6/7 free, 1 held, 0 waiting
        ",
    );
}

#[test]
fn waiting_changes_no_version() {
    check(
        "
        a semaphore s acquire 1/1             => t2
        b @10 semaphore s acquire 1/1
        b @10 #2~2 semaphore s acquire 1/1 hold 5
        c semaphore s try 1/1                 => denied
        a semaphore s extend t2 hold 90       => true
        c object s inspect                    => semaphore v2: 0 of 1 permits free, 2 waiting; 2 in line; a holds 1 by t2 for 90
        after 10                              => b: Timeout | b#1: Timeout
        c object s inspect                    => semaphore v2: 0 of 1 permits free, 0 waiting; a holds 1 by t2 for 80
        a semaphore s release t2              => true
        c object s inspect                    => semaphore v11: 1 of 1 permits free, 0 waiting
        ",
    );
}
