//! `catena-kmeans`: see [`catena_kmeans`], or `catena-kmeans --help`.

use std::io::{self, Write};
use std::process::ExitCode;

use catena_kmeans::worker;

mod cli;

fn main() -> ExitCode {
    // A process that was started as a worker does not get past this line.
    let functions = worker::functions().serve();
    drop(functions);
    match cli::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere to report that this failed.
            let _ = writeln!(io::stderr(), "catena-kmeans: {error}");
            ExitCode::FAILURE
        }
    }
}
