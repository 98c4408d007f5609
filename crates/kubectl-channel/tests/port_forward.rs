//! port-forward as people use it: lines on stdout and stderr, and connections that fail alone.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, ToSocketAddrs},
    os::unix::process::ExitStatusExt,
    process::Child,
    thread,
    time::{Duration, Instant},
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

fn connect(place: impl ToSocketAddrs) -> TcpStream {
    let stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks, ends its half, and reads the answer; nothing if the connection broke.
fn ask(port: u16, question: &[u8]) -> Vec<u8> {
    ask_at((Ipv4Addr::LOCALHOST, port), question)
}

fn ask_at(place: impl ToSocketAddrs, question: &[u8]) -> Vec<u8> {
    let mut stream = connect(place);
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
        (&["web", "80", "--pod-running-timeout", "60"], "5s, 2m or 1h30m"),
        (&["web", "80", "--pod-running-timeout", "0s"], "above 0"),
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

/// Whether there is an ::1. Where none is, what needs it is left out, and said to be; who relies on it demands it by this variable.
fn has_ipv6() -> bool {
    const DEMANDED: &str = "KUBECTL_CHANNEL_TEST_IPV6";
    let found = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    if let Err(error) = &found {
        assert!(std::env::var_os(DEMANDED).is_none(), "{DEMANDED} is set, and there is no ::1: {error}");
        let _ =
            writeln!(io::stderr(), "LEFT OUT: there is no ::1 ({error}); {DEMANDED}=1 makes that a failure");
    }
    found.is_ok()
}

#[test]
fn localhost_is_both_addresses_with_one_port() {
    if !has_ipv6() {
        return;
    }
    let remote = answering();
    let mut forward = Forward::embedded(&[&format!(":{remote}")]);
    let local = forward.local("127.0.0.1", remote);
    assert_eq!(forward.local("[::1]", remote), local);
    assert_eq!(ask(local, b"by IPv4"), b"by IPv4");
    assert_eq!(ask_at((Ipv6Addr::LOCALHOST, local), b"by IPv6"), b"by IPv6");
}

/// A port of which one address of localhost is taken, and the other is free.
fn half_taken(taken: IpAddr, free: IpAddr) -> (TcpListener, u16) {
    loop {
        let listener = TcpListener::bind((taken, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if TcpListener::bind((free, port)).is_ok() {
            return (listener, port);
        }
    }
}

#[test]
fn localhost_is_both_addresses_or_neither() {
    if !has_ipv6() {
        return;
    }
    let (four, six) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    for (taken, free) in [(four, six), (six, four)] {
        let (listener, port) = half_taken(taken, free);
        let remote = answering();
        let (bad, good) = (format!("{port}:{remote}"), format!(":{remote}"));
        let told = format!("cannot listen on {}: Address already in use", listener.local_addr().unwrap());
        let alone = run(["port-forward", "--embedded", &bad]);
        assert_eq!((alone.status.code(), text(&alone.stdout)), (Some(1), String::new()));
        assert!(text(&alone.stderr).contains(&told), "{}", text(&alone.stderr));
        // Beside one that works it is told, and left alone.
        let mut forward = Forward::embedded(&[&bad, &good]);
        forward.stderr.expect(&told);
        let local = forward.local("127.0.0.1", remote);
        assert_ne!(local, port);
        assert_eq!(ask(local, b"yes"), b"yes");
        let start = Instant::now();
        while TcpStream::connect((free, port)).is_ok() {
            assert!(start.elapsed() < PATIENCE, "{free}:{port} is listened on without {taken}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn two_ports_on_two_addresses() {
    let served = Served::start([]);
    let (first, second) = (answering(), answering());
    let ports = [format!(":{first}"), format!(":{second}")];
    // kubectl takes either.
    for addresses in
        [&["--address", "127.0.0.1,127.0.0.2"][..], &["--address", "127.0.0.1", "--address=127.0.0.2"]]
    {
        let rest = [&[&ports[0], &ports[1], "--connections", "3"], addresses].concat();
        let mut forward = Forward::start(&served.arguments("port-forward", &rest));
        for (address, remote) in
            [("127.0.0.1", first), ("127.0.0.2", first), ("127.0.0.1", second), ("127.0.0.2", second)]
        {
            let local = forward.local(address, remote);
            assert_eq!(ask_at((address, local), b"x"), b"x");
        }
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
    let mut other = connect((Ipv4Addr::LOCALHOST, good));
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

    let mut cut = connect((Ipv4Addr::LOCALHOST, locals[0]));
    cut.write_all(b"never to be answered").unwrap();
    thread::sleep(Duration::from_millis(100));
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
