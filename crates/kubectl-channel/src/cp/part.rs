//! What has not got its name yet: until then it has one that nobody takes for a copy, and is gone when the copying breaks off.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file beside its place.
#[derive(Debug)]
pub(super) struct Part {
    file: NamedTempFile,
    place: PathBuf,
}

impl Part {
    pub(super) fn of(place: PathBuf) -> io::Result<Self> {
        Ok(Self { file: named().tempfile_in(directory_of(&place))?, place })
    }

    pub(super) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Gives it its name, and takes that from what had it, in one step.
    pub(super) fn finish(self) -> io::Result<()> {
        let Self { file, place } = self;
        file.persist(&place).map_err(|error| at(&place, &error.error))?;
        Ok(())
    }
}

/// Makes something under another name, and gives it its own in one step.
pub(super) fn replace(place: &Path, make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let made: NamedTempFile<()> = named().make_in(directory_of(place), make)?;
    made.persist(place)?;
    Ok(())
}

/// What happened where.
pub(super) fn at(place: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", place.display()))
}

fn named() -> tempfile::Builder<'static, 'static> {
    let mut part = tempfile::Builder::new();
    part.prefix(".kubectl-channel-").suffix(".part");
    part
}

fn directory_of(place: &Path) -> &Path {
    match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
