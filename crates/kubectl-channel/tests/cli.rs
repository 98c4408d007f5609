//! The command as scripts use it: streams, exit codes, messages.

mod support;

use std::{
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{Lines, Served, finish, program, run, run_with_stdin, signal, text};

fn embedded<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&["exec", "--embedded"], rest].concat()
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, message: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
    assert_eq!(text(&output.stdout), "", "stdout is for data");
}

// Holds EXE-2, EXE-10, FRM-9.
#[test]
fn streams_apart_the_end_of_stdin_and_the_exit_code() {
    let script = "read line; cat >/dev/null; echo \"out $line\"; echo err >&2; exit 7";
    let output = run_with_stdin(embedded(&["-i", "--", "sh", "-c", script]), b"hello\nrest");
    assert_eq!(text(&output.stdout), "out hello\n");
    assert_eq!(text(&output.stderr), "err\ncommand terminated with exit code 7\n");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn quiet_says_nothing_of_the_exit_code() {
    let output = run(embedded(&["-q", "--", "sh", "-c", "exit 7"]));
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(7), ""));
}

#[test]
fn verbose_tells_how_it_went_and_nothing_of_what_was_said() {
    let arguments = ["exec", "--embedded", "-vv", "-i", "--", "sh", "-c", "cat", "secret-argument"];
    let output = run_with_stdin(arguments, b"secret-stdin");
    assert_eq!(text(&output.stdout), "secret-stdin");
    let told = text(&output.stderr);
    for event in
        ["asking transport=WebSocket", "upgraded transport=WebSocket", "ended how=exited with code 0"]
    {
        assert!(told.contains(event), "{event:?} in {told}");
    }
    assert!(!told.contains("secret-"), "{told}");
    let mut once = program(["-v", "exec", "--embedded", "--", "true"]);
    assert_eq!(text(&finish(once.spawn().unwrap()).stderr), "");
    let asked = once.env("RUST_LOG", "channel=debug");
    assert!(text(&finish(asked.spawn().unwrap()).stderr).contains("upgraded transport"));
}

// Holds EXE-10.
#[test]
fn a_killed_command() {
    let output = run(embedded(&["--", "sh", "-c", "kill -9 $$"]));
    assert_eq!(output.status.code(), Some(137));
}

// Holds EXE-11.
#[test]
fn a_command_that_is_not_there() {
    let output = run(embedded(&["--", "no-such-command"]));
    assert_fails(&output, 126, "\"no-such-command\": executable file not found in $PATH");
}

// Holds EXE-1, EXE-17.
#[test]
fn much_both_ways_and_to_a_slow_reader() {
    let input: Vec<u8> =
        (0..4_000_000_u32).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut child = program(embedded(&["-i", "--", "cat"])).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let sent = input.clone();
    let writer = thread::spawn(move || std::io::Write::write_all(&mut stdin, &sent).unwrap());
    thread::sleep(Duration::from_millis(300));
    let mut echoed = Vec::new();
    stdout.read_to_end(&mut echoed).unwrap();
    writer.join().unwrap();
    assert!(echoed == input, "{} bytes came of {}", echoed.len(), input.len());
    assert!(finish(child).status.success());
}

#[test]
fn an_open_stdin_holds_nothing_up() {
    let mut child = program(embedded(&["-i", "--", "true"])).stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    assert!(finish(child).status.success());
    drop(stdin);
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let mut child = program(embedded(&["--", "yes"])).spawn().unwrap();
    Lines::of(child.stdout.take().unwrap()).expect("y\ny\n");
    let output = finish(child);
    // As `yes | head -2` itself ends: of SIGPIPE, without a word.
    assert_eq!((output.status.signal(), text(&output.stderr).as_str()), (Some(13), ""));
}

