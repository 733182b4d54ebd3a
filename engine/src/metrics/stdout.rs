//! A thread that prints metrics to the standard output, in embedded metric format.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Metrics, MetricsReader, emf};

/// The thread. When this is dropped, it prints what happened since the last interval, and ends.
#[derive(Debug)]
pub(super) struct StdoutThread {
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
}

/// How long the end of the thread is awaited: a reader of the standard output that does not read does
/// not keep the node from ending.
const END_TIME_MAX: Duration = Duration::from_secs(1);

impl StdoutThread {
    pub(super) fn spawn(
        reader: Arc<MetricsReader>,
        interval: Duration,
    ) -> io::Result<StdoutThread> {
        let (stop, stopped) = bounded(0);
        let (end, ended) = bounded(0);
        std::thread::Builder::new().name("catena-emf".to_owned()).spawn(move || {
            if let Err(error) = print(&reader, interval, &stopped) {
                tracing::warn!(%error, "cannot write to stdout: no more metrics are printed");
            }
            drop(end);
        })?;
        Ok(StdoutThread { stop: Some(stop), ended })
    }
}

impl Drop for StdoutThread {
    fn drop(&mut self) {
        self.stop = None;
        _ = self.ended.recv_timeout(END_TIME_MAX);
    }
}

fn print(reader: &MetricsReader, interval: Duration, stopped: &Receiver<()>) -> io::Result<()> {
    let mut before = Metrics::default();
    let mut next = Instant::now();
    loop {
        next += interval;
        let is_last = stopped.recv_deadline(next) == Err(RecvTimeoutError::Disconnected);
        let now = reader.read();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(since_1970.as_millis()).unwrap_or_default();
        let mut out = io::stdout().lock();
        for line in emf::lines(&reader.labels, now_ms, &before, &now) {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        before = now;
        if is_last {
            return Ok(());
        }
    }
}
