//! Bytes as events in the life of a shard: clients, ops, retries, time.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| catena_core::shard::fuzz::events(bytes));
