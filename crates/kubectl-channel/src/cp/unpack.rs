//! A tar archive that a pod sends, into files. Each appears under its name only when it is whole.

use std::{
    cell::Cell,
    ffi::OsStr,
    fs::{self, Permissions},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
    rc::Rc,
    time::{Duration, SystemTime},
};

use tar::{Archive, Entry, EntryType, Header};

use super::{
    directories::{Directories, Directory},
    part::{Part, at, replace},
    progress::Progress,
    refused::Refused,
    safe_path::{Destination, make_directory, stays_inside},
};

/// Of what stands before an entry: its header, long names, extensions. The `tar` crate takes these into memory.
const MOST_OF_A_HEAD: u64 = 1 << 20;

const READ: usize = 64 << 10;

/// What came of an archive.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Whether it was whole: it was not cut off, damaged or hostile, and all of it could be written.
    pub(super) end: io::Result<()>,
    /// Entries of any kind that were made.
    pub(super) made: u64,
    /// Files that have their names.
    pub(super) files: u64,
    /// Entries that were not made.
    pub(super) refused: Refused,
    // In this order: no file is left when its directory becomes read-only.
    last: Option<Part>,
    directories: Directories,
}

impl Unpacked {
    /// Gives the last file its name, and the directories that it is in their modes.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.settle()?;
        self.directories.finish()
    }

    /// Gives the last file its name: the archive goes on behind it, or that was all, and well.
    fn settle(&mut self) -> io::Result<()> {
        if let Some(last) = self.last.take() {
            last.finish()?;
            self.files += 1;
        }
        Ok(())
    }
}

/// Unpacks to the end of the archive. Files get their names as they come, but for the last one, which gets it by [`Unpacked::finish`]: the
/// archive does not tell how tar ended, and of a file that became shorter while it was read tar sends zeros in the end.
pub(super) fn unpack(from: impl Read, to: &Destination, progress: &Progress) -> Unpacked {
    let done = Unpacked {
        end: Ok(()),
        made: 0,
        files: 0,
        refused: Refused::default(),
        last: None,
        directories: Directories::default(),
    };
    let mut unpacking = Unpacking { to, progress, done };
    let end = unpacking.all(from);
    Unpacked { end, ..unpacking.done }
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
    done: Unpacked,
}

/// Why an entry was left out, if it was.
type Refusal = Option<String>;

impl Unpacking<'_> {
    fn all(&mut self, from: impl Read) -> io::Result<()> {
        let gauge = Rc::new(Gauge::default());
        let mut archive = Archive::new(Gauged { from, gauge: gauge.clone() });
        let mut entries = archive.entries()?;
        loop {
            gauge.left.set(MOST_OF_A_HEAD);
            let Some(entry) = entries.next() else { break };
            gauge.left.set(u64::MAX);
            self.entry(entry.map_err(|error| match gauge.ended.get() {
                true => cut_off(),
                false => damaged(&format!("the archive is damaged: {error}")),
            })?)?;
        }
        check_end(archive.into_inner())
    }

    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let below = self.to.below(&entry.path_bytes())?;
        self.done.settle()?;
        self.done.directories.leave_for(&below)?;
        let place = self.to.place(&below)?;
        self.progress.name(&place);
        let made = match kind {
            EntryType::Regular | EntryType::Continuous => self.file(&mut entry, &place),
            EntryType::Directory => self.directory(entry.header(), &below, &place),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                symbolic_link(&below, &place, Path::new(OsStr::from_bytes(&target)))
            }
            EntryType::Link => {
                let other = self.to.below(&entry.link_name_bytes().unwrap_or_default())?;
                hard_link(&below, &place, &self.to.place(&other)?)
            }
            // A few bytes of it are a file of any length.
            EntryType::GNUSparse => Err(damaged("it is a file with holes, which was not asked for")),
            _ => Ok(Some("it is no file, directory or link".into())),
        };
        match made.map_err(|error| at(&place, &error))? {
            None => self.done.made += 1,
            Some(why) => self.done.refused.add(&place.to_string_lossy(), &why),
        }
        Ok(())
    }

    fn file(&mut self, entry: &mut Entry<'_, impl Read>, place: &Path) -> io::Result<Refusal> {
        let mut part = Part::of(place.to_owned())?;
        let (mut left, mut buffer) = (entry.size(), vec![0; READ]);
        loop {
            match entry.read(&mut buffer)? {
                0 => break,
                count => {
                    part.file().write_all(&buffer[..count])?;
                    self.progress.add(count);
                    left = left.saturating_sub(count as u64);
                }
            }
        }
        if left > 0 {
            return Err(cut_off());
        }
        part.file().set_permissions(mode(entry.header())?)?;
        part.file().set_modified(modified(entry.header())?)?;
        self.done.last = Some(part);
        Ok(None)
    }

    fn directory(&mut self, header: &Header, below: &Path, place: &Path) -> io::Result<Refusal> {
        make_directory(place)?;
        // A directory into which somebody copies stays as it is.
        if !below.as_os_str().is_empty() || self.to.name.is_some() {
            let (mode, modified) = (mode(header)?, modified(header)?);
            let (below, place) = (below.to_owned(), place.to_owned());
            self.done.directories.enter(Directory { below, place, mode, modified });
        }
        Ok(None)
    }
}

fn symbolic_link(below: &Path, place: &Path, target: &Path) -> io::Result<Refusal> {
    if !stays_inside(below, target) {
        return Ok(Some(format!("it is a symbolic link out of the copy, to {target:?}")));
    }
    replace(place, |part| symlink(target, part)).map(|()| None)
}

/// Another name of `other`. Of a symbolic link it is one that is looked at like any: where it leads depends on where it is.
fn hard_link(below: &Path, place: &Path, other: &Path) -> io::Result<Refusal> {
    let found = fs::symlink_metadata(other)?;
    if found.is_symlink() {
        return symbolic_link(below, place, &fs::read_link(other)?);
    }
    if !found.is_file() {
        return Ok(Some("it is another name of what is no file".into()));
    }
    // Two names of one file are not renamed into each other, but stay as they are.
    let is_one = |there: fs::Metadata| (there.dev(), there.ino()) == (found.dev(), found.ino());
    if fs::symlink_metadata(place).is_ok_and(is_one) {
        return Ok(None);
    }
    replace(place, |part| fs::hard_link(other, part)).map(|()| None)
}

/// Who may do what. Nobody gets the rights of another by a file that a pod sent.
fn mode(header: &Header) -> io::Result<Permissions> {
    Ok(Permissions::from_mode(header.mode()? & 0o777))
}

fn modified(header: &Header) -> io::Result<SystemTime> {
    let since = Duration::from_secs(header.mtime()?);
    SystemTime::UNIX_EPOCH.checked_add(since).ok_or_else(|| damaged("a time is out of range"))
}
