//! The flags that all measuring subcommands share.

use std::path::PathBuf;

use crate::contest::Timing;
use crate::machine;

/// How to measure and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Save what was found as JSON; `-` or nothing prints it instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,

    /// How long to measure each figure on each server, all rounds together, in seconds.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Into how many rounds to divide that. Servers take turns; medians over rounds count.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,

    /// The cpu that engines and peers run on.
    #[arg(long, default_value_t = 0)]
    pub(crate) engine_cpu: usize,

    /// The cpu the load comes from; any other than the engine's by default.
    #[arg(long)]
    pub(crate) load_cpu: Option<usize>,
}

impl Common {
    pub(crate) fn timing(&self) -> Timing {
        Timing { seconds: self.seconds, rounds: self.rounds }
    }

    /// Moves this thread to where the load comes from.
    pub(crate) fn pin_load(&self) -> anyhow::Result<()> {
        let other = machine::cpus().into_iter().rfind(|cpu| *cpu != self.engine_cpu);
        match self.load_cpu.or(other) {
            Some(cpu) => machine::pin(&[cpu]),
            // There is only one.
            None => Ok(()),
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err(format!("`{text}` is not between 0 and 3600 seconds")),
    }
}
