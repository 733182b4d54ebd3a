//! Tests of seats of barriers and reductions: who holds them, and what happens when one is lost.

use super::check;
use alloc::format;

#[test]
fn a_seat_is_held_from_one_generation_to_the_next() {
    check(
        "
        a barrier g arrive a/2 hold 100        => 0
        b barrier g arrive b/2 hold 300        => 0
        a object g inspect                     => barrier v4: round 1, 0 of 2 parties; missing a b; a holds 0 by 0 as a for 100; b holds 0 by 0 as b for 300
        after 50
        # A new arrival sets a new deadline.
        b barrier g arrive b/2 hold 100        => 1
        a object g inspect                     => barrier v5: round 1, 1 of 2 parties; missing a; a holds 0 by 0 as a for 50; b holds 0 by 0 as b for 100
        a barrier g arrive a/2                 => 1
        # Without a deadline and a policy, the seat is not held.
        a object g inspect                     => barrier v6: round 2, 0 of 2 parties; missing a b; b holds 0 by 0 as b for 100
        after 100
        a object g inspect                     => barrier v6: round 2, 0 of 2 parties; missing a b
        b barrier g arrive b/2 hold 4294967295 => 2
        b object g inspect                     => barrier v8: round 2, 1 of 2 parties; missing a; b holds 0 by 0 as b for 86400000
        ",
    );
}

#[test]
fn a_contribution_takes_a_seat_from_round_to_round() {
    check(
        "
        a @90 reduction r give 0/2 0 sum i64:1 hold 100
        b reduction r give 1/2 0 sum i64:2 hold 300     => round 0 i64:3 | a: round 0 i64:3
        b object r inspect                     => reduction v4: round 1, 0 of 0 parties; a holds 0 by 0 as 0 for 100; b holds 0 by 0 as 1 for 300
        b @50 reduction r give 1/2 1 sum i64:2 hold 300
        after 50                               => b: Timeout 1/2, missing 0
        after 50
        b object r inspect                     => reduction v5: round 1, 1 of 2 parties; missing 0; b holds 0 by 0 as 1 for 200
        # Without a time, the seat is held until the session ends.
        a @90 reduction r give 0/2 1 sum i64:1 => round 1 i64:3
        b object r inspect                     => reduction v8: round 2, 0 of 0 parties; b holds 0 by 0 as 1 for 200
        ",
    );
}

/// Only a held seat can be lost, and a seat with neither a deadline nor a policy is not held.
#[test]
fn an_arrival_without_terms_outlives_its_session() {
    check(
        "
        a barrier g arrive a/2                 => 0
        a close                                => ok
        b barrier g wait b/2                   => 0
        c barrier h arrive c/2 hold 900        => 0
        c close                                => ok
        b barrier h state                      => round 0 0/2 0 waiting, missing c
        d barrier i arrive d/2 loss drop       => 0
        d barrier i state                      => round 0 1/2 0 waiting
        d object i inspect                     => barrier v11: round 0, 1 of 2 parties; d holds 0 by 0 as d as it lives
        ",
    );
}

#[test]
fn a_party_past_its_deadline_is_missing_by_name_and_the_others_wait_on() {
    check(
        "
        a @900 barrier g wait a/3 hold 100
        b @200 barrier g wait b/3 hold 900
        after 99
        b barrier g state                      => round 0 2/3 2 waiting
        # Its deadline passes while it waits; the refusal lists the missing parties that are known.
        after 1                                => a: Timeout 2/3
        b barrier g state                      => round 0 1/3 1 waiting, missing a
        c barrier g arrive c/3 hold 50         => 0
        # c has arrived without waiting.
        after 50
        b barrier g state                      => round 0 1/3 1 waiting, missing a c
        after 50                               => b: Timeout 1/3, missing a c
        # The functions are restarted, arrive again, and complete the generation.
        a2 barrier g arrive a/3 hold 100       => 0
        b2 barrier g arrive b/3 hold 100       => 0
        c2 barrier g wait c/3 hold 100         => 0
        # No party arrives in the next generation in time.
        after 100
        c2 object g inspect                    => barrier v15: round 1, 0 of 3 parties; missing a b c
        ",
    );
}

