//! From a pod to this machine.

use std::{fmt::Display, fs, io, path::Path, time::Duration};

use bytes::Bytes;
use channel_tokio::Stdout;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
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
        // Without its sender the archive ends, and unpacking with it, if it has not ended before.
        signal = signals.next() => {
            if !unpacked.is_finished() {
                let _ = timeout(TIDYING, unpacked).await;
            }
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
    unpacked: &mut JoinHandle<Unpacked>,
) -> Result<Exit, Failure> {
    // `./` keeps a name that begins with `-` from being an option.
    let what = cut.name.map_or_else(|| ".".to_owned(), |name| format!("./{name}"));
    let command = ["tar", "cf", "-", "-C", cut.directory, &what];
    let mut session = remote.exec(&command).stdout().stderr().start().await?;
    let (stdout, stderr) = (session.stdout.take(), session.stderr.take());
    let pumped = tokio::try_join!(pump(stdout, archive), async { Ok(said(stderr).await) });
    let mut unpacked = unpacked.await.map_err(local)?;
    let ended = match pumped {
        // Dropping the session ends tar.
        Err(Unwanted) => Ok(()),
        // How tar ended tells more than how its archive did.
        Ok(((), said)) => match session.outcome().await {
            Ok(outcome) => End { program: "tar", outcome, said }.check(),
            Err(error) => Err(error.into()),
        },
    };
    let whole = ended.and_then(|()| std::mem::replace(&mut unpacked.end, Ok(())).map_err(local));
    whole.map_err(|failure| match unpacked.files {
        0 => failure,
        1 => failure.and("1 file came before that and is in its place"),
        files => failure.and(format_args!("{files} files came before that and are in their places")),
    })?;
    unpacked.finish().map_err(local)?;
    told(&unpacked)
}

/// Tells what the copy lacks.
fn told(unpacked: &Unpacked) -> Result<Exit, Failure> {
    let refused = &unpacked.refused;
    for why in &refused.told {
        exit::error(why);
    }
    let lacks = match (refused.count, refused.told.len()) {
        (0, _) if unpacked.made == 0 => return Err(Failure::local("nothing came: the archive is empty")),
        (0, _) => return Ok(Exit::SUCCESS),
        (1, _) => "what is said above".to_owned(),
        (count, told) if count == told as u64 => format!("the {count} said above"),
        (count, told) => format!("the {count} of which the first {told} are said above"),
    };
    Err(Failure::local(format!("the copy is not complete: it lacks {lacks}")))
}

fn local(error: impl Display) -> Failure {
    Failure::local(error.to_string())
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
