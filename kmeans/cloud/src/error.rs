//! Why a call has no result, in one line each.

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The function returned [`Failure::Final`](crate::Failure::Final).
    #[error("{function}: {message}")]
    Failed {
        /// The function.
        function: String,
        /// The function's own message.
        message: String,
        /// The end of its log, if the back end has one.
        log: Option<String>,
    },
    /// Too many attempts ended without progress.
    #[error("{function}: {reason}; gave up after {attempts} attempt{}", plural(*attempts))]
    GaveUp {
        /// The function.
        function: String,
        /// How the last attempt ended.
        reason: String,
        /// How many attempts there were.
        attempts: u32,
        /// Whether the last attempt asked for another one, without having come farther.
        is_stuck: bool,
        /// The end of the last attempt's log, if the back end has one.
        log: Option<String>,
    },
    /// The call cannot be started, and another attempt would not help.
    #[error("{function} cannot be started: {reason}")]
    Refused {
        /// The function.
        function: String,
        /// Why.
        reason: String,
    },
    /// The payload or the result does not fit the expected type.
    #[error("{function}: {cause}")]
    Type {
        /// The function.
        function: String,
        /// What does not fit.
        cause: serde_json::Error,
    },
    /// The call was stopped before it had finished.
    #[error("{function} was stopped")]
    Stopped {
        /// The function.
        function: String,
    },
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}
