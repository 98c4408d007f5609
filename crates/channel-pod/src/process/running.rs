//! A command that was started, until nothing is left of it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;
use std::{io, mem};

use rustix::process::{Pid, Signal};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::family::Family;
use super::{Output, Terminal};

/// How long a command may take to end after it was hung up.
const GRACE: Duration = Duration::from_secs(2);

/// How often the family of a command that was hung up is looked at, once its leader has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A command and its family, for as long as the session wants them.
///
/// Dropping it is the end of the session: the family gets SIGHUP (and SIGCONT, for those that were stopped),
/// and SIGKILL after [`GRACE`] if anyone is left; the command is waited for, so that no zombie stays. That
/// holds after a normal end as well: unlike a container, this machine goes on when the pod is gone, and
/// should not collect what its sessions left in the background.
#[derive(Debug)]
pub(crate) struct Running {
    ending: Ending,
    terminal: Option<Terminal>,
    unread: Option<Output>,
}

impl Running {
    pub(super) fn new(child: Child, family: fn(Pid) -> Family) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self {
            ending: Ending { leader: Some(child), family: leader.map(family) },
            terminal: None,
            unread: None,
        }
    }

    /// With a terminal that can be resized, and stays open until the end.
    pub(super) fn with_terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// With an output that the session did not ask for, and that would stop the command if nobody read it.
    pub(super) fn draining(mut self, output: Output) -> Self {
        self.unread = Some(output);
        self
    }

    pub(super) fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }

    /// See [`super::Control::wait`].
    pub(super) async fn wait(&mut self) -> io::Result<i32> {
        if let Some(output) = &mut self.unread {
            tokio::io::copy(output, &mut tokio::io::sink()).await?;
            self.unread = None;
        }
        self.ending.wait().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ending = mem::take(&mut self.ending);
        if let (Some(_), Ok(runtime)) = (ending.family, Handle::try_current()) {
            runtime.spawn(ending.run());
        }
    }
}

/// What is left to do about a command. Dropped with work left, because the runtime is gone, it kills at once.
#[derive(Debug, Default)]
struct Ending {
    leader: Option<Child>,
    family: Option<Family>,
}

impl Ending {
    async fn wait(&mut self) -> io::Result<i32> {
        let leader = self.leader.as_mut().ok_or_else(|| io::Error::other("the command has no process"))?;
        let status = leader.wait().await?;
        // From here on another process may get the leader's id, unless somebody of the family is left.
        if let Some(family) = self.family
            && !is_alive(family).await
        {
            self.family = None;
        }
        Ok(exit_code(status))
    }

    async fn run(mut self) {
        let Some(family) = self.family else { return };
        signal(family, Signal::HUP).await;
        signal(family, Signal::CONT).await;
        if timeout(GRACE, self.wait_for_all(family)).await.is_err() {
            signal(family, Signal::KILL).await;
            self.wait_for_leader().await;
        }
        self.family = None;
    }

    async fn wait_for_all(&mut self, family: Family) {
        self.wait_for_leader().await;
        while is_alive(family).await {
            sleep(LOOK_EVERY).await;
        }
    }

    async fn wait_for_leader(&mut self) {
        if let Some(leader) = &mut self.leader {
            // It fails only if somebody else has waited for it, and then it has ended, too.
            let _ = leader.wait().await;
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(family) = self.family.take() {
            family.signal(Signal::KILL);
        }
    }
}

/// [`Family::signal`], off the runtime's threads where it has to read the table of all processes.
async fn signal(family: Family, signal: Signal) {
    match family {
        Family::Group(_) => family.signal(signal),
        // It fails only if the runtime shuts down; then `Ending` is dropped, and kills.
        Family::Session(_) => drop(spawn_blocking(move || family.signal(signal)).await),
    }
}

/// [`Family::is_alive`], likewise.
async fn is_alive(family: Family) -> bool {
    match family {
        Family::Group(_) => family.is_alive(),
        Family::Session(_) => spawn_blocking(move || family.is_alive()).await.unwrap_or(true),
    }
}

/// The exit code as shells, containerd and kubelet count: 128 + n for signal n.
fn exit_code(status: ExitStatus) -> i32 {
    // On unix a process that ended has a code or a signal; 255 is what runtimes say when they do not know.
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}