#[test]
fn a_contribution_of_a_party_past_its_deadline_stays() {
    check(
        "
        a @900 reduction r give 0/3 0 sum f64:1 hold 100
        b @900 reduction r give 1/3 0 sum f64:2 hold 200
        after 100                              => a: Timeout 2/3, missing 2
        a2 @900 reduction r give 0/3 0 sum f64:9 hold 900
        c reduction r give 2/3 0 sum f64:4     => round 0 f64:7 | b: round 0 f64:7 | a2: round 0 f64:7
        c @900 reduction r give 2/3 1 sum f64:4 hold 900
        after 100
        a2 object r inspect                    => reduction v10: round 1, 1 of 3 parties; 1 in line; missing 0 1; a2 holds 0 by 0 as 0 for 800; c holds 0 by 0 as 2 for 800
        ",
    );
}

#[test]
fn a_restarted_function_takes_over_its_seat() {
    check(
        "
        a barrier g arrive a/2 hold 100 loss break     => 0
        after 50
        # A takeover in the same generation.
        a2 barrier g arrive a/2 hold 100 loss break    => 0
        after 50
        a2 object g inspect            => barrier v2: round 0, 1 of 2 parties; a2 holds 0 by 0 as a for 50
        # The end of the first session has no effect.
        a close                        => ok
        a2 barrier g state             => round 0 1/2 0 waiting
        b barrier g arrive b/2 hold 900 loss break     => 0
        # A takeover before the arrival in the next generation.
        after 40
        a3 barrier g arrive a/2 0 hold 100 loss break  => 0
        after 90
        b barrier g state              => round 1 0/2 0 waiting, missing a b
        # A takeover also replaces a later deadline.
        b2 barrier g arrive b/2 0 hold 50 loss break   => 0
        a3 @900 barrier g wait a/2 1 hold 900 loss break
        after 50                       => a3: Broken party b is past its deadline
        ",
    );
}

#[test]
fn a_dropped_party_is_not_waited_for() {
    check(
        "
        a @900 barrier g wait a/3 hold 900 loss drop
        b @900 barrier g wait b/3 hold 900 loss drop
        c @900 barrier g wait c/3 hold 100 loss drop   => 0 | a: 0 | b: 0
        # c is dropped while the others wait, which releases them at once.
        a @900 barrier g wait a/3 hold 900 loss drop
        b @900 barrier g wait b/3 hold 900 loss drop
        after 99
        b barrier g state              => round 1 2/3 2 waiting, missing c
        after 1                        => a: 1 | b: 1
        # The next generation needs two parties.
        b object g inspect             => barrier v9: round 2, 0 of 2 parties, 1 dropped; missing a b; a holds 0 by 0 as a for 800; b holds 0 by 0 as b for 800
        a @900 barrier g wait a/3 hold 900 loss drop
        b barrier g wait b/3 hold 900 loss drop        => 2 | a: 2
        # c returns, and all three are needed again.
        c2 @900 barrier g wait c/3 hold 900 loss drop
        a @900 barrier g wait a/3 hold 900 loss drop
        b barrier g state              => round 3 2/3 2 waiting, missing b
        b barrier g wait b/3 hold 900 loss drop        => 3 | a: 3 | c2: 3
        ",
    );
}

#[test]
fn a_party_dropped_after_its_arrival_counts_once_more() {
    check(
        "
        a @900 barrier g wait a/3 hold 100 loss drop
        b barrier g arrive b/3 hold 100 loss drop      => 0
        # The deadlines of both pass. One of them was still waiting.
        after 100                                      => a: Timeout 2/3
        c barrier g state                              => round 0 2/3 0 waiting
        c barrier g wait c/3 hold 900 loss drop        => 0
        c barrier g state                              => round 1 0/1 0 waiting, missing c
        c barrier g wait c/3 hold 900 loss drop        => 1
        # Both return, one of them with a late arrival.
        a2 @900 barrier g wait a/3 hold 900 loss drop
        c barrier g state                              => round 2 1/2 1 waiting, missing c
        b2 barrier g arrive b/3 0 hold 900 loss drop   => 0
        c barrier g state                              => round 2 1/3 1 waiting, missing b c
        b2 barrier g arrive b/3 hold 900 loss drop     => 2
        c barrier g wait c/3 hold 900 loss drop        => 2 | a2: 2
        ",
    );
}

