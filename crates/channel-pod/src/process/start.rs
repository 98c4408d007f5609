//! Finding the program, and saying why a command could not be started in the words of a real node.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

/// Why a command could not be started.
///
/// It reads as kubelet, containerd and runc put it together, less what is not there (container id, OCI
/// runtime), so that people and programs recognise it in `Status::internal_error` (EXE-11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartError(String);

impl StartError {
    /// The request named no command at all.
    pub(super) fn no_command() -> Self {
        Self("args must not be empty".into())
    }

    /// The directory to run in is not one.
    pub(super) fn directory(directory: &Path, error: &io::Error) -> Self {
        Self(format!(
            "unable to start container process: chdir to cwd ({directory:?}) failed: {}",
            text(error)
        ))
    }

    /// The program was found, and would not run.
    pub(super) fn exec(name: &str, error: &io::Error) -> Self {
        Self::program(name, text(error))
    }

    fn program(name: &str, why: impl fmt::Display) -> Self {
        Self(format!("unable to start container process: exec: {name:?}: {why}"))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "error executing command in container: failed to exec in container: exec failed: {}",
            self.0
        )
    }
}

impl std::error::Error for StartError {}

/// The file to execute for `name`: itself if it contains a slash (relative to `directory`), else the first
/// executable of that name in `path`.
///
/// The rules and the wording are those of Go's `exec.LookPath`, which is what runc answers with. Asking
/// before spawning also tells a missing program from a missing interpreter, which the kernel reports alike.
pub(super) fn find(
    name: &str,
    path: Option<&OsStr>,
    directory: Option<&Path>,
) -> Result<PathBuf, StartError> {
    if name.contains('/') {
        let file = directory.map_or_else(|| PathBuf::from(name), |directory| directory.join(name));
        return match check(&file) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(Unfit::Stat(error)) => {
                Err(StartError::program(name, format_args!("stat {name}: {}", text(&error))))
            }
            Err(Unfit::Directory) => Err(StartError::program(name, "is a directory")),
            Err(Unfit::Permission) => Err(StartError::program(name, "permission denied")),
        };
    }
    // A relative entry would mean another file after the change of directory; Go refuses what it finds there,
    // too.
    let candidates = path.into_iter().flat_map(env::split_paths).filter(|entry| entry.is_absolute());
    let not_found = || StartError::program(name, "executable file not found in $PATH");
    if name.is_empty() {
        return Err(not_found());
    }
    candidates.map(|entry| entry.join(name)).find(|file| check(file).is_ok()).ok_or_else(not_found)
}

enum Unfit {
    Stat(io::Error),
    Directory,
    Permission,
}

fn check(file: &Path) -> Result<(), Unfit> {
    let found = fs::metadata(file).map_err(Unfit::Stat)?;
    if found.is_dir() {
        Err(Unfit::Directory)
    } else if found.permissions().mode() & 0o111 == 0 {
        Err(Unfit::Permission)
    } else {
        Ok(())
    }
}

/// The system's text for an error as C and Go have it: `no such file or directory`, where Rust adds a capital
/// and a number.
fn text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
