//! Tests of latches: open for good when all parties have counted down.

use super::check;

#[test]
fn a_latch_opens_once_and_for_all() {
    check(
        "
        a latch l state          => Absent
        a @100 latch l wait 2
        b @100 latch l wait 2
        a latch l state          => round 0 0/2 2 waiting
        c latch l count p/2      => 1
        c latch l count p/2      => 1
        c latch l state          => round 0 1/2 2 waiting
        d latch l count q/2      => 0 | a: 0 | b: 0
        d latch l state          => round 0 2/2 0 waiting
        d latch l count r/2      => 0
        d latch l wait 2         => 0
        ",
    );
}

#[test]
fn a_latch_of_one_party_opens_at_once() {
    check(
        "
        a latch l count p/1   => 0
        a latch l wait 1      => 0
        a latch l state       => round 0 1/1 0 waiting
        ",
    );
}

#[test]
fn a_wait_for_a_latch_times_out() {
    check(
        "
        a @10 latch l wait 3
        b @20 latch l wait 3
        b latch l count p/3   => 2
        after 9
        after 1               => a: Timeout 1/3
        after 10              => b#1: Timeout 1/3
        b latch l state       => round 0 1/3 0 waiting
        ",
    );
}

#[test]
fn parties_of_a_latch_agree_on_their_number() {
    check(
        "
        a latch l count p/0      => BadArgument(65536,0)
        a latch l count p/65537  => BadArgument(65536,65537)
        a latch l count /2       => BadArgument(64,0)
        a latch l count p*65/2   => BadArgument(64,65)
        a latch l wait 0         => BadArgument(65536,0)
        a latch l state          => Absent
        a latch l count p*64/2   => 1
        a latch l count q/3      => Mismatch(2,3)
        a latch l wait 1         => Mismatch(2,1)
        a latch l state          => round 0 1/2 0 waiting
        ",
    );
}

#[test]
fn an_unchanged_latch_keeps_its_version() {
    check(
        "
        a @10 latch l wait 2
        a object l inspect       => latch v2: 0 of 2 parties, closed; 1 in line
        b @20 latch l wait 2
        after 20                 => a: Timeout 0/2 | b: Timeout 0/2
        b latch l count p/2      => 1
        b latch l count p/2      => 1
        a object l inspect       => latch v7: 1 of 2 parties, closed
        b latch l count q/2      => 0
        b latch l count r/2      => 0
        a latch l wait 2         => 0
        a object l inspect       => latch v9: 2 of 2 parties, open
        ",
    );
}
