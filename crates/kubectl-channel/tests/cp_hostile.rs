//! Archives that a hostile pod sends: nothing of them lands outside of the destination.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{fs, os::unix::fs::symlink, path::Path};

use support::{copies::names, fake_tar, finish, program, text};
use tar::{Builder, EntryType, Header};
use tempfile::tempdir;

/// An entry of whatever name, which the `tar` crate would not let pass.
fn entry(archive: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, target: &str, data: &str) {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_mtime(1);
    header.set_size(data.len() as u64);
    header.set_cksum();
    archive.append(&header, data.as_bytes()).unwrap();
}

/// Copies `:/dir`, of which this archive comes, below a directory `to`, and gives what was said.
fn unpack_raw(below: &Path, archive: Builder<Vec<u8>>) -> (Option<i32>, String) {
    fs::write(below.join("archive"), archive.into_inner().unwrap()).unwrap();
    let path = fake_tar(below, &format!("cat {}", below.join("archive").display()));
    let to = below.join("to");
    fs::create_dir_all(&to).unwrap();
    let cp = ["cp", "--embedded", ":/some/dir", to.to_str().unwrap()];
    let output = finish(program(cp).env("PATH", path).spawn().unwrap());
    (output.status.code(), text(&output.stderr))
}

type Entry<'a> = (EntryType, &'a str, &'a str, &'a str);

