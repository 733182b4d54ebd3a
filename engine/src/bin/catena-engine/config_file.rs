//! A file with values for the flags of a program: TOML, with the names of flags as keys.
//!
//! What the file says is put in front of the command line, so that it means the same there. A flag
//! that is on the command line, or has a variable in the environment, is left out.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The flag that names the file.
const CONFIG: &str = "config";

/// Flags that are answered whatever the file says.
const ANSWERED: [&str; 4] = ["--help", "-h", "--version", "-V"];

/// The variable in the environment for a flag.
pub(crate) fn variable(flag: &str) -> String {
    format!("CATENA_{}", flag.replace('-', "_").to_uppercase())
}

/// Parses the command line, the environment, and the file that one of them names.
///
/// # Errors
///
/// What is wrong, and in which line of the file or in which variable.
pub(crate) fn matches(
    mut command: Command,
    arguments: Vec<OsString>,
) -> Result<ArgMatches, clap::Error> {
    let given = Given { arguments: &arguments };
    let file = match given.file() {
        Some(path) => Entries::read(&path, &command).map_err(|error| match error {
            FileError::Unreadable(error) => {
                command.error(ErrorKind::Io, format!("cannot read {}: {error}", path.display()))
            }
            FileError::Wrong { line, what } => {
                command.error(ErrorKind::InvalidValue, at(&path, line, &what))
            }
        })?,
        None => Entries::default(),
    };
    let mut all: Vec<OsString> = arguments.first().cloned().into_iter().collect();
    let used = file.entries.iter().filter(|entry| !given.has(&entry.flag));
    all.extend(used.filter_map(|entry| entry.argument.clone()).map(OsString::from));
    all.extend(arguments.iter().skip(1).cloned());
    command.try_get_matches_from_mut(all).map_err(|error| {
        let Some(flag) = flag_of(&error) else { return error };
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default();
        let text = text.strip_prefix("error: ").unwrap_or(text);
        let entry = file.entries.iter().find(|entry| entry.flag == flag);
        match entry {
            _ if given.is_on_line(&flag) => error,
            _ if given.is_in_environment(&flag) => {
                command.error(error.kind(), format!("{}: {text}", variable(&flag)))
            }
            Some(entry) => command.error(error.kind(), at(&file.path, entry.line, text)),
            None => error,
        }
    })
}

fn at(path: &Path, line: usize, what: &str) -> String {
    format!("{}, line {line}: {what}", path.display())
}

/// The name of the flag that an error is about.
fn flag_of(error: &clap::Error) -> Option<String> {
    let text = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(text) => text,
        ContextValue::Strings(texts) => texts.first()?,
        _ => return None,
    };
    let name = text.strip_prefix("--")?;
    Some(name.split([' ', '=']).next()?.to_owned())
}

/// What the command line and the environment have.
struct Given<'a> {
    arguments: &'a [OsString],
}

impl Given<'_> {
    /// The file with further flags; none if only help is wanted.
    fn file(&self) -> Option<PathBuf> {
        let asks = |word: &OsString| ANSWERED.iter().any(|flag| word == flag);
        if self.arguments.iter().any(asks) {
            return None;
        }
        let place = self.arguments.iter().position(|word| flag_in(word) == Some(CONFIG));
        if let Some(place) = place {
            let word = self.arguments[place].to_str()?;
            return match word.split_once('=') {
                Some((_, path)) => Some(path.into()),
                None => self.arguments.get(place + 1).map(PathBuf::from),
            };
        }
        let variable = std::env::var_os(variable(CONFIG));
        variable.filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn has(&self, flag: &str) -> bool {
        self.is_on_line(flag) || self.is_in_environment(flag)
    }

    fn is_on_line(&self, flag: &str) -> bool {
        self.arguments.iter().any(|word| flag_in(word) == Some(flag))
    }

    fn is_in_environment(&self, flag: &str) -> bool {
        std::env::var_os(variable(flag)).is_some_and(|value| !value.is_empty())
    }
}

/// The flag in a word such as `--listen` or `--listen=127.0.0.1:7400`.
fn flag_in(word: &OsStr) -> Option<&str> {
    word.to_str()?.strip_prefix("--")?.split('=').next()
}

/// What a file says.
#[derive(Debug, Default)]
struct Entries {
    path: PathBuf,
    entries: Vec<Entry>,
}

/// One key of a file.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    flag: String,
    line: usize,
    /// The word of a command line that says the same; none for a switch that is off.
    argument: Option<String>,
}

/// Why a file cannot be used.
#[derive(Debug)]
enum FileError {
    Unreadable(std::io::Error),
    Wrong { line: usize, what: String },
}

impl Entries {
    fn read(path: &Path, command: &Command) -> Result<Entries, FileError> {
        let text = std::fs::read_to_string(path).map_err(FileError::Unreadable)?;
        Ok(Entries { path: path.to_owned(), entries: entries_of(&text, command)? })
    }
}

