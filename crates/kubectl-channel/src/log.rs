//! What goes on, on stderr, for whoever asks.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use tracing_subscriber::EnvFilter;

use crate::terminal;

/// Tells what RUST_LOG asks for, or else what so many `-v` do. Without either nothing is told.
pub(crate) fn start(verbose: u8) {
    let directives = match (env::var(EnvFilter::DEFAULT_ENV), verbose) {
        (Ok(directives), _) if !directives.is_empty() => directives,
        (_, 0) => return,
        (_, 1) => "channel=info".to_owned(),
        _ => "channel=debug".to_owned(),
    };
    tracing_subscriber::fmt()
        // What it cannot read of RUST_LOG it says, and goes on without.
        .with_env_filter(EnvFilter::new(directives))
        .with_ansi(io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        .with_writer(|| Lines(io::stderr()))
        .init();
}

/// Lines that stand below one another on a raw terminal too. Whole ones are written, each at once.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match line.strip_suffix(b"\n") {
            Some(text) if terminal::is_raw() => self.0.write_all(&[text, b"\r\n"].concat())?,
            _ => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
