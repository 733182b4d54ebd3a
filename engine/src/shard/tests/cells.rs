//! Cells: bytes with a version.

use super::check;

#[test]
fn every_op_of_a_cell() {
    check(
        "
        a cell c get                 => v0
        a cell c newer 0             => v0 seen
        a cell c set hello           => 1
        a cell c get                 => v1 hello
        a cell c newer 0             => v1 hello
        a cell c newer 1             => v1 seen
        a cell c swap goodbye        => v1 hello
        a cell c append !!           => v3 9 long
        a cell c get                 => v3 goodbye!!
        a cell c cas_version 2 x     => v3 kept
        a cell c cas_version 3 x     => v4 swapped
        a cell c cas y z             => v4 kept
        a cell c cas x z             => v5 swapped
        a cell c get                 => v5 z
        a cell c set x*0             => 6
        a cell c append x*0          => v7 0 long
        a cell c newer 6             => v7
        ",
    );
}

#[test]
fn a_cell_that_nobody_wrote_can_be_compared() {
    check(
        "
        a cell one cas_version 0 x   => v1 swapped
        a cell two cas x*0 x         => v1 swapped
        a cell three cas y x         => v0 kept
        a cell three cas_version 1 x => v0 kept
        a cell four swap x           => v0
        a cell four get              => v1 x
        ",
    );
}

#[test]
fn a_range_of_a_cell_ends_where_the_cell_does() {
    check(
        "
        a cell c set abcdef                    => 1
        a cell c range 0 2                     => v1 ab
        a cell c range 4 2                     => v1 ef
        a cell c range 4 3                     => v1 ef
        a cell c range 1 18446744073709551615  => v1 bcdef
        a cell c range 6 1                     => v1
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
        a cell c set x*8388608           => 1
        a cell c append x                => TooLarge(8388608,8388609)
        a cell c set y*8388609           => TooLarge(8388608,8388609)
        a cell c cas y y*8388609         => TooLarge(8388608,8388609)
        a cell c cas_version 0 y*8388609 => TooLarge(8388608,8388609)
        a cell c get                     => v1 x*8388608
        ",
    );
}

/// The session has to keep what a swap answers.
#[test]
fn a_cell_that_is_too_long_to_keep_is_not_swapped() {
    check(
        "
        a cell c set x*65536    => 1
        a cell c swap y         => v1 x*65536
        a retry                 => v1 x*65536
        a cell c set x*65537    => 3
        a cell c swap y         => TooLarge(65536,65537)
        a cell c get            => v3 x*65537
        ",
    );
}
