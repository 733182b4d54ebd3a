//! A job: what every worker of a run is told, what each one does, and what it tells the driver on the way.
//!
//! Events are plain data, and so is a worker's part of a job ([`crate::worker::Assignment`]): a worker can be a thread
//! here or a process anywhere.

use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::coordination::{AllReduce, Phase, ReduceOp};
use crate::data::{DataSet, Meter, Points, index};
use crate::error::{Error, Result};
use crate::kernel::{Element, Isa, Precision};
use crate::lloyd::{self, Problem, Round};
use crate::output;
use crate::report::POINTS_MAX;
use crate::settings::Settings;

/// What all workers of a run have in common.
#[derive(Debug, Clone)]
pub struct Job {
    /// What the shared objects' names begin with; two runs at a time need two names.
    pub name: String,
    /// Where workers find the engine: an address, several with commas, or the place of a cluster's record.
    pub engine: String,
    /// The points, counted but not read.
    pub data: DataSet,
    /// How they are clustered.
    pub settings: Settings,
    /// How many workers share the points.
    pub workers: u32,
    /// Whether its shared objects are there already ([`Watch::prepare`](crate::link::Watch::prepare)), so that one that is
    /// not there any more says that the job is over.
    pub prepared: bool,
    /// What is to be done with the labels of all points.
    pub labels: Labels,
    /// Whether some points and their labels are wanted for the picture.
    pub sample: bool,
}

/// What a worker does with the labels of its points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// Nobody wants them.
    #[default]
    None,
    /// It tells them in the end.
    Told,
    /// It writes them into a file of its own, in this folder, which may be in a store.
    Written(PathBuf),
}

/// What a worker tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Event {
    /// It has read so many bytes more, as stored.
    Read(u64),
    /// It has read its rows.
    Loaded {
        /// How long that took.
        seconds: f64,
    },
    /// A round is over.
    Round(Round),
    /// What the driver sees of a round from afar, where workers tell only in the end.
    Seen {
        /// The last that is complete.
        round: u64,
        /// Points with another label than in the round before.
        moved: i64,
    },
}

/// What a worker has in the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// The same for all workers, `k × dims`.
    pub centroids: Vec<f64>,
    /// The same for all workers.
    pub counts: Vec<i64>,
    /// The same for all workers.
    pub cost: f64,
    /// The same for all workers.
    pub iterations: u64,
    /// The same for all workers.
    pub converged: bool,
    /// Of its own rows, if wanted.
    pub labels: Vec<u32>,
    /// Of its own rows, if wanted.
    pub sample: Vec<Sampled>,
}

/// A point of the picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sampled {
    /// Its coordinates.
    pub point: Vec<f64>,
    /// Its cluster.
    pub label: u32,
}

/// One worker's rows, in the precision of its job.
#[derive(Debug)]
pub enum Loaded {
    /// 32-bit coordinates.
    F32(Points<f32>),
    /// 64-bit coordinates.
    F64(Points<f64>),
}

/// Not the name of any other run, here or elsewhere.
#[must_use]
pub fn unique_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("kmeans/{:x}-{:x}", now.as_nanos(), std::process::id())
}

impl Job {
    /// Refuses what cannot be run.
    ///
    /// # Errors
    ///
    /// More clusters than points, no clusters, no workers, a tolerance that is not a distance.
    pub fn check(&self) -> Result<()> {
        let flag = |flag, reason| Err(Error::Flag { flag, reason });
        let Settings { k, tolerance, .. } = self.settings;
        if k == 0 {
            return flag("--k", "there must be at least one cluster");
        }
        if self.workers == 0 {
            return flag("--workers", "there must be at least one worker");
        }
        if !(tolerance >= 0.0 && tolerance.is_finite()) {
            return flag("--tolerance", "a distance is not negative and not infinite");
        }
        self.data.points().map_or(Ok(()), |points| self.check_points(points))
    }

    fn check_points(&self, points: u64) -> Result<()> {
        if points == 0 {
            return Err(Error::NoPoints { path: self.data.path().to_path_buf() });
        }
        let k = self.settings.k;
        if k as u64 > points {
            return Err(Error::TooManyClusters { k, points });
        }
        Ok(())
    }

    /// Reads the rows of one worker.
    ///
    /// # Errors
    ///
    /// Those of [`DataSet::load`].
    pub fn load(&self, party: u32, meter: &Meter) -> Result<Loaded> {
        let share = self.data.share(party, self.workers);
        Ok(match self.data.precision() {
            Precision::F32 => Loaded::F32(self.data.load_metered(share, meter)?),
            Precision::F64 => Loaded::F64(self.data.load_metered(share, meter)?),
        })
    }

