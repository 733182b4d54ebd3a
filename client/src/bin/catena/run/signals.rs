//! Waits for the signals that end a program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::emulate_default_handler;
use signal_hook::low_level::siginfo::Cause;

use super::Event;

/// The signals that are passed on.
const PASSED_ON: [i32; 6] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// A thread that waits for signals. Until they are passed on, they end this process as usual.
pub(super) struct SignalWatch {
    passes_on: Arc<AtomicBool>,
}

impl SignalWatch {
    pub(super) fn start(events: Sender<Event>) -> std::io::Result<SignalWatch> {
        // A signal that is ignored, as by `nohup`, stays ignored by the command as well.
        let ignored = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = ignored_mask(&ignored);
        let caught = PASSED_ON.iter().filter(|signal| ignored & (1 << (**signal - 1)) == 0);
        let mut signals = SignalsInfo::<WithOrigin>::new(caught)?;
        let passes_on = Arc::new(AtomicBool::new(false));
        let watch = SignalWatch { passes_on: Arc::clone(&passes_on) };
        std::thread::spawn(move || {
            for origin in &mut signals {
                let number = origin.signal;
                if passes_on.load(Ordering::SeqCst) {
                    let to_foreground = origin.cause == Cause::Kernel;
                    _ = events.send(Event::Signal { number, to_foreground });
                } else {
                    _ = emulate_default_handler(number);
                }
            }
        });
        Ok(watch)
    }

    /// Reports signals from now on.
    pub(super) fn pass_on(&self) {
        self.passes_on.store(true, Ordering::SeqCst);
    }
}

/// The ignored signals in the status of a process, the signal `n` in bit `n - 1`.
fn ignored_mask(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let status = "Name:\tcatena\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000001\n";
        assert_eq!(ignored_mask(status), 1 << (SIGHUP - 1));
        assert_eq!(ignored_mask(""), 0);
    }
}