#[test]
fn a_dropped_party_that_arrives_late_is_waited_for_again() {
    check(
        "
        a barrier g arrive a/2 hold 900 loss drop      => 0
        b barrier g arrive b/2 hold 100 loss drop      => 0
        after 100
        a barrier g arrive a/2 hold 900 loss drop      => 1
        a barrier g state                              => round 2 0/1 0 waiting, missing a
        b2 barrier g arrive b/2 1 hold 100 loss drop   => 1
        a @900 barrier g wait a/2 hold 900 loss drop
        a barrier g state                              => round 2 1/2 1 waiting, missing b
        # A late arrival of an unknown party only gets a reply.
        x barrier g arrive x/2 1 hold 100 loss drop    => 1
        a barrier g state                              => round 2 1/2 1 waiting, missing b
        after 100                                      => a: 2
        ",
    );
}

#[test]
fn a_new_party_can_replace_a_dropped_one() {
    check(
        "
        a barrier g arrive a/3 hold 900 loss drop      => 0
        b barrier g arrive b/3 hold 900 loss drop      => 0
        c barrier g arrive c/3 hold 100 loss drop      => 0
        after 100
        a barrier g state                              => round 1 0/2 0 waiting, missing a b
        d barrier g arrive d/3 hold 900 loss drop      => 1
        a barrier g state                              => round 1 1/3 0 waiting, missing a b
        a barrier g arrive a/3 hold 900 loss drop      => 1
        b barrier g arrive b/3 hold 900 loss drop      => 1
        # If a new party replaces the lost one first, none is dropped: the roster is full.
        e barrier g arrive e/3 hold 900 loss drop      => 2
        a barrier g arrive a/3 hold 100 loss drop      => 2
        b barrier g arrive b/3 hold 900 loss drop      => 2
        d barrier g arrive d/3 hold 200 loss drop      => 3
        a barrier g state                              => round 3 1/3 0 waiting, missing a b e
        after 100
        a barrier g state                              => round 3 1/3 0 waiting, missing b e
        after 100
        # a had arrived.
        a barrier g state                              => round 3 1/3 0 waiting, missing b e
        b barrier g arrive b/3 hold 900 loss drop      => 3
        e barrier g arrive e/3 hold 900 loss drop      => 3
        e barrier g state                              => round 4 0/2 0 waiting, missing b e
        ",
    );
}

#[test]
fn all_parties_can_be_dropped_and_return() {
    check(
        "
        a barrier g arrive a/2 hold 100 loss drop      => 0
        b barrier g arrive b/2 hold 100 loss drop      => 0
        # Two are dropped at once.
        after 100
        a object g inspect                             => barrier v6: round 1, 0 of 0 parties, 2 dropped
        a barrier g arrive a/2 hold 100 loss drop      => 1
        b barrier g state                              => round 2 0/1 0 waiting, missing a
        b @900 barrier g wait b/2 hold 900 loss drop
        after 100                                      => b: 2
        ",
    );
}

#[test]
fn two_parties_are_dropped_at_once() {
    check(
        "
        a @900 barrier g wait a/4 hold 900 loss drop
        b @900 barrier g wait b/4 hold 900 loss drop
        c barrier g arrive c/4 hold 100 loss drop      => 0
        d barrier g arrive d/4 hold 100 loss drop      => 0 | a: 0 | b: 0
        a @900 barrier g wait a/4 hold 900 loss drop
        b @900 barrier g wait b/4 hold 900 loss drop
        after 100                                      => a: 1 | b: 1
        a @900 barrier g wait a/4 hold 900 loss drop
        # One returns, the other does not.
        d2 @900 barrier g wait d/4 hold 900 loss drop
        b barrier g wait b/4 hold 900 loss drop        => 2 | a: 2 | d2: 2
        ",
    );
}

#[test]
fn a_party_past_its_deadline_breaks_a_barrier_if_agreed() {
    check(
        "
        a @900 barrier g wait a/3 hold 900 loss break
        b @900 barrier g wait b/3 hold 100 loss break
        after 100              => a: Broken party b is past its deadline | b: Broken party b is past its deadline
        c barrier g arrive c/3 loss break      => Broken party b is past its deadline
        c object g inspect     => barrier v5: round 0, broken: party b is past its deadline; missing a b; a holds 0 by 0 as a for 800
        # A deadline that passes while the barrier is broken changes nothing.
        after 800
        c object g inspect     => barrier v5: round 0, broken: party b is past its deadline; missing a b
        c barrier g break fire => 0
        c barrier g arrive c/3 loss break      => Broken fire
        c barrier g reset      => 1
        c object g inspect     => barrier v9: round 1, 0 of 3 parties; missing a b
        a @900 barrier g wait a/3 hold 900 loss break
        b @900 barrier g wait b/3 hold 100 loss break
        c barrier g arrive c/3 hold 900 loss break     => 1 | a: 1 | b: 1
        # b had arrived, but does not arrive again.
        c @900 barrier g wait c/3 hold 900 loss break
        after 100              => c: Broken party b is past its deadline
        # A reset ends all seats.
        c barrier g reset      => 3
        after 900
        c barrier g state      => round 3 0/3 0 waiting, missing a b c
        ",
    );
}

