//! A program with an HTTP server of axum's that serves exec and port-forward at the paths of an API server: the commands are those of this
//! machine, and so are the ports.
//!
//! ```sh
//! cargo run -p channel-tokio --features hyper --example axum_pod -- TOKEN
//! ```
//!
//! It prints how to reach it with that token. Whoever knows the token can run any command as the user it runs as.

#![allow(clippy::print_stdout)] // To say where it is.

mod pod;

use std::{error::Error, net::Ipv4Addr};

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = std::env::args().nth(1).ok_or("give the token that clients must show")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!(
        "try: kubectl-channel exec --server http://{} --token TOKEN any -- date",
        listener.local_addr()?
    );
    axum::serve(listener, pod::router(token)).await?;
    Ok(())
}
