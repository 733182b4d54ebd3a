//! The result of a run, collected from what its workers report.

use std::time::Instant;

use super::{SampledPoint, WorkerEvent, WorkerResult};
use crate::data::index;
use crate::lloyd::RoundStats;

/// The result of a run.
#[derive(Debug)]
pub struct RunSummary {
    /// The result that all workers share, with the sum of what they found missing.
    pub done: WorkerResult,
    /// Labels of all points in order, if the job asks for them.
    pub labels: Vec<u32>,
    /// Points for the report, if the job asks for them.
    pub sample: Vec<SampledPoint>,
    /// Rounds that were over before this driver's workers began.
    pub rounds_before: u64,
    /// Every other round, over all workers.
    pub rounds: Vec<RoundSummary>,
    /// From the start of the first worker to the end of the last one, reading included.
    pub seconds_total: f64,
    /// The longest time that a worker took to read its rows.
    pub seconds_loading: f64,
}

/// One round, over all workers.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundSummary {
    /// Sum of squared distances to the round's centres.
    pub cost: f64,
    /// Points with another label than in the round before.
    pub moved: i64,
    /// Time of the slowest worker.
    pub seconds: f64,
    /// Time that the worker that waited least spent on coordination, which is its cost when no
    /// worker is late.
    pub seconds_coordination: f64,
    /// All-reduce calls of all workers.
    pub calls: u64,
    /// Workers that reported the round; a worker that died may not have.
    pub workers: u32,
}

/// Collects what workers report.
#[derive(Debug)]
pub(crate) struct SummaryBuilder {
    start: Instant,
    seconds_loading: f64,
    rounds: Vec<RoundSummary>,
    done: Vec<Option<WorkerResult>>,
}

impl SummaryBuilder {
    pub(crate) fn new(workers: u32) -> Self {
        Self {
            start: Instant::now(),
            seconds_loading: 0.0,
            rounds: Vec::new(),
            done: (0..workers).map(|_| None).collect(),
        }
    }

    /// Adds an event of a worker.
    pub(crate) fn note(&mut self, event: &WorkerEvent) {
        match event {
            WorkerEvent::Read(_) | WorkerEvent::Seen { .. } => {}
            WorkerEvent::Loaded { seconds } => {
                self.seconds_loading = self.seconds_loading.max(*seconds)
            }
            WorkerEvent::Round(round) => self.note_round(round),
        }
    }

    /// Adds the result of worker `party`.
    pub(crate) fn note_done(&mut self, party: u32, done: WorkerResult) {
        self.done[party as usize] = Some(done);
    }

    fn note_round(&mut self, round: &RoundStats) {
        let at = index(round.round);
        if self.rounds.len() <= at {
            self.rounds.resize(
                at + 1,
                RoundSummary { seconds_coordination: f64::INFINITY, ..Default::default() },
            );
        }
        let all = &mut self.rounds[at];
        all.cost = round.cost;
        all.moved = round.moved;
        all.seconds = all.seconds.max(round.seconds);
        all.seconds_coordination = all.seconds_coordination.min(round.seconds_coordination);
        all.calls += round.calls;
        all.workers += 1;
    }

    /// Joins the results; every worker must have one.
    pub(crate) fn finish(mut self) -> RunSummary {
        let seconds_total = self.start.elapsed().as_secs_f64();
        let before = self.rounds.iter().take_while(|round| round.workers == 0).count();
        self.rounds.drain(..before);
        let mut all = self.done.into_iter().map(|done| done.expect("every worker is done"));
        let mut done = all.next().expect("there is a worker");
        let mut labels = std::mem::take(&mut done.labels);
        let mut sample = std::mem::take(&mut done.sample);
        for other in all {
            done.missing += other.missing;
            assert_eq!(other.centroids, done.centroids, "all workers come to the same centroids");
            labels.extend(other.labels);
            sample.extend(other.sample);
        }
        RunSummary {
            done,
            labels,
            sample,
            rounds_before: before as u64,
            rounds: self.rounds,
            seconds_total,
            seconds_loading: self.seconds_loading,
        }
    }
}