    /// Does one worker's part; `again` if it may not be the first to try.
    ///
    /// # Errors
    ///
    /// Those of [`lloyd::run`] and of `tell`; too few points, where they were not counted before.
    pub fn work(
        &self,
        party: u32,
        points: Loaded,
        link: &mut dyn AllReduce,
        again: bool,
        tell: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Done> {
        match points {
            Loaded::F32(points) => self.iterate(party, points, link, again, tell),
            Loaded::F64(points) => self.iterate(party, points, link, again, tell),
        }
    }

    fn iterate<T: Element>(
        &self,
        party: u32,
        mut points: Points<T>,
        link: &mut dyn AllReduce,
        again: bool,
        tell: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Done> {
        let all_points = match self.data.points() {
            Some(all) => all,
            None => self.count(party, &mut points, link)?,
        };
        let problem = Problem {
            settings: self.settings.clone(),
            points: all_points,
            party,
            parties: self.workers,
        };
        let outcome = lloyd::run(&problem, &points, Isa::detect(), link, again, &mut |round| {
            tell(Event::Round(round))
        })?;
        let sample = self.sample(&points, all_points, &outcome.labels);
        let labels = match &self.labels {
            Labels::None => Vec::new(),
            Labels::Told => outcome.labels,
            Labels::Written(folder) => {
                let file = folder.join(format!("part-{party:05}.csv"));
                output::write_labels(&file, self.data.endpoint(), &outcome.labels)?;
                Vec::new()
            }
        };
        Ok(Done {
            centroids: outcome.centroids,
            counts: outcome.counts,
            cost: outcome.cost,
            iterations: outcome.iterations,
            converged: outcome.converged,
            labels,
            sample,
        })
    }

    /// Tells the others how many rows this worker has. Answers how many there are in all, and lets these know which
    /// of them they are.
    fn count<T: Element>(
        &self,
        party: u32,
        points: &mut Points<T>,
        link: &mut dyn AllReduce,
    ) -> Result<u64> {
        let mut rows = vec![0; self.workers as usize];
        rows[party as usize] = (points.rows() as u64).cast_signed();
        link.all_reduce(Phase::Count, ReduceOp::Sum, &mut rows)?;
        let sum = |rows: &[i64]| rows.iter().map(|rows| rows.cast_unsigned()).sum();
        points.first = sum(&rows[..party as usize]);
        let all = sum(&rows);
        self.check_points(all)?;
        Ok(all)
    }

    /// The rows whose global number is a multiple of the step: the same for any number of workers.
    fn sample<T: Element>(&self, points: &Points<T>, all: u64, labels: &[u32]) -> Vec<Sampled> {
        if !self.sample {
            return Vec::new();
        }
        let step = all.div_ceil(POINTS_MAX);
        let skip = index(points.first.next_multiple_of(step) - points.first);
        let rows = points.values.chunks_exact(points.dims).zip(labels);
        rows.skip(skip)
            .step_by(index(step))
            .map(|(row, label)| Sampled {
                point: row.iter().map(|x| x.to_f64()).collect(),
                label: *label,
            })
            .collect()
    }
}

/// What came out of a run.
#[derive(Debug)]
pub struct Summary {
    /// What any worker had in the end.
    pub done: Done,
    /// Labels of all points in order, if wanted.
    pub labels: Vec<u32>,
    /// Points for the picture, if wanted.
    pub sample: Vec<Sampled>,
    /// Every round, over all workers.
    pub rounds: Vec<RoundSummary>,
    /// From the first worker's start to the last one's end, reading included.
    pub seconds_total: f64,
    /// Of it, what the worker took to read its rows that took longest.
    pub seconds_loading: f64,
}

/// What one round was like over all workers.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundSummary {
    /// Of the round's centres.
    pub cost: f64,
    /// Points with another label than before.
    pub moved: i64,
    /// Of the slowest worker.
    pub seconds: f64,
    /// Of the worker that waited least: what coordination costs when nobody is late.
    pub seconds_coordination: f64,
    /// All-reduce calls of all workers.
    pub calls: u64,
    /// Workers that told of it; one that died may not have.
    pub workers: u32,
}

/// Where a driver puts together what workers tell.
#[derive(Debug)]
pub(crate) struct Board {
    start: Instant,
    seconds_loading: f64,
    rounds: Vec<RoundSummary>,
    done: Vec<Option<Done>>,
}

impl Board {
    pub(crate) fn new(workers: u32) -> Self {
        Self {
            start: Instant::now(),
            seconds_loading: 0.0,
            rounds: Vec::new(),
            done: (0..workers).map(|_| None).collect(),
        }
    }

    /// Notes what a worker told.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Read(_) | Event::Seen { .. } => {}
            Event::Loaded { seconds } => self.seconds_loading = self.seconds_loading.max(*seconds),
            Event::Round(round) => self.note_round(round),
        }
    }

    /// Notes what worker `party` has in the end.
    pub(crate) fn note_done(&mut self, party: u32, done: Done) {
        self.done[party as usize] = Some(done);
    }

    fn note_round(&mut self, round: &Round) {
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

    /// Puts the workers' rows together; every worker must be done.
    pub(crate) fn finish(self) -> Summary {
        let seconds_total = self.start.elapsed().as_secs_f64();
        let mut all = self.done.into_iter().map(|done| done.expect("every worker is done"));
        let mut done = all.next().expect("there is a worker");
        let mut labels = std::mem::take(&mut done.labels);
        let mut sample = std::mem::take(&mut done.sample);
        for other in all {
            assert_eq!(other.centroids, done.centroids, "all workers come to the same centroids");
            labels.extend(other.labels);
            sample.extend(other.sample);
        }
        Summary {
            done,
            labels,
            sample,
            rounds: self.rounds,
            seconds_total,
            seconds_loading: self.seconds_loading,
        }
    }
}
