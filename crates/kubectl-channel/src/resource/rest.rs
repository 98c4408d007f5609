//! Reading objects of the API: `GET`, over the connections that sessions have.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use channel_tokio::{ByteStream, Client, Open};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{client::conn::http1, rt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::timeout;

use crate::exit::Failure;

/// No object or list of pods is longer: etcd takes 1.5 MiB for an object, and a list here is that of one workload.
const LONGEST: usize = 64 << 20;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

const READ: usize = 16 << 10;

/// Where an object is, or a list of them.
pub(super) struct Path(String);

/// What stands for itself in a path or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Path {
    pub(super) fn new(api: &str, namespace: &str, plural: &str) -> Self {
        Self(format!("{api}/namespaces/{}/{plural}", utf8_percent_encode(namespace, PLAIN)))
    }

    pub(super) fn object(self, name: &str) -> Self {
        Self(format!("{}/{}", self.0, utf8_percent_encode(name, PLAIN)))
    }

    pub(super) fn selected(self, selector: &str) -> Self {
        Self(format!("{}?labelSelector={}", self.0, utf8_percent_encode(selector, PLAIN)))
    }
}

/// Reads what is at a path.
pub(super) async fn get(client: &Client, path: &Path) -> Result<Value, Failure> {
    let open = client.open().await?;
    match timeout(PATIENCE, ask(open, path)).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(Failure::no_connection(format!("no answer from the server within {} s", PATIENCE.as_secs())))
        }
    }
}

async fn ask(open: Open, path: &Path) -> Result<Value, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::no_connection(format!("reading {}: {error}", path.0));
    let Open { stream, headers, authority, prefix, .. } = open;
    let mut request = Request::get(format!("{prefix}{}", path.0))
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    request.headers_mut().extend(headers);
    let (mut sender, connection) =
        http1::handshake(Stream::new(stream)).await.map_err(|error| failed(&error))?;
    let connection = async {
        // An error of it is one of the request, too.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let answer = async {
        let (head, body) = sender.send_request(request).await.map_err(|error| failed(&error))?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(|error| failed(&error))?;
        Ok::<_, Failure>((head.status, body.to_bytes()))
    };
    let (status, body) = tokio::select! {
        answer = answer => answer?,
        () = connection => unreachable!("it never ends"),
    };
    let document: Result<Value, _> = serde_json::from_slice(&body);
    match (status, document) {
        (StatusCode::OK, Ok(document)) => Ok(document),
        (StatusCode::OK, Err(_)) => Err(failed(&"what the server answers is no JSON")),
        // A `metav1.Status`, if it is the API server that speaks.
        (status, Ok(Value::Object(refusal))) if refusal.get("message").is_some_and(Value::is_string) => {
            let message = refusal["message"].as_str().unwrap_or_default();
            Err(Failure::refused(format!("the server refused ({status}): {message}")))
        }
        (status, _) => Err(Failure::refused(format!("the server refused to read {}: {status}", path.0))),
    }
}

/// A connection as hyper wants it.
struct Stream {
    inner: Box<dyn ByteStream>,
    /// What was read, and did not fit.
    read: BytesMut,
}

impl Stream {
    fn new(inner: Box<dyn ByteStream>) -> Self {
        Self { inner, read: BytesMut::new() }
    }
}

impl rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, read } = &mut *self;
        if read.is_empty() {
            read.reserve(READ);
            ready!(inner.poll_read(cx, read))?;
        }
        buf.put_slice(&read.split_to(read.len().min(buf.remaining())));
        Poll::Ready(Ok(()))
    }
}

impl rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.poll_write(cx, &[IoSlice::new(data)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }
}
