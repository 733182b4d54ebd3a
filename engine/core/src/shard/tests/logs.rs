//! Tests of logs: numbered lines, of which the newest are kept.

use super::check;
use alloc::format;
use alloc::string::String;

#[test]
fn every_op_of_a_log() {
    check(
        r#"
        a log l tail 0 0              => 1:
        a log l tail 9 0              => 1:
        a log l print one             => 1
        a retry                       => 1
        b log l print two             => 2
        b log l print ""              => 3
        b log l print three           => 4
        a log l tail 0 0              => 1: one two "" three
        a log l tail 1 2              => 2: two "" +
        a log l tail 3 2              => 4: three
        a log l tail 4 2              => 5:
        a log l tail 9 2              => 5:
        a log l tail 18446744073709551615 2 => 5:
        a object l inspect            => log v6: 4 lines, 4 kept
        a list l len                  => WrongKind(9,15)
        a delete l                    => true
        a log l print again           => 1
        "#,
    );
}

#[test]
fn a_line_has_a_maximum_size() {
    check(
        "
        a log l print x*4097          => TooLarge(4096,4097)
        census                        => 0 objects, 1 sessions, 0 waiters
        a log l print x*4096          => 1
        a log l tail 0 1              => 1: x*4096
        ",
    );
}

/// A line is UTF-8 text.
#[test]
fn a_line_that_is_not_text_is_refused() {
    // The refusal says which byte is wrong.
    let body = |byte: u8| format!("a raw 3842 l {byte},0,0,0,252,255,255,255,1,0,0,0");
    check(&format!("{} => 1\n{} => BadBody\na log l tail 0 0 => 1: A", body(65), body(255)));
}

#[test]
fn new_lines_replace_the_oldest() {
    let prints: String =
        (1..=4098).map(|line| format!("a log l print {line} => {line}\n")).collect();
    check(&format!(
        "{prints}
        a log l tail 0 2              => 3: 3 4 +
        a log l tail 2 2              => 3: 3 4 +
        a log l tail 4096 0           => 4097: 4097 4098
        a object l inspect            => log v4099: 4098 lines, 4096 kept
        "
    ));
}
