//! Proxies of the kinds that there are, on any runtime.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use channel_driver::{
    runtime::{Accept, Runtime, Transport},
    tls::ServerTls,
};

use crate::connect::server::listen;

/// What a proxy is like.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) speaks: Speaks,
    /// The login it wants, as it travels: base64 of `user:password`, or the message of RFC 1929.
    pub(crate) login: Option<&'static [u8]>,
    pub(crate) tls: Option<ServerTls>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Connect,
    Socks5,
}

/// A proxy that leads to `server` whatever name it is asked for.
pub(crate) struct Proxied {
    pub(crate) address: SocketAddr,
    /// What was asked for, in order.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Proxied {
    pub(crate) async fn start<R: Runtime<Timer: Unpin>>(manner: Manner, server: SocketAddr) -> Self {
        let (mut listener, address) = listen::<R>().await;
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = asked.clone();
        R::spawn(async move {
            while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
                let (manner, log) = (manner.clone(), log.clone());
                R::spawn(async move {
                    // What fails here fails for the client too.
                    let _ = match &manner.tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve::<R, _>(stream, &manner, server, &log).await,
                            Err(error) => Err(error),
                        },
                        None => serve::<R, _>(stream, &manner, server, &log).await,
                    };
                });
            }
        });
        Self { address, asked }
    }
}

async fn serve<R: Runtime<Timer: Unpin>, T: Transport>(
    stream: T,
    manner: &Manner,
    server: SocketAddr,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut near = Wire { stream, read: BytesMut::new() };
    let target = match manner.speaks {
        Speaks::Connect => near.connect(manner.login).await?,
        Speaks::Socks5 => near.socks5(manner.login).await?,
    };
    let Some(target) = target else { return Ok(()) };
    log.lock().unwrap().push(target);
    let far = R::connect(&server.ip().to_string(), server.port()).await?;
    let mut far = Wire { stream: far, read: BytesMut::new() };
    poll_fn(|cx| match (near.poll_to(cx, &mut far)?, far.poll_to(cx, &mut near)?) {
        (Poll::Pending, Poll::Pending) => Poll::Pending,
        // Good enough for a session, both ends of which close it.
        _ => Poll::Ready(Ok(())),
    })
    .await
}

/// A stream, and what was read of it.
struct Wire<T> {
    stream: T,
    read: BytesMut,
}

impl<T: Transport> Wire<T> {
    async fn more(&mut self) -> io::Result<()> {
        self.read.reserve(4096);
        match poll_fn(|cx| self.stream.poll_read(cx, &mut self.read)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn take(&mut self, count: usize) -> io::Result<BytesMut> {
        while self.read.len() < count {
            self.more().await?;
        }
        Ok(self.read.split_to(count))
    }

    async fn say(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let count = poll_fn(|cx| self.stream.poll_write(cx, &[IoSlice::new(data)])).await?;
            data.advance(count);
        }
        poll_fn(|cx| self.stream.poll_flush(cx)).await
    }

    /// Says no, and waits until the other has heard it.
    async fn refuse(&mut self, answer: &[u8]) -> io::Result<Option<String>> {
        self.say(answer).await?;
        poll_fn(|cx| self.stream.poll_shutdown(cx)).await?;
        let _ = self.more().await;
        Ok(None)
    }

    async fn connect(&mut self, login: Option<&[u8]>) -> io::Result<Option<String>> {
        let head = loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                self.read.advance(head.len() + 4);
                break head.to_owned();
            }
            self.more().await?;
        };
        let target = head.strip_prefix("CONNECT ").and_then(|line| line.split_once(" HTTP/1.1\r\n"));
        let Some((target, _)) = target else {
            return self.refuse(b"HTTP/1.1 405 Only CONNECT\r\n\r\n").await;
        };
        if let Some(login) = login {
            let wanted = format!("\r\nProxy-Authorization: Basic {}", String::from_utf8_lossy(login));
            if !head.contains(&wanted) {
                return self.refuse(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\n\r\n").await;
            }
        }
        if target.starts_with("forbidden.") {
            return self.refuse(b"HTTP/1.1 403 Filtered\r\nContent-Length: 2\r\n\r\nno").await;
        }
        self.say(b"HTTP/1.0 200 Connection established\r\nVia: a test\r\n\r\n").await?;
        Ok(Some(target.to_owned()))
    }

    async fn socks5(&mut self, login: Option<&[u8]>) -> io::Result<Option<String>> {
        let methods = self.take(2).await?;
        let methods = self.take(methods[1].into()).await?;
        match login {
            None => self.say(&[5, 0]).await?,
            Some(_) if !methods.contains(&2) => return self.refuse(&[5, 255]).await,
            Some(login) => {
                self.say(&[5, 2]).await?;
                if self.take(login.len()).await? != *login {
                    return self.refuse(&[1, 1]).await;
                }
                self.say(&[1, 0]).await?;
            }
        }
        let kind = self.take(4).await?[3];
        let host = match kind {
            1 => Ipv4Addr::from_bits(self.take(4).await?.get_u32()).to_string(),
            4 => Ipv6Addr::from_bits(self.take(16).await?.get_u128()).to_string(),
            _ => {
                let len = self.take(1).await?[0];
                String::from_utf8_lossy(&self.take(len.into()).await?).into_owned()
            }
        };
        let port = self.take(2).await?.get_u16();
        if host.starts_with("forbidden.") {
            return self.refuse(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        }
        self.say(&[5, 0, 0, 3, 4, b't', b'e', b's', b't', 0, 80]).await?;
        Ok(Some(format!("{host}:{port}")))
    }

    /// Passes on what comes, until it ends.
    fn poll_to<U: Transport>(&mut self, cx: &mut Context<'_>, to: &mut Wire<U>) -> Poll<io::Result<()>> {
        loop {
            while !self.read.is_empty() {
                match to.stream.poll_write(cx, &[IoSlice::new(&self.read)])? {
                    Poll::Ready(count) => self.read.advance(count),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if to.stream.poll_flush(cx)?.is_pending() {
                return Poll::Pending;
            }
            self.read.reserve(4096);
            match self.stream.poll_read(cx, &mut self.read)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
