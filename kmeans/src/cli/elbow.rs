//! `catena-kmeans elbow`: several numbers of clusters, to choose one.

use std::io::{self, Write};
use std::path::PathBuf;

use catena_kmeans::elbow::{ClusterCounts, ElbowReport, ElbowRun};
use catena_kmeans::job::Labels;
use catena_kmeans::output::OutputFile;
use catena_kmeans::{Error, Result, report};
use clap::Args;

use super::job::{JobArgs, Runner};

/// The most sampled points: their pairs take seconds.
const SAMPLE_MAX: u64 = 20_000;

#[derive(Debug, Args)]
pub(super) struct ElbowArgs {
    /// Divide the points into these numbers of clusters, one after the other: from 2 to 10 (both
    /// included), or a list such as 2,4,8.
    #[arg(long, short, value_name = "2..10|2,4,8", default_value = "2..10")]
    k: ClusterCounts,
    #[command(flatten)]
    job: JobArgs,
    /// Compute silhouettes for so many points, drawn with --seed, at most 20000, because it takes the
    /// distances of all pairs; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    silhouette_sample: u64,
    /// Draw cost and silhouette by number of clusters to this file: a picture (.svg), or a page
    /// (.html).
    #[arg(long, value_name = "elbow.html|elbow.svg")]
    report: Option<PathBuf>,
    /// Print the results as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn elbow(args: &ElbowArgs) -> Result<()> {
    let ElbowArgs { k, silhouette_sample, report, json, .. } = args;
    let store = &args.job.store;
    if *silhouette_sample > SAMPLE_MAX {
        let reason = "at most 20000 points, because it takes the distances of all pairs";
        return Err(Error::Flag { flag: "--silhouette-sample", reason });
    }
    if let Some(path) = report {
        report::check(path)?;
        OutputFile::check(path, store)?;
    }
    let runner = Runner::new(&args.job)?;
    report.as_deref().map_or(Ok(()), |path| runner.data().check_output(path))?;
    // A number that is too large is found before the first run.
    let jobs = k.0.iter().map(|k| {
        let mut job = runner.job(*k, Labels::None, false)?;
        job.settings.drawn = *silhouette_sample;
        Ok(job)
    });
    let jobs = jobs.collect::<Result<Vec<_>>>()?;
    let (mut runs, mut points) = (Vec::new(), 0);
    for job in &jobs {
        let (best, summary) = runner.best(job)?;
        points = summary.done.counts.iter().map(|count| count.unsigned_abs()).sum();
        runs.push(ElbowRun::of(job.settings.k, best.settings.seed, &summary));
    }
    let (workers, backend) = (jobs[0].workers, args.job.backend.name());
    let (seed, data) = (jobs[0].settings.seed, runner.data());
    let result =
        ElbowReport::new(data, (workers, backend), seed, (points, *silhouette_sample), runs);
    if let Some(path) = report {
        result.draw(path, store, &data.title())?;
    }
    let mut out = io::stdout().lock();
    let written = match json {
        true => result.write_json(&mut out),
        false => result.write_text(data, &mut out).and_then(|()| {
            report.iter().try_for_each(|path| writeln!(out, "wrote {}", path.display()))
        }),
    };
    written.and_then(|()| out.flush()).map_err(Error::stdout)
}
