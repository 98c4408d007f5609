//! The server by kubeconfig, and the pod by what has it, as kubectl takes them.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod support;

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Output,
    thread,
};

use support::{Lines, Served, finish, program, run, signal, text, wait};

fn served(arguments: &[&str]) -> Served {
    let more = ["--name", "web-0", "--namespace", "prod", "--deployment", "web"];
    Served::with_tls(more.into_iter().chain(arguments.iter().copied()))
}

fn kubeconfig(served: &Served) -> &str {
    served.facts["kubeconfig"].as_str().unwrap()
}

/// Echoes `yes` in the pod of this name, with these arguments.
fn ask(arguments: &[&str], name: &str) -> Output {
    let all = ["exec"].into_iter().chain(arguments.iter().copied());
    run(all.chain([name, "--", "echo", "yes"]))
}

fn assert_yes(output: &Output) {
    assert_eq!(text(&output.stdout), "yes\n", "{}", text(&output.stderr));
}

fn assert_no(output: &Output, code: i32, words: &[&str]) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word} in {errors}");
    }
}

/// The kubeconfig of a served pod, with another user.
fn with_user(served: &Served, directory: &Path, user: &serde_json::Value) -> String {
    let mut config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(kubeconfig(served)).unwrap()).unwrap();
    config["users"][0]["user"] = user.clone();
    let file = directory.join("kubeconfig");
    fs::write(&file, config.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn by_flag_and_by_environment() {
    let served = served(&[]);
    let file = kubeconfig(&served);
    // Its namespace counts, unless another is said.
    assert_yes(&ask(&["--kubeconfig", file], "web-0"));
    assert_no(&ask(&["--kubeconfig", file, "-n", "default"], "web-0"), 77, &["not found"]);
    let mut command = program(["exec", "web-0", "--", "echo", "yes"]);
    command.env("KUBECONFIG", env::join_paths(["/nonexistent", file]).unwrap());
    assert_yes(&finish(command.spawn().unwrap()));

    assert_no(&ask(&["--kubeconfig", "/nonexistent"], "web-0"), 2, &["/nonexistent"]);
    assert_no(&ask(&["--kubeconfig", file, "--context", "gone"], "web-0"), 2, &[file, "\"gone\""]);
    assert_no(&ask(&["--kubeconfig", file, "--user", "gone"], "web-0"), 2, &[file, "\"gone\""]);
    assert_no(&ask(&["--kubeconfig", file, "--token", "wrong"], "web-0"), 77, &["401"]);
    assert_no(&ask(&["--kubeconfig", file, "--as-group", "g"], "web-0"), 2, &["no user"]);
    assert_yes(&ask(&["--kubeconfig", file, "--as", "jane", "--as-group", "g"], "web-0"));
    assert_no(&ask(&[], "web-0"), 2, &["no server given"]);
}

#[test]
fn a_plugin_and_a_token_file() {
    let served = served(&[]);
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    let user = serde_json::json!({ "tokenFile": "token" });
    let file = with_user(&served, directory.path(), &user);
    assert_no(&ask(&["--kubeconfig", &file], "web-0"), 1, &["\"web-0\"", "token"]);
    fs::write(&token, &served.token).unwrap();
    assert_yes(&ask(&["--kubeconfig", &file], "web-0"));

    let answer = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": { "token": served.token },
    });
    let answer_file = directory.path().join("answer");
    fs::write(&answer_file, answer.to_string()).unwrap();
    let exec = |command: &str| {
        serde_json::json!({ "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": command, "args": [answer_file],
        }})
    };
    let file = with_user(&served, directory.path(), &exec("cat"));
    assert_yes(&ask(&["--kubeconfig", &file], "web-0"));
    let file = with_user(&served, directory.path(), &exec("false"));
    assert_no(&ask(&["--kubeconfig", &file], "web-0"), 1, &["\"web-0\"", "\"false\"", "exit status: 1"]);
}

#[test]
fn a_pod_by_what_has_it() {
    let served = served(&["--service", "front=80:http", "--container-port", "http=8080"]);
    let access = ["--kubeconfig", kubeconfig(&served)];
    for name in ["pod/web-0", "deployment/web", "deploy/web", "deployments.apps/web", "svc/front"] {
        assert_yes(&ask(&access, name));
    }
    assert_no(&ask(&access, "deploy/gone"), 77, &["deployments.apps \"gone\" not found"]);
    assert_no(&ask(&access, "svc/web"), 77, &["services \"web\" not found"]);
    assert_no(&ask(&access, "job/web"), 77, &["could not find"]);
    assert_no(&ask(&access, "node/web"), 2, &["node/web"]);
}

#[test]
fn ports_through_a_service() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(b"hello").unwrap();
        }
    });
    let (named, numbered) = (format!("http={port}"), format!("direct=81:{port}"));
    let served = served(&["--service", "front=80:http", "--container-port", &named, "--service", &numbered]);
    for (name, remote) in [
        ("svc/front", ":80"),
        ("svc/direct", ":81"),
        ("svc/front", ":port"),
        ("deploy/web", ":http"),
        ("web-0", ":http"),
    ] {
        let arguments = ["port-forward", "--kubeconfig", kubeconfig(&served), name, remote];
        let mut child = program(arguments).spawn().unwrap();
        let mut lines = Lines::of(child.stdout.take().unwrap());
        lines.expect("Forwarding from 127.0.0.1:");
        let local: u16 = lines.expect(" -> ").trim_end_matches(" -> ").parse().unwrap();
        lines.expect(&port.to_string());
        let mut stream = TcpStream::connect(("127.0.0.1", local)).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello", "{name} {remote}");
        drop(stream);
        signal(&child, "-TERM");
        wait(&mut child);
    }
    let wrong = run(["port-forward", "--kubeconfig", kubeconfig(&served), "svc/front", ":82"]);
    assert_no(&wrong, 77, &["front", "82"]);
}
