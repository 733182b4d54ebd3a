//! The program of a Lambda function whose invocations are k-means workers or uploads: see
//! [`catena_kmeans::worker`] and [`catena_kmeans::event`].

use std::io::{self, Write};
use std::process::ExitCode;

use catena_kmeans::worker;

fn main() -> ExitCode {
    drop(worker::functions().serve());
    let _ = writeln!(
        io::stderr(),
        "bootstrap is the program of a Lambda function and has to be started by Lambda: create a \
         function from `zip function.zip bootstrap`, runtime provided.al2023"
    );
    ExitCode::FAILURE
}
