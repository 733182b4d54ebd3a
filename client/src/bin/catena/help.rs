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
