//! `catena-lambda-stand-in ADDRESS NAME PROGRAM [VARIABLE=VALUE…]` serves one function, to try
//! things out by hand, until it is killed.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use catena_lambda_stand_in::{Function, StandIn};

/// The longest that Lambda permits.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

#[allow(clippy::print_stdout, reason = "the output is for the shell")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, name, program, variables @ ..] = &arguments[..] else {
        eprintln!("usage: catena-lambda-stand-in ADDRESS NAME PROGRAM [VARIABLE=VALUE...]");
        return ExitCode::FAILURE;
    };
    let Ok(address) = address.parse::<SocketAddr>() else {
        eprintln!("expected an address like 127.0.0.1:9001, got {address}");
        return ExitCode::FAILURE;
    };
    let function = Function { timeout: TIMEOUT, ..Function::new(program) };
    let function = variables
        .iter()
        .filter_map(|variable| variable.split_once('='))
        .fold(function, |function, (name, value)| function.with(name, value));
    let stand_in = StandIn::start_at(address, [(&**name, function)]);
    println!("--backend lambda:{name} --lambda-endpoint-url {}", stand_in.endpoint_url());
    loop {
        std::thread::park();
    }
}
