//! A process, its log, and its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::lock;

/// The most bytes that are kept of a log.
const LOG_BYTES_MAX: usize = 1 << 20;

/// The most bytes of the log in a response.
const TAIL_BYTES: usize = 4_096;

/// A process, running or ended.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    log: Arc<Mutex<Vec<u8>>>,
    ended: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts a command whose output is the log.
    pub(super) fn start(command: &mut Command) -> std::io::Result<Process> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pid = child.id();
        let log = Arc::new(Mutex::new(Vec::new()));
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("standard output is a pipe")),
            Box::new(child.stderr.take().expect("standard error is a pipe")),
        ];
        let readers = outputs.map(|output| {
            let log = log.clone();
            std::thread::spawn(move || read(output, &log))
        });
        let (ends, ended) = watch::channel(None);
        std::thread::spawn(move || {
            let status = child.wait();
            // The last lines of the log explain the end.
            readers.into_iter().for_each(|reader| drop(reader.join()));
            let how = status.map_or_else(|error| error.to_string(), describe);
            drop(ends.send(Some(how)));
        });
        Ok(Process { pid, log, ended })
    }

    /// Waits for the end; returns how the process ended.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(how) => how.clone().expect("the value is waited for"),
            Err(_) => "unknown".to_owned(),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(super) fn print(&self, line: &str) {
        append(&self.log, line.as_bytes());
    }

    /// Returns the length of the log.
    pub(super) fn log_bytes(&self) -> usize {
        lock(&self.log).len()
    }

    /// Returns the end of the log, of what was written since it was `since` bytes long.
    pub(super) fn tail(&self, since: usize) -> Vec<u8> {
        let log = lock(&self.log);
        let since = since.min(log.len()).max(log.len().saturating_sub(TAIL_BYTES));
        log[since..].to_vec()
    }

    /// Sends a signal, if the process still runs.
    pub(super) fn signal(&self, name: &str) {
        if !self.has_ended() {
            signal(self.pid, name);
        }
    }
}

/// Sends a signal by its name.
pub(super) fn signal(pid: u32, name: &str) {
    // The process may have ended.
    let _ = Command::new("kill").args([name, &pid.to_string()]).stderr(Stdio::null()).status();
}

fn read(output: impl Read, log: &Mutex<Vec<u8>>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        append(log, &line);
        line.clear();
    }
}

fn append(log: &Mutex<Vec<u8>>, line: &[u8]) {
    let mut log = lock(log);
    if log.len() < LOG_BYTES_MAX {
        log.extend_from_slice(line);
    }
}

/// Describes the end of a process in the words of Lambda.
fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(signal)) => format!("signal: {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}
