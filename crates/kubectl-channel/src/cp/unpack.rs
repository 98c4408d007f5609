//! A tar archive that a pod sends, into files. Each appears under its name only when it is whole.

use std::{
    cell::Cell,
    ffi::OsStr,
    fs::{self, Permissions},
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, SystemTime},
};

use tar::{Archive, Entry, EntryType, Header};
use tempfile::NamedTempFile;

use super::{
    progress::Progress,
    safe_path::{Destination, make_directory, stays_inside},
};

/// Of what stands before an entry: its header, long names, extensions. The `tar` crate takes these into memory.
const MOST_OF_A_HEAD: u64 = 1 << 20;

const READ: usize = 64 << 10;

/// What came of an archive that was whole.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    /// Entries of any kind that were made.
    pub(super) made: u64,
    /// Entries that were not, and why.
    pub(super) refused: Vec<String>,
}

/// Unpacks to the end of the archive.
///
/// # Errors
/// The archive is cut off, damaged or hostile, or something cannot be written. What was whole by then stays.
pub(super) fn unpack(from: impl Read, to: &Destination, progress: &Progress) -> io::Result<Unpacked> {
    let gauge = Rc::new(Gauge::default());
    let mut archive = Archive::new(Gauged { from, gauge: gauge.clone() });
    let mut unpacking = Unpacking { to, progress, directories: Vec::new(), done: Unpacked::default() };
    let all = archive.entries().and_then(|mut entries| {
        loop {
            gauge.left.set(MOST_OF_A_HEAD);
            let Some(entry) = entries.next() else { return Ok(()) };
            gauge.left.set(u64::MAX);
            unpacking.entry(entry.map_err(|error| match gauge.ended.get() {
                true => cut_off(),
                false => damaged(&format!("the archive is damaged: {error}")),
            })?)?;
        }
    });
    // Also when it breaks off, so that no directory stays more open than it should be.
    let finished = unpacking.finish_directories();
    all?;
    check_end(archive.into_inner())?;
    finished?;
    Ok(unpacking.done)
}

/// An archive ends with two blocks of zeros, of which `tar` has read the first; without them it was cut off.
fn check_end(mut from: Gauged<impl Read>) -> io::Result<()> {
    from.gauge.left.set(u64::MAX);
    let (mut rest, mut buffer) = (0, [0; 4096]);
    while !from.gauge.ended.get() {
        let count = from.read(&mut buffer)?;
        if buffer[..count].iter().any(|byte| *byte != 0) {
            return Err(damaged("something follows the end of the archive"));
        }
        // Whether there was a first block: at the end of its input `tar` reads none.
        rest += count;
    }
    if rest < 512 { Err(cut_off()) } else { Ok(()) }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off: its end did not come")
}

/// What is known about the input.
#[derive(Default)]
struct Gauge {
    /// How much may still be read.
    left: Cell<u64>,
    ended: Cell<bool>,
}

struct Gauged<R> {
    from: R,
    gauge: Rc<Gauge>,
}

impl<R: Read> Read for Gauged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        let left = self.gauge.left.get().checked_sub(count as u64);
        self.gauge.left.set(left.ok_or_else(|| damaged("a header is too long"))?);
        if count == 0 && !buffer.is_empty() {
            self.gauge.ended.set(true);
        }
        Ok(count)
    }
}

struct Unpacking<'a> {
    to: &'a Destination,
    progress: &'a Progress,
    /// The modes and times of directories come last: a directory may be read-only, and what is made in it changes its time.
    directories: Vec<(PathBuf, Permissions, SystemTime)>,
    done: Unpacked,
}

impl Unpacking<'_> {
    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let below = self.to.below(&entry.path_bytes())?;
        let place = self.to.place(&below)?;
        self.progress.name(&below);
        let made = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&mut entry, &place)
            }
            EntryType::Directory => self.directory(entry.header(), &below, &place),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = Path::new(OsStr::from_bytes(&target));
                if !stays_inside(&below, target) {
                    self.refuse(&place, format_args!("it is a symbolic link out of the copy, to {target:?}"));
                    return Ok(());
                }
                replace(&place, |part| symlink(target, part))
            }
            EntryType::Link => {
                let other = self.to.below(&entry.link_name_bytes().unwrap_or_default())?;
                let other = self.to.place(&other)?;
                replace(&place, |part| fs::hard_link(&other, part))
            }
            _ => {
                self.refuse(&place, format_args!("it is no file, directory or link"));
                return Ok(());
            }
        };
        made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", place.display())))?;
        self.done.made += 1;
        Ok(())
    }

    fn refuse(&mut self, place: &Path, why: std::fmt::Arguments<'_>) {
        self.done.refused.push(format!("{} was not copied: {why}", place.display()));
    }

    fn file(&mut self, entry: &mut Entry<'_, impl Read>, place: &Path) -> io::Result<()> {
        let mut part = part().tempfile_in(directory_of(place))?;
        let (mut left, mut buffer) = (entry.size(), vec![0; READ]);
        loop {
            match entry.read(&mut buffer)? {
                0 => break,
                count => {
                    part.write_all(&buffer[..count])?;
                    self.progress.add(count);
                    left = left.saturating_sub(count as u64);
                }
            }
        }
        if left > 0 {
            return Err(cut_off());
        }
        part.as_file().set_permissions(mode(entry.header())?)?;
        part.as_file().set_modified(modified(entry.header())?)?;
        part.persist(place)?;
        Ok(())
    }

    fn directory(&mut self, header: &Header, below: &Path, place: &Path) -> io::Result<()> {
        make_directory(place)?;
        // A directory into which somebody copies stays as it is.
        if !below.as_os_str().is_empty() || self.to.name.is_some() {
            self.directories.push((place.to_owned(), mode(header)?, modified(header)?));
        }
        Ok(())
    }

    fn finish_directories(&mut self) -> io::Result<()> {
        // What is inside comes behind what it is in.
        for (path, mode, modified) in self.directories.drain(..).rev() {
            let directory = fs::File::open(&path)?;
            directory.set_modified(modified)?;
            directory.set_permissions(mode)?;
        }
        Ok(())
    }
}

/// Makes something under another name, and gives it its own in one step.
fn replace(place: &Path, make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let made: NamedTempFile<()> = part().make_in(directory_of(place), make)?;
    made.persist(place)?;
    Ok(())
}

/// A name that nobody takes for a copy that is complete. It is gone when the copying breaks off.
fn part() -> tempfile::Builder<'static, 'static> {
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

/// Who may do what. Nobody gets the rights of another by a file that a pod sent.
fn mode(header: &Header) -> io::Result<Permissions> {
    Ok(Permissions::from_mode(header.mode()? & 0o777))
}

fn modified(header: &Header) -> io::Result<SystemTime> {
    let since = Duration::from_secs(header.mtime()?);
    SystemTime::UNIX_EPOCH.checked_add(since).ok_or_else(|| damaged("a time is out of range"))
}
