//! Adds the examples to the help of every command.

use clap::Command;

use crate::examples::EXAMPLES;

/// The commands with examples in their help. `program` is the word with which each line begins, and
/// empty for lines of the tool's own shell.
pub(crate) fn with_examples(tool: Command, program: &str) -> Command {
    let names: Vec<String> = names_of(&tool);
    names.into_iter().fold(tool, |tool, name| {
        tool.mut_subcommand(&name, |command| described(command, &name, program))
    })
}

fn described(command: Command, path: &str, program: &str) -> Command {
    let command = command.mut_args(|arg| match arg.get_help() {
        Some(_) => arg,
        None => {
            let help = help_of(arg.get_id().as_str());
            arg.help(help.unwrap_or_default())
        }
    });
    let names = names_of(&command);
    let command = names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}");
        command.mut_subcommand(&name, |next| described(next, &path, program))
    });
    let Some(text) = text(path, program) else { return command };
    let text = match command.get_after_help() {
        Some(before) => format!("{before}\n\n{text}"),
        None => text,
    };
    command.after_help(text)
}

/// The help of arguments that mean the same in all commands.
fn help_of(argument: &str) -> Option<&'static str> {
    Some(match argument {
        "value" => {
            "The value: a text, `-` for standard input, or `@FILE` for the contents of a file"
        }
        "expected" => "The value that it has to have now",
        "delta" => "What to add; may be negative",
        "factor" => "What to multiply by",
        "range" => "The range, such as `3..7`, `3..`, `..7` or `..`: from 0, without its end",
        "rows" => "The rows, such as `2..5`: from 0, without the end",
        "numbers" => "The numbers, in the order of the rows",
        "key" => "The key: a text, `-` for standard input, or `@FILE`",
        "keys" => "The keys: texts, `-` for standard input, or `@FILE`",
        "pairs" => "Keys and values in turn: texts, `-` for standard input, or `@FILE`",
        "count" => "How many",
        "limit" => "At most this many",
        "item" => "The item: a text, `-` for standard input, or `@FILE`",
        "items" => "The items: texts, `-` for standard input, or `@FILE`",
        "members" => "The members: texts, `-` for standard input, or `@FILE`",
        "index" => "The index, from 0",
        "token" => "The token that was printed when it was taken",
        "version" => "The version that it has to have now",
        "reason" => "The reason, for people",
        "line" => "The line of text",
        _ => return None,
    })
}

/// The examples of a command, as its help shows them.
fn text(path: &str, program: &str) -> Option<String> {
    let (_, examples) = EXAMPLES.iter().find(|(of, _)| *of == path)?;
    let title = if examples.len() == 1 { "Example:" } else { "Examples:" };
    let lines = examples.iter().map(|line| {
        let line = match program {
            // A line of the shell has no pipes and variables; those are for the system's.
            "" => line.strip_prefix("catena ").unwrap_or(line),
            _ => line,
        };
        format!("  {line}")
    });
    Some(format!("{title}\n{}", lines.collect::<Vec<_>>().join("\n")))
}

fn names_of(command: &Command) -> Vec<String> {
    command.get_subcommands().map(|next| next.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::ToolArgs;

    fn paths(command: &Command, path: &str, all: &mut BTreeSet<String>) {
        for next in command.get_subcommands() {
            let path = format!("{path} {}", next.get_name()).trim().to_owned();
            paths(next, &path, all);
            all.insert(path);
        }
    }

    #[test]
    fn every_command_has_an_example_and_every_example_a_command() {
        let mut commands = BTreeSet::new();
        paths(&ToolArgs::command(), "", &mut commands);
        let examples: BTreeSet<String> =
            EXAMPLES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(commands, examples);
        assert!(commands.len() > 100);
        assert_eq!(examples.len(), EXAMPLES.len(), "each has one entry");
    }

    fn undescribed(command: &Command, path: &str, all: &mut Vec<String>) {
        for next in command.get_subcommands() {
            let path = format!("{path} {}", next.get_name());
            let bare = next
                .get_arguments()
                .filter(|arg| arg.get_help().is_none_or(|help| help.to_string().is_empty()));
            all.extend(bare.map(|arg| format!("{path} {}", arg.get_id())));
            undescribed(next, &path, all);
        }
    }

    #[test]
    fn every_argument_is_described() {
        let mut all = Vec::new();
        undescribed(&with_examples(ToolArgs::command(), "catena"), "catena", &mut all);
        assert!(all.is_empty(), "{all:?}");
    }

    #[test]
    fn no_line_of_help_is_wrapped_by_the_terminal() {
        let tool = with_examples(ToolArgs::command(), "catena");
        let after = tool.get_after_help().unwrap().to_string();
        assert!(after.lines().all(|line| line.chars().count() <= 98), "{after}");
    }

    #[test]
    fn help_ends_with_the_examples() {
        let mut tool = with_examples(ToolArgs::command(), "catena");
        let run = tool.find_subcommand_mut("lock").unwrap().find_subcommand_mut("run").unwrap();
        let help = run.render_help().to_string();
        assert!(help.contains("125 if the hold was lost"), "{help}");
        assert!(help.contains("Example:\n  catena lock deploy run --timeout"), "{help}");
        let line = with_examples(ToolArgs::command(), "");
        let add = line.find_subcommand("counter").unwrap().find_subcommand("add").unwrap();
        assert_eq!(add.get_after_help().unwrap().to_string(), "Example:\n  counter visits add 5");
    }
}
