//! The flags that the measuring subcommands share.

use std::path::PathBuf;

use crate::contest::Timing;
use crate::machine;

/// How to measure and where.
#[derive(Debug, clap::Args)]
pub(crate) struct CommonArgs {
    /// Save the results as JSON; `-` or no file prints them instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,

    /// Measure each figure this long on each server, all rounds together, in seconds.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Divide that into this many rounds. Servers take turns; the result is the median over rounds.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,

    /// Run engines and peers on this cpu.
    #[arg(long, default_value_t = 0)]
    pub(crate) engine_cpu: usize,

    /// Generate the load on this cpu [default: any other than the engine's].
    #[arg(long)]
    pub(crate) load_cpu: Option<usize>,

    /// Look here for the servers that `benches/peers/prepare.sh` installed.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/peers")]
    pub(crate) peers_dir: PathBuf,
}

impl CommonArgs {
    pub(crate) fn timing(&self) -> Timing {
        Timing { seconds: self.seconds, rounds: self.rounds }
    }

    /// Moves this thread to the cpu of the load.
    pub(crate) fn pin_load(&self) -> anyhow::Result<()> {
        let other = machine::cpus().into_iter().rfind(|cpu| *cpu != self.engine_cpu);
        match self.load_cpu.or(other) {
            Some(cpu) => machine::pin(&[cpu]),
            // There is only one cpu.
            None => Ok(()),
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err(format!("`{text}` is not a number of seconds up to 3600")),
    }
}
