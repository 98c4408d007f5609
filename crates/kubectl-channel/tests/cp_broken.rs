//! cp that does not come to its end: no success, no copy that is not whole, and the one that was there stays.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    time::Duration,
};

use support::{
    Lines, Served,
    copies::{Place, assert_fails, assert_silent_success, cp_with, names},
    fake_tar, program, signal, text, wait,
};

const TRANSPORTS: [&str; 2] = ["websocket", "spdy"];

/// What `copy` has in it before a copy that fails, and afterwards.
const OLD: &str = "what was there before";

#[track_caller]
fn assert_untouched(place: &Place, besides: &[&str]) {
    assert_eq!(fs::read_to_string(place.path("copy")).unwrap(), OLD);
    let found = names(place.0.path());
    let others: Vec<_> = found.iter().filter(|name| *name != "copy").collect();
    assert_eq!(others, besides);
}

// Holds EXE-14.
#[test]
fn a_short_archive_is_no_success() {
    for transport in TRANSPORTS {
        let place = Place::new();
        fs::write(place.path("file"), vec![b'x'; 100_000]).unwrap();
        fs::write(place.path("zeros"), vec![0; 2048]).unwrap();
        fs::write(place.path("nothing"), "").unwrap();
        fs::write(place.path("copy"), OLD).unwrap();
        let down = |script: &str, name: &str| {
            cp_with(&place, &["--transport", transport], script, &place.pod(name), &place.local("copy"))
        };
        for (name, bytes) in [
            // In the file; in the header; between file and end; in the end; nothing at all.
            ("file", 50_000),
            ("file", 300),
            ("file", 512 + 100_352),
            ("file", 512 + 100_352 + 512),
            ("zeros", 512 + 2048),
            ("nothing", 512),
            ("nothing", 0),
        ] {
            let output = down(&format!("$TAR \"$@\" | head -c {bytes}"), name);
            assert_eq!(output.status.code(), Some(1), "{transport} {name} {bytes}");
            assert!(!text(&output.stderr).is_empty());
            assert_untouched(&place, &["file", "nothing", "zeros"]);
        }
        assert_silent_success(&down("exec $TAR \"$@\"", "file"));
        assert_eq!(fs::read(place.path("copy")).unwrap(), fs::read(place.path("file")).unwrap());
    }
}

#[test]
fn a_tar_that_fails_is_no_success() {
    let place = Place::new();
    fs::write(place.path("file"), vec![b'x'; 1_000_000]).unwrap();
    fs::write(place.path("copy"), OLD).unwrap();
    let down = |script| cp_with(&place, &[], script, &place.pod("file"), &place.local("copy"));
    // A whole archive, as far as it tells: tar fills up a file that became shorter while it was read.
    assert_fails(
        &down("$TAR \"$@\"; echo 'tar: oh no' >&2; exit 3"),
        1,
        "tar in the pod ended with exit code 3: tar: oh no\n",
    );
    assert_untouched(&place, &["file"]);
    assert_fails(&down("$TAR \"$@\" | head -c 5000; kill -9 $$"), 1, "exit code 137");
    assert_fails(&down("echo no archive at all; exit 0"), 1, "the archive is cut off");
    assert_fails(&down("head -c 2000 $TAR; exit 0"), 1, "the archive is damaged");
    assert_untouched(&place, &["file"]);
    let up = |script| cp_with(&place, &[], script, &place.local("file"), &place.pod("copy"));
    assert_fails(&up("exit 0"), 1, "error: ");
    assert_fails(&up("cat >/dev/null; exit 0"), 1, "mv in the pod ended with exit code 1");
    assert_fails(&up("$TAR \"$@\"; exit 2"), 1, "tar in the pod ended with exit code 2");
    assert_fails(&up("head -c 5000 | $TAR \"$@\""), 1, "tar");
    assert_untouched(&place, &["file"]);
}

#[test]
fn of_a_tree_a_tar_that_fails_leaves_all_but_the_last_file_and_says_so() {
    let place = Place::new();
    let copy = place.path("copy/tree");
    fs::create_dir_all(place.path("tree")).unwrap();
    fs::create_dir_all(&copy).unwrap();
    for name in ["1", "2", "3"] {
        fs::write(place.path("tree").join(name), "new").unwrap();
        fs::write(copy.join(name), OLD).unwrap();
    }
    let output = cp_with(
        &place,
        &[],
        "$TAR \"$@\"; echo 'tar: shrank' >&2; exit 1",
        &place.pod("tree"),
        &place.local("copy"),
    );
    assert_fails(&output, 1, "exit code 1: tar: shrank; 2 files came before that and are in their places");
    let new = || ["1", "2", "3"].iter().filter(|name| fs::read(copy.join(name)).unwrap() == b"new").count();
    assert_eq!((new(), names(&copy).len()), (2, 3));
    for name in ["1", "2", "3"] {
        fs::write(copy.join(name), OLD).unwrap();
    }
    // A directory's header, two files, and the third's header and first byte.
    let bytes = 512 + 2 * 1024 + 512 + 1;
    let output = cp_with(
        &place,
        &[],
        &format!("$TAR \"$@\" | head -c {bytes}"),
        &place.pod("tree"),
        &place.local("copy"),
    );
    assert_fails(&output, 1, "cut off: its end did not come; 2 files came before that");
    assert_eq!((new(), names(&copy).len()), (2, 3));
}

