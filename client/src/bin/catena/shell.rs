//! An interactive shell: a prompt with history and completion, and one client for all commands.

mod completion;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor, Helper, Highlighter, Hinter, Validator};

use self::completion::{Wanted, split_for_completion, wanted};
use crate::Options;
use crate::line::LineParser;
use crate::outcome;
use crate::session::Session;

/// Reads and executes commands until the end of the input, or `exit`.
pub(crate) fn run(session: Session, options: &Options) -> ExitCode {
    let session = Rc::new(RefCell::new(session));
    let prompt = format!("{}> ", session.borrow().engine());
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true);
    let mut editor: Editor<ShellHelper, FileHistory> = match Editor::with_config(config.build()) {
        Ok(editor) => editor,
        Err(error) => {
            outcome::print_error(&anyhow::Error::from(error), options.json);
            return ExitCode::from(2);
        }
    };
    editor.set_helper(Some(ShellHelper { session: Rc::clone(&session), lines: LineParser::new() }));
    let history = history_file();
    // Without a history the shell works as well.
    _ = history.as_ref().map(|path| editor.load_history(path));
    let mut parser = LineParser::new();
    loop {
        match editor.readline(&prompt) {
            Ok(line) if matches!(line.trim(), "exit" | "quit") => break,
            Ok(line) => execute(&line, &mut parser, &mut session.borrow_mut(), options),
            // Ctrl-C empties the line.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => {
                outcome::print_error(&anyhow::Error::from(error), options.json);
                return ExitCode::from(2);
            }
        }
    }
    if let Some(path) = history {
        _ = path.parent().map(std::fs::create_dir_all);
        _ = editor.save_history(&path);
    }
    ExitCode::SUCCESS
}

fn execute(line: &str, parser: &mut LineParser, session: &mut Session, options: &Options) {
    let line = match parser.parse(line) {
        Ok(Some(line)) => line,
        Ok(None) => return,
        Err(crate::line::LineError::Usage(error)) => {
            // Help goes to standard output, what is wrong to standard error, with the usage.
            _ = error.print();
            return;
        }
        Err(error) => return outcome::print_error(&error.into(), options.json),
    };
    let options = line.options.or(options);
    let mut format = options.format();
    format.among_others = true;
    match session.execute(&line.command, &options, options.input()) {
        Ok(outcome) => {
            outcome.print(format);
        }
        Err(error) => outcome::print_error(&error, options.json),
    }
}

/// Where lines are kept from shell to shell: `CATENA_HISTORY`, or a file in the user's directory
/// for state.
fn history_file() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("CATENA_HISTORY") {
        return Some(path.into());
    }
    let state = variable("XDG_STATE_HOME").map(PathBuf::from);
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    Some(state.or_else(home)?.join("catena/history"))
}

/// Completes commands, options, and the names of objects.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct ShellHelper {
    session: Rc<RefCell<Session>>,
    lines: LineParser,
}

impl Completer for ShellHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let (words, from) = split_for_completion(&line[..at]);
        let partial = &line[from..at];
        let candidates = match wanted(&self.lines.command, &words, partial) {
            Wanted::Words(words) => words,
            Wanted::Names { kind } => self.names(kind.as_deref(), partial),
        };
        Ok((from, candidates))
    }
}

impl ShellHelper {
    /// The names of objects that begin like this; none if the engine does not answer.
    fn names(&self, kind: Option<&str>, partial: &str) -> Vec<String> {
        let Ok(mut session) = self.session.try_borrow_mut() else { return Vec::new() };
        let Ok(client) = session.client() else { return Vec::new() };
        let objects = client.objects(partial).take(NAMES_LOOKED_AT).filter_map(Result::ok);
        let is_kind = |of: Option<&str>| kind.is_none() || of.is_none() || kind == of;
        objects
            .filter(|object| is_kind(object.kind.map(|kind| kind.name())))
            .filter_map(|object| shlex::try_quote(&object.name).ok().map(|name| name.into_owned()))
            .take(NAMES_OFFERED)
            .collect()
    }
}

/// How many objects a completion looks at, and how many names it offers.
const NAMES_LOOKED_AT: usize = 1_024;
const NAMES_OFFERED: usize = 100;
