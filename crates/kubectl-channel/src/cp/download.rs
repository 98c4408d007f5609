//! From a pod to this machine.

use std::{fs, io, path::Path, time::Duration};

use bytes::Bytes;
use channel_tokio::Stdout;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    location::Cut,
    pipe,
    progress::Progress,
    remote::{End, Remote, said},
    safe_path::Destination,
    unpack::{Unpacked, unpack},
};
use crate::{
    exit::{self, Exit, Failure, Verbosity},
    signals::Signals,
};

/// How long to wait, when we are to end, for what is being written to be taken away.
const TIDYING: Duration = Duration::from_secs(2);

/// Copies `from` in the pod to the local `to`.
pub(super) async fn download(
    remote: &Remote,
    from: &str,
    to: &Path,
    verbosity: Verbosity,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let cut = Cut::new(from);
    let destination = destination(to, cut.name)?;
    let progress = Progress::new(None, verbosity);
    let (archive, reader) = pipe::reader();
    let unpacking = progress.clone();
    let mut unpacked = spawn_blocking(move || unpack(reader, &destination, &unpacking));
    let ended = tokio::select! {
        ended = copy(remote, &cut, archive, &mut unpacked) => ended,
        // Without its sender the archive ends, and unpacking with it.
        signal = signals.next() => {
            let _ = timeout(TIDYING, unpacked).await;
            Ok(Exit::Signal(signal))
        }
    };
    progress.clear();
    ended
}

/// Where the copy goes, by the rules of `cp`: into a directory that is there, and else under the very name.
fn destination(to: &Path, name: Option<&str>) -> Result<Destination, Failure> {
    let cannot = |path: &Path, error: io::Error| Failure::local(format!("{}: {error}", path.display()));
    let is_directory = to.is_dir();
    if !is_directory && to.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Failure::local(format!("{} is no directory", to.display())));
    }
    let root = match name {
        // It may be a link to one, and that is as good.
        None if is_directory => to.canonicalize().map_err(|error| cannot(to, error))?,
        Some(name) if is_directory => to.join(name),
        _ => to.to_owned(),
    };
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent).map_err(|error| cannot(parent, error))?;
    }
    Ok(Destination { root, name: name.map(Into::into) })
}

async fn copy(
    remote: &Remote,
    cut: &Cut<'_>,
    archive: mpsc::Sender<Bytes>,
    unpacked: &mut JoinHandle<io::Result<Unpacked>>,
) -> Result<Exit, Failure> {
    // `./` keeps a name that begins with `-` from being an option.
    let what = cut.name.map_or_else(|| ".".to_owned(), |name| format!("./{name}"));
    let command = ["tar", "cf", "-", "-C", cut.directory, &what];
    let mut session = remote.exec(&command).stdout().stderr().start().await?;
    let (stdout, stderr) = (session.stdout.take(), session.stderr.take());
    let pump = pump(stdout, archive);
    let unpacked = match tokio::try_join!(pump, async { Ok(said(stderr).await) }) {
        // Dropping the session ends tar.
        Err(Unwanted) => joined(unpacked.await),
        Ok(((), said)) => {
            let unpacked = joined(unpacked.await);
            // How tar ended tells more than how its archive did.
            End { program: "tar", outcome: session.outcome().await?, said }.check()?;
            unpacked
        }
    };
    let unpacked = unpacked.map_err(|error| Failure::local(error.to_string()))?;
    for why in &unpacked.refused {
        exit::error(why);
    }
    match (unpacked.refused.len(), unpacked.made) {
        (0, 0) => Err(Failure::local("nothing came: the archive is empty")),
        (0, _) => Ok(Exit::SUCCESS),
        (1, _) => Err(Failure::local("the copy is not complete: it lacks what is said above")),
        (count, _) => {
            Err(Failure::local(format!("the copy is not complete: it lacks the {count} said above")))
        }
    }
}

/// Unpacking broke off.
struct Unwanted;

/// Passes the archive on to its end. Whether it is all there the archive itself says, and the session.
async fn pump(stdout: Option<Stdout>, archive: mpsc::Sender<Bytes>) -> Result<(), Unwanted> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    while let Ok(Some(chunk)) = stdout.chunk().await {
        archive.send(chunk).await.map_err(|_| Unwanted)?;
    }
    Ok(())
}

fn joined(unpacked: Result<io::Result<Unpacked>, JoinError>) -> io::Result<Unpacked> {
    unpacked.map_err(io::Error::other)?
}
