//! Exec through the embedded pod: a real process, a real socket.

mod common;

use std::{io, time::Duration};

use channel_pod::{Container, Pod};
use channel_tokio::{EndOfStdin, Error, Outcome, Subprotocol, TerminalSize};
use common::{bounded, client_of, exec, pod};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

// Holds EXE-12, EXE-14.
#[tokio::test]
async fn output_is_collected_apart_with_the_exit_code() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = exec(&client, ["sh", "-c", "echo out; echo err >&2; exit 7"]);
        let output = run.output().await.unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.outcome, Outcome::Exited(7));
    })
    .await;
}

// Holds EXE-2.
#[tokio::test]
async fn ending_stdin_lets_the_output_come() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = exec(&client, ["wc", "-c"]).stdin().stdout();
        let mut session = run.start().await.unwrap();
        let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        stdin.write_all(b"hello").await.unwrap();
        stdin.shutdown().await.unwrap();
        let mut count = String::new();
        stdout.read_to_string(&mut count).await.unwrap();
        assert_eq!(count.trim(), "5");
        assert!(session.wait().await.unwrap().success());
    })
    .await;
}

#[tokio::test]
async fn megabytes_go_both_ways_at_once() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = exec(&client, ["cat"]).stdin().stdout();
        let mut session = run.start().await.unwrap();
        let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        let data: Vec<u8> = (0..32 << 20).map(|at: u32| (at / 7).to_le_bytes()[0]).collect();
        let sent = data.clone();
        let writer = tokio::spawn(async move {
            stdin.write_all(&sent).await.unwrap();
            stdin.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        stdout.read_to_end(&mut back).await.unwrap();
        writer.await.unwrap();
        assert!(back == data, "{} of {} bytes came back", back.len(), data.len());
        assert!(session.wait().await.unwrap().success());
    })
    .await;
}

// Holds EXE-10, EXE-11.
#[tokio::test]
async fn killed_and_not_found_say_so() {
    bounded(async {
        let (_pod, client) = pod().await;
        let killed = exec(&client, ["sh", "-c", "kill -9 $$"]).output().await.unwrap();
        assert_eq!(killed.outcome, Outcome::Exited(137));
        let missing = exec(&client, ["/no/such/command"]).output().await.unwrap();
        let Outcome::Failed(status) = missing.outcome else { panic!("{:?}", missing.outcome) };
        assert_eq!((status.reason.as_str(), status.code), ("InternalError", Some(500)));
        assert!(status.message.contains("no such file or directory"), "{}", status.message);
    })
    .await;
}

// Holds EXE-4.
#[tokio::test]
async fn before_v5_ending_stdin_is_an_error_unless_loss_is_asked_for() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = exec(&client, ["cat"]).stdin().stdout().offer([Subprotocol::V4]);
        let mut session = run.start().await.unwrap();
        let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        let error = stdin.shutdown().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("this subprotocol cannot end stdin"), "{error}");

        stdin.write_all(b"still here").await.unwrap();
        let mut echo = [0; 10];
        stdout.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"still here");

        std::future::poll_fn(|cx| stdin.poll_close(cx, EndOfStdin::LossyDisconnect)).await.unwrap();
        assert!(matches!(session.wait().await.unwrap(), Outcome::EndedWithoutStatus(Some(_))));
    })
    .await;
}

// Holds EXE-5, EXE-6.
#[tokio::test]
async fn a_terminal_has_the_size_it_is_given() {
    bounded(async {
        let (_pod, client) = pod().await;
        let size = TerminalSize { width: 120, height: 40 };
        let script = "until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo first; \
                      until [ \"$(stty size)\" = '24 80' ]; do sleep 0.05; done; echo second; exit 5";
        let run = exec(&client, ["sh", "-c", script]).stdin().stdout().tty(Some(size));
        let mut session = run.start().await.unwrap();
        let mut stdout = session.stdout.take().unwrap();
        let mut line = [0; 7];
        stdout.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"first\r\n");
        session.resize(TerminalSize { width: 80, height: 24 }).unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "second\r\n");
        assert_eq!(session.wait().await.unwrap(), Outcome::Exited(5));
    })
    .await;
}

