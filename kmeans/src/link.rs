//! The workers' connection to each other through an engine: each phase is a `Reduction`, each step
//! one call to it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catena_client::{Builder, Client, Contribution, Elements, Loss, ReductionOp, Status};
use catena_engine::Engine;

use crate::coordination::{AllReduce, Phase, ReduceOp, STEPS};
use crate::error::{Error, Result};
use crate::init;
use crate::job::Job;
use crate::lloyd;
use crate::resume::JobPlan;
use crate::settings::Settings;

/// How long a worker tries to connect, and waits for replies that do not depend on other workers.
const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// The most values of one reduction, half of what a request can contain; contributions of more are
/// divided among several.
const VALUES_MAX: usize = 1 << 20;

/// The longest that an engine lets a request wait.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// The engine of a job.
pub enum JobEngine {
    /// A running engine, by an address or the location of its cluster's record.
    Remote(String),
    /// An engine inside this process, which stops with it.
    Embedded(Engine),
}

impl JobEngine {
    /// Returns the engine at an address, or starts one inside this process.
    ///
    /// # Errors
    ///
    /// The engine inside this process does not start.
    pub fn open(address: Option<&str>) -> Result<Self> {
        match address {
            Some(address) => Ok(Self::Remote(address.to_string())),
            None => Engine::builder().start().map(Self::Embedded).map_err(Error::Start),
        }
    }

    /// Returns the address for workers in this process or another.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Remote(address) => address.clone(),
            Self::Embedded(engine) => engine.addresses()[0].to_string(),
        }
    }

    /// Deletes the objects of a job on an engine that goes on running. Errors are ignored, because
    /// the run is over.
    pub fn clear(&self, job: &Job) {
        let Self::Remote(address) = self else { return };
        let job = Job { engine: address.clone(), ..job.clone() };
        let Ok(client) = connect(&job, |builder| builder) else { return };
        drop(client.delete_prefix(&object(&job, "")));
    }
}

/// The counter, below a job's name, of bytes that workers on Lambda have read: they cannot report
/// progress.
const READ: &str = "read";

/// The cell, below a job's name, that says what a job is that another driver may go on with.
const PLAN: &str = "plan";

/// One worker's client.
#[derive(Debug)]
pub struct EngineLink<'a> {
    job: &'a Job,
    party: u32,
    client: Client,
    /// The end of the worker's time. It replaces the job's timeout.
    until: Option<Instant>,
    /// The rank of the last phase that is complete.
    reached: AtomicU64,
}

impl<'a> EngineLink<'a> {
    /// Connects worker `party` to the engine of `job`.
    ///
    /// # Errors
    ///
    /// The engine is unreachable.
    pub fn join(job: &'a Job, party: u32) -> Result<Self> {
        Self::join_until(job, party, None)
    }

    /// Connects a worker whose time is limited: it waits for other workers until then, and what it
    /// holds on the engine expires then.
    ///
    /// # Errors
    ///
    /// The engine is unreachable.
    pub fn join_until(job: &'a Job, party: u32, until: Option<Instant>) -> Result<Self> {
        let client = connect(job, |builder| builder.makes_objects(!job.prepared))?;
        if let Some(until) = until {
            client.set_deadline(until);
        }
        Ok(Self { job, party, client, until, reached: AtomicU64::new(0) })
    }

    /// Adds to the number of bytes that workers have read, for [`JobWatch::read`]. Errors are
    /// ignored.
    pub fn note_read(&self, bytes: u64) {
        if bytes > 0 {
            drop(self.client.counter(&object(self.job, READ)).add(bytes.cast_signed()));
        }
    }

    /// Returns how far the job has come as this worker knows: a number that grows with every phase that
    /// a later attempt need not compute again.
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }

    fn error(&self, object: &str, cause: catena_client::Error) -> Error {
        match cause.status() {
            // The driver created it, so it existed.
            Some(Status::Absent | Status::Deleted) if self.job.prepared => {
                Error::Over { object: object.to_string() }
            }
            _ => engine_error(self.job, cause),
        }
    }
}

