//! Ctrl-C in the tool's own shell: it ends the command that runs, and not the shell.
//!
//! Elsewhere nothing catches the signal, so that it ends the tool as usual.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;

/// Whether the command that runs is to end.
static PENDING: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// A command was interrupted.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: a change that was on its way may have been made")]
pub(crate) struct Interrupted;

/// Whether the signal is caught.
static CAUGHT: AtomicBool = AtomicBool::new(false);

/// Catches the signal from now on.
pub(crate) fn catch() -> std::io::Result<()> {
    signal_hook::flag::register(SIGINT, Arc::clone(&PENDING))?;
    CAUGHT.store(true, Ordering::SeqCst);
    Ok(())
}

/// Whether the signal is caught.
pub(crate) fn is_caught() -> bool {
    CAUGHT.load(Ordering::SeqCst)
}

/// Begins a command, which no earlier signal ends.
pub(crate) fn reset() {
    PENDING.store(false, Ordering::SeqCst);
}

/// Whether a signal has come since the last command; it counts once.
pub(crate) fn take() -> bool {
    PENDING.swap(false, Ordering::SeqCst)
}

/// Whether the command that runs is to end.
pub(crate) fn is_pending() -> bool {
    PENDING.load(Ordering::SeqCst)
}

/// What ends the calls of a client.
pub(crate) fn flag() -> Arc<AtomicBool> {
    Arc::clone(&PENDING)
}

/// Sleeps, unless the command is interrupted.
pub(crate) fn sleep(time: Duration) -> Result<(), Interrupted> {
    let until = Instant::now() + time;
    loop {
        if is_pending() {
            return Err(Interrupted);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(POLL));
    }
}

/// How often a sleeping command looks whether it is interrupted.
const POLL: Duration = Duration::from_millis(50);
