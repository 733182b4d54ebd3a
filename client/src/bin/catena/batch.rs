//! Many commands from a file or standard input, one per line, with one client.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::Options;
use crate::line::LineParser;
use crate::outcome::{self, exit_code};
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
    /// Executes all lines. The exit code is that of the first command that failed; a negative
    /// result is no failure.
    pub(crate) fn run(&self, session: &mut Session, options: &Options) -> ExitCode {
        let lines: Box<dyn BufRead> = match &self.file {
            None => Box::new(BufReader::new(std::io::stdin())),
            Some(path) => match File::open(path) {
                Ok(file) => Box::new(BufReader::new(file)),
                Err(error) => {
                    let error = anyhow::Error::from(error)
                        .context(format!("cannot read {}", path.display()));
                    outcome::print_error(&error, options.json);
                    return ExitCode::from(2);
                }
            },
        };
        let mut parser = LineParser::new();
        let mut code = 0;
        for (number, line) in (1_u64..).zip(lines.lines()) {
            let executed = line
                .context("cannot read the commands")
                .and_then(|line| self.execute(&line, &mut parser, session, options));
            if let Err(error) = executed {
                let error = error.context(format!("line {number}"));
                outcome::print_error(&error, options.json);
                code = if code == 0 { exit_code(&error) } else { code };
                if !self.keep_going {
                    break;
                }
            }
        }
        ExitCode::from(code)
    }

    fn execute(
        &self,
        line: &str,
        parser: &mut LineParser,
        session: &mut Session,
        options: &Options,
    ) -> anyhow::Result<()> {
        let line = match parser.parse(line) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
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
        session.execute(&line.command, &options, input)?.print(format);
        Ok(())
    }
}
