//! Tests of barriers: named parties, generation after generation.

use super::check;
use alloc::format;
use alloc::string::String;

#[test]
fn all_leave_when_the_last_one_comes() {
    check(
        "
        a barrier g state              => round 0 0/0 0 waiting
        a @100 barrier g wait a/3
        b @100 barrier g wait b/3
        b barrier g state              => round 0 2/3 2 waiting
        c barrier g wait c/3           => 0 | a: 0 | b: 0
        c barrier g state              => round 1 0/3 0 waiting, missing a b c
        # The next generation, in another order.
        c @100 barrier g wait c/3 1
        b @100 barrier g wait b/3 1
        b barrier g state              => round 1 2/3 2 waiting, missing a
        a barrier g wait a/3 1         => 1 | b: 1 | c: 1
        ",
    );
}

#[test]
fn a_barrier_of_one_lets_everybody_through() {
    check(
        "
        a barrier g wait a/1     => 0
        a barrier g arrive a/1   => 1
        b barrier g wait b/1     => 2
        b barrier g state        => round 3 0/1 0 waiting, missing b
        ",
    );
}

#[test]
fn a_party_that_arrives_twice_counts_once() {
    check(
        "
        a @100 barrier g wait p/2
        b @100 barrier g wait p/2
        b barrier g state          => round 0 1/2 2 waiting
        c barrier g arrive p/2     => 0
        c barrier g wait q/2       => 0 | a: 0 | b: 0
        ",
    );
}

#[test]
fn a_late_arrival_does_not_wait() {
    check(
        "
        a barrier g arrive a/2 0   => 0
        b barrier g arrive b/2 0   => 0
        a barrier g wait a/2 0     => 0
        c barrier g arrive x/2 0   => 0
        a barrier g wait a/2 2     => WrongRound(1,2)
        a barrier g arrive a/2 3   => WrongRound(1,3)
        a @50 barrier g wait a/2 1
        b barrier g wait b/2       => 1 | a: 1
        ",
    );
}

#[test]
fn a_wait_that_times_out_takes_its_arrival_back() {
    check(
        "
        a barrier g wait a/3
        after 0                    => a: Timeout 1/3
        # It has arrived before, so it is listed as missing.
        a barrier g state          => round 0 0/3 0 waiting, missing a
        a barrier g arrive a/3     => 0
        b @10 barrier g wait b/3
        c barrier g wait c/3       => 0 | b: 0
        # Now all names are known, so missing parties are listed.
        a @10 barrier g wait a/3
        b @20 barrier g wait b/3
        after 10                   => a: Timeout 2/3, missing c
        b barrier g state          => round 1 1/3 1 waiting, missing a c
        after 10                   => b: Timeout 1/3, missing a c
        a barrier g state          => round 1 0/3 0 waiting, missing a b c
        ",
    );
}

/// One of the two waits of a party ends, the other continues.
#[test]
fn an_arrival_is_taken_back_with_its_last_wait() {
    check(
        "
        a @10 barrier g wait p/2
        b @20 barrier g wait p/2
        after 10                   => a: Timeout 1/2
        b barrier g state          => round 0 1/2 1 waiting
        after 10                   => b: Timeout 1/2
        b barrier g state          => round 0 0/2 0 waiting, missing p
        a @10 barrier g wait p/2
        b barrier g arrive p/2     => 0
        after 10                   => a: Timeout 1/2
        b barrier g state          => round 0 1/2 0 waiting
        c barrier g wait q/2       => 0
        ",
    );
}

#[test]
fn a_broken_barrier_stays_broken_until_it_is_reset() {
    check(
        "
        a @100 barrier g wait a/2
        b barrier g break fire       => 0 | a: Broken fire
        a barrier g wait a/2         => Broken fire
        a barrier g arrive a/2       => Broken fire
        b barrier g break flood      => 0
        a barrier g wait a/2         => Broken flood
        b barrier g reset            => 1
        a @100 barrier g wait a/2
        b barrier g wait b/2 0       => 0
        b barrier g reset            => 2 | a: Broken the barrier was reset
        b barrier g break x*257      => BadArgument(256,257)
        b barrier g break x*256      => 2
        a barrier g wait a/2         => Broken x*256
        a barrier g wait a/2 1       => 1
        a barrier none reset         => 1
        ",
    );
}

#[test]
fn parties_of_a_barrier_agree_on_their_number() {
    check(
        "
        a barrier g wait a/0          => BadArgument(65536,0)
        a barrier g wait a/65537      => BadArgument(65536,65537)
        a barrier g arrive /2         => BadArgument(64,0)
        a barrier g arrive p*65/2     => BadArgument(64,65)
        a barrier g arrive a/2        => 0
        a barrier g arrive b/3        => Mismatch(2,3)
        a barrier g wait b/1          => Mismatch(2,1)
        a barrier g state             => round 0 1/2 0 waiting
        ",
    );
}

#[test]
fn at_most_64_missing_parties_are_named() {
    let arrivals: String =
        (0..100).map(|i| format!("a barrier g arrive p{i}/100 => 0\n")).collect();
    check(&format!("{arrivals} a barrier g state => round 1 0/100 0 waiting, missing 64 named"));
}
