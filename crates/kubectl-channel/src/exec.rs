//! exec and attach: one session, with this process's streams and terminal at our end.

use std::{
    convert::Infallible,
    ffi::c_int,
    future::{Future, pending},
    io,
};

use channel_proto::Service;
use channel_tokio::{EndOfStdin, Error, Session, Stdin, Subprotocol, TerminalSize};
use signal_hook::consts::SIGPIPE;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::{AttachFlags, ExecFlags, SessionFlags},
    exit::{self, Exit, Failure},
    plan::{Plan, planned},
    resource::Name,
    signals::{self, Signals},
    streams::{copy, feed},
    target::Target,
    terminal::{self, RawMode},
};

/// What exec and attach ask for alike.
macro_rules! ask {
    ($request:expr, $flags:expr, $terminal:expr) => {{
        let plan = Plan::of(&$flags.connection.upgrade, Service::RemoteCommand)?;
        let mut request = planned!($request.stdout(), &plan);
        if let Some(container) = &$flags.container {
            request = request.container(container);
        }
        if $flags.stdin {
            request = request.stdin();
        }
        match $terminal {
            Some(LocalTerminal { size, .. }) => request.tty(*size),
            None => request.stderr(),
        }
    }};
}

/// Runs a command, in a pod of a cluster or in one of our own.
pub(crate) async fn exec(flags: ExecFlags) -> Result<Exit, Failure> {
    let name = check(&flags)?;
    let mut signals = Signals::listen()?;
    let (server, connection) = (&flags.server, &flags.session.connection);
    let target = match (&flags.url.url, &name) {
        (Some(url), _) => Target::at(url, server, connection)?,
        (None, None) => Target::embedded(connection).await?,
        (None, Some(name)) => tokio::select! {
            target = Target::in_cluster(server, connection, name) => target?,
            signal = signals.next() => return Ok(Exit::Signal(signal)),
        },
    };
    let (command, flags) = (&flags.command, &flags.session);
    let terminal = LocalTerminal::wanted(flags)?;
    let request = target.exec().command(command);
    run(ask!(request, flags, &terminal).start(), flags, terminal, signals).await
}

/// Attaches to what runs.
pub(crate) async fn attach(flags: AttachFlags) -> Result<Exit, Failure> {
    let name: Option<Name> = flags.pod.as_deref().map(str::parse).transpose()?;
    let mut signals = Signals::listen()?;
    let (server, connection) = (&flags.server, &flags.session.connection);
    let target = match (&flags.url.url, &name) {
        (Some(url), _) => Target::at(url, server, connection)?,
        (None, Some(name)) => tokio::select! {
            target = Target::in_cluster(server, connection, name) => target?,
            signal = signals.next() => return Ok(Exit::Signal(signal)),
        },
        (None, None) => return Err(Failure::usage("no POD given")),
    };
    let flags = &flags.session;
    let terminal = LocalTerminal::wanted(flags)?;
    if terminal.is_some() {
        flags.connection.verbosity().hint("If you don't see a command prompt, try pressing enter.");
    }
    run(ask!(target.attach(), flags, &terminal).start(), flags, terminal, signals).await
}

/// What stands for the pod, if there is something to name.
fn check(flags: &ExecFlags) -> Result<Option<Name>, Failure> {
    let usage = |what: &str| Err(Failure::usage(what));
    match flags.pod.as_deref() {
        pod if flags.url.url.is_some() => match pod.is_none() && flags.command.is_empty() {
            true => Ok(None),
            false => usage("--url has neither POD nor COMMAND: the URL stands for both"),
        },
        Some(_) if flags.embedded => usage("--embedded has no POD: the command goes after `--`"),
        None if !flags.embedded => usage("no POD given: exec POD -- COMMAND, or exec --embedded -- COMMAND"),
        Some(_) if !flags.stray.is_empty() => usage("the command goes after `--`: exec POD -- COMMAND"),
        _ if flags.command.is_empty() => usage("no command to run: it goes after `--`, as in `-- ls -l`"),
        name => name.map(str::parse).transpose(),
    }
}

/// The terminal on stdin, to which a remote one is to be joined.
struct LocalTerminal {
    size: Option<TerminalSize>,
    resized: Signal,
}

