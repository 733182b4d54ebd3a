//! Tests of locks: a semaphore with one permit, and fencing tokens against clients that lost it.

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

/// A request that waits long gets the lock for as long as one that does not wait.
#[test]
fn a_hold_may_begin_with_the_grant() {
    check(
        "
        a lock l acquire hold 50              => t2
        b @900 lock l acquire granted 20
        c @900 lock l acquire hold 60
        d @900 list q claim granted 20
        a list q push x                       => 0 | d: t9 x
        after 19
        a list q len                          => 0
        after 1
        a list q len                          => 1
        after 30                              => b: t11
        after 10                              => c: Timeout
        after 9
        a lock l try                          => denied
        after 1
        a lock l try granted 10               => t15
        after 9
        b lock l try                          => denied
        after 1
        b lock l try                          => t18
        ",
    );
}

/// A function that is killed does not release its lock; the shard does, at a deadline by which the
/// function cannot be running any more. If it still is, its writes have an old token.
#[test]
fn a_lock_is_released_at_the_deadline_of_its_holder() {
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
fn a_lock_is_granted_in_order() {
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
fn a_retry_keeps_its_position_in_the_queue() {
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
        # The retry gets the first reply, although another session has the lock now.
        a retry                         => t2
        b retry                         => t5
        ",
    );
}

/// A session can wait for its own lock, until its hold ends.
#[test]
fn a_lock_is_not_granted_twice_to_the_same_session() {
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

/// Effects of time happen in their order, even if the shard is called late.
#[test]
fn ends_take_effect_in_their_order() {
    check(
        "
        a open ttl 100                  => ok
        b open ttl 100                  => ok
        a lock l acquire hold 10        => t3
        b @20 lock l acquire hold 30
        c @20 lock l acquire hold 40
        # All of it in one call.
        sleep 200                       => b: t7 | c: Timeout
        census                          => 1 objects, 1 sessions, 0 waiters
        c lock l state                  => 1/1 free, 0 held, 0 waiting
        ",
    );
}

#[test]
fn deleting_a_lock_ends_its_waits() {
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
