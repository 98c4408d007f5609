//! port-forward as people use it: lines on stdout and stderr, and connections that fail alone.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    process::Child,
    thread,
};

use support::{Lines, PATIENCE, Served, finish, program, run, signal, text, wait};

/// A port of this machine that answers with all that it was sent, after the end of it.
fn answering() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || -> io::Result<()> {
                let mut stream = stream?;
                let mut all = Vec::new();
                stream.read_to_end(&mut all)?;
                stream.write_all(&all)
            });
        }
    });
    port
}

fn closed() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks, ends its half, and reads the answer; nothing if the connection broke.
fn ask(port: u16, question: &[u8]) -> Vec<u8> {
    let mut stream = connect(port);
    let mut answer = Vec::new();
    let asked = stream.write_all(question).and_then(|()| stream.shutdown(Shutdown::Write));
    match asked.and_then(|()| stream.read_to_end(&mut answer)) {
        Ok(_) => answer,
        Err(_) => Vec::new(),
    }
}

/// The program, with what it says.
struct Forward {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Forward {
    fn start(arguments: &[&str]) -> Self {
        let mut child = program(arguments.iter().copied()).spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Of this machine's ports.
    fn embedded(arguments: &[&str]) -> Self {
        Self::start(&[&["port-forward", "--embedded"], arguments].concat())
    }

    /// The local port of the next line on stdout, which must say that it leads to `remote`.
    fn local(&mut self, address: &str, remote: u16) -> u16 {
        self.stdout.expect(&format!("Forwarding from {address}:"));
        let rest = self.stdout.expect(&format!(" -> {remote}\n"));
        rest.split(' ').next().unwrap().parse().unwrap()
    }

    fn end(mut self, with: &str) -> Option<i32> {
        signal(&self.child, with);
        wait(&mut self.child).signal()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn assert_fails(arguments: &[&str], code: i32, message: &str) {
    let output = run(arguments.iter().copied());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn wrong_arguments() {
    for (arguments, message) in [
        (&["web"][..], "no port given"),
        (&["--embedded", "web", "80"], "--embedded has no POD"),
        (&["web", "0"], "above 0"),
        (&["web", "80:0"], "above 0"),
        (&["web", "65536"], "up to 65535"),
        (&["web", "Http"], "no port"),
        (&["web", "80", "--address", "example.com"], "no IP address"),
        (&["web", "80", "--connections", "0"], "1..=64"),
        (&["node/web", "80"], "names no pod"),
        (&["web", "80"], "kubectl proxy"),
        (&[], "POD"),
    ] {
        assert_fails(&[&["port-forward"], arguments].concat(), 2, message);
    }
    assert_fails(&["port-forward", "web", "80", "--server", "http://127.0.0.1:1"], 69, "127.0.0.1:1");
}

#[test]
fn refusals() {
    let served = Served::start([]);
    let with = |token: &str, pod: &str, message: &str| {
        assert_fails(&["port-forward", "--server", &served.url, "--token", token, pod, "80"], 77, message);
    };
    with("wrong", "embedded", "401 Unauthorized");
    with(&served.token, "other", "pods \"other\" not found");
}

// Holds PFW-10.
#[test]
fn ports_of_this_machine_until_a_signal() {
    for (name, number) in [("-INT", 2), ("-TERM", 15)] {
        let remote = answering();
        let mut forward = Forward::embedded(&[&format!(":{remote}")]);
        let local = forward.local("127.0.0.1", remote);
        assert_eq!(ask(local, b"question"), b"question");
        assert_eq!(ask(local, b""), b"");
        assert_eq!(forward.end(name), Some(number));
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, local)).is_err());
    }
}

#[test]
fn localhost_is_both_addresses_with_one_port() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let remote = answering();
    let mut forward = Forward::embedded(&[&format!(":{remote}")]);
    let local = forward.local("127.0.0.1", remote);
    assert_eq!(forward.local("[::1]", remote), local);
}

#[test]
fn two_ports_on_two_addresses() {
    let served = Served::start([]);
    let (first, second) = (answering(), answering());
    let ports = [format!(":{first}"), format!(":{second}")];
    let arguments = served.arguments(
        "port-forward",
        &[&ports[0], &ports[1], "--address", "127.0.0.1,127.0.0.2", "--connections", "3"],
    );
    let mut forward = Forward::start(&arguments);
    for (address, remote) in
        [("127.0.0.1", first), ("127.0.0.2", first), ("127.0.0.1", second), ("127.0.0.2", second)]
    {
        let local = forward.local(address, remote);
        let mut stream = TcpStream::connect((address, local)).unwrap();
        stream.write_all(b"x").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"x");
    }
}

