//! One end has nothing more to say, and the other goes on.

use channel_suite::behaviour;
use futures::{
    channel::mpsc::{UnboundedReceiver, unbounded},
    io::{AsyncReadExt, AsyncWriteExt},
    stream::StreamExt,
};

use super::carrier::{Carrier, forward};
use crate::support::{
    flavour::Flavour,
    pod::pod,
    streams::{LOOPBACK, answer_after_end, connect, pattern, port, read_all},
};

// Holds PFW-10.
#[behaviour(each carrier)]
async fn an_answer_after_the_half_close_arrives<F: Flavour, C: Carrier>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<C, _>(&client).await;
    let mut connection = forward.connect(port::<F, _>(answer_after_end).await).await.unwrap();
    let question = pattern(0, 300_000);
    connection.write_all(&question).await.unwrap();
    connection.close().await.unwrap();
    let answer = read_all(&mut connection).await.unwrap();
    assert!(answer == question);
}

/// A port that says good-bye first, and then listens to the end; what it heard.
async fn leaving<F: Flavour>() -> (u16, UnboundedReceiver<Vec<u8>>) {
    let (tell, heard) = unbounded();
    let target = port::<F, _>(move |mut stream| {
        let tell = tell.clone();
        async move {
            stream.write_all(b"bye").await.expect("somebody to leave");
            stream.close().await.expect("an end");
            tell.unbounded_send(read_all(&mut stream).await.expect("an end")).expect("somebody to tell");
        }
    });
    (target.await, heard)
}

#[behaviour(each carrier)]
async fn what_is_sent_after_the_port_ended_its_half_arrives<F: Flavour, C: Carrier>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<C, _>(&client).await;
    let (target, mut heard) = leaving::<F>().await;
    let data = pattern(0, 300_000);

    let mut connection = forward.connect(target).await.unwrap();
    assert_eq!(read_all(&mut connection).await.unwrap(), b"bye");
    connection.write_all(&data).await.unwrap();
    connection.close().await.unwrap();
    assert!(heard.next().await.unwrap() == data, "over a connection");

    let listener = forward.listen(LOOPBACK, target).await.unwrap();
    let mut local = connect::<F>(listener.address()).await.unwrap();
    assert_eq!(read_all(&mut local).await.unwrap(), b"bye");
    local.write_all(&data).await.unwrap();
    local.close().await.unwrap();
    assert!(heard.next().await.unwrap() == data, "through a local port");
    assert_eq!(local.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(listener.take_failures(), Vec::<String>::new());
}
