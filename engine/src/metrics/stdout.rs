//! A thread that prints metrics on the standard output, in embedded metric format.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Metrics, Reader, emf};

/// The thread. Dropped, it prints what happened since the last time, and ends.
#[derive(Debug)]
pub(super) struct StdoutThread {
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
}

/// Whoever does not read the standard output does not keep the node from ending.
const PATIENCE: Duration = Duration::from_secs(1);

impl StdoutThread {
    pub(super) fn spawn(reader: Arc<Reader>, every: Duration) -> io::Result<StdoutThread> {
        let (stop, told_to_stop) = bounded(0);
        let (end, ended) = bounded(0);
        std::thread::Builder::new().name("catena-emf".to_owned()).spawn(move || {
            if let Err(error) = print(&reader, every, &told_to_stop) {
                tracing::warn!(%error, "prints no more metrics");
            }
            drop(end);
        })?;
        Ok(StdoutThread { stop: Some(stop), ended })
    }
}

impl Drop for StdoutThread {
    fn drop(&mut self) {
        self.stop = None;
        _ = self.ended.recv_timeout(PATIENCE);
    }
}

fn print(reader: &Reader, every: Duration, stop: &Receiver<()>) -> io::Result<()> {
    let mut before = Metrics::default();
    let mut next = Instant::now();
    loop {
        next += every;
        let is_last = stop.recv_deadline(next) == Err(RecvTimeoutError::Disconnected);
        let now = reader.read();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(since_1970.as_millis()).unwrap_or_default();
        let mut out = io::stdout().lock();
        for line in emf::lines(&reader.about, now_ms, &before, &now) {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        before = now;
        if is_last {
            return Ok(());
        }
    }
}