fn entries_of(text: &str, command: &Command) -> Result<Vec<Entry>, FileError> {
    let line_of = |at: Range<usize>| text[..at.start].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| FileError::Wrong {
        line: error.span().map_or(1, line_of),
        what: error.message().to_owned(),
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.into_inner() {
        let line = line_of(key.span());
        let flag = key.into_inner().into_owned();
        let wrong = |what| FileError::Wrong { line, what };
        let arg = flag_named(command, &flag).map_err(wrong)?;
        let argument = argument(arg, &flag, value).map_err(wrong)?;
        entries.push(Entry { flag, line, argument });
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn flag_named<'c>(command: &'c Command, flag: &str) -> Result<&'c Arg, String> {
    if flag == CONFIG {
        return Err("a file cannot name another one".to_owned());
    }
    let named = |name: &str| command.get_arguments().find(|arg| arg.get_long() == Some(name));
    named(flag).ok_or_else(|| match named(&flag.replace('_', "-")) {
        Some(_) => format!("there is no flag `{flag}`: write `{}`", flag.replace('_', "-")),
        None => format!("there is no flag `{flag}`: see `catena-engine --help`"),
    })
}

/// The word of a command line that gives a flag this value.
fn argument(arg: &Arg, flag: &str, value: Spanned<DeValue<'_>>) -> Result<Option<String>, String> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    match (value.into_inner(), is_switch) {
        (DeValue::Boolean(on), true) => Ok(on.then(|| format!("--{flag}"))),
        (_, true) => Err(format!("`{flag}` is `true` or `false`")),
        (DeValue::Array(items), false) => {
            let items = items.into_iter().map(|item| text_of(flag, item.into_inner()));
            let items = items.collect::<Result<Vec<_>, _>>()?;
            Ok(Some(format!("--{flag}={}", items.join(","))))
        }
        (value, false) => Ok(Some(format!("--{flag}={}", text_of(flag, value)?))),
    }
}

