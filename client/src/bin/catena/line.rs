//! Lines with commands, as the shell and batches read them.

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::help::with_examples;
use crate::words::with_marked_name;
use crate::{Options, ToolCommand};

/// One command, without the name of the tool and without an address.
#[derive(Debug, Parser)]
#[command(
    name = "catena",
    no_binary_name = true,
    disable_version_flag = true,
    override_usage = "[OPTIONS] <COMMAND>",
    about = "Commands, as in the system's shell but without `catena`; `help COMMAND` describes one"
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: ToolCommand,
}

/// Parses lines. It is kept from line to line, because building it takes longer than to parse.
pub(crate) struct LineParser {
    pub(crate) command: clap::Command,
}

/// Why a line is not a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("a quote is not closed")]
    Quote,
    #[error("{}", first_line(.0))]
    Usage(Box<clap::Error>),
    #[error("`{0}` works in the system's shell only")]
    NotHere(&'static str),
}

impl LineParser {
    pub(crate) fn new() -> LineParser {
        LineParser { command: with_examples(Line::command(), "") }
    }

    /// Parses a line. `None` if it is empty or a comment, which begins with `#`.
    pub(crate) fn parse(&mut self, text: &str) -> Result<Option<Line>, LineError> {
        let words = shlex::split(text).ok_or(LineError::Quote)?;
        if words.is_empty() {
            return Ok(None);
        }
        let words = with_marked_name(&self.command, words);
        let matches = self.command.try_get_matches_from_mut(words).map_err(Box::new);
        let matches = matches.map_err(LineError::Usage)?;
        let line = Line::from_arg_matches(&matches).map_err(Box::new).map_err(LineError::Usage)?;
        match line.command.system_shell_only() {
            Some(command) => Err(LineError::NotHere(command)),
            None => Ok(Some(line)),
        }
    }
}

impl LineError {
    /// The text of help that was requested.
    pub(crate) fn help(&self) -> Option<&clap::Error> {
        let LineError::Usage(error) = self else { return None };
        let is_help = matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        is_help.then_some(error)
    }
}

/// What is wrong in one line, without the usage.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let (what, details) = text.split_once('\n').unwrap_or((&text, ""));
    let what = what.strip_prefix("error: ").unwrap_or(what);
    // What is missing is listed in the lines that follow.
    let details: Vec<&str> =
        details.lines().take_while(|line| line.starts_with("  ")).map(str::trim).collect();
    match details[..] {
        [] => what.to_owned(),
        _ => format!("{what} {}", details.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        let mut lines = LineParser::new();
        let line = lines.parse("map 'a map' put key \"a value\" --json").unwrap().unwrap();
        assert!(matches!(line.command, ToolCommand::Map(_)) && line.options.json);
        let next = lines.parse("counter visits get").unwrap().unwrap();
        assert!(!next.options.json, "options are those of their line");
        assert!(lines.parse("  ").unwrap().is_none());
        assert!(lines.parse("# a comment").unwrap().is_none());
        assert!(matches!(lines.parse("cell c set 'open"), Err(LineError::Quote)));
        let wrong = lines.parse("counter visits jump").unwrap_err();
        assert_eq!(wrong.to_string(), "unexpected argument 'jump' found");
        let lacking = lines.parse("barrier b arrive --party w1").unwrap_err();
        let expected = "the following required arguments were not provided: --parties <PARTIES>";
        assert_eq!(lacking.to_string(), expected);
        assert!(lines.parse("help counter").unwrap_err().help().is_some());
        assert!(lines.parse("--engine x ls").is_err(), "the engine is that of all lines");
        for line in ["lock l run -- true", "list l claim run -- true", "shell", "batch"] {
            assert!(matches!(lines.parse(line), Err(LineError::NotHere(_))), "{line}");
        }
    }
}
