//! Numbered lines of text, of which the newest are kept.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;

use catena_protocol::limits::{LOG_LINE_BYTES_MAX, PAGE_ITEMS_MAX};
use catena_protocol::op::LogOp;
use catena_protocol::{ItemsBuf, PageItems, Refusal, Reply};
use serde::{Deserialize, Serialize};

use super::RestoreError;
use super::kind::{ObjectKind, SharedObject};
use super::state::check;
use super::{Applied, Description, Turn, check_len, page_is_full};
use crate::config::LOG_LINES_MAX;

/// A log; empty before the first line.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Log {
    lines: VecDeque<Box<str>>,
    /// The number of the newest line; the first line ever has number 1.
    last: u64,
    #[serde(skip)]
    line_bytes: u64,
}

/// Bytes that a line takes besides its text, near enough.
const LINE_BYTES: u64 = 32;

impl ObjectKind for Log {
    type Op<'o> = LogOp<'o>;

    fn read(&self, op: &LogOp<'_>, _version: u64) -> Result<Reply<'_>, Refusal> {
        match *op {
            LogOp::Tail { after, limit } => Ok(self.tail(after, limit)),
            LogOp::Print { .. } => unreachable!("{op:?} is not a read"),
        }
    }

    fn check(&self, op: &LogOp<'_>) -> Result<(), Refusal> {
        match op {
            LogOp::Print { line } => Ok(check_len(line.len(), LOG_LINE_BYTES_MAX)?),
            LogOp::Tail { .. } => unreachable!("{op:?} is a read"),
        }
    }

    fn apply(&mut self, op: &LogOp<'_>, turn: &mut Turn<'_>) -> Applied {
        let LogOp::Print { line } = *op else { unreachable!("{op:?} is a read") };
        if self.lines.len() == LOG_LINES_MAX
            && let Some(oldest) = self.lines.pop_front()
        {
            self.line_bytes -= LINE_BYTES + oldest.len() as u64;
        }
        self.lines.push_back(line.into());
        self.line_bytes += LINE_BYTES + line.len() as u64;
        self.last += 1;
        turn.done(&Reply::Number(self.last))
    }

    fn complete_restored(&mut self, _seq: u64) -> Result<(), RestoreError> {
        let kept = self.lines.len();
        check(kept <= LOG_LINES_MAX && kept as u64 <= self.last, "a log keeps too many lines")?;
        for line in &self.lines {
            check(line.len() <= LOG_LINE_BYTES_MAX, "a line is too long")?;
            self.line_bytes += LINE_BYTES + line.len() as u64;
        }
        Ok(())
    }
}

impl SharedObject for Log {
    fn describe(&self) -> Description {
        let (last, kept) = (self.last, self.lines.len());
        Description { detail: format!("{last} lines, {kept} kept"), ..Description::default() }
    }

    fn bytes(&self) -> u64 {
        size_of::<Log>() as u64 + self.line_bytes
    }
}

impl Log {
    /// Returns the kept lines after the number `after`.
    fn tail(&self, after: u64, limit: u32) -> Reply<'_> {
        let first_kept = self.last - self.lines.len() as u64 + 1;
        let at = after.saturating_add(1).clamp(first_kept, self.last + 1);
        let skipped = usize::try_from(at - first_kept).expect("lines are bounded");
        let limit = if limit == 0 { PAGE_ITEMS_MAX } else { limit.min(PAGE_ITEMS_MAX) };
        let mut page = ItemsBuf::default();
        for line in self.lines.range(skipped..).take(limit as usize) {
            if page_is_full(&page, line.len()) {
                break;
            }
            page.push(line.as_bytes());
        }
        let more = skipped + page.len() < self.lines.len();
        Reply::Page { at, more, items: PageItems::Owned(page) }
    }
}
