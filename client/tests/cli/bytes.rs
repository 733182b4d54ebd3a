//! Bytes in and out, and values and names that look like something else.

use crate::shell::{Shell, utf8};

#[test]
fn bytes_are_what_they_are() {
    let shell = Shell::new();
    let exactly = |line: &str, printed: &[u8]| {
        let output = shell.output(line);
        assert!(output.status.success(), "`{line}`: {output:?}");
        assert!(output.stdout == printed, "`{line}`: {:?}", utf8(&output.stdout));
    };
    let given = |line: &str, input: &[u8]| {
        let output = shell.given(line, input);
        assert!(output.status.success(), "`{line}`: {output:?}");
        utf8(&output.stdout)
    };
    // All bytes there are, 100,000 of them.
    let large: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    given("cell page set -", &large);
    exactly("cell page get", &large);
    exactly("cell page get --raw", &large);
    given("map users put ada -", &large);
    exactly("map users get ada", &large);
    exactly("map users entries", &[b"ada\t".as_slice(), &large, b"\n"].concat());
    // Items by line, by NUL, or as one.
    assert_eq!(given("list one push -", b"1\n2\n3\n"), "1");
    exactly("list one pop", b"1\n2\n3\n");
    assert_eq!(given("list lines push --lines -", b"1\n2\n\n3"), "4");
    exactly("list lines range", b"1\n2\n\n3\n");
    assert_eq!(given("list nuls push -0 -", b"a\nb\0c\0"), "2");
    exactly("list nuls range -0", b"a\nb\0c\0");
    let many: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(given("list many push --lines -", many.as_bytes()), "10000");
    assert_eq!(given("set seen add --lines -", many.as_bytes()), "10000");
    assert_eq!(given("map pairs put-all --lines -", many.as_bytes()), "5000");
    exactly("list many get 9999", b"9999");
    // Values that look like something else.
    shell.script(
        "
        list odd push @@ada                => 1
        list odd push --literal - @bob     => 3
        list odd push -- -x                => 4
        list odd range                     => @ada | - | @bob | -x
        list odd push @no-such-file        => [2]
        counter -x add 2                   => 2
        counter -x get                     => 2
        inspect --json -x                  => *
        ls -                               => -x
        list len push a                    => 1
        list len len                       => 1
        set members add x                  => 1
        counter -- --json increment        => 1
        counter -- --json get              => 1
        rm -x                              =>
        map words merge the 6              => 6
        map words merge f --op add-f64 1.5 => 1.5
        map words get the --number         => 6
        map words get f --float            => 1.5
        map words take f --float           => 1.5
        map words entries --number         => the\t6
        map words values --number          => 6
        map words first --number           => the\t6
        map words swap the x --number      => 6
        map words get the --number         => [5]
        ",
    );
}
