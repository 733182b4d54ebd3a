//! Moves objects: writes those with a prefix as text, and makes them anew, on any cluster.
//!
//! The format is that of [`mod@format`]. What is read of an object in one request is consistent; a list,
//! map, set or log that needs several and changes meanwhile is reported.

mod format;
mod read;
mod restore;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use clap::Args;
use serde_json::json;

pub(crate) use self::format::DumpError;
use self::format::{DumpWriter, Record};
pub(crate) use self::restore::RestoreArgs;
use crate::context::Context;
use crate::outcome::{Outcome, say};
use crate::output::OutputError;

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Prefix of the names
    #[arg(default_value = "", allow_hyphen_values = true)]
    prefix: String,
}

/// What a dump has and lacks.
#[derive(Debug, Default)]
struct Summary {
    objects: u64,
    /// How many objects of each kind were left out.
    left_out: BTreeMap<&'static str, u64>,
    /// What is missing of objects that are in it.
    warnings: Vec<String>,
}

impl DumpArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let out = BufWriter::new(std::io::stdout().lock());
        let mut out =
            DumpWriter::new(out, &self.prefix, &on.client.engine()).map_err(OutputError::from)?;
        let mut summary = Summary::default();
        for object in on.client.objects(&self.prefix) {
            read::object(on.client, &object?, &mut out, &mut summary)?;
        }
        out.finish(summary.objects).and_then(|mut out| out.flush()).map_err(OutputError::from)?;
        for warning in &summary.warnings {
            say(warning);
        }
        say(&summary.text());
        let is_whole = summary.warnings.is_empty();
        Ok(Outcome::silent(u8::from(!is_whole)))
    }
}

impl Summary {
    fn text(&self) -> String {
        let counted =
            |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut text = format!("dumped {}", counted(self.objects, "object"));
        if !self.left_out.is_empty() {
            let kinds = self.left_out.iter().map(|(kind, count)| counted(*count, kind));
            text += &format!(
                "; left out {}: they have no contents that another client could be given",
                kinds.collect::<Vec<_>>().join(", ")
            );
        }
        text
    }
}

/// A record with the expiry of its object, if it has one.
fn with_expiry(mut fields: serde_json::Map<String, serde_json::Value>, expires_ms: u64) -> Record {
    if expires_ms > 0 {
        fields.insert("expires_ms".to_owned(), json!(expires_ms));
    }
    Record(fields)
}
