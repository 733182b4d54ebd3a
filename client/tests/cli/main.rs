//! The command-line tool as people and scripts use it, against engines in this process.
//!
//! Needs the feature `cli`: `cargo test -p catena-client --features cli`.
#![cfg(feature = "cli")]

mod batch;
mod bytes;
mod cluster;
mod dump;
mod errors;
mod holds;
mod objects;
mod output;
mod parties;
mod run;
mod shell;
mod terminal;
mod values;

#[path = "../../src/bin/catena/examples.rs"]
mod examples;
