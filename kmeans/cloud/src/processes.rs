//! Attempts as processes: told the call in a line on standard input, saying what they have to in lines on standard
//! output. Standard input stays open as long as the call is wanted: a process whose driver is gone ends itself.

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::deadline;
use super::drive::{Attempt, Call, Heard, Place, Said};
use super::functions::{Context, Functions, PROCESS_ARGUMENT, Stop};

pub(super) struct Processes {
    program: PathBuf,
}

impl Processes {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    fn start(&self, call: &Call, heard: Sender<Heard>) -> io::Result<Process> {
        let mut child = Command::new(&self.program)
            .arg(PROCESS_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().expect("standard input is a pipe");
        let output = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        thread::spawn(move || {
            // A process that dies before it has read this is found out by the end of its output.
            drop(input.write_all(&line).and_then(|()| input.flush()));
            listen(output, &heard);
            drop(input);
        });
        Ok(Process { child: Some(child) })
    }
}

impl Place for Processes {
    fn begin(&self, call: &Call, heard: Sender<Heard>) -> Box<dyn Attempt> {
        Box::new(self.start(call, heard.clone()).unwrap_or_else(|cause| {
            let reason = format!("{}: {cause}", self.program.display());
            let permanent =
                matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
            let told = if permanent { Heard::Refused(reason) } else { Heard::Busy(reason) };
            drop(heard.send(told));
            Process { child: None }
        }))
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Passes on what a process says until it says no more.
fn listen(output: impl BufRead, heard: &Sender<Heard>) {
    for line in output.lines().map_while(Result::ok) {
        let Ok(said) = serde_json::from_str(&line) else {
            // The function itself printed something.
            let _ = writeln!(io::stderr(), "{line}");
            continue;
        };
        if heard.send(Heard::Said { said, log: None }).is_err() {
            return;
        }
    }
    drop(heard.send(Heard::Silence));
}

struct Process {
    child: Option<Child>,
}

impl Attempt for Process {
    fn end(&mut self) -> String {
        match self.child.as_mut().map(Child::wait) {
            Some(Ok(status)) => status.to_string(),
            Some(Err(cause)) => cause.to_string(),
            None => "never began".to_string(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may be gone already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The other side: runs the one call that this process was started for.
pub(super) fn serve(functions: &Functions) -> ! {
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    let call: Call =
        match read.map_err(serde_json::Error::io).and_then(|_| serde_json::from_str(&line)) {
            Ok(call) => call,
            Err(error) => {
                let _ =
                    writeln!(io::stderr(), "{PROCESS_ARGUMENT} is for drivers to start: {error}");
                process::exit(1);
            }
        };
    thread::spawn(|| {
        // Until the driver closes it, or is gone.
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        process::exit(1);
    });
    let say = |said: &Said| -> io::Result<()> {
        let mut line = serde_json::to_vec(said)?;
        line.push(b'\n');
        let mut output = io::stdout().lock();
        output.write_all(&line).and_then(|()| output.flush())
    };
    let tell =
        |event| say(&Said::Event(event)).map_err(|_| Stop::Failed("the driver is gone".into()));
    let deadline = deadline(call.seconds.map(Duration::from_secs_f64));
    let said = functions.run(call.clone(), &Context::new(call.attempt, deadline, true, &tell));
    process::exit(i32::from(say(&said).is_err()))
}
