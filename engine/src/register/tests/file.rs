//! The register in a directory: between tasks, between processes, and after processes were killed.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Tells a child process of these tests in which directory to count, and how far.
const CHILD: &str = "CATENA_TEST_COUNT_IN";
const CLUSTER: &str = "between-processes";

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn it_keeps_the_contract() {
    let directory = directory();
    // The first write creates the directory with its parents.
    let register = FileRegister::new(&directory.path().join("a/b"), "c");
    run(check_register(&register));
    let files = std::fs::read_dir(directory.path().join("a/b/c")).expect("a directory");
    let mut names: Vec<_> = files.map(|file| file.expect("a file").file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "config.lock"]);
}

#[test]
fn it_counts() {
    let directory = directory();
    // Each writer opens the register itself, as nodes do.
    let registers = (0..32).map(|_| FileRegister::new(directory.path(), "c")).collect();
    run(count(registers, 4)).assert_exact();
}

#[test]
fn one_of_many_creates_a_cluster() {
    let directory = directory();
    let registers = (0..20).map(|n| FileRegister::new(directory.path(), &format!("c{n}")));
    assert_eq!(run(race_to_create(registers, 32)), [1; 20]);
}

#[test]
fn faults_lose_no_increment_in_a_file() {
    let directory = directory();
    let mut counts = faulty::FaultCounts::default();
    for seed in 0..6 {
        let file = FileRegister::new(directory.path(), &format!("c{seed}"));
        let register = FaultyRegister::new(file, Faults::all(), seed);
        let tally = run(count(vec![register.clone(); 8], 4));
        tally.assert_fits(&run(register.landed()), &format!("seed {seed}"));
        counts.add(register.counts());
    }
    counts.assert_each();
}

/// The body of the child processes of the next two tests, not a test of its own.
#[test]
fn child_that_counts() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let (number, rest) = task.split_once(' ').expect("a number");
    let (each, directory) = rest.split_once(' ').expect("a count");
    let number: u128 = number.parse().expect("a number");
    let register = FileRegister::new(Path::new(directory), CLUSTER);
    let each = each.parse().expect("a count");
    let tally = run(counter::write(&register, 100 + number, each));
    println!("won {}", tally.won.len());
}

/// A process that is killed at the end of its test.
struct Child(Option<std::process::Child>);

impl Child {
    fn output(mut self) -> Output {
        let child = self.0.take().expect("a process until its output is taken");
        child.wait_with_output().expect("an exit")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn_child(number: usize, each: usize, directory: &Path) -> Child {
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "register::tests::file::child_that_counts", "--nocapture"])
        .env(CHILD, format!("{number} {each} {}", directory.display()))
        .stdout(Stdio::piped())
        .spawn();
    Child(Some(child.expect("a process")))
}

fn epoch(register: &FileRegister) -> usize {
    run(register.read()).expect("a result").expect("a record").0.epoch as usize
}

#[test]
fn it_counts_between_processes() {
    let directory = directory();
    let register = FileRegister::new(directory.path(), CLUSTER);
    run(register.create(&first_record(CLUSTER, 1))).expect("an outcome");
    let children: Vec<Child> = (0..4).map(|n| spawn_child(n, 25, directory.path())).collect();
    for child in children {
        let output = child.output();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("won 25"), "{text}");
    }
    assert_eq!(epoch(&register), 1 + 100);
}

#[test]
fn killed_writers_leave_the_register_intact() {
    let directory = directory();
    let register = FileRegister::new(directory.path(), CLUSTER);
    run(register.create(&first_record(CLUSTER, 1))).expect("an outcome");
    let mut before = 1;
    for round in 0..5 {
        let children: Vec<Child> =
            (0..2).map(|n| spawn_child(2 * round + n, usize::MAX, directory.path())).collect();
        let start = Instant::now();
        while epoch(&register) < before + 5 {
            assert!(start.elapsed() < Duration::from_secs(60), "no process counts");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Kills them at an arbitrary point.
        drop(children);
        let (record, token) = run(register.read()).expect("a result").expect("a record");
        let next = record.bumped(NodeId(1), "", ChangeId(round as u128)).expect("a bump");
        let outcome = run(register.cas(&token, &next)).expect("an outcome");
        assert!(matches!(outcome, StoreOutcome::Won(_)), "{outcome:?}");
        before = epoch(&register);
    }
}

#[test]
fn a_held_lock_is_an_error_after_a_timeout() {
    let directory = directory();
    let register = FileRegister::new(directory.path(), "c");
    let first = first_record("c", 1);
    let Ok(StoreOutcome::Won(token)) = run(register.create(&first)) else {
        panic!("there is no other writer")
    };
    let lock = std::fs::File::open(directory.path().join("c/config.lock")).expect("the lock");
    lock.lock().expect("no other writer");
    let next = first.bumped(NodeId(1), "", ChangeId(2)).expect("a bump");
    let error = run(register.cas(&token, &next)).expect_err("a lock");
    assert!(matches!(error, RegisterError::Locked { .. }), "{error}");
    assert_eq!(run(register.read()).expect("reading takes no lock").expect("a record").0, first);
    drop(lock);
    let outcome = run(register.cas(&token, &next)).expect("an outcome");
    assert!(matches!(outcome, StoreOutcome::Won(_)), "{outcome:?}");
}

#[test]
fn errors_name_the_file() {
    let directory = directory();
    let register = FileRegister::new(directory.path(), "c");
    std::fs::create_dir_all(directory.path().join("c/config.json"))
        .expect("a directory in its place");
    let error = run(register.read()).expect_err("a directory").to_string();
    assert!(error.starts_with("cannot read ") && error.contains("c/config.json"), "{error}");

    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let register = FileRegister::new(&file, "c");
    let error = run(register.create(&first_record("c", 1))).expect_err("no directory").to_string();
    assert!(error.starts_with("cannot create ") && error.contains("file/c"), "{error}");

    let register = FileRegister::new(directory.path(), "long");
    std::fs::create_dir(directory.path().join("long")).expect("a directory");
    std::fs::write(directory.path().join("long/config.json"), vec![b' '; 5 << 20]).expect("a file");
    let error = run(register.read()).expect_err("too long");
    assert!(matches!(error, RegisterError::Record(RecordError::TooLong { .. })), "{error}");
}
