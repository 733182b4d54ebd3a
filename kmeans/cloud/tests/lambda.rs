//! The example `pi` as driver and function, through the real SDK and runtime, against a stand-in
//! for Lambda.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::process::Command;

use catena_lambda_stand_in::{Function, StandIn};

/// The example, which cargo builds before this test runs, unless only this test is built.
fn pi() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let path = deps.ancestors().nth(2).unwrap().join("examples/pi");
    let output = Command::new(&path).arg("?").output();
    let is_built = output
        .is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("or lambda:NAME?"));
    assert!(is_built, "first: cargo build -p catena-cloud --features lambda --example pi");
    path
}

/// Runs the example and returns what it prints after the name of the back end.
fn run(arguments: &[&str]) -> String {
    let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    let output = Command::new(pi()).args(arguments).envs(keys).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout).unwrap();
    line.rsplit_once("threw ").unwrap().1.to_string()
}

#[test]
fn functions_give_the_same_result_in_all_back_ends() {
    // Fewer environments than calls: invocations that are throttled are repeated.
    let function = Function { concurrency: 3, ..Function::new(pi()) };
    let lambda = StandIn::start([("pi", function)]);
    let url = lambda.endpoint_url();
    let threads = run(&["threads"]);
    assert_eq!(run(&["processes"]), threads);
    assert_eq!(run(&["lambda:pi", &url]), threads);
    assert_eq!(lambda.reports().len(), 8);
}
