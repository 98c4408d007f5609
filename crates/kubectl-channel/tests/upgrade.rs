//! What is asked for, and where: URLs that somebody handed out, transports and subprotocols that are said.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Output,
    thread,
};

use support::{Lines, PATIENCE, Served, finish, program, run, run_with_stdin, signal, text};

const TRANSPORTS: [&str; 2] = ["websocket", "spdy"];

/// A URL that stands for an action in the pod, as a container runtime hands it out: its token is in it.
fn url(served: &Served, action: &str, query: &str) -> String {
    format!("{}/api/v1/namespaces/default/pods/embedded/{action}?{query}", served.kubectl_server)
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, message: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
    assert_eq!(text(&output.stdout), "", "stdout is for data");
}

#[test]
fn exec_at_a_url() {
    let served = Served::start([]);
    let script = "command=sh&command=-c&command=cat%3B+echo+err+%3E%262%3B+exit+7";
    let url = url(&served, "exec", &format!("{script}&stdin=true&stdout=true&stderr=true"));
    for transport in TRANSPORTS {
        let output = run_with_stdin(["exec", "--url", &url, "--transport", transport, "-i", "-q"], b"in\n");
        assert_eq!((text(&output.stdout), text(&output.stderr)), ("in\n".into(), "err\n".into()));
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn attach_at_a_url() {
    let served = Served::start(["-i", "--", "sh", "-c", "while read line; do echo \"got $line\"; done"]);
    let url = url(&served, "attach", "stdin=true&stdout=true&stderr=true");
    for transport in TRANSPORTS {
        let output = run_with_stdin(["attach", "-i", "--url", &url, "--transport", transport], b"one\n");
        assert_eq!(text(&output.stdout), "got one\n", "{}", text(&output.stderr));
        assert!(output.status.success());
    }
}

/// A port of this machine that gives back what it gets, as it comes.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    port
}

/// Says something to a port, and hears it, before either side ends anything.
fn talk(port: u16) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}

// Holds PFW-1, PFW-12, UPG-24, UPG-25.
#[test]
fn port_forward_at_a_url() {
    let served = Served::start([]);
    let remote = echo();
    let (at, port) = (url(&served, "portforward", &format!("ports={remote}")), format!(":{remote}"));
    for (asked, warning) in [
        (&["--transport", "websocket"][..], ""),
        (&["--transport", "spdy"], ""),
        (&["--subprotocol", "v4"], "over v4.channel.k8s.io a connection ends"),
        (&["--subprotocol", "none"], "over (no subprotocol) a connection ends"),
    ] {
        let arguments = [&["port-forward", "--address", "127.0.0.1", "--url", &at, &port], asked].concat();
        let mut child = program(arguments).spawn().unwrap();
        let mut stdout = Lines::of(child.stdout.take().unwrap());
        stdout.expect("Forwarding from 127.0.0.1:");
        let local = stdout.expect(" -> ");
        talk(local.trim_end_matches(" -> ").parse().unwrap());
        signal(&child, "-TERM");
        let stderr = text(&finish(child).stderr);
        assert!(stderr.contains(warning) && stderr.is_empty() == warning.is_empty(), "{stderr}");
    }
}

// Holds UPG-19, UPG-27.
#[test]
fn what_is_said_is_asked_for_and_nothing_else() {
    let old = Served::start(["--subprotocol", "v4"]);
    for (asked, code, told) in [
        (&[][..], 5, ""),
        (&["--transport", "websocket"], 5, ""),
        (&["--transport", "spdy"], 5, ""),
        (&["--subprotocol", "v5"], 77, "403"),
        (&["--subprotocol", "v5", "--subprotocol", "v4"], 5, ""),
        (&["--transport", "spdy", "--subprotocol", "v3"], 77, "403"),
        (&["--subprotocol", "channel.k8s.io"], 77, "offered: channel.k8s.io"),
    ] {
        let rest = [asked, &["--", "sh", "-c", "exit 5"]].concat();
        assert_fails(&run(old.arguments("exec", &rest)), code, told);
    }

    // It has nothing that is spoken over WebSocket.
    let older = Served::start(["--subprotocol", "v3"]);
    let echo = ["--", "echo", "out"];
    assert_eq!(text(&run(older.arguments("exec", &echo)).stdout), "out\n");
    let websocket = [&["--transport", "websocket"], &echo[..]].concat();
    assert_fails(&run(older.arguments("exec", &websocket)), 77, "403");
}

