//! What is done over a forward.

use std::{fmt, io, str::FromStr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
    task::JoinSet,
};

/// What is read into and written from.
pub(crate) const BUFFER: usize = 64 << 10;

/// The first byte of a connection: what the server does with it. It sends that byte back.
pub(crate) const ECHO: u8 = b'e';
/// It sends as many bytes as the next eight say.
pub(crate) const SOURCE: u8 = b's';
/// It takes as many, and sends one back.
pub(crate) const SINK: u8 = b'k';

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// All `streams` together take this many bytes.
    Download { streams: u64, bytes: u64 },
    /// All `streams` together send this many bytes.
    Upload { streams: u64, bytes: u64 },
    /// So many connections, each of which lives for one byte there and back.
    Connections { at_once: usize, count: u64 },
}

/// As it travels to a process that does it itself.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Download { streams, bytes } => write!(f, "download {streams} {bytes}"),
            Self::Upload { streams, bytes } => write!(f, "upload {streams} {bytes}"),
            Self::Connections { at_once, count } => write!(f, "connections {at_once} {count}"),
        }
    }
}

impl FromStr for Work {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [what, first, second] = words[..] else { return Err(io::ErrorKind::InvalidData.into()) };
        let number = |text: &str| text.parse().map_err(io::Error::other);
        let (first, second) = (number(first)?, number(second)?);
        match what {
            "download" => Ok(Self::Download { streams: first, bytes: second }),
            "upload" => Ok(Self::Upload { streams: first, bytes: second }),
            "connections" => {
                let at_once = first.try_into().map_err(io::Error::other)?;
                Ok(Self::Connections { at_once, count: second })
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// A way to the port.
pub(crate) trait Connect: Clone + Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin;

    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Does the work.
pub(crate) async fn run(connect: impl Connect, work: Work) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    match work {
        Work::Download { streams, bytes } => {
            for _ in 0..streams {
                let connect = connect.clone();
                tasks.spawn(async move { download(connect.connect().await?, bytes / streams).await });
            }
        }
        Work::Upload { streams, bytes } => {
            for _ in 0..streams {
                let connect = connect.clone();
                tasks.spawn(async move { upload(connect.connect().await?, bytes / streams).await });
            }
        }
        Work::Connections { at_once, count } => {
            let left = Arc::new(Semaphore::new(usize::try_from(count).map_err(io::Error::other)?));
            for _ in 0..at_once {
                let (connect, left) = (connect.clone(), left.clone());
                tasks.spawn(async move {
                    while let Ok(permit) = left.try_acquire() {
                        permit.forget();
                        there_and_back(connect.connect().await?).await?;
                    }
                    Ok(())
                });
            }
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(io::Error::other)??;
    }
    Ok(())
}

async fn download(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: u64) -> io::Result<()> {
    ask(&mut stream, SOURCE, bytes).await?;
    let mut buffer = vec![0; BUFFER];
    let mut missing = bytes;
    while missing > 0 {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{missing} bytes are missing")));
        }
        missing = missing.saturating_sub(count as u64);
    }
    Ok(())
}

async fn upload(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: u64) -> io::Result<()> {
    ask(&mut stream, SINK, bytes).await?;
    let buffer = vec![b'x'; BUFFER];
    let mut missing = bytes;
    while missing > 0 {
        let piece = missing.min(BUFFER as u64);
        stream.write_all(&buffer[..usize::try_from(piece).map_err(io::Error::other)?]).await?;
        missing -= piece;
    }
    stream.flush().await?;
    // Everything arrived.
    stream.read_u8().await.map(drop)
}

async fn ask(stream: &mut (impl AsyncWrite + Unpin), what: u8, bytes: u64) -> io::Result<()> {
    let mut question = [what; 9];
    question[1..].copy_from_slice(&bytes.to_be_bytes());
    stream.write_all(&question).await
}

async fn there_and_back(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.write_u8(ECHO).await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        ECHO => Ok(()),
        other => Err(io::Error::other(format!("{other} came back"))),
    }
}