#[test]
fn a_reduction_breaks_when_a_party_is_past_its_deadline() {
    check(
        "
        a @900 reduction r give 0/2 0 sum i64:1 hold 100 loss break
        after 100              => a: Broken party 0 is past its deadline
        b reduction r give 1/2 0 sum i64:1 hold 100 loss break => Broken party 0 is past its deadline
        b object r inspect     => reduction v3: round 0, broken: party 0 is past its deadline
        b reduction r reset    => 0
        b @900 reduction r give 1/2 0 sum i64:1 hold 900 loss break
        a @900 reduction r give 0/2 0 sum i64:2 hold 100 loss break    => round 0 i64:3 | b: round 0 i64:3
        b @900 reduction r give 1/2 1 sum i64:1 hold 900 loss break
        after 100              => b: Broken party 0 is past its deadline
        # The result of the last round stays, and the round in progress starts again.
        b reduction r last     => round 0 i64:3
        a reduction r give 0/2 0 sum i64:7 hold 900 loss break         => round 0 i64:3
        a reduction r give 0/2 1 sum i64:7 hold 900 loss break         => Broken party 0 is past its deadline
        b reduction r reset    => 1
        b @900 reduction r give 1/2 1 sum i64:1 hold 900 loss break
        a reduction r give 0/2 1 sum i64:7 hold 900 loss break         => round 1 i64:8 | b: round 1 i64:8
        ",
    );
}

#[test]
fn a_reduction_is_broken_and_reset() {
    check(
        "
        a @900 reduction r give 0/2 3 sum i64:1
        b reduction r break fire               => 3 | a: Broken fire
        b reduction r state                    => round 3 0/0 0 waiting
        b reduction r give 1/2 3 sum i64:1     => Broken fire
        b reduction r give 1/2 4 sum i64:1     => WrongRound(3,4)
        b reduction r break x*257              => BadArgument(256,257)
        b reduction r break x*256              => 3
        b reduction r give 1/2 3 sum i64:1     => Broken x*256
        b reduction r reset                    => 3
        # The round continues from there.
        b reduction r give 1/2 0 sum i64:1     => WrongRound(3,0)
        b @900 reduction r give 1/2 3 sum i64:5
        a reduction r reset                    => 3 | b: Broken the reduction was reset
        # The contributions are discarded.
        a @900 reduction r give 0/2 3 sum i64:1
        a reduction r state                    => round 3 1/2 1 waiting, missing 1
        b reduction r give 1/2 3 max i64:1     => Mismatch(0,3)
        b reduction r give 1/2 3 sum i64:1     => round 3 i64:2 | a: round 3 i64:2
        a reduction none reset                 => 0
        a reduction other break fire           => 0
        a reduction other give 0/1 7 sum i64:1 => Broken fire
        a reduction other reset                => 0
        a reduction other give 0/1 7 sum i64:1 => round 7 i64:1
        ",
    );
}

