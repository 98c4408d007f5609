//! The program under test, run as a user runs it, and a pod for it to talk to.

// Each test file uses a part of it, and what fails here fails a test.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod copies;

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes, on a busy machine, too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-channel");

/// The program with these arguments, and nothing of this process's environment that would change what it does.
pub(crate) fn program<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    for name in ["KUBECTL_CHANNEL_SERVER", "KUBECTL_CHANNEL_TOKEN", "KUBERNETES_SERVICE_HOST", "RUST_LOG"] {
        command.env_remove(name);
    }
    // No kubeconfig, whoever's home this is.
    command.env("KUBECONFIG", "/nonexistent/kubeconfig");
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    finish(program(arguments).spawn().unwrap())
}

/// Runs it to its end, with this on stdin.
pub(crate) fn run_with_stdin<'a>(arguments: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Output {
    let mut child = program(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it took all.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = finish(child);
    writer.join().unwrap();
    output
}

/// Waits for its end, and fails the test instead of hanging it.
pub(crate) fn finish(mut child: Child) -> Output {
    let reader = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut all = Vec::new();
            stream.map(|mut stream| stream.read_to_end(&mut all).unwrap());
            all
        })
    };
    let stdout = reader(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = reader(child.stderr.take().map(|stream| Box::new(stream) as _));
    let status = wait(&mut child);
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it did not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(child: &Child, signal: &str) {
    let mut kill = Command::new("kill");
    kill.args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a process prints, as it prints it.
pub(crate) struct Lines(mpsc::Receiver<Vec<u8>>, Vec<u8>);

impl Lines {
    pub(crate) fn of(mut stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self(receiver, Vec::new())
    }

    /// Waits until `needle` has come, and forgets what came up to its end.
    pub(crate) fn expect(&mut self, needle: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = text(&self.1).find(needle) {
                let seen: Vec<u8> = self.1.drain(..at + needle.len()).collect();
                return text(&seen);
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left) {
                Ok(data) => self.1.extend(data),
                Err(_) => panic!("no {needle:?}, but {:?}", text(&self.1)),
            }
        }
    }

    /// All that comes until nobody prints any more.
    pub(crate) fn rest(self) -> String {
        let Self(receiver, mut all) = self;
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(data) => all.extend(data),
                Err(mpsc::RecvTimeoutError::Disconnected) => return text(&all),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end, but {:?}", text(&all)),
            }
        }
    }
}

/// `serve`, in a process of its own; without TLS unless it is [started](Self::with_tls) with it.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) kubectl_server: String,
    pub(crate) token: String,
    /// All that it says of itself.
    pub(crate) facts: serde_json::Value,
}

impl Served {
    pub(crate) fn with_tls<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::begin(program(["serve", "--output", "json"].into_iter().chain(arguments)))
    }

    pub(crate) fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::start_with(arguments, |_| {})
    }

    pub(crate) fn start_with<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = program(["serve", "--plain", "--output", "json"].into_iter().chain(arguments));
        prepare(&mut command);
        Self::begin(command)
    }

    fn begin(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let facts: serde_json::Value = serde_json::from_str(&line).unwrap();
        let fact = |name: &str| facts[name].as_str().unwrap().to_owned();
        let (url, kubectl_server, token) = (fact("url"), fact("kubectlServer"), fact("token"));
        Self { child, url, kubectl_server, token, facts }
    }

    /// The arguments of an exec or attach in its pod.
    pub(crate) fn arguments<'a>(&'a self, action: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec![action, "--server", &self.url, "--token", &self.token, "embedded"];
        arguments.extend_from_slice(rest);
        arguments
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // So that it takes its processes with it.
        signal(&self.child, "-TERM");
        wait(&mut self.child);
    }
}

/// A `PATH` on which `tar` is this shell script, in which `$TAR` is the real one; without a script there is none.
pub(crate) fn fake_tar(below: &Path, script: &str) -> OsString {
    let bin = below.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let find = |name: &str| {
        let path = std::env::var_os("PATH").unwrap();
        std::env::split_paths(&path).map(|entry| entry.join(name)).find(|file| file.exists()).unwrap()
    };
    for name in ["sh", "cat", "head", "sleep", "kill", "test", "mv", "cp", "rm"] {
        let _ = fs::remove_file(bin.join(name));
        symlink(find(name), bin.join(name)).unwrap();
    }
    if !script.is_empty() {
        let tar = format!("#!/bin/sh\nTAR={}\n{script}\n", find("tar").display());
        fs::write(bin.join("tar"), tar).unwrap();
        fs::set_permissions(bin.join("tar"), Permissions::from_mode(0o755)).unwrap();
    }
    bin.into()
}
