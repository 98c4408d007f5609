//! The terminal on stdin: raw while a remote one is at its other end, and as it was again afterwards, however that ends.

use std::{
    fs::File,
    io::{self, IsTerminal},
    os::fd::{AsFd, OwnedFd},
    panic,
    sync::{Mutex, PoisonError},
};

use channel_tokio::TerminalSize;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The terminal that is raw, and what it was before.
static RAW: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// While it lives, the terminal is raw. Whatever ends the process without dropping it calls [`restore`].
pub(crate) struct RawMode(());

impl RawMode {
    pub(crate) fn enter(terminal: impl AsFd) -> io::Result<Self> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        let mut saved = RAW.lock().unwrap_or_else(PoisonError::into_inner);
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        *saved = Some((terminal, before));
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the terminal is raw, so that a line has to end with a carriage return as well.
pub(crate) fn is_raw() -> bool {
    RAW.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Puts the terminal back, if it is raw.
pub(crate) fn restore() {
    let saved = RAW.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((terminal, before)) = saved {
        // It fails when the terminal is gone.
        let _ = tcsetattr(terminal, OptionalActions::Now, &before);
    }
}

/// Puts the terminal back before the message of a panic comes, so that one can read it.
pub(crate) fn restore_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        restore();
        report(panic);
    }));
}

/// Whether stdin is a terminal.
pub(crate) fn is_on_stdin() -> bool {
    io::stdin().is_terminal()
}

/// The size of the terminal on stdin, unless it does not know.
pub(crate) fn size() -> Option<TerminalSize> {
    size_of(io::stdin()).or_else(|| size_of(io::stdout())).or_else(|| size_of(File::open("/dev/tty").ok()?))
}

fn size_of(terminal: impl AsFd) -> Option<TerminalSize> {
    let size = tcgetwinsize(terminal).ok()?;
    let size = TerminalSize { width: size.ws_col, height: size.ws_row };
    (size.width > 0 && size.height > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use rustix::termios::LocalModes;

    use super::*;

    fn is_raw(terminal: impl AsFd) -> bool {
        !tcgetattr(terminal).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    #[test]
    fn a_panic_restores_the_terminal() {
        let (pty, _pts) = pty_process::blocking::open().unwrap();
        assert!(!is_raw(&pty));
        let panicked = panic::catch_unwind(|| {
            let _raw = RawMode::enter(&pty).unwrap();
            assert!(is_raw(&pty));
            panic!("as it happens");
        });
        assert!(panicked.is_err() && !is_raw(&pty));
    }
}
