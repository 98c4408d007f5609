//! The pod's side of a copy: the few programs that it must have.

use channel_tokio::{Exec, Outcome, Session, Stdout, Subprotocol};

use crate::{exit::Failure, target::Target};

/// More of what a program says on stderr is dropped.
const MESSAGE: usize = 4096;

/// A container in which programs run.
pub(super) struct Remote {
    target: Target,
    container: Option<String>,
}

impl Remote {
    pub(super) fn new(target: Target, container: Option<String>) -> Self {
        Self { target, container }
    }

    pub(super) fn exec(&self, command: &[&str]) -> Exec {
        let exec = self.target.client.exec(&self.target.namespace, &self.target.pod);
        let exec = exec.command(command.iter().copied());
        match &self.container {
            Some(container) => exec.container(container),
            None => exec,
        }
    }

    /// Runs a program that must succeed.
    pub(super) async fn run(&self, program: &'static str, arguments: &[&str]) -> Result<(), Failure> {
        let command = [&[program], arguments].concat();
        let (_, end) = end(program, self.exec(&command).stderr().start().await?).await?;
        end.check()
    }

    /// Whether there is such a directory; and with what subprotocol one talks to the pod.
    pub(super) async fn is_directory(&self, path: &str) -> Result<(bool, Subprotocol), Failure> {
        let session = self.exec(&["test", "-d", path]).stderr().start().await?;
        let (subprotocol, end) = end("test", session).await?;
        match end.outcome {
            Outcome::Exited(1) => Ok((false, subprotocol)),
            _ => end.check().map(|()| (true, subprotocol)),
        }
    }
}

async fn end(program: &'static str, mut session: Session) -> Result<(Subprotocol, End), Failure> {
    let subprotocol = session.subprotocol();
    let said = said(session.stderr.take()).await;
    Ok((subprotocol, End { program, outcome: session.outcome().await?, said }))
}

/// How a program in the pod ended.
pub(super) struct End {
    pub(super) program: &'static str,
    pub(super) outcome: Outcome,
    /// What it said on stderr.
    pub(super) said: String,
}

impl End {
    /// Only an exit with 0 is success.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let Self { program, outcome, said } = self;
        let said = said.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("; ");
        let said = if said.is_empty() { said } else { format!(": {said}") };
        match outcome {
            Outcome::Exited(0) => Ok(()),
            Outcome::Exited(code) => {
                Err(Failure::local(format!("{program} in the pod ended with exit code {code}{said}")))
            }
            Outcome::Failed(status) => Err(Failure::not_run(format!(
                "{program} does not run in the container, and cp needs it there: {status}"
            ))),
            ended => Err(Failure::no_status(format!("{ended}; the copy is not complete{said}"))),
        }
    }
}

/// The front of what comes on stderr; the rest is read all the same.
pub(super) async fn said(stderr: Option<Stdout>) -> String {
    let mut all = Vec::new();
    if let Some(mut stderr) = stderr {
        while let Ok(Some(chunk)) = stderr.chunk().await {
            let room = MESSAGE - all.len();
            all.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}
