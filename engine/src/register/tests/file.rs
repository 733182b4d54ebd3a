//! The register in a directory: between tasks, between processes, and after both die.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Tells a child of these tests which directory to count in, and how far.
const CHILD: &str = "CATENA_TEST_COUNT_IN";
const CLUSTER: &str = "between-processes";

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn it_does_what_every_register_does() {
    let directory = directory();
    // The directory is made when it is needed, with all above it.
    let register = FileRegister::new(&directory.path().join("a/b"), "c");
    run(what_every_register_does(&register));
    let files = std::fs::read_dir(directory.path().join("a/b/c")).expect("a directory");
    let mut names: Vec<_> = files.map(|file| file.expect("a file").file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "config.lock"]);
}

#[test]
fn it_counts() {
    let directory = directory();
    // Each writer opens it for itself, as nodes do.
    let registers = (0..32).map(|_| FileRegister::new(directory.path(), "c")).collect();
    run(count(registers, 4)).assert_exact();
}

#[test]
fn one_of_many_founds_a_cluster() {
    let directory = directory();
    let registers = (0..20).map(|n| FileRegister::new(directory.path(), &format!("c{n}")));
    assert_eq!(run(race_to_create(registers, 32)), [1; 20]);
}

#[test]
fn faults_lose_no_increment_in_a_file() {
    let directory = directory();
    let mut suffered = faulty::Suffered::default();
    for seed in 0..6 {
        let file = FileRegister::new(directory.path(), &format!("c{seed}"));
        let register = Faulty::new(file, Faults::all(), seed);
        let tally = run(count(vec![register.clone(); 8], 4));
        tally.assert_fits(&run(register.landed()), &format!("seed {seed}"));
        suffered.add(register.suffered());
    }
    suffered.assert_each();
}

/// Not a test of its own: what the processes of the next two do.
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

/// A process that does not outlive its test.
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
    run(register.read()).expect("an answer").expect("a record").0.epoch as usize
}

#[test]
fn it_counts_between_processes() {
    let directory = directory();
    let register = FileRegister::new(directory.path(), CLUSTER);
    run(register.create(&founding(CLUSTER, 1))).expect("an outcome");
    let children: Vec<Child> = (0..4).map(|n| spawn_child(n, 25, directory.path())).collect();
    for child in children {
        let output = child.output();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("won 25"), "{text}");
    }
    assert_eq!(epoch(&register), 1 + 100);
}

#[test]
fn writers_that_are_killed_leave_it_whole() {
    let directory = directory();
    let register = FileRegister::new(directory.path(), CLUSTER);
    run(register.create(&founding(CLUSTER, 1))).expect("an outcome");
    let mut before = 1;
    for round in 0..5 {
        let children: Vec<Child> =
            (0..2).map(|n| spawn_child(2 * round + n, usize::MAX, directory.path())).collect();
        let start = Instant::now();
        while epoch(&register) < before + 5 {
            assert!(start.elapsed() < Duration::from_secs(60), "nobody counts");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Killed, wherever they are.
        drop(children);
        let (record, token) = run(register.read()).expect("an answer").expect("a record");
        let next = record.bumped(NodeId(1), "", ChangeId(round as u128)).expect("a bump");
        let outcome = run(register.cas(&token, &next)).expect("an outcome");
        assert!(matches!(outcome, Outcome::Won(_)), "{outcome:?}");
        before = epoch(&register);
    }
}

#[test]
fn a_lock_that_is_held_is_not_waited_for_without_end() {
    let directory = directory();
    let register = FileRegister::new(directory.path(), "c");
    let first = founding("c", 1);
    let Ok(Outcome::Won(token)) = run(register.create(&first)) else { panic!("nobody else") };
    let lock = std::fs::File::open(directory.path().join("c/config.lock")).expect("the lock");
    lock.lock().expect("nobody else");
    let next = first.bumped(NodeId(1), "", ChangeId(2)).expect("a bump");
    let error = run(register.cas(&token, &next)).expect_err("a lock");
    assert!(matches!(error, RegisterError::Locked { .. }), "{error}");
    assert_eq!(run(register.read()).expect("no lock to read").expect("a record").0, first);
    drop(lock);
    let outcome = run(register.cas(&token, &next)).expect("an outcome");
    assert!(matches!(outcome, Outcome::Won(_)), "{outcome:?}");
}

#[test]
fn what_it_cannot_use_it_names() {
    let directory = directory();
    let register = FileRegister::new(directory.path(), "c");
    std::fs::create_dir_all(directory.path().join("c/config.json"))
        .expect("a directory in its place");
    let error = run(register.read()).expect_err("a directory").to_string();
    assert!(error.starts_with("cannot read ") && error.contains("c/config.json"), "{error}");

    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let register = FileRegister::new(&file, "c");
    let error = run(register.create(&founding("c", 1))).expect_err("no directory").to_string();
    assert!(error.starts_with("cannot make ") && error.contains("file/c"), "{error}");

    let register = FileRegister::new(directory.path(), "long");
    std::fs::create_dir(directory.path().join("long")).expect("a directory");
    std::fs::write(directory.path().join("long/config.json"), vec![b' '; 5 << 20]).expect("a file");
    let error = run(register.read()).expect_err("too long");
    assert!(matches!(error, RegisterError::Record(RecordError::TooLong { .. })), "{error}");
}
