use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn refusal(spec: &ProcessSpec) -> String {
    spec.spawn().unwrap_err().to_string()
}

const PREFIX: &str = "error executing command in container: failed to exec in container: exec failed: ";

#[tokio::test]
async fn output_and_exit_code() {
    let process = shell(OUTPUTS, "echo out; echo err >&2; exit 7").spawn().unwrap();
    assert_eq!(finish(process).await, ("out\n".into(), "err\n".into(), 7));
}

#[tokio::test]
async fn a_signal_is_128_and_its_number() {
    let process = shell(OUTPUTS, "kill -9 $$").spawn().unwrap();
    assert_eq!(finish(process).await.2, 137);
    let process = shell(OUTPUTS, "kill -TERM $$").spawn().unwrap();
    assert_eq!(finish(process).await.2, 143);
}

#[tokio::test]
async fn wait_may_be_asked_again() {
    let mut process = shell(OUTPUTS, "exit 3").spawn().unwrap();
    assert_eq!(process.control.wait().await.unwrap(), 3);
    assert_eq!(process.control.wait().await.unwrap(), 3);
}

#[tokio::test]
async fn dropping_stdin_is_end_of_input_and_output_still_comes() {
    let mut process = spec(ALL, &["wc", "-c"]).spawn().unwrap();
    write(&mut process.stdin, "hello").await;
    assert_eq!(finish(process).await, ("5\n".into(), String::new(), 0));
}

#[tokio::test]
async fn shutting_stdin_down_is_end_of_input() {
    let mut process = spec(ALL, &["cat"]).spawn().unwrap();
    write(&mut process.stdin, "hello").await;
    process.stdin.as_mut().unwrap().shutdown().await.unwrap();
    let late = process.stdin.as_mut().unwrap().write_all(b"late").await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(text(process.stdout.take()).await, "hello");
}

#[tokio::test]
async fn more_input_than_a_pipe_holds() {
    let mut process = spec(ALL, &["cat"]).spawn().unwrap();
    let (mut stdin, mut stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let data = vec![b'x'; 3_000_000];
    let mut echoed = Vec::new();
    let writing = async {
        stdin.write_all(&data).await.unwrap();
        drop(stdin);
    };
    timeout(PATIENCE, async { tokio::join!(writing, stdout.read_to_end(&mut echoed)).1.unwrap() })
        .await
        .unwrap();
    assert!(echoed == data);
    assert_eq!(process.control.wait().await.unwrap(), 0);
}

#[tokio::test]
async fn input_that_nobody_reads_is_a_broken_pipe() {
    let mut process = spec(ALL, &["true"]).spawn().unwrap();
    assert_eq!(process.control.wait().await.unwrap(), 0);
    let error = process.stdin.as_mut().unwrap().write_all(b"unread").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn streams_not_asked_for_are_absent_and_harmless() {
    let streams = Streams { stdin: false, stdout: true, stderr: false, tty: false };
    let process = shell(streams, "head -c 1000000 /dev/zero >&2; cat; echo done").spawn().unwrap();
    assert!(process.stdin.is_none() && process.stderr.is_none());
    assert_eq!(finish(process).await, ("done\n".into(), String::new(), 0));
}

#[tokio::test]
async fn a_background_child_delays_the_end_of_output() {
    let mut process = shell(OUTPUTS, "(sleep 0.5; echo late) & echo now; exit 2").spawn().unwrap();
    let start = Instant::now();
    assert_eq!(process.control.wait().await.unwrap(), 2);
    assert_eq!(text(process.stdout.take()).await, "now\nlate\n");
    assert!(start.elapsed() >= Duration::from_millis(450));
}

#[tokio::test]
async fn environment_and_directory() {
    let directory = std::env::temp_dir().canonicalize().unwrap();
    let mut spec = shell(OUTPUTS, "pwd; echo \"$GREETING\"");
    spec.environment.push(("GREETING".into(), "hi there".into()));
    spec.directory = Some(directory.clone());
    let (stdout, ..) = finish(spec.spawn().unwrap()).await;
    assert_eq!(stdout, format!("{}\nhi there\n", directory.display()));
}

#[tokio::test]
async fn a_path_of_its_own() {
    let mut spec = spec(OUTPUTS, &["sh", "-c", "echo found"]);
    spec.environment.push(("PATH".into(), "/no/such:bin".into()));
    assert!(refusal(&spec).ends_with(r#"exec: "sh": executable file not found in $PATH"#));
    spec.environment.push(("PATH".into(), "/no/such:/bin".into()));
    assert_eq!(finish(spec.spawn().unwrap()).await.0, "found\n");
}

#[tokio::test]
async fn a_relative_program_is_looked_for_where_it_runs() {
    let mut spec = spec(OUTPUTS, &["./sh", "-c", "echo $0"]);
    spec.directory = Some("/bin".into());
    assert_eq!(finish(spec.spawn().unwrap()).await.0, "./sh\n");
}

#[tokio::test]
async fn refusals_read_as_a_real_node_words_them() {
    let unable = format!("{PREFIX}unable to start container process: ");
    let cases = [
        (&[][..], format!("{PREFIX}args must not be empty")),
        (&[""], format!(r#"{unable}exec: "": executable file not found in $PATH"#)),
        (&["no-such"], format!(r#"{unable}exec: "no-such": executable file not found in $PATH"#)),
        (
            &["/no/such/command", "x"],
            format!(r#"{unable}exec: "/no/such/command": stat /no/such/command: no such file or directory"#),
        ),
        (
            &["/etc/passwd/x"],
            format!(r#"{unable}exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory"#),
        ),
        (&["/etc"], format!(r#"{unable}exec: "/etc": is a directory"#)),
        (&["/etc/passwd"], format!(r#"{unable}exec: "/etc/passwd": permission denied"#)),
        (&["/bin/echo", "a\0b"], format!(r#"{unable}exec: "/bin/echo": nul byte found in provided data"#)),
    ];
    for (command, expected) in cases {
        for streams in [OUTPUTS, TERMINAL] {
            assert_eq!(refusal(&spec(streams, command)), expected);
        }
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there() {
    let mut spec = spec(OUTPUTS, &["true"]);
    spec.directory = Some("/no/such".into());
    assert!(refusal(&spec).ends_with(r#"chdir to cwd ("/no/such") failed: no such file or directory"#));
    spec.directory = Some("/etc/passwd".into());
    assert!(refusal(&spec).ends_with(r#"chdir to cwd ("/etc/passwd") failed: not a directory"#));
}

#[tokio::test]
async fn a_script_whose_interpreter_is_not_there() {
    let script = std::env::temp_dir().join(format!("channel-pod-{}", std::process::id()));
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let name = script.to_str().unwrap();
    let refused = refusal(&spec(OUTPUTS, &[name]));
    std::fs::remove_file(&script).unwrap();
    assert!(refused.ends_with(&format!("exec: {name:?}: no such file or directory")), "{refused}");
}
