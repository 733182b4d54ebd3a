//! The handle to a log.

use std::time::{Duration, Instant};

use catena_protocol::Op;
use catena_protocol::op::LogOp;

use super::{Object, handle, number};
use crate::Error;
use crate::page::{LineWalk, PageView, Pages, Route};

handle! {
    /// Lines of text, numbered from 1. The engine keeps the newest few thousand, and writes each to its
    /// own log as well.
    pub struct Log: Log
}

/// All methods fail with [`Error`].
impl<'c> Log<'c> {
    /// Adds a line, of at most 4,096 bytes. Answers its number.
    pub fn print(&self, line: &str) -> Result<u64, Error> {
        self.client.ask(&self.target, Op::Log(LogOp::Print { line }), None, number)
    }

    /// Lines behind number `after`, 0 for the oldest that is kept, as many as fit a page.
    /// [`PageView::at`] is the number of the first; more than one above `after`, and the lines between
    /// are forgotten.
    pub fn tail(&self, after: u64) -> Result<PageView<'c>, Error> {
        self.client.ask_page(&self.target, Op::Log(LogOp::Tail { after, limit: 0 }))
    }

    /// As [`Log::tail`], but waits until there is such a line. [`Error::TimedOut`] after `timeout`, of
    /// at most 15 minutes.
    pub fn tail_wait(&self, after: u64, timeout: Duration) -> Result<PageView<'c>, Error> {
        let until = Instant::now().checked_add(timeout);
        loop {
            // The version first: a line that comes after the look at the lines ends the wait.
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

    /// All lines behind number `after` that there are now, each with its number.
    pub fn lines(&self, after: u64) -> LineWalk<'c> {
        LineWalk::new(Pages::new(self.client, &self.target, Route::Log { after }))
    }
}

impl Object for Log<'_> {
    type Op<'o> = LogOp<'o>;

    fn op<'o>(op: Self::Op<'o>) -> Op<'o> {
        Op::Log(op)
    }
}
