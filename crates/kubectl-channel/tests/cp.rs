//! cp in both directions: all of a tree as it was, and no success for anything less.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Permissions},
    os::{
        fd::AsFd,
        unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, symlink},
        },
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use pty_process::blocking::{Command, open};
use support::{
    Lines, PROGRAM, Served,
    copies::{Place, assert_fails, assert_silent_success, cp_with, names},
    run, wait,
};

/// A tree with everything in it that is easily lost.
fn tree(root: &Path) {
    fs::create_dir_all(root.join("deep/er")).unwrap();
    fs::create_dir(root.join("nothing")).unwrap();
    let long = "n".repeat(200);
    fs::create_dir(root.join(&long)).unwrap();
    let big: Vec<u8> =
        (0..8_u32 << 20).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for (name, content) in [
        (OsStr::new("big"), &big[..]),
        (OsStr::new("empty"), b""),
        (OsStr::new("zeros"), &[0; 4096]),
        (OsStr::new("-rf"), b"dash"),
        (OsStr::new("two  words\nand a line \u{fc}\\*"), b"odd"),
        (OsStr::from_bytes(b"no \xff utf-8"), b"odder"),
        (OsStr::new("deep/er/file"), b"deep"),
        (OsStr::new(&format!("{long}/{long}")), b"long"),
    ] {
        fs::write(root.join(name), content).unwrap();
    }
    symlink("../empty", root.join("deep/link")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(981_173_106);
    for (name, mode) in [("empty", 0o600), ("big", 0o755), ("deep/er", 0o555), ("nothing", 0o700)] {
        let file = File::open(root.join(name)).unwrap();
        file.set_modified(old).unwrap();
        file.set_permissions(Permissions::from_mode(mode)).unwrap();
    }
}

/// Mode, time in seconds, and content or target, by path.
type Snapshot = BTreeMap<PathBuf, (u32, u64, Vec<u8>)>;

fn snapshot(root: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let time = metadata.modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let (time, content) = if metadata.is_symlink() {
            (0, fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
        } else if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            (time, Vec::new())
        } else {
            (time, fs::read(&path).unwrap())
        };
        let below = path.strip_prefix(root).unwrap().to_owned();
        found.insert(below, (metadata.permissions().mode(), time, content));
    }
    found
}

#[track_caller]
fn assert_same(left: &Path, right: &Path) {
    let (left, right) = (snapshot(left), snapshot(right));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (path, found) in &left {
        assert!(right[path] == *found, "{} differs", path.display());
    }
}

#[test]
fn a_tree_there_and_back() {
    let place = Place::new();
    tree(&place.path("tree"));
    assert_silent_success(&place.cp(&place.local("tree"), &place.pod("there")));
    assert_same(&place.path("tree"), &place.path("there"));
    assert_silent_success(&place.cp(&place.pod("there"), &place.local("back")));
    assert_same(&place.path("tree"), &place.path("back"));
    assert_eq!(names(place.0.path()), ["back", "there", "tree"]);
}

#[test]
fn through_a_server_with_namespace_and_container() {
    let place = Place::new();
    tree(&place.path("tree"));
    let served = Served::start(["-n", "space"]);
    let cp = |from: &str, to: &str| {
        run(["cp", "--server", &served.url, "--token", &served.token, "-c", "main", from, to])
    };
    let there = format!("space/embedded:{}", place.local("there"));
    assert_silent_success(&cp(&place.local("tree"), &there));
    assert_silent_success(&cp(&there, &place.local("back")));
    assert_same(&place.path("tree"), &place.path("back"));
    assert_fails(&cp(&format!("other{there}"), &place.local("x")), 77, "not found");
    assert_fails(&cp("embedded:/etc/hosts", &place.local("x")), 77, "not found");
}

#[test]
fn into_a_directory_or_under_a_name() {
    let place = Place::new();
    fs::create_dir_all(place.path("tree/inside")).unwrap();
    fs::write(place.path("tree/inside/file"), "1").unwrap();
    fs::create_dir(place.path("to")).unwrap();
    let read = |path: &str| fs::read_to_string(place.path(path)).unwrap();
    for (from, to) in [("local", "pod"), ("pod", "local")] {
        let at = |side: &str, name: &str| if side == "pod" { place.pod(name) } else { place.local(name) };
        let cp = |source: &str, target: &str| place.cp(&at(from, source), &at(to, target));
        assert_silent_success(&cp("tree/inside/file", "to"));
        assert_eq!(read("to/file"), "1");
        assert_silent_success(&cp("tree/inside/file", "to/other"));
        assert_silent_success(&cp("tree/inside", "to"));
        // Again, into what is there already: what is there besides stays.
        fs::write(place.path("to/inside/stays"), "here").unwrap();
        fs::write(place.path("to/inside/file"), "old").unwrap();
        assert_silent_success(&cp("tree/inside", "to"));
        assert_eq!((read("to/inside/file"), read("to/inside/stays")), ("1".into(), "here".into()));
        assert_silent_success(&cp("tree/.", "to/new"));
        assert_eq!(read("to/new/inside/file"), "1");
        assert_silent_success(&cp("tree/inside/.", "to"));
        assert_eq!(names(&place.path("to")), ["file", "inside", "new", "other"]);
        assert_fails(&cp("tree/inside/file", "to/no-such/"), 1, "no directory");
        fs::create_dir(place.path("to/x")).unwrap();
        fs::create_dir(place.path("to/x/file")).unwrap();
        assert_fails(&cp("tree/inside/file", "to/x"), 1, "irectory");
        assert_eq!(names(&place.path("to/x")), ["file"]);
        fs::remove_dir_all(place.path("to")).unwrap();
        fs::create_dir(place.path("to")).unwrap();
    }
    assert_silent_success(&place.cp(&place.pod("tree/inside/file"), &place.local("new/below/file")));
    assert_eq!(read("new/below/file"), "1");
}

