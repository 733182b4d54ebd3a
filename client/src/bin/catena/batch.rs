//! Many commands from a file or standard input, one per line, with one client.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::Options;
use crate::line::LineParser;
use crate::outcome::{self, exit_code};
use crate::output::OutputError;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// File with the commands [default: standard input]
    file: Option<PathBuf>,
    /// Continue after a command that failed
    #[arg(long, short)]
    keep_going: bool,
}

impl BatchArgs {
    /// Executes all lines. The exit code is that of the first command that failed; otherwise 1 if any
    /// had a negative result, and 0 if none had.
    pub(crate) fn run(&self, session: &mut Session, options: &Options) -> anyhow::Result<u8> {
        let lines: Box<dyn BufRead> = match &self.file {
            None => Box::new(BufReader::new(std::io::stdin())),
            Some(path) => {
                let file = File::open(path);
                let file = file.with_context(|| format!("cannot read {}", path.display()))?;
                Box::new(BufReader::new(file))
            }
        };
        let mut parser = LineParser::new();
        let (mut failure, mut is_negative) = (None, false);
        for (number, line) in (1_u64..).zip(lines.lines()) {
            let executed = line
                .context("cannot read the commands")
                .and_then(|line| self.execute(&line, &mut parser, session, options))
                .with_context(|| format!("line {number}"));
            match executed {
                Ok(code) => is_negative |= code != 0,
                // What follows could say nothing either.
                Err(error) if error.is::<OutputError>() => return Err(error),
                Err(error) if !self.keep_going => return Err(error),
                Err(error) => {
                    outcome::print_error(&error, options.json);
                    failure = failure.or(Some(exit_code(&error)));
                }
            }
        }
        Ok(failure.unwrap_or(u8::from(is_negative)))
    }

    /// Executes a line. Returns the exit code that its command has by itself.
    fn execute(
        &self,
        line: &str,
        parser: &mut LineParser,
        session: &mut Session,
        options: &Options,
    ) -> anyhow::Result<u8> {
        let line = match parser.parse(line) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(0),
            Err(error) if error.help().is_some() => {
                anyhow::bail!("help is not a command of a batch")
            }
            Err(error) => return Err(error.into()),
        };
        let options = line.options.or(options);
        let mut input = options.input();
        input.stdin_taken = self.file.is_none();
        let mut format = options.format();
        format.among_others = true;
        let outcome = session.execute(&line.command, &options, input)?;
        session.print(&outcome, format)
    }
}
