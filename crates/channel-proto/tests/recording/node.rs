//! What a kubelet or a container runtime was asked, whose URLs are not those of the API.

use channel_proto::{
    Streams,
    request::{Action, PodRequest},
};
use percent_encoding::percent_decode_str;

/// What every recorded token stands for: the runtime was told so, and its URL does not show it.
const BEHIND_A_TOKEN: [&str; 3] = ["sh", "-c", "echo hi; echo err >&2; exit 7"];

/// Whose server was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Api,
    Kubelet,
    Runtime,
}

impl Server {
    /// The server that a recording of this name was made with.
    pub(crate) fn of(recording: &str) -> Self {
        match recording.split('-').next() {
            Some("kubelet") => Self::Kubelet,
            Some("cri") => Self::Runtime,
            _ => Self::Api,
        }
    }
}

/// What `/exec/{namespace}/{pod}/{container}?command=..&input=1&output=1&error=1&tty=1` asks for; `None` if for no stream.
pub(crate) fn of_kubelet(target: &str) -> Option<PodRequest> {
    let (path, query) = target.split_once('?').unwrap();
    let path: Vec<&str> = path.split('/').collect();
    let ["", "exec", namespace, pod, container] = path[..] else { panic!("{target}") };
    let query: Vec<(&str, &str)> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    let is_on = |name| query.contains(&(name, "1"));
    let streams =
        Streams { stdin: is_on("input"), stdout: is_on("output"), stderr: is_on("error"), tty: is_on("tty") };
    let decode =
        |value: &str| percent_decode_str(&value.replace('+', " ")).decode_utf8().unwrap().into_owned();
    let command = query.iter().filter(|pair| pair.0 == "command").map(|pair| decode(pair.1)).collect();
    streams.any().then(|| PodRequest {
        namespace: namespace.into(),
        pod: pod.into(),
        container: Some(container.into()),
        action: Action::Exec { command },
        streams,
    })
}

/// What `/exec/{token}` stands for, whatever its query says: both outputs of a command.
pub(crate) fn of_token() -> PodRequest {
    PodRequest {
        namespace: "default".into(),
        pod: "bb".into(),
        container: Some("bb".into()),
        action: Action::Exec { command: BEHIND_A_TOKEN.map(str::to_owned).into() },
        streams: Streams { stdout: true, stderr: true, ..Streams::default() },
    }
}
