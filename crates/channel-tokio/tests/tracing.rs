//! What `tracing` is told: every edge of a session's life, and nothing that is a secret or somebody's data.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod support;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use channel_pod::Pod;
use channel_tokio::{Client, Endpoint, ListenerState, Outcome, Subprotocol};
use http::{HeaderMap, HeaderValue};
use support::{bounded, client_of, exec};
use tokio::{io::AsyncWriteExt, time::sleep};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::format::FmtSpan;

/// All that is said on this thread, at every level, from its making until it is dropped.
struct Heard {
    text: Text,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl io::Write for Text {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Heard {
    fn listen() -> Self {
        let text = Text::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    fn text(&self) -> String {
        String::from_utf8(self.text.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
    }

    /// Each of these came, in this order.
    fn has(&self, events: &[&str]) {
        let text = self.text();
        let mut rest = &text[..];
        for event in events {
            let at = rest.find(event).unwrap_or_else(|| panic!("no {event:?} in its place in\n{text}"));
            rest = &rest[at + event.len()..];
        }
    }

    fn has_none_of(&self, secrets: &[&str]) {
        let text = self.text();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret:?} in\n{text}");
        }
    }
}

#[tokio::test]
async fn a_session_is_told_from_its_upgrade_to_its_end() {
    bounded(async {
        let heard = Heard::listen();
        let pod = Pod::builder().token("secret-token").start().await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-of-the-caller", HeaderValue::from_static("secret-header"));
        let endpoint = Endpoint::new(&pod.url()).unwrap().token("secret-token").headers(headers);
        let client = Client::new(endpoint);
        let command = ["sh", "-c", "cat; echo secret-stderr >&2; exit 7", "secret-argument"];
        let mut session = exec(&client, command).stdin().stdout().stderr().start().await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"secret-stdin").await.unwrap();
        stdin.shutdown().await.unwrap();
        let output = session.output().await.unwrap();
        assert_eq!((&output.stdout[..], output.outcome), (&b"secret-stdin"[..], Outcome::Exited(7)));
        heard.has(&[
            "upgrade{server=\"127.0.0.1:",
            "namespace=\"default\" pod=\"embedded\"",
            "asking transport=WebSocket offers=[\"v5.channel.k8s.io\"",
            "upgraded transport=WebSocket subprotocol=v5.channel.k8s.io refusals=0",
            "ended how=exited with code 7",
        ]);
        heard.has(&["serving subprotocol=v5.channel.k8s.io"]);
        heard.has_none_of(&["secret-", "/api/v1"]);
    })
    .await;
}

#[tokio::test]
async fn refusals_and_fallbacks_are_told_without_what_the_server_said() {
    bounded(async {
        let heard = Heard::listen();
        let pod = Pod::builder().subprotocols([Subprotocol::V4]).start().await.unwrap();
        let client = client_of(&pod);
        let run = exec(&client, ["true"]).offer([Subprotocol::V5]);
        assert!(run.output().await.unwrap().outcome.success());
        heard.has(&[
            "asking transport=WebSocket offers=[\"v5.channel.k8s.io\"]",
            "refused, falling back status=403 transport=WebSocket offers=[\"v4.channel.k8s.io\"]",
            "asking transport=WebSocket offers=[\"v4.channel.k8s.io\"]",
            "upgraded transport=WebSocket subprotocol=v4.channel.k8s.io refusals=1",
            "ended how=exited with code 0",
        ]);
        client.exec("default", "missing").command(["true"]).output().await.unwrap_err();
        // What a kubelet hands out stands for a command, as a token does.
        client.exec_at("/exec/secret-path").output().await.unwrap_err();
        heard.has(&["refused status=404", "refused status="]);
        let told = heard.text();
        let events = told.lines().filter(|line| line.contains("refused status=404"));
        assert!(events.clone().count() > 0 && events.clone().all(|line| !line.contains("not found")));
        heard.has_none_of(&[pod.token(), "secret-path", "not found"]);
    })
    .await;
}

#[tokio::test]
async fn a_lost_forward_and_its_return_are_told() {
    bounded(async {
        let heard = Heard::listen();
        let pod = Pod::builder().token("secret-token").start().await.unwrap();
        let address = pod.address();
        let forward = client_of(&pod).port_forward("default", "embedded").start().await.unwrap();
        let listener = forward.listen("127.0.0.1:0".parse().unwrap(), 80).await.unwrap();
        drop(pod);
        let lost = listener.changed(&ListenerState::Connected).await;
        // The first one's listener is closed by its runtime, in time.
        let again = || Pod::builder().listen(address).token("secret-token").start();
        let _pod = loop {
            match again().await {
                Ok(pod) => break pod,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        };
        let mut state = lost;
        while state != ListenerState::Connected {
            state = listener.changed(&state).await;
        }
        heard.has(&[
            "upgraded transport=WebSocket subprotocol=SPDY/3.1+portforward.k8s.io",
            "listener{address=127.0.0.1:",
            "port=80}: channel: lost, connecting again attempts=1 delay_ms=",
            "upgraded transport=WebSocket",
            "connected again attempts=",
        ]);
        heard.has_none_of(&["secret-"]);
    })
    .await;
}

#[tokio::test]
async fn what_ends_early_is_told_too() {
    bounded(async {
        let heard = Heard::listen();
        let pod = Pod::builder().start().await.unwrap();
        let client = client_of(&pod);
        let session = exec(&client, ["sleep", "100"]).stdout().start().await.unwrap();
        drop(session);
        while !heard.text().contains("dropped") {
            tokio::task::yield_now().await;
        }
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let client = Client::new(Endpoint::new(&url).unwrap());
        exec(&client, ["true"]).output().await.unwrap_err();
        heard.has(&["no answer why=cannot connect to 127.0.0.1:"]);
    })
    .await;
}
