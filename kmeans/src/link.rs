//! The way to the other workers through an engine: every phase is a `Reduction`, every step one call to it.

use std::fmt;
use std::time::{Duration, Instant};

use catena_client::{Builder, Client, Contribution, Elements, Loss, ReductionOp, Status};
use catena_engine::Engine;

use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::job::Job;
use crate::lloyd;

/// How long a worker tries to connect, and to get an answer that nobody has to wait for.
const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// The longest that an engine lets anybody wait.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// The engine that a run uses.
pub enum Place {
    /// One that runs already, by an address or the place of its cluster's record.
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
        let at = Job { engine: address.clone(), ..job.clone() };
        let Ok(client) = connect(&at, |builder| builder) else { return };
        drop(client.delete_prefix(&object(job, "")));
    }
}

/// Below a job's name: how many bytes its workers have read, where they cannot tell.
const READ: &str = "read";

/// One worker's client.
#[derive(Debug)]
pub struct Link<'a> {
    job: &'a Job,
    party: u32,
    client: Client,
    /// Until when it may wait, instead of a while each time.
    until: Option<Instant>,
}

impl<'a> Link<'a> {
    /// Connects worker `party` to the engine of `job`.
    ///
    /// # Errors
    ///
    /// No engine answers.
    pub fn join(job: &'a Job, party: u32) -> Result<Self> {
        Self::join_until(job, party, None)
    }

    /// The same, for a worker that may only run for some time: it waits for the others as long as that, however long
    /// they take, and what it takes from the engine is held no longer.
    ///
    /// # Errors
    ///
    /// No engine answers.
    pub fn join_until(job: &'a Job, party: u32, until: Option<Instant>) -> Result<Self> {
        let client = connect(job, |builder| builder.makes_objects(!job.prepared))?;
        if let Some(until) = until {
            client.set_deadline(until);
        }
        Ok(Self { job, party, client, until })
    }

    /// Lets whoever watches the job know that this worker has read so much more; as far as that works.
    pub fn note_read(&self, bytes: u64) {
        if bytes > 0 {
            drop(self.client.counter(&object(self.job, READ)).add(bytes.cast_signed()));
        }
    }

    fn error(&self, object: &str, cause: catena_client::Error) -> Error {
        match cause.status() {
            // Whoever drives the job made it, so it was there.
            Some(Status::Absent | Status::Deleted) if self.job.prepared => {
                Error::Over { object: object.to_string() }
            }
            _ => engine_error(self.job, cause),
        }
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
        let timeout = match self.until {
            None => self.job.settings.timeout,
            Some(until) => until.saturating_duration_since(Instant::now()),
        };
        let out_of_time = || Error::OutOfTime { at: phase.step_name() };
        if timeout.is_zero() {
            return Err(out_of_time());
        }
        let round = phase.round();
        let view = match reduction.contribute(contribution, timeout.min(WAIT_MAX)) {
            Ok(view) => view,
            Err(cause) if cause.status() == Some(Status::WrongRound) => {
                return Err(Error::Behind { object: name, round });
            }
            // The contribution stays where it is.
            Err(catena_client::Error::TimedOut { .. }) if self.until.is_some() => {
                return Err(out_of_time());
            }
            Err(cause) => return Err(self.error(&name, cause)),
        };
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
            Err(cause) => Err(self.error(&name, cause)),
        }
    }
}

/// Looks at a job from outside, by its objects.
#[derive(Debug)]
pub struct Watch<'a> {
    job: &'a Job,
    client: Client,
}

impl<'a> Watch<'a> {
    /// Connects to the engine of `job`.
    ///
    /// # Errors
    ///
    /// No engine answers.
    pub fn open(job: &'a Job) -> Result<Self> {
        Ok(Self { job, client: connect(job, |builder| builder)? })
    }

    /// Makes all objects that the workers of the job will use. A worker that is told so ([`Job::prepared`]) makes none,
    /// so that one that outlives the job, wherever it is by then, cannot leave any behind.
    ///
    /// # Errors
    ///
    /// The engine is gone, or has no room.
    pub fn prepare(&self) -> Result<()> {
        let phases: Vec<_> = phases(self.job).map(|phase| object(self.job, phase)).collect();
        let phases: Vec<_> = phases.iter().map(|name| self.client.reduction(name)).collect();
        let mut pipeline = self.client.pipeline();
        for reduction in &phases {
            // One that nobody has contributed to is not changed by it.
            pipeline.push(reduction, ReductionOp::Reset);
        }
        pipeline.run().all_ok().map_err(|cause| self.error(cause))?;
        let read = self.client.counter(&object(self.job, READ)).set(0);
        read.map(drop).map_err(|cause| self.error(cause))
    }

    /// Bytes that workers say they have read.
    ///
    /// # Errors
    ///
    /// The engine is gone.
    pub fn read(&self) -> Result<u64> {
        let read = self.client.counter(&object(self.job, READ)).get();
        Ok(read.map_err(|cause| self.error(cause))?.unsigned_abs())
    }

    /// The last round that is complete, and how many points changed their label in it.
    ///
    /// # Errors
    ///
    /// The engine is gone.
    pub fn round(&self) -> Result<Option<(u64, i64)>> {
        let mut last = None;
        for phase in [Phase::Step(0), Phase::Step(1)] {
            match self.client.reduction(&object(self.job, phase)).last() {
                Ok(view) => {
                    let (k, dims) = (self.job.settings.k, self.job.data.dims());
                    let moved = view.as_i64().and_then(|totals| lloyd::moved(totals, k, dims));
                    let seen = moved.map(|moved| (phase.step_of(view.round()), moved));
                    last = last.max(seen);
                }
                Err(error) if error.status() == Some(Status::Absent) => {}
                Err(cause) => return Err(self.error(cause)),
            }
        }
        Ok(last)
    }

    /// Sends everybody home who waits for others, or would.
    ///
    /// # Errors
    ///
    /// The engine is gone.
    pub fn abandon(&self, reason: &str) -> Result<()> {
        // Where workers wait, or may come to wait yet.
        phases(self.job).try_for_each(|phase| {
            let broken = self.client.reduction(&object(self.job, phase)).break_with(reason);
            broken.map(drop).map_err(|cause| self.error(cause))
        })
    }

    fn error(&self, cause: catena_client::Error) -> Error {
        engine_error(self.job, cause)
    }
}

/// A client of a job's engine. If that is a cluster with its record in a store, the store is the data's, or as the
/// environment says.
fn connect(job: &Job, options: impl FnOnce(Builder) -> Builder) -> Result<Client> {
    let call = job.settings.timeout.min(CALL_TIMEOUT_MAX);
    let builder = Client::builder().connect_timeout(call).call_timeout(call);
    #[cfg(feature = "s3")]
    let builder = builder.s3(job.data.endpoint().settings());
    #[cfg(not(feature = "s3"))]
    if job.engine.contains("s3://") {
        return Err(Error::NotBuilt { what: job.engine.clone(), feature: "s3" });
    }
    options(builder).connect(&job.engine).map_err(|cause| engine_error(job, cause))
}

fn engine_error(job: &Job, cause: catena_client::Error) -> Error {
    Error::Engine { address: job.engine.clone(), cause: Box::new(cause) }
}

/// A phase on each of the objects of a job.
fn phases(job: &Job) -> impl Iterator<Item = Phase> {
    Phase::objects(if job.settings.init == Init::PlusPlus { job.settings.k as u64 } else { 1 })
}

fn object(job: &Job, name: impl fmt::Display) -> String {
    format!("{}/{name}", job.name)
}
