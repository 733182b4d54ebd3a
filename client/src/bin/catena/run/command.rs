//! The command that runs: how it is started, signalled and waited for.

use std::ffi::OsStr;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use super::Event;
use super::holding::Holding;

/// A command that was started, and not reaped yet.
pub(super) struct RunningCommand {
    child: Child,
    pid: Pid,
    /// It leads a group of processes, which gets all signals together.
    leads_group: bool,
}

impl RunningCommand {
    /// Starts it, with the token and the item in its environment, and the item on its standard
    /// input. [`Event::Ended`] follows when it has ended.
    pub(super) fn start(
        command: &[String],
        engine: &str,
        holding: &Holding,
        events: Sender<Event>,
    ) -> std::io::Result<RunningCommand> {
        let [program, args @ ..] = command else {
            return Err(std::io::Error::new(ErrorKind::NotFound, "there is no command"));
        };
        // A command that reads from the terminal has to stay in the foreground.
        let leads_group = holding.item().is_some() || !std::io::stdin().is_terminal();
        let mut starting = Command::new(program);
        starting.args(args);
        starting.env("CATENA_TOKEN", holding.token().to_string()).env("CATENA_ENGINE", engine);
        if let Some(item) = holding.item() {
            starting.stdin(Stdio::piped());
            if !item.contains(&0) {
                starting.env("CATENA_ITEM", OsStr::from_bytes(item));
            }
        }
        if leads_group {
            starting.process_group(0);
        }
        let mut child = starting.spawn()?;
        let pid = Pid::from_child(&child);
        if let (Some(mut stdin), Some(item)) = (child.stdin.take(), holding.item()) {
            let item = item.to_vec();
            // A command need not read its input.
            std::thread::spawn(move || _ = stdin.write_all(&item));
        }
        std::thread::spawn(move || {
            // It stays a zombie until it is reaped, so that no signal reaches another process with
            // its id.
            let until_ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), until_ended) {}
            _ = events.send(Event::Ended);
        });
        Ok(RunningCommand { child, pid, leads_group })
    }

    /// Passes a signal on, unless the command got it from the terminal as well.
    pub(super) fn pass_on(&self, number: i32, to_foreground: bool) {
        if (self.leads_group || !to_foreground)
            && let Some(signal) = Signal::from_named_raw(number)
        {
            self.send(signal);
        }
    }

    pub(super) fn terminate(&self) {
        self.send(Signal::TERM);
    }

    pub(super) fn kill(&self) {
        self.send(Signal::KILL);
    }

    fn send(&self, signal: Signal) {
        // It fails only if it has ended, which is reported as an event.
        _ = match self.leads_group {
            true => kill_process_group(self.pid, signal),
            false => kill_process(self.pid, signal),
        };
    }

    /// Returns how it ended. Waits for that.
    pub(super) fn reap(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }
}

/// The exit code of a command, as a shell reports it.
pub(super) fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// The exit code for a command that cannot be started, as in a shell.
pub(super) fn exit_code_of(error: &std::io::Error) -> u8 {
    match error.kind() {
        ErrorKind::NotFound => 127,
        _ => 126,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(15)), 128 + 15);
        assert_eq!(exit_code_of(&ErrorKind::NotFound.into()), 127);
        assert_eq!(exit_code_of(&ErrorKind::PermissionDenied.into()), 126);
    }
}
