use super::*;
use crate::process::MainProcess;

fn start(streams: Streams, script: &str) -> MainProcess {
    MainProcess::start(&shell(streams, script)).unwrap()
}

const ECHO: &str = "while read line; do echo got:$line; echo err:$line >&2; done; exit 4";

#[tokio::test]
async fn everyone_gets_all_output_and_may_write() {
    let main = start(ALL, ECHO);
    let (mut one, mut two) = (main.attach(ALL), main.attach(ALL));
    write(&mut one.stdin, "a\n").await;
    for session in [&mut one, &mut two] {
        assert_eq!(read_until(&mut session.stdout, "got:a\n").await, "got:a\n");
        assert_eq!(read_until(&mut session.stderr, "err:a\n").await, "err:a\n");
    }
    write(&mut two.stdin, "b\n").await;
    for session in [&mut one, &mut two] {
        assert_eq!(read_until(&mut session.stdout, "got:b\n").await, "got:b\n");
    }
}

#[tokio::test]
async fn output_is_from_now_on() {
    let main = start(ALL, ECHO);
    let mut early = main.attach(ALL);
    write(&mut early.stdin, "before\n").await;
    read_until(&mut early.stdout, "got:before\n").await;
    let mut late = main.attach(ALL);
    write(&mut late.stdin, "after\n").await;
    assert_eq!(read_until(&mut late.stdout, "\n").await, "got:after\n");
}

#[tokio::test]
async fn output_that_nobody_attaches_to_does_not_stop_the_process() {
    let main = start(OUTPUTS, "head -c 5000000 /dev/zero; exit 6");
    assert_eq!(timeout(PATIENCE, main.attach(Streams::default()).control.wait()).await.unwrap().unwrap(), 6);
    assert_eq!(main.exit_code(), Some(6));
}

#[tokio::test]
async fn the_end_of_one_session_s_input_is_not_the_process_s() {
    let main = start(ALL, ECHO);
    let mut one = main.attach(ALL);
    one.stdin.as_mut().unwrap().shutdown().await.unwrap();
    drop(one);
    let mut two = main.attach(ALL);
    write(&mut two.stdin, "x\n").await;
    read_until(&mut two.stdout, "got:x\n").await;
}

#[tokio::test]
async fn its_exit_ends_every_session() {
    let main = start(ALL, "read line; echo bye; exit 9");
    let (one, two) = (main.attach(OUTPUTS), main.attach(OUTPUTS));
    assert_eq!(main.exit_code(), None);
    write(&mut main.attach(ALL).stdin, "\n").await;
    assert_eq!(finish(one).await, ("bye\n".into(), String::new(), 9));
    assert_eq!(finish(two).await, ("bye\n".into(), String::new(), 9));
    assert_eq!(finish(main.attach(OUTPUTS)).await, (String::new(), String::new(), 9));
}

#[tokio::test]
async fn streams_are_the_container_s() {
    let main = start(OUTPUTS, "sleep 1000");
    let session = main.attach(Streams { tty: true, ..ALL });
    assert!(session.stdin.is_none() && session.stdout.is_some() && session.stderr.is_some());
    session.control.resize(10, 10).unwrap();
    let session = main.attach(Streams::default());
    assert!(session.stdout.is_none() && session.stderr.is_none());

    let main = start(TERMINAL, "stty size; read line; stty size");
    let session = main.attach(ALL);
    assert!(session.stdin.is_some() && session.stdout.is_some() && session.stderr.is_none());
}

#[tokio::test]
async fn a_terminal_is_resized_by_who_is_attached() {
    let main = start(TERMINAL, "read line; stty size");
    let mut session = main.attach(TERMINAL);
    session.control.resize(111, 44).unwrap();
    write(&mut session.stdin, "\n").await;
    let (stdout, _, code) = finish(session).await;
    assert!(stdout.ends_with("44 111\r\n"), "{stdout:?}");
    assert_eq!(code, 0);
}

