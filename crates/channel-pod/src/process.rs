//! Runs commands of this machine: one per exec session ([`ProcessSpec::spawn`]), or one for the whole life of
//! a container, which sessions join ([`MainProcess`]). Both come as a [`Process`], so that a server moves
//! bytes the same way for exec and for attach:
//!
//! 1. write what the client sends to `stdin`, and shut it down or drop it when the client half-closes;
//! 2. read `stdout` and `stderr` until both have ended;
//! 3. only then ask [`Control::wait`] for the exit code: a background child that holds an output delays the
//!    status;
//! 4. drop the [`Process`], at whatever time: what still runs is hung up (see [`Running`]).

mod broadcast;
mod family;
mod main_process;
mod running;
mod start;
mod stdio;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use channel_proto::{Streams, TerminalSize};
use pty_process::{Pts, Pty};
use tokio::process::{Child, Command};

use self::family::Family;
pub(crate) use self::main_process::{Attached, MainProcess};
pub(crate) use self::running::Running;
pub(crate) use self::start::StartError;
pub(crate) use self::stdio::{Output, Stdin};

/// One spawn at a time. The pseudo-terminal's master becomes close-on-exec only after it was opened, so a
/// command started by another session in between would inherit it, and keep a terminal alive that is not its
/// own.
static SPAWNING: Mutex<()> = Mutex::new(());

/// What to run, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessSpec {
    /// The command and its arguments; looked up in `PATH` unless it contains a slash.
    pub(crate) command: Vec<String>,
    /// The streams that the session asked for; those it did not are `/dev/null`.
    pub(crate) streams: Streams,
    /// Variables added to those of this process.
    pub(crate) environment: Vec<(String, String)>,
    /// Where it runs; unset: where this process runs.
    pub(crate) directory: Option<PathBuf>,
    /// The size of its terminal from the start.
    pub(crate) size: Option<TerminalSize>,
}

/// A command with the streams that a session has to it. The parts may be moved apart.
#[derive(Debug)]
pub(crate) struct Process {
    /// Standard input, if asked for.
    pub(crate) stdin: Option<Stdin>,
    /// Standard output, if asked for; on a terminal, all output.
    pub(crate) stdout: Option<Output>,
    /// Standard error, if asked for; none on a terminal.
    pub(crate) stderr: Option<Output>,
    /// Waits for the end, and resizes the terminal.
    pub(crate) control: Control,
}

/// Everything about a command but its bytes.
#[derive(Debug)]
pub(crate) enum Control {
    /// Started for this session, and hung up with it.
    Own(Box<Running>),
    /// A container's main process, which outlives the session.
    Main(Attached),
}

impl Control {
    /// Waits until the command has ended and returns its exit code, 128 + n if signal n ended it.
    ///
    /// Call it when the outputs have ended. It may be cancelled and called again.
    ///
    /// # Errors
    /// The operating system's, or that the pod stopped a main process before its end.
    pub(crate) async fn wait(&mut self) -> io::Result<i32> {
        match self {
            Self::Own(running) => running.wait().await,
            Self::Main(attached) => attached.wait().await,
        }
    }

    /// Gives the terminal a size in characters; its foreground processes get a SIGWINCH. Without a terminal,
    /// or with a zero, nothing happens: real servers ignore both.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn resize(&self, width: u16, height: u16) -> io::Result<()> {
        self.terminal().map_or(Ok(()), |terminal| terminal.resize(width, height))
    }

    fn terminal(&self) -> Option<&Terminal> {
        match self {
            Self::Own(running) => running.terminal(),
            Self::Main(attached) => attached.terminal(),
        }
    }
}

/// The master side of a pseudo-terminal, kept open as long as anyone may resize it.
#[derive(Debug, Clone)]
struct Terminal(Arc<OwnedFd>);

impl Terminal {
    fn resize(&self, width: u16, height: u16) -> io::Result<()> {
        if width == 0 || height == 0 {
            return Ok(());
        }
        let size = rustix::termios::Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(&self.0, size)?)
    }
}

impl ProcessSpec {
    /// Starts the command, in a process group of its own (pipes) or in a session of its own (terminal).
    ///
    /// Must be called within a tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    /// The command is empty, not to be found, not executable, or the operating system refused.
    pub(crate) fn spawn(&self) -> Result<Process, StartError> {
        let (name, arguments) = self.command.split_first().ok_or_else(StartError::no_command)?;
        self.check_directory()?;
        let program = start::find(name, self.variable("PATH").as_deref(), self.directory.as_deref())?;

        let mut command = Command::new(program);
        command.arg0(name).args(arguments);
        if self.streams.tty {
            command.env("TERM", "xterm");
        }
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }

        let _spawning = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
        if self.streams.tty { self.spawn_on_terminal(command) } else { self.spawn_on_pipes(command) }
            .map_err(|error| StartError::exec(name, &error))
    }

    fn spawn_on_pipes(&self, mut command: Command) -> io::Result<Process> {
        let stdio = |asked| if asked { Stdio::piped() } else { Stdio::null() };
        let Streams { stdin, stdout, stderr, .. } = self.streams;
        command.process_group(0).stdin(stdio(stdin)).stdout(stdio(stdout)).stderr(stdio(stderr));
        let mut child = command.spawn()?;
        Ok(Process {
            stdin: child.stdin.take().map(Stdin::pipe),
            stdout: child.stdout.take().map(Output::Stdout),
            stderr: child.stderr.take().map(Output::Stderr),
            control: Control::Own(Box::new(Running::new(child, Family::Group))),
        })
    }

    fn spawn_on_terminal(&self, command: Command) -> io::Result<Process> {
        let (pty, pts) = pty_process::open().map_err(into_io)?;
        let terminal = Terminal(Arc::new(pty.as_fd().try_clone_to_owned()?));
        if let Some(size) = self.size {
            terminal.resize(size.width, size.height)?;
        }
        let child = start_session(command, pts)?;
        let (reader, writer) = Pty::into_split(pty);
        let output = Output::Terminal(reader);
        let running = Running::new(child, Family::Session).with_terminal(terminal);
        let (stdout, running) =
            if self.streams.stdout { (Some(output), running) } else { (None, running.draining(output)) };
        Ok(Process {
            stdin: self.streams.stdin.then(|| Stdin::terminal(writer)),
            stdout,
            stderr: None,
            control: Control::Own(Box::new(running)),
        })
    }

    fn check_directory(&self) -> Result<(), StartError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match std::fs::metadata(directory) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(StartError::directory(directory, &io::ErrorKind::NotADirectory.into())),
            Err(error) => Err(StartError::directory(directory, &error)),
        }
    }

    fn variable(&self, key: &str) -> Option<OsString> {
        let own = self.environment.iter().rev().find(|(name, _)| name == key);
        own.map(|(_, value)| OsString::from(value)).or_else(|| std::env::var_os(key))
    }
}

/// Starts the command as the leader of a new session whose controlling terminal is `pts`.
fn start_session(command: Command, pts: Pts) -> io::Result<Child> {
    pty_process::Command::from(command).spawn(pts).map_err(into_io)
}

fn into_io(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        pty_process::Error::Rustix(errno) => errno.into(),
        other => io::Error::other(other.to_string()),
    }
}
