//! The program and the library with real engines: results against those of scikit-learn, the same
//! bits for all kinds of workers, and clear errors for bad input, dead workers and dead engines.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use catena_engine::Engine;
use catena_kmeans::coordination::{AllReduce, Phase, ReduceOp};
use catena_kmeans::data::{DataSet, Hints};
use catena_kmeans::generate::Recipe;
use catena_kmeans::init::Init;
use catena_kmeans::job::{Job, Labels, WorkerEvent};
use catena_kmeans::link::{EngineLink, JobEngine, JobWatch};
use catena_kmeans::{Error, Settings, threads};
use serde_json::Value;
use tempfile::TempDir;

mod batches;
mod changed;
mod elbow;
mod resume;
mod sklearn;
mod streams;

const PROGRAM: &str = env!("CARGO_BIN_EXE_catena-kmeans");

/// The documented fields of `--json`.
const FIELDS: [&str; 22] = [
    "k",
    "dims",
    "points",
    "workers",
    "backend",
    "iterations",
    "converged",
    "cost",
    "seconds_total",
    "seconds_iterations",
    "seconds_coordination",
    "rpcs_per_worker_per_iteration",
    "centroids",
    "sizes",
    "weights",
    "transform",
    "columns",
    "reading",
    "rows_dropped",
    "values_filled",
    "seed",
    "warnings",
];

fn engine() -> (Engine, String) {
    let engine = Engine::builder().start().unwrap();
    let address = engine.addresses()[0].to_string();
    (engine, address)
}

