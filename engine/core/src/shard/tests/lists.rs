//! Tests of lists: byte strings in order, also as a work queue.

use super::check;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;

#[test]
fn every_op_of_a_list() {
    check(
        r#"
        a list l len                  => 0
        a list l get 0                => none
        a list l pop                  => none
        a list l pop_back             => none
        census                        => 0 objects, 1 sessions, 0 waiters
        a list l push b               => 1
        a list l push_front a         => 2
        a list l extend c d b ""      => 6
        a list l len                  => 6
        a list l range 0 0            => 0: a b c d b ""
        a list l get 5                => ""
        a list l get 6                => none
        a list l index b              => at 1
        a list l last_index b         => at 4
        a list l index x              => nowhere
        a list l contains b d ""      => true
        a list l contains b x         => false
        a list l contains             => true
        a list l set 3 D              => d
        a list l insert 6 z           => 7
        a list l insert 0 0           => 8
        a list l range 0 0            => 0: 0 a b c D b "" z
        a list l remove_at 1          => a
        a list l remove b             => true
        a list l remove b             => true
        a list l remove b             => false
        a list l range 0 0            => 0: 0 c D "" z
        a list l pop                  => 0
        a list l pop_back             => z
        a list l extend c c x         => 6
        a list l remove_all c q       => 3
        a list l retain_all x D       => 1
        a list l range 0 0            => 0: D x
        a list l retain_all           => 2
        a list l push x               => 1
        a list l clear                => 1
        a list l len                  => 0
        "#,
    );
}

#[test]
fn a_page_of_a_list_begins_and_ends_as_requested() {
    check(
        r#"
        a list l extend a b c d e     => 5
        a list l range 0 2            => 0: a b +
        a list l range 2 2            => 2: c d +
        a list l range 4 2            => 4: e
        a list l range 5 2            => 5:
        a list l range 18446744073709551615 4294967295 => 5:
        a list none range 7 0         => 0:
        "#,
    );
}

/// A page has at most a mebibyte and 4096 items, but at least one item if there is any.
#[test]
fn a_page_of_a_list_has_a_maximum_size() {
    let push = "a list l push x*61440 => ?\n";
    let pushes: String = (1..=20).map(|len| push.replace('?', &len.to_string())).collect();
    let page = |items: usize| " x*61440".repeat(items);
    check(&format!(
        "{pushes}
        a list l range 0 0     => 0:{} +
        a list l range 17 0    => 17:{}
        a list l range 17 2    => 17:{} +",
        page(17),
        page(3),
        page(2),
    ));
    let items = "i ".repeat(4097);
    check(&format!(
        "a list l extend {items} => 4097
        a list l range 0 5000   => 0:{} +
        a list l range 1 0      => 1:{}",
        " i".repeat(4096),
        " i".repeat(4096),
    ));
}

#[test]
fn indices_out_of_range_are_refused() {
    check(
        r#"
        a list l set 0 x              => OutOfRange
        a list l remove_at 0          => OutOfRange
        a list l insert 1 x           => OutOfRange(1,1)
        census                        => 0 objects, 1 sessions, 0 waiters
        a list l insert 0 x           => 1
        a list l set 1 x              => OutOfRange(1,1)
        a list l insert 2 x           => OutOfRange(2,2)
        a list l remove_at 1          => OutOfRange(1,1)
        a list l set 18446744073709551615 x => OutOfRange(1,18446744073709551615)
        a list l range 0 0            => 0: x
        "#,
    );
}

/// An item that is taken has to fit the reply that a session keeps.
#[test]
fn an_item_of_a_list_has_a_maximum_size() {
    check(
        r#"
        a list l push x*61441         => TooLarge(61440,61441)
        a list l push_front x*61441   => TooLarge(61440,61441)
        a list l extend a x*61441     => TooLarge(61440,61441)
        census                        => 0 objects, 1 sessions, 0 waiters
        a list l push x*61440         => 1
        a list l set 0 y*61441        => TooLarge(61440,61441)
        a list l insert 0 y*61441     => TooLarge(61440,61441)
        a list l pop                  => x*61440
        a retry                       => x*61440
        a list l len                  => 0
        "#,
    );
}

#[test]
fn an_unchanged_list_keeps_its_version() {
    check(
        r#"
        a list l push a               => 1
        a object l inspect            => list v2: 1 items, 0 claimed, 0 waiting
        a list l remove x             => false
        a list l remove_all x y       => 0
        a list l retain_all a         => 0
        a list l extend               => 1
        a list l done t1              => false
        a list l return t1            => false
        a object l inspect            => list v2: 1 items, 0 claimed, 0 waiting
        a list l pop                  => a
        a list l pop                  => none
        a list l try_claim            => none
        a list l clear                => 0
        a @10 list l pop_wait
        b @10 list l claim hold 50
        c object l inspect            => list v9: 0 items, 0 claimed, 2 waiting; 2 in line
        after 10                      => a: Timeout | b: Timeout
        c object l inspect            => list v9: 0 items, 0 claimed, 0 waiting
        "#,
    );
}

