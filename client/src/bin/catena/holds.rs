//! Permits and locks, which are held beyond the end of a command; and futures.

use std::time::Duration;

use catena_client::{FutureState, PermitState};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::context::Context;
use crate::outcome::{Outcome, found};
use crate::run::{RunArgs, What};
use crate::values::{HoldArg, time};
use crate::words;

#[derive(Debug, Args)]
pub(crate) struct SemaphoreArgs {
    /// Name of the semaphore
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: SemaphoreCommand,
}

#[derive(Debug, Subcommand)]
enum SemaphoreCommand {
    /// Acquire permits, waiting for them, and print the token to release them with
    Acquire {
        /// Total number of permits, the same in all commands
        #[arg(long)]
        permits: u32,
        /// Number of permits to acquire
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Do not wait for permits
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        hold: HoldArg,
    },
    /// Release the permits of a token
    Release { token: u64 },
    /// Extend the hold of a token to this long from now
    Extend {
        token: u64,
        /// Such as `60s`; the hold ends at the latest 1h after it was taken
        #[arg(value_parser = time)]
        hold: Duration,
    },
    /// Print the numbers of free permits, holders and waiters
    State,
    /// Run a command while holding permits, renewing the hold; pass the fencing token in
    /// CATENA_TOKEN, and exit with the code of the command
    #[command(after_help = RUN_CODES)]
    Run {
        /// Total number of permits, the same in all commands
        #[arg(long)]
        permits: u32,
        /// Number of permits to acquire
        #[arg(long, default_value_t = 1)]
        count: u32,
        #[command(flatten)]
        run: RunArgs,
    },
}

/// What `run` does, for its help.
pub(crate) const RUN_CODES: &str = "\
Signals that end programs (TERM, INT, HUP, QUIT, USR1, USR2) are passed on to the command, which is
then waited for. If the hold is lost, the command gets TERM, and KILL after --grace.

Exit codes: that of the command, 128 + N if it was ended by signal N; 125 if the hold was lost while
it ran; 126 if it cannot be executed, 127 if it is not found. If it was not started: 1 not free
(--now), 3 timed out, 4 no engine answers, 5 refused.";

impl SemaphoreArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let semaphore = |permits| on.client.semaphore(&self.name, permits);
        Ok(match &self.op {
            SemaphoreCommand::Acquire { permits, count, now, hold } => {
                let semaphore = semaphore(*permits).with_hold(hold.hold());
                let permit = match now {
                    true => semaphore.try_acquire(*count)?,
                    false => Some(semaphore.acquire(*count, on.timeout)?),
                };
                let what =
                    What::Permits { name: self.name.clone(), permits: *permits, count: *count };
                permit.map_or_else(Outcome::nothing, |permit| granted(what, permit.keep()))
            }
            SemaphoreCommand::Release { token } => Outcome::truth(semaphore(1).release(*token)?),
            SemaphoreCommand::Extend { token, hold } => {
                Outcome::truth(semaphore(1).extend(*token, *hold)?)
            }
            SemaphoreCommand::State => state(found(semaphore(1).state())?),
            SemaphoreCommand::Run { .. } => unreachable!("it has a client of its own"),
        })
    }

    /// What is to be held while a command runs, if that is what it asks for.
    pub(crate) fn run_args(&self) -> Option<(What, RunArgs)> {
        match &self.op {
            SemaphoreCommand::Run { permits, count, run } => {
                let (name, permits, count) = (self.name.clone(), *permits, *count);
                Some((What::Permits { name, permits, count }, run.clone()))
            }
            _ => None,
        }
    }
}

/// The token of something that is held beyond the end of this command.
fn granted(what: What, token: u64) -> Outcome {
    Outcome::value(json!({"token": token})).with_text(token.to_string()).holding(what, token)
}

fn state(state: Option<PermitState>) -> Outcome {
    let Some(state) = state else { return Outcome::nothing() };
    let PermitState { available, permits, holders, waiting } = state;
    let text = format!("{available} of {permits} free, {holders} holding, {waiting} waiting");
    let json = json!({
        "available": available, "permits": permits, "holders": holders, "waiting": waiting,
    });
    Outcome::value(json).with_text(text)
}

#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// Name of the lock
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: LockCommand,
}

#[derive(Debug, Subcommand)]
enum LockCommand {
    /// Take the lock, waiting for it, and print the fencing token, which also unlocks it
    #[command(visible_alias = "acquire")]
    Lock {
        /// Do not wait for the lock
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        hold: HoldArg,
    },
    /// Release the lock of a token
    #[command(visible_alias = "release")]
    Unlock { token: u64 },
    /// Extend the hold of a token to this long from now
    Extend {
        token: u64,
        /// Such as `60s`; the hold ends at the latest 1h after it was taken
        #[arg(value_parser = time)]
        hold: Duration,
    },
    /// Print whether the lock is free, and the number of waiters
    State,
    /// Run a command while holding the lock, renewing the hold; pass the fencing token in
    /// CATENA_TOKEN, and exit with the code of the command
    #[command(after_help = RUN_CODES)]
    Run(RunArgs),
}

impl LockArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let lock = on.client.lock(&self.name);
        Ok(match &self.op {
            LockCommand::Lock { now, hold } => {
                let lock = lock.with_hold(hold.hold());
                let guard = if *now { lock.try_lock()? } else { Some(lock.lock(on.timeout)?) };
                let what = What::Lock(self.name.clone());
                guard.map_or_else(Outcome::nothing, |guard| granted(what, guard.keep()))
            }
            LockCommand::Unlock { token } => Outcome::truth(lock.unlock(*token)?),
            LockCommand::Extend { token, hold } => Outcome::truth(lock.extend(*token, *hold)?),
            LockCommand::State => state(found(lock.state())?),
            LockCommand::Run(_) => unreachable!("it has a client of its own"),
        })
    }

    /// What is to be held while a command runs, if that is what it asks for.
    pub(crate) fn run_args(&self) -> Option<(What, RunArgs)> {
        match &self.op {
            LockCommand::Run(run) => Some((What::Lock(self.name.clone()), run.clone())),
            _ => None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct FutureArgs {
    /// Name of the future
    #[arg(allow_hyphen_values = true, value_parser = words::name)]
    name: String,
    #[command(subcommand)]
    op: FutureCommand,
}

#[derive(Debug, Subcommand)]
enum FutureCommand {
    /// Wait for the value, and print it
    Get,
    /// Print the value if it is set
    Peek,
    /// Set the value, and print whether it was not set before
    Set { value: String },
    /// Cancel the future: waiting commands fail with this reason
    Cancel { reason: String },
    /// Print `pending`, `set` or `cancelled`
    State,
}

impl FutureArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let future = on.client.future(&self.name);
        Ok(match &self.op {
            FutureCommand::Get => Outcome::bytes(Some(future.get(on.timeout)?)),
            FutureCommand::Peek => Outcome::bytes(future.peek()?),
            FutureCommand::Set { value } => Outcome::truth(future.set(&on.bytes(value)?)?),
            FutureCommand::Cancel { reason } => Outcome::truth(future.cancel(reason)?),
            FutureCommand::State => Outcome::value(match future.state()? {
                FutureState::Pending => "pending",
                FutureState::Set => "set",
                FutureState::Cancelled => "cancelled",
            }),
        })
    }
}
