//! The pod, and the port of it that all is forwarded to: bytes as asked for, or one back.

use std::{io, net::Ipv4Addr, sync::mpsc, thread};

use channel_pod::Pod;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::work::{BUFFER, ECHO, SINK, SOURCE};

/// How to reach the pod, and which port of it.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) port: u16,
    /// Who vouches for the pod, in PEM, where it speaks TLS.
    pub(crate) authority: String,
}

impl Access {
    /// As arguments of a process.
    pub(crate) fn arguments(&self) -> [String; 4] {
        [self.url.clone(), self.token.clone(), self.port.to_string(), self.authority.clone()]
    }

    pub(crate) fn parse(arguments: &[String]) -> io::Result<Self> {
        let [url, token, port, authority, ..] = arguments else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let port = port.parse().map_err(io::Error::other)?;
        Ok(Self { url: url.clone(), token: token.clone(), port, authority: authority.clone() })
    }

    /// For those who send no token over plain HTTP.
    pub(crate) fn url_with_token(&self) -> String {
        format!("{}/token/{}", self.url, self.token)
    }
}

/// The server, which goes on until the program ends.
pub(crate) struct Server {
    pub(crate) access: Access,
    pub(crate) over_tls: Access,
}

/// Starts it in a thread of its own.
pub(crate) fn start() -> io::Result<Server> {
    let (tell, started) = mpsc::channel();
    thread::Builder::new().name("server".into()).spawn(move || -> io::Result<()> {
        crate::runtime()?.block_on(async {
            let pods = [Pod::builder().start().await?, Pod::builder().tls().start().await?];
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let port = listener.local_addr()?.port();
            let [access, over_tls] = pods.each_ref().map(|pod| Access {
                url: pod.url(),
                token: pod.token().to_owned(),
                port,
                authority: pod.certificate_authority().unwrap_or_default().to_owned(),
            });
            tell.send(Server { access, over_tls }).map_err(io::Error::other)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(async {
                    // The client notices, and says so.
                    let _ = serve(stream).await;
                });
            }
        })
    })?;
    started.recv().map_err(io::Error::other)
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    match stream.read_u8().await? {
        ECHO => stream.write_u8(ECHO).await?,
        SOURCE => {
            let mut missing = stream.read_u64().await?;
            let buffer = vec![b'x'; BUFFER];
            while missing > 0 {
                let piece = missing.min(BUFFER as u64);
                stream.write_all(&buffer[..usize::try_from(piece).map_err(io::Error::other)?]).await?;
                missing -= piece;
            }
        }
        SINK => {
            let mut missing = stream.read_u64().await?;
            let mut buffer = vec![0; BUFFER];
            while missing > 0 {
                let count = stream.read(&mut buffer).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                missing = missing.saturating_sub(count as u64);
            }
            stream.write_u8(SINK).await?;
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    // The client ends it.
    stream.read(&mut [0]).await.map(drop)
}
