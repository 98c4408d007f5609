//! Exec and attach through the embedded pod: a real process, a real socket.

use std::{io, time::Duration};

use channel_driver::{Client, EndOfStdin, Endpoint, Error};
use channel_pod::{Container, Pod};
use channel_proto::{Outcome, Subprotocol, TerminalSize};
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    entry::{Entry, IN_OUT, OUTPUTS, Run},
    flavour::Flavour,
    pod::{exec, pod, start},
    streams::{pattern, read_all},
    tasks::{sleep, spawn},
};

// Holds EXE-12, EXE-14.
#[behaviour]
async fn output_is_collected_apart_with_the_exit_code<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let run = exec::<F, _>(&client, ["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let output = run.output().await.unwrap();
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!(output.outcome, Outcome::Exited(7));
}

// Holds EXE-12, EXE-14.
#[behaviour(each entry)]
async fn outputs_come_apart_with_the_exit_code<F: Flavour, E: Entry>() {
    let pod = start(Pod::builder()).await;
    let run = Run::exec(["sh", "-c", "echo out; echo err >&2; exit 7"], OUTPUTS);
    let mut session = E::start::<F>(&pod, run).await;
    let (mut out, mut err) = (String::new(), String::new());
    session.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    session.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(session.wait().await.unwrap(), Outcome::Exited(7));
}

// Holds EXE-2.
#[behaviour(each entry)]
async fn ending_stdin_lets_the_output_come<F: Flavour, E: Entry>() {
    let pod = start(Pod::builder()).await;
    let mut session = E::start::<F>(&pod, Run::exec(["wc", "-c"], IN_OUT)).await;
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    stdin.write_all(b"hello").await.unwrap();
    stdin.close().await.unwrap();
    let mut count = String::new();
    stdout.read_to_string(&mut count).await.unwrap();
    assert_eq!(count.trim(), "5");
    assert!(session.wait().await.unwrap().success());
}

#[behaviour(each entry)]
async fn megabytes_go_both_ways_at_once<F: Flavour, E: Entry>() {
    let pod = start(Pod::builder()).await;
    let mut session = E::start::<F>(&pod, Run::exec(["cat"], IN_OUT)).await;
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    let data = pattern(0, 32 << 20);
    let sent = data.clone();
    let writer = spawn::<F, _>(async move {
        stdin.write_all(&sent).await.unwrap();
        stdin.close().await.unwrap();
    });
    let back = read_all(&mut stdout).await.unwrap();
    writer.await;
    assert!(back == data, "{} of {} bytes came back", back.len(), data.len());
    assert!(session.wait().await.unwrap().success());
}

// Holds EXE-10, EXE-11.
#[behaviour(each entry)]
async fn killed_and_not_found_say_so<F: Flavour, E: Entry>() {
    let pod = start(Pod::builder()).await;
    let killed = E::start::<F>(&pod, Run::exec(["sh", "-c", "kill -9 $$"], OUTPUTS)).await;
    assert_eq!(killed.wait().await.unwrap(), Outcome::Exited(137));
    let missing = E::start::<F>(&pod, Run::exec(["/no/such/command"], OUTPUTS)).await;
    let missing = missing.wait().await.unwrap();
    let Outcome::Failed(status) = missing else { panic!("{missing:?}") };
    assert_eq!((status.reason.as_str(), status.code), ("InternalError", Some(500)));
    assert!(status.message.contains("no such file or directory"), "{}", status.message);
}

// Holds EXE-4.
#[behaviour]
async fn before_v5_ending_stdin_is_an_error_unless_loss_is_asked_for<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let run = exec::<F, _>(&client, ["cat"]).stdin().stdout().offer([Subprotocol::V4]);
    let mut session = run.start().await.unwrap();
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    let error = stdin.close().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("this subprotocol cannot end stdin"), "{error}");

    stdin.write_all(b"still here").await.unwrap();
    let mut echo = [0; 10];
    stdout.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"still here");

    std::future::poll_fn(|cx| stdin.poll_close(cx, EndOfStdin::LossyDisconnect)).await.unwrap();
    assert!(matches!(session.wait().await.unwrap(), Outcome::EndedWithoutStatus(Some(_))));
}

// Holds EXE-5, EXE-6.
#[behaviour(each entry)]
async fn a_terminal_has_the_size_it_is_given<F: Flavour, E: Entry>() {
    let pod = start(Pod::builder()).await;
    let script = "until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo first; \
                  until [ \"$(stty size)\" = '24 80' ]; do sleep 0.05; done; echo second; exit 5";
    let mut run = Run::exec(["sh", "-c", script], IN_OUT);
    run.streams.tty = true;
    run.size = Some(TerminalSize { width: 120, height: 40 });
    let mut session = E::start::<F>(&pod, run).await;
    let mut stdout = session.stdout.take().unwrap();
    let mut line = [0; 7];
    stdout.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"first\r\n");
    session.resize(TerminalSize { width: 80, height: 24 });
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "second\r\n");
    assert_eq!(session.wait().await.unwrap(), Outcome::Exited(5));
}

