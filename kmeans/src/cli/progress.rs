//! The progress of a run: a bar on a terminal, otherwise a line from time to time.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use catena_kmeans::job::WorkerEvent;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The template of progress in bytes.
pub(super) const BYTES: &str = "{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}";

/// A progress bar, if standard error is a terminal.
pub(super) struct Bar(pub(super) ProgressBar);

impl Bar {
    pub(super) fn new(template: &str, whole: u64) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self(ProgressBar::with_draw_target(Some(whole), target).with_style(style(template)))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}

/// How often a line of progress is printed without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of a run: bytes while points are read, then rounds. Without a terminal, a line from
/// time to time.
pub(super) struct Progress {
    bar: Bar,
    iterations: u64,
    in_rounds: Cell<bool>,
    bytes: Cell<u64>,
    bytes_all: u64,
    line_due: Cell<Instant>,
}

impl Progress {
    pub(super) fn new(bytes: u64, iterations: u64) -> Self {
        Self {
            bar: Bar::new(BYTES, bytes),
            iterations,
            in_rounds: Cell::new(false),
            bytes: Cell::new(0),
            bytes_all: bytes,
            line_due: Cell::new(Instant::now() + LINE_EVERY),
        }
    }

    pub(super) fn note(&self, event: &WorkerEvent) {
        let bar = &self.bar.0;
        match event {
            WorkerEvent::Read(bytes) if !self.in_rounds.get() => {
                bar.inc(*bytes);
                self.bytes.set(self.bytes.get() + bytes);
                self.line(|| format!("read {} of {} bytes", self.bytes.get(), self.bytes_all));
            }
            WorkerEvent::Round(round) => {
                let message = format!("cost {:.6e}, {} points moved", round.cost, round.moved);
                self.note_round(round.round, message);
            }
            WorkerEvent::Seen { round, moved } => {
                self.note_round(*round, format!("{moved} points moved"));
            }
            WorkerEvent::Read(_) | WorkerEvent::Loaded { .. } => {}
        }
    }

    fn note_round(&self, round: u64, message: String) {
        let bar = &self.bar.0;
        if !self.in_rounds.replace(true) {
            bar.set_style(style("{bar:30} round {pos} of at most {len}  {msg}"));
            bar.set_length(self.iterations);
        }
        self.line(|| format!("round {round} of at most {}, {message}", self.iterations));
        bar.set_position(round);
        bar.set_message(message);
    }

    /// Prints a line if there is no bar and one is due.
    fn line(&self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.bar.0.is_hidden() && now >= self.line_due.get() {
            self.line_due.set(now + LINE_EVERY);
            self.print(&text());
        }
    }

    pub(super) fn print(&self, line: &str) {
        self.bar.0.suspend(|| {
            // The run goes on if the terminal is closed.
            let _ = writeln!(io::stderr(), "catena-kmeans: {line}");
        });
    }
}