// Holds UPG-18.
#[tokio::test]
async fn a_refusal_brings_what_the_server_said() {
    bounded(async {
        let (pod, client) = pod().await;
        let stranger = channel_tokio::Client::new(
            channel_tokio::Endpoint::new(&pod.url()).unwrap().token("wrong-token"),
        );
        let Err(Error::Refused(refusal)) = exec(&stranger, ["true"]).output().await else { panic!() };
        assert_eq!(refusal.status.as_u16(), 401);
        assert!(!format!("{refusal} {refusal:?}").contains("wrong-token"));

        let run = client.exec("default", "elsewhere").command(["true"]);
        let error = run.output().await.unwrap_err();
        assert_eq!(error.to_string(), "the server refused: 404 Not Found: pods \"elsewhere\" not found");
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_connected() {
    let client = channel_tokio::Client::new(channel_tokio::Endpoint::new("http://127.0.0.1:1").unwrap());
    for (run, why) in [
        (exec(&client, []).stdout(), "no command to run"),
        (exec(&client, ["true"]), "ask for at least one of stdin, stdout and stderr"),
        (exec(&client, ["sh"]).stdout().stderr().tty(None), "a terminal has no stderr"),
    ] {
        let error = run.start().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = exec(&client, ["true"]).output().await.unwrap_err();
    assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:1: "), "{error}");
}

#[tokio::test]
async fn output_read_long_after_the_end_is_all_there() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = exec(&client, ["head", "-c", "100000", "/dev/zero"]).stdout();
        let mut session = run.start().await.unwrap();
        let mut stdout = session.stdout.take().unwrap();
        assert!(session.outcome().await.unwrap().success());
        drop(session);
        sleep(Duration::from_millis(200)).await;
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, vec![0; 100_000]);
    })
    .await;
}

#[tokio::test]
async fn writing_to_a_command_that_ended_is_a_broken_pipe() {
    bounded(async {
        let (_pod, client) = pod().await;
        let mut session = exec(&client, ["true"]).stdin().stdout().start().await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        let error = loop {
            match stdin.write_all(&[0; 4096]).await {
                Ok(()) => sleep(Duration::from_millis(1)).await,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(session.wait().await.unwrap().success());
    })
    .await;
}

// Holds ATT-3, ATT-4, ATT-5.
#[tokio::test]
async fn attach_talks_to_the_main_process_and_leaves_it_running() {
    bounded(async {
        let main =
            Container::new("main").command(["sh", "-c", "while read line; do echo got:$line; done"]).stdin();
        let pod = Pod::builder().container(main).start().await.unwrap();
        let client = client_of(&pod);
        for word in ["one", "two"] {
            let run = client.attach("default", "embedded").stdin().stdout();
            let mut session = run.start().await.unwrap();
            let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
            stdin.write_all(format!("{word}\n").as_bytes()).await.unwrap();
            stdin.shutdown().await.unwrap();
            let mut answer = String::new();
            stdout.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, format!("got:{word}\n"));
            assert_eq!(session.wait().await.unwrap(), Outcome::Exited(0));
        }
    })
    .await;
}

// Holds UPG-6.
#[tokio::test]
async fn every_subprotocol_runs_a_command() {
    bounded(async {
        let (_pod, client) = pod().await;
        for subprotocol in Subprotocol::NAMED.into_iter().chain([Subprotocol::Unnamed]) {
            let run = exec(&client, ["sh", "-c", "read line; echo $line; exit 3"]).stdin().stdout();
            let mut session = run.offer([subprotocol]).start().await.unwrap();
            assert_eq!(session.subprotocol(), subprotocol);
            let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
            stdin.write_all(b"hello\n").await.unwrap();
            let mut all = String::new();
            stdout.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, "hello\n");
            match session.wait().await.unwrap() {
                Outcome::Exited(code) => assert!(subprotocol.has_exit_code() && code == 3),
                Outcome::Failed(status) => {
                    assert!(!subprotocol.has_exit_code());
                    assert!(status.message.ends_with("exit code 3"), "{status}");
                }
                other => panic!("{subprotocol}: {other}"),
            }
        }
    })
    .await;
}