#[test]
fn a_local_port_in_use_is_told_and_the_others_work() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().port();
    let remote = answering();
    let (bad, good) = (format!("{taken}:{remote}"), format!(":{remote}"));
    let mut forward = Forward::embedded(&["--address", "127.0.0.1", &bad, &good]);
    forward.stderr.expect(&format!("cannot listen on 127.0.0.1:{taken}: Address already in use"));
    let local = forward.local("127.0.0.1", remote);
    assert_eq!(ask(local, b"yes"), b"yes");
    let arguments = ["port-forward", "--embedded", "--address", "127.0.0.1", &bad];
    assert_fails(&arguments, 1, "none of the local ports");
    drop(listener);
}

// Holds PFW-4, PFW-7.
#[test]
fn a_closed_port_fails_alone_in_the_pods_words() {
    let served = Served::start([]);
    let (open, closed) = (answering(), closed());
    let ports = [format!(":{open}"), format!(":{closed}")];
    let mut forward =
        Forward::start(&served.arguments("port-forward", &["--address", "127.0.0.1", &ports[0], &ports[1]]));
    let (good, bad) = (forward.local("127.0.0.1", open), forward.local("127.0.0.1", closed));
    let mut other = connect(good);
    other.write_all(b"before ").unwrap();
    for _ in 0..2 {
        assert_eq!(ask(bad, b"x"), b"");
        let line = forward.stderr.expect("\n");
        assert!(line.contains(&format!("a connection of 127.0.0.1:{bad} -> {closed} failed")), "{line}");
        assert!(line.contains("connect: connection refused"), "{line}");
    }
    other.write_all(b"and after").unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "before and after");
}

#[test]
fn the_server_may_go_and_come_back() {
    let mut served = Served::start([]);
    let (url, token) = (served.url.clone(), served.token.clone());
    let remotes = [answering(), answering()];
    let ports = remotes.map(|port| format!(":{port}"));
    let arguments =
        ["port-forward", "--server", &url, "--token", &token, "embedded", "--address", "127.0.0.1"];
    let mut forward = Forward::start(&[&arguments[..], &[&ports[0], &ports[1]]].concat());
    let locals = remotes.map(|remote| forward.local("127.0.0.1", remote));
    assert_eq!(ask(locals[0], b"one"), b"one");

    let mut cut = connect(locals[0]);
    cut.write_all(b"never to be answered").unwrap();
    thread::sleep(std::time::Duration::from_millis(100));
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let mut lost = forward.stderr.expect("lost the connection to the pod");
    // What was under way is broken off, and not ended as if all had come.
    let mut answer = Vec::new();
    let end = cut.read_to_end(&mut answer);
    assert!(end.is_err() || answer.is_empty(), "{answer:?}");
    // Who comes meanwhile waits.
    let asking = thread::spawn(move || ask(locals[1], b"patience"));

    let listen = url.strip_prefix("http://").unwrap();
    let _again = Served::start(["--listen", listen, "--token", &token]);
    lost += &forward.stderr.expect("connected to the pod again\n");
    assert_eq!(lost.matches("lost the connection").count(), 1, "{lost}");
    assert_eq!(asking.join().unwrap(), b"patience");
    assert_eq!(ask(locals[0], b"two"), b"two");
    assert_eq!(forward.end("-INT"), Some(2));
}

#[test]
fn a_thousand_in_a_row_and_a_hundred_at_once() {
    let served = Served::start([]);
    let remote = answering();
    let port = format!(":{remote}");
    let mut forward = Forward::start(&served.arguments("port-forward", &[&port]));
    let local = forward.local("127.0.0.1", remote);
    for number in 0..1000_u32 {
        assert_eq!(ask(local, &number.to_le_bytes()), number.to_le_bytes());
    }
    let asking: Vec<_> = (0..100_u8)
        .map(|number| {
            thread::spawn(move || {
                let question = vec![number; 20_000 + usize::from(number)];
                assert!(ask(local, &question) == question, "{number}");
            })
        })
        .collect();
    asking.into_iter().for_each(|asking| asking.join().unwrap());
    assert_eq!(forward.end("-TERM"), Some(15));
}

#[test]
fn help_is_there() {
    let help = finish(program(["port-forward", "--help"]).spawn().unwrap());
    assert!(text(&help.stdout).contains("[LOCAL:]REMOTE"));
}