fn text_of(flag: &str, value: DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| format!("the number of `{flag}` is too large")),
        _ => Err(format!("the value of `{flag}` is a string or a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process;

    use clap::parser::ValueSource;

    use super::*;
    use crate::args::command;

    /// For every flag a value, as in a file and as on a command line.
    const SAMPLES: [(&str, &str, &str); 29] = [
        ("listen", r#""127.0.0.1:0""#, "127.0.0.1:0"),
        ("cores", "[0, 2]", "0,2"),
        ("no-pin", "true", "true"),
        ("shards", "32", "32"),
        ("memory", r#""64MiB""#, "64MiB"),
        ("resident-max", r#""1GiB""#, "1GiB"),
        ("connections", "1_000", "1000"),
        ("spin", "0x14", "20"),
        ("driver", r#""epoll""#, "epoll"),
        ("insecure-network", "true", "true"),
        ("metrics", r#""127.0.0.1:9400""#, "127.0.0.1:9400"),
        ("emf", "60", "60"),
        ("log-format", r#""json""#, "json"),
        ("cluster", r#""file:///tmp/cluster""#, "file:///tmp/cluster"),
        ("cluster-name", r#""other""#, "other"),
        ("node-name", r#""node a""#, "node a"),
        ("az", r#""eu-central-1a""#, "eu-central-1a"),
        ("control", r#""127.0.0.1:7399""#, "127.0.0.1:7399"),
        ("advertise", r#""10.0.1.5""#, "10.0.1.5"),
        ("s3-config", r#""s3.json""#, "s3.json"),
        ("endpoint-url", r#""https://s3.example.com""#, "https://s3.example.com"),
        ("create", "true", "true"),
        ("replicas", "3", "3"),
        ("min-members", "2", "2"),
        ("on-total-loss", r#""empty""#, "empty"),
        ("heads", r#""one""#, "one"),
        ("lease-ms", "800", "800"),
        ("suspect-ms", "900", "900"),
        ("config", "", "FILE"),
    ];

    fn flags() -> BTreeSet<String> {
        let command = command();
        let flags = command.get_arguments().filter_map(Arg::get_long);
        flags.filter(|flag| !["help", "version"].contains(flag)).map(str::to_owned).collect()
    }

    /// Parses a command line with a file that has this text.
    fn parsed(text: &str, line: &[&str]) -> Result<ArgMatches, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("engine.toml");
        std::fs::write(&file, text).unwrap();
        let words = ["catena-engine", "--config", file.to_str().unwrap()];
        let words = words.iter().chain(line).map(OsString::from).collect();
        let name = format!("{}, ", file.display());
        matches(command(), words).map_err(|error| {
            let text = error.to_string();
            text.lines().next().unwrap().replace("error: ", "").replace(&name, "")
        })
    }

    fn value(matches: &ArgMatches, flag: &str) -> String {
        let id = flag.replace('-', "_");
        let mut raw = matches.get_raw(&id).into_iter().flatten();
        raw.next().unwrap_or_default().to_str().unwrap().to_owned()
    }

    fn of_file() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
        SAMPLES.iter().filter(|(flag, ..)| *flag != CONFIG)
    }

    #[test]
    fn every_flag_can_be_given_in_a_file() {
        assert_eq!(flags(), SAMPLES.iter().map(|(flag, ..)| (*flag).to_owned()).collect());
        let lines: Vec<String> =
            of_file().map(|(flag, toml, _)| format!("{flag} = {toml}\n")).collect();
        let matches = parsed(&lines.concat(), &[]).unwrap();
        for (flag, _, expected) in of_file() {
            assert_eq!(value(&matches, flag), *expected, "{flag}");
        }
    }

    /// Runs itself in a process with an environment, because that of this one must not change.
    #[test]
    fn every_flag_can_be_given_in_the_environment() {
        const NAME: &str = "config_file::tests::every_flag_can_be_given_in_the_environment";
        let is_child = std::env::var_os(variable("memory")).is_some();
        if !is_child {
            let variables = of_file().map(|(flag, _, value)| (variable(flag), value));
            let run = process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", NAME])
                .envs(variables)
                .output()
                .unwrap();
            assert!(run.status.success(), "{run:?}");
            assert!(String::from_utf8_lossy(&run.stdout).contains("1 passed"), "{run:?}");
            return;
        }
        let from = |matches: &ArgMatches, flag: &str| matches.value_source(&flag.replace('-', "_"));
        // It takes precedence over the file, and the command line over both.
        let file = "memory = \"32MiB\"\nno-pin = false\nspin = 1\n";
        let matches = parsed(file, &["--spin", "7", "--node-name=b"]).unwrap();
        for (flag, _, expected) in
            of_file().filter(|(flag, ..)| !["spin", "node-name"].contains(flag))
        {
            assert_eq!(value(&matches, flag), *expected, "{flag}");
            assert_eq!(from(&matches, flag), Some(ValueSource::EnvVariable), "{flag}");
        }
        assert_eq!(
            (value(&matches, "spin"), value(&matches, "node-name")),
            ("7".into(), "b".into())
        );
    }

    #[test]
    fn a_flag_on_the_command_line_takes_precedence() {
        let matches = parsed("memory = \"32MiB\"\nspin = 1\n", &["--memory=64MiB"]).unwrap();
        assert_eq!(
            (value(&matches, "memory"), value(&matches, "spin")),
            ("64MiB".into(), "1".into())
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expected) in [
            ("spin = 1\n\nlisen = \"x\"", "line 3: there is no flag `lisen`"),
            ("no_pin = true", "line 1: there is no flag `no_pin`: write `no-pin`"),
            ("spin = 1\nmemory = \"lots\"", "line 2: invalid value 'lots' for '--memory <SIZE>'"),
            ("spin = 1\nspin = 2", "line 2: duplicate key"),
            ("spin = ", "line 1: "),
            ("# words\nno-pin = 1", "line 2: `no-pin` is `true` or `false`"),
            ("memory = true", "line 1: the value of `memory` is a string or a whole number"),
            ("memory = 1.5", "line 1: the value of `memory` is a string or a whole number"),
            ("emf = 99999999999999999999", "line 1: "),
            ("[cluster]\nname = \"x\"", "line 1: the value of `cluster` is a string"),
            ("[other]\nname = \"x\"", "line 1: there is no flag `other`"),
            ("config = \"other.toml\"", "line 1: a file cannot name another one"),
            ("help = true", "line 1: there is no flag `help`"),
        ] {
            let error = parsed(text, &[]).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        // What belongs together is asked for as on the command line.
        let error = parsed("replicas = 3", &[]).unwrap_err();
        assert!(error.contains("required arguments were not provided"), "{error}");
        let words = ["catena-engine", "--config", "/no/such/file"].map(OsString::from);
        let error = matches(command(), words.to_vec()).unwrap_err().to_string();
        assert!(error.contains("cannot read /no/such/file"), "{error}");
    }

    #[test]
    fn the_example_has_every_flag() {
        let text = include_str!("../../../deploy/engine.toml");
        parsed(text, &[]).unwrap();
        // What is commented out as well: `# key = value`.
        let is_key =
            |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let lines = text.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
        let lines: Vec<&str> = lines.filter(is_key).collect();
        let entries = entries_of(&lines.join("\n"), &command()).unwrap();
        let mut named: BTreeSet<String> = entries.into_iter().map(|entry| entry.flag).collect();
        named.insert(CONFIG.to_owned());
        assert_eq!(named, flags());
        parsed(&lines.join("\n"), &[]).unwrap();
    }
}
