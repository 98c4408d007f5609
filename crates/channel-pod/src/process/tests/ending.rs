use std::thread;

use super::*;

const AT_ONCE: Duration = Duration::from_millis(1500);
const GRACE: Duration = Duration::from_millis(1900);

#[tokio::test]
async fn dropping_hangs_up() {
    for streams in [ALL, TERMINAL] {
        let mut process = shell(streams, "echo $$; sleep 1000; echo unreachable").spawn().unwrap();
        let pid = read_pid(&mut process.stdout).await;
        assert!(exists(pid));
        drop(process);
        assert!(gone(pid).await < AT_ONCE);
    }
}

#[tokio::test]
async fn dropping_hangs_up_children_too() {
    for streams in [ALL, TERMINAL] {
        let mut process = shell(streams, "sleep 1000 & echo $!; wait").spawn().unwrap();
        let child = read_pid(&mut process.stdout).await;
        drop(process);
        gone(child).await;
    }
}

#[tokio::test]
async fn the_outputs_alone_do_not_keep_it() {
    let mut process = shell(TERMINAL, "echo $$; sleep 1000").spawn().unwrap();
    let pid = read_pid(&mut process.stdout).await;
    let Process { stdin, stdout, control, .. } = process;
    drop(control);
    gone(pid).await;
    drop((stdin, stdout));
}

#[tokio::test]
async fn hanging_up_may_be_handled_within_the_grace() {
    let file = std::env::temp_dir().join(format!("channel-pod-hup-{}", std::process::id()));
    // Its outputs are closed by then; a shell that says "Hangup" would end by SIGPIPE.
    let script = format!(
        "exec 2> /dev/null; trap 'echo saved > {}; exit' HUP; echo $$; while :; do sleep 0.05; done",
        file.display()
    );
    let mut process = shell(ALL, &script).spawn().unwrap();
    let pid = read_pid(&mut process.stdout).await;
    drop(process);
    gone(pid).await;
    let saved = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(saved, "saved\n");
}

#[tokio::test]
async fn who_ignores_it_is_killed_after_the_grace() {
    for streams in [ALL, TERMINAL] {
        let mut process =
            shell(streams, "trap '' HUP; echo $$; while :; do sleep 1000; done").spawn().unwrap();
        let pid = read_pid(&mut process.stdout).await;
        drop(process);
        assert!(gone(pid).await > GRACE);
    }
}

#[tokio::test]
async fn who_is_stopped_is_woken_to_end() {
    let mut process = shell(ALL, "echo $$; kill -STOP $$; sleep 1000").spawn().unwrap();
    let pid = read_pid(&mut process.stdout).await;
    sleep(Duration::from_millis(100)).await;
    drop(process);
    assert!(gone(pid).await < AT_ONCE);
}

#[tokio::test]
async fn jobs_of_an_interactive_shell_go_with_it() {
    let mut process = spec(TERMINAL, &["sh", "-i"]).spawn().unwrap();
    // Job control gives it a group of its own; nohup, so that only SIGKILL ends it.
    write(&mut process.stdin, "nohup sleep 1000 > /dev/null 2>&1 &\necho j''ob $! run''ning\n").await;
    let seen = read_until(&mut process.stdout, " running\r\n").await;
    let (seen, _) = seen.split_once(" running\r\n").unwrap();
    let (_, job) = seen.rsplit_once("job ").unwrap();
    let job = job.parse().unwrap();
    assert!(exists(job));
    drop(process);
    gone(job).await;
}

#[tokio::test]
async fn what_a_command_left_behind_goes_with_the_session() {
    let script = "nohup sleep 1000 > /dev/null 2>&1 & echo $!";
    let mut process = shell(OUTPUTS, script).spawn().unwrap();
    let child = read_pid(&mut process.stdout).await;
    assert_eq!(process.control.wait().await.unwrap(), 0);
    assert!(exists(child));
    drop(process);
    gone(child).await;
}

#[tokio::test]
async fn no_zombie_stays_of_who_ended_and_was_not_waited_for() {
    let mut process = shell(OUTPUTS, "echo $$").spawn().unwrap();
    let pid = read_pid(&mut process.stdout).await;
    text(process.stdout.take()).await;
    drop(process);
    gone(pid).await;
}

/// Nobody is left to wait for the grace, so the end is at once.
#[test]
fn the_end_of_the_runtime_kills() {
    for streams in [ALL, TERMINAL] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let mut process =
                shell(streams, "trap '' HUP; echo $$; while :; do sleep 1000; done").spawn().unwrap();
            sender.send(read_pid(&mut process.stdout).await).unwrap();
            sleep(PATIENCE).await;
            drop(process);
        });
        let pid = receiver.recv().unwrap();
        drop(runtime);
        // Waited for or not: a zombie has no command line.
        let running = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
        let deadline = std::time::Instant::now() + AT_ONCE;
        while running() {
            assert!(std::time::Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
    }
}
