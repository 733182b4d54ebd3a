//! Runs a command while something is held for it: a lock, permits, or a claimed item.
//!
//! 1. The hold is renewed while the command runs, and released when it has ended.
//! 2. Signals that end programs are passed on to the command, which is then waited for.
//! 3. If the hold is lost, the command is ended: with TERM, and with KILL after the grace. A hold
//!    that cannot be renewed counts as lost so early that the command has ended, or was killed,
//!    before the engine gives what was held to another holder.
//!
//! A thread renews the hold, because a request may take long while the engine cannot be reached, and
//! signals are passed on meanwhile. Two more threads wait for signals, and for the command to end.

mod command;
mod holding;
mod signals;

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catena_client::{Builder, Retry};
use clap::Args;

use self::command::RunningCommand;
use self::holding::Holding;
pub(crate) use self::holding::What;
use self::signals::SignalWatch;
use crate::outcome::{Outcome, say};
use crate::values::{RENEWED_MIN, ValueError, renewed_time, time};

/// Exit code if what was held was lost before the command ended.
pub(crate) const LOST: u8 = 125;

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Release automatically this long after the last renewal, if this tool is killed or cut off;
    /// at least 1s [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = renewed_time)]
    hold: Option<Duration>,
    /// Time from TERM to KILL for a command whose hold is lost, at most a third of `--hold`
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    grace: Duration,
    /// Exit with 1 if it is not free, instead of waiting for up to `--timeout`
    #[arg(long)]
    now: bool,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// What the threads report.
enum Event {
    /// A signal arrived; whether the terminal has sent it to all processes in the foreground.
    Signal { number: i32, to_foreground: bool },
    /// The command has ended, and was not reaped yet.
    Ended,
    /// The hold was renewed by a request that was sent at this time.
    Renewed(Instant),
    /// The hold has ended.
    Lost(String),
}

/// What to do with the hold once the command has ended.
struct End {
    succeeded: bool,
}

impl RunArgs {
    /// These, with what was given before `run`.
    pub(crate) fn after(&self, now: bool, hold: Option<Duration>) -> RunArgs {
        RunArgs { hold: self.hold.or(hold), now: self.now || now, ..self.clone() }
    }

    /// Takes what the command needs, runs it, and returns its exit code.
    pub(crate) fn run(
        &self,
        clients: &Builder,
        engine: &str,
        what: What,
        timeout: Duration,
    ) -> anyhow::Result<Outcome> {
        let hold = self.hold.unwrap_or(HOLD);
        if hold < RENEWED_MIN {
            return Err(ValueError::HoldTooShort(format!("{hold:?}")).into());
        }
        let (events, reports) = mpsc::channel();
        let signals = SignalWatch::start(events.clone())?;
        let every = hold / 3;
        let clients = clients.clone().session_ttl(hold).call_timeout(every.min(CALL_TIMEOUT));
        let client = clients.connect(engine)?;
        let Some(holding) = Holding::take(client, what, hold, self.now, timeout)? else {
            return Ok(Outcome::nothing());
        };
        // Renewed at once, because it is not known how long ago the engine granted it.
        let renewed = Instant::now();
        if !holding.renew(hold)? {
            say(&format!("{} was lost before the command began", holding.description()));
            return Ok(Outcome::silent(LOST));
        }
        signals.pass_on();
        let command = match RunningCommand::start(&self.command, engine, &holding, events.clone()) {
            Ok(command) => command,
            Err(error) => {
                release(holding, &End { succeeded: false });
                say(&format!("cannot run `{}`: {error}", self.command[0]));
                return Ok(Outcome::silent(command::exit_code_of(&error)));
            }
        };
        let (stop, stopped) = mpsc::channel();
        let description = holding.description();
        let renewer = renew(holding, hold, every, events, stopped);
        let run = Run {
            grace: self.grace.min(every),
            hold,
            sure_until: renewed + hold,
            command,
            description,
            lost_at: None,
        };
        run.until_end(&reports, stop, renewer)
    }
}

