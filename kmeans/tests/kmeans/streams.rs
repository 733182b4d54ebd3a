//! Pipes and standard streams as data and as results, and what is left out of a folder.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::{Folder, PROGRAM, json, kmeans, text};

fn with_input(arguments: &[&str], input: impl Into<Stdio>) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

/// Writes to a pipe while the program reads it.
fn with_piped(arguments: &[&str], input: &[u8]) -> Output {
    let (reader, mut writer) = std::io::pipe().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(input).unwrap());
        with_input(arguments, reader)
    })
}

#[test]
fn points_come_from_a_file_that_is_standard_input() {
    let folder = Folder::new();
    let path = folder.file("points", "x\n1\n2\n6\n");
    for name in ["-", "/dev/stdin", "/proc/self/fd/0"] {
        let run = ["run", "--json", "--data", name, "--k", "1", "--backend", "processes"];
        let output = with_input(&run, File::open(&path).unwrap());
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&result["points"], &result["centroids"][0][0]), (&3.into(), &3.0.into()));
    }
    let run = ["run", "--data", "-", "--k", "1"];
    let said = text(&with_piped(&run, b"1\n2\n").stdout);
    assert!(said.starts_with("standard input: 2 points of 1 numbers"), "{said}");
}

#[test]
fn points_and_centroids_come_from_named_pipes() {
    let folder = Folder::new();
    let (data, init) = (folder.path("points.csv"), folder.path("init"));
    for name in [&data, &init] {
        assert!(Command::new("mkfifo").arg(name).status().unwrap().success());
    }
    let output = thread::scope(|scope| {
        scope.spawn(|| fs::write(&data, "1\n2\n50\n51\n").unwrap());
        scope.spawn(|| fs::write(&init, "0\n60\n").unwrap());
        kmeans(&["run", "--json", "--data", &data, "--init", &init, "--k", "2"])
    });
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["centroids"], json!([[1.5], [50.5]]));
    assert_eq!(result["reading"]["data"], data.as_str());
}

/// What bash makes of `<(…)`.
#[test]
fn points_come_from_a_substituted_process() {
    let script = format!("'{PROGRAM}' run --json --k 1 --data <(printf '1,2\\n3,4\\n')");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["centroids"], json!([[2.0, 3.0]]));
}

#[test]
fn arrays_come_from_a_pipe() {
    let folder = Folder::new();
    let points = fs::read(folder.points()).unwrap();
    let run = ["run", "--json", "--data", "-", "--k", "2", "--iterations", "1"];
    let result: Value = serde_json::from_slice(&with_piped(&run, &points).stdout).unwrap();
    assert_eq!((&result["points"], &result["dims"]), (&20_000.into(), &16.into()));
}

#[test]
fn results_go_to_standard_output() {
    let folder = Folder::new();
    let path = folder.file("points.csv", "1\n2\n50\n51\n");
    let run = ["run", "--data", &path, "--k", "2", "--init", "first"];
    let output = kmeans(&[&run[..], &["--out", "-"]].concat());
    assert_eq!(text(&output.stdout), "1.5\n50.5\n");
    assert!(text(&output.stderr).contains("points.csv: 4 points of 1 numbers"));
    let output = kmeans(&[&run[..], &["--assignments", "-"]].concat());
    assert_eq!(text(&output.stdout), "0\n0\n1\n1\n");
    let model = text(&kmeans(&[&run[..], &["--model", "-"]].concat()).stdout);
    assert_eq!(serde_json::from_str::<Value>(&model).unwrap()["sizes"], json!([2, 2]));
    let generated = kmeans(&["generate", "--points", "3", "--dims", "2", "--out", "-"]);
    assert_eq!(text(&generated.stdout).lines().count(), 3);
    let several = kmeans(&["generate", "--points", "3", "--out", "-", "--parts", "2"]);
    assert!(text(&several.stderr).contains("--parts: standard output is one file"));
    assert!(!std::path::Path::new("-").exists());
}

