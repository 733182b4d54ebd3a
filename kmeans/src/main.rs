//! `catena-kmeans`: see [`catena_kmeans`], or `catena-kmeans --help`.

use std::io::{self, Write};
use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    match cli::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "catena-kmeans: {error}");
            ExitCode::FAILURE
        }
    }
}
