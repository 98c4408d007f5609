//! Archives that a hostile pod sends: nothing of them lands outside of the destination.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{fs, path::Path};

use support::{fake_tar, finish, program, text};
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

type Entry<'a> = (EntryType, &'a str, &'a str, &'a str);

/// Copies `:/dir` with these entries below a directory `to`, and gives what was said.
fn unpack(below: &Path, entries: &[Entry<'_>]) -> (Option<i32>, String) {
    let mut archive = Builder::new(Vec::new());
    for (kind, name, target, data) in entries {
        entry(&mut archive, *kind, name, target, data);
    }
    fs::write(below.join("archive"), archive.into_inner().unwrap()).unwrap();
    let path = fake_tar(below, &format!("cat {}", below.join("archive").display()));
    let to = below.join("to");
    fs::create_dir_all(&to).unwrap();
    let cp = ["cp", "--embedded", ":/some/dir", to.to_str().unwrap()];
    let output = finish(program(cp).env("PATH", path).spawn().unwrap());
    (output.status.code(), text(&output.stderr))
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
