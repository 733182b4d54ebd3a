//! The words of a command line, before they are parsed.
//!
//! The name of an object stands before the op, where the parser also looks for the op itself and for
//! options. So a name that is that of an op, or that follows `--`, is marked, and the mark is removed
//! when the name is read.

use clap::Command;

/// Marks a name. No name on a command line begins with it, unless somebody types it.
const MARK: char = '\u{1}';

/// Marks the name of the object, if it could be taken for something else.
pub(crate) fn with_marked_name(tool: &Command, mut words: Vec<String>) -> Vec<String> {
    let Some(at) = skip_options(&[tool], &words, 0) else { return words };
    let Some(kind) = tool.find_subcommand(&words[at]) else { return words };
    let takes_name = kind.get_positionals().any(|first| first.get_id() == "name");
    if !takes_name || !kind.has_subcommands() {
        return words;
    }
    let Some(name) = skip_options(&[kind, tool], &words, at + 1) else { return words };
    if words[name] == "--" {
        words.remove(name);
        if let Some(word) = words.get_mut(name) {
            word.insert(0, MARK);
        }
        return words;
    }
    // `list len` lacks a name; in `list len push x` it is `len`.
    let is_op = |word: &str| kind.find_subcommand(word).is_some();
    let is_followed_by_op =
        skip_options(&[kind, tool], &words, name + 1).is_some_and(|next| is_op(&words[next]));
    if is_op(&words[name]) && is_followed_by_op && words[name] != "help" {
        words[name].insert(0, MARK);
    }
    words
}

/// The index of the first word from `from` on that is no option, nor the value of one.
fn skip_options(commands: &[&Command], words: &[String], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(word) = words.get(at) {
        let option = match word.strip_prefix("--") {
            Some("") => return Some(at),
            Some(name) => name,
            // A word such as `-x` is a name unless it is an option.
            None if is_short_option(commands, word) => {
                at += 1;
                continue;
            }
            None => return Some(at),
        };
        let mut options = commands.iter().flat_map(|command| command.get_arguments());
        let found = options.find(|option_of| {
            option_of.get_long() == Some(option)
                || option_of.get_visible_aliases().is_some_and(|names| names.contains(&option))
        });
        let takes_value = found.is_some_and(|option| option.get_action().takes_values());
        at += if takes_value { 2 } else { 1 };
    }
    None
}

fn is_short_option(commands: &[&Command], word: &str) -> bool {
    let mut letters = word.chars();
    let is_dashed = letters.next() == Some('-');
    match (is_dashed, letters.next(), letters.next()) {
        (true, Some(letter), None) => {
            let mut options = commands.iter().flat_map(|command| command.get_arguments());
            options.any(|option| option.get_short() == Some(letter))
        }
        _ => false,
    }
}

/// Reads a name, without its mark.
#[allow(clippy::unnecessary_wraps)] // as the parser wants it
pub(crate) fn name(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.strip_prefix(MARK).unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::LineParser;

    #[test]
    fn names_that_look_like_something_else_are_marked() {
        let tool = LineParser::new().command;
        let marked = |line: &str| {
            let words = line.split(' ').map(str::to_owned).collect();
            with_marked_name(&tool, words).join(" ").replace(MARK, "^")
        };
        for (line, expected) in [
            ("list jobs push a", "list jobs push a"),
            ("list len push a", "list ^len push a"),
            ("list len len", "list ^len len"),
            ("list len", "list len"),
            ("list len --json", "list len --json"),
            ("list help push", "list help push"),
            ("list -- --json len", "list ^--json len"),
            ("--timeout 5s --json set members add x", "--timeout 5s --json set ^members add x"),
            ("vector --type i64 sum sum", "vector --type i64 ^sum sum"),
            ("list --timeout 5s -0 len len", "list --timeout 5s -0 ^len len"),
            ("counter -x get", "counter -x get"),
            ("rm -- -x", "rm -- -x"),
            ("list jobs push -- -x", "list jobs push -- -x"),
        ] {
            assert_eq!(marked(line), expected, "{line}");
        }
        assert_eq!(name("\u{1}len"), Ok("len".to_owned()));
        assert_eq!(name("jobs"), Ok("jobs".to_owned()));
    }
}
