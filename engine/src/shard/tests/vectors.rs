//! Vectors: rows × columns of numbers with a version.

use super::check;

#[test]
fn every_op_of_a_vector() {
    check(
        "
        a vector v get                => Absent
        a vector v newer 0            => Absent
        a vector v init 2 i64:1,2,3,4 => 2
        a vector v get                => v2 2 wide i64:1,2,3,4
        a vector v init 2 i64:9,9,9,9 => 2
        a vector v add i64:1,1,1,1    => 4
        a vector v newer 4            => v4 seen
        a vector v newer 3            => v4 2 wide i64:2,3,4,5
        a vector v set 3 f64:.5,1,-0  => 5
        a vector v get                => v5 3 wide f64:0.5,1,-0
        a vector v add f64:.5,.5,-0   => 6
        a vector v get                => v6 3 wide f64:1,1.5,-0
        a vector v set 1 f32:1.5,NaN  => 7
        a vector v add f32:1,1        => 8
        a vector v get                => v8 1 wide f32:2.5,NaN
        a vector w add f32:1,2        => 9
        a vector w get                => v9 2 wide f32:1,2
        ",
    );
}

#[test]
fn shapes_have_to_agree() {
    check(
        "
        a vector v init 0 i64:1       => BadArgument(1,0)
        a vector v init 1 i64:        => BadArgument(0,1)
        a vector v init 2 i64:1,2,3   => BadArgument(3,2)
        a vector v add i64:           => BadArgument
        a vector v get                => Absent
        a vector v set 2 i64:1,2      => 2
        a vector v init 1 i64:1,2     => Mismatch(2,1)
        a vector v init 2 i64:1,2,3,4 => Mismatch(2,4)
        a vector v init 2 f64:1,2     => Mismatch(2,0)
        a vector v add i64:1          => Mismatch(2,1)
        a vector v add f32:1,2        => Mismatch(2,1)
        a vector v set 3 i64:1,2      => BadArgument(2,3)
        a vector v set 0 i64:         => BadArgument
        a vector v get                => v2 2 wide i64:1,2
        ",
    );
}

#[test]
fn a_vector_that_would_overflow_stays_as_it_is() {
    check(
        "
        a vector v set 2 i64:1,9223372036854775807  => 2
        a vector v add i64:1,1                      => Overflow
        a vector v get                              => v2 2 wide i64:1,9223372036854775807
        a vector v set 1 f64:1.7976931348623157e308 => 3
        a vector v add f64:1.7976931348623157e308   => 4
        a vector v get                              => v4 1 wide f64:inf
        ",
    );
}

#[test]
fn a_vector_has_a_largest_size() {
    check(
        "
        a vector v set 1 f64:0*1048577     => TooLarge(8388608,8388616)
        a vector v add f32:0*2097153       => TooLarge(8388608,8388612)
        a vector v init 1048576 i64:7*1048576 => 2
        a vector v add i64:1*1048576       => 3
        a vector v get                     => v3 1048576 wide i64:8*1048576
        ",
    );
}