fn kmeans(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// Runs a command that has to succeed, and parses its output.
fn json(arguments: &[&str]) -> Value {
    let output = kmeans(&[&["run", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder, and the paths in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_string()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Overlapping clusters, which take many iterations.
    fn points(&self) -> String {
        let path = self.path("points.npy");
        let recipe = Recipe { points: 20_000, dims: 16, clusters: 40, spread: 12.0, seed: 3 };
        recipe.write(Path::new(&path)).unwrap();
        path
    }
}

fn job(data: DataSet, k: usize, engine: &str) -> Job {
    Job {
        name: format!("test/{engine}"),
        engine: engine.to_string(),
        data,
        settings: Settings {
            k,
            init: Init::First,
            timeout: Duration::from_secs(20),
            ..Settings::default()
        },
        workers: 2,
        prepared: false,
        resumable: false,
        labels: Labels::None,
        sample: false,
    }
}

#[test]
fn no_arguments_cluster_the_digits() {
    let output = kmeans(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("digits (shipped): 1,797 points of 64 numbers"));
    assert!(output.stderr.is_empty(), "there is no progress bar without a terminal");
}

#[test]
fn the_cost_far_from_the_origin_is_right() {
    let folder = Folder::new();
    let four = "1700000000000\n1700000000010\n1700000001000\n1700000001010\n";
    let path = folder.file("four.csv", four);
    for flags in [["--workers", "1"], ["--workers", "3"], ["--backend", "processes"]] {
        let run = ["--data", &path, "--k", "1", "--init", "first"];
        assert_eq!(json(&[&run[..], &flags].concat())["cost"], 1_000_100.0);
    }
}

#[test]
fn missing_values_are_filled_with_the_same_means_by_all_workers() {
    let folder = Folder::new();
    let path = folder.file("holes.csv", "x;y\n1;0.1\n;0.2\n3;\n5;0.6\n");
    let run =
        |rest: &[&str]| json(&[&["--data", &path, "--k", "1", "--missing", "mean"], rest].concat());
    let one = run(&["--workers", "1"]);
    assert_eq!((&one["values_filled"], &one["points"]), (&2.into(), &4.into()));
    assert_eq!(one["centroids"][0][0], 3.0);
    assert_eq!(one["columns"], serde_json::json!(["x", "y"]));
    for rest in [&["--workers", "4"][..], &["--workers", "3", "--backend", "processes"]] {
        let other = run(rest);
        for field in ["centroids", "cost", "values_filled"] {
            assert_eq!(other[field], one[field], "{field}");
        }
    }
    let dropped = json(&["--data", &path, "--k", "2", "--missing", "drop"]);
    assert_eq!((&dropped["rows_dropped"], &dropped["points"]), (&2.into(), &2.into()));
    let output = kmeans(&["run", "--data", &path, "--k", "1", "--missing", "drop"]);
    let said = text(&output.stdout);
    assert!(
        said.contains("text: header with the columns x, y, separated by semicolons\n"),
        "{said}"
    );
    assert!(said.contains("left out 2 rows with missing values\n"), "{said}");
}

/// A contribution larger than a request is divided.
#[test]
fn many_clusters_in_many_dimensions_are_reduced_in_pieces() {
    let folder = Folder::new();
    let path = folder.path("wide.npy");
    let recipe = Recipe { points: 120, dims: 20_000, clusters: 3, spread: 1.0, seed: 1 };
    recipe.write(Path::new(&path)).unwrap();
    let run = ["--data", &path, "--k", "110", "--init", "first", "--iterations", "2"];
    let one = json(&[&run[..], &["--workers", "1"]].concat());
    let two = json(&[&run[..], &["--workers", "2", "--backend", "processes"]].concat());
    assert_eq!(one["centroids"], two["centroids"]);
    assert_eq!(one["cost"], two["cost"]);
}

#[test]
fn the_best_of_several_runs_is_taken() {
    let runs: Vec<Value> = ["4", "5", "6", "7"]
        .map(|seed| json(&["--k", "9", "--iterations", "4", "--seed", seed]))
        .into();
    let cost = |run: &Value| run["cost"].as_f64().unwrap();
    let least = runs.iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap();
    let best = json(&["--k", "9", "--iterations", "4", "--seed", "4", "--n-init", "4"]);
    for field in ["cost", "seed", "centroids"] {
        assert_eq!(best[field], least[field], "{field}");
    }
}

#[test]
fn other_points_are_assigned_to_a_saved_model() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "x,y\n1,2\n1,3\n50,60\n51,60\n");
    let (model, labels) = (folder.path("model.json"), folder.path("labels.txt"));
    json(&["--data", &path, "--k", "2", "--model", &model, "--assignments", &labels]);
    let predict = |data: &str, rest: &[&str]| {
        kmeans(&[&["predict", "--model", &model, "--data", data], rest].concat())
    };
    let labels = fs::read_to_string(labels).unwrap();
    assert_eq!(text(&predict(&path, &[]).stdout), labels);
    // Columns are found by their names, and one point is enough.
    let other = folder.file("b.csv", "y,z,x\n59,1,49\n");
    let out = folder.path("out.txt");
    assert!(predict(&other, &["--out", &out]).status.success());
    assert_eq!(fs::read_to_string(out).unwrap().trim(), labels.lines().last().unwrap());
    let narrow = folder.file("c.csv", "1\n");
    let message = text(&predict(&narrow, &[]).stderr);
    assert!(
        message.contains("rows of 1 numbers, but the centroids of the model have 2"),
        "{message}"
    );
    let no_model = text(&kmeans(&["predict", "--model", &path, "--data", &path]).stderr);
    assert!(
        no_model.contains("not a model that catena-kmeans run --model has written"),
        "{no_model}"
    );
}

#[test]
fn reports_are_pictures_or_pages() {
    let folder = Folder::new();
    let path = folder.file("one.csv", "height&<width>\n1\n2\n50\n51\n");
    let page = folder.path("report.html");
    json(&["--data", &path, "--k", "2", "--report", &page]);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("cluster by value") && !page.contains("principal plane"));
    assert!(page.contains("<th>height&amp;&lt;width&gt;</th>"), "{page}");
    assert_eq!(page.matches("<td>50.0 %</td>").count(), 2);
    let picture = folder.path("report.svg");
    json(&["--data", &path, "--k", "2", "--report", &picture]);
    assert!(fs::read_to_string(picture).unwrap().starts_with("<svg"));
}

/// A round of which only some pieces are reduced is not the last one.
#[test]
fn a_round_in_pieces_is_complete_or_not_there() {
    let (_engine, address) = engine();
    let folder = Folder::new();
    let (k, dims) = (110, 20_000);
    let path = folder.path("wide.npy");
    let recipe = Recipe { points: 120, dims, clusters: 3, spread: 1.0, seed: 1 };
    recipe.write(Path::new(&path)).unwrap();
    let data = DataSet::open(Path::new(&path), Hints::default()).unwrap();
    let job = Job { workers: 1, ..job(data, k, &address) };
    let mut link = EngineLink::join(&job, 0).unwrap();
    let values: Vec<i64> = (0..).take(k * dims + k + 5).collect();
    for round in 0..3 {
        link.all_reduce(Phase::Step(round), ReduceOp::Sum, &mut values.clone()).unwrap();
        assert_eq!(link.last(Phase::Step(round)).unwrap(), Some((0, values.clone())));
    }
    // A worker that dies after the first piece of round 3, which takes the object of round 0.
    let client = catena_client::Client::connect(&address).unwrap();
    let first = client.reduction(&format!("{}/step/0", job.name));
    let mut seat = first.seat(0, 1).starting_at(1);
    let piece = &values[..1 << 20];
    seat.contribute(catena_client::ReduceOp::Sum, piece, Duration::from_secs(20)).unwrap();
    assert_eq!(link.last(Phase::Step(3)).unwrap(), None);
    for round in [1, 2] {
        assert_eq!(link.last(Phase::Step(round)).unwrap(), Some((0, values.clone())));
    }
    // Its next attempt repeats the piece and goes on.
    link.all_reduce(Phase::Step(3), ReduceOp::Sum, &mut values.clone()).unwrap();
    assert_eq!(link.last(Phase::Step(3)).unwrap(), Some((1, values)));
}

#[test]
fn labels_that_do_not_fit_a_reply_are_refused_before_the_run() {
    let folder = Folder::new();
    let path = folder.path("many.f32");
    fs::write(&path, vec![0; 4 * 6_000_000]).unwrap();
    let hints = Hints { dims: Some(1), ..Hints::default() };
    let data = DataSet::open(Path::new(&path), hints).unwrap();
    let job = Job { labels: Labels::Returned, ..job(data, 25, "") };
    let error = job.check_reply(Path::new("labels.txt")).unwrap_err().to_string();
    let expected = "labels.txt: the labels of a worker's points would be up to 9 MiB, and Lambda returns \
                    at most 6; pass --assignments s3://bucket/folder/";
    assert!(error.starts_with(expected), "{error}");
    Job { workers: 16, ..job }.check_reply(Path::new("labels.txt")).unwrap();
}

#[test]
fn a_run_ends_at_its_limit() {
    let limited = |flags: &[&str]| {
        let output = kmeans(&[&["run", "--max-time", "0.001"], flags].concat());
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let message = limited(&["--backend", "processes"]);
    assert!(message.starts_with("catena-kmeans: stopped after "), "{message}");
    assert!(message.ends_with(" s, as --max-time demands\n"), "{message}");
    assert!(limited(&[]).contains("--max-time: threads cannot be stopped"));
    assert!(
        limited(&["--max-cost", "1"]).contains("--max-cost: only workers on Lambda have a cost")
    );
}

#[test]
fn points_come_from_a_pipe() {
    use std::io::Write as _;
    for (path, rest) in [("-", &["--backend", "processes"][..]), ("/dev/stdin", &[])] {
        let run = ["run", "--json", "--data", path, "--k", "1", "--workers", "2"];
        let mut child = Command::new(PROGRAM)
            .args([&run[..], rest].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"x\n1\n2\n6\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&result["points"], &result["centroids"][0][0]), (&3.into(), &3.0.into()));
    }
}

#[test]
fn few_distinct_points_give_a_warning() {
    let folder = Folder::new();
    let path = folder.file("same.csv", "0.1\n0.1\n0.1\n");
    let result = json(&["--data", &path, "--k", "2"]);
    assert_eq!((&result["converged"], &result["cost"]), (&true.into(), &0.0.into()));
    assert_eq!(result["sizes"], serde_json::json!([3, 0]));
    let warning = "1 of 2 clusters are empty: the data has only 1 distinct points; choose a --k of at \
                   most that";
    assert_eq!(result["warnings"], serde_json::json!([warning]));
    let output = kmeans(&["run", "--data", &path, "--k", "2"]);
    assert_eq!(text(&output.stderr), format!("catena-kmeans: warning: {warning}\n"));
    assert!(json(&["--k", "10"])["warnings"].as_array().unwrap().is_empty());
}

#[test]
fn workers_and_backends_give_the_same_bits() {
    let (_engine, address) = engine();
    let folder = Folder::new();
    let points = folder.points();
    let run = |workers: &str, backend: &str| {
        let flags = ["--data", &points, "--k", "20", "--iterations", "6", "--seed", "5"];
        let result = json(
            &[&flags[..], &["--workers", workers, "--backend", backend, "--engine", &address]]
                .concat(),
        );
        let fields: Vec<_> = result.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = FIELDS;
        expected.sort_unstable();
        assert_eq!(fields, expected);
        assert_eq!(result["rpcs_per_worker_per_iteration"], 1.0);
        assert_eq!(result["seconds_coordination"].as_array().unwrap().len(), 6);
        (
            result["centroids"].to_string(),
            result["cost"].to_string(),
            result["iterations"].to_string(),
        )
    };
    let one = run("1", "threads");
    for (workers, backend) in
        [("2", "threads"), ("7", "threads"), ("1", "processes"), ("7", "processes")]
    {
        assert_eq!(run(workers, backend), one, "{workers} {backend}");
    }
}

#[test]
fn files_are_written() {
    let folder = Folder::new();
    let [out, labels, report] = ["c.csv", "labels.txt", "report.svg"].map(|name| folder.path(name));
    let files = ["--out", &out, "--assignments", &labels, "--report", &report];
    let first =
        json(&[&files[..], &["--k", "12", "--workers", "3", "--precision", "f32"]].concat());
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 12);
    let labels = fs::read_to_string(labels).unwrap();
    assert_eq!(labels.lines().count(), 1_797);
    assert!(labels.lines().all(|label| label.parse::<u32>().unwrap() < 12));
    assert!(fs::read_to_string(report).unwrap().contains("principal plane"));
    // A run that begins with these centroids is at rest at once.
    let next = json(&["--k", "12", "--init", &out, "--precision", "f32"]);
    assert!(next["converged"].as_bool().unwrap());
    let [first, next] = [first, next].map(|result| result["cost"].as_f64().unwrap());
    assert!((next - first).abs() <= 1e-6 * first, "{next} {first}");
}

#[test]
fn generated_points_are_read_back() {
    let folder = Folder::new();
    let path = folder.path("g.csv.gz");
    let shape = ["--points", "300", "--dims", "4", "--clusters", "3", "--seed", "8"];
    let output = kmeans(&[&["generate"], &shape[..], &["--out", &path]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = json(&["--data", &path, "--k", "3"]);
    assert_eq!((&result["points"], &result["dims"]), (&300.into(), &4.into()));
}

#[test]
fn bad_input_is_one_clear_line() {
    let folder = Folder::new();
    let ragged = folder.file("ragged.csv", "1,2\n3,4\n5\n");
    let nan = folder.file("nan.csv", "1,2\n3,nan\n");
    let two = folder.file("two.csv", "1,2\n3,4\n");
    let (missing, packed) = (folder.path("missing.csv"), folder.file("p.f32", "01234567"));
    let (nowhere, same) = (folder.path("none/c.csv"), folder.path("same.csv"));
    let closed = {
        let (_engine, address) = engine();
        address
    };
    for (arguments, expected) in [
        (
            vec!["--data", &ragged],
            "ragged.csv: row 3 (line 3): 1 numbers, expected 2 as in the first row",
        ),
        (
            vec!["--data", &nan, "--k", "1"],
            "nan.csv: row 2 (line 2): column 2: \"nan\" is a missing value; pass --missing drop",
        ),
        (
            vec!["--data", &nan, "--k", "1", "--backend", "processes"],
            "nan.csv: row 2 (line 2): column 2: \"nan\" is a missing value",
        ),
        (vec!["--data", &missing], "missing.csv: No such file or directory"),
        (vec!["--data", &packed], "p.f32: packed files do not contain their shape; pass --dims N"),
        (
            vec!["--data", &two, "--k", "3"],
            "--k 3 asks for more clusters than there are points (2)",
        ),
        (vec!["--k", "0"], "--k: there must be at least one cluster"),
        (vec!["--workers", "0"], "--workers: there must be at least one worker"),
        (vec!["--tolerance", "nan"], "--tolerance: a distance must be finite"),
        (
            vec!["--init", &two, "--k", "2"],
            "two.csv: 2 centroids of 2 numbers; expected 2 (--k) of 64 numbers",
        ),
        (vec!["--init", "kmeans"], "kmeans: No such file or directory"),
        (vec!["--out", &nowhere], "none/c.csv: its folder does not exist; create it first"),
        (vec!["--report", &folder.path("x.png")], "choose a name that ends with .svg or .html"),
        (vec!["--report", &folder.path("")], "this is a folder; pass the name of a file in it"),
        (vec!["--out", &same, "--assignments", &same], "two outputs have this name"),
        (vec!["--data", &two, "--out", &two], "two.csv: this is a file of the data"),
        (vec!["--tolerance", "-5"], "--tolerance: a distance must be finite and not negative"),
        (vec!["--out", "-", "--json"], "-: standard output has the JSON"),
        (vec!["--report", "-"], "choose a name that ends with .svg or .html"),
        (vec!["--engine", &closed], &format!("engine {closed}: no engine answers")),
    ] {
        // Small data has fewer rows than the default k.
        let small = arguments.contains(&"--data") && !arguments.contains(&"--k");
        let k: &[&str] = if small { &["--k", "1"] } else { &[] };
        let output = kmeans(&[&["run", "--timeout", "5"], &arguments[..], k].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(output.stdout.is_empty());
    }
}

#[cfg(not(feature = "s3"))]
#[test]
fn without_s3_a_url_is_a_clear_error() {
    let expected = "catena-kmeans: s3://points/a.npy needs a program built with the feature s3: \
                    cargo build --release -p catena-kmeans --features s3\n";
    let url = "s3://points/a.npy";
    let folder = Folder::new();
    let file = folder.file("points.csv", "1\n");
    for arguments in [
        vec!["run", "--data", url],
        vec!["run", "--out", url],
        vec!["run", "--k", "0", "--assignments", url],
        vec!["generate", "--points", "1", "--out", url],
        vec!["upload", &file, url],
        vec!["run", "--workers", "1", "--engine", url],
    ] {
        let output = kmeans(&arguments);
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), &*message), (Some(1), expected), "{arguments:?}");
    }
}

#[test]
fn a_killed_worker_is_restarted() {
    let folder = Folder::new();
    let points = folder.points();
    let flags = [
        "--data",
        &points,
        "--k",
        "30",
        "--iterations",
        "25",
        "--init",
        "random",
        "--workers",
        "3",
    ];
    let expected = json(&flags);
    let run = Command::new(PROGRAM)
        .args([&["run", "--json", "--backend", "processes"], &flags[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let worker = loop {
        assert!(Instant::now() < until, "workers are started");
        if let [.., worker] = children(run.id())[..] {
            break worker.to_string();
        }
    };
    assert!(Command::new("kill").args(["-9", &worker]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("signal: 9 (SIGKILL); restarting it"), "{message}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in ["centroids", "cost", "iterations"] {
        assert_eq!(result[field], expected[field], "{field}");
    }
}

/// The worker processes of `parent`, once they run the program.
fn children(parent: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir("/proc") else { return Vec::new() };
    let pid = |path: PathBuf| {
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        // State and parent follow the name in brackets, which may contain anything.
        let of = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        let arguments = fs::read(path.join("cmdline")).ok()?;
        let is_worker = of == parent && arguments.ends_with(b"\0cloud-worker\0");
        is_worker.then(|| path.file_name()?.to_str()?.parse().ok()).flatten()
    };
    tasks.flatten().filter_map(|task| pid(task.path())).collect()
}

/// Second attempts of workers outlive their job: one waits for other workers, one starts later.
#[test]
fn workers_that_outlive_their_job_leave_nothing_behind() {
    let (_engine, address) = engine();
    let job_engine = JobEngine::open(Some(&address)).unwrap();
    let mut job = job(DataSet::digits(None).unwrap(), 3, &address);
    (job.prepared, job.settings.init) = (true, Init::PlusPlus);
    let client = catena_client::Client::connect(&address).unwrap();
    let work = || {
        let mut link = EngineLink::join(&job, 0)?;
        link.note_read(1);
        let points = job.load(0, &catena_kmeans::data::ReadMeter::default())?;
        job.work(0, points, &mut link, true, &mut |_| Ok(()))
    };
    JobWatch::open(&job).unwrap().prepare().unwrap();
    let prepared = client.objects("").count();
    std::thread::scope(|scope| {
        let waits = scope.spawn(work);
        let range = client.reduction(&format!("{}/range", job.name));
        let never = Instant::now() + Duration::from_secs(60);
        while range.state().unwrap().waiting == 0 {
            assert!(Instant::now() < never, "the worker never waits");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(client.objects("").count(), prepared, "a worker creates no objects");
        job_engine.clear(&job);
        let error = waits.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Over { .. }), "{error}");
    });
    let error = work().unwrap_err();
    let expected = "/range no longer exists: the job is over, or its engine was restarted";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert_eq!(client.objects("").count(), 0);
}

#[test]
fn an_engine_that_dies_ends_the_run() {
    let (engine, address) = engine();
    let mut job = job(DataSet::digits(None).unwrap(), 37, &address);
    job.settings.timeout = Duration::from_secs(1);
    let start = Instant::now();
    let mut died = false;
    let result = threads::run(&job, EngineLink::join, &mut |event| {
        if matches!(event, WorkerEvent::Round(round) if round.round == 2) && !died {
            engine.stop();
            died = true;
        }
    });
    let error = result.expect_err("the engine is gone");
    assert!(matches!(error, Error::Engine { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("engine {address}: ")), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}