#[test]
fn wrong_arguments() {
    for (arguments, message) in [
        (&["--embedded", "a", "b"][..], "neither path is in the pod"),
        (&["a", "b"], "neither path is in a pod"),
        (&["x:a", "y:b"], "one of the paths must be local"),
        (&["x:", "b"], "no path behind the colon"),
        (&["a/b/c:d", "e"], "neither POD:PATH"),
        (&["--embedded", ":", "e"], "no path behind the colon"),
        (&["x:a", "b"], "kubectl proxy"),
    ] {
        assert_fails(&run([&["cp"], arguments].concat()), 2, message);
    }
}

#[test]
fn what_is_not_there() {
    let place = Place::new();
    let down = place.cp(&place.pod("nothing"), &place.local("to"));
    assert_fails(&down, 1, "tar in the pod ended with exit code 2: tar: ./nothing: Cannot stat");
    assert_fails(&place.cp(&place.local("nothing"), &place.pod("to")), 1, "No such file");
    fs::write(place.path("file"), "1").unwrap();
    assert_fails(&place.cp(&place.local("file"), &place.pod("no/such/place")), 1, "tar: ");
    assert_eq!(names(place.0.path()), ["file"]);
}

#[test]
fn without_a_tar_it_says_so() {
    let place = Place::new();
    fs::write(place.path("file"), "1").unwrap();
    let down = cp_with(&place, &[], "", &place.pod("file"), &place.local("copy"));
    let up = cp_with(&place, &[], "", &place.local("file"), &place.pod("copy"));
    for output in [down, up] {
        assert_fails(&output, 126, "tar does not run in the container, and cp needs it there");
    }
    assert_eq!(names(place.0.path()), ["file"]);
}

#[test]
fn before_v5_nothing_can_be_copied_to_a_pod() {
    let place = Place::new();
    fs::write(place.path("file"), "1").unwrap();
    let served = Served::start(["--subprotocol", "v4"]);
    let cp = |from: &str, to: &str| run(["cp", "--server", &served.url, "--token", &served.token, from, to]);
    let there = |name: &str| format!("embedded{}", place.pod(name));
    assert_fails(&cp(&place.local("file"), &there("copy")), 1, "v4.channel.k8s.io, which cannot end stdin");
    assert_eq!(names(place.0.path()), ["file"]);
    assert_silent_success(&cp(&there("file"), &place.local("copy")));
}

/// Of one drawing: bytes so far, what behind them is said of all, and of what. `██░ 1.50 MiB/8.00 MiB 9.00 MiB/s name`, or without all of them.
fn drawn(frame: &str) -> Option<(f64, String, String)> {
    let words: Vec<_> = frame.split_whitespace().collect();
    let [_, number, unit, .., speed, name] = words[..] else { return None };
    if name.ends_with("B/s") {
        // Nothing has come yet.
        return None;
    }
    assert!(speed.ends_with("B/s"), "{frame:?}");
    let (unit, total) = unit.split_once('/').unwrap_or((unit, ""));
    let factor = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        other => panic!("{other:?} in {frame:?}"),
    };
    let total = words.get(3).filter(|_| !total.is_empty()).map(|unit| format!("{total} {unit}"));
    Some((number.parse::<f64>().unwrap() * factor, total.unwrap_or_default(), name.to_owned()))
}

#[test]
fn progress_is_for_terminals() {
    const SIZE: f64 = 8.0 * 1024.0 * 1024.0;
    let place = Place::new();
    fs::write(place.path("file"), vec![b'x'; 8 << 20]).unwrap();
    let (file, copy) = (place.local("file"), place.local("copy"));
    for (from, to, total, name) in
        [(&file, &place.pod("copy"), "8.00 MiB", &file), (&place.pod("file"), &copy, "", &copy)]
    {
        let (pty, pts) = open().unwrap();
        pty.resize(pty_process::Size::new(24, 200)).unwrap();
        let mut child = Command::new(PROGRAM).args(["cp", "--embedded", from, to]).spawn(pts).unwrap();
        let screen = Lines::of(File::from(pty.as_fd().try_clone_to_owned().unwrap()));
        assert!(wait(&mut child).success());
        let screen = screen.rest();
        let frames: Vec<_> = screen.split('\r').filter_map(drawn).collect();
        assert!(frames.iter().all(|frame| frame.1 == total && frame.2 == *name), "{frames:?}");
        // It grows, is seen on its way, and never passes the end.
        assert!(frames.is_sorted_by(|one, next| one.0 <= next.0), "{frames:?}");
        assert!(frames.iter().any(|frame| 0.0 < frame.0 && frame.0 < SIZE), "{frames:?}");
        assert!(frames.iter().all(|frame| frame.0 <= SIZE), "{frames:?}");
        // The line is empty again.
        assert!(screen.ends_with("\r\u{1b}[2K"), "{screen:?}");
    }
    let nowhere = place.cp(&file, &place.pod("copy"));
    assert_silent_success(&nowhere);
}
