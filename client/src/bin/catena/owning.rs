//! What one call can hold beyond its end: permits and locks; and futures.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use catena_client::{Client, FutureState, PermitState};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::answer::Answer;
use crate::values::{HoldArg, bytes, time};

#[derive(Debug, Args)]
pub(crate) struct SemaphoreArgs {
    /// The semaphore's name.
    name: String,
    #[command(subcommand)]
    op: SemaphoreOp,
}

#[derive(Debug, Subcommand)]
enum SemaphoreOp {
    /// Waits for permits, and prints the token to release them with.
    Acquire {
        /// How many permits there are in all: the same for everybody.
        #[arg(long)]
        permits: u32,
        /// How many to take.
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Do not wait for them.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        hold: HoldArg,
    },
    /// Releases what was acquired with a token.
    Release { token: u64 },
    /// Lets the holder of a token hold for so long from now on.
    Extend {
        token: u64,
        #[arg(value_parser = time)]
        hold: Duration,
    },
    /// Prints how many permits are free, and how many there are.
    State,
}

impl SemaphoreArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Answer> {
        let semaphore = |permits| client.semaphore(&self.name, permits);
        Ok(match &self.op {
            SemaphoreOp::Acquire { permits, count, now, hold } => {
                let semaphore = semaphore(*permits).with_hold(hold.hold());
                let permit = match now {
                    true => semaphore.try_acquire(*count)?,
                    false => Some(semaphore.acquire(*count, timeout)?),
                };
                permit.map_or_else(Answer::nothing, |permit| granted(permit.keep()))
            }
            SemaphoreOp::Release { token } => Answer::truth(semaphore(1).release(*token)?),
            SemaphoreOp::Extend { token, hold } => {
                Answer::truth(semaphore(1).extend(*token, *hold)?)
            }
            SemaphoreOp::State => state(semaphore(1).state()?),
        })
    }
}

/// Something that is held beyond the end of this call.
fn granted(token: u64) -> Answer {
    Answer::value(json!({"token": token})).with_text(token.to_string()).keeping()
}

fn state(state: PermitState) -> Answer {
    let PermitState { available, permits, holders, waiting } = state;
    let text = format!("{available} of {permits} free, {holders} holding, {waiting} waiting");
    let json = json!({
        "available": available, "permits": permits, "holders": holders, "waiting": waiting,
    });
    Answer::value(json).with_text(text)
}

#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// The lock's name.
    name: String,
    #[command(subcommand)]
    op: LockOp,
}

#[derive(Debug, Subcommand)]
enum LockOp {
    /// Waits for the lock, and prints the fencing token, with which it is unlocked too.
    #[command(visible_alias = "acquire")]
    Lock {
        /// Do not wait for it.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        hold: HoldArg,
    },
    /// Unlocks with the token that locking printed.
    #[command(visible_alias = "release")]
    Unlock { token: u64 },
    /// Lets the holder of a token hold the lock for so long from now on.
    Extend {
        token: u64,
        #[arg(value_parser = time)]
        hold: Duration,
    },
    /// Prints whether it is free.
    State,
    /// Holds the lock while a command runs, which finds the fencing token in `CATENA_TOKEN`; ends as
    /// the command does.
    Run {
        #[command(flatten)]
        hold: HoldArg,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

impl LockArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Answer> {
        let lock = client.lock(&self.name);
        Ok(match &self.op {
            LockOp::Lock { now, hold } => {
                let lock = lock.with_hold(hold.hold());
                let guard = if *now { lock.try_lock()? } else { Some(lock.lock(timeout)?) };
                guard.map_or_else(Answer::nothing, |guard| granted(guard.keep()))
            }
            LockOp::Unlock { token } => Answer::truth(lock.unlock(*token)?),
            LockOp::Extend { token, hold } => Answer::truth(lock.extend(*token, *hold)?),
            LockOp::State => state(lock.state()?),
            LockOp::Run { hold, command } => {
                let [program, args @ ..] = &command[..] else {
                    bail!("there is no command to run")
                };
                let guard = lock.with_hold(hold.hold()).lock(timeout)?;
                let token = guard.token().to_string();
                let status = Command::new(program).args(args).env("CATENA_TOKEN", token).status();
                let held = guard.unlock()?;
                let status = status.with_context(|| format!("cannot run {program}"))?;
                if !held {
                    bail!(
                        "the lock was lost before {program} ended: it ran for longer than --hold"
                    );
                }
                Answer::done().with_text("").ending(status.success())
            }
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct FutureArgs {
    /// The future's name.
    name: String,
    #[command(subcommand)]
    op: FutureOp,
}

#[derive(Debug, Subcommand)]
enum FutureOp {
    /// Waits for the value, and prints it.
    Get,
    /// Prints the value if it is there.
    Peek,
    /// Sets the value, once. A no if it was set before.
    Set { value: String },
    /// Gives up on it: whoever waits is told the reason.
    Cancel { reason: String },
    /// Prints `pending`, `set` or `cancelled`.
    State,
}

impl FutureArgs {
    pub(crate) fn run(&self, client: &Client, timeout: Duration) -> anyhow::Result<Answer> {
        let future = client.future(&self.name);
        Ok(match &self.op {
            FutureOp::Get => Answer::bytes(Some(future.get(timeout)?)),
            FutureOp::Peek => Answer::bytes(future.peek()?),
            FutureOp::Set { value } => Answer::truth(future.set(&bytes(value)?)?),
            FutureOp::Cancel { reason } => Answer::truth(future.cancel(reason)?),
            FutureOp::State => Answer::value(match future.state()? {
                FutureState::Pending => "pending",
                FutureState::Set => "set",
                FutureState::Cancelled => "cancelled",
            }),
        })
    }
}
