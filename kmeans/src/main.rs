//! `catena-kmeans`: see [`catena_kmeans`], or `catena-kmeans --help`.

use std::io::{self, Write};
use std::process::ExitCode;

use catena_kmeans::worker;

mod cli;

fn main() -> ExitCode {
    // As a worker, this process does not get past here.
    let functions = worker::functions().serve();
    drop(functions);
    match cli::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "catena-kmeans: {error}");
            ExitCode::FAILURE
        }
    }
}
