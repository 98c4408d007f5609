//! port-forward to a pod that does not run yet, on an API server made of a few answers.

#![allow(clippy::unwrap_used)] // What fails fails the test.

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{run, text};

/// What is answered when a connection is asked for: that it was is what is looked for.
const REACHED: &str = "it was asked for";

/// A server, by its URL, whose pods go through these phases, one each time that somebody asks; the last stays.
struct Api {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Api {
    fn start(phases: &'static [Option<&'static str>]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let path = path(&stream);
                let is_of_pods = path.contains("/pods") && !path.contains("/portforward");
                let turn = if is_of_pods { counted.fetch_add(1, Ordering::SeqCst) } else { 0 };
                respond(stream, &path, phases[turn.min(phases.len() - 1)]);
            }
        });
        Self { url, asked }
    }

    fn forward(&self, rest: &[&str]) -> Output {
        let server = ["port-forward", "--server", &self.url, "--transport", "websocket"];
        run([&server[..], rest].concat())
    }
}

fn path(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let request = lines.next().unwrap();
    lines.find(String::is_empty).unwrap();
    request.split(' ').nth(1).unwrap().to_owned()
}

fn respond(mut stream: TcpStream, path: &str, phase: Option<&str>) {
    let ports = json!([{ "ports": [{ "name": "http", "containerPort": 80 }] }]);
    let pod = |phase: &str| json!({ "metadata": { "name": "web-0" }, "spec": { "containers": ports }, "status": { "phase": phase } });
    let (status, body) = if path.contains("/pods/web-0/portforward") {
        ("403 Forbidden", json!({ "kind": "Status", "status": "Failure", "message": REACHED, "code": 403 }))
    } else if path.contains("/deployments/web") {
        ("200 OK", json!({ "spec": { "selector": { "matchLabels": { "app": "web" } } } }))
    } else if path.contains("/pods?labelSelector=app%3Dweb") {
        ("200 OK", json!({ "items": phase.map(pod).into_iter().collect::<Vec<Value>>() }))
    } else {
        ("200 OK", phase.map(pod).unwrap())
    };
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    let _ = write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}");
}

#[track_caller]
fn assert_says(output: &Output, words: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} in {said}");
    }
}

#[test]
fn of_a_workload_it_is_waited_for() {
    let api = Api::start(&[None, Some("Pending"), Some("Running")]);
    assert_says(&api.forward(&["deploy/web", ":80"]), &[REACHED]);
    assert_eq!(api.asked.load(Ordering::SeqCst), 3);
}

#[test]
fn no_longer_than_it_was_said() {
    for (phases, why) in [
        (&[Some("Pending")][..], "the pod web-0 is not running, but Pending, after 1.5 s"),
        (&[Some("Failed")], "the pod web-0 is not running, but Failed, after 1.5 s"),
        (&[None], "deployment/web has no pods"),
    ] {
        let api = Api::start(phases);
        let start = Instant::now();
        let output = api.forward(&["deploy/web", ":80", "--pod-running-timeout", "1s500ms"]);
        assert_says(&output, &[why]);
        assert!(start.elapsed() >= Duration::from_millis(1500), "{:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[test]
fn a_pod_by_name_is_waited_for_where_it_is_read_unless_it_has_ended() {
    let named = Api::start(&[Some("Pending"), Some("Running")]);
    assert_says(&named.forward(&["web-0", ":http"]), &[REACHED]);
    assert_eq!(named.asked.load(Ordering::SeqCst), 2);
    let ended = Api::start(&[Some("Succeeded")]);
    assert_says(&ended.forward(&["web-0", ":http"]), &["the pod web-0 is not running, but Succeeded"]);
    assert_eq!(ended.asked.load(Ordering::SeqCst), 1);
    // By its number nothing is asked of a pod: the server says what is wrong with it.
    let number = Api::start(&[Some("Pending")]);
    assert_says(&number.forward(&["web-0", ":80"]), &[REACHED]);
    assert_eq!(number.asked.load(Ordering::SeqCst), 0);
}