/// Renews the hold until the command has ended, and then releases it. The result is whether it was
/// held until then.
fn renew(
    holding: Holding,
    hold: Duration,
    every: Duration,
    events: Sender<Event>,
    stopped: Receiver<End>,
) -> JoinHandle<bool> {
    std::thread::spawn(move || {
        let mut pause = every.min(RENEWAL_MAX);
        let mut has_warned = false;
        loop {
            match stopped.recv_timeout(pause) {
                Ok(end) => return release(holding, &end),
                // The main thread panicked: the hold ends by itself.
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let sent = Instant::now();
            let reason = match holding.renew(hold) {
                Ok(true) => {
                    (pause, has_warned) = (every.min(RENEWAL_MAX), false);
                    // The main thread listens until it has said stop.
                    _ = events.send(Event::Renewed(sent));
                    continue;
                }
                Ok(false) => format!("{} is no longer held", holding.description()),
                Err(error) if error.retry() == Retry::Never => error.to_string(),
                Err(error) => {
                    if !has_warned {
                        say(&format!("{} is not renewed yet: {error}", holding.description()));
                        has_warned = true;
                    }
                    pause = every / 10;
                    continue;
                }
            };
            _ = events.send(Event::Lost(reason));
            // It is not released, because it may be another's by now.
            _ = stopped.recv();
            return false;
        }
    })
}

/// Releases what was held. Returns false if it was lost before.
fn release(holding: Holding, end: &End) -> bool {
    let description = holding.description();
    match holding.release(end.succeeded) {
        Ok(was_held) => was_held,
        Err(error) => {
            say(&format!("{description} is not released yet, but when its hold ends: {error}"));
            true
        }
    }
}

/// A command that runs while something is held.
struct Run {
    grace: Duration,
    hold: Duration,
    /// Until when the engine certainly gives what is held to no other.
    sure_until: Instant,
    command: RunningCommand,
    description: String,
    /// When the command was asked to end because the hold was lost; and whether it was killed.
    lost_at: Option<(Instant, bool)>,
}

impl Run {
    fn until_end(
        mut self,
        reports: &Receiver<Event>,
        stop: Sender<End>,
        renewer: JoinHandle<bool>,
    ) -> anyhow::Result<Outcome> {
        loop {
            match reports.recv_timeout(self.next_due()) {
                Ok(Event::Signal { number, to_foreground }) => {
                    self.command.pass_on(number, to_foreground);
                }
                Ok(Event::Renewed(sent)) => self.sure_until = sent + self.hold,
                Ok(Event::Lost(reason)) => self.on_lost(&reason),
                Ok(Event::Ended) => break,
                Err(RecvTimeoutError::Timeout) => self.on_due(),
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the thread that waits for signals lives as long as the process")
                }
            }
        }
        let status = self.command.reap()?;
        let succeeded = status.success() && self.lost_at.is_none();
        // It has ended before if the hold was lost.
        _ = stop.send(End { succeeded });
        let was_held = renewer.join().expect("the thread that renews does not panic");
        if self.lost_at.is_some() || !was_held {
            if self.lost_at.is_none() {
                say(&format!("{} was lost before the command ended", self.description));
            }
            return Ok(Outcome::silent(LOST));
        }
        Ok(Outcome::silent(command::code_of(status)))
    }

    /// How long until something is to be done unless an event comes.
    fn next_due(&self) -> Duration {
        let due = match self.lost_at {
            None => self.sure_until - self.grace,
            Some((asked, false)) => asked + self.grace,
            Some((_, true)) => return Duration::from_secs(60),
        };
        due.saturating_duration_since(Instant::now())
    }

    fn on_due(&mut self) {
        match self.lost_at {
            None if Instant::now() + self.grace >= self.sure_until => {
                let reason = format!("{} could not be renewed in time", self.description);
                self.on_lost(&reason);
            }
            Some((asked, false)) if asked.elapsed() >= self.grace => {
                say("the command has not ended yet, and is killed");
                self.command.kill();
                self.lost_at = Some((asked, true));
            }
            _ => {}
        }
    }

    fn on_lost(&mut self, reason: &str) {
        if self.lost_at.is_none() {
            say(&format!("{reason}: the command is ended"));
            self.command.terminate();
            self.lost_at = Some((Instant::now(), false));
        }
    }
}

/// How long something is held after its last renewal, unless given.
const HOLD: Duration = Duration::from_secs(30);

/// The longest time between two renewals: much shorter than any session lives.
const RENEWAL_MAX: Duration = Duration::from_secs(60);

/// The longest time of a request.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
