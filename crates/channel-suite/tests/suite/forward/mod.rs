//! Port-forward: real ports, real sockets, and mostly the embedded pod.

pub(crate) mod carrier;
mod channels;
mod cut;
mod fallback;
mod half_closed;
mod ipv6;
mod links;
mod listener;
mod many;
mod server;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), word: &[u8]) {
    stream.write_all(word).await.expect("somebody to hear it");
    stream.flush().await.expect("somebody to hear it");
    let mut back = vec![0; word.len()];
    stream.read_exact(&mut back).await.expect("an answer");
    assert_eq!(back, word);
}
