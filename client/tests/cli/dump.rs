//! Dumps and what is restored from them.

use crate::shell::{Shell, utf8};

#[test]
fn a_dump_is_restored_on_another_engine() {
    let (from, to) = (Shell::new(), Shell::new());
    from.script(
        "
        counter d/counter add -5           => -5
        counter d/zero add 1               => 1
        counter d/zero add -1              => 0
        flag d/flag set true               => true
        cell d/cell set hello              => *
        vector d/vector set --columns 2 1 2.5 -3 1e300 => *
        vector d/integers set --type i64 1 -2 => *
        list d/list push a b c             => 3
        list d/empty push a                => 1
        list d/empty clear                 => 1
        map d/map put-all k1 v1 k2 v2      => 2
        map d/map merge n 7                => 7
        set d/set add x y                  => 2
        future d/future set 42             => true
        future d/cancelled cancel why+not  => true
        log d/log print one                => 1
        semaphore d/semaphore acquire --permits 3 --now => *
        lock d/lock lock                   => *
        cell d/expires set soon            => *
        expire d/expires 1h                => true
        counter other add 1                => 1
        ",
    );
    let many: String = (0..10_000).map(|number| format!("item-{number}\n")).collect();
    assert!(from.given("list d/many push --lines -", many.as_bytes()).status.success());
    let bytes: Vec<u8> = (0..=255).collect();
    assert!(from.given("map d/map put bytes -", &bytes).status.success());
    let dump = from.output("dump d/");
    assert_eq!(dump.status.code(), Some(0), "{dump:?}");
    let complaint = utf8(&dump.stderr);
    assert!(complaint.contains("dumped 16 objects; left out 1 lock"), "{complaint}");

    // A dump that is truncated or damaged changes nothing, and says so.
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("dump");
    let restore = |options: &str, bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("it is written");
        let output = to.output(&format!("restore {options} {}", file.display()));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), utf8(&said))
    };
    let whole = &dump.stdout[..];
    let (code, said) = restore("", &whole[..whole.len() - 10]);
    assert!(code == Some(5) && said.contains("the dump is truncated"), "{said}");
    let mut damaged = whole.to_vec();
    damaged[whole.len() / 2] ^= 1;
    let (code, said) = restore("", &damaged);
    assert!(code == Some(5) && said.contains("is damaged"), "{said}");
    to.check("ls", 0, "");
    assert_eq!(restore("--check", whole), (Some(0), "the dump is whole: 16 objects".to_owned()));
    to.check("ls", 0, "");

    assert_eq!(restore("", whole), (Some(0), "restored 16 objects".to_owned()));
    let again = to.output("dump d/");
    let records = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        // Without checksums and the time left.
        let lines = text.lines().map(|line| line[17..].to_owned());
        let lines = lines.filter(|line| !line.contains("expires_ms"));
        let lines: Vec<String> = lines.filter(|line| !line.contains("\"end\"")).collect();
        lines
    };
    let lock_free = utf8(&again.stderr);
    assert!(lock_free.contains("dumped 16 objects"), "{lock_free}");
    assert_eq!(records(whole), records(&again.stdout));
    let expires = to.json("inspect d/expires")["expires_ms"].as_u64().expect("a time");
    assert!((1..=3_600_000).contains(&expires), "{expires}");
    to.script(
        "
        map d/map get n --number           => 7
        vector d/vector get                => *
        semaphore d/semaphore state        => 3 of 3 free, 0 holding, 0 waiting
        future d/cancelled get             => [6]
        ",
    );
    // What exists is replaced only on request.
    to.check("counter d/counter add 1", 0, "-4");
    let (code, said) = restore("", whole);
    assert!(code == Some(5) && said.contains("exists already"), "{said}");
    to.check("counter d/counter get", 0, "-4");
    assert_eq!(restore("--replace", whole), (Some(0), "restored 16 objects".to_owned()));
    to.check("counter d/counter get", 0, "-5");
    // From a pipe, objects are made as they come.
    let piped = to.given("restore --replace", &whole[..whole.len() - 10]);
    let said = utf8(&piped.stderr);
    assert_eq!(piped.status.code(), Some(5), "{said}");
    assert!(said.contains("then it failed: the dump is truncated"), "{said}");
    assert_eq!(to.given("restore --replace", whole).status.code(), Some(0));
    // Claimed items are not in it, which is said.
    from.check("list d/list claim", 0, "*");
    let dump = from.output("dump d/list");
    assert_eq!(dump.status.code(), Some(1));
    assert!(utf8(&dump.stderr).contains("has items that are claimed"), "{dump:?}");
    let (code, said) = restore("", b"hello\n");
    assert!(code == Some(5) && said.contains("this is not a dump"), "{said}");
}
