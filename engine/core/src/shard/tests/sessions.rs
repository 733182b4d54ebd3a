//! Tests of sessions: an update takes effect exactly once, however often it is sent.

use super::check;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

#[test]
fn a_retry_gets_the_first_reply() {
    check(
        "
        a counter c add 5        => 5
        b counter c add 2        => 7
        seq                      => 4
        a retry                  => 5
        a reconnect
        a retry                  => 5
        seq                      => 4
        a counter c get          => 7
        # The next update acknowledges the first one, whose reply is removed.
        a counter c add 1        => 8
        a retry 1                => Stale(2,1)
        a retry 2                => 8
        ",
    );
}

#[test]
fn a_long_reply_is_kept_as_well() {
    check(
        "
        a cell c set x*1000      => 2
        a cell c swap y*1000     => v2 x*1000
        a retry                  => v2 x*1000
        a cell c get             => v3 y*1000
        a counter o add 1        => 1
        a retry 2                => Stale(3,2)
        ",
    );
}

#[test]
fn a_retry_of_a_waiting_request_takes_over_its_wait() {
    check(
        "
        a @100 latch l wait 1
        a reconnect
        a retry
        a retry
        census                   => 1 objects, 1 sessions, 1 waiters
        b latch l count p/1      => 0 | a': 0
        a retry                  => 0
        # A retried wait still times out at the deadline of the first request.
        a @100 latch m wait 1
        after 60
        a reconnect
        a retry
        after 40                 => a'': Timeout 0/1
        a retry                  => Timeout 0/1
        b latch m count p/1      => 0
        a retry                  => Timeout 0/1
        a latch m wait 1         => 0
        ",
    );
}

/// A refusal is not kept: a retry is checked again.
#[test]
fn a_refused_request_can_be_retried() {
    check(
        "
        a counter c set 9223372036854775807  => 9223372036854775807
        a counter c add 1                    => Overflow
        b counter c set 1                    => 1
        a retry                              => 2
        a retry                              => 2
        a barrier g break fire               => 0
        a barrier g wait p/1                 => Broken fire
        b barrier g reset                    => 1
        a retry                              => 1
        ",
    );
}

#[test]
fn acknowledgements_only_go_up() {
    check(
        "
        a #0~0 counter c add 1   => Stale(1,0)
        a #0~1 counter c add 1   => Stale(1,0)
        a #5~0 counter c add 1   => Stale(6,5)
        a #5~1 counter c add 1   => 1
        a #5~4 counter c add 1   => 1
        a #4~1 counter c add 1   => Stale(5,4)
        a #6~6 counter c add 1   => 2
        a #5~5 counter c add 1   => 1
        a #7~1 counter c add 1   => 3
        a #6~6 counter c add 1   => Stale(7,6)
        # The highest numbers.
        a #18446744073709551614~1 counter c add 1  => 4
        a #18446744073709551615~1 counter c add 1  => 5
        a #18446744073709551615~1 counter c add 1  => 5
        a #18446744073709551615~0 counter c add 1  => Stale(18446744073709551615,18446744073709551615)
        ",
    );
}

#[test]
fn the_window_has_a_maximum() {
    check(
        "
        a #257~257 counter c add 1  => WindowExceeded(256,257)
        a #256~256 counter c add 1  => 1
        a #1~1 counter c add 1      => 2
        a #257~257 counter c add 1  => WindowExceeded(256,257)
        a #257~256 counter c add 1  => 3
        a #1~1 counter c add 1      => Stale(2,1)
        a #256~255 counter c add 1  => 1
        a #513~256 counter c add 1  => 4
        ",
    );
}

/// The ring of a session grows while requests arrive in any order.
#[test]
fn requests_of_a_window_may_arrive_in_any_order() {
    for stride in [1, 3, 5, 7, 11, 101] {
        let numbers: Vec<u32> = (0..128).map(|i| i * stride % 128 + 1).collect();
        let mut steps = String::new();
        for (done, number) in numbers.iter().enumerate() {
            steps += &format!("a #{number}~{number} counter c add 1 => {}\n", done + 1);
            steps += &format!("a #{number}~{number} counter c add 1 => {}\n", done + 1);
        }
        for (done, number) in numbers.iter().enumerate() {
            steps += &format!("a #{number}~{number} counter c add 1 => {}\n", done + 1);
        }
        check(&steps);
    }
}

