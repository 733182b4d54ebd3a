//! Tests of reductions: all-reduce, round after round.

use super::check;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

#[test]
fn all_parties_get_the_result() {
    check(
        "
        a reduction r last                         => Absent
        a reduction r state                        => round 0 0/0 0 waiting
        a @100 reduction r give 0/3 5 sum i64:1,2
        c @100 reduction r give 2/3 5 sum i64:10,20
        c reduction r state                        => round 5 2/3 2 waiting, missing 1
        c reduction r last                         => Absent
        b reduction r give 1/3 5 sum i64:100,200   => round 5 i64:111,222 | a: round 5 i64:111,222 | c: round 5 i64:111,222
        b reduction r last                         => round 5 i64:111,222
        b reduction r state                        => round 6 0/0 0 waiting
        # The next round may have other parties, another operator and another type.
        b reduction r give 0/1 6 max f64:1         => round 6 f64:1
        b reduction r last                         => round 6 f64:1
        ",
    );
}

#[test]
fn sums_means_and_extremes() {
    let rounds = [
        ("sum", "f64:1,-0", "f64:2,-0", "f64:3,-0"),
        ("sum", "f32:1,NaN", "f32:2,1", "f32:3,NaN"),
        ("sum", "i64:1,-5", "i64:2,5", "i64:3,0"),
        ("mean", "f64:1,5", "f64:2,0", "f64:1.5,2.5"),
        ("mean", "f32:1,5", "f32:2,0", "f32:1.5,2.5"),
        ("min", "f64:1,NaN", "f64:-2,1", "f64:-2,NaN"),
        ("min", "i64:1,7", "i64:-2,9", "i64:-2,7"),
        ("max", "f32:1,2", "f32:-2,NaN", "f32:1,NaN"),
        ("max", "i64:1,7", "i64:-2,9", "i64:1,9"),
        ("min", "f64:-0,0", "f64:0,-0", "f64:-0,-0"),
        ("max", "f32:-0,0", "f32:0,-0", "f32:0,0"),
        ("sum", "i64:", "i64:", "i64:"),
    ];
    for (op, one, two, result) in rounds {
        for (first, second) in [(0, 1), (1, 0)] {
            let parts = [one, two];
            check(&format!(
                "
                a @100 reduction r give {first}/2 0 {op} {}
                b reduction r give {second}/2 0 {op} {} => round 0 {result} | a: round 0 {result}
                ",
                parts[first], parts[second],
            ));
        }
    }
}

/// These float sums depend on the order of adding, so the order must be fixed.
#[test]
fn a_float_sum_does_not_depend_on_the_order_of_arrival() {
    let parts = ["f64:1e16,0.1", "f64:1,0.2", "f64:-1e16,0.3", "f64:1,0.7"];
    let result = "f64:1,1.3";
    for order in permutations(4) {
        let mut steps = String::new();
        for (place, seat) in order.iter().enumerate() {
            let give = format!("@100 reduction r give {seat}/4 0 sum {}", parts[*seat]);
            steps += &match place {
                3 => format!("d {give} => round 0 {result}"),
                _ => format!("{} {give}\n", ["a", "b", "c"][place]),
            };
        }
        for waiting in ["a", "b", "c"] {
            steps += &format!(" | {waiting}: round 0 {result}");
        }
        check(&steps);
    }
}

#[test]
fn a_repeated_contribution_changes_nothing() {
    check(
        "
        a @10 reduction r give 0/2 0 sum i64:1
        after 10                                 => a: Timeout 1/2, missing 1
        a reduction r state                      => round 0 1/2 0 waiting, missing 1
        # The party is restarted and contributes again: its first contribution counts.
        b @100 reduction r give 0/2 0 sum i64:50
        c reduction r give 1/2 0 sum i64:2       => round 0 i64:3 | b: round 0 i64:3
        # A late contribution gets the result of the last round, whatever its arguments.
        a reduction r give 0/2 0 sum i64:9       => round 0 i64:3
        d reduction r give 1/7 0 max f64:9       => round 0 i64:3
        d reduction r state                      => round 1 0/0 0 waiting
        ",
    );
}