// Holds UPG-18.
#[behaviour]
async fn a_refusal_brings_what_the_server_said<F: Flavour>() {
    let (pod, client) = pod::<F>().await;
    let stranger: Client<F::Runtime> = Client::new(Endpoint::new(&pod.url()).unwrap().token("wrong-token"));
    let Err(Error::Refused(refusal)) = exec::<F, _>(&stranger, ["true"]).output().await else { panic!() };
    assert_eq!(refusal.status.as_u16(), 401);
    assert!(!format!("{refusal} {refusal:?}").contains("wrong-token"));

    let run = client.exec("default", "elsewhere").command(["true"]);
    let error = run.output().await.unwrap_err();
    assert_eq!(error.to_string(), "the server refused: 404 Not Found: pods \"elsewhere\" not found");
}

#[behaviour]
async fn what_makes_no_sense_is_refused_before_anything_is_connected<F: Flavour>() {
    let client: Client<F::Runtime> = Client::new(Endpoint::new("http://127.0.0.1:1").unwrap());
    for (run, why) in [
        (exec::<F, _>(&client, []).stdout(), "no command to run"),
        (exec::<F, _>(&client, ["true"]), "ask for at least one of stdin, stdout and stderr"),
        (exec::<F, _>(&client, ["sh"]).stdout().stderr().tty(None), "a terminal has no stderr"),
    ] {
        let error = run.start().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = exec::<F, _>(&client, ["true"]).output().await.unwrap_err();
    assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:1: "), "{error}");
}

#[behaviour]
async fn a_host_is_found_by_its_name<F: Flavour>() {
    let pod = start(Pod::builder()).await;
    let url = format!("http://localhost:{}", pod.address().port());
    let client: Client<F::Runtime> = Client::new(Endpoint::new(&url).unwrap().token(pod.token()));
    assert!(exec::<F, _>(&client, ["true"]).output().await.unwrap().outcome.success());

    let nowhere: Client<F::Runtime> = Client::new(Endpoint::new("http://no-such-host.invalid").unwrap());
    let error = exec::<F, _>(&nowhere, ["true"]).output().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}

#[behaviour]
async fn output_read_long_after_the_end_is_all_there<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let run = exec::<F, _>(&client, ["head", "-c", "100000", "/dev/zero"]).stdout();
    let mut session = run.start().await.unwrap();
    let mut stdout = session.stdout.take().unwrap();
    assert!(session.outcome().await.unwrap().success());
    drop(session);
    sleep::<F>(Duration::from_millis(200)).await;
    let all = read_all(&mut stdout).await.unwrap();
    assert_eq!(all, vec![0; 100_000]);
}

#[behaviour]
async fn writing_to_a_command_that_ended_is_a_broken_pipe<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let mut session = exec::<F, _>(&client, ["true"]).stdin().stdout().start().await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    let error = loop {
        match stdin.write_all(&[0; 4096]).await {
            Ok(()) => sleep::<F>(Duration::from_millis(1)).await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(session.wait().await.unwrap().success());
}

// Holds ATT-3, ATT-4, ATT-5.
#[behaviour(each entry)]
async fn attach_talks_to_the_main_process_and_leaves_it_running<F: Flavour, E: Entry>() {
    let main =
        Container::new("main").command(["sh", "-c", "while read line; do echo got:$line; done"]).stdin();
    let pod = start(Pod::builder().container(main)).await;
    for word in ["one", "two"] {
        let mut session = E::start::<F>(&pod, Run::attach(IN_OUT)).await;
        let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        stdin.write_all(format!("{word}\n").as_bytes()).await.unwrap();
        stdin.close().await.unwrap();
        let mut answer = String::new();
        stdout.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, format!("got:{word}\n"));
        assert_eq!(session.wait().await.unwrap(), Outcome::Exited(0));
    }
}

// Holds UPG-6, UPG-22.
#[behaviour(each entry)]
async fn every_subprotocol_runs_a_command<F: Flavour, E: Entry>() {
    let pod = start(Pod::builder()).await;
    for &subprotocol in E::SUBPROTOCOLS {
        let run = Run::exec(["sh", "-c", "read line; echo $line; exit 3"], IN_OUT);
        let mut session = E::start::<F>(&pod, Run { subprotocol: Some(subprotocol), ..run }).await;
        assert_eq!(session.subprotocol, subprotocol);
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
}
