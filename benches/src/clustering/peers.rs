//! The others that can cluster: programs in Python, which answer a line with a line of JSON.
//!
//! The programs are part of this one and are written to where the points are. Each is a process of
//! its own that stays while it takes part, so that starting, reading and warming up are not measured;
//! between its turns it waits for its standard input.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{CENTROIDS_FILE, ITERATIONS, POINTS_FILE, US};
use crate::machine;
use crate::server::{Server, child_on, is_on_path};

/// Whom there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    ScikitLearn,
    SparkRdd,
    SparkDataframe,
}

/// One who takes part.
pub(super) enum Contestant {
    /// A node that is alone, inside this program.
    Us,
    /// A chain of nodes.
    Chain(Server),
    Peer(Peer),
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

/// One run of one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Of an iteration, the mean over a run.
    pub(super) ms: f64,
    /// The sum of squared distances to the final centres.
    pub(super) cost: f64,
    /// What that has to be, if it did not begin where we do.
    pub(super) cost_expected: Option<f64>,
}

/// A program that waits for its turn.
pub(super) struct Peer {
    kind: Kind,
    hello: Hello,
    child: Child,
    /// `None` once it has been told to end.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
}

/// What became of the attempt to start one.
pub(super) enum Started {
    Ready(Peer),
    /// What is not installed, and how to get it.
    Missing(String),
}

/// The first line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Greeting {
    Missing { missing: String },
    Hello(Hello),
}

#[derive(Debug, Default, Deserialize)]
struct Hello {
    version: String,
    precision: String,
    blas: String,
}

/// Every other line.
#[derive(Debug, Deserialize)]
struct Answer {
    seconds_per_iteration: f64,
    cost: f64,
    cost_expected: Option<f64>,
}

const FILES: [(&str, &str); 3] = [
    ("kmeans_peer.py", include_str!("../../peers/kmeans_peer.py")),
    ("kmeans_sklearn.py", include_str!("../../peers/kmeans_sklearn.py")),
    ("kmeans_spark.py", include_str!("../../peers/kmeans_spark.py")),
];

/// How long a peer may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::ScikitLearn => "scikit-learn",
            Kind::SparkRdd => "spark rdd",
            Kind::SparkDataframe => "spark dataframe",
        }
    }

    fn program(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Kind::ScikitLearn => ("kmeans_sklearn.py", &[]),
            Kind::SparkRdd => ("kmeans_spark.py", &["--api", "rdd"]),
            Kind::SparkDataframe => ("kmeans_spark.py", &["--api", "dataframe"]),
        }
    }
}

impl Peer {
    /// Starts one on points and centroids that lie in this folder, and lets it warm up.
    pub(super) fn start(
        kind: Kind,
        python: &Path,
        folder: &Path,
        workers: u32,
    ) -> anyhow::Result<Started> {
        if !is_on_path(python) {
            let python = python.display();
            return Ok(Started::Missing(format!("{python}: give another with --python")));
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
        Peer::spawn(kind, command, log)?.greet()
    }

    fn spawn(kind: Kind, mut command: Command, log: PathBuf) -> anyhow::Result<Peer> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(fs::File::create(&log)?);
        let mut child = command.spawn().context("cannot start this program once more")?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("was asked for"));
        Ok(Peer { kind, hello: Hello::default(), child, stdin, stdout, log })
    }

    /// Its first line, once it is warm.
    fn greet(mut self) -> anyhow::Result<Started> {
        let line = self.line()?;
        Ok(match self.parse(&line)? {
            Greeting::Missing { missing } => Started::Missing(missing),
            Greeting::Hello(hello) => {
                self.hello = hello;
                Started::Ready(self)
            }
        })
    }

    /// Its version, what it counts in, and what multiplies for it.
    pub(super) fn about(&self) -> String {
        let Hello { version, precision, blas } = &self.hello;
        format!("{}: {version}, {precision}, BLAS: {blas}", self.kind.name())
    }

    /// All iterations, once.
    pub(super) fn run(&mut self) -> anyhow::Result<Run> {
        let stdin = self.stdin.as_mut().expect("is told to end only when dropped");
        stdin.write_all(b"\n").with_context(|| self.why())?;
        let line = self.line()?;
        let Answer { seconds_per_iteration, cost, cost_expected } = self.parse(&line)?;
        Ok(Run { ms: seconds_per_iteration * 1e3, cost, cost_expected })
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

impl Drop for Peer {
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
    fn started(folder: &Path, script: &str) -> anyhow::Result<Started> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Peer::spawn(Kind::ScikitLearn, command, folder.join("log"))?.greet()
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
        let Started::Ready(mut peer) = started(folder.path(), &script).unwrap() else {
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
        let Started::Missing(what) = started(folder.path(), script).unwrap() else {
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
        let Started::Ready(mut peer) = started(folder.path(), &script).unwrap() else {
            panic!("nothing is missing");
        };
        let error = peer.run().unwrap_err();
        assert!(error.to_string().contains("out of points"), "{error}");
    }
}
