//! From this machine to a pod.

use std::{future::poll_fn, io, path::Path, time::Duration};

use bytes::Bytes;
use channel_tokio::{EndOfStdin, Stdin};
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use super::{
    location::{Cut, join},
    pack::Tree,
    pipe,
    progress::Progress,
    remote::{End, Remote, Spoken, said},
};
use crate::{
    exit::{self, Exit, Failure, Verbosity},
    signals::Signals,
};

/// How long taking away what did not come whole may take.
const TIDYING: Duration = Duration::from_secs(5);

/// Copies the local `from` to `to` in the pod.
///
/// It goes there under a name that nobody takes for a complete copy, and gets its own when tar has said that all is well.
pub(super) async fn upload(
    remote: &Remote,
    from: &Path,
    to: &str,
    verbosity: Verbosity,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let root = from.to_owned();
    let tree =
        spawn_blocking(move || Tree::walk(&root)).await.map_err(io::Error::other).and_then(|tree| tree);
    let tree = tree.map_err(|error| local(&error))?;
    let progress = Progress::new(Some(tree.bytes), verbosity);
    let name = from.to_str().ok_or_else(|| Failure::usage("the name of what is copied must be UTF-8"))?;
    let refused = tree.refused.clone();
    let upload = Upload { remote, to: to.to_owned(), name: Cut::new(name).name.map(str::to_owned) };
    let mut part = None;
    let done = tokio::select! {
        done = upload.run(from, tree, &progress, &mut part) => done.map(|()| Exit::SUCCESS),
        signal = signals.next() => Ok(Exit::Signal(signal)),
    };
    progress.clear();
    if let (Some(part), Err(_) | Ok(Exit::Signal(_))) = (part, &done)
        && !matches!(timeout(TIDYING, remote.run("rm", &["-rf", &part])).await, Ok(Ok(())))
    {
        exit::warn(format_args!("{part} may be left in the pod: it is not complete"));
    }
    let done = done?;
    for why in &refused {
        exit::error(why);
    }
    match refused.len() {
        0 => Ok(done),
        _ => Err(Failure::local("the copy is not complete: it lacks what is said above")),
    }
}

struct Upload<'a> {
    remote: &'a Remote,
    to: String,
    /// What the copy is called when it goes into a directory.
    name: Option<String>,
}

/// Where the copy goes.
struct Place {
    path: String,
    /// Whether a directory is there, into which everything is to go.
    merges: bool,
}

impl Upload<'_> {
    /// `part` is what may lie around in the pod when this does not come to its end.
    async fn run(
        &self,
        from: &Path,
        tree: Tree,
        progress: &Progress,
        part: &mut Option<String>,
    ) -> Result<(), Failure> {
        let place = self.place(tree.is_directory()).await?;
        let cut = Cut::new(&place.path);
        // Beside the copy, to be on the same file system; inside, where there is no beside.
        let name = format!(".kubectl-channel-{}.part", random()?);
        let path = part.insert(join(cut.directory, &name)).clone();
        self.send(from, tree, cut.directory, name, progress).await?;
        if place.merges {
            self.remote.run("cp", &["-Rp", &join(&path, "."), &place.path]).await?;
            self.remote.run("rm", &["-rf", &path]).await?;
        } else {
            self.remote.run("mv", &["-f", &path, &place.path]).await?;
        }
        *part = None;
        Ok(())
    }

    /// By the rules of `cp`: into a directory that is there, and else under the very name.
    async fn place(&self, is_directory: bool) -> Result<Place, Failure> {
        // What begins with `-` would be an option.
        let to = if self.to.starts_with('-') { join(".", &self.to) } else { self.to.clone() };
        let (exists, spoken) = self.remote.is_directory(&to).await?;
        check(spoken)?;
        let place = match &self.name {
            Some(name) if exists => {
                let path = join(&to, name);
                let (merges, _) = self.remote.is_directory(&path).await?;
                Place { path, merges }
            }
            _ if !exists && to.ends_with('/') => {
                return Err(Failure::local(format!("{to} in the pod is no directory")));
            }
            _ => Place { path: to, merges: exists },
        };
        if place.merges && !is_directory {
            return Err(Failure::local(format!("{} in the pod is a directory", place.path)));
        }
        Ok(place)
    }

    /// Sends the tree as `name` in the directory, and sees that tar took it all.
    async fn send(
        &self,
        from: &Path,
        tree: Tree,
        directory: &str,
        name: String,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let command = ["tar", "xpf", "-", "-C", directory];
        let mut session = self.remote.exec(&command).stdin().stderr().start().await?;
        check(Spoken::by(&session))?;
        let (from, progress) = (from.to_owned(), progress.clone());
        let (writer, archive) = pipe::writer();
        let packed = spawn_blocking(move || tree.pack(&from, &name, writer, &progress));
        let (stdin, stderr) = (session.stdin.take(), session.stderr.take());
        let sent = async {
            let mut stdin = pump(stdin, archive).await;
            match packed.await.map_err(io::Error::other).and_then(|packed| packed) {
                // Only now may tar take what it has for all there is. If that fails, the session tells why.
                Ok(()) => match end(stdin.take()).await {
                    Ok(()) => Ok(Sent::All),
                    Err(_) => Ok(Sent::Part),
                },
                // If tar ends early, it says why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Sent::Part),
                Err(error) => Err(local(&error)),
            }
        };
        let (sent, said) = tokio::try_join!(sent, async { Ok(said(stderr).await) })?;
        End { program: "tar", outcome: session.outcome().await?, said }.check()?;
        match sent {
            Sent::All => Ok(()),
            Sent::Part => Err(Failure::local("tar in the pod ended before it had the whole archive")),
        }
    }
}

/// What tar was given of the archive.
enum Sent {
    All,
    Part,
}

/// Without an end of stdin, tar would wait for ever.
fn check(Spoken { transport, subprotocol }: Spoken) -> Result<(), Failure> {
    if subprotocol.can_half_close_over(transport) {
        return Ok(());
    }
    Err(Failure::local(format!(
        "the server speaks {subprotocol}, which cannot end stdin over {transport}: nothing can be copied to its pods. It takes \
         v5.channel.k8s.io or --transport spdy"
    )))
}

/// Passes the archive on, until it ends or tar takes no more, and gives stdin back if it is to be ended.
async fn pump(stdin: Option<Stdin>, mut archive: mpsc::Receiver<Bytes>) -> Option<Stdin> {
    let mut stdin = stdin?;
    while let Some(piece) = archive.recv().await {
        stdin.write_bytes(piece).await.ok()?;
    }
    Some(stdin)
}

async fn end(stdin: Option<Stdin>) -> io::Result<()> {
    match stdin {
        Some(mut stdin) => poll_fn(|cx| stdin.poll_close(cx, EndOfStdin::HalfCloseOnly)).await,
        None => Ok(()),
    }
}

fn random() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| local(&io::Error::other(error)))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn local(error: &io::Error) -> Failure {
    Failure::local(error.to_string())
}