#[test]
fn a_reduction_continues_without_a_dropped_party() {
    check(
        "
        a @900 reduction r give 0/3 0 mean f64:1 hold 900 loss drop
        b @900 reduction r give 1/3 0 mean f64:2 hold 900 loss drop
        c reduction r give 2/3 0 mean f64:6 hold 100 loss drop         => round 0 f64:3 | a: round 0 f64:3 | b: round 0 f64:3
        a @900 reduction r give 0/3 1 mean f64:1 hold 900 loss drop
        b @900 reduction r give 1/3 1 mean f64:2 hold 900 loss drop
        # The mean is of the contributions that arrived.
        after 100                      => a: round 1 f64:1.5 | b: round 1 f64:1.5
        a @900 reduction r give 0/3 2 mean f64:1 hold 900 loss drop
        b object r inspect             => reduction v10: round 2, 1 of 2 parties, 1 dropped; 1 in line; missing 1; a holds 0 by 0 as 0 for 900; b holds 0 by 0 as 1 for 800
        # A party that contributes late is waited for again.
        c2 reduction r give 2/3 1 mean f64:9 hold 900 loss drop        => round 1 f64:1.5
        b @900 reduction r give 1/3 2 mean f64:2 hold 900 loss drop
        b reduction r state            => round 2 2/3 2 waiting, missing 2
        c2 reduction r give 2/3 2 mean f64:6 hold 900 loss drop        => round 2 f64:3 | a: round 2 f64:3 | b: round 2 f64:3
        ",
    );
}

/// A contribution counts even if its party is dropped before the others arrive.
#[test]
fn a_contribution_of_a_dropped_party_counts() {
    check(
        "
        a @900 reduction r give 1/2 0 mean f64:1 hold 100 loss drop
        after 100                      => a: Timeout 1/2, missing 0
        b reduction r state            => round 0 1/2 0 waiting, missing 0
        b reduction r give 0/2 0 mean f64:2 hold 900 loss drop => round 0 f64:1.5
        b reduction r give 0/2 1 mean f64:2 hold 900 loss drop => round 1 f64:2
        a2 @950 reduction r give 1/2 2 mean f64:4 hold 950 loss drop
        b object r inspect             => reduction v8: round 2, 1 of 2 parties; 1 in line; missing 0; b holds 0 by 0 as 0 for 900; a2 holds 0 by 0 as 1 for 950
        after 900                      => a2: round 2 f64:4
        ",
    );
}

/// The turn of a dropped party is skipped, and the sum does not depend on the order of arrival.
#[test]
fn float_sums_do_not_stall_on_a_dropped_party() {
    // 1e16 + 1 is 1e16: the sum is 1 only if 1e16 and -1e16 are added before the 1.
    for (first, second) in [(1, 2), (2, 1)] {
        let parts = ["", "f64:10000000000000000", "f64:-10000000000000000"];
        let terms = "hold 900 loss drop";
        check(&format!(
            "
            z @900 reduction r give 0/3 0 sum f64:0 hold 100 loss drop
            a @900 reduction r give {first}/3 0 sum f64:0 {terms}
            b @900 reduction r give {second}/3 0 sum f64:0 {terms} => round 0 f64:0 | z: round 0 f64:0 | a: round 0 f64:0
            a @900 reduction r give {first}/3 1 sum {} {terms}
            after 100
            z2 @900 reduction r give 0/3 1 sum f64:1 {terms}
            b reduction r give {second}/3 1 sum {} {terms} => round 1 f64:1 | a: round 1 f64:1 | z2: round 1 f64:1
            ",
            parts[first], parts[second],
        ));
    }
}

#[test]
fn a_session_that_is_closed_drops_but_does_not_break() {
    check(
        "
        a @900 barrier g wait a/2 hold 900 loss drop
        b barrier g arrive b/2 loss drop               => 0 | a: 0
        a @900 barrier g wait a/2 hold 900 loss drop
        b close                                        => a: 1 | ok
        a barrier h arrive a/2 loss break              => 0
        c @900 barrier h wait c/2 loss break           => 0
        c @900 barrier h wait c/2 loss break
        a close                                        => ok
        c barrier h state                              => round 1 1/2 1 waiting, missing a
        c @900 #4~3 reduction r give 0/2 0 sum i64:1 loss break
        d @900 reduction r give 1/2 0 sum i64:1 loss break     => round 0 i64:2 | c: round 0 i64:2
        d close                                        => ok
        c reduction r state                            => round 1 0/0 0 waiting
        c close                                        => c#2: SessionUnknown | ok
        e barrier h state                              => round 1 0/2 0 waiting, missing a c
        census                                         => 3 objects, 1 sessions, 0 waiters
        ",
    );
}

#[test]
fn a_session_that_expires_is_like_one_that_is_closed() {
    check(
        "
        a open ttl 100                         => ok
        a barrier g arrive a/2 loss drop       => 0
        b @900 barrier g wait b/2 loss drop    => 0
        b @900 barrier g wait b/2 loss drop
        after 100                              => b: 1
        c open ttl 100                         => ok
        c @900 reduction r give 0/2 0 sum i64:1 loss drop
        after 100                              => c: SessionUnknown
        b reduction r give 1/2 0 sum i64:1 loss drop   => round 0 i64:2
        b reduction r give 1/2 1 sum i64:1 loss drop   => round 1 i64:1
        ",
    );
}

