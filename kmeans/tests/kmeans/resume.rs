//! Jobs with a name, whose driver is killed on the way.

use std::process::Child;

use catena_client::Client;

use super::*;

/// How long a test waits for an event.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A job that takes many rounds.
const JOB: [&str; 6] = ["--k", "40", "--seed", "2", "--workers", "2"];

pub(super) fn spawn(arguments: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.arg("run").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills a driver when its job has completed some rounds.
pub(super) fn kill_in_round(mut driver: Child, engine: &str, name: &str, round: u64) {
    let client = Client::connect(engine).unwrap();
    let end = Instant::now() + WAIT_MAX;
    let is_there = || {
        // Rounds take turns with three objects.
        let steps = (0..3).map(|step| format!("kmeans/{name}/step/{step}"));
        steps
            .filter_map(|step| client.reduction(&step).last().ok())
            .any(|view| view.round() * 3 >= round)
    };
    while !is_there() {
        assert!(Instant::now() < end, "the job never comes to round {round}");
        std::thread::sleep(Duration::from_millis(1));
    }
    driver.kill().unwrap();
    assert!(!driver.wait().unwrap().success(), "the job was not over before its driver was killed");
}

fn objects_of(engine: &str, name: &str) -> Vec<String> {
    let client = Client::connect(engine).unwrap();
    client.objects(&format!("kmeans/{name}/")).map(|object| object.unwrap().name).collect()
}

#[test]
fn a_second_driver_goes_on_where_the_first_was_killed() {
    let folder = Folder::new();
    let data = folder.points();
    let (_engine, engine) = engine();
    let whole = json(&[&["--data", &data], &JOB[..]].concat());
    for backend in ["threads", "processes"] {
        let flags = ["--data", &data, "--engine", &engine, "--backend", backend, "--job", backend];
        let run = [&flags[..], &JOB].concat();
        kill_in_round(spawn(&run), &engine, backend, 6);

        // Other settings are another job, and leave this one as it is.
        let other = kmeans(
            &[&["run"], &flags[..], &["--k", "39", "--seed", "2", "--workers", "2"]].concat(),
        );
        let message = text(&other.stderr);
        let expected = format!("kmeans/{backend} is a job whose k is 40, and here it is 39: ");
        assert!(message.contains(&expected), "{message}");

        let rest = json(&run);
        let before = rest["iterations_before"].as_u64().unwrap();
        let iterations = whole["iterations"].as_u64().unwrap();
        assert!(
            (4..=iterations).contains(&before),
            "{before} of {iterations} rounds were over before"
        );
        let times = rest["seconds_iterations"].as_array().unwrap().len() as u64;
        assert_eq!(times, iterations - before, "only its own rounds have times");
        for field in ["centroids", "cost", "iterations", "sizes"] {
            assert_eq!(rest[field], whole[field], "{field} with {backend}");
        }
        assert_eq!(objects_of(&engine, backend), Vec::<String>::new());
    }
}

/// The results of earlier runs are kept until the last one is over.
#[test]
fn a_second_driver_goes_on_in_the_run_where_the_first_was_killed() {
    let folder = Folder::new();
    let data = folder.points();
    let (_engine, engine) = engine();
    let several = [&["--data", &data, "--n-init", "2"], &JOB[..]].concat();
    let whole = json(&several);
    let run = [&["--engine", &engine, "--job", "two"], &several[..]].concat();
    kill_in_round(spawn(&run), &engine, "two/run-1", 3);
    let rest = json(&run);
    for field in ["centroids", "cost", "seed"] {
        assert_eq!(rest[field], whole[field], "{field}");
    }
    assert_eq!(objects_of(&engine, "two"), Vec::<String>::new());
}

#[test]
fn jobs_that_cannot_be_resumed_are_refused() {
    let refused = |flags: &[&str]| {
        let output = kmeans(&[&["run"], flags].concat());
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let message = refused(&["--job", "a"]);
    assert!(
        message.contains("--job: the job is in an engine that outlives this program"),
        "{message}"
    );
    let message = refused(&["--job", "a/b", "--engine", "127.0.0.1:1"]);
    assert!(message.contains("--job: expected at most 64 letters"), "{message}");
    let run = ["run", "--job", "a", "--engine", "127.0.0.1:1", "--data", "-", "--k", "1"];
    let mut child = Command::new(PROGRAM);
    let child = child.args(run).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"1\n2\n").unwrap();
    let message = text(&child.wait_with_output().unwrap().stderr);
    assert!(message.contains("--job: the points of a pipe cannot be read again"), "{message}");
}
