//! What a run does, and what it tells.

use std::{
    io,
    net::SocketAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use cpu_time::{ProcessTime, ThreadTime};
use tokio::net::{TcpListener, TcpStream};

/// What is read into and written from, at the ends that work on bytes.
pub(crate) const BUFFER: usize = 64 << 10;
/// What a server, and a client that works on messages, sends in one message: as much as kubelet does.
pub(crate) const MESSAGE: usize = 32 << 10;
/// What goes forth and back.
pub(crate) const PING: usize = 64;

/// What the client asks of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Send this many bytes.
    Download(u64),
    /// Take this many bytes.
    Upload(u64),
    /// Send back what comes, this many times 64 bytes.
    RoundTrips(u64),
}

impl Work {
    /// As it travels: a command and its argument.
    pub(crate) fn command(self) -> [String; 2] {
        let (name, count) = match self {
            Self::Download(bytes) => ("source", bytes),
            Self::Upload(bytes) => ("sink", bytes),
            Self::RoundTrips(count) => ("echo", count),
        };
        [name.to_owned(), count.to_string()]
    }

    pub(crate) fn parse(words: &[impl AsRef<str>]) -> Option<Self> {
        let [name, count] = words else { return None };
        let count = count.as_ref().parse().ok()?;
        match name.as_ref() {
            "source" => Some(Self::Download(count)),
            "sink" => Some(Self::Upload(count)),
            "echo" => Some(Self::RoundTrips(count)),
            _ => None,
        }
    }
}

/// One way to do the work, both its ends.
pub(crate) trait Contender: Copy + Send + 'static {
    /// Serves one connection to its end.
    fn serve(self, stream: TcpStream) -> impl Future<Output = io::Result<()>>;

    /// Does the work as a client, and tells how long each round trip took.
    fn work(self, server: SocketAddr, work: Work) -> impl Future<Output = io::Result<Vec<Duration>>>;

    /// Runs the client on its runtime, which is tokio unless said.
    fn block_on<T>(self, client: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        on_tokio(client)
    }
}

/// What a run took.
pub(crate) struct Run {
    pub(crate) time: Duration,
    pub(crate) client_cpu: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) round_trips: Vec<Duration>,
}

/// Runs client and server, each in a thread of its own with a runtime of its own. What CPU the process takes beside the server's thread is the
/// client's: a runtime may have other threads of its own.
pub(crate) fn run(contender: impl Contender, work: Work) -> io::Result<Run> {
    let (tell, address) = mpsc::channel();
    let server = spawn("server", move || {
        on_tokio(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            tell.send(listener.local_addr()?).map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            contender.serve(stream).await
        })
    });
    let address = address.recv().map_err(io::Error::other)?;
    let (begin, cpu) = (Instant::now(), ProcessTime::now());
    let client = spawn("client", move || contender.block_on(contender.work(address, work)));
    let (round_trips, _) = join(client)?;
    let time = begin.elapsed();
    let ((), server_cpu) = join(server)?;
    Ok(Run { time, client_cpu: cpu.elapsed().saturating_sub(server_cpu), server_cpu, round_trips })
}

type Thread<T> = thread::JoinHandle<io::Result<(T, Duration)>>;

fn on_tokio<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Runs something in a thread of its own, and tells what CPU the thread took.
fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> io::Result<T> + Send + 'static) -> Thread<T> {
    let thread = thread::Builder::new().name(name.into());
    let spawned = thread.spawn(move || {
        let begin = ThreadTime::now();
        let result = run()?;
        Ok((result, begin.elapsed()))
    });
    spawned.expect("the system has room for a thread")
}

fn join<T>(thread: Thread<T>) -> io::Result<(T, Duration)> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}