// Holds UPG-18, UPG-27.
#[test]
fn what_was_refused_on_the_way_is_told() {
    let served = Served::start(["--subprotocol", "v4.base64.channel.k8s.io"]);
    let output = run(served.arguments("exec", &["--", "true"]));
    assert_fails(&output, 77, "before that it refused WebSocket: 403");
}

#[test]
fn copies_over_either() {
    let served = Served::start([]);
    let below = tempfile::tempdir().unwrap();
    let (there, back) = (below.path().join("there"), below.path().join("back"));
    std::fs::write(below.path().join("file"), b"content").unwrap();
    for transport in TRANSPORTS {
        let pod = format!("embedded:{}", there.display());
        let (from, to) = (below.path().join("file"), back.to_str().unwrap());
        let cp = |from: &str, to: &str| {
            let server = ["cp", "--server", &served.url, "--token", &served.token, "--transport", transport];
            run([&server[..], &[from, to]].concat())
        };
        for output in [cp(from.to_str().unwrap(), &pod), cp(&pod, to)] {
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        assert_eq!(std::fs::read(&back).unwrap(), b"content");
        std::fs::remove_file(&back).unwrap();
        std::fs::remove_file(&there).unwrap();
    }
}

// Holds UPG-26.
#[test]
fn wrong_arguments() {
    const URL: &str = "http://127.0.0.1:1/exec/s3cret";
    for (arguments, code, message) in [
        (&["exec", "--url", URL, "web"][..], 2, "neither POD nor COMMAND"),
        (&["exec", "--url", URL, "--", "ls"], 2, "neither POD nor COMMAND"),
        (&["exec", "--url", URL, "-c", "main"], 2, "cannot be used with '--container"),
        (&["exec", "--url", URL, "--server", "http://x"], 2, "cannot be used with"),
        (&["exec", "--url", URL, "--namespace", "x"], 2, "cannot be used with"),
        (&["exec", "--url", URL, "--embedded"], 2, "cannot be used with"),
        (&["exec", "--url", "http://127.0.0.1:1"], 2, "has no path"),
        (&["exec", "--url", "http://127.0.0.1:1/"], 2, "has no path"),
        (&["exec", "--url", "http://127.0.0.1:1?exec=s3cret"], 2, "has no path"),
        (&["exec", "--url", "https://127.0.0.1:1/exec/s3cret"], 69, "cannot connect to 127.0.0.1:1"),
        (&["exec", "--url", "http://me:s3cret@127.0.0.1:1/exec/x"], 2, "must carry no user"),
        (&["exec", "--url", "/exec/s3cret"], 2, "must begin with http://"),
        (&["exec", "--url", "http://127.0.0.1:1/exec/s3cret x"], 2, "not percent-encoded"),
        (&["exec", "--url", URL], 69, "cannot connect to 127.0.0.1:1"),
        (&["attach", "--url", URL, "web"], 2, "cannot be used with '[POD]'"),
        (&["attach"], 2, "POD"),
        (&["port-forward", "--url", URL, "web", "80"], 2, "--url has no POD"),
        (&["port-forward", "--url", URL, "--embedded", "80"], 2, "cannot be used with"),
        (&["port-forward", "--url", URL], 2, "POD [LOCAL:]REMOTE"),
        (&["exec", "--url", URL, "--transport", "quic"], 2, "websocket, spdy"),
        (&["exec", "--url", URL, "--subprotocol", "v3"], 2, "say --transport spdy"),
        (
            &["exec", "--url", URL, "--subprotocol", "tunnel"],
            2,
            "not spoken over WebSocket by exec and attach",
        ),
        (&["port-forward", "--url", URL, "--subprotocol", "v5", "80"], 2, "by port-forward"),
        (&["port-forward", "--url", URL, "--subprotocol", "portforward.k8s.io", "80"], 2, "--transport spdy"),
        (&["serve", "--subprotocol", "tunnel"], 2, "it is none of"),
    ] {
        let output = run(arguments.iter().copied());
        assert_fails(&output, code, message);
        assert!(!text(&output.stderr).contains("s3cret"));
    }
}

#[test]
fn the_environments_token_goes_to_no_url() {
    let served = Served::start([]);
    let query = "command=echo&command=out&stdout=true&stderr=true";
    let url = format!("{}/api/v1/namespaces/default/pods/embedded/exec?{query}", served.url);
    let with = |flags: &[&str]| {
        let mut command = program([&["exec", "--url", &url], flags].concat());
        finish(command.env("KUBECTL_CHANNEL_TOKEN", &served.token).spawn().unwrap())
    };
    assert_fails(&with(&[]), 77, "401 Unauthorized");
    assert_eq!(text(&with(&["--token", &served.token]).stdout), "out\n");
}
