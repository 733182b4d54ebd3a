//! What may come next in a line of the shell.

use clap::Command;

/// What may come next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One of these words.
    Words(Vec<String>),
    /// The name of an object, of this kind if it is known.
    Names { kind: Option<String> },
}

/// The words before the last one of a line, which may be empty, and where the last one begins.
pub(super) fn split_for_completion(line: &str) -> (Vec<String>, usize) {
    let from = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let words = shlex::split(&line[..from]);
    (words.unwrap_or_else(|| line[..from].split_whitespace().map(str::to_owned).collect()), from)
}

/// What may come behind these words, beginning with `partial`.
pub(super) fn wanted(tool: &Command, words: &[String], partial: &str) -> Wanted {
    let mut command = tool;
    let (mut kind, mut given) = (None, 0);
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        // The name of an object comes before the op.
        let takes_name = given == 0 && positionals(command) > 0;
        match command.find_subcommand(word) {
            Some(next) if !takes_name => {
                kind = kind.or_else(|| Some(next.get_name().to_owned()));
                (command, given) = (next, 0);
            }
            _ => given += 1,
        }
    }
    let begins = |word: &String| word.starts_with(partial);
    if partial.starts_with('-') {
        let options = command.get_arguments().chain(tool.get_arguments());
        let names = options.filter_map(|option| option.get_long()).map(|name| format!("--{name}"));
        let mut names: Vec<String> = names.filter(begins).collect();
        names.sort_unstable();
        names.dedup();
        return Wanted::Words(names);
    }
    let first = command.get_positionals().next().map(|first| first.get_id().as_str().to_owned());
    if given == 0 && first.is_some_and(|first| matches!(&first[..], "name" | "prefix")) {
        let kind = kind.filter(|_| command.has_subcommands());
        return Wanted::Names { kind };
    }
    let mut names: Vec<String> = command
        .get_subcommands()
        .filter(|next| !next.is_hide_set())
        .map(|next| next.get_name().to_owned())
        .filter(begins)
        .collect();
    if words.is_empty() {
        names.extend(["exit".to_owned(), "help".to_owned()].into_iter().filter(begins));
        names.sort_unstable();
        names.dedup();
    }
    Wanted::Words(names)
}

fn positionals(command: &Command) -> usize {
    command.get_positionals().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::LineParser;

    #[test]
    fn commands_names_ops_and_options_are_completed() {
        let lines = LineParser::new();
        let wanted = |line: &str| {
            let (words, from) = split_for_completion(line);
            wanted(&lines.command, &words, &line[from..])
        };
        let words =
            |words: &[&str]| Wanted::Words(words.iter().map(|word| (*word).to_owned()).collect());
        let names = |kind: Option<&str>| Wanted::Names { kind: kind.map(str::to_owned) };
        assert_eq!(wanted("cou"), words(&["counter"]));
        assert_eq!(wanted("ex"), words(&["exit", "expire"]));
        assert_eq!(wanted("counter "), names(Some("counter")));
        assert_eq!(wanted("counter visits dec"), words(&["decrement"]));
        assert_eq!(wanted("inspect vis"), names(None));
        assert_eq!(wanted("ls job"), names(None));
        assert_eq!(wanted("cluster st"), words(&["status"]));
        assert_eq!(wanted("list jobs claim r"), words(&["run"]));
        assert_eq!(wanted("map users entries --rev"), words(&["--reverse"]));
        assert_eq!(wanted("--json map 'a b' entr"), words(&["entries"]));
        assert_eq!(split_for_completion("map 'a b' pu"), (vec!["map".into(), "a b".into()], 10));
    }
}
