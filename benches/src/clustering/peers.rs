//! The other programs that cluster: they are in Python, and reply to a line with a line of JSON.
//!
//! They are part of this program and are written to the folder of the points. Each is a process of
//! its own that stays while it takes part, so that starting, reading and warming up are not
//! measured; between its turns it waits for its standard input.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{CENTROIDS_FILE, ITERATIONS, POINTS_FILE, US};
use crate::machine;
use crate::peer_server::is_on_path;
use crate::server::{Server, child_on};

/// The programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PeerKind {
    ScikitLearn,
    SparkRdd,
    SparkDataframe,
}

/// A program that takes part.
pub(super) enum Contestant {
    /// Ours, with a single node inside this program.
    Us,
    /// Ours, with a chain of nodes.
    Chain(Server),
    Peer(PeerProgram),
}

impl Contestant {
    pub(super) fn name(&self) -> &str {
        match self {
            Contestant::Us => US,
            Contestant::Chain(head) => &head.name,
            Contestant::Peer(peer) => peer.kind.name(),
        }
    }
}

/// One run of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClusteringRun {
    /// The time of an iteration, the mean over the run.
    pub(super) ms: f64,
    /// The sum of squared distances to the final centres.
    pub(super) cost: f64,
    /// What that has to be, if the initial centroids were others.
    pub(super) cost_expected: Option<f64>,
}

/// A program that waits for its turn.
pub(super) struct PeerProgram {
    kind: PeerKind,
    hello: ProgramHello,
    child: Child,
    /// Closed to end the program.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
}

/// The result of starting a program.
pub(super) enum PeerStart {
    Ready(PeerProgram),
    /// What is not installed, and how to get it.
    Missing(String),
}

/// The first line that a program prints.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ProgramGreeting {
    Missing { missing: String },
    Hello(ProgramHello),
}

#[derive(Debug, Default, Deserialize)]
struct ProgramHello {
    version: String,
    precision: String,
    blas: String,
}

/// Every other line that it prints.
#[derive(Debug, Deserialize)]
struct ProgramReply {
    seconds_per_iteration: f64,
    cost: f64,
    cost_expected: Option<f64>,
}

const FILES: [(&str, &str); 3] = [
    ("kmeans_peer.py", include_str!("../../peers/kmeans_peer.py")),
    ("kmeans_sklearn.py", include_str!("../../peers/kmeans_sklearn.py")),
    ("kmeans_spark.py", include_str!("../../peers/kmeans_spark.py")),
];

/// How long a program may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

impl PeerKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            PeerKind::ScikitLearn => "scikit-learn",
            PeerKind::SparkRdd => "spark rdd",
            PeerKind::SparkDataframe => "spark dataframe",
        }
    }

    fn program(self) -> (&'static str, &'static [&'static str]) {
        match self {
            PeerKind::ScikitLearn => ("kmeans_sklearn.py", &[]),
            PeerKind::SparkRdd => ("kmeans_spark.py", &["--api", "rdd"]),
            PeerKind::SparkDataframe => ("kmeans_spark.py", &["--api", "dataframe"]),
        }
    }
}

impl PeerProgram {
    /// Starts one on points and centroids that lie in this folder, and lets it warm up.
    pub(super) fn start(
        kind: PeerKind,
        python: &Path,
        folder: &Path,
        workers: u32,
    ) -> anyhow::Result<PeerStart> {
        if !is_on_path(python) {
            let python = python.display();
            return Ok(PeerStart::Missing(format!("{python}: give another with --python")));
        }
        for (name, text) in FILES {
            fs::write(folder.join(name), text)?;
        }
        let (program, more) = kind.program();
        let cpus: Vec<String> = machine::cpus().iter().map(usize::to_string).collect();
        let mut command = child_on(&cpus.join(","))?;
        command.arg(python).arg(folder.join(program)).args(more).arg("--serve");
        command.arg("--data").arg(folder.join(POINTS_FILE));
        command.arg("--centroids").arg(folder.join(CENTROIDS_FILE));
        command.args(["--iterations", &ITERATIONS.to_string(), "--workers", &workers.to_string()]);
        let log = folder.join(format!("{}.log", kind.name()));
        PeerProgram::spawn(kind, command, log)?.greet()
    }