#[test]
fn a_directory_that_is_read_only_gets_its_last_file_and_then_its_mode() {
    let place = Place::new();
    fs::create_dir_all(place.path("tree/inner")).unwrap();
    fs::write(place.path("tree/inner/file"), "1").unwrap();
    let read_only = Permissions::from_mode(0o555);
    fs::set_permissions(place.path("tree/inner"), read_only.clone()).unwrap();
    fs::set_permissions(place.path("tree"), read_only.clone()).unwrap();
    assert_silent_success(&place.cp(&place.pod("tree"), &place.local("copy")));
    assert_eq!(fs::read(place.path("copy/inner/file")).unwrap(), b"1");
    // And also when there is no file in the end.
    let output = cp_with(&place, &[], "$TAR \"$@\"; exit 1", &place.pod("tree"), &place.local("other"));
    assert_fails(&output, 1, "exit code 1");
    assert_eq!(names(&place.path("other/inner")), [""; 0]);
    for directory in ["copy", "copy/inner", "other", "other/inner"] {
        let mode = fs::metadata(place.path(directory)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555, "{directory}");
        fs::set_permissions(place.path(directory), Permissions::from_mode(0o755)).unwrap();
    }
}

/// Where a copy is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Amid,
    /// Of the archive all is there, but not the end of tar.
    AtTheEnd,
}

/// What leaves nothing behind however it is stopped, and what was there.
fn stopped(transport: &str, stop: impl Fn(&mut Served, &std::process::Child) -> Option<i32>) {
    for (direction, when) in [("down", When::Amid), ("down", When::AtTheEnd), ("up", When::Amid)] {
        let place = Place::new();
        fs::write(place.path("file"), vec![b'x'; 3_000_000]).unwrap();
        fs::write(place.path("copy"), OLD).unwrap();
        let script = match (direction, when) {
            ("down", When::Amid) => "$TAR \"$@\" | head -c 1000000; exec sleep 60",
            ("down", When::AtTheEnd) => "$TAR \"$@\"; exec sleep 60 >&- 2>&-",
            _ => "head -c 1000000 | $TAR \"$@\"; exec sleep 60",
        };
        let path = fake_tar(place.0.path(), script);
        let mut served = Served::start_with([], |serve| {
            serve.env("PATH", path);
        });
        let there = |name: &str| format!("embedded{}", place.pod(name));
        let (from, to) = match direction {
            "down" => (there("file"), place.local("copy")),
            _ => (place.local("file"), there("copy")),
        };
        let server = ["cp", "--server", &served.url, "--token", &served.token];
        let mut child =
            program([&server[..], &["--transport", transport, &from, &to]].concat()).spawn().unwrap();
        let mut stderr = Lines::of(child.stderr.take().unwrap());
        // A part is there, and is seen to be one.
        let part = || {
            let found = names(place.0.path()).into_iter().find(|name| name.ends_with(".part"));
            found.map_or(0, |name| fs::metadata(place.path(&name)).map_or(0, |part| part.len()))
        };
        let enough = if when == When::AtTheEnd { 3_000_000 } else { 1 };
        let start = std::time::Instant::now();
        while part() < enough {
            assert!(start.elapsed() < support::PATIENCE, "{:?}", names(place.0.path()));
            std::thread::sleep(Duration::from_millis(5));
        }
        if when == When::AtTheEnd {
            // Until the end of the archive was seen, too.
            std::thread::sleep(Duration::from_millis(300));
        }
        let by = stop(&mut served, &child);
        let status = wait(&mut child);
        match by {
            Some(number) => assert_eq!(status.signal(), Some(number), "{direction} {when:?}"),
            None => {
                assert_eq!(status.code(), Some(74), "{direction} {when:?}");
                if direction == "up" {
                    stderr.expect("may be left in the pod");
                }
                stderr.expect("without a status");
            }
        }
        assert_eq!(fs::read_to_string(place.path("copy")).unwrap(), OLD, "{direction} {when:?}");
        if direction == "down" || by.is_some() {
            assert_untouched(&place, &["bin", "file"]);
        }
    }
}

// Holds EXE-14, EXE-15.
#[test]
fn a_cut_connection_is_no_success() {
    for transport in TRANSPORTS {
        stopped(transport, |served, _| {
            served.child.kill().unwrap();
            None
        });
    }
}

#[test]
fn a_signal_leaves_nothing_behind() {
    for transport in TRANSPORTS {
        stopped(transport, |_, child| {
            signal(child, "-INT");
            Some(2)
        });
    }
}
