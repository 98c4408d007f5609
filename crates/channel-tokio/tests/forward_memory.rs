//! Connections that came and went leave nothing behind. Alone in its program, since it counts what the whole program holds: both ends of the
//! forward, and the port.

mod support;

use std::{
    alloc::System,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use channel_tokio::Forward;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::pod;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const AT_ONCE: usize = 50;
/// Less than seven bytes for each connection: one that is left behind anywhere is more.
const SLACK: usize = 64 << 10;
/// On a machine that is busy with other things.
const LONGEST: Duration = Duration::from_secs(120);

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// A port that sends everything back.
async fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    port
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Both ways, one after the other.
    Well,
    /// Dropped with the answer unread.
    Dropped,
    /// Nobody listens there.
    Refused,
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, end: End) -> io::Result<()> {
    let question = [b'x'; 1000];
    let written = stream.write_all(&question).await;
    match end {
        // It may be known already.
        End::Refused => assert!(stream.read_u8().await.is_err()),
        End::Dropped => written?,
        End::Well => {
            written?;
            stream.shutdown().await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            assert!(answer == question);
        }
    }
    Ok(())
}

/// So many connections, some of which come through a local port.
async fn connections(forward: &Forward, local: SocketAddr, [open, closed]: [u16; 2], count: usize) {
    let mut tasks: JoinSet<io::Result<()>> = JoinSet::new();
    for number in 0..count {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.expect("one of many").expect("no panic").expect("it went well");
        }
        let forward = forward.clone();
        tasks.spawn(async move {
            match number % 10 {
                0..4 => exchange(TcpStream::connect(local).await?, End::Well).await,
                4 => exchange(forward.connect(open).await?, End::Dropped).await,
                5 => exchange(forward.connect(closed).await?, End::Refused).await,
                _ => exchange(forward.connect(open).await?, End::Well).await,
            }
        });
    }
    for done in tasks.join_all().await {
        done.expect("it went well");
    }
}

// Holds PFW-4.
#[tokio::test]
async fn ten_thousand_connections_leave_the_heap_where_it_was() {
    let all = async {
        let (_pod, client) = pod().await;
        let forward = client.port_forward("default", "embedded").start().await.unwrap();
        let open = echo().await;
        let closed = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let local = forward.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), open).await.unwrap();

        connections(&forward, local.address(), [open, closed], 1_000).await;
        sleep(Duration::from_millis(200)).await;
        let before = held();
        connections(&forward, local.address(), [open, closed], 10_000).await;
        // The last ones are not quite over yet.
        let mut after = held();
        for _ in 0..100 {
            if after <= before + SLACK {
                break;
            }
            sleep(Duration::from_millis(100)).await;
            after = held();
        }
        assert!(after <= before + SLACK, "{before} bytes before, {after} after");
    };
    timeout(LONGEST, all).await.expect("took too long");
}
