//! Locks: a semaphore of one, and the tokens that keep out whoever lost it without knowing.

use super::check;

#[test]
fn every_op_of_a_lock() {
    check(
        "
        a lock l state                  => 1/1 free, 0 held, 0 waiting
        a lock l release t1             => false
        a lock l extend t1 hold 50      => false
        census                          => 0 objects, 1 sessions, 0 waiters
        a lock l acquire hold 50        => t4
        b lock l try                    => denied
        b lock l state                  => 0/1 free, 1 held, 0 waiting
        b object l inspect              => lock v4: held, 0 waiting; a holds 1 by t4 for 50
        a lock l extend t4 hold 100     => true
        after 99
        b lock l try                    => denied
        a lock l release t4             => true
        a lock l release t4             => false
        a lock l extend t4 hold 100     => false
        b lock l try                    => t12
        b object l inspect              => lock v12: held, 0 waiting; b holds 1 by t12 as it lives
        b lock l release t10            => false
        b lock l state                  => 0/1 free, 1 held, 0 waiting
        b semaphore l state             => WrongKind(12,13)
        ",
    );
}

/// A function that is killed says nothing; the engine lets go for it when it could not be running any
/// more. If it was running all the same, its token tells.
#[test]
fn a_lock_whose_holder_is_killed_is_let_go_at_its_deadline() {
    check(
        "
        a lock l acquire hold 50        => t2
        a cell c set_token t2 mine      => 3
        a map m put_token t2 k mine     => false
        b @900 lock l acquire hold 500
        after 49
        after 1                         => b: t7
        b cell c set_token t7 yours     => 8
        b map m put_token t7 k yours    => true
        a cell c set_token t2 late      => StaleToken(t7,t2)
        a map m put_token t2 k late     => StaleToken(t7,t2)
        a lock l release t2             => false
        a lock l extend t2 hold 900     => false
        b cell c get                    => v8 yours
        b map m get k                   => yours
        b lock l state                  => 0/1 free, 1 held, 0 waiting
        ",
    );
}

#[test]
fn who_asks_first_has_the_lock_first() {
    check(
        "
        a lock l acquire                => t2
        b @100 lock l acquire
        c @100 lock l acquire
        d @10 lock l acquire
        e @100 lock l acquire
        after 10                        => d: Timeout
        a lock l release t2             => true | b: t12
        b close                         => c: t13 | ok
        c lock l release t13            => true | e: t15
        c lock l release t14            => false
        e lock l state                  => 0/1 free, 1 held, 0 waiting
        ",
    );
}

#[test]
fn a_retry_takes_its_place_in_line_and_no_other() {
    check(
        "
        a lock l acquire hold 50        => t2
        a retry                         => t2
        b @100 lock l acquire
        b reconnect
        b retry
        b retry
        a lock l state                  => 0/1 free, 1 held, 1 waiting
        after 50                        => b': t5
        # It has the answer again, though the lock is somebody else's by now.
        a retry                         => t2
        b retry                         => t5
        ",
    );
}

/// It is not fair to wait for oneself, but it ends.
#[test]
fn a_lock_is_not_given_twice_to_the_same_session() {
    check(
        "
        a lock l acquire                => t2
        a @20 #2~2 lock l acquire
        a #3~3 lock l try               => denied
        after 20                        => a#2: Timeout
        a lock l state                  => 0/1 free, 1 held, 0 waiting
        ",
    );
}

/// Whoever was let in on time was, however late the shard is woken.
#[test]
fn ends_come_in_their_order() {
    check(
        "
        a open ttl 100                  => ok
        b open ttl 100                  => ok
        a lock l acquire hold 10        => t3
        b @20 lock l acquire hold 30
        c @20 lock l acquire hold 40
        # All of it in one turn.
        sleep 200                       => b: t7 | c: Timeout
        census                          => 1 objects, 1 sessions, 0 waiters
        c lock l state                  => 1/1 free, 0 held, 0 waiting
        ",
    );
}

#[test]
fn a_lock_that_is_deleted_keeps_nobody() {
    check(
        "
        a lock l acquire hold 50        => t2
        b @900 lock l acquire
        c delete l                      => b: Deleted | true
        a lock l release t2             => false
        a lock l extend t2 hold 1       => false
        census                          => 0 objects, 3 sessions, 0 waiters
        c lock l try                    => t9
        after 50
        c lock l state                  => 0/1 free, 1 held, 0 waiting
        ",
    );
}
