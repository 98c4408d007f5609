//! How this program ends: the exit codes, and what is said on stderr.

use std::{ffi::c_int, fmt::Display, io::Write, process};

use channel_proto::{Fault, Outcome, Subprotocol};
use channel_tokio::Error;

/// The end of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  N     the command's own exit code; 128 + n when signal n killed it.
        An attach has none: 0 says that the session ended well
  1     something failed on this side: a file, stdout, the terminal, a local port, the credentials; of a cp also
        in the pod
  2     wrong arguments
  69    no connection to the server, or to another one than it should be
  74    the session ended without a status: what became of the command is not known
  76    the server broke the protocol, or went silent
  77    the server refused: no such pod, a wrong token, no permission
  126   the server says that the command could not be run
Ended by a signal, it dies of that signal, with the terminal as it was before.
0 means that the server reported success, and nothing else does.";

const LOCAL: u8 = 1;
const USAGE: u8 = 2;
const NO_CONNECTION: u8 = 69;
const NO_STATUS: u8 = 74;
const PROTOCOL: u8 = 76;
const REFUSED: u8 = 77;
const NOT_RUN: u8 = 126;
/// For an exit code that no process can have here, so that no multiple of 256 becomes 0.
const OUT_OF_RANGE: u8 = 255;

/// The end of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With an exit code.
    Code(u8),
    /// Of a signal, as if there were no handler: the shell that waits for us must see what happened.
    Signal(c_int),
}

impl Exit {
    pub(crate) const SUCCESS: Self = Self::Code(0);

    /// Ends the process.
    pub(crate) fn now(self) -> ! {
        match self {
            Self::Code(code) => process::exit(code.into()),
            Self::Signal(signal) => {
                // It fails for signals that do not exist.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
                process::exit(128 + signal)
            }
        }
    }
}

/// What went wrong, and the exit code for it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self { code: LOCAL, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// The server, or what is behind it, could not run a program.
    pub(crate) fn not_run(message: impl Into<String>) -> Self {
        Self { code: NOT_RUN, message: message.into() }
    }

    pub(crate) fn no_status(message: impl Into<String>) -> Self {
        Self { code: NO_STATUS, message: message.into() }
    }

    /// There is no connection to the server, or it broke.
    pub(crate) fn no_connection(message: impl Into<String>) -> Self {
        Self { code: NO_CONNECTION, message: message.into() }
    }

    /// The server refused, or does not have what was asked for.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { code: REFUSED, message: message.into() }
    }

    /// With more to say.
    pub(crate) fn and(mut self, more: impl Display) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }

    /// Says so on stderr.
    pub(crate) fn report(self) -> Exit {
        say(format_args!("error: {}", self.message));
        Exit::Code(self.code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut message = error.to_string();
        if error.refusal().is_some_and(|refusal| refusal.status == 401) {
            message.push_str(" (is the token right?)");
        }
        Self { code: code_of(&error), message }
    }
}

fn code_of(error: &Error) -> u8 {
    match error {
        Error::Usage(_) => USAGE,
        Error::Connect { .. } | Error::Tls(_) | Error::Proxy { .. } => NO_CONNECTION,
        Error::Credentials(_) => LOCAL,
        Error::Refused(_) => REFUSED,
        Error::FellBack { error, .. } => code_of(error),
        Error::Protocol(error) if error.fault() == Fault::Caller => USAGE,
        Error::Protocol(_) => PROTOCOL,
        _ => NO_STATUS,
    }
}

/// How much is said on stderr besides errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
}

impl Verbosity {
    /// A warning.
    pub(crate) fn warn(self, message: impl Display) {
        if self == Self::Normal {
            warn(message);
        }
    }

    /// A line for people.
    pub(crate) fn hint(self, message: impl Display) {
        if self == Self::Normal {
            say(message);
        }
    }
}

/// The exit code for the end of a session, and what there is to say about it.
pub(crate) fn of_outcome(
    outcome: &Outcome,
    subprotocol: Subprotocol,
    verbosity: Verbosity,
) -> Result<Exit, Failure> {
    let failure = |code, message| Err(Failure { code, message });
    match outcome {
        Outcome::Exited(0) => Ok(Exit::SUCCESS),
        Outcome::Exited(code) => {
            verbosity.hint(format_args!("command terminated with exit code {code}"));
            Ok(Exit::Code(u8::try_from(*code).unwrap_or(OUT_OF_RANGE)))
        }
        Outcome::Failed(status) => failure(NOT_RUN, status.to_string()),
        ended if subprotocol.has_exit_code() => {
            failure(NO_STATUS, format!("{ended}; what became of the command is not known"))
        }
        ended => failure(
            NO_STATUS,
            format!("{ended}; {subprotocol} cannot tell success from a lost connection, offer v4 or v5"),
        ),
    }
}

/// What failed of something that goes on.
pub(crate) fn error(message: impl Display) {
    say(format_args!("error: {message}"));
}

/// A warning that may cost data: it comes in any case.
pub(crate) fn warn(message: impl Display) {
    say(format_args!("warning: {message}"));
}

/// One line on stderr. What a server sent may be in it, so nothing goes out that a terminal obeys.
fn say(message: impl Display) {
    let line: String = message.to_string().chars().map(tame).collect();
    // Without a stderr there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a terminal does not obey.
pub(crate) fn tame(character: char) -> char {
    if character.is_control() && character != '\n' { '\u{fffd}' } else { character }
}

#[cfg(test)]
mod tests {
    use channel_proto::Status;

    use super::*;

    fn code(outcome: Outcome) -> u8 {
        match of_outcome(&outcome, Subprotocol::V5, Verbosity::Quiet) {
            Ok(Exit::Code(code)) => code,
            Ok(Exit::Signal(signal)) => panic!("signal {signal}"),
            Err(failure) => failure.code,
        }
    }

    // Holds EXE-14.
    #[test]
    fn only_success_is_zero() {
        assert_eq!(code(Outcome::Exited(0)), 0);
        for exit in [1, 7, 137, 255] {
            assert_eq!(i32::from(code(Outcome::Exited(exit))), exit);
        }
        for exit in [256, 512, -1, i32::MIN, i32::MAX] {
            assert_eq!(code(Outcome::Exited(exit)), OUT_OF_RANGE);
        }
        assert_eq!(code(Outcome::EndedWithoutStatus(None)), NO_STATUS);
        assert_eq!(code(Outcome::Failed(Box::new(Status::from_text("no")))), NOT_RUN);
    }

    #[test]
    fn nothing_a_terminal_obeys() {
        let tamed: String = "a\x1b[2J\u{9b}b\r\n".chars().map(tame).collect();
        assert_eq!(tamed, "a\u{fffd}[2J\u{fffd}b\u{fffd}\n");
    }
}
