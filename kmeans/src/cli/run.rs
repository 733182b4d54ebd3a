//! `catena-kmeans run`: one number of clusters.

use std::io::{self, Write};
use std::path::PathBuf;

use catena_kmeans::job::{Job, Labels, RunSummary};
use catena_kmeans::model::Model;
use catena_kmeans::output::{self, OutputFile, RunReport};
use catena_kmeans::{Error, Result, Settings, report};
use clap::Args;

use super::job::{JobArgs, Runner, is_folder};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Divide the points into this many clusters.
    #[arg(long, short, value_name = "N", default_value_t = Settings::default().k)]
    k: usize,
    #[command(flatten)]
    job: JobArgs,
    /// Name the job, so that the same command goes on with it if this driver dies; the name must not be
    /// that of another job at the same time.
    #[arg(long = "job", value_name = "NAME")]
    name: Option<String>,
    /// Write the centroids to this file, one per row (- for standard output).
    #[arg(long, value_name = "centroids.csv")]
    out: Option<PathBuf>,
    /// Write the centroids to this file with what `predict` needs to assign other points to them.
    #[arg(long, value_name = "model.json")]
    model: Option<PathBuf>,
    /// Write the cluster of each point to this file, one per row; in s3://bucket/prefix/, each
    /// worker writes a part.
    #[arg(long, value_name = "FILE")]
    assignments: Option<PathBuf>,
    /// Draw cost and time by round, and points and centres, to this file: a picture (.svg), or a page
    /// with the result in numbers (.html).
    #[arg(long, value_name = "report.html|report.svg")]
    report: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RunArgs) -> Result<()> {
    args.check_outputs()?;
    let runner = Runner::new(&args.job)?;
    args.outputs().try_for_each(|path| runner.data().check_output(path))?;
    let labels = match &args.assignments {
        None => Labels::None,
        Some(path) if is_folder(path)? => Labels::Written(path.clone()),
        Some(_) => Labels::Returned,
    };
    let mut job = runner.job(args.k, labels, args.report.is_some())?;
    if let Some(name) = &args.name {
        job = runner.named_job(name, job)?;
    }
    if let Some(path) = &args.assignments {
        runner.check_labels(&job, path)?;
    }
    let (job, summary) = runner.best(&job)?;
    args.finish(&job, &summary)
}

impl RunArgs {
    fn outputs(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.out, &self.model, &self.assignments, &self.report].into_iter().flatten()
    }

    fn check_outputs(&self) -> Result<()> {
        for (at, path) in self.outputs().enumerate() {
            let refuse = |reason| Err(Error::Output { path: path.clone(), reason });
            if self.outputs().skip(at + 1).any(|other| other == path) {
                return refuse("two outputs have this name; give them different ones");
            }
            if self.json && output::is_stdout(path) {
                return refuse("standard output has the JSON; pass the name of a file");
            }
            let file = if is_folder(path)? { &path.join("labels") } else { path };
            OutputFile::check(file, &self.job.store)?;
        }
        self.report.as_deref().map_or(Ok(()), report::check)
    }

    fn finish(&self, job: &Job, summary: &RunSummary) -> Result<()> {
        let endpoint = &self.job.store;
        if let Some(path) = &self.out {
            output::write_centroids(
                path,
                endpoint,
                &job.data,
                &summary.done.centroids_of_data(job.data.dims()),
            )?;
        }
        if let Some(path) = &self.model {
            Model::of(job, summary).write(path, endpoint)?;
        }
        if let Some(path) = &self.assignments
            && job.labels == Labels::Returned
        {
            output::write_labels(path, endpoint, &summary.labels)?;
        }
        let backend = self.job.backend.name();
        let result = RunReport::new(job, backend, summary);
        if let Some(path) = &self.report {
            let (k, workers) = (job.settings.k, job.workers);
            let title = format!("{}, k = {k}, {workers} {backend}", job.data.title());
            report::write(path, endpoint, &title, job, summary, result.warnings())?;
        }
        self.print(job, summary, &result)
    }

    fn print(&self, job: &Job, summary: &RunSummary, result: &RunReport<'_>) -> Result<()> {
        if self.json {
            let mut out = io::stdout().lock();
            let written = result.write_json(&mut out);
            return written.and_then(|()| out.flush()).map_err(Error::stdout);
        }
        for warning in result.warnings() {
            // The result is more important.
            let _ = writeln!(io::stderr(), "catena-kmeans: warning: {warning}");
        }
        // Standard output may have centroids or labels.
        if self.outputs().any(|path| output::is_stdout(path)) {
            let _ = result.write_text(job, summary, &mut io::stderr());
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let written = result.write_text(job, summary, &mut out).and_then(|()| {
            self.outputs().try_for_each(|path| writeln!(out, "wrote {}", path.display()))?;
            out.flush()
        });
        written.map_err(Error::stdout)
    }
}
