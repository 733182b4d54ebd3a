//! Tests of sets: byte strings, each at most once, in the order of their bytes.

use super::check;

#[test]
fn every_op_of_a_set() {
    check(
        r#"
        a set s len                   => 0
        a set s has x                 => false
        a set s has_all               => true
        a set s has_all x             => false
        a set s scan keys             => 0:
        a set s remove x              => false
        census                        => 0 objects, 1 sessions, 0 waiters
        a set s add b                 => true
        a set s add b                 => false
        a set s add_all c a b d a ""  => 4
        a set s len                   => 5
        a set s scan keys             => 0: "" a b c d
        a set s has ""                => true
        a set s has e                 => false
        a set s has_all a b c         => true
        a set s has_all a b e         => false
        a set s remove b              => true
        a set s remove b              => false
        a set s remove_all a a x      => 1
        a set s retain_all c d d x    => 1
        a set s scan keys             => 0: c d
        a set s clear                 => 2
        a set s clear                 => 0
        a set s len                   => 0
        "#,
    );
}

#[test]
fn a_scan_of_a_set_goes_in_both_directions() {
    check(
        r#"
        a set s add_all a b c d e     => 5
        a set s scan keys limit 2                 => 0: a b +
        a set s scan keys limit 2 after b         => 0: c d +
        a set s scan keys limit 2 after d         => 0: e
        a set s scan keys reverse limit 2         => 0: e d +
        a set s scan keys reverse limit 2 before d => 0: c b +
        a set s scan keys from b to d             => 0: b c d
        a set s scan keys after b before d        => 0: c
        a set s scan keys from bb to cc           => 0: c
        a set s scan keys from d to b             => 0:
        a set s scan keys after b before b        => 0:
        a set s scan keys from b to b             => 0: b
        a set s scan keys from b before b         => 0:
        a set s scan keys from x                  => 0:
        a set s scan values                       => BadArgument(0,1)
        a set s scan entries                      => BadArgument(0,2)
        a set none scan values                    => BadArgument(0,1)
        "#,
    );
}

#[test]
fn a_member_has_a_maximum_size() {
    check(
        r#"
        a set s add x*4097            => TooLarge(4096,4097)
        a set s add_all a x*4097      => TooLarge(4096,4097)
        census                        => 0 objects, 1 sessions, 0 waiters
        a set s add x*4096            => true
        a set s has x*4096            => true
        a set s has x*4097            => false
        a set s remove x*4097         => false
        "#,
    );
}

#[test]
fn an_unchanged_set_keeps_its_version() {
    check(
        r#"
        a set s add x                 => true
        a set s add x                 => false
        a set s add_all x x           => 0
        a set s remove y              => false
        a set s retain_all x y        => 0
        a object s inspect            => set v2: 1 members
        a set s add y                 => true
        a object s inspect            => set v7: 2 members
        "#,
    );
}

/// A page continues where the one before ended, whatever was inserted or removed in between.
#[test]
fn a_scan_continues_while_members_change() {
    check(
        r#"
        a set s add_all b d f h       => 4
        a set s scan keys limit 2     => 0: b d +
        b set s add_all a c e         => 3
        b set s remove d              => true
        a set s scan keys limit 2 after d => 0: e f +
        b set s clear                 => 6
        a set s scan keys limit 2 after f => 0:
        "#,
    );
}