/// Every command, and every way to print.
#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_not() {
    let folder = Folder::new();
    let path = folder.file("points.csv", "1\n2\n50\n51\n");
    let model = folder.path("model.json");
    let run = ["run", "--data", &path, "--k", "2"];
    assert!(kmeans(&[&run[..], &["--model", &model]].concat()).status.success());
    for arguments in [
        run.to_vec(),
        [&run[..], &["--json"]].concat(),
        [&run[..], &["--out", "-"]].concat(),
        vec!["predict", "--model", &model, "--data", &path],
        vec!["generate", "--points", "9", "--out", "-"],
        vec!["--help"],
        vec!["--version"],
    ] {
        let to = |stdout: Stdio| Command::new(PROGRAM).args(&arguments).stdout(stdout).output();
        let full = to(File::options().write(true).open("/dev/full").unwrap().into()).unwrap();
        assert_eq!(full.status.code(), Some(1), "{arguments:?}");
        let message = text(&full.stderr);
        let expected = "catena-kmeans: standard output: No space left on device";
        assert!(message.lines().any(|line| line.starts_with(expected)), "{arguments:?}: {message}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = to(writer.into()).unwrap();
        assert_eq!(closed.status.code(), Some(141), "{arguments:?}");
        assert!(!text(&closed.stderr).contains("standard output"), "{arguments:?}");
    }
    for flag in ["--out", "--model", "--assignments"] {
        let output = kmeans(&[&run[..], &[flag, "/dev/full"]].concat());
        assert_eq!(output.status.code(), Some(1), "{flag}");
        assert!(text(&output.stderr).contains("/dev/full: No space left"), "{flag}");
    }
}

#[test]
fn what_is_left_out_of_a_folder_is_named() {
    let folder = Folder::new();
    for name in ["d/.cache/a.csv", "d/_temporary/a.csv", "d/sub/.b.csv", "d/sub/c.csv"] {
        fs::create_dir_all(std::path::Path::new(&folder.path(name)).parent().unwrap()).unwrap();
        folder.file(name, "x;y\n1;2\n3;4\n");
    }
    let pipe = folder.path("d/pipe.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let data = folder.path("d");
    let skipped =
        ["d/.cache", "d/_temporary", "d/pipe.csv", "d/sub/.b.csv"].map(|n| folder.path(n));
    let reading = &json(&["--data", &data, "--k", "1"])["reading"];
    let expected = json!({
        "data": data, "files": 1, "files_without_rows": 0, "header": "yes", "separator": "semicolon",
        "columns": ["x", "y"], "weighted": false, "weight_column": null, "missing": "error", "precision": "f64", "skipped": skipped,
    });
    assert_eq!(*reading, expected);
    let said = text(&kmeans(&["run", "--data", &data, "--k", "1"]).stdout);
    let line = format!("skipped {}: not data, by name or kind\n", skipped.join(", "));
    assert!(said.contains(&line), "{said}");
    // Of other names it is not clear what they are.
    folder.file("d/README.md", "Points of 2026.\n");
    folder.file("d/LICENSE", "MIT\n");
    let message = text(&kmeans(&["run", "--data", &data, "--k", "1"]).stderr);
    let expected = "d/LICENSE: its name is not that of data (.csv, .tsv, .txt, .npy, .f32, .f64, .parquet), nor are \
                    those of 1 more files; move it, let its name begin with _, or pass a pattern";
    assert!(message.contains(expected), "{message}");
    let pattern = folder.path("d/sub/*.csv");
    assert_eq!(json(&["--data", &pattern, "--k", "1"])["points"], 2);
}

#[test]
fn a_bad_row_of_a_pipe_is_that_of_the_pipe() {
    use std::io::Write as _;
    let mut child = Command::new(PROGRAM);
    child.args(["run", "--k", "1", "--data", "-", "--header", "no"]);
    let mut child = child.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1\nb\n").unwrap();
    let message = text(&child.wait_with_output().unwrap().stderr);
    assert!(message.starts_with("catena-kmeans: standard input: "), "{message}");
    assert!(message.contains("\"b\""), "{message}");
}