/// The same with an archive of these entries.
fn unpack(below: &Path, entries: &[Entry<'_>]) -> (Option<i32>, String) {
    let mut archive = Builder::new(Vec::new());
    for (kind, name, target, data) in entries {
        entry(&mut archive, *kind, name, target, data);
    }
    unpack_raw(below, archive)
}

const DIRECTORY: Entry<'_> = (EntryType::Directory, "./dir", "", "");

#[test]
fn names_that_lead_out_end_it() {
    for (name, why) in [
        ("../evil", "leads out"),
        ("./dir/../../evil", "leads out"),
        ("/tmp/kubectl-channel-evil", "leads out"),
        ("./evil", "was not asked for"),
        ("evil", "was not asked for"),
    ] {
        for kind in [EntryType::Regular, EntryType::Directory, EntryType::Symlink] {
            let below = tempdir().unwrap();
            let (code, said) = unpack(below.path(), &[DIRECTORY, (kind, name, "target", "")]);
            assert_eq!(code, Some(1), "{name}: {said}");
            assert!(said.contains(why), "{name}: {said}");
            assert!(!below.path().join("evil").exists() && !below.path().join("to/evil").exists());
            assert!(!Path::new("/tmp/kubectl-channel-evil").exists());
        }
    }
}

#[test]
fn links_that_lead_out_are_left_out() {
    for target in ["/etc/passwd", "../outside", "..", "x/../../outside"] {
        let below = tempdir().unwrap();
        let good = (EntryType::Regular, "./dir/good", "", "good");
        let (code, said) =
            unpack(below.path(), &[DIRECTORY, (EntryType::Symlink, "./dir/link", target, ""), good]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("to/dir/link was not copied"), "{said}");
        assert!(said.contains("symbolic link out of the copy") && said.contains("not complete"), "{said}");
        let copy = below.path().join("to/dir");
        assert!(fs::symlink_metadata(copy.join("link")).is_err());
        assert_eq!(fs::read(copy.join("good")).unwrap(), b"good");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let below = tempdir().unwrap();
    let copy = below.path().join("to/dir");
    fs::create_dir_all(below.path().join("outside")).unwrap();
    fs::create_dir_all(&copy).unwrap();
    // One that was there before, and one of the archive's.
    std::os::unix::fs::symlink(below.path().join("outside"), copy.join("before")).unwrap();
    for (name, link) in [("./dir/before/evil", None), ("./dir/inner/evil", Some("./dir/inner"))] {
        fs::remove_dir_all(below.path().join("to/dir/inner")).unwrap_or_default();
        let link = link.map(|link| (EntryType::Symlink, link, "before", ""));
        let entries: Vec<_> =
            [DIRECTORY].into_iter().chain(link).chain([(EntryType::Regular, name, "", "evil")]).collect();
        let (code, said) = unpack(below.path(), &entries);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("is a symbolic link"), "{said}");
        assert!(fs::read_dir(below.path().join("outside")).unwrap().next().is_none());
    }
}

#[test]
fn hard_links_stay_inside() {
    let below = tempdir().unwrap();
    fs::write(below.path().join("secret"), "secret").unwrap();
    let target = below.path().join("secret");
    for target in [target.to_str().unwrap(), "../secret", "./other"] {
        let (code, said) = unpack(below.path(), &[DIRECTORY, (EntryType::Link, "./dir/link", target, "")]);
        assert_eq!(code, Some(1), "{said}");
        assert!(fs::symlink_metadata(below.path().join("to/dir/link")).is_err());
    }
    let file = (EntryType::Regular, "./dir/file", "", "one");
    let (code, said) =
        unpack(below.path(), &[DIRECTORY, file, (EntryType::Link, "./dir/link", "./dir/file", "")]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(fs::read(below.path().join("to/dir/link")).unwrap(), b"one");
}

#[test]
fn a_hard_link_to_a_link_stays_inside() {
    let directories =
        [DIRECTORY, (EntryType::Directory, "./dir/e", "", ""), (EntryType::Directory, "./dir/e/f", "", "")];
    // Inside from where it is; from a directory that is higher up it would be outside.
    let inner = (EntryType::Symlink, "./dir/e/f/inner", "../../x", "");
    let link = |name| (EntryType::Link, name, "./dir/e/f/inner", "");
    let unpack = |below: &Path, name| unpack(below, &[&directories[..], &[inner, link(name)]].concat());
    for name in ["./dir/outer", "./dir/e/outer"] {
        let below = tempdir().unwrap();
        let (code, said) = unpack(below.path(), name);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("outer was not copied: it is a symbolic link out of the copy"), "{said}");
        assert!(fs::symlink_metadata(below.path().join("to").join(name)).is_err());
    }
    let below = tempdir().unwrap();
    assert_eq!(unpack(below.path(), "./dir/e/f/outer"), (Some(0), String::new()));
    let target = fs::read_link(below.path().join("to/dir/e/f/outer")).unwrap();
    assert_eq!(target, Path::new("../../x"));
}

#[test]
fn a_hard_link_goes_through_no_link() {
    let below = tempdir().unwrap();
    fs::create_dir_all(below.path().join("to/dir")).unwrap();
    fs::create_dir(below.path().join("outside")).unwrap();
    fs::write(below.path().join("outside/secret"), "secret").unwrap();
    // One that was there before, and one of the archive's that leads there.
    symlink(below.path().join("outside"), below.path().join("to/dir/before")).unwrap();
    let of_the_archive = (EntryType::Symlink, "./dir/inner", "before", "");
    for target in ["./dir/before/secret", "./dir/inner/secret"] {
        let link = (EntryType::Link, "./dir/link", target, "");
        let (code, said) = unpack(below.path(), &[DIRECTORY, of_the_archive, link]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("is a symbolic link, and should be a directory"), "{said}");
        assert!(fs::symlink_metadata(below.path().join("to/dir/link")).is_err());
    }
    // Nor is the link itself, of which the archive knows the name, given another one.
    let link = (EntryType::Link, "./dir/link", "./dir/before", "");
    let (code, said) = unpack(below.path(), &[DIRECTORY, link]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("symbolic link out of the copy"), "{said}");
    assert!(fs::symlink_metadata(below.path().join("to/dir/link")).is_err());
}

#[test]
fn a_hard_link_to_itself_leaves_nothing_behind() {
    let below = tempdir().unwrap();
    let file = (EntryType::Regular, "./dir/file", "", "one");
    let link = |name| (EntryType::Link, name, "./dir/file", "");
    let entries = [DIRECTORY, file, link("./dir/file"), link("./dir/link"), link("./dir/link")];
    assert_eq!(unpack(below.path(), &entries), (Some(0), String::new()));
    assert_eq!(names(&below.path().join("to/dir")), ["file", "link"]);
}

#[test]
fn what_has_a_name_is_replaced_and_never_followed() {
    let directory = (EntryType::Directory, "./dir/e", "", "");
    let to_it = (EntryType::Symlink, "./dir/name", "e", "");
    let file = (EntryType::Regular, "./dir/name", "", "file");
    // A file in the place of a link, and a link in that of a file.
    let below = tempdir().unwrap();
    assert_eq!(unpack(below.path(), &[DIRECTORY, directory, to_it, file]), (Some(0), String::new()));
    let copy = below.path().join("to/dir");
    assert!(fs::symlink_metadata(copy.join("name")).unwrap().is_file());
    assert_eq!(names(&copy.join("e")), [""; 0]);
    assert_eq!(unpack(below.path(), &[DIRECTORY, directory, file, to_it]), (Some(0), String::new()));
    assert!(fs::symlink_metadata(copy.join("name")).unwrap().is_symlink());
    // A directory stays what it is: the depth of a link below it was counted on it.
    for (first, then) in [
        (to_it, (EntryType::Directory, "./dir/name", "", "")),
        (directory, (EntryType::Symlink, "./dir/e", "x", "")),
    ] {
        let below = tempdir().unwrap();
        let (code, said) = unpack(below.path(), &[DIRECTORY, first, then]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&then.1["./dir/".len()..]), "{said}");
    }
}

