//! Workers as processes: this program again, told its part on standard input, telling its events on standard output.
//!
//! One that dies is started again, [`STARTS_MAX`] times at most, and catches up; one that reports an error ends the
//! run. No worker outlives the driver's run.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::data::Meter;
use crate::error::{Error, Result};
use crate::job::{Board, Event, Job, Summary};
use crate::link::Link;

/// How often one worker is started before the run is given up.
pub const STARTS_MAX: u32 = 4;

/// What a worker process reads.
#[derive(Debug, Serialize, Deserialize)]
struct Assignment {
    job: Job,
    party: u32,
    again: bool,
}

/// What the driver hears of.
enum Heard {
    Event(Event),
    /// Standard output is closed: the process is gone, or nearly.
    End,
}

/// What the driver reports beside the workers' events.
pub struct Death {
    /// Whose.
    pub party: u32,
    /// How it ended.
    pub status: ExitStatus,
}

/// Runs a job with one process per worker: `program worker`, which must end up in [`work`].
///
/// # Errors
///
/// The first that a worker reports, or a worker that keeps dying.
pub fn run(
    job: &Job,
    program: &Path,
    on_event: &mut dyn FnMut(&Event),
    on_death: &mut dyn FnMut(&Death),
) -> Result<Summary> {
    job.check()?;
    let mut board = Board::new(job.workers);
    let (sender, receiver) = mpsc::channel();
    let mut fleet = Fleet { job, program: program.to_path_buf(), sender, children: Vec::new() };
    for party in 0..job.workers {
        let child = fleet.start(party, false)?;
        fleet.children.push(child);
    }
    let mut starts = vec![1; job.workers as usize];
    let mut running = job.workers;
    while running > 0 {
        let (party, heard) = receiver.recv().expect("the fleet keeps a sender");
        let Heard::End = heard else {
            if let Heard::Event(event) = heard {
                board.note(party, &event)?;
                on_event(&event);
            }
            continue;
        };
        let status = fleet.children[party as usize].wait().map_err(Error::io(program))?;
        if board.is_done(party) {
            running -= 1;
            continue;
        }
        let starts = &mut starts[party as usize];
        if *starts == STARTS_MAX {
            return Err(Error::WorkerDied { party, status: status.to_string(), starts: *starts });
        }
        on_death(&Death { party, status });
        *starts += 1;
        fleet.children[party as usize] = fleet.start(party, true)?;
    }
    Ok(board.finish())
}

/// The processes, which do not outlive it.
struct Fleet<'a> {
    job: &'a Job,
    program: PathBuf,
    sender: Sender<(u32, Heard)>,
    children: Vec<Child>,
}

impl Fleet<'_> {
    fn start(&self, party: u32, again: bool) -> Result<Child> {
        let mut child = Command::new(&self.program)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::io(&self.program))?;
        let assignment = Assignment { job: self.job.clone(), party, again };
        let mut input = child.stdin.take().expect("standard input is a pipe");
        let output = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let sender = self.sender.clone();
        thread::spawn(move || {
            // A worker that dies before it has read this is found out by the end of its output.
            let _ = serde_json::to_writer(BufWriter::new(&mut input), &assignment);
            drop(input);
            for line in output.lines() {
                let Some(event) = line.ok().and_then(|line| serde_json::from_str(&line).ok())
                else {
                    break;
                };
                if sender.send((party, Heard::Event(event))).is_err() {
                    return;
                }
            }
            // The driver may be gone after an error.
            let _ = sender.send((party, Heard::End));
        });
        Ok(child)
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The other side: what a worker process does.
///
/// # Errors
///
/// Whatever ended the work; the driver has been told.
pub fn work() -> Result<()> {
    let mut output = io::stdout().lock();
    let mut tell = |event: Event| {
        let told = serde_json::to_writer(&mut output, &event).map_err(io::Error::from);
        told.and_then(|()| writeln!(output))
            .and_then(|()| output.flush())
            .map_err(Error::io(Path::new("driver")))
    };
    let assignment: Assignment = serde_json::from_reader(io::stdin().lock())
        .map_err(|cause| Error::io(Path::new("standard input"))(cause.into()))?;
    let Assignment { job, party, again } = assignment;
    let worked = job.load(party, &Meter::default()).and_then(|points| {
        tell(Event::Loaded)?;
        job.work(party, points, &mut Link::join(&job, party)?, again, &mut tell)
    });
    if let Err(error) = &worked {
        tell(Event::Failed(error.to_string()))?;
    }
    worked
}
