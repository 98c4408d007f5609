//! What the tests of cp have in common.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use tempfile::{TempDir, tempdir};

use super::{fake_tar, finish, program, run, text};

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[track_caller]
pub(crate) fn assert_silent_success(output: &Output) {
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
    assert!(output.status.success());
}

#[track_caller]
pub(crate) fn assert_fails(output: &Output, code: i32, message: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
}

/// A directory to work in, by whose paths things are said.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn local(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The same path, in the embedded pod.
    pub(crate) fn pod(&self, name: &str) -> String {
        format!(":{}", self.local(name))
    }

    pub(crate) fn cp(&self, from: &str, to: &str) -> Output {
        run(["cp", "--embedded", from, to])
    }
}

/// Runs cp with this shell script in the place of tar, in which `$TAR` is the real one.
pub(crate) fn cp_with(place: &Place, flags: &[&str], script: &str, from: &str, to: &str) -> Output {
    let path = fake_tar(place.0.path(), script);
    let arguments = [&["cp", "--embedded", from, to], flags].concat();
    let output = finish(program(arguments).env("PATH", path).spawn().unwrap());
    fs::remove_dir_all(place.path("bin")).unwrap();
    output
}
