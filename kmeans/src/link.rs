//! The way to the other workers through an engine: every phase is a `Reduction`, every step one call to it.

use std::fmt;
use std::time::Duration;

use catena_client::{Client, Contribution, Elements, Loss, Status};
use catena_engine::Engine;

use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::error::{Error, Result};
use crate::job::Job;

/// How long a worker tries to connect, and to get an answer that nobody has to wait for.
const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// The engine that a run uses.
pub enum Place {
    /// One that runs already, by its first address.
    Running(String),
    /// One inside this process, which stops with it.
    Own(Engine),
}

impl Place {
    /// The engine at an address, or one of its own.
    ///
    /// # Errors
    ///
    /// An engine of its own does not start.
    pub fn open(address: Option<&str>) -> Result<Self> {
        match address {
            Some(address) => Ok(Self::Running(address.to_string())),
            None => Engine::builder().start().map(Self::Own).map_err(Error::Start),
        }
    }

    /// Where workers find it, in this process or another.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Running(address) => address.clone(),
            Self::Own(engine) => engine.addresses()[0].to_string(),
        }
    }

    /// Deletes what a job left on an engine that goes on without it, as far as that works: the run is over either way.
    pub fn clear(&self, job: &Job) {
        let Self::Running(address) = self else { return };
        let Ok(client) = client(address, job.timeout) else { return };
        drop(client.delete_prefix(&object(job, "")));
    }
}

/// One worker's client.
#[derive(Debug)]
pub struct Link<'a> {
    job: &'a Job,
    party: u32,
    client: Client,
}

impl<'a> Link<'a> {
    /// Connects worker `party` to the engine of `job`.
    ///
    /// # Errors
    ///
    /// No engine answers.
    pub fn join(job: &'a Job, party: u32) -> Result<Self> {
        Ok(Self { job, party, client: client(&job.engine, job.timeout)? })
    }

    fn error(&self, cause: catena_client::Error) -> Error {
        Error::Engine { address: self.job.engine.clone(), cause: Box::new(cause) }
    }
}

impl AllReduce for Link<'_> {
    fn all_reduce(&mut self, phase: Phase, op: ReduceOp, values: &mut Vec<i64>) -> Result<()> {
        let contribution = Contribution {
            party: self.party,
            parties: self.job.workers,
            round: phase.round(),
            op: match op {
                ReduceOp::Sum => catena_client::ReduceOp::Sum,
                ReduceOp::Max => catena_client::ReduceOp::Max,
            },
            hold_ms: 0,
            loss: Loss::Wait,
            elements: Elements::I64(values),
        };
        let name = object(self.job, phase);
        let reduction = self.client.reduction(&name);
        let view = reduction
            .contribute(contribution, self.job.timeout)
            .map_err(|cause| self.error(cause))?;
        let reduced = view.as_i64().filter(|reduced| reduced.len() == values.len());
        values.copy_from_slice(reduced.ok_or(Error::Foreign { object: name.clone() })?);
        Ok(())
    }

    fn last(&mut self, phase: Phase) -> Result<Option<(u64, Vec<i64>)>> {
        let name = object(self.job, phase);
        match self.client.reduction(&name).last() {
            Ok(view) => {
                let values = view.as_i64().ok_or(Error::Foreign { object: name.clone() })?;
                Ok(Some((view.round(), values.to_vec())))
            }
            Err(error) if error.status() == Some(Status::Absent) => Ok(None),
            Err(cause) => Err(self.error(cause)),
        }
    }
}

fn client(address: &str, timeout: Duration) -> Result<Client> {
    let call = timeout.min(CALL_TIMEOUT_MAX);
    let client = Client::builder().connect_timeout(call).call_timeout(call).connect(address);
    client.map_err(|cause| Error::Engine { address: address.to_string(), cause: Box::new(cause) })
}

fn object(job: &Job, name: impl fmt::Display) -> String {
    format!("{}/{name}", job.name)
}
