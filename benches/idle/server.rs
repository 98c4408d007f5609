//! The servers of the sessions, in a process of their own so that what they hold is told apart.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use channel_tokio::{
    Io, Limits, Outcome, SessionConfig, Subprotocol, Tokio,
    server::{self, ServerSession},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{Held, MESSAGE};

/// Makes this program the server.
pub(crate) const ARGUMENT: &str = "--serve";

/// The server, as its client sees it. It ends with its stdin.
pub(crate) struct Server {
    pub(crate) address: String,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    child: Child,
}

impl Server {
    pub(crate) fn start() -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or(io::ErrorKind::BrokenPipe)?;
        let mut server = Self { address: String::new(), stdin, stdout: BufReader::new(stdout), child };
        server.address = server.line()?;
        Ok(server)
    }

    /// What the server holds.
    pub(crate) fn held(&mut self) -> io::Result<Held> {
        self.stdin.write_all(b"\n")?;
        let line = self.line()?;
        let (heap, resident) = line.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
        let number = |text: &str| text.parse().map_err(io::Error::other);
        Ok(Held { heap: number(heap)?, resident: number(resident)? })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves, and answers each line on stdin with what it holds.
pub(crate) async fn run() -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut asked = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(async {
                    // The client notices, and says so.
                    let _ = serve(stream).await;
                });
            }
            line = asked.next_line() => {
                if line?.is_none() {
                    return Ok(());
                }
                let Held { heap, resident } = Held::now();
                println!("{heap} {resident}");
            }
        }
    }
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut session = accept(stream).await?;
    let (stdin, stdout) = (session.stdin.as_mut(), session.stdout.as_mut());
    let (stdin, stdout) = stdin.zip(stdout).ok_or(io::ErrorKind::InvalidInput)?;
    let mut buffer = [0; MESSAGE.len()];
    loop {
        match stdin.read(&mut buffer).await? {
            0 => break,
            count => stdout.write_all(&buffer[..count]).await?,
        }
    }
    session.finish(&Outcome::Exited(0)).await.map_err(io::Error::from)
}

async fn accept(stream: TcpStream) -> io::Result<ServerSession> {
    let incoming =
        server::accept(Io(stream), &Limits::default()).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let request = incoming.pod_request().ok().flatten().ok_or(io::ErrorKind::InvalidInput)?;
    let config = SessionConfig::server();
    let session = incoming.accept_only::<Tokio>(&[Subprotocol::V5], request.streams, &config).await?;
    session.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
