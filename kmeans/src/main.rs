//! `catena-kmeans`: see [`catena_kmeans`], or `catena-kmeans --help`.

use std::io::{self, Write};
use std::process::ExitCode;

use catena_kmeans::worker;

mod cli;

/// How shells report a program that was ended by `SIGPIPE`.
const BROKEN_PIPE: u8 = 128 + 13;

fn main() -> ExitCode {
    // A process that was started as a worker does not get past this line.
    let functions = worker::functions().serve();
    drop(functions);
    match cli::main() {
        Ok(code) => code,
        // What reads the output has seen enough.
        Err(error) if error.is_broken_pipe() => ExitCode::from(BROKEN_PIPE),
        Err(error) => {
            // There is nowhere to report that this failed.
            let _ = writeln!(io::stderr(), "catena-kmeans: {error}");
            ExitCode::FAILURE
        }
    }
}