#[test]
fn wrong_arguments() {
    for (arguments, message) in [
        (&["exec"][..], "no POD given"),
        (&["exec", "web"], "goes after `--`"),
        (&["exec", "web", "--"], "no command to run"),
        (&["exec", "web", "ls"], "the command goes after `--`"),
        (&["exec", "--embedded", "ls"], "--embedded has no POD"),
        (&["exec", "--embedded", "--server", "http://x", "--", "ls"], "cannot be used with"),
        (&["exec", "web", "--", "ls"], "kubectl proxy"),
        (&["exec", "node/web", "--server", "http://x", "--", "ls"], "names no pod"),
        (
            &["exec", "web", "--certificate-authority", "/no/ca", "--server", "https://x", "--", "ls"],
            "/no/ca",
        ),
        (&["exec", "web", "--client-key", "k", "--server", "https://x", "--", "ls"], "--client-certificate"),
        (&["exec", "--embedded", "--tls-server-name", "x", "--", "ls"], "cannot be used with"),
        (&["exec", "web", "--server", "nonsense", "--", "ls"], "must begin with http://"),
        (&["exec", "web", "--heartbeat", "0", "--", "ls"], "above 0"),
        (&["exec", "web", "--subprotocol", "v9", "--", "ls"], "v5.channel.k8s.io"),
        (&["attach", "web", "--server", "http://x", "--token", "a b"], "the token"),
        (&["serve", "--listen", "nowhere"], "ADDRESS:PORT"),
        (&["serve", "--token", "a/b"], "letters"),
    ] {
        assert_fails(&run(arguments.iter().copied()), 2, message);
    }
}

#[test]
fn no_server_there() {
    // Nobody listens on port 1.
    let output = run(["exec", "web", "--server", "http://127.0.0.1:1", "--", "ls"]);
    assert_fails(&output, 69, "127.0.0.1:1");
}

#[test]
fn a_server_that_does_not_answer() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let start = Instant::now();
    let output = run(["exec", "web", "--server", &url, "--connect-timeout", "0.2", "--", "ls"]);
    assert_fails(&output, 69, "within 0.2 s");
    assert!(start.elapsed() < Duration::from_secs(10));
}

// Holds UPG-18.
#[test]
fn refusals() {
    let served = Served::start([]);
    let wrong = run(["exec", "--server", &served.url, "--token", "s3cret", "embedded", "--", "ls"]);
    assert_fails(&wrong, 77, "401 Unauthorized");
    assert!(!text(&wrong.stderr).contains("s3cret"));
    let other = run(["exec", "--server", &served.url, "--token", &served.token, "other", "--", "ls"]);
    assert_fails(&other, 77, "pods \"other\" not found");
    let output = run(served.arguments("exec", &["-c", "x", "--", "ls"]));
    assert_fails(&output, 77, "container x is not valid");
}

#[test]
fn server_and_token_from_the_environment_a_file_and_a_path() {
    let served = Served::start([]);
    let file = std::env::temp_dir().join(format!("kubectl-channel-{}.token", std::process::id()));
    std::fs::write(&file, format!("{}\n", served.token)).unwrap();
    let mut by_file =
        program(["exec", "embedded", "--token-file", file.to_str().unwrap(), "--", "echo", "yes"]);
    let mut by_variable = program(["exec", "embedded", "--", "echo", "yes"]);
    let mut by_path = program(["exec", "embedded", "--server", &served.kubectl_server, "--", "echo", "yes"]);
    by_file.env("KUBECTL_CHANNEL_SERVER", &served.url);
    by_variable.env("KUBECTL_CHANNEL_SERVER", &served.url).env("KUBECTL_CHANNEL_TOKEN", &served.token);
    for command in [&mut by_file, &mut by_variable, &mut by_path] {
        let output = finish(command.spawn().unwrap());
        assert_eq!(text(&output.stdout), "yes\n", "{}", text(&output.stderr));
    }
    std::fs::remove_file(file).unwrap();
    let help = program(["exec", "--help"]).env("KUBECTL_CHANNEL_TOKEN", "s3cret").output().unwrap();
    assert!(help.status.success() && !text(&help.stdout).contains("s3cret"));
}

