//! Exec through the embedded pod: a real process, a real socket.

use channel_proto::Outcome;
use channel_suite::behaviour;

use crate::support::{
    flavour::Flavour,
    pod::{exec, pod},
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
