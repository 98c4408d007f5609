//! Local files, into a tar archive.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tar::{Builder, EntryType, Header};

use super::progress::Progress;

/// What is to be copied, as it is found before anything is sent.
#[derive(Debug, Default)]
pub(super) struct Tree {
    items: Vec<Item>,
    /// The size of all files together.
    pub(super) bytes: u64,
    /// What cannot be copied, and why.
    pub(super) refused: Vec<String>,
}

#[derive(Debug)]
struct Item {
    /// Below the root; empty for the root.
    below: PathBuf,
    metadata: Metadata,
}

impl Tree {
    /// Everything below `root`, in order. A link at the root stands for what it leads to, further down for itself.
    pub(super) fn walk(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.add(root, PathBuf::new(), fs::metadata(root).map_err(|error| at(root, &error))?)?;
        Ok(tree)
    }

    fn add(&mut self, path: &Path, below: PathBuf, metadata: Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            let why = "it is no file, directory or link";
            self.refused.push(format!("{} was not copied: {why}", path.display()));
            return Ok(());
        }
        if kind.is_file() {
            self.bytes += metadata.len();
        }
        self.items.push(Item { below: below.clone(), metadata });
        if kind.is_dir() {
            let inside = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let mut inside = inside.map_err(|error| at(path, &error))?;
            inside.sort_by_key(fs::DirEntry::file_name);
            for entry in inside {
                let metadata = entry.metadata().map_err(|error| at(&entry.path(), &error))?;
                self.add(&entry.path(), below.join(entry.file_name()), metadata)?;
            }
        }
        Ok(())
    }

    pub(super) fn is_directory(&self) -> bool {
        self.items.first().is_some_and(|root| root.metadata.is_dir())
    }

    /// Writes the archive, in which the root is called `name`.
    ///
    /// # Errors
    /// A file cannot be read, or became shorter; or nobody takes the archive any more, which is a
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
    pub(super) fn pack(
        &self,
        root: &Path,
        name: &str,
        to: impl Write,
        progress: &Progress,
    ) -> io::Result<()> {
        let mut archive = Builder::new(to);
        for Item { below, metadata } in &self.items {
            let (path, name) = match below.as_os_str().is_empty() {
                true => (root.to_owned(), PathBuf::from(name)),
                false => (root.join(below), Path::new(name).join(below)),
            };
            progress.name(&path);
            let mut header = header(metadata);
            let added = if metadata.is_file() {
                header.set_size(metadata.len());
                File::open(&path).and_then(|file| {
                    archive.append_data(&mut header, name, Exactly { file, left: metadata.len(), progress })
                })
            } else if metadata.is_dir() {
                header.set_entry_type(EntryType::Directory);
                archive.append_data(&mut header, name, io::empty())
            } else {
                header.set_entry_type(EntryType::Symlink);
                fs::read_link(&path).and_then(|target| archive.append_link(&mut header, name, target))
            };
            added.map_err(|error| at(&path, &error))?;
        }
        archive.into_inner()?.flush()
    }
}

/// Owned by root, which to a tar that is not root means nothing: the copy belongs to whoever makes it.
fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.permissions().mode() & 0o777);
    let modified = metadata.modified().ok();
    let since = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    header.set_mtime(since.unwrap_or_default().as_secs());
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// As much of a file as its header in the archive says: what was added to it since does not count, and what is missing is an error.
struct Exactly<'a> {
    file: File,
    left: u64,
    progress: &'a Progress,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= count as u64;
        self.progress.add(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Verbosity;

    #[test]
    fn a_file_that_became_shorter_is_no_success() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "four").unwrap();
        let tree = Tree::walk(&file).unwrap();
        fs::write(&file, "3!!").unwrap();
        let packed = tree.pack(&file, "name", io::sink(), &Progress::new(None, Verbosity::Quiet));
        assert_eq!(packed.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
