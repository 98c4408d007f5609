//! Where the entries of an archive go. The pod made the archive, and it may be a hostile one: nothing in it leads out of the
//! destination.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// Where a copy goes.
#[derive(Debug)]
pub(super) struct Destination {
    /// The copy itself: a file or a directory, which may exist or not.
    pub(super) root: PathBuf,
    /// What it is called in the archive, below which everything else must be; none if the root is the whole archive's.
    pub(super) name: Option<OsString>,
}

impl Destination {
    /// The path below the root, empty for the root, of the entry `name`.
    ///
    /// # Errors
    /// It is absolute, goes upwards, or is not what was asked for: no tar that was asked by us would make it.
    pub(super) fn below(&self, name: &[u8]) -> io::Result<PathBuf> {
        let refuse = |why: &str| {
            let name = String::from_utf8_lossy(name);
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the archive names {name:?}, which {why}"),
            ))
        };
        let mut below = PathBuf::new();
        for component in Path::new(OsStr::from_bytes(name)).components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) => below.push(name),
                _ => return refuse("leads out of the destination"),
            }
        }
        match &self.name {
            None => Ok(below),
            Some(name) => match below.strip_prefix(name) {
                Ok(below) => Ok(below.to_owned()),
                Err(_) => refuse("was not asked for"),
            },
        }
    }

    /// Where the entry goes. Its directory is there then.
    ///
    /// # Errors
    /// What should be a directory is something else, a symbolic link perhaps.
    pub(super) fn place(&self, below: &Path) -> io::Result<PathBuf> {
        let place = if below.as_os_str().is_empty() { self.root.clone() } else { self.root.join(below) };
        let mut directory = self.root.clone();
        let mut parents = below.parent().into_iter().flat_map(Path::components);
        while directory != place {
            make_directory(&directory)?;
            match parents.next() {
                Some(parent) => directory.push(parent),
                None => break,
            }
        }
        Ok(place)
    }
}

/// Makes a directory, unless it is there. A symbolic link to one is none: the archive may have made it.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(found) => {
            let what = if found.is_symlink() { "a symbolic link" } else { "a file" };
            let why = format!("{} is {what}, and should be a directory", path.display());
            Err(io::Error::new(io::ErrorKind::NotADirectory, why))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(path),
        Err(error) => Err(error),
    }
}

/// Whether a symbolic link at `below` to `target` stays inside: relative, and upwards only at its front and never above the root. The
/// directories that lead to the link are no links themselves, so that counting them is enough.
pub(super) fn stays_inside(below: &Path, target: &Path) -> bool {
    // The root itself has nothing above it that is inside.
    let Some(mut depth) = below.components().count().checked_sub(1) else { return false };
    let mut has_descended = false;
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => has_descended = true,
            Component::ParentDir if depth > 0 && !has_descended => depth -= 1,
            _ => return false,
        }
    }
    target.components().next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_archive() {
        let named = Destination { root: "/to".into(), name: Some("a".into()) };
        let below = |name: &str| named.below(name.as_bytes()).ok().map(|path| path.display().to_string());
        assert_eq!(below("./a").as_deref(), Some(""));
        assert_eq!(below("a/b//./c/").as_deref(), Some("b/c"));
        for wrong in ["/a", "../a", "a/../../b", "a/..", "b", "", ".", "ab/c"] {
            assert_eq!(below(wrong), None, "{wrong}");
        }
        let whole = Destination { root: "/to".into(), name: None };
        assert_eq!(whole.below(b"./").unwrap(), Path::new(""));
        assert_eq!(whole.below(b"./x/\xff").unwrap(), Path::new(OsStr::from_bytes(b"x/\xff")));
    }

    #[test]
    fn links() {
        let inside = |below: &str, target: &str| stays_inside(Path::new(below), Path::new(target));
        assert!(inside("a", "b") && inside("a", "b/c") && inside("a", "./b") && inside("d/a", "../b"));
        assert!(inside("d/e/a", "../../b") && inside("d/a", ".."));
        for (below, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a", "../b"),
            ("d/a", "../../b"),
            // `b` may be a link that goes up.
            ("d/e/a", "b/../../.."),
            ("d/a", "b/../c"),
            ("", "b"),
            ("a", ""),
        ] {
            assert!(!inside(below, target), "{below} -> {target}");
        }
    }
}