impl AllReduce for EngineLink<'_> {
    fn all_reduce(&mut self, phase: Phase, op: ReduceOp, values: &mut Vec<i64>) -> Result<()> {
        assert_eq!(values.len(), length(self.job, phase), "the length of {phase} is known");
        // In order, so that the last piece is complete when all are.
        for (piece, values) in values.chunks_mut(VALUES_MAX).enumerate() {
            let name = piece_name(self.job, phase, piece);
            self.reduce(&name, phase, self.job.workers, op, values)?;
        }
        self.reached.fetch_max(phase.rank(), Ordering::Relaxed);
        Ok(())
    }

    fn last(&mut self, phase: Phase) -> Result<Option<(u64, Vec<i64>)>> {
        let mut all: Option<(u64, Vec<i64>)> = None;
        for name in pieces(self.job, phase) {
            let (round, values) = match self.client.reduction(&name).last() {
                Ok(view) => {
                    let values = view.as_i64().ok_or(Error::Foreign { object: name.clone() })?;
                    (view.round(), values.to_vec())
                }
                Err(error) if error.status() == Some(Status::Absent) => return Ok(None),
                Err(cause) => return Err(self.error(&name, cause)),
            };
            match &mut all {
                None => all = Some((round, values)),
                Some((first, all)) if *first == round => all.extend(values),
                // The round is not complete in all pieces.
                Some(_) => return Ok(None),
            }
        }
        Ok(all)
    }
}

impl EngineLink<'_> {
    /// Contributes to one piece of a phase.
    fn reduce(
        &self,
        name: &str,
        phase: Phase,
        parties: u32,
        op: ReduceOp,
        values: &mut [i64],
    ) -> Result<()> {
        let contribution = Contribution {
            party: if parties == 1 { 0 } else { self.party },
            parties,
            round: phase.round(),
            op: match op {
                ReduceOp::Sum => catena_client::ReduceOp::Sum,
                ReduceOp::Max => catena_client::ReduceOp::Max,
            },
            hold_ms: 0,
            loss: Loss::Wait,
            elements: Elements::I64(values),
        };
        let reduction = self.client.reduction(name);
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
                return Err(Error::Behind { object: name.to_string(), round });
            }
            // The contribution is kept.
            Err(catena_client::Error::TimedOut { .. }) if self.until.is_some() => {
                return Err(out_of_time());
            }
            Err(cause) => return Err(self.error(name, cause)),
        };
        let reduced = view.as_i64().filter(|reduced| reduced.len() == values.len());
        values.copy_from_slice(reduced.ok_or(Error::Foreign { object: name.to_string() })?);
        Ok(())
    }

    /// Leaves the centroids of the result for the driver ([`JobWatch::result`]), because they may be
    /// larger than what an invocation can return.
    ///
    /// # Errors
    ///
    /// The engine is unreachable.
    pub fn leave_result(&self, centroids: &[f64]) -> Result<()> {
        let mut values: Vec<i64> = centroids.iter().map(|c| c.to_bits().cast_signed()).collect();
        for (name, values) in result_pieces(self.job).zip(values.chunks_mut(VALUES_MAX)) {
            self.reduce(&name, Phase::Initial, 1, ReduceOp::Max, values)?;
        }
        Ok(())
    }
}

/// The driver's view of a job, through the job's objects.
#[derive(Debug)]
pub struct JobWatch<'a> {
    job: &'a Job,
    client: Client,
}

impl<'a> JobWatch<'a> {
    /// Connects to the engine of `job`.
    ///
    /// # Errors
    ///
    /// The engine is unreachable.
    pub fn open(job: &'a Job) -> Result<Self> {
        Ok(Self { job, client: connect(job, |builder| builder)? })
    }

    /// Creates all objects of the job. Its workers ([`Job::prepared`]) then create none, so that a
    /// worker that outlives the job leaves no objects behind. Of a job that is [`Job::resumable`] and was
    /// prepared before, it leaves the objects as they are.
    ///
    /// # Errors
    ///
    /// The engine is unreachable or out of memory; the job that was begun under this name is another one.
    pub fn prepare(&self) -> Result<()> {
        if self.job.resumable && self.is_begun()? {
            return Ok(());
        }
        let names = phases(self.job).flat_map(|phase| pieces(self.job, phase));
        let phases: Vec<_> = names.chain(result_pieces(self.job)).collect();
        let phases: Vec<_> = phases.iter().map(|name| self.client.reduction(name)).collect();
        let mut pipeline = self.client.pipeline();
        for reduction in &phases {
            // This creates a reduction and does not change one without contributions.
            pipeline.push(reduction, ReductionOp::Reset);
        }
        pipeline.run().all_ok().map_err(|cause| self.error(cause))?;
        // The last one: where it exists, all do.
        let read = self.client.counter(&object(self.job, READ)).set(0);
        read.map(drop).map_err(|cause| self.error(cause))
    }

    /// Leaves what the job is, or compares it with what an earlier driver has left. Returns whether that
    /// driver had created all objects, so that workers may have contributed to them.
    fn is_begun(&self) -> Result<bool> {
        let plan = JobPlan::of(self.job);
        let cell = self.client.cell(&object(self.job, PLAN));
        // Version 0 is that of a cell that does not exist.
        let left = cell.compare_version_and_set(0, &plan.to_bytes());
        if left.map_err(|cause| self.error(cause))?.swapped {
            return Ok(false);
        }
        let begun = cell.get().map_err(|cause| self.error(cause))?;
        plan.check(self.job, &begun)?;
        let read = self.client.inspect(&object(self.job, READ));
        Ok(read.map_err(|cause| self.error(cause))?.is_some())
    }

