//! The terminal of a command has its size from the start.

use std::time::{Duration, Instant};

use channel_pod::Pod;
use channel_tokio::{Client, Endpoint, TerminalSize};

async fn size_at_start(client: &Client, size: Option<TerminalSize>) -> String {
    let exec = client.exec("default", "embedded").command(["stty", "size"]).stdin().tty(size);
    let output = exec.output().await.expect("a session");
    assert!(output.outcome.success(), "{:?}", output.outcome);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn client(pod: &Pod) -> Client {
    Client::new(Endpoint::new(&pod.url()).expect("a URL").token(pod.token()))
}

// Holds EXE-5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_size_comes_before_the_command() {
    let pod = Pod::builder().start().await.expect("a pod");
    let client = client(&pod);
    for width in 1..100 {
        let size = TerminalSize { width, height: 24 };
        assert_eq!(size_at_start(&client, Some(size)).await, format!("24 {width}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_size_is_waited_for_only_a_moment() {
    let pod = Pod::builder().start().await.expect("a pod");
    let start = Instant::now();
    assert_eq!(size_at_start(&client(&pod), None).await, "0 0");
    assert!(start.elapsed() < Duration::from_secs(5));
}
