//! Catching panics of user-defined types.
//!
//! `core` cannot catch a panic, so this is the one place of the crate that is linked to `std`,
//! besides tests and the simulator's output.

extern crate std;

use alloc::string::String;
use core::any::Any;

pub(crate) use std::panic::catch_unwind as catch;

/// Returns the message of a panic.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
