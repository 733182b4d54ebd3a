//! Parts of messages that depend on what is known.

use crate::kernel::Precision;

/// Prints how many more there are, if any.
pub(super) struct AndMore(pub(super) usize);

impl std::fmt::Display for AndMore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(f, ", nor are those of {more} more files"),
        }
    }
}

/// Prints the advice to compute in f64, if that is more.
pub(super) struct MorePrecise(pub(super) Precision);

impl std::fmt::Display for MorePrecise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Precision::F32 => f.write_str(" or pass --precision f64"),
            Precision::F64 => Ok(()),
        }
    }
}

/// Prints what to do about text in a row, if that can be guessed.
pub(super) struct NotANumberAdvice<'a>(pub(super) &'a str);

impl std::fmt::Display for NotANumberAdvice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.chars().next() {
            Some(first) if "#%!/".contains(first) => {
                write!(f, "; if such lines are comments, pass --comment '{first}'")
            }
            _ => Ok(()),
        }
    }
}

/// Prints the number of a line, if there is one.
pub(super) struct LineSuffix(pub(super) Option<u64>);

impl std::fmt::Display for LineSuffix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

/// Prints what to do if attempts are too short.
pub(super) struct StuckAdvice(pub(super) bool);

impl std::fmt::Display for StuckAdvice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.0 {
            return Ok(());
        }
        f.write_str(
            ", none of which got farther than those before: reading the points and the next step do \
             not fit the time limit of the function; use more --workers, or give the function more \
             time or memory",
        )
    }
}

/// Prints the end of a log, if there is one.
pub(super) struct LogSuffix<'a>(pub(super) &'a Option<String>);

impl std::fmt::Display for LogSuffix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(log) = self.0 else { return Ok(()) };
        f.write_str("; the end of its log:")?;
        log.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
