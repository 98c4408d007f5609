//! Who is compared, and how one is measured.

use std::{
    io::{self, BufRead as _, Write as _},
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    runtime::Runtime,
    time::timeout,
};

use crate::{
    process::Process,
    server::Access,
    work::{self, Connect, Work},
};

/// No work takes longer than this.
const LONGEST: Duration = Duration::from_secs(120);

/// Who forwards. Where not told otherwise, in a process of this program, on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nothing but two sockets.
    Raw,
    /// kubectl itself.
    Kubectl,
    /// kube behind a listener, with an upgraded connection for each that is forwarded, as its example has it.
    Kube,
    /// Our command itself, with as many threads as there are cores.
    KubectlChannel,
    /// Our listener.
    Listen,
    /// kube without a local socket: the process does the work itself.
    KubeApi,
    /// Ours, likewise.
    Connect,
    /// Over TLS, as clusters are reached.
    KubeTls,
    ListenTls,
    KubeApiTls,
    ConnectTls,
}

impl Who {
    /// In the order of the table; the first is what the others are compared with.
    pub(crate) const ALL: [Self; 11] = [
        Self::Raw,
        Self::Kubectl,
        Self::Kube,
        Self::KubectlChannel,
        Self::Listen,
        Self::KubeApi,
        Self::Connect,
        Self::KubeTls,
        Self::ListenTls,
        Self::KubeApiTls,
        Self::ConnectTls,
    ];

    /// Whether it takes part. Over TLS only connections are counted: what bytes cost there is in the bench of exec.
    pub(crate) fn does(self, work: Work) -> bool {
        !self.is_over_tls() || matches!(work, Work::Connections { .. })
    }

    pub(crate) fn is_over_tls(self) -> bool {
        matches!(self, Self::KubeTls | Self::ListenTls | Self::KubeApiTls | Self::ConnectTls)
    }

    /// Whether its process does the work itself, rather than that it listens.
    fn works(self) -> bool {
        matches!(self, Self::KubeApi | Self::Connect | Self::KubeApiTls | Self::ConnectTls)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw TCP proxy",
            Self::Kubectl => "kubectl",
            Self::Kube => "kube",
            Self::KubectlChannel => "kubectl-channel",
            Self::Listen => "Forward::listen",
            Self::KubeApi => "Api::portforward",
            Self::Connect => "Forward::connect",
            Self::KubeTls => "kube, TLS",
            Self::ListenTls => "Forward::listen, TLS",
            Self::KubeApiTls => "Api::portforward, TLS",
            Self::ConnectTls => "Forward::connect, TLS",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|who| who.name() == name)
    }
}

/// Somebody who forwards, and is there for all rounds.
pub(crate) struct Contender {
    pub(crate) who: Who,
    process: Process,
    runtime: Runtime,
    /// Where it listens, unless it does the work itself.
    local: Option<SocketAddr>,
}

/// What some work took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) time: Duration,
    /// Of the process that forwards.
    pub(crate) cpu: Duration,
}

impl Contender {
    /// One that this program is.
    pub(crate) fn start_here(who: Who, access: &Access) -> io::Result<Self> {
        let arguments = [who.name().to_owned()].into_iter().chain(access.arguments());
        Self::new(who, Process::start_here(arguments)?)
    }

    pub(crate) fn new(who: Who, mut process: Process) -> io::Result<Self> {
        let local = if who.works() {
            None
        } else {
            Some(process.listening().map_err(|error| with_name(who, error))?)
        };
        Ok(Self { who, process, runtime: crate::runtime()?, local })
    }

    /// Has it do the work, if it takes part.
    pub(crate) fn measure(&mut self, work: Work) -> io::Result<Option<Sample>> {
        if !self.who.does(work) {
            return Ok(None);
        }
        self.measured(work).map(Some).map_err(|error| with_name(self.who, error))
    }

    fn measured(&mut self, work: Work) -> io::Result<Sample> {
        let (cpu, begin) = (self.process.cpu()?, Instant::now());
        match self.local {
            Some(address) => {
                self.runtime
                    .block_on(async { timeout(LONGEST, work::run(Local(address), work)).await })??;
            }
            None => self.tell(work)?,
        }
        Ok(Sample { time: begin.elapsed(), cpu: self.process.cpu()?.saturating_sub(cpu) })
    }

    /// Has the process do the work.
    fn tell(&mut self, work: Work) -> io::Result<()> {
        writeln!(self.process.stdin, "{work}")?;
        let stdout = self.process.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        if line.trim() == DONE { Ok(()) } else { Err(io::Error::other(line)) }
    }
}

/// What a process says that did what it was told.
const DONE: &str = "done";

/// Does each work that a line of stdin tells.
pub(crate) async fn do_as_told(connect: impl Connect) -> io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match work::run(connect.clone(), line.parse()?).await {
            Ok(()) => println!("{DONE}"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}

fn with_name(who: Who, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", who.name()))
}

#[derive(Clone)]
struct Local(SocketAddr);

impl Connect for Local {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.0).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
