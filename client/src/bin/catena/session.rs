//! Executes commands, with one client for all of them.

use std::time::Duration;

use anyhow::Context as _;
use catena_client::Client;

use crate::context::Context;
use crate::outcome::{Format, Outcome, Stake};
use crate::place::PlaceArgs;
use crate::values::{HOLD_MAX, Input};
use crate::{Options, ToolCommand};

/// Executes commands on the same engine. It connects when the first one needs that.
pub(crate) struct Session {
    place: PlaceArgs,
    client: Option<Client>,
    /// Further commands may follow, of any kind.
    of_many: bool,
    /// A command took something that is held beyond the end of this process.
    keeps_client: bool,
}

impl Session {
    /// A session of one command, or of many.
    pub(crate) fn new(place: PlaceArgs, of_many: bool) -> Session {
        Session { place, client: None, of_many, keeps_client: false }
    }

    /// The address of the engine, or the place of the record.
    pub(crate) fn engine(&self) -> String {
        self.place.engine()
    }

    /// Executes a command.
    pub(crate) fn execute(
        &mut self,
        command: &ToolCommand,
        options: &Options,
        input: Input,
    ) -> anyhow::Result<Outcome> {
        let timeout = options.timeout.unwrap_or(WAIT_TIMEOUT);
        let engine = self.place.engine();
        let run = match command {
            ToolCommand::Lock(args) => args.run_args(),
            ToolCommand::Semaphore(args) => args.run_args(),
            ToolCommand::List(args) => args.run_args(),
            _ => None,
        };
        if let Some((what, run)) = run {
            return run.run(&self.place.builder()?, &engine, what, timeout);
        }
        if let ToolCommand::Cluster(args) = command {
            return args.run(self.place.builder()?, &engine, options.timeout, options.format());
        }
        let on = &Context {
            client: self.client_for(command.may_hold())?,
            timeout,
            input,
            format: options.format(),
        };
        let outcome = match command {
            ToolCommand::Counter(args) => args.run(on),
            ToolCommand::Flag(args) => args.run(on),
            ToolCommand::Cell(args) => args.run(on),
            ToolCommand::Vector(args) => args.run(on),
            ToolCommand::List(args) => args.run(on),
            ToolCommand::Map(args) => args.run(on),
            ToolCommand::Set(args) => args.run(on),
            ToolCommand::Semaphore(args) => args.run(on),
            ToolCommand::Lock(args) => args.run(on),
            ToolCommand::Future(args) => args.run(on),
            ToolCommand::Barrier(args) => args.run(on),
            ToolCommand::Latch(args) => args.run(on),
            ToolCommand::Reduction(args) => args.run(on),
            ToolCommand::Log(args) => args.run(on),
            ToolCommand::Ls(args) => args.run(on),
            ToolCommand::Inspect(args) => args.run(on),
            ToolCommand::Rm(args) => args.run(on),
            ToolCommand::Wait(args) => args.run(on),
            ToolCommand::Expire(args) => args.run(on),
            ToolCommand::Quota(args) => args.run(on),
            ToolCommand::Usage(args) => args.run(on),
            ToolCommand::Ping(args) => args.run(on),
            ToolCommand::Top(args) => args.run(on),
            ToolCommand::Monitor(args) => args.run(on),
            ToolCommand::Dump(args) => args.run(on),
            ToolCommand::Restore(args) => args.run(on),
            ToolCommand::Cluster(_)
            | ToolCommand::Shell
            | ToolCommand::Batch(_)
            | ToolCommand::Completions { .. } => {
                unreachable!("it is executed elsewhere")
            }
        }?;
        Ok(outcome)
    }

    /// Prints the outcome of a command, and returns its exit code. If that fails, what only the outcome
    /// says is not lost: what is held is given back, and other results are in the error.
    pub(crate) fn print(&mut self, outcome: &Outcome, format: Format) -> anyhow::Result<u8> {
        match (outcome.print(format), &outcome.stake) {
            (Ok(()), _) => {
                self.keeps_client |= outcome.keeps_session;
                Ok(outcome.code)
            }
            (Err(error), None) => {
                self.keeps_client |= outcome.keeps_session;
                Err(error.into())
            }
            (Err(error), Some(Stake::Result)) => Err(error.with_result(outcome.json_text()).into()),
            (Err(error), Some(Stake::Held { what, token })) => {
                let client = self.client.as_ref().context("it was taken through a client")?;
                let error = anyhow::Error::from(error);
                Err(match what.release(client, *token, false) {
                    Ok(_) => error.context(format!("{} was given back", what.description())),
                    Err(failure) => error.context(format!(
                        "{} is held until its time is up, under the token {token}, because it could \
                         not be given back ({failure})",
                        what.description()
                    )),
                })
            }
        }
    }

    /// The client, connected if it is not yet.
    pub(crate) fn client(&mut self) -> anyhow::Result<&Client> {
        self.client_for(self.of_many)
    }

    fn client_for(&mut self, may_hold: bool) -> anyhow::Result<&Client> {
        if self.client.is_none() {
            let mut builder = self.place.builder()?;
            // What is held ends with the session, which is not used again once this process ends.
            if may_hold || self.of_many {
                builder = builder.session_ttl(HOLD_MAX);
            }
            self.client = Some(builder.connect(self.place.engine())?);
        }
        Ok(self.client.as_ref().expect("it was connected"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.keeps_client {
            // Its sessions must not be closed.
            std::mem::forget(self.client.take());
        }
    }
}

/// Maximum time that a blocking command waits, unless given.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
