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
    time::sleep,
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

/// Why bytes stopped going from a process to its client.
enum Stopped {
    Client,
    Process(io::Error),
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
    let flow = async {
        let outputs = async { tokio::try_join!(copy(stdout, out), copy(stderr, err)) };
        let input = async {
            feed(input, stdin).await;
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
            outputs = outputs => outputs.map(|_| End::Outputs),
            () = input => Ok(End::Stdin),
            () = sizes => Ok(End::Stdin),
            _ = session.ended() => Err(Stopped::Client),
        }
    };
    let outcome = match flow.await {
        Ok(End::Stdin) => Outcome::Exited(0),
        Ok(End::Outputs) => tokio::select! {
            code = control.wait() => code.map_or_else(|error| failed(Status::internal_error(error)), outcome),
            _ = session.ended() => return Ok(()),
        },
        Err(Stopped::Process(error)) => failed(Status::internal_error(error)),
        Err(Stopped::Client) => return Ok(()),
    };
    session.finish(&outcome).await
}

enum End {
    Outputs,
    Stdin,
}

/// From a process to its client, until the process ends the stream. What is read is sent as the slice that it was read into.
async fn copy(from: Option<process::Output>, to: Option<Stdout>) -> Result<(), Stopped> {
    let (Some(mut from), Some(mut to)) = (from, to) else { return Ok(()) };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        if from.read_buf(&mut buffer).await.map_err(Stopped::Process)? == 0 {
            return Ok(());
        }
        to.write_bytes(buffer.split().freeze()).await.map_err(|_| Stopped::Client)?;
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
