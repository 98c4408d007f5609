//! Our server's side: a session without a process behind it, so that only the protocol is measured.

use std::io;

use bytes::Bytes;
use channel_tokio::{
    ByteStream, Limits, Outcome, SessionConfig, Subprotocol, Tokio,
    server::{self, ServerSession},
};

use crate::{
    bytes as byte_streams,
    work::{MESSAGE, Work},
};

/// Serves one exec.
pub(crate) async fn serve(stream: impl ByteStream) -> io::Result<()> {
    let incoming = server::accept(stream, &Limits::default()).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let request = incoming.pod_request().ok().flatten().ok_or(io::ErrorKind::InvalidInput)?;
    let work = match &request.action {
        channel_proto::Action::Exec { command } => Work::parse(command),
        _ => None,
    };
    let work = work.ok_or(io::ErrorKind::InvalidInput)?;
    let config = SessionConfig::server();
    let session = incoming.accept_only::<Tokio>(&[Subprotocol::V5], request.streams, &config).await?;
    let mut session = session.ok_or(io::ErrorKind::InvalidInput)?;
    perform(&mut session, work).await?;
    session.finish(&Outcome::Exited(0)).await.map_err(io::Error::from)
}

async fn perform(session: &mut ServerSession, work: Work) -> io::Result<()> {
    let (stdin, stdout) = (session.stdin.take(), session.stdout.take());
    match work {
        Work::Download(count) => {
            let mut stdout = stdout.ok_or(io::ErrorKind::InvalidInput)?;
            let message = Bytes::from(vec![b'x'; MESSAGE]);
            for _ in 0..count / MESSAGE as u64 {
                stdout.write_bytes(message.clone()).await?;
            }
            Ok(())
        }
        Work::Upload(count) => {
            let stdin = stdin.ok_or(io::ErrorKind::InvalidInput)?;
            byte_streams::download(stdin, count).await
        }
        Work::RoundTrips(count) => {
            let (stdin, stdout) = stdin.zip(stdout).ok_or(io::ErrorKind::InvalidInput)?;
            byte_streams::echo(stdin, stdout, count).await
        }
    }
}
