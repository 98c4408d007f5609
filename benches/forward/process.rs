//! A process that forwards: how it is started, where it listens, and the CPU it took.

use std::{
    env,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{time::ClockId, unistd::Pid};

/// Makes this program a process that forwards.
pub(crate) const FORWARD: &str = "--forward";

/// What everybody prints in front of the address that is listened on, as kubectl does.
const LISTENING: &str = "Forwarding from ";

/// A process, which ends with this.
pub(crate) struct Process {
    child: Child,
    cpu: ClockId,
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// This program, as another process that forwards.
    pub(crate) fn start_here(arguments: impl IntoIterator<Item = String>) -> io::Result<Self> {
        Self::start(Command::new(env::current_exe()?).arg(FORWARD).args(arguments))
    }

    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or(io::ErrorKind::BrokenPipe)?;
        let cpu = clock(&child)?;
        Ok(Self { child, cpu, stdin, stdout: Some(BufReader::new(stdout)) })
    }

    /// Where it listens, once it does. What else it says is read and dropped, so that it can go on saying it.
    pub(crate) fn listening(&mut self) -> io::Result<SocketAddr> {
        let mut stdout = self.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let address = line.strip_prefix(LISTENING).and_then(|rest| rest.split(' ').next());
        let address = address.ok_or_else(|| io::Error::other(format!("it does not listen: {line:?}")))?;
        thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        address.trim().parse().map_err(io::Error::other)
    }

    /// The CPU that all its threads took so far.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        Ok(self.cpu.now()?.into())
    }
}

/// Says where this process listens.
pub(crate) fn announce(address: SocketAddr) {
    println!("{LISTENING}{address}");
}

fn clock(child: &Child) -> io::Result<ClockId> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(nix::time::clock_getcpuclockid(Pid::from_raw(pid))?)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
