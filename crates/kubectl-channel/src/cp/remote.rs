//! The pod's side of a copy: the few programs that it must have.

use channel_tokio::{Exec, Outcome, Session, Stdout, Subprotocol, Transport};

use crate::{
    exit::Failure,
    plan::{Plan, planned},
    target::Target,
};

/// More of what a program says on stderr is dropped.
const MESSAGE: usize = 4096;

/// A container in which programs run.
pub(super) struct Remote {
    target: Target,
    container: Option<String>,
    plan: Option<Plan>,
}

impl Remote {
    pub(super) fn new(target: Target, container: Option<String>, plan: Option<Plan>) -> Self {
        Self { target, container, plan }
    }

    pub(super) fn exec(&self, command: &[&str]) -> Exec {
        let exec = planned!(self.target.exec().command(command.iter().copied()), &self.plan);
        match &self.container {
            Some(container) => exec.container(container),
            None => exec,
        }
    }

    /// Runs a program that must succeed.
    pub(super) async fn run(&self, program: &'static str, arguments: &[&str]) -> Result<(), Failure> {
        let command = [&[program], arguments].concat();
        end(program, self.exec(&command).stderr().start().await?).await?.check()
    }

    /// Whether there is such a directory; and how one talks to the pod.
    pub(super) async fn is_directory(&self, path: &str) -> Result<(bool, Spoken), Failure> {
        let session = self.exec(&["test", "-d", path]).stderr().start().await?;
        let spoken = Spoken::by(&session);
        let end = end("test", session).await?;
        match end.outcome {
            Outcome::Exited(1) => Ok((false, spoken)),
            _ => end.check().map(|()| (true, spoken)),
        }
    }
}

/// How one talks to the pod.
#[derive(Clone, Copy)]
pub(super) struct Spoken {
    pub(super) transport: Transport,
    pub(super) subprotocol: Subprotocol,
}

impl Spoken {
    pub(super) fn by(session: &Session) -> Self {
        Self { transport: session.transport(), subprotocol: session.subprotocol() }
    }
}

async fn end(program: &'static str, mut session: Session) -> Result<End, Failure> {
    let said = said(session.stderr.take()).await;
    Ok(End { program, outcome: session.outcome().await?, said })
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
