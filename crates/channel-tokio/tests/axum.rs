//! The example that serves from axum's routes, driven by our client.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

#[path = "../examples/axum_pod/pod.rs"]
mod pod;
mod support;

use std::net::Ipv4Addr;

use channel_proto::Transport;
use channel_tokio::{Client, Endpoint, Error, Outcome, Subprotocol};
use support::{bounded, exec};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server, and a client of it with this token.
async fn served(token: &str) -> Client {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, pod::router("right")).into_future());
    Client::new(Endpoint::new(&url).unwrap().token(token))
}

#[tokio::test]
async fn exec_over_websocket_and_over_spdy() {
    bounded(async {
        let client = served("right").await;
        for transport in [Transport::WebSocket, Transport::Spdy] {
            let run = exec(&client, ["sh", "-c", "cat; echo err >&2; exit 7"]).transport(transport);
            let mut session = run.stdin().stdout().stderr().start().await.unwrap();
            let data: Vec<u8> = (0..1_000_000u32).map(|at| (at / 3).to_le_bytes()[0]).collect();
            let (mut stdin, sent) = (session.stdin.take().unwrap(), data.clone());
            tokio::spawn(async move {
                stdin.write_all(&sent).await.unwrap();
                stdin.shutdown().await.unwrap();
            });
            let output = session.output().await.unwrap();
            assert!(output.stdout == data, "{transport}: {} bytes", output.stdout.len());
            assert_eq!(output.stderr, b"err\n");
            assert_eq!(output.outcome, Outcome::Exited(7));
        }
    })
    .await;
}

#[tokio::test]
async fn port_forward_by_the_tunnel_by_spdy_and_by_channels() {
    bounded(async {
        let client = served("right").await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = [0; 8];
                stream.read_exact(&mut question).await.unwrap();
                stream.write_all(&question.repeat(10_000)).await.unwrap();
            }
        });
        let ways = [
            (Transport::WebSocket, Subprotocol::Tunnel),
            (Transport::Spdy, Subprotocol::PortForward),
            (Transport::WebSocket, Subprotocol::V4),
        ];
        for (transport, subprotocol) in ways {
            let forward = client.port_forward("default", "any").ports([port]);
            let forward = forward.transport(transport).offer([subprotocol]).start().await.unwrap();
            assert_eq!(forward.subprotocol(), subprotocol);
            let mut connection = forward.connect(port).await.unwrap();
            connection.write_all(b"question").await.unwrap();
            let mut answer = vec![0; 80_000];
            connection.read_exact(&mut answer).await.unwrap();
            assert!(answer == b"question".repeat(10_000));
        }
    })
    .await;
}

#[tokio::test]
async fn refusals_are_axums_to_write() {
    bounded(async {
        let refused = async |client: Client, command| {
            let error = exec(&client, [command]).stdout().start().await.unwrap_err();
            error.refusal().map(|refusal| refusal.status.as_u16())
        };
        assert_eq!(refused(served("wrong").await, "true").await, Some(401));
        // What cannot be run is no refusal, but a status.
        let client = served("right").await;
        let output = exec(&client, ["no-such-command"]).output().await.unwrap();
        assert!(matches!(output.outcome, Outcome::Failed(_)), "{:?}", output.outcome);
        let tty = exec(&client, ["true"]).stdout().tty(None).start().await;
        let Err(Error::Refused(refusal)) = tty else { panic!("a terminal") };
        assert_eq!(refusal.message(), "there are no terminals here");
    })
    .await;
}