#[test]
fn requests_are_served_in_order() {
    check(
        r#"
        a @100 list q pop_wait
        b @100 list q claim
        c @100 list q pop_wait
        d list q try_claim            => none
        d list q pop                  => none
        d object q inspect            => list v2: 0 items, 0 claimed, 3 waiting; 3 in line
        d list q push one             => 0 | a: one
        d list q extend two three four => 1 | b: t11 two | c: three
        d list q range 0 0            => 0: four
        a list q pop_wait             => four
        b list q done t8              => false
        b list q done t8              => false
        "#,
    );
}

#[test]
fn a_wait_that_times_out_does_not_block_the_next() {
    check(
        r#"
        a @10 list q pop_wait
        b @20 list q pop_wait
        c @30 list q claim hold 15
        d @40 list q claim hold 40
        after 10                      => a: Timeout
        a retry                       => Timeout
        # The hold of c ends while it still waits.
        after 5                       => c: Timeout
        after 5                       => b: Timeout
        e list q push x               => 0 | d: t13 x
        after 19
        e list q len                  => 0
        after 1
        e list q len                  => 1
        "#,
    );
}

#[test]
fn a_retry_keeps_its_position_in_the_queue() {
    check(
        r#"
        a @100 list q pop_wait
        b @100 list q pop_wait
        a reconnect
        a retry
        a retry
        census                        => 1 objects, 2 sessions, 2 waiters
        c list q push one             => 0 | a': one
        c list q push two             => 0 | b: two
        a retry                       => one
        b retry                       => two
        c list q push three           => 1
        b reconnect
        b retry                       => two
        c list q len                  => 1
        "#,
    );
}

#[test]
fn a_claimed_item_is_done_or_returned() {
    check(
        r#"
        a list q extend one two three => 3
        a list q claim hold 50        => t3 one
        b list q try_claim hold 80    => t5 two
        c list q claim                => t7 three
        c list q len                  => 0
        c object q inspect            => list v7: 0 items, 3 claimed, 0 waiting; a holds 1 by t3 for 50; b holds 1 by t5 for 80; c holds 1 by t7 as it lives
        a list q done t3              => true
        after 50
        # Items that are done are gone; the other claims stay.
        c list q len                  => 0
        b list q return t5            => true
        b list q return t5            => false
        b list q done t5              => false
        c list q get 0                => two
        b list q claim hold 20        => t12 two
        after 20
        c list q range 0 0            => 0: two
        b list q done t11             => false
        c list q return t6            => false
        c list q range 0 0            => 0: two
        "#,
    );
}

/// Items of ended claims go to waiting requests, or to the front in their former order.
#[test]
fn claimed_items_return_when_their_session_ends() {
    check(
        r#"
        a open ttl 100                => ok
        b list q extend one two three four => 4
        a list q claim                => t4 one
        a list q claim hold 500       => t5 two
        a list q claim                => t6 three
        b list q range 0 0            => 0: four
        after 100
        b list q range 0 0            => 0: one two three four
        b list q claim                => t11 one
        b list q clear                => 3
        c @900 list q pop_wait
        d @900 list q claim hold 10
        b close                       => c: one | ok
        e list q push five            => 0 | d: t20 five
        after 10
        e list q range 0 0            => 0: five
        census                        => 1 objects, 3 sessions, 0 waiters
        "#,
    );
}

#[test]
fn a_session_that_ends_leaves_the_queue() {
    check(
        r#"
        a @900 list q claim hold 500
        a @900 #2~2 list q pop_wait
        b @900 list q pop_wait
        a close                       => a: SessionUnknown | a#1: SessionUnknown | ok
        c list q push x               => 0 | b: x
        c object q inspect            => list v10: 0 items, 0 claimed, 0 waiting
        "#,
    );
}

#[test]
fn deleting_a_list_ends_its_waits_and_claims() {
    check(
        r#"
        a list q push one             => 1
        a list q claim hold 50        => t3 one
        b @900 list q pop_wait
        c @900 list q claim hold 50
        d delete q                    => b: Deleted | c: Deleted | true
        census                        => 0 objects, 4 sessions, 0 waiters
        a list q done t3              => false
        b retry                       => Deleted
        after 1000
        census                        => 0 objects, 4 sessions, 0 waiters
        d scope stats                 => at 1000000: 10 updates, 1 reads, 0 objects, 0 named, 4 sessions, 0 waiters, 0 holds
        "#,
    );
}
