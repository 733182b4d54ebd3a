//! A shell to run the tool in, with engines of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use catena_engine::{Cluster, ClusterSettings, Engine, Heads};
use tempfile::TempDir;

/// Longer than anything takes that happens at all.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Engines, and a shell to run the tool in.
pub(crate) struct Shell {
    pub(crate) engines: Vec<Engine>,
    /// The address that the tool gets.
    pub(crate) place: String,
    /// Declared after the engines, which use it when they stop.
    _directory: Option<TempDir>,
}

impl Shell {
    pub(crate) fn new() -> Shell {
        let engine = Engine::builder().cores(2).start().expect("the engine starts");
        let place = engine.addresses()[0].to_string();
        Shell { engines: vec![engine], place, _directory: None }
    }

    /// A cluster with this many members, found through its record.
    pub(crate) fn of_cluster(nodes: usize) -> Shell {
        let directory = tempfile::tempdir().expect("a directory");
        let place = format!("file://{}", directory.path().display());
        let replicas = u32::try_from(nodes).expect("a few");
        let start = |at| {
            let cluster = Cluster::at(place.parse().expect("a location")).create(ClusterSettings {
                replicas,
                min_members: 1,
                heads: Heads::One,
                ..ClusterSettings::default()
            });
            let cluster = cluster.node_name(format!("node-{at}"));
            Engine::builder().shards(4).cluster(cluster).start().expect("the engine starts")
        };
        let engines = (0..nodes).map(start).collect();
        let shell = Shell { engines, place, _directory: Some(directory) };
        shell.await_code("cluster status", 0);
        shell
    }

    /// The control port of a node.
    pub(crate) fn control(&self, at: usize) -> String {
        self.engines[at].control_address().expect("it is in a cluster").to_string()
    }

    /// The address for clients of a node.
    pub(crate) fn address(&self, at: usize) -> String {
        self.engines[at].addresses()[0].to_string()
    }

    /// A line to run, with `+` for blanks inside a word.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_catena"));
        command.env("CATENA_ENGINE", &self.place);
        command.args(line.split_whitespace().map(|word| word.replace('+', " ")));
        command
    }

    pub(crate) fn output(&self, line: &str) -> Output {
        self.command(line).output().expect("the tool runs")
    }

    /// Runs a line with this standard input.
    pub(crate) fn given(&self, line: &str, input: &[u8]) -> Output {
        run_with(self.command(line), input)
    }

    /// Starts a line whose output is read while it runs.
    pub(crate) fn start(&self, line: &str) -> Running {
        Running::start(self.command(line))
    }

    pub(crate) fn json(&self, line: &str) -> serde_json::Value {
        let output = self.output(&format!("--json {line}"));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("`{line}`: {output:?}"))
    }

    /// Runs a line until its output is as wanted.
    pub(crate) fn until(&self, line: &str, is_wanted: impl Fn(&Output) -> bool) {
        until(line, || self.output(line), is_wanted);
    }

    /// Runs a line until it exits with this code.
    pub(crate) fn await_code(&self, line: &str, code: i32) {
        self.until(line, |output| output.status.code() == Some(code));
    }

    /// Runs a line until it prints this.
    pub(crate) fn await_printed(&self, line: &str, printed: &str) {
        self.until(line, |output| utf8(&output.stdout) == printed);
    }

    /// Runs a line, and compares its exit code and, unless `printed` is `*`, its output.
    pub(crate) fn check(&self, line: &str, code: i32, printed: &str) {
        let output = self.output(line);
        let (said, complaint) = (utf8(&output.stdout), utf8(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "`{line}` printed {said}{complaint}");
        if printed != "*" {
            assert_eq!(said, printed, "`{line}`");
        }
        let is_fine = code < 2;
        assert_eq!(complaint.is_empty(), is_fine, "`{line}` said {complaint}");
        assert!(complaint.lines().count() <= 1 || code == 2, "one line: {complaint}");
    }

    /// Runs scenarios: `line => printed`, with the exit code in brackets unless it is 0.
    pub(crate) fn script(&self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (line, expected) = line.split_once("=>").unwrap_or((line, ""));
            let expected = expected.trim();
            let (code, printed) = match expected.strip_prefix('[') {
                Some(rest) => {
                    let (code, printed) = rest.split_once(']').expect("a code in brackets");
                    (code.parse().expect("a code"), printed.trim())
                }
                None => (0, expected),
            };
            self.check(line.trim(), code, &printed.replace(" | ", "\n"));
        }
    }

    /// Runs a line that must fail with this code. Returns what it complains about.
    pub(crate) fn complaint(&self, line: &str, code: i32) -> String {
        let output = self.output(line);
        assert_eq!(output.status.code(), Some(code), "`{line}`: {output:?}");
        utf8(&output.stderr)
    }

    /// The first word that a line prints: a token.
    pub(crate) fn token(&self, line: &str) -> String {
        let output = self.output(line);
        assert!(output.status.success(), "{output:?}");
        utf8(&output.stdout).split_whitespace().next().expect("a token").to_owned()
    }
}

/// A process whose output is read while it runs. It is killed if it is still there at the end.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it, without input unless the command has one.
    pub(crate) fn start(mut command: Command) -> Running {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("it runs");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (read, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.split(b'\n') {
                // The test may have ended.
                _ = read.send(utf8(&line.expect("it can be read")));
            }
        });
        Running { child, lines }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        self.lines.recv_timeout(LONG).expect("a line")
    }

    /// The next line that it prints within this time.
    pub(crate) fn line_within(&mut self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// Waits until it prints a line that is as wanted, and returns it.
    pub(crate) fn line_with(&mut self, is_wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.line();
            if is_wanted(&line) {
                return line;
            }
        }
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, input: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(input).and_then(|()| stdin.flush()).expect("it reads");
    }

    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill runs");
        assert!(sent.success(), "{sent}");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Waits for its end. Returns how it ended, the rest of its output, and its complaints.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, String) {
        let said = self.lines.iter().collect();
        let mut complaint = Vec::new();
        let stderr = self.child.stderr.as_mut().expect("a pipe");
        std::io::Read::read_to_end(stderr, &mut complaint).expect("it can be read");
        (self.wait(), said, utf8(&complaint))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Repeats a run until its output is as wanted.
pub(crate) fn until(
    what: &str,
    run: impl Fn() -> Output,
    is_wanted: impl Fn(&Output) -> bool,
) -> Output {
    let start = Instant::now();
    loop {
        let output = run();
        if is_wanted(&output) {
            return output;
        }
        assert!(start.elapsed() < LONG, "`{what}`: {output:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command with this standard input.
pub(crate) fn run_with(mut command: Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = piped.spawn().expect("it runs");
    // It may end before it has read everything.
    _ = running.stdin.take().expect("a pipe").write_all(input);
    running.wait_with_output().expect("it ends")
}

/// Output as text, without line feeds at its end.
pub(crate) fn utf8(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim_end().to_owned()
}
