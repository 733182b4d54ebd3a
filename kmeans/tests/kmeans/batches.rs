//! Mini-batches: the same bits for all kinds of workers, costs near those of scikit-learn, and clear
//! refusals.

use super::*;

const FIELDS: [&str; 4] = ["centroids", "cost", "sizes", "iterations"];

#[test]
fn batches_give_the_same_bits_for_all_workers() {
    let folder = Folder::new();
    let npy = folder.points();
    let rows = DataSet::open(Path::new(&npy), Hints::default()).unwrap();
    let rows = rows.load::<f64>(rows.share(0, 1)).unwrap();
    let lines = rows.values.chunks_exact(rows.dims).map(|row| {
        let row: Vec<String> = row.iter().map(f64::to_string).collect();
        row.join(",") + "\n"
    });
    let csv = folder.file("points.csv", &lines.collect::<String>());
    for (path, init) in [(&npy, "kmeans++"), (&csv, "random"), (&npy, "first")] {
        let run = |name: &str, rest: &[&str]| {
            let labels = folder.path(name);
            let flags = ["--k", "40", "--batch-size", "700", "--iterations", "30", "--seed", "4"];
            let data = ["--data", path, "--init", init, "--assignments", &labels];
            let result = json(&[&data[..], &flags, rest].concat());
            (result, fs::read_to_string(labels).unwrap())
        };
        let (one, labels) = run("one.txt", &["--workers", "1"]);
        assert_eq!(labels.lines().count(), 20_000);
        assert_eq!(
            one["sizes"].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>(),
            20_000
        );
        for rest in [&["--workers", "3"][..], &["--workers", "2", "--backend", "processes"]] {
            let (other, other_labels) = run("other.txt", rest);
            for field in FIELDS {
                assert_eq!(other[field], one[field], "{field} of {path} with {rest:?}");
            }
            assert!(other_labels == labels, "labels of {path} with {rest:?}");
        }
    }
}

#[test]
fn a_job_with_batches_goes_on_after_its_driver_was_killed() {
    let folder = Folder::new();
    let data = folder.points();
    let (_engine, engine) = engine();
    let job = [
        "--data",
        &data,
        "--k",
        "40",
        "--batch-size",
        "700",
        "--iterations",
        "400",
        "--workers",
        "2",
    ];
    let whole = json(&job);
    for backend in ["threads", "processes"] {
        let run =
            [&["--engine", &engine, "--backend", backend, "--job", backend], &job[..]].concat();
        resume::kill_in_round(resume::spawn(&run), &engine, backend, 9);
        let rest = json(&run);
        assert!(rest["iterations_before"].as_u64().unwrap() >= 7, "{}", rest["iterations_before"]);
        for field in FIELDS {
            assert_eq!(rest[field], whole[field], "{field} with {backend}");
        }
    }
}

#[test]
fn what_needs_all_points_in_memory_is_refused() {
    let folder = Folder::new();
    let csv = folder.file("a.csv", "1,2\n3,4\n5,6\n");
    let large = folder.path("large.npy.gz");
    Recipe { points: 300_000, dims: 8, clusters: 3, spread: 1.0, seed: 1 }
        .write(Path::new(&folder.path("large.npy")))
        .unwrap();
    assert!(Command::new("gzip").arg(folder.path("large.npy")).status().unwrap().success());
    for (flags, expected) in [
        (&["--batch-size", "0"][..], "--batch-size: there must be at least one row in a batch"),
        (&["--batch-size", "9000000000000"], "--batch-size: all batches together"),
        (&["--batch-size", "9", "--scale", "standard"], "--scale: not with --batch-size"),
        (&["--batch-size", "9", "--tolerance", "1"], "--tolerance: not with --batch-size"),
        (&["--batch-size", "9", "--pruning", "auto"], "--pruning: not with --batch-size"),
        (
            &["--batch-size", "9", "--data", &large],
            "--batch-size: compressed files cannot be read in blocks",
        ),
    ] {
        let data = if flags.contains(&"--data") { &[][..] } else { &["--data", &csv] };
        let output = kmeans(&[&["run", "--k", "2"], data, flags].concat());
        assert_eq!(output.status.code(), Some(1));
        let message = text(&output.stderr);
        assert!(message.starts_with(&format!("catena-kmeans: {expected}")), "{message}");
    }
    let bad = folder.file("bad.csv", "1,2\n3,x\n");
    let output =
        kmeans(&["run", "--k", "1", "--batch-size", "5", "--header", "no", "--data", &bad]);
    let message = text(&output.stderr);
    assert!(message.contains("bad.csv: row 2 (line 2): column 2: \"x\""), "{message}");
}

/// The bounds are the costs of 20 seeds of `MiniBatchKMeans`: kmeans/tests/compare_batches.py.
#[test]
fn costs_of_batches_are_those_of_scikit_learn() {
    for seed in ["0", "1", "2", "3", "4"] {
        let run =
            json(&["--k", "10", "--batch-size", "256", "--iterations", "100", "--seed", seed]);
        let cost = run["cost"].as_f64().unwrap();
        assert!((1_165_000.0..=1_241_508.0).contains(&cost), "{cost} of seed {seed}");
    }
}
