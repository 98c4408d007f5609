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
            process::ExitStatusExt,
        },
    },
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, SystemTime},
};

use pty_process::blocking::{Command, open};
use support::{Lines, PROGRAM, Served, fake_tar, finish, program, run, signal, text, wait};
use tempfile::{TempDir, tempdir};

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

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_silent_success(output: &Output) {
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
    assert!(output.status.success());
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, message: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
}

/// A directory to work in, by whose paths things are said.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn local(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The same path, in the embedded pod.
    fn pod(&self, name: &str) -> String {
        format!(":{}", self.local(name))
    }

    fn cp(&self, from: &str, to: &str) -> Output {
        run(["cp", "--embedded", from, to])
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

/// Runs cp with this shell script in the place of tar, in which `$TAR` is the real one.
fn cp_with(place: &Place, script: &str, from: &str, to: &str) -> Output {
    let path = fake_tar(place.0.path(), script);
    let output = finish(program(["cp", "--embedded", from, to]).env("PATH", path).spawn().unwrap());
    fs::remove_dir_all(place.path("bin")).unwrap();
    output
}

#[test]
fn a_short_archive_is_no_success() {
    let place = Place::new();
    fs::write(place.path("file"), vec![b'x'; 100_000]).unwrap();
    fs::write(place.path("zeros"), vec![0; 2048]).unwrap();
    fs::write(place.path("nothing"), "").unwrap();
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
        let script = format!("$TAR \"$@\" | head -c {bytes}");
        let output = cp_with(&place, &script, &place.pod(name), &place.local("copy"));
        assert_eq!(output.status.code(), Some(1), "{name} {bytes}");
        assert!(!text(&output.stderr).is_empty());
        let is_whole =
            fs::read(place.path("copy")).is_ok_and(|copy| copy == fs::read(place.path(name)).unwrap());
        assert!(is_whole || names(place.0.path()) == ["file", "nothing", "zeros"], "{name} {bytes}");
        let _ = fs::remove_file(place.path("copy"));
    }
    let whole = cp_with(&place, "exec $TAR \"$@\"", &place.pod("file"), &place.local("copy"));
    assert_silent_success(&whole);
}

#[test]
fn a_tar_that_fails_is_no_success() {
    let place = Place::new();
    fs::write(place.path("file"), vec![b'x'; 1_000_000]).unwrap();
    let down = |script| cp_with(&place, script, &place.pod("file"), &place.local("copy"));
    assert_fails(
        &down("$TAR \"$@\"; echo 'tar: oh no' >&2; exit 3"),
        1,
        "tar in the pod ended with exit code 3: tar: oh no",
    );
    fs::remove_file(place.path("copy")).unwrap();
    assert_fails(&down("$TAR \"$@\" | head -c 5000; kill -9 $$"), 1, "exit code 137");
    assert_fails(&down("echo no archive at all; exit 0"), 1, "the archive is cut off");
    assert_fails(&down("head -c 2000 $TAR; exit 0"), 1, "the archive is damaged");
    let up = |script| cp_with(&place, script, &place.local("file"), &place.pod("copy"));
    assert_fails(&up("exit 0"), 1, "error: ");
    assert_fails(&up("cat >/dev/null; exit 0"), 1, "mv in the pod ended with exit code 1");
    assert_fails(&up("$TAR \"$@\"; exit 2"), 1, "tar in the pod ended with exit code 2");
    assert_fails(&up("head -c 5000 | $TAR \"$@\""), 1, "tar");
    // Neither a copy nor a part of one is left.
    assert_eq!(names(place.0.path()), ["file"]);
}

#[test]
fn without_a_tar_it_says_so() {
    let place = Place::new();
    fs::write(place.path("file"), "1").unwrap();
    let down = cp_with(&place, "", &place.pod("file"), &place.local("copy"));
    let up = cp_with(&place, "", &place.local("file"), &place.pod("copy"));
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

/// What leaves nothing behind however it is stopped in the middle.
fn stopped(stop: impl Fn(&mut Served, &std::process::Child) -> Option<i32>) {
    for direction in ["down", "up"] {
        let place = Place::new();
        fs::write(place.path("file"), vec![b'x'; 3_000_000]).unwrap();
        let script = match direction {
            "down" => "$TAR \"$@\" | head -c 1000000; exec sleep 60",
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
        let arguments = ["cp", "--server", &served.url, "--token", &served.token, &from, &to];
        let mut child = program(arguments).spawn().unwrap();
        let mut stderr = Lines::of(child.stderr.take().unwrap());
        // A part is there, and is seen to be one.
        let start = std::time::Instant::now();
        while !names(place.0.path()).iter().any(|name| name.ends_with(".part")) {
            assert!(start.elapsed() < support::PATIENCE, "{:?}", names(place.0.path()));
            std::thread::sleep(Duration::from_millis(5));
        }
        let by = stop(&mut served, &child);
        let status = wait(&mut child);
        match by {
            Some(number) => assert_eq!(status.signal(), Some(number), "{direction}"),
            None => {
                assert_eq!(status.code(), Some(74), "{direction}");
                if direction == "up" {
                    stderr.expect("may be left in the pod");
                }
                stderr.expect("without a status");
            }
        }
        assert!(!place.path("copy").exists(), "{direction}");
        if direction == "down" || by.is_some() {
            assert_eq!(names(place.0.path()), ["bin", "file"], "{direction}");
        }
    }
}

// Holds EXE-14, EXE-15.
#[test]
fn a_cut_connection_is_no_success() {
    stopped(|served, _| {
        served.child.kill().unwrap();
        None
    });
}

#[test]
fn a_signal_leaves_nothing_behind() {
    stopped(|_, child| {
        signal(child, "-INT");
        Some(2)
    });
}

#[test]
fn progress_is_for_terminals() {
    let place = Place::new();
    fs::write(place.path("file"), vec![b'x'; 8 << 20]).unwrap();
    for (from, to) in [(place.local("file"), place.pod("copy")), (place.pod("file"), place.local("copy"))] {
        let (pty, pts) = open().unwrap();
        pty.resize(pty_process::Size::new(24, 80)).unwrap();
        let mut command = Command::new(PROGRAM).args(["cp", "--embedded", &from, &to]);
        let mut child = command.spawn_borrowed(&pts).unwrap();
        let mut screen = Lines::of(File::from(pty.as_fd().try_clone_to_owned().unwrap()));
        screen.expect("B/s");
        assert!(wait(&mut child).success());
    }
}
