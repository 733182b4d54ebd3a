//! `catena-s3-stand-in ADDRESS BUCKET…` serves a store, to try things out by hand, until it is
//! killed.

use std::net::SocketAddr;
use std::process::ExitCode;

use catena_s3_stand_in::{ACCESS_KEY, SECRET_ACCESS_KEY, StandIn};

#[allow(clippy::print_stdout, reason = "the output is for the shell")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((Ok(address), buckets)) =
        arguments.split_first().map(|(address, rest)| (address.parse::<SocketAddr>(), rest))
    else {
        eprintln!("usage: catena-s3-stand-in ADDRESS BUCKET...");
        return ExitCode::FAILURE;
    };
    let buckets: Vec<&str> = buckets.iter().map(String::as_str).collect();
    let store = StandIn::start_at(address, &buckets);
    println!("export CATENA_S3_ENDPOINT_URL={}", store.endpoint_url());
    println!("export CATENA_S3_ACCESS_KEY={ACCESS_KEY}");
    println!("export CATENA_S3_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY}");
    loop {
        std::thread::park();
    }
}
