//! Tests of vectors: rows × columns of numbers with a version.

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

#[test]
fn rows_are_read_and_added_to() {
    check(
        "
        a vector v rows 0 1            => Absent
        a vector v add_rows 0 i64:1,2  => Absent
        census                         => 0 objects, 1 sessions, 0 waiters
        a vector v set 2 i64:1,2,3,4,5,6 => 2
        a vector v rows 0 1            => v2 2 wide i64:1,2
        a vector v rows 1 2            => v2 2 wide i64:3,4,5,6
        a vector v rows 3 0            => v2 2 wide i64:
        a vector v rows 2 2            => OutOfRange(3,4)
        a vector v rows 4 0            => OutOfRange(3,4)
        a vector v rows 4294967295 4294967295 => OutOfRange(3,8589934590)
        a vector v add_rows 1 i64:10,20 => 3
        a vector v add_rows 1 i64:100,200,300,400 => 4
        a vector v get                 => v4 2 wide i64:1,2,113,224,305,406
        a vector v add_rows 2 i64:1,1,1,1 => OutOfRange(3,4)
        a vector v add_rows 4294967295 i64:1,1 => OutOfRange(3,4294967296)
        a vector v add_rows 0 i64:1,1,1 => Mismatch(2,3)
        a vector v add_rows 0 f64:1,1  => Mismatch(2,0)
        a vector v add_rows 2 i64:0,9223372036854775807 => Overflow
        a vector v get                 => v4 2 wide i64:1,2,113,224,305,406
        ",
    );
}

#[test]
fn a_vector_is_scaled_and_summed() {
    check(
        "
        a vector v scale i64:2         => Absent
        a vector v sum                 => Absent
        a vector v dot i64:1           => Absent
        a vector v set 1 i64:1,-2,3    => 2
        a vector v sum                 => i64:2
        a vector v dot i64:1,2,3       => i64:6
        a vector v scale i64:-3        => 3
        a vector v get                 => v3 1 wide i64:-3,6,-9
        a vector v scale f64:2         => Mismatch(2,0)
        a vector v dot f64:1,2,3       => Mismatch(2,0)
        a vector v dot i64:1,2         => Mismatch(3,2)
        a vector v set 1 f32:0.5,1.5   => 4
        a vector v scale f32:3         => 5
        a vector v sum                 => f32:6
        a vector v dot f32:2,2         => f32:12
        # Float sums are in the order of the elements.
        a vector v set 1 f64:1e16,1,-1e16,1 => 6
        a vector v sum                 => f64:1
        a vector v dot f64:1,1,1,1     => f64:1
        a vector v scale f64:NaN       => 7
        a vector v sum                 => f64:NaN
        ",
    );
}

#[test]
fn what_would_overflow_is_refused() {
    check(
        "
        a vector v set 1 i64:9223372036854775807,1 => 2
        a vector v sum                 => Overflow
        a vector v dot i64:2,1         => Overflow
        a vector v dot i64:1,1         => Overflow
        a vector v dot i64:1,-1        => i64:9223372036854775806
        a vector v scale i64:2         => Overflow
        a vector v scale i64:-1        => 3
        a vector v scale i64:-1        => 4
        a vector v get                 => v4 1 wide i64:9223372036854775807,1
        a vector v set 1 i64:-9223372036854775808 => 5
        a vector v scale i64:-1        => Overflow
        ",
    );
}
