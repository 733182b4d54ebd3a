//! The handle to a log.

use std::time::{Duration, Instant};

use catena_protocol::Op;
use catena_protocol::op::LogOp;

use super::{Object, handle, number};
use crate::Error;
use crate::page::{LineWalk, PageCursor, Pages};
use crate::view::PageView;

handle! {
    /// Lines of text, numbered from 1. The engine keeps the newest few thousand, and also writes
    /// each line to its own log.
    pub struct Log: Log
}

/// All methods that return a [`Result`] fail with [`Error`].
impl Log {
    /// Appends a line of at most 4,096 bytes. Returns its number.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// assert_eq!(client.log("progress").print("half done")?, 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn print(&self, line: &str) -> Result<u64, Error> {
        self.requester.ask(&self.target, Op::Log(LogOp::Print { line }), None, number)
    }

    /// Returns the lines behind number `after`, as many as fit a page; 0 begins with the oldest
    /// kept line. [`PageView::at`] is the number of the first line; if it is more than `after + 1`,
    /// the lines in between are no longer kept.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let log = client.log("progress");
    /// log.print("half done")?;
    /// assert_eq!(log.tail(0)?.iter().next(), Some(&b"half done"[..]));
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn tail(&self, after: u64) -> Result<PageView, Error> {
        self.requester.ask_page(&self.target, Op::Log(LogOp::Tail { after, limit: 0 }))
    }

    /// As [`Log::tail`], but waits until there is such a line. [`Error::TimedOut`] after `timeout`,
    /// of at most 15 minutes.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// # let seconds = std::time::Duration::from_secs(10);
    /// let log = client.log("progress");
    /// log.print("half done")?;
    /// assert_eq!(log.tail_wait(0, seconds)?.len(), 1);
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn tail_wait(&self, after: u64, timeout: Duration) -> Result<PageView, Error> {
        let until = Instant::now().checked_add(timeout);
        loop {
            // The version is read first, so that a line appended after `tail` ends the wait.
            let version = self.version()?;
            let page = self.tail(after)?;
            if !page.is_empty() {
                return Ok(page);
            }
            drop(page);
            let left =
                until.map_or(timeout, |until| until.saturating_duration_since(Instant::now()));
            self.wait_newer(version, left)?;
        }
    }

    /// Walks all existing lines behind number `after`, each with its number.
    ///
    /// ```
    /// # let engine = catena_engine::Engine::builder().cores(1).start().unwrap();
    /// # let client = catena_client::Client::connect(engine.addresses()[0])?;
    /// let log = client.log("progress");
    /// log.print("half done")?;
    /// for line in log.lines(0) {
    ///     let (number, text) = line?;
    ///     println!("{number}: {text}");
    /// }
    /// # Ok::<(), catena_client::Error>(())
    /// ```
    pub fn lines(&self, after: u64) -> LineWalk {
        LineWalk::new(Pages::new(&self.requester, &self.target, PageCursor::Log { after }))
    }
}

impl Object for Log {
    type Op<'o> = LogOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Log(op)
    }
}
