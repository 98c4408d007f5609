mod attach;
mod ending;
mod pipes;
mod terminal;

use std::path::Path;
use std::time::Duration;

use channel_proto::Streams;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::{Output, Process, ProcessSpec, Stdin};

const OUTPUTS: Streams = Streams { stdin: false, stdout: true, stderr: true, tty: false };
const ALL: Streams = Streams { stdin: true, ..OUTPUTS };
const TERMINAL: Streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };

/// Longer than anything here takes, on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(20);

fn spec(streams: Streams, command: &[&str]) -> ProcessSpec {
    ProcessSpec {
        command: command.iter().map(ToString::to_string).collect(),
        streams,
        ..ProcessSpec::default()
    }
}

fn shell(streams: Streams, script: &str) -> ProcessSpec {
    spec(streams, &["sh", "-c", script])
}

/// What a server does: both outputs to their end, then the exit code.
async fn finish(mut process: Process) -> (String, String, i32) {
    drop(process.stdin.take());
    let work = async {
        let (stdout, stderr) = tokio::join!(text(process.stdout.take()), text(process.stderr.take()));
        (stdout, stderr, process.control.wait().await.unwrap())
    };
    timeout(PATIENCE, work).await.expect("the command ends")
}

async fn text(output: Option<Output>) -> String {
    let mut text = String::new();
    if let Some(mut output) = output {
        output.read_to_string(&mut text).await.unwrap();
    }
    text
}

async fn read_until(output: &mut Option<Output>, end: &str) -> String {
    let output = output.as_mut().unwrap();
    let mut seen = Vec::new();
    let work = async {
        while !String::from_utf8_lossy(&seen).contains(end) {
            assert_ne!(
                output.read_buf(&mut seen).await.unwrap(),
                0,
                "ended after {:?}",
                String::from_utf8_lossy(&seen)
            );
        }
    };
    let result = timeout(PATIENCE, work).await;
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(result.is_ok(), "no {end:?} in {seen:?}");
    seen
}

async fn write(stdin: &mut Option<Stdin>, data: &str) {
    stdin.as_mut().unwrap().write_all(data.as_bytes()).await.unwrap();
}

/// Reads one process id that a command prints on a line of its own.
async fn read_pid(output: &mut Option<Output>) -> u32 {
    read_until(output, "\n").await.lines().next().unwrap().trim().parse().unwrap()
}

fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Waits until a process is gone, zombies included, and says how long that took.
async fn gone(pid: u32) -> Duration {
    let start = Instant::now();
    while exists(pid) {
        assert!(start.elapsed() < PATIENCE, "process {pid} is still there");
        sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}