/// Deleting an object ends the holds on its seats.
#[test]
fn an_object_is_deleted_while_seats_are_held() {
    check(
        "
        a @900 barrier g wait a/2 hold 100 loss break
        b @900 reduction r give 0/2 0 sum i64:1 hold 100 loss break
        c scope stats          => at 0: 5 updates, 1 reads, 2 objects, 0 named, 3 sessions, 2 waiters, 2 holds
        c delete g             => a: Deleted | true
        c delete r             => b: Deleted | true
        c scope stats          => at 0: 7 updates, 2 reads, 0 objects, 0 named, 3 sessions, 0 waiters, 0 holds
        a @900 barrier g wait a/2 hold 900 loss drop
        after 100
        b barrier g wait b/2 loss drop         => 0 | a: 0
        a object g expire 50                   => true
        after 50
        after 900
        ",
    );
}

#[test]
fn parties_must_agree_on_the_policy() {
    check(
        "
        a barrier g arrive a/2 loss drop               => 0
        b barrier g arrive b/2                         => Mismatch(1,0)
        b barrier g arrive b/2 loss break              => Mismatch(1,2)
        b barrier g reset                              => 1
        b barrier g arrive b/2 loss break              => Mismatch(1,2)
        b barrier g arrive b/2 0                       => Mismatch(1,0)
        a @90 reduction r give 0/2 0 sum i64:1 loss break
        b reduction r give 1/2 0 sum i64:1             => Mismatch(2,0)
        b reduction r give 1/2 0 sum i64:1 loss break  => round 0 i64:2 | a: round 0 i64:2
        b reduction r give 1/2 1 sum i64:1 loss drop   => Mismatch(2,1)
        # A late contribution only reads the result, so its policy does not matter.
        b reduction r give 1/2 0 sum i64:1             => round 0 i64:2
        b reduction r reset                            => 1
        b reduction r give 1/2 1 sum i64:1 loss drop   => Mismatch(2,1)
        b delete r                                     => true
        b reduction r give 0/1 1 sum i64:1 loss drop   => round 1 i64:1
        ",
    );
}

/// With another number of parties, all seats are new and not held.
#[test]
fn seats_end_when_the_number_of_parties_changes() {
    check(
        "
        a @90 reduction r give 0/2 0 sum i64:1 hold 100 loss break
        b reduction r give 1/2 0 sum i64:1 hold 100 loss break => round 0 i64:2 | a: round 0 i64:2
        b @900 reduction r give 1/3 1 sum i64:1 hold 900 loss break
        after 100
        b object r inspect     => reduction v5: round 1, 1 of 3 parties; 1 in line; missing 0 2; b holds 0 by 0 as 1 for 800
        # A late contribution with another number of parties takes no seat.
        a reduction r give 0/2 0 sum i64:1 hold 10 loss break  => round 0 i64:2
        after 10
        b reduction r state    => round 1 1/3 1 waiting, missing 0 2
        ",
    );
}

#[test]
fn a_retried_wait_keeps_its_seat() {
    check(
        "
        a @900 barrier g wait a/2 hold 100 loss break
        a reconnect
        a retry
        b @900 barrier g wait b/2 hold 900 loss break  => 0 | a': 0
        b @900 barrier g wait b/2 hold 900 loss break
        a retry                                        => 0
        # The retry did not extend the seat.
        after 99
        after 1                                        => b: Broken party a is past its deadline
        b barrier g reset                              => 2
        a @900 barrier g wait a/2 hold 50 loss break
        a reconnect
        after 50                                       => a': Broken party a is past its deadline
        a retry                                        => Broken party a is past its deadline
        ",
    );
}

/// Ends take effect in their order, even if the shard is called late.
#[test]
fn ends_take_effect_in_their_order() {
    check(
        "
        a @900 barrier g wait a/2 hold 900 loss drop
        b barrier g arrive b/2 hold 100 loss drop      => 0 | a: 0
        a @101 barrier g wait a/2 hold 900 loss drop
        sleep 500                                          => a: 1
        ",
    );
}
