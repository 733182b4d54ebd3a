//! The protocol's tests: golden frames, properties over arbitrary bytes, and PROTOCOL.md itself.

mod allocation;
mod document;
mod golden;
mod plain;
mod properties;
mod samples;
mod seeds;
mod values;
