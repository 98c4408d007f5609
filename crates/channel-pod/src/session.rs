//! One session: bytes between a client and a process, both ways, and the status at the end.

use std::{future::pending, io, time::Duration};

use bytes::BytesMut;
use channel_proto::{Outcome, Status, StatusForm};
use channel_tokio::{
    Error,
    server::{ServerSession, Stdin, Stdout},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::{sleep, timeout},
};

use crate::process::{self, Process, StartError};

/// What a session is about.
pub(crate) enum Started {
    Exec {
        process: Result<Process, StartError>,
        command: Vec<String>,
    },
    /// The main process of a container, if it has one.
    Attach(Option<Process>),
}

/// Room for one read of a process's output: what a pipe holds.
const READ: usize = 64 << 10;

/// After the end of stdin an attachment ends (ATT-4), but not before the process had this long to answer what it was sent last.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// How long a process has to take what its client sent before it left.
const LAST_INPUT: Duration = Duration::from_secs(5);

/// Carries a session to its end. When the client goes first, the process of an exec is hung up, and the main process is left alone.
pub(crate) async fn run(session: ServerSession, started: Started) -> Result<(), Error> {
    match started {
        Started::Exec { process: Ok(process), command } => {
            let text = session.subprotocol().status_form() == StatusForm::TextOnFailure;
            run_process(session, process, EndOfStdin::Goes, |code| match code {
                // The wording of the real server, which is all that the v1 forms have to tell an exit code by.
                1.. if text => failed(Status::from_text(format!(
                    "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
                    command.join(" ")
                ))),
                code => Outcome::Exited(code),
            })
            .await
        }
        Started::Exec { process: Err(error), .. } => {
            session.finish(&failed(Status::internal_error(error))).await
        }
        // The end of the main process is a success of attaching (ATT-3).
        Started::Attach(Some(process)) => {
            run_process(session, process, EndOfStdin::EndsSession, |_| Outcome::Exited(0)).await
        }
        Started::Attach(None) => {
            let status = Status::internal_error("the container has no main process to attach to");
            session.finish(&failed(status)).await
        }
    }
}

fn failed(status: Status) -> Outcome {
    Outcome::Failed(Box::new(status))
}

/// What the end of the client's stdin does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndOfStdin {
    /// It goes to the process.
    Goes,
    /// It ends the session.
    EndsSession,
}

async fn run_process(
    mut session: ServerSession,
    process: Process,
    end_of_stdin: EndOfStdin,
    outcome: impl FnOnce(i32) -> Outcome,
) -> Result<(), Error> {
    let Process { stdin, stdout, stderr, mut control } = process;
    let input = session.stdin.take();
    let (out, err) = (session.stdout.take(), session.stderr.take());
    let has_input = input.is_some();
    let fed = Notify::new();
    let gone = async {
        let _ = session.ended().await;
        if has_input {
            // What came before still goes to the process, and it may act on it.
            let _ = timeout(LAST_INPUT, fed.notified()).await;
            sleep(ANSWER_TIME).await;
        }
    };
    let flow = async {
        let outputs = async { tokio::try_join!(copy(stdout, out), copy(stderr, err)) };
        let input = async {
            feed(input, stdin).await;
            fed.notify_one();
            match end_of_stdin {
                EndOfStdin::Goes => pending().await,
                EndOfStdin::EndsSession => sleep(ANSWER_TIME).await,
            }
        };
        let sizes = async {
            while let Some(size) = session.size().await {
                // A terminal that cannot be resized is one that is gone, and the outputs say so.
                let _ = control.resize(size.width, size.height);
            }
            pending::<()>().await;
        };
        tokio::select! {
            outputs = outputs => outputs.map_or_else(End::Failed, |_| End::Outputs),
            () = input => End::Stdin,
            () = sizes => End::Stdin,
            () = gone => End::Client,
        }
    };
    let outcome = match flow.await {
        End::Stdin => Outcome::Exited(0),
        End::Outputs => tokio::select! {
            code = control.wait() => code.map_or_else(|error| failed(Status::internal_error(error)), outcome),
            _ = session.ended() => return Ok(()),
        },
        End::Failed(error) => failed(Status::internal_error(error)),
        End::Client => return Ok(()),
    };
    session.finish(&outcome).await
}

/// What came to its end first.
enum End {
    Outputs,
    Stdin,
    Client,
    /// An output of the process cannot be read.
    Failed(io::Error),
}

/// From a process to its client, until the process ends the stream. What is read is sent as the slice that it was read into. When the client is
/// gone it is dropped, so that the process can go on with what it was sent before.
async fn copy(from: Option<process::Output>, to: Option<Stdout>) -> io::Result<()> {
    let (Some(mut from), Some(to)) = (from, to) else { return Ok(()) };
    let (mut buffer, mut to) = (BytesMut::new(), Some(to));
    loop {
        buffer.reserve(READ);
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let data = buffer.split().freeze();
        if let Some(client) = &mut to
            && client.write_bytes(data).await.is_err()
        {
            to = None;
        }
    }
}

/// From a client to its process, until either ends the stream. What nobody reads any more is dropped, so that the session goes on.
async fn feed(from: Option<Stdin>, to: Option<process::Stdin>) {
    let Some(mut from) = from else { return pending().await };
    let Some(mut to) = to else { return drop_all(from).await };
    while let Ok(Some(data)) = from.chunk().await {
        if to.write_all(&data).await.is_err() {
            return drop_all(from).await;
        }
    }
    // Whether it could be shut is of no concern: it is dropped next.
    let _ = to.shutdown().await;
}

async fn drop_all(mut from: Stdin) {
    while let Ok(Some(_)) = from.chunk().await {}
}