#[tokio::test]
async fn the_end_of_the_pod_ends_process_and_sessions() {
    let main = start(ALL, "echo $$; read line; echo $$; sleep 1000");
    let mut session = main.attach(ALL);
    write(&mut session.stdin, "\n").await;
    let pid = read_pid(&mut session.stdout).await;
    drop(main);
    gone(pid).await;
    text(session.stdout.take()).await;
    assert!(session.control.wait().await.is_err());
}

#[tokio::test]
async fn a_slow_session_is_told_and_harms_nobody() {
    const KEPT: usize = 64 * 1024;
    // In steps, so that a session which reads all the time keeps up with a ring as small as this.
    let script = "read line; for i in $(seq 1 100); do head -c 4096 /dev/zero; read line; done; exit 8";
    let main = MainProcess::start_keeping(KEPT, &shell(ALL, script)).unwrap();
    let (mut slow, mut quick) = (main.attach(ALL), main.attach(ALL));
    write(&mut quick.stdin, "\n").await;
    let mut chunk = [0; 4096];
    for _ in 0..100 {
        quick.stdout.as_mut().unwrap().read_exact(&mut chunk).await.unwrap();
        write(&mut quick.stdin, "\n").await;
    }
    assert_eq!(finish(quick).await, (String::new(), String::new(), 8));

    let error = slow.stdout.as_mut().unwrap().read(&mut chunk).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "fell 409600 bytes behind the output of the container, more than the 65536 that are kept"
    );
    // It stays so: what comes later must not look as if nothing was missing.
    assert!(slow.stdout.as_mut().unwrap().read(&mut chunk).await.is_err());
}

#[tokio::test]
async fn a_session_may_be_behind_by_what_is_kept() {
    const KEPT: usize = 10_007;
    let script = "read line; for i in $(seq 1 40); do seq -s, 1 2000 | head -c 8000; read line; done";
    let main = MainProcess::start_keeping(KEPT, &shell(ALL, script)).unwrap();
    let mut session = main.attach(ALL);
    let expected: Vec<u8> = (1..=2000).map(|n| n.to_string()).collect::<Vec<_>>().join(",").into_bytes();
    for _ in 0..40 {
        write(&mut session.stdin, "\n").await;
        let mut seen = Vec::new();
        let work = async {
            while seen.len() < 8000 {
                session.stdout.as_mut().unwrap().read_buf(&mut seen).await.unwrap();
            }
        };
        timeout(PATIENCE, work).await.unwrap();
        assert!(seen == expected[..8000]);
    }
}

#[tokio::test]
async fn many_sessions_may_fill_the_input_at_once() {
    let main = start(ALL, "sleep 0.3; head -c 1000000 | wc -c");
    let session = main.attach(OUTPUTS);
    let writers: Vec<_> = (0..10)
        .map(|_| {
            let mut stdin = main.attach(ALL).stdin;
            tokio::spawn(async move { write(&mut stdin, &"x".repeat(100_000)).await })
        })
        .collect();
    for writer in writers {
        timeout(PATIENCE, writer).await.unwrap().unwrap();
    }
    assert_eq!(finish(session).await.0, "1000000\n");
}

#[tokio::test]
async fn who_leaves_while_the_input_is_full_holds_up_nobody() {
    let main = start(ALL, "sleep 0.5; wc -c");
    let mut leaver = main.attach(ALL);
    let data = vec![b'x'; 1_000_000];
    let writing = leaver.stdin.as_mut().unwrap().write_all(&data);
    assert!(timeout(Duration::from_millis(200), writing).await.is_err());
    let mut stayer = main.attach(ALL);
    let stayer = tokio::spawn(async move { write(&mut stayer.stdin, &"y".repeat(100_000)).await });
    sleep(Duration::from_millis(50)).await;
    drop(leaver);
    timeout(PATIENCE, stayer).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let error = MainProcess::start(&spec(OUTPUTS, &["/no/such"])).unwrap_err();
    assert!(error.to_string().ends_with("stat /no/such: no such file or directory"));
}
