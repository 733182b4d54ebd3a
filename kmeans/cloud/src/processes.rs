//! Attempts as processes. A process reads its request as one line of standard input and writes its
//! messages as lines to standard output. Standard input stays open while the call is wanted: a
//! process whose driver is gone ends itself.

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::deadline;
use super::driver::{Attempt, AttemptEvent, Backend, Message, Request};
use super::functions::{Context, Failure, Functions, PROCESS_ARGUMENT};

pub(super) struct Processes {
    program: PathBuf,
}

impl Processes {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    fn spawn(&self, request: &Request, events: Sender<AttemptEvent>) -> io::Result<ChildProcess> {
        let mut child = Command::new(&self.program)
            .arg(PROCESS_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().expect("standard input is a pipe");
        let output = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        thread::spawn(move || {
            // If the process dies before it has read this, the end of its output shows it.
            drop(input.write_all(&line).and_then(|()| input.flush()));
            forward(output, &events);
            drop(input);
        });
        Ok(ChildProcess { child: Some(child) })
    }
}

impl Backend for Processes {
    fn start(&self, request: &Request, events: Sender<AttemptEvent>) -> Box<dyn Attempt> {
        Box::new(self.spawn(request, events.clone()).unwrap_or_else(|cause| {
            let reason = format!("{}: {cause}", self.program.display());
            let permanent =
                matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
            let event =
                if permanent { AttemptEvent::Refused(reason) } else { AttemptEvent::Busy(reason) };
            drop(events.send(event));
            ChildProcess { child: None }
        }))
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Forwards the messages of a process until its output ends.
fn forward(output: impl BufRead, events: &Sender<AttemptEvent>) {
    for line in output.lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str(&line) else {
            // The function itself printed something.
            let _ = writeln!(io::stderr(), "{line}");
            continue;
        };
        if events.send(AttemptEvent::Message { message, log: None }).is_err() {
            return;
        }
    }
    drop(events.send(AttemptEvent::EndOfOutput));
}

struct ChildProcess {
    child: Option<Child>,
}

impl Attempt for ChildProcess {
    fn end(&mut self) -> String {
        match self.child.as_mut().map(Child::wait) {
            Some(Ok(status)) => status.to_string(),
            Some(Err(cause)) => cause.to_string(),
            None => "never began".to_string(),
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Runs the one call that this process was started for.
pub(super) fn serve(functions: &Functions) -> ! {
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    let request: Request =
        match read.map_err(serde_json::Error::io).and_then(|_| serde_json::from_str(&line)) {
            Ok(request) => request,
            Err(error) => {
                let _ = writeln!(
                    io::stderr(),
                    "{PROCESS_ARGUMENT} is an argument for processes that a driver starts, with a \
                     request on standard input: {error}"
                );
                process::exit(1);
            }
        };
    thread::spawn(|| {
        // Until the driver closes it or ends.
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        process::exit(1);
    });
    let send = |message: &Message| -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut output = io::stdout().lock();
        output.write_all(&line).and_then(|()| output.flush())
    };
    let report = |progress| {
        send(&Message::Progress(progress))
            .map_err(|_| Failure::Final("the driver has ended".into()))
    };
    let deadline = deadline(request.seconds.map(Duration::from_secs_f64));
    let context = Context::new(request.attempt, deadline, true, &report);
    let message = functions.run(request, &context);
    process::exit(i32::from(send(&message).is_err()))
}
