//! Over a `kube::Client`: the same as kube's own exec and port-forward, and what kube's do not have.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod support;

use std::net::Ipv4Addr;

use channel_pod::Pod;
use channel_proto::{
    Transport,
    upgrade::{BodyEnd, Fallback},
};
use channel_tokio::{BearerToken, Client, Error, Outcome, Subprotocol};
use k8s_openapi::api::core::v1;
use kube::{Api, Config, api::AttachParams};
use support::{bounded, exec};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn kube_at(url: &str, token: Option<&str>) -> kube::Client {
    let mut config = Config::new(url.parse().unwrap());
    config.auth_info.token = token.map(|token| token.to_owned().into());
    kube::Client::try_from(config).unwrap()
}

async fn start(builder: channel_pod::Builder) -> (Pod, kube::Client, Client) {
    let pod = builder.start().await.unwrap();
    let kube = kube_at(&pod.url(), Some(pod.token()));
    let client = channel_tokio::kube::client(kube.clone());
    (pod, kube, client)
}

/// What a command came to, in words that both can speak.
#[derive(Debug, PartialEq)]
struct Run {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    Exit(i32),
    Message(String),
}

async fn by_kube(kube: &kube::Client, command: &[&str], stdin: &[u8]) -> Run {
    let pods: Api<v1::Pod> = Api::default_namespaced(kube.clone());
    let params = AttachParams::default().stdin(true);
    let mut process = pods.exec("embedded", command.to_vec(), &params).await.unwrap();
    let status = process.take_status().unwrap();
    let mut input = process.stdin().unwrap();
    let (mut out, mut err) = (process.stdout().unwrap(), process.stderr().unwrap());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    // A command that never starts reads nothing.
    let write = async {
        let _ = input.write_all(stdin).await;
        let _ = input.shutdown().await;
    };
    let (_, out, err, status) =
        tokio::join!(write, out.read_to_end(&mut stdout), err.read_to_end(&mut stderr), status);
    out.unwrap();
    err.unwrap();
    let status = status.expect("a status");
    let code = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code = code.filter(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.filter_map(|cause| cause.message.as_deref()?.parse().ok()).next();
    let end = match (status.status.as_deref(), code) {
        (Some("Success"), _) => End::Exit(0),
        (_, Some(code)) => End::Exit(code),
        _ => End::Message(status.message.unwrap_or_default()),
    };
    Run { stdout, stderr, end }
}

async fn by_ours(client: &Client, command: &[&str], stdin: &[u8]) -> Run {
    let run = client.exec("default", "embedded").command(command.iter().copied());
    let mut session = run.stdin().stdout().stderr().start().await.unwrap();
    let mut input = session.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    tokio::spawn(async move {
        let _ = input.write_all(&stdin).await;
        let _ = input.shutdown().await;
    });
    let output = session.output().await.unwrap();
    let end = match output.outcome {
        Outcome::Exited(code) => End::Exit(code),
        Outcome::Failed(status) => End::Message(status.message),
        other => panic!("{other:?}"),
    };
    Run { stdout: output.stdout, stderr: output.stderr, end }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exec_gives_the_bytes_and_the_outcome_that_kubes_gives() {
    bounded(async {
        let (_pod, kube, client) = start(Pod::builder()).await;
        let long: Vec<u8> = (0..1_000_000u32).map(|at| (at / 3).to_le_bytes()[0]).collect();
        let cases: [(&[&str], &[u8], End); 6] = [
            (&["sh", "-c", "echo out; echo err >&2"], b"", End::Exit(0)),
            (&["sh", "-c", "wc -c; exit 7"], b"hello", End::Exit(7)),
            (&["cat"], &long, End::Exit(0)),
            (&["seq", "100000"], b"", End::Exit(0)),
            (&["sh", "-c", "kill -9 $$"], b"", End::Exit(137)),
            (&["no-such-command"], b"", End::Message(String::new())),
        ];
        for (command, stdin, expected) in cases {
            let (kubes, ours) =
                (by_kube(&kube, command, stdin).await, by_ours(&client, command, stdin).await);
            assert!(ours == kubes, "{command:?}: {:?} and {:?}", ours.end, kubes.end);
            match expected {
                // The embedded pod's wording is its own matter.
                End::Message(_) => assert!(matches!(&ours.end, End::Message(text) if !text.is_empty())),
                end => assert_eq!(ours.end, end, "{command:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn port_forward_gives_the_bytes_that_kubes_gives() {
    bounded(async {
        let (_pod, kube, client) = start(Pod::builder()).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = [0; 8];
                stream.read_exact(&mut question).await.unwrap();
                stream.write_all(&question.repeat(10_000)).await.unwrap();
            }
        });
        let ask = async |stream: &mut (dyn Stream + Unpin)| {
            stream.write_all(b"question").await.unwrap();
            let mut answer = vec![0; 80_000];
            stream.read_exact(&mut answer).await.unwrap();
            answer
        };
        let pods: Api<v1::Pod> = Api::default_namespaced(kube);
        let mut kubes = pods.portforward("embedded", &[port]).await.unwrap();
        let kubes = ask(&mut kubes.take_stream(port).unwrap()).await;
        let forward = client.port_forward("default", "embedded").start().await.unwrap();
        assert_eq!(forward.subprotocol(), Subprotocol::Tunnel);
        for _ in 0..3 {
            assert!(ask(&mut forward.connect(port).await.unwrap()).await == kubes);
        }
    })
    .await;
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite> Stream for T {}

#[tokio::test]
async fn falls_back_and_speaks_spdy_as_over_a_connection_of_its_own() {
    bounded(async {
        let (_pod, _, client) = start(Pod::builder().subprotocols([Subprotocol::V4])).await;
        let run = exec(&client, ["true"]).offer([Subprotocol::V5]).stdout();
        let session = run.start().await.unwrap();
        assert_eq!(session.subprotocol(), Subprotocol::V4);
        assert_eq!(session.refusals()[0].fallback(), Some(Fallback::OlderSubprotocol));
        assert!(session.wait().await.unwrap().success());
        let run = exec(&client, ["echo", "over SPDY"]).transport(Transport::Spdy);
        let output = run.output().await.unwrap();
        assert_eq!(output.stdout, b"over SPDY\n");
        assert!(output.outcome.success());
    })
    .await;
}

// Holds UPG-18.
#[tokio::test]
async fn a_refusal_says_all_that_the_server_said() {
    bounded(async {
        let (pod, kube, client) = start(Pod::builder()).await;
        let run = client.exec("default", "missing").command(["true"]).stdout();
        let Err(Error::Refused(refusal)) = run.start().await else { panic!("a missing pod") };
        assert_eq!(refusal.status.as_u16(), 404);
        assert_eq!(refusal.status_object().unwrap().message, "pods \"missing\" not found");

        drop(kube);
        let client = channel_tokio::kube::client(kube_at(&pod.url(), Some("a-wrong-token")));
        let error = exec(&client, ["true"]).stdout().start().await.unwrap_err();
        assert_eq!(error.refusal().unwrap().status.as_u16(), 401);
        assert!(!format!("{error:?} {error}").contains("a-wrong-token"));
    })
    .await;
}

#[tokio::test]
async fn a_path_before_the_api_is_kubes_to_add() {
    bounded(async {
        let pod = Pod::builder().start().await.unwrap();
        // The pod takes its token from the path too.
        let client = channel_tokio::kube::client(kube_at(&pod.kubectl_url(), None));
        assert!(exec(&client, ["true"]).output().await.unwrap().outcome.success());
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reaches_nobody_says_so() {
    bounded(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let token = BearerToken::new("secret-of-nobody");
        let client = channel_tokio::kube::client(kube_at(&url, Some(token.secret())));
        let error = exec(&client, ["true"]).stdout().start().await.unwrap_err();
        assert!(matches!(error, Error::HttpClient(_)), "{error:?}");
        assert!(!format!("{error:?} {error}").contains(token.secret()));
    })
    .await;
}

/// The URL of a server that reads a request, answers like this, and then `after` again and again.
async fn answering(answer: &'static [u8], after: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(answer).await.unwrap();
            while !after.is_empty() && stream.write_all(after).await.is_ok() {}
        }
    });
    url
}

// Holds UPG-14, UPG-17.
#[tokio::test]
async fn bad_answers_are_bounded_and_told() {
    bounded(async {
        let ask = async |answer, after| {
            let client = channel_tokio::kube::client(kube_at(&answering(answer, after).await, None));
            exec(&client, ["true"]).stdout().start().await.unwrap_err()
        };
        let endless = b"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n";
        let error = ask(endless, b"5\r\nnoise\r\n").await;
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.body.len(), refusal.body_end), (64 << 10, BodyEnd::OverLimit));
        let cut = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 10\r\n\r\nhalf";
        let error = ask(cut, b"").await;
        let refusal = error.refusal().unwrap();
        assert_eq!((&refusal.body[..], refusal.body_end), (&b"half"[..], BodyEnd::Cut));
        let liar = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: another\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";
        let error = ask(liar, b"").await;
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    })
    .await;
}
