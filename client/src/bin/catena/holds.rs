//! Permits and locks, which are held beyond the end of a command; and futures.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use catena_client::{Client, FutureState, PermitState};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::outcome::Outcome;
use crate::values::{HoldArg, bytes, time};

#[derive(Debug, Args)]
pub(crate) struct SemaphoreArgs {
    /// Name of the semaphore
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
        #[arg(value_parser = time)]
        hold: Duration,
    },
    /// Print the numbers of free permits, holders and waiters
    State,
}

impl SemaphoreArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Outcome> {
        let semaphore = |permits| client.semaphore(&self.name, permits);
        Ok(match &self.op {
            SemaphoreCommand::Acquire { permits, count, now, hold } => {
                let semaphore = semaphore(*permits).with_hold(hold.hold());
                let permit = match now {
                    true => semaphore.try_acquire(*count)?,
                    false => Some(semaphore.acquire(*count, timeout)?),
                };
                permit.map_or_else(Outcome::nothing, |permit| granted(permit.keep()))
            }
            SemaphoreCommand::Release { token } => Outcome::truth(semaphore(1).release(*token)?),
            SemaphoreCommand::Extend { token, hold } => {
                Outcome::truth(semaphore(1).extend(*token, *hold)?)
            }
            SemaphoreCommand::State => state(semaphore(1).state()?),
        })
    }
}

/// The token of something that is held beyond the end of this command.
fn granted(token: u64) -> Outcome {
    Outcome::value(json!({"token": token})).with_text(token.to_string()).keeping_session()
}

fn state(state: PermitState) -> Outcome {
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
        #[arg(value_parser = time)]
        hold: Duration,
    },
    /// Print whether the lock is free, and the number of waiters
    State,
    /// Run a command while holding the lock; passes the token in CATENA_TOKEN and exits with 1 if
    /// the command fails
    Run {
        #[command(flatten)]
        hold: HoldArg,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

impl LockArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Outcome> {
        let lock = client.lock(&self.name);
        Ok(match &self.op {
            LockCommand::Lock { now, hold } => {
                let lock = lock.with_hold(hold.hold());
                let guard = if *now { lock.try_lock()? } else { Some(lock.lock(timeout)?) };
                guard.map_or_else(Outcome::nothing, |guard| granted(guard.keep()))
            }
            LockCommand::Unlock { token } => Outcome::truth(lock.unlock(*token)?),
            LockCommand::Extend { token, hold } => Outcome::truth(lock.extend(*token, *hold)?),
            LockCommand::State => state(lock.state()?),
            LockCommand::Run { hold, command } => {
                let [program, args @ ..] = &command[..] else { bail!("give a command to run") };
                let guard = lock.with_hold(hold.hold()).lock(timeout)?;
                let token = guard.token().to_string();
                let status = Command::new(program).args(args).env("CATENA_TOKEN", token).status();
                let held = guard.unlock()?;
                let status = status.with_context(|| format!("cannot run {program}"))?;
                if !held {
                    bail!(
                        "the lock `{}` was lost before {program} ended: give a longer --hold",
                        self.name
                    );
                }
                Outcome::done().with_text("").ending(status.success())
            }
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct FutureArgs {
    /// Name of the future
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
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Outcome> {
        let future = client.future(&self.name);
        Ok(match &self.op {
            FutureCommand::Get => Outcome::bytes(Some(future.get(timeout)?)),
            FutureCommand::Peek => Outcome::bytes(future.peek()?),
            FutureCommand::Set { value } => Outcome::truth(future.set(&bytes(value)?)?),
            FutureCommand::Cancel { reason } => Outcome::truth(future.cancel(reason)?),
            FutureCommand::State => Outcome::value(match future.state()? {
                FutureState::Pending => "pending",
                FutureState::Set => "set",
                FutureState::Cancelled => "cancelled",
            }),
        })
    }
}
