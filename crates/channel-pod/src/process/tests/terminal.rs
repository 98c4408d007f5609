use super::*;

#[tokio::test]
async fn output_and_error_are_one_and_end_with_the_command() {
    let process =
        shell(TERMINAL, "echo out; echo err >&2; tty >/dev/null && echo terminal; exit 3").spawn().unwrap();
    assert!(process.stderr.is_none());
    assert_eq!(finish(process).await, ("out\r\nerr\r\nterminal\r\n".into(), String::new(), 3));
}

#[tokio::test]
async fn nothing_is_lost_at_the_end() {
    let process = shell(TERMINAL, "seq 1 20000").spawn().unwrap();
    let (stdout, ..) = finish(process).await;
    assert_eq!(stdout.lines().count(), 20_000);
    assert!(stdout.ends_with("20000\r\n"));
}

#[tokio::test]
async fn term_is_xterm_unless_told_otherwise() {
    let mut spec = shell(TERMINAL, "echo $TERM");
    assert_eq!(finish(spec.spawn().unwrap()).await.0, "xterm\r\n");
    spec.environment.push(("TERM".into(), "vt100".into()));
    assert_eq!(finish(spec.spawn().unwrap()).await.0, "vt100\r\n");
}

#[tokio::test]
async fn resizing_reaches_the_command() {
    let script = "trap 'stty size; echo resized' WINCH; echo ready; while :; do sleep 0.01; done";
    let mut process = shell(TERMINAL, script).spawn().unwrap();
    read_until(&mut process.stdout, "ready\r\n").await;
    process.control.resize(120, 40).unwrap();
    assert_eq!(read_until(&mut process.stdout, "resized\r\n").await, "40 120\r\nresized\r\n");
    process.control.resize(65535, 1).unwrap();
    assert_eq!(read_until(&mut process.stdout, "resized\r\n").await, "1 65535\r\nresized\r\n");
}

#[tokio::test]
async fn zero_sizes_are_ignored() {
    let mut process = spec(TERMINAL, &["sh"]).spawn().unwrap();
    process.control.resize(90, 20).unwrap();
    for (width, height) in [(0, 0), (0, 10), (10, 0)] {
        process.control.resize(width, height).unwrap();
    }
    write(&mut process.stdin, "stty size; exit\n").await;
    read_until(&mut process.stdout, "20 90\r\n").await;
}

#[tokio::test]
async fn resizing_pipes_does_nothing() {
    let process = shell(OUTPUTS, "exit 0").spawn().unwrap();
    process.control.resize(90, 20).unwrap();
}

#[tokio::test]
async fn control_characters_interrupt_and_end_input() {
    let mut process = spec(TERMINAL, &["sh"]).spawn().unwrap();
    write(&mut process.stdin, "echo rea''dy; sleep 30\n").await;
    read_until(&mut process.stdout, "ready\r\n").await;
    sleep(Duration::from_millis(100)).await;
    write(&mut process.stdin, "\x03").await;
    write(&mut process.stdin, "echo st''ill\n").await;
    read_until(&mut process.stdout, "still\r\n").await;
    write(&mut process.stdin, "\x04").await;
    text(process.stdout.take()).await;
    // A shell ends with the code of its last command.
    assert_eq!(process.control.wait().await.unwrap(), 0);
}

#[tokio::test]
async fn dropping_stdin_does_not_end_a_shell() {
    let script = "sleep 0.4; echo alive; read line; echo unreachable";
    for shut_down in [true, false] {
        let mut process = shell(TERMINAL, script).spawn().unwrap();
        if shut_down {
            process.stdin.as_mut().unwrap().shutdown().await.unwrap();
        } else {
            drop(process.stdin.take());
        }
        read_until(&mut process.stdout, "alive\r\n").await;
        let mut more = String::new();
        let reading = process.stdout.as_mut().unwrap().read_to_string(&mut more);
        assert!(timeout(Duration::from_millis(300), reading).await.is_err(), "the shell ended");
    }
}

#[tokio::test]
async fn without_input_or_output() {
    let streams = Streams { stdin: false, stdout: false, stderr: false, tty: true };
    // More than a terminal holds: it must be read although nobody asked for it.
    let process = shell(streams, "seq 1 20000; exit 5").spawn().unwrap();
    assert!(process.stdin.is_none() && process.stdout.is_none());
    assert_eq!(finish(process).await.2, 5);
}

/// Unlike a pipe, a terminal takes it: nothing blocks, and the end comes by the output.
#[tokio::test]
async fn input_that_nobody_reads_is_swallowed() {
    let mut process = spec(TERMINAL, &["true"]).spawn().unwrap();
    text(process.stdout.take()).await;
    assert_eq!(process.control.wait().await.unwrap(), 0);
    let data = [b'x'; 200_000];
    timeout(PATIENCE, process.stdin.as_mut().unwrap().write_all(&data)).await.unwrap().unwrap();
}

#[tokio::test]
async fn several_at_a_time() {
    let processes: Vec<_> = (0..20).map(|n| shell(TERMINAL, &format!("exit {n}")).spawn().unwrap()).collect();
    for (n, process) in (0..).zip(processes) {
        assert_eq!(finish(process).await.2, n);
    }
}
