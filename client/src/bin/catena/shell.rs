//! An interactive shell: a prompt with history and completion, and one client for all commands.

mod completion;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor, Helper, Highlighter, Hinter, Validator};

use self::completion::{Wanted, split_for_completion, wanted};
use crate::Options;
use crate::interrupt::{self, Interrupted};
use crate::line::{LineError, LineParser};
use crate::outcome;
use crate::output::OutputError;
use crate::session::Session;

/// Reads and executes commands until the end of the input, or `exit`. Returns the exit code.
///
/// Ctrl-C ends the command that runs, or empties the line.
pub(crate) fn run(session: Session, options: &Options) -> anyhow::Result<u8> {
    if std::io::stdin().is_terminal() {
        interrupt::catch()?;
    }
    let session = Rc::new(RefCell::new(session));
    let prompt = format!("{}> ", session.borrow().engine());
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true);
    let mut editor: Editor<ShellHelper, FileHistory> = Editor::with_config(config.build())?;
    editor.set_helper(Some(ShellHelper { session: Rc::clone(&session), lines: LineParser::new() }));
    let history = history_file();
    // Without a history the shell works as well.
    if let Some(path) = &history {
        _ = path.parent().map(std::fs::create_dir_all);
        _ = editor.load_history(path);
    }
    let mut parser = LineParser::new();
    // An interrupt at an empty line leaves the shell if it follows another.
    let mut is_leaving = false;
    loop {
        // Between two prompts the terminal makes a signal of Ctrl-C.
        let read = match interrupt::take() {
            true => Err(ReadlineError::Interrupted),
            false => editor.readline(&prompt),
        };
        let line = match read {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) if is_leaving => return Ok(0),
            Err(ReadlineError::Interrupted) => {
                outcome::say("press Ctrl-C again, or Ctrl-D, to leave");
                is_leaving = true;
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        is_leaving = false;
        // At once, so that it is there however the shell ends.
        _ = history.as_ref().map(|path| editor.append_history(path));
        if matches!(line.trim(), "exit" | "quit") {
            return Ok(0);
        }
        interrupt::reset();
        match execute(&line, &mut parser, &mut session.borrow_mut(), options) {
            Ok(()) => {}
            // What follows could say nothing either.
            Err(error) if error.is::<OutputError>() => return Err(error),
            Err(_) if interrupt::take() => {
                outcome::print_error(&Interrupted.into(), options.json);
            }
            Err(error) => outcome::print_error(&error, options.json),
        }
    }
}

fn execute(
    line: &str,
    parser: &mut LineParser,
    session: &mut Session,
    options: &Options,
) -> anyhow::Result<()> {
    let line = match parser.parse(line) {
        Ok(Some(line)) => line,
        Ok(None) => return Ok(()),
        Err(LineError::Usage(error)) => {
            // Help goes to standard output, what is wrong to standard error, with the usage.
            let printed = error.print();
            return match error.use_stderr() {
                true => Ok(()),
                false => Ok(printed.map_err(OutputError::from)?),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let options = line.options.or(options);
    let mut input = options.input();
    input.stdin_taken = true;
    let mut format = options.format();
    format.among_others = true;
    let outcome = session.execute(&line.command, &options, input)?;
    session.print(&outcome, format)?;
    Ok(())
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
        let mut candidates = match wanted(&self.lines.command, &words, partial) {
            Wanted::Words(words) => words,
            Wanted::Names { kind } => self.names(kind.as_deref(), partial),
        };
        // A word that is complete is followed by a blank, as in other shells.
        if let [only] = &mut candidates[..] {
            only.push(' ');
        }
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
