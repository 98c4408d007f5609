//! The command on a terminal: raw while the session lasts, its size followed, and as it was again afterwards.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{
    fs::File,
    io::Write,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use pty_process::{
    Size,
    blocking::{Command, Pts, Pty, open},
};
use rustix::termios::{LocalModes, tcgetattr};
use support::{Lines, PATIENCE, PROGRAM, Served, signal, wait};

/// The program on a terminal of its own.
struct OnTerminal {
    pty: Pty,
    /// Keeps the terminal there when the program has ended.
    _pts: Pts,
    child: Child,
    screen: Lines,
}

impl OnTerminal {
    fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, 80)).unwrap();
        let child = Command::new(PROGRAM).args(arguments).spawn_borrowed(&pts).unwrap();
        let screen = Lines::of(File::from(pty.as_fd().try_clone_to_owned().unwrap()));
        Self { pty, _pts: pts, child, screen }
    }

    fn type_in(&self, keys: &str) {
        (&self.pty).write_all(keys.as_bytes()).unwrap();
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.pty).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn await_raw(&self) {
        let start = Instant::now();
        while !self.is_raw() {
            assert!(start.elapsed() < PATIENCE, "the terminal never became raw");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SHELL: [&str; 6] = ["exec", "--embedded", "-it", "--", "sh", "-c"];

fn shell(script: &str) -> OnTerminal {
    OnTerminal::start(SHELL.into_iter().chain([script]))
}

// Holds EXE-5, REQ-5.
#[test]
fn the_size_is_sent_and_followed() {
    let mut on = shell("trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done");
    on.screen.expect("24 80\r\n");
    on.pty.resize(Size::new(50, 132)).unwrap();
    on.screen.expect("50 132\r\n");
    on.pty.resize(Size::new(10, 20)).unwrap();
    on.screen.expect("10 20\r\n");
}

#[test]
fn raw_until_the_normal_end() {
    let mut on = shell("stty -echo; echo ready; read line; echo \"got $line\"; exit 3");
    on.screen.expect("ready\r\n");
    assert!(on.is_raw());
    on.type_in("hello\r");
    on.screen.expect("got hello\r\n");
    on.screen.expect("command terminated with exit code 3\r\n");
    assert_eq!(wait(&mut on.child).code(), Some(3));
    assert!(!on.is_raw());
}

#[test]
fn the_interrupt_key_goes_to_the_command() {
    let mut on = shell("trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done");
    on.screen.expect("ready\r\n");
    on.type_in("\x03");
    on.screen.expect("interrupted\r\n");
    assert_eq!(wait(&mut on.child).code(), Some(9));
}

#[test]
fn signals_restore_the_terminal() {
    for (name, number) in [("-TERM", 15), ("-INT", 2), ("-HUP", 1), ("-QUIT", 3)] {
        let mut on = shell("echo ready; sleep 60");
        on.screen.expect("ready\r\n");
        assert!(on.is_raw());
        signal(&on.child, name);
        assert_eq!(wait(&mut on.child).signal(), Some(number));
        assert!(!on.is_raw(), "after {name}");
    }
}

#[test]
fn a_lost_connection_restores_the_terminal() {
    let mut served = Served::start([]);
    let arguments = served.arguments("exec", &["-it", "--", "sh", "-c", "echo ready; sleep 60"]);
    let mut on = OnTerminal::start(arguments);
    on.screen.expect("ready\r\n");
    assert!(on.is_raw());
    served.child.kill().unwrap();
    let message = on.screen.expect("without a status");
    assert!(message.contains("error: "), "{message}");
    assert_eq!(wait(&mut on.child).code(), Some(74));
    assert!(!on.is_raw());
}

#[test]
fn a_refusal_never_touches_the_terminal() {
    let served = Served::start([]);
    let mut on = OnTerminal::start([
        "exec",
        "--server",
        &served.url,
        "--token",
        "wrong",
        "embedded",
        "-it",
        "--",
        "sh",
    ]);
    on.screen.expect("401 Unauthorized");
    assert_eq!(wait(&mut on.child).code(), Some(77));
    assert!(!on.is_raw());
}

// Holds ATT-2, ATT-5.
#[test]
fn attach_to_a_terminal() {
    let served = Served::start(["-it", "--", "sh"]);
    for round in ["6", "7"] {
        let mut on = OnTerminal::start(served.arguments("attach", &["-it"]));
        on.screen.expect("If you don't see a command prompt");
        on.await_raw();
        on.type_in(&format!("echo $(({round} * 7)); stty size\r"));
        on.screen.expect(if round == "6" { "42\r\n" } else { "49\r\n" });
        on.screen.expect("24 80\r\n");
        signal(&on.child, "-TERM");
        wait(&mut on.child);
    }
}

#[test]
fn output_to_a_file_and_input_from_a_terminal() {
    let (pty, pts) = open().unwrap();
    // The size may come a moment after the command has started.
    let arguments = SHELL.into_iter().chain(["until stty size | grep 33; do sleep 0.05; done"]);
    pty.resize(Size::new(33, 44)).unwrap();
    let mut command = Command::new(PROGRAM).args(arguments).stdout(Stdio::piped());
    let mut child = command.spawn_borrowed(&pts).unwrap();
    let mut stdout = Lines::of(child.stdout.take().unwrap());
    stdout.expect("33 44\r\n");
    assert!(wait(&mut child).success());
}