impl LocalTerminal {
    fn wanted(flags: &SessionFlags) -> Result<Option<Self>, Failure> {
        if !flags.tty {
            return Ok(None);
        }
        if !flags.stdin {
            flags.connection.verbosity().warn("Unable to use a TTY - it needs -i as well");
            return Ok(None);
        }
        if !terminal::is_on_stdin() {
            flags
                .connection
                .verbosity()
                .warn("Unable to use a TTY - input is not a terminal or the right kind of file");
            return Ok(None);
        }
        // In this order no change of the size is missed.
        let resized = signal(SignalKind::window_change()).map_err(signals::cannot_listen)?;
        Ok(Some(Self { size: terminal::size(), resized }))
    }

    async fn follow(mut self, session: &Session) -> Infallible {
        while self.resized.recv().await.is_some() {
            if let Some(size) = terminal::size() {
                // The session has a terminal: that is what this one is for.
                let _ = session.resize(size);
            }
        }
        pending().await
    }
}

/// Carries a session to its end, or ours.
async fn run(
    start: impl Future<Output = Result<Session, Error>>,
    flags: &SessionFlags,
    terminal: Option<LocalTerminal>,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let mut session = tokio::select! {
        session = start => session?,
        signal = signals.next() => return Ok(Exit::Signal(signal)),
    };
    // Only now: until here ^C must reach us.
    let raw = match &terminal {
        Some(_) => Some(
            RawMode::enter(io::stdin())
                .map_err(|error| Failure::local(format!("the terminal cannot be made raw: {error}")))?,
        ),
        None => None,
    };
    let subprotocol = session.subprotocol();
    let stdin = session.stdin.take();
    let (stdout, stderr) =
        (copy(session.stdout.take(), io::stdout()), copy(session.stderr.take(), io::stderr()));
    let outputs = async { tokio::try_join!(stdout, stderr) };
    let session = &session;
    let sizes = async {
        match terminal {
            Some(terminal) => terminal.follow(session).await,
            None => pending().await,
        }
    };
    let outcome = async {
        outputs.await.map_err(Stopped::Output)?;
        session.outcome().await.map_err(Stopped::Session)
    };
    let stopped = tokio::select! {
        outcome = outcome => outcome,
        failed = input(stdin, subprotocol, flags) => Err(Stopped::Input(failed)),
        signal = signals.next() => Err(Stopped::Signal(signal)),
        never = sizes => match never {},
    };
    // What is said about the end is said on a terminal as it was.
    drop(raw);
    match stopped {
        Ok(outcome) => exit::of_outcome(&outcome, subprotocol, flags.connection.verbosity()),
        Err(stopped) => stopped.into_exit(),
    }
}

/// Why a session did not come to its own end.
enum Stopped {
    Session(Error),
    Output(io::Error),
    Input(io::Error),
    Signal(c_int),
}

impl Stopped {
    fn into_exit(self) -> Result<Exit, Failure> {
        match self {
            Self::Session(error) => Err(error.into()),
            // Nobody reads our output any more: what ends others ends us, `… | head` for one.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Signal(SIGPIPE)),
            Self::Output(error) => Err(Failure::local(format!("cannot write the output: {error}"))),
            // The command must not take the part that came for all of it, nor the caller for success.
            Self::Input(error) => Err(Failure::local(format!("cannot read stdin: {error}"))),
            Self::Signal(signal) => Ok(Exit::Signal(signal)),
        }
    }
}

/// Passes stdin on. Returns only when it cannot be read.
async fn input(stdin: Option<Stdin>, subprotocol: Subprotocol, flags: &SessionFlags) -> io::Error {
    let end = if flags.lossy_stdin_end { EndOfStdin::LossyDisconnect } else { EndOfStdin::HalfCloseOnly };
    if let Some(stdin) = stdin {
        match feed(stdin, end).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => exit::warn(format_args!(
                "{subprotocol} cannot end stdin, so that the command may wait for more; --lossy-stdin-end \
                 closes the connection instead, and loses what would come after"
            )),
            Err(error) => return error,
        }
    }
    pending().await
}
