//! The directories in which an archive still puts things.

use std::{
    fs::{File, Permissions},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Their modes and times come last: a directory may be read-only, and what is made in it changes its time.
///
/// An archive has what is in a directory right behind it, so that only those that lead to its last entry are kept here, however many
/// come. One that returns to a directory finds that as it is to be.
#[derive(Debug, Default)]
pub(super) struct Directories(Vec<Directory>);

#[derive(Debug)]
pub(super) struct Directory {
    /// Below the root of the copy.
    pub(super) below: PathBuf,
    pub(super) place: PathBuf,
    pub(super) mode: Permissions,
    pub(super) modified: SystemTime,
}

impl Directories {
    /// Of one that is there.
    pub(super) fn enter(&mut self, directory: Directory) {
        self.0.push(directory);
    }

    /// Ends those in which nothing is that is called `below`, nor that itself if it comes again.
    pub(super) fn leave_for(&mut self, below: &Path) -> io::Result<()> {
        while let Some(last) = self.0.pop_if(|last| last.below == below || !below.starts_with(&last.below)) {
            last.finish()?;
        }
        Ok(())
    }

    /// Ends them all.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        while let Some(last) = self.0.pop() {
            last.finish()?;
        }
        Ok(())
    }
}

impl Drop for Directories {
    /// No directory stays more open than it should be because the copying broke off.
    fn drop(&mut self) {
        while !self.0.is_empty() {
            // Why it broke off is told, and that is enough.
            let _ = self.finish();
        }
    }
}

impl Directory {
    fn finish(&self) -> io::Result<()> {
        let directory = File::open(&self.place)?;
        directory.set_modified(self.modified)?;
        directory.set_permissions(self.mode.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use tempfile::tempdir;

    use super::*;

    fn mode(place: &Path) -> u32 {
        fs::metadata(place).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_those_that_lead_to_the_last_entry_are_kept() {
        let root = tempdir().unwrap();
        let mut directories = Directories::default();
        for name in ["", "a", "a/b", "a/b/c", "a/d", "a/d", "a/d", "e", "a/d", "e"] {
            let place = root.path().join(name);
            fs::create_dir_all(&place).unwrap();
            directories.leave_for(Path::new(name)).unwrap();
            let (mode, modified) = (Permissions::from_mode(0o750), SystemTime::UNIX_EPOCH);
            directories.enter(Directory { below: name.into(), place, mode, modified });
            let most = Path::new(name).components().count() + 1;
            assert!(directories.0.len() <= most, "{name}: {directories:?}");
        }
        for name in ["a/b/c", "a/b", "a/d", "a"] {
            assert_eq!(mode(&root.path().join(name)), 0o750, "{name}");
        }
        assert_ne!(mode(root.path()), 0o750);
        drop(directories);
        assert_eq!(mode(root.path()), 0o750);
    }
}