    fn spawn(kind: PeerKind, mut command: Command, log: PathBuf) -> anyhow::Result<PeerProgram> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(fs::File::create(&log)?);
        let mut child = command.spawn().context("cannot start this program once more")?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("was asked for"));
        Ok(PeerProgram { kind, hello: ProgramHello::default(), child, stdin, stdout, log })
    }

    /// Its first line, once it is warm.
    fn greet(mut self) -> anyhow::Result<PeerStart> {
        let line = self.line()?;
        Ok(match self.parse(&line)? {
            ProgramGreeting::Missing { missing } => PeerStart::Missing(missing),
            ProgramGreeting::Hello(hello) => {
                self.hello = hello;
                PeerStart::Ready(self)
            }
        })
    }

    /// Its version, what it counts in, and what multiplies for it.
    pub(super) fn about(&self) -> String {
        let ProgramHello { version, precision, blas } = &self.hello;
        format!("{}: {version}, {precision}, BLAS: {blas}", self.kind.name())
    }

    /// All iterations, once.
    pub(super) fn run(&mut self) -> anyhow::Result<ClusteringRun> {
        let stdin = self.stdin.as_mut().expect("its input is closed only when it is dropped");
        stdin.write_all(b"\n").with_context(|| self.why())?;
        let line = self.line()?;
        let ProgramReply { seconds_per_iteration, cost, cost_expected } = self.parse(&line)?;
        Ok(ClusteringRun { ms: seconds_per_iteration * 1e3, cost, cost_expected })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).with_context(|| self.why())?;
        Ok(line)
    }

    fn parse<'l, T: Deserialize<'l>>(&self, line: &'l str) -> anyhow::Result<T> {
        match serde_json::from_str(line) {
            Ok(parsed) => Ok(parsed),
            Err(_) => bail!("{}", self.why()),
        }
    }

    /// What it said before it failed.
    fn why(&self) -> String {
        let log = self.log_text();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        format!("{} did not answer; the last it said:\n{last}", self.kind.name())
    }

    fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for PeerProgram {
    fn drop(&mut self) {
        // The end of its input is what it ends at, and Spark with it.
        drop(self.stdin.take());
        let latest = Instant::now() + PATIENCE;
        while Instant::now() < latest {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // One that has ended by itself needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a shell script instead of a peer.
    fn started(folder: &Path, script: &str) -> anyhow::Result<PeerStart> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        PeerProgram::spawn(PeerKind::ScikitLearn, command, folder.join("log"))?.greet()
    }

    const HELLO: &str =
        r#"echo '{"version": "one 1", "precision": "f4", "blas": "none", "skip": 0}'"#;

    #[test]
    fn a_peer_answers_a_line_with_a_run_and_ends_with_its_input() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            r#"{HELLO}
               while read line; do echo '{{"seconds_per_iteration": 0.25, "cost": 7.5}}'; done
               touch {}/ended"#,
            folder.path().display()
        );
        let PeerStart::Ready(mut peer) = started(folder.path(), &script).unwrap() else {
            panic!("nothing is missing");
        };
        assert_eq!(peer.about(), "scikit-learn: one 1, f4, BLAS: none");
        for _ in 0..2 {
            let run = peer.run().unwrap();
            assert_eq!((run.ms, run.cost, run.cost_expected), (250.0, 7.5, None));
        }
        drop(peer);
        assert!(folder.path().join("ended").exists(), "it is waited for");
    }

    #[test]
    fn what_is_not_installed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"echo '{"missing": "sklearn: pip install scikit-learn"}'; exit 3"#;
        let PeerStart::Missing(what) = started(folder.path(), script).unwrap() else {
            panic!("it is missing");
        };
        assert_eq!(what, "sklearn: pip install scikit-learn");
    }

    #[test]
    fn a_peer_that_fails_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let error = started(folder.path(), "echo no memory >&2; exit 1").err().unwrap();
        assert!(error.to_string().contains("no memory"), "{error}");
        let script = format!("{HELLO}; read line; echo out of points >&2; exit 1");
        let PeerStart::Ready(mut peer) = started(folder.path(), &script).unwrap() else {
            panic!("nothing is missing");
        };
        let error = peer.run().unwrap_err();
        assert!(error.to_string().contains("out of points"), "{error}");
    }
}