#[test]
fn holes_that_were_not_asked_for_end_it() {
    let below = tempdir().unwrap();
    let mut header = Header::new_gnu();
    header.set_path("./dir/holes").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(0);
    let (gnu, size) = (header.as_gnu_mut().unwrap(), 64 << 20);
    gnu.set_real_size(size);
    gnu.sparse[0].set_offset(size);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::Directory, "./dir", "", "");
    archive.append(&header, &[][..]).unwrap();
    let (code, said) = unpack_raw(below.path(), archive);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holes") && said.contains("was not asked for"), "{said}");
    assert_eq!(names(&below.path().join("to/dir")), [""; 0]);
}

#[test]
fn what_is_left_out_is_counted_and_not_all_told() {
    let below = tempdir().unwrap();
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::Directory, "./dir", "", "");
    for number in 0..130 {
        let name = format!("./dir/{number}{}", "x".repeat(100_000));
        entry(&mut archive, EntryType::GNULongName, "././@LongLink", "", &name);
        entry(&mut archive, EntryType::Fifo, "./dir/short", "", "");
    }
    let (code, said) = unpack_raw(below.path(), archive);
    assert_eq!(code, Some(1));
    assert!(said.len() < 200_000, "{} bytes were said", said.len());
    assert_eq!(said.lines().count(), 101, "{said}");
    assert_eq!(said.matches("was not copied: it is no file, directory or link").count(), 100);
    assert!(said.ends_with("it lacks the 130 of which the first 100 are said above\n"), "{said}");
}

#[test]
fn special_files_are_left_out_and_rights_are_not_taken() {
    let below = tempdir().unwrap();
    let pipe = (EntryType::Fifo, "./dir/pipe", "", "");
    let file = (EntryType::Regular, "./dir/file", "", "one");
    let (code, said) = unpack(below.path(), &[DIRECTORY, pipe, file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no file, directory or link"), "{said}");
    let metadata = fs::metadata(below.path().join("to/dir/file")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777, 0o755);
}

#[test]
fn a_header_without_end_takes_no_memory() {
    let below = tempdir().unwrap();
    let name = "x".repeat(2 << 20);
    let (code, said) =
        unpack(below.path(), &[(EntryType::GNULongName, "././@LongLink", "", &name), DIRECTORY]);
    assert_eq!(code, Some(1));
    assert!(said.contains("too long"), "{said}");
}