/// Replies on the heap survive when the ring grows.
#[test]
fn waits_and_long_replies_survive_a_growing_window() {
    check(
        "
        a @900 #2~2 latch l wait 1
        a #1~1 cell c swap x*100     => v0
        a #3~3 cell c swap y*100     => v3 x*100
        a #40~40 counter n add 1     => 1
        a #200~200 counter n add 1   => 2
        a #3~3 cell c get            => v4 y*100
        a retry 3                    => v3 x*100
        a retry 1                    => v0
        b latch l count p/1          => 0 | a#2: 0
        a retry 2                    => 0
        a #256~250 counter n add 1   => 3
        a retry 2                    => Stale(7,2)
        ",
    );
}

/// A client cannot acknowledge a request that still waits.
#[test]
fn a_waiting_request_cannot_be_acknowledged() {
    check(
        "
        a @900 latch l wait 1
        a #2~1 counter c add 1       => BadArgument(0,1)
        a #2~2 counter c add 1       => 1
        a #9~1 counter c add 1       => BadArgument(0,8)
        a #9~9 counter c add 1       => 2
        b latch l count p/1          => 0 | a#1: 0
        a #10~1 counter c add 1      => 3
        ",
    );
}

#[test]
fn a_session_must_be_open() {
    check(
        "
        a close                      => ok
        a close                      => ok
        a counter c add 1            => SessionUnknown
        a delete c                   => SessionUnknown
        a counter c get              => 0
        b open nonce 8 ttl 1000      => ok
        b open nonce 8 ttl 1000      => ok
        b open nonce 9               => SessionConflict
        b counter c add 1            => 1
        b open nonce 8 ttl 1000      => ok
        b retry                      => 1
        census                       => 1 objects, 1 sessions, 0 waiters
        ",
    );
}

/// Copies of its requests may still arrive, and must not be executed again.
#[test]
fn a_closed_session_is_not_opened_again_soon() {
    check(
        "
        a open born 0                => ok
        a counter c add 1            => 1
        a close                      => ok
        census                       => 1 objects, 0 sessions, 0 waiters
        a open born 0                => SessionUnknown
        a retry                      => SessionUnknown
        after 30000
        a close                      => ok
        after 29999
        a open born 0                => SessionUnknown
        after 1
        a open born 0                => ok
        a counter c get              => 1
        ",
    );
}

#[test]
fn opening_finding_and_closing_are_one_update_each() {
    check(
        "
        a open                       => ok
        seq                          => 1
        a open                       => ok
        seq                          => 2
        a close                      => ok
        seq                          => 3
        a close                      => ok
        seq                          => 4
        ",
    );
}

#[test]
fn an_unused_session_expires() {
    check(
        "
        a open ttl 100               => ok
        a counter c add 1            => 1
        after 99
        a counter c add 1            => 2
        after 99
        # Retries and refused requests do not extend the session.
        a retry                      => 2
        a counter c multiply 9223372036854775807 => Overflow
        census                       => 1 objects, 1 sessions, 0 waiters
        after 1
        census                       => 1 objects, 0 sessions, 0 waiters
        a retry                      => SessionUnknown
        a counter c get              => 2
        ",
    );
}

/// The replies of an old id are gone, so the id is refused.
#[test]
fn an_old_id_is_refused() {
    check(
        "
        a open ttl 100               => ok
        a counter c add 1            => 1
        after 100
        a open born 0 ttl 100        => SessionUnknown
        a retry                      => SessionUnknown
        a open born 1000 ttl 100     => ok
        b open born 900100001        => SessionUnknown
        b open born 900100000        => ok
        c open ttl 4294967295        => ok
        after 3600000
        census                       => 1 objects, 0 sessions, 0 waiters
        ",
    );
}

#[test]
fn a_session_that_ends_ends_its_waits() {
    check(
        "
        a open ttl 100               => ok
        a @900 barrier g wait p/2
        a @900 #2~2 latch l wait 1
        b barrier g state            => round 0 1/2 1 waiting
        after 100                    => a: SessionUnknown | a#1: SessionUnknown
        b barrier g state            => round 0 0/2 0 waiting, missing p
        census                       => 2 objects, 1 sessions, 0 waiters
        c @900 barrier g wait p/2
        c @900 #2~2 reduction r give 0/2 0 sum i64:1
        c close                      => c: SessionUnknown | c#1: SessionUnknown | ok
        b barrier g state            => round 0 0/2 0 waiting, missing p
        b reduction r state          => round 0 1/2 0 waiting, missing 1
        ",
    );
}

/// Sessions expire in the order of their ends, even if the shard is called late.
#[test]
fn sessions_end_in_the_order_of_their_ends() {
    check(
        "
        a open ttl 1000                => ok
        b open ttl 1100                => ok
        a lock l acquire               => t3
        b @9000 lock l acquire
        c @9000 lock l acquire
        sleep 500
        a counter n add 1              => 1
        sleep 1500                     => b: SessionUnknown | c: t10
        ",
    );
}
