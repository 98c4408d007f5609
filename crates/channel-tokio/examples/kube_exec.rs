//! kube's example `pod_exec`, moved over: each step is here twice, first as it is with kube's own `Api<Pod>::exec`, then as it is
//! with channel-tokio over the same `kube::Client`.
//!
//! ```sh
//! cargo run -p channel-tokio --features kube --example kube_exec              # in an embedded pod
//! cargo run -p channel-tokio --features kube --example kube_exec -- web-0     # in a pod of the current context's cluster
//! ```
//!
//! For `https://` clusters kube needs a TLS feature of its own, `rustls-tls` for one.

#![allow(clippy::print_stdout)] // It is what they are for.

mod support;

use std::error::Error;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let support::Setting { kube, pod, .. } = &support::setting().await?;
    let namespace = kube.default_namespace();

    // Once, in either.
    let pods: Api<Pod> = Api::namespaced(kube.clone(), namespace);
    let client = channel_tokio::kube::client(kube.clone());

    // 1. The output of a command, and whether it succeeded.
    {
        let params = AttachParams::default().stderr(false);
        let mut attached = pods.exec(pod, ["date"], &params).await?;
        let (mut stdout, mut text) = (attached.stdout().ok_or("no stdout")?, String::new());
        let status = attached.take_status().ok_or("no status")?;
        stdout.read_to_string(&mut text).await?;
        attached.join().await?;
        let status = status.await.and_then(|status| status.status);
        say("kube", text, status.as_deref() == Some("Success"));
    }
    {
        let output = client.exec(namespace, pod).command(["date"]).output().await?;
        say("channel", String::from_utf8(output.stdout)?, output.outcome.success());
    }

    // 2. stdin, its end, and the answer to all of it. With kube dropping stdin is what ends it.
    {
        let params = AttachParams::default().stdin(true).stderr(false);
        let mut attached = pods.exec(pod, ["sort"], &params).await?;
        let mut stdin = attached.stdin().ok_or("no stdin")?;
        let (mut stdout, mut text) = (attached.stdout().ok_or("no stdout")?, String::new());
        stdin.write_all(b"b\na\n").await?;
        stdin.shutdown().await?;
        drop(stdin);
        stdout.read_to_string(&mut text).await?;
        attached.join().await?;
        say("kube", text, true);
    }
    {
        let mut session = client.exec(namespace, pod).command(["sort"]).stdin().stdout().start().await?;
        let mut stdin = session.stdin.take().ok_or("no stdin")?;
        stdin.write_all(b"b\na\n").await?;
        stdin.shutdown().await?; // An error where the subprotocol cannot end stdin.
        let output = session.output().await?;
        say("channel", String::from_utf8(output.stdout)?, output.outcome.success());
    }

    // 3. An exit code. kube has it in the causes of a Status' details, as text.
    {
        let mut attached = pods.exec(pod, ["sh", "-c", "exit 7"], &AttachParams::default()).await?;
        let status = attached.take_status().ok_or("no status")?.await.ok_or("the connection was lost")?;
        let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
        let code = causes.into_iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
        println!("kube:    exit code {}", code.and_then(|cause| cause.message).unwrap_or_default());
    }
    {
        let output = client.exec(namespace, pod).command(["sh", "-c", "exit 7"]).output().await?;
        println!("channel: {:?}", output.outcome); // Exited(7)
    }
    Ok(())
}

fn say(who: &str, text: String, success: bool) {
    println!("{:<8} {:?}, success: {success}", format!("{who}:"), text);
}