// Holds EXE-14, EXE-15.
#[test]
fn a_server_that_dies_is_no_success() {
    let mut served = Served::start([]);
    // It ends with the server, since that holds the other end of its stdin.
    let arguments = served.arguments("exec", &["-i", "--", "sh", "-c", "echo begun; exec cat"]);
    let mut child = program(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    Lines::of(child.stdout.take().unwrap()).expect("begun\n");
    served.child.kill().unwrap();
    assert_fails(&finish(child), 74, "without a status");
    drop(stdin);
}

// Holds EXE-4.
#[test]
fn before_v5_stdin_cannot_end() {
    let served = Served::start([]);
    let arguments =
        served.arguments("exec", &["-i", "--subprotocol", "v4", "--", "sh", "-c", "cat; sleep 60"]);
    let mut child = program(arguments).spawn().unwrap();
    Lines::of(child.stderr.take().unwrap()).expect("v4.channel.k8s.io cannot end stdin");
    signal(&child, "-TERM");
    assert_eq!(finish(child).status.signal(), Some(15));
    let lossy = ["-i", "--subprotocol", "v4", "--lossy-stdin-end", "--", "cat"];
    assert_fails(&run(served.arguments("exec", &lossy)), 74, "without a status");
}

// Holds EXE-9, EXE-16.
#[test]
fn v1_tells_no_success() {
    let success = run(embedded(&["--subprotocol", "channel.k8s.io", "--", "true"]));
    assert_fails(&success, 74, "channel.k8s.io cannot tell success");
    let failure = run(embedded(&["--subprotocol", "channel.k8s.io", "--", "sh", "-c", "exit 7"]));
    assert_fails(&failure, 126, "exit code 7");
}

#[test]
fn an_older_server_is_talked_to_in_v4() {
    let served = Served::start(["--subprotocol", "v4"]);
    let output = run(served.arguments("exec", &["--", "sh", "-c", "exit 5"]));
    assert_eq!(output.status.code(), Some(5));
}

// Holds ATT-3, ATT-4, ATT-5.
#[test]
fn attach_and_attach_again() {
    let served = Served::start(["-i", "--", "sh", "-c", "while read line; do echo \"got $line\"; done"]);
    for input in ["one", "two"] {
        let output = run_with_stdin(served.arguments("attach", &["-i"]), format!("{input}\n").as_bytes());
        assert_eq!(text(&output.stdout), format!("got {input}\n"), "{}", text(&output.stderr));
        assert!(output.status.success());
    }
}

#[test]
fn attach_to_nothing() {
    let served = Served::start([]);
    assert_fails(&run(served.arguments("attach", &[])), 126, "no main process");
}

#[test]
fn a_terminal_without_one() {
    let output = run(embedded(&["-it", "--", "echo", "plain"]));
    assert_eq!(text(&output.stdout), "plain\n");
    assert!(text(&output.stderr).contains("Unable to use a TTY - input is not a terminal"));
    let quiet = run(embedded(&["-itq", "--", "echo", "plain"]));
    assert_eq!(text(&quiet.stderr), "");
}

#[test]
fn a_signal_ends_it_and_what_it_started() {
    let mut child = program(embedded(&["--", "sh", "-c", "echo $$; exec sleep 60"])).spawn().unwrap();
    let mut stdout = Lines::of(child.stdout.take().unwrap());
    let pid = stdout.expect("\n").trim().to_owned();
    signal(&child, "-INT");
    assert_eq!(finish(child).status.signal(), Some(2));
    assert!(!std::path::Path::new("/proc").join(pid).exists());
}

#[test]
fn serve_ends_with_what_it_started() {
    let mut served = Served::start(["--", "sleep", "60"]);
    let mut child =
        program(served.arguments("exec", &["--", "sh", "-c", "echo $$; exec sleep 60"])).spawn().unwrap();
    let pid = Lines::of(child.stdout.take().unwrap()).expect("\n").trim().to_owned();
    signal(&served.child, "-TERM");
    assert!(support::wait(&mut served.child).success());
    assert!(!std::path::Path::new("/proc").join(pid).exists());
    assert_fails(&finish(child), 74, "without a status");
}