#[test]
fn contributions_must_match() {
    check(
        "
        a reduction r give 2/2 0 sum i64:1          => OutOfRange(2,2)
        a reduction r give 0/0 0 sum i64:1          => BadArgument(65536,0)
        a reduction r give 0/65537 0 sum i64:1      => BadArgument(65536,65537)
        a reduction r give 0/2 0 mean i64:1         => BadArgument
        a reduction r give 0/2 0 sum f64:0*1048577  => TooLarge(8388608,8388616)
        a reduction r state                         => round 0 0/0 0 waiting
        a @100 reduction r give 0/2 7 sum i64:1,2
        b reduction r give 1/3 7 sum i64:1,2        => Mismatch(2,3)
        b reduction r give 1/2 7 max i64:1,2        => Mismatch(0,3)
        b reduction r give 1/2 7 sum i64:1          => Mismatch(2,1)
        b reduction r give 1/2 7 sum f64:1,2        => Mismatch(2,0)
        b reduction r give 1/2 6 sum i64:1,2        => WrongRound(7,6)
        b reduction r give 1/2 8 sum i64:1,2        => WrongRound(7,8)
        b reduction r give 1/2 7 sum i64:1,1        => round 7 i64:2,3 | a: round 7 i64:2,3
        b reduction r give 1/2 6 sum i64:1,1        => WrongRound(8,6)
        b reduction r give 1/2 9 sum i64:1,1        => WrongRound(8,9)
        ",
    );
}

/// Contributions ahead of their turn must match as well.
#[test]
fn early_contributions_must_match() {
    check(
        "
        a @100 reduction r give 2/3 0 sum f64:1,2
        b reduction r give 1/3 0 sum f64:1          => Mismatch(2,1)
        b reduction r give 0/3 0 sum i64:1,2        => Mismatch(0,2)
        b @100 reduction r give 1/3 0 sum f64:1,1
        c reduction r give 0/3 0 sum f64:0,0        => round 0 f64:2,3 | a: round 0 f64:2,3 | b: round 0 f64:2,3
        ",
    );
}

#[test]
fn a_sum_of_integers_that_would_overflow_is_refused() {
    check(
        "
        a @100 reduction r give 0/2 0 sum i64:9223372036854775807
        b reduction r give 1/2 0 sum i64:1    => Overflow
        # The refused contribution does not count, so the party may send another one.
        b reduction r state                   => round 0 1/2 1 waiting, missing 1
        b reduction r give 1/2 0 sum i64:0    => round 0 i64:9223372036854775807 | a: round 0 i64:9223372036854775807
        ",
    );
}

/// The highest round number is refused, because there is no round after it.
#[test]
fn rounds_have_a_highest_number() {
    check(
        "
        a reduction r give 0/1 18446744073709551615 sum i64:1 => BadArgument(18446744073709551614,18446744073709551615)
        a reduction r give 0/1 18446744073709551614 sum i64:1 => round 18446744073709551614 i64:1
        a reduction r give 0/1 18446744073709551614 sum i64:1 => round 18446744073709551614 i64:1
        a reduction r give 0/1 18446744073709551615 sum i64:1 => BadArgument(18446744073709551614,18446744073709551615)
        a reduction r state                                   => round 18446744073709551615 0/0 0 waiting
        ",
    );
}

#[test]
fn at_most_64_missing_seats_are_named() {
    check(
        "
        a reduction r give 3/100 0 sum i64:1
        after 0  => a: Timeout 1/100, missing 64 named
        ",
    );
}

/// Returns all permutations of the numbers below `n`.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    (0..n).fold(vec![Vec::new()], |shorter, next| {
        let inserted = |at: usize, order: &Vec<usize>| {
            let mut order = order.clone();
            order.insert(at, next);
            order
        };
        shorter
            .iter()
            .flat_map(|order| (0..=order.len()).map(move |at| inserted(at, order)))
            .collect()
    })
}
