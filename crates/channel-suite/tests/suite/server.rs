//! The server's side, over a connection of the runtime's own listener and over streams that somebody else upgraded.

use std::future::poll_fn;

use async_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use bytes::BytesMut;
use channel_driver::{
    Client, Endpoint, Error, Io, Session,
    runtime::{Accept, Runtime},
};
use channel_proto::{Outcome, PodRequest, SessionConfig, Subprotocol};
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use http::{HeaderValue, header};

use crate::support::{
    entry::{ALL, Messages},
    flavour::Flavour,
    streams::{LOOPBACK, Local, duplex, read_all},
    tasks::spawn,
};

// Holds UPG-16.
#[behaviour]
async fn a_session_on_a_stream_that_somebody_else_upgraded<F: Flavour>() {
    let (near, mut far) = duplex(4096);
    // The first message came in the same read as the head of the 101.
    let rest = BytesMut::from(&b"\x82\x01\x01\x82\x06\x01early"[..]);
    let config = SessionConfig::client([1; 32]);
    let mut client = Session::over::<F::Runtime>(Io(near), rest, Subprotocol::V5, ALL, &config);
    far.write_all(b"\x82\x06\x01-late").await.unwrap();
    let mut all = [0; 10];
    client.stdout.take().unwrap().read_exact(&mut all).await.unwrap();
    assert_eq!(&all, b"early-late");
}

#[behaviour]
async fn a_server_of_ones_own_accepts_and_refuses<F: Flavour>() {
    let mut listener = F::Runtime::listen(LOOPBACK).await.unwrap();
    let url = format!("http://{}/prefix", listener.local_addr().unwrap());
    let serving = spawn::<F, _>(async move {
        for nth in 0..2 {
            let stream = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
            let incoming = channel_driver::accept(stream, &Default::default()).await.unwrap().unwrap();
            let request = incoming.pod_request().unwrap().unwrap();
            assert_eq!((request.namespace.as_str(), request.pod.as_str()), ("ns", "p"));
            if nth == 0 {
                let mut refusal = http::Response::new("not today".into());
                *refusal.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                incoming.respond(refusal).await.unwrap();
            } else {
                let config = SessionConfig::server();
                let only = [Subprotocol::V4];
                let accepted = incoming.accept_only::<F::Runtime>(&only, request.streams, &config).await;
                let mut session = accepted.unwrap().unwrap();
                session.stdout.as_mut().unwrap().write_all(b"hello").await.unwrap();
                session.finish(&Outcome::Exited(9)).await.unwrap();
            }
        }
    });
    let client: Client<F::Runtime> = Client::new(Endpoint::new(&url).unwrap());
    let run = || client.exec("ns", "p").command(["x"]);
    let Err(Error::Refused(refusal)) = run().output().await else { panic!() };
    assert_eq!((refusal.status.as_u16(), &refusal.body[..]), (503, &b"not today"[..]));
    let output = run().output().await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.outcome), (&b"hello"[..], Outcome::Exited(9)));
    serving.await;
}

/// A client over bytes, a server over the messages of a WebSocket that async-tungstenite accepted.
#[behaviour]
async fn a_server_behind_somebody_elses_websocket_serves_a_client_of_ours<F: Flavour>() {
    let mut listener = F::Runtime::listen(LOOPBACK).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = spawn::<F, _>(async move {
        let stream = Local::new(poll_fn(|cx| listener.poll_accept(cx)).await.unwrap());
        let mut asked = None;
        #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
        let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            asked = PodRequest::parse(request.uri()).unwrap();
            let subprotocol = HeaderValue::from_static("v5.channel.k8s.io");
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
            Ok(response)
        };
        let socket = async_tungstenite::accept_hdr_async(stream, answer).await.unwrap();
        let streams = asked.expect("an exec").streams;
        let mut server = Messages::serving::<F, _>(async { socket }, streams, Subprotocol::V5);
        let mut all = Vec::new();
        server.stdin.take().unwrap().read_to_end(&mut all).await.unwrap();
        server.stdout.as_mut().unwrap().write_all(&all).await.unwrap();
        server.finish(Outcome::Exited(11)).await.unwrap();
    });
    let client: Client<F::Runtime> = Client::new(Endpoint::new(&url).unwrap());
    let run = client.exec("ns", "p").command(["x"]).stdin().stdout();
    let mut session = run.start().await.unwrap();
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    let sent = vec![9; 1 << 20];
    let writing = spawn::<F, _>(async move {
        stdin.write_all(&sent).await.unwrap();
        stdin.close().await.unwrap();
    });
    let back = read_all(&mut stdout).await.unwrap();
    writing.await;
    assert!(back == vec![9; 1 << 20], "{} bytes", back.len());
    assert_eq!(session.wait().await.unwrap(), Outcome::Exited(11));
    serving.await;
}
