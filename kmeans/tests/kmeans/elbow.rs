//! `elbow`, and what it draws.

use std::fs;

use serde_json::{Value, json};

use super::{Folder, json, kmeans, text};

fn elbow(arguments: &[&str]) -> Value {
    let output = kmeans(&[&["elbow", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_number_of_clusters_is_a_run_of_its_own() {
    let result = elbow(&["--k", "2..4", "--seed", "3"]);
    let runs = result["runs"].as_array().unwrap();
    let ks: Vec<&Value> = runs.iter().map(|run| &run["k"]).collect();
    assert_eq!(ks, [2, 3, 4]);
    for run in runs {
        let alone = json(&["--k", &run["k"].to_string(), "--seed", "3"]);
        assert_eq!((&run["cost"], &run["iterations"]), (&alone["cost"], &alone["iterations"]));
    }
    assert_eq!((&result["points"], &result["silhouette_sample"]), (&1797.into(), &1797.into()));
}

/// Drawn rows and their clusters are the same for all kinds of workers.
#[test]
fn silhouettes_do_not_depend_on_the_workers() {
    let run = ["--k", "2,5", "--silhouette-sample", "300"];
    let with = |seed: &str, rest: &[&str]| {
        let rest = &[&["--seed", seed], rest].concat()[..];
        let mut runs = elbow(&[&run[..], rest].concat())["runs"].take();
        runs.as_array_mut().unwrap().iter_mut().for_each(|run| run["seconds"] = Value::Null);
        runs
    };
    let runs = |rest: &[&str]| with("7", rest);
    let one = runs(&["--workers", "1"]);
    assert!(one[0]["silhouette"].as_f64().unwrap() > 0.0);
    assert_eq!(runs(&["--workers", "3"]), one);
    assert_eq!(runs(&["--workers", "2", "--backend", "processes"]), one);
    let other = with("8", &["--workers", "1"]);
    assert_ne!(other[0]["silhouette"], one[0]["silhouette"]);
}

#[test]
fn clusters_that_lie_apart_have_the_highest_silhouette() {
    let folder = Folder::new();
    let points = (0..40).map(|i| format!("{}\n", f64::from(i % 4) * 100.0 + f64::from(i) / 40.0));
    let path = folder.file("four.csv", &points.collect::<String>());
    let (page, picture) = (folder.path("elbow.html"), folder.path("elbow.svg"));
    let result = elbow(&["--data", &path, "--k", "1..6", "--report", &page]);
    assert_eq!(result["silhouette_best_k"], 4);
    assert_eq!(result["runs"][0]["silhouette"], Value::Null);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("mean silhouette by number of clusters"));
    assert_eq!(page.matches("<tr><td>").count(), 6);
    let output = kmeans(&["elbow", "--data", &path, "--k", "3", "--report", &picture]);
    assert!(
        text(&output.stdout).contains("silhouettes of all points; the highest is that of k = 3")
    );
    assert!(fs::read_to_string(picture).unwrap().starts_with("<svg"));
    let none = elbow(&["--data", &path, "--k", "2", "--silhouette-sample", "0"]);
    assert_eq!(json!([none["silhouette_sample"], none["silhouette_best_k"]]), json!([0, null]));
}

#[test]
fn elbows_are_refused_in_one_clear_line() {
    let folder = Folder::new();
    let path = folder.file("two.csv", "1\n2\n");
    for (arguments, expected) in [
        (
            ["--k", "2..3", "--data", &path],
            "--k 3 asks for more clusters than there are points (2)",
        ),
        (["--silhouette-sample", "30000", "--k", "2"], "--silhouette-sample: at most 20000 points"),
        (["--report", "elbow.png", "--k", "2"], "choose a name that ends with .svg or .html"),
    ] {
        let output = kmeans(&[&["elbow"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
    let range = kmeans(&["elbow", "--k", "5..2"]);
    assert!(text(&range.stderr).contains("a range of numbers such as 2..10"));
}
