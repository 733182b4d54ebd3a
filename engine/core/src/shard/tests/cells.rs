//! Tests of cells: bytes with a version.

use super::check;

#[test]
fn every_op_of_a_cell() {
    check(
        "
        a cell c get                 => v0
        a cell c newer 0             => v0 seen
        a cell c set hello           => 2
        a cell c get                 => v2 hello
        a cell c newer 1             => v2 hello
        a cell c newer 2             => v2 seen
        a cell c swap goodbye        => v2 hello
        a cell c append !!           => v4 9 long
        a cell c get                 => v4 goodbye!!
        a cell c cas_version 3 x     => v4 kept
        a cell c cas_version 4 x     => v6 swapped
        a cell c cas y z             => v6 kept
        a cell c cas x z             => v8 swapped
        a cell c get                 => v8 z
        a cell c set x*0             => 9
        a cell c append x*0          => v10 0 long
        a cell c newer 9             => v10
        # The version is the position of the last change in the shard's order, not a count.
        b counter other add 1        => 1
        b cell c set last            => 13
        a cell c newer 10            => v13 last
        ",
    );
}

#[test]
fn a_cell_before_its_first_write_can_be_compared() {
    check(
        "
        a cell one cas_version 0 x   => v2 swapped
        a cell two cas x*0 x         => v3 swapped
        a cell three cas y x         => v0 kept
        a cell three cas_version 1 x => v0 kept
        census                       => 2 objects, 1 sessions, 0 waiters
        a cell four swap x           => v0
        a cell four get              => v6 x
        # Versions grow even if the object is created again, so an old one is never valid again.
        a delete one                 => true
        a cell one cas_version 2 y   => v0 kept
        a cell one cas_version 0 y   => v9 swapped
        ",
    );
}

#[test]
fn a_range_of_a_cell_ends_where_the_cell_does() {
    check(
        "
        a cell c set abcdef                    => 2
        a cell c range 0 2                     => v2 ab
        a cell c range 4 2                     => v2 ef
        a cell c range 4 3                     => v2 ef
        a cell c range 1 18446744073709551615  => v2 bcdef
        a cell c range 6 1                     => v2
        a cell c range 7 0                     => OutOfRange(6,7)
        a cell none range 0 9                  => v0
        a cell none range 1 0                  => OutOfRange(0,1)
        ",
    );
}

#[test]
fn a_cell_has_a_largest_size() {
    check(
        "
        a cell c set x*8388608           => 2
        a cell c append x                => TooLarge(8388608,8388609)
        a cell c set y*8388609           => TooLarge(8388608,8388609)
        a cell c cas y y*8388609         => TooLarge(8388608,8388609)
        a cell c cas_version 0 y*8388609 => TooLarge(8388608,8388609)
        a cell c get                     => v2 x*8388608
        ",
    );
}

/// The session has to keep the reply to a swap.
#[test]
fn a_cell_that_is_too_long_to_keep_is_not_swapped() {
    check(
        "
        a cell c set x*65536    => 2
        a cell c swap y         => v2 x*65536
        a retry                 => v2 x*65536
        a cell c set x*65537    => 4
        a cell c swap y         => TooLarge(65536,65537)
        a cell c get            => v4 x*65537
        ",
    );
}

/// A client that has lost its lock without noticing has an older token than the next holder.
#[test]
fn a_stale_token_is_refused() {
    check(
        "
        a cell c set_token t3 one        => 2
        a cell c set_token t3 two        => 3
        b cell c set_token t2.7 late     => StaleToken(t3,t2.7)
        b cell c set_token t3.1 three    => 5
        a cell c set_token t3 late       => StaleToken(t3.1,t3)
        a cell c set_token t4 y*8388609  => TooLarge(8388608,8388609)
        # A write without a token is not refused, and does not reset the highest token.
        a cell c set four                => 6
        a cell c set_token t3 late       => StaleToken(t3.1,t3)
        a cell c get                     => v6 four
        a delete c                       => true
        a cell c set_token t2 five       => 8
        ",
    );
}
