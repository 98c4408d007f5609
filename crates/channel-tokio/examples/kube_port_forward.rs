//! kube's examples `pod_portforward` and `pod_portforward_bind`, moved over: each step is here twice, first as it is with kube's own
//! `Api<Pod>::portforward`, then as it is with channel-tokio over the same `kube::Client`.
//!
//! ```sh
//! cargo run -p channel-tokio --features kube --example kube_port_forward                 # to a port of this machine
//! cargo run -p channel-tokio --features kube --example kube_port_forward -- web-0 80     # to a pod of the current context's cluster
//! ```
//!
//! For `https://` clusters kube needs a TLS feature of its own, `rustls-tls` for one.

#![allow(clippy::print_stdout)] // It is what they are for.

mod support;

use std::{env, error::Error, io};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let support::Setting { kube, pod, .. } = &support::setting().await?;
    let namespace = kube.default_namespace();
    let port = match env::args().nth(2) {
        Some(port) => port.parse()?,
        None => greeter().await?,
    };

    // 1. One connection. kube's has one for each port, and ends with it; ours has as many as one likes.
    let pods: Api<Pod> = Api::namespaced(kube.clone(), namespace);
    {
        let mut forwarder = pods.portforward(pod, &[port]).await?;
        let stream = forwarder.take_stream(port).ok_or("no stream")?;
        println!("kube:    {:?}", get(stream).await?);
    }
    let client = channel_tokio::kube::client(kube.clone());
    let forward = client.port_forward(namespace, pod).start().await?;
    for _ in 0..2 {
        println!("channel: {:?}", get(forward.connect(port).await?).await?);
    }

    // 2. A local port. With kube one listens oneself, and upgrades a connection to the API server for each that comes in.
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (pods, pod) = (pods.clone(), pod.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((mut local, _)) = listener.accept().await {
                let (pods, pod) = (pods.clone(), pod.clone());
                tokio::spawn(async move {
                    let mut forwarder = pods.portforward(&pod, &[port]).await.map_err(io::Error::other)?;
                    let mut remote = forwarder.take_stream(port).ok_or(io::ErrorKind::NotFound)?;
                    tokio::io::copy_bidirectional(&mut local, &mut remote).await?;
                    drop(remote);
                    forwarder.join().await.map_err(io::Error::other)
                });
            }
        });
        println!("kube:    {:?}", get(TcpStream::connect(address).await?).await?);
        accepting.abort();
    }
    {
        // It connects again when the connection to the pod is lost: see `Listener::changed`.
        let listener = forward.listen("127.0.0.1:0".parse()?, port).await?;
        println!("channel: {:?}", get(TcpStream::connect(listener.address()).await?).await?);
    }
    Ok(())
}

/// The first line of the answer to a request.
async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// A port of this machine where something answers like a web server.
async fn greeter() -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok() {
                // A client that is gone already is of no concern.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    });
    Ok(port)
}
