//! What a command runs with: a client, and how its values are read and its result is printed.

use std::time::Duration;

use catena_client::Client;

use crate::outcome::Format;
use crate::values::{Input, LinesArg};

/// What a command runs with.
pub(crate) struct Context<'c> {
    pub(crate) client: &'c Client,
    /// Maximum time of a wait.
    pub(crate) timeout: Duration,
    pub(crate) input: Input,
    pub(crate) format: Format,
}

impl Context<'_> {
    /// Reads a value.
    pub(crate) fn bytes(&self, text: &str) -> anyhow::Result<Vec<u8>> {
        self.input.bytes(text)
    }

    /// Reads items.
    pub(crate) fn items(&self, texts: &[String], lines: LinesArg) -> anyhow::Result<Vec<Vec<u8>>> {
        self.input.items(texts, lines.lines)
    }
}