    /// Returns how many bytes workers have read ([`EngineLink::note_read`]).
    ///
    /// # Errors
    ///
    /// The engine is unreachable.
    pub fn read(&self) -> Result<u64> {
        let read = self.client.counter(&object(self.job, READ)).get();
        Ok(read.map_err(|cause| self.error(cause))?.unsigned_abs())
    }

    /// Returns the last complete round, and how many points changed their label in it.
    ///
    /// # Errors
    ///
    /// The engine is unreachable.
    pub fn round(&self) -> Result<Option<(u64, i64)>> {
        let (k, dims) = (self.job.settings.k, self.job.data.dims());
        let at = lloyd::moved_at(k, dims);
        let (piece, at) = (at / VALUES_MAX, at % VALUES_MAX);
        let mut last = None;
        for phase in (0..STEPS).map(Phase::Step) {
            match self.client.reduction(&piece_name(self.job, phase, piece)).last() {
                Ok(view) => {
                    let moved = view.as_i64().and_then(|totals| totals.get(at).copied());
                    let seen = moved.map(|moved| (phase.step_of(view.round()), moved));
                    last = last.max(seen);
                }
                Err(error) if error.status() == Some(Status::Absent) => {}
                Err(cause) => return Err(self.error(cause)),
            }
        }
        Ok(last)
    }

    /// Returns the centroids that a worker has left ([`EngineLink::leave_result`]).
    ///
    /// # Errors
    ///
    /// The engine is unreachable, or was restarted.
    pub fn result(&self) -> Result<Vec<f64>> {
        let mut centroids = Vec::new();
        for name in result_pieces(self.job) {
            let view = self.client.reduction(&name).last().map_err(|cause| self.error(cause))?;
            let values = view.as_i64().ok_or(Error::Foreign { object: name.clone() })?;
            centroids.extend(values.iter().map(|bits| f64::from_bits(bits.cast_unsigned())));
        }
        Ok(centroids)
    }

    /// Breaks all reductions of the job, so that workers that wait for others return.
    ///
    /// # Errors
    ///
    /// The engine is unreachable.
    pub fn abandon(&self, reason: &str) -> Result<()> {
        phases(self.job).flat_map(|phase| pieces(self.job, phase)).try_for_each(|name| {
            let broken = self.client.reduction(&name).break_with(reason);
            broken.map(drop).map_err(|cause| self.error(cause))
        })
    }

    fn error(&self, cause: catena_client::Error) -> Error {
        engine_error(self.job, cause)
    }
}

/// Connects to the engine of a job. A cluster's record may be in a store: in that of the data, with
/// what the environment says of the rest.
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
    if cause.status() == Some(Status::OutOfMemory) {
        let (k, dims) = (job.settings.k, job.data.dims());
        return Error::EngineMemory { address: job.engine.clone(), k, dims };
    }
    Error::Engine { address: job.engine.clone(), cause: Box::new(cause) }
}

/// Returns one phase for each object of a job.
fn phases(job: &Job) -> impl Iterator<Item = Phase> {
    let Settings { k, ref init, .. } = job.settings;
    Phase::objects(init::calls(init, k))
}

/// Returns the number of values of a phase.
fn length(job: &Job, phase: Phase) -> usize {
    let Settings { k, ref init, .. } = job.settings;
    let (dims, parties) = (job.data.dims(), job.workers as usize);
    match phase {
        Phase::Init(call) => init::length(init, Some(call), k, dims, parties),
        Phase::Initial => init::length(init, None, k, dims, parties),
        _ => lloyd::length(phase, k, dims, parties, job.data.weighted()),
    }
}

/// Returns the names of the objects of a phase.
fn pieces(job: &Job, phase: Phase) -> impl Iterator<Item = String> {
    (0..length(job, phase).div_ceil(VALUES_MAX)).map(move |piece| piece_name(job, phase, piece))
}

/// Returns the names of the objects of the result, each of which has one party.
fn result_pieces(job: &Job) -> impl Iterator<Item = String> {
    let count = job.settings.k * job.data.dims();
    (0..count.div_ceil(VALUES_MAX)).map(|piece| object(job, format_args!("result/{piece}")))
}

fn piece_name(job: &Job, phase: Phase, piece: usize) -> String {
    match piece {
        0 => object(job, phase),
        _ => object(job, format_args!("{phase}/{piece}")),
    }
}

fn object(job: &Job, name: impl fmt::Display) -> String {
    format!("{}/{name}", job.name)
}
