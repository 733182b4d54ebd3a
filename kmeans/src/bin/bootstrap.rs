//! The program of a Lambda function whose invocations are k-means workers, or begin with an upload: see
//! [`catena_kmeans::worker`] and [`catena_kmeans::event`].

use std::io::{self, Write};
use std::process::ExitCode;

use catena_kmeans::worker;

fn main() -> ExitCode {
    drop(worker::functions().serve());
    let _ = writeln!(
        io::stderr(),
        "bootstrap is the program of a Lambda function, and Lambda has not started it: pack it as \
         `zip function.zip bootstrap` and make a function of it, runtime provided.al2023"
    );
    ExitCode::FAILURE
}
