//! What idle sessions hold: ten thousand of them in one process, their servers in another, all of which work and end well.

#![expect(clippy::print_stdout, reason = "a report")]

mod server;

use std::{
    alloc::System,
    env, io,
    process::ExitCode,
    time::{Duration, Instant},
};

use benches::{
    bars::{IDLE_HEAP, Verdict},
    machine,
};
use channel_tokio::{Client, Endpoint, Session};
use server::Server;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// After the first ping, which is when a session gives back the buffers it does not need.
const UNTIL_IDLE: Duration = Duration::from_secs(8);
const MESSAGE: &[u8; 64] = &[b'x'; 64];

fn main() -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if env::args().any(|argument| argument == server::ARGUMENT) {
        runtime.block_on(server::run())?;
        return Ok(ExitCode::SUCCESS);
    }
    let quick = env::args().any(|argument| argument == "--quick");
    runtime.block_on(measure(if quick { 1_000 } else { 10_000 }))
}

async fn measure(count: usize) -> io::Result<ExitCode> {
    println!("{}\n", machine::describe());
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut server = Server::start()?;
    let client = Client::new(Endpoint::new(&format!("http://{}", server.address))?);
    // Whatever is made once, for the first session, is not counted.
    end(start(&client).await?).await?;
    let before = [Held::now(), server.held()?];

    let begin = Instant::now();
    let mut sessions = Vec::with_capacity(count);
    for _ in 0..count {
        sessions.push(start(&client).await?);
    }
    println!("{count} sessions opened, with an exchange each, in {:.1?}", begin.elapsed());
    let busy = [Held::now(), server.held()?];
    tokio::time::sleep(UNTIL_IDLE).await;
    let idle = [Held::now(), server.held()?];

    println!("\nbytes for each session {:>12} {:>12} {:>12}", "heap, fresh", "heap, idle", "RSS, idle");
    let mut held = true;
    for (at, side) in ["client", "server"].into_iter().enumerate() {
        let each = |now: usize, then: usize| now.saturating_sub(then) / count;
        let heap = each(idle[at].heap, before[at].heap);
        let verdict = Verdict::at_most(heap, IDLE_HEAP);
        held &= verdict == Verdict::Pass;
        println!(
            "{side:22} {:>12} {heap:>12} {:>12}  (bar for the idle heap: {IDLE_HEAP}): {verdict}",
            each(busy[at].heap, before[at].heap),
            each(idle[at].resident, before[at].resident),
        );
    }

    let begin = Instant::now();
    for session in &mut sessions {
        exchange(session).await?;
    }
    for session in sessions {
        end(session).await?;
    }
    println!("\nall {count} had another exchange and ended well, in {:.1?}", begin.elapsed());
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn start(client: &Client) -> io::Result<Session> {
    let mut session = client.exec("default", "bench").command(["cat"]).stdin().stdout().start().await?;
    exchange(&mut session).await?;
    Ok(session)
}

async fn exchange(session: &mut Session) -> io::Result<()> {
    let (stdin, stdout) = (session.stdin.as_mut(), session.stdout.as_mut());
    let (stdin, stdout) = stdin.zip(stdout).ok_or(io::ErrorKind::BrokenPipe)?;
    stdin.write_all(MESSAGE).await?;
    let mut back = [0; MESSAGE.len()];
    stdout.read_exact(&mut back).await?;
    if back == *MESSAGE { Ok(()) } else { Err(io::Error::other("something else came back")) }
}

async fn end(session: Session) -> io::Result<()> {
    if session.wait().await?.success() { Ok(()) } else { Err(io::Error::other("not a success")) }
}

/// What this process holds, in bytes.
#[derive(Clone, Copy)]
struct Held {
    heap: usize,
    resident: usize,
}

impl Held {
    fn now() -> Self {
        let stats = ALLOCATOR.stats();
        let resident = memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem);
        Self { heap: stats.bytes_allocated - stats.bytes_deallocated, resident }
    }
}
