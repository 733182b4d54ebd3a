//! Bytes as they might come from a socket, through every decoder and back.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| catena_protocol::fuzz::frame(bytes));
