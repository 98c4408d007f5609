//! The main process of a container: started with the pod, joined by attach sessions.

use std::io;

use channel_proto::Streams;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::broadcast::{Producer, SharedStdin, Source, ring};
use super::{Control, Output, Process, ProcessSpec, StartError, Stdin, Terminal};

/// How much of an output is kept for a session that does not read it, in bytes per stream: sixteen full
/// pipes, and small enough to have for every container.
const KEPT: usize = 1024 * 1024;

/// A main process. Dropping it is the end of the pod: the process is hung up, as [`super::Running`] does it.
#[derive(Debug)]
pub(crate) struct MainProcess {
    stdin: Option<SharedStdin>,
    stdout: Option<Source>,
    stderr: Option<Source>,
    attached: Attached,
    task: AbortHandle,
}

impl MainProcess {
    /// Starts it. It has standard input and a terminal if `spec.streams` says so, and outputs always.
    ///
    /// Must be called within a tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    /// As [`ProcessSpec::spawn`].
    pub(crate) fn start(spec: &ProcessSpec) -> Result<Self, StartError> {
        Self::start_keeping(KEPT, spec)
    }

    pub(super) fn start_keeping(kept: usize, spec: &ProcessSpec) -> Result<Self, StartError> {
        let streams = Streams { stdout: true, stderr: true, ..spec.streams };
        let Process { stdin, stdout, stderr, mut control } =
            ProcessSpec { streams, ..spec.clone() }.spawn()?;
        let terminal = control.terminal().cloned();
        let (stdout_end, stdout) = broadcast(stdout, kept);
        let (stderr_end, stderr) = broadcast(stderr, kept);
        let (exit_sender, exit) = watch::channel(None);
        let task = tokio::spawn(async move {
            tokio::join!(pump(stdout_end), pump(stderr_end));
            // Without an exit code the sender is dropped, and those who wait are told so.
            if let Ok(code) = control.wait().await {
                exit_sender.send_replace(Some(code));
            }
        });
        let attached = Attached { exit, terminal };
        Ok(Self { stdin: stdin.map(SharedStdin::new), stdout, stderr, attached, task: task.abort_handle() })
    }

    /// Joins the process: what it prints from now on, and its input.
    ///
    /// A stream that the process does not have is absent, as on a real node: input to a container without
    /// stdin is dropped (`attach-v5-stdin-asked-not-there`), and whether there is a terminal is up to the
    /// container (`attach-v4-tty-mismatch`). Outputs that have ended end at once. Dropping the result leaves
    /// the process as it is.
    pub(crate) fn attach(&self, streams: Streams) -> Process {
        let join = |asked: bool, source: &Option<Source>| {
            source.as_ref().filter(|_| asked).map(|source| Output::Main(source.reader()))
        };
        Process {
            stdin: self.stdin.as_ref().filter(|_| streams.stdin).map(|stdin| Stdin::main(stdin.share())),
            stdout: join(streams.stdout, &self.stdout),
            stderr: join(streams.stderr, &self.stderr),
            control: Control::Main(self.attached.clone()),
        }
    }

    /// The exit code, once the process and its outputs have ended.
    #[cfg(test)]
    pub(super) fn exit_code(&self) -> Option<i32> {
        *self.attached.exit.borrow()
    }
}

impl Drop for MainProcess {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One session's hold on a main process.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    exit: watch::Receiver<Option<i32>>,
    terminal: Option<Terminal>,
}

impl Attached {
    /// See [`Control::wait`].
    pub(super) async fn wait(&mut self) -> io::Result<i32> {
        let code = self.exit.wait_for(Option::is_some).await.ok().and_then(|code| *code);
        code.ok_or_else(|| io::Error::other("the pod was stopped before its main process ended"))
    }

    pub(super) fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }
}

fn broadcast(output: Option<Output>, kept: usize) -> (Option<(Output, Producer)>, Option<Source>) {
    let Some(output) = output else { return (None, None) };
    let (producer, source) = ring(kept);
    (Some((output, producer)), Some(source))
}

async fn pump(end: Option<(Output, Producer)>) {
    if let Some((output, producer)) = end {
        // A failed read ends the output as its end does: the process will be told by SIGPIPE.
        let _ = producer.pump(output).await;
    }
}
