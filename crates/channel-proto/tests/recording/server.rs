//! The recorded server, played by ours: what it knew, and what its application did.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use channel_proto::{
    Details, Error, Limits, Outcome, Output, ServerEvent, ServerSession, SessionConfig, Status, Strictness,
    Subprotocol,
    request::RequestError,
    upgrade::{Accepted, ContentType, Incoming, ServerUpgrade, refuse, refuse_with, respond},
};
use http::StatusCode;
use serde_json::Value;

use super::{
    Recording, Sender,
    cut::Cut,
    frames::{self, Frame, decode},
    node::Server,
    process::Received,
};

/// v5 first, which a container runtime does not know.
const SUPPORTED: [Subprotocol; 6] = [
    Subprotocol::V5,
    Subprotocol::V4,
    Subprotocol::V1,
    Subprotocol::V4Base64,
    Subprotocol::V1Base64,
    Subprotocol::Unnamed,
];

/// The tokens of the recorded cluster, and whose they are.
const USERS: [(&str, &str); 2] =
    [("lab-admin-token-0123456789", ADMIN), ("lab-nobody-token-0123456789", "lab-nobody")];
const ADMIN: &str = "lab-admin";

/// Its pods, in the namespace `default`, and their containers.
const PODS: [(&str, &[&str]); 2] = [("bb", &["bb"]), ("bb-tty", &["c1", "c2"])];

/// Reads a request that comes in pieces.
pub(crate) fn read_request(request: &[u8], cut: Cut) -> Incoming {
    let mut upgrade = ServerUpgrade::new(&Limits::default());
    let mut input = BytesMut::new();
    let mut found = None;
    for piece in cut.pieces(request) {
        assert!(found.is_none(), "the request ended early");
        input.extend_from_slice(piece);
        found = upgrade.handle_input(&mut input).unwrap();
    }
    assert!(input.is_empty());
    found.unwrap()
}

/// What our server answers in the place of the recorded one.
pub(crate) fn answer(recording: &Recording, incoming: &Incoming) -> Result<Accepted, Bytes> {
    match recording.server() {
        Server::Api => answer_api(recording, incoming),
        Server::Kubelet => answer_kubelet(recording, incoming),
        Server::Runtime => answer_runtime(recording, incoming),
    }
}

/// A kubelet refuses in plain text, in the same order.
fn answer_kubelet(recording: &Recording, incoming: &Incoming) -> Result<Accepted, Bytes> {
    let text = |code: u16, text: String| Err(refuse(code.try_into().unwrap(), ContentType::Text, text));
    // One recording lacks the client certificate, which no head shows.
    if recording.name.ends_with("no-auth") {
        return text(401, "Unauthorized".into());
    }
    let Some(pod) = recording.pod() else { return text(400, RequestError::NoStreams.to_string()) };
    let (known, containers) = PODS[0];
    let container = pod.container.unwrap();
    match pod.pod == known {
        false => text(404, "pod does not exist".into()),
        true if !containers.contains(&container.as_str()) => {
            text(500, format!("container not found ({container:?})"))
        }
        true => incoming.accept(&SUPPORTED).map_err(|response| respond(*response)),
    }
}

/// A container runtime knows its tokens, and no v5.
fn answer_runtime(recording: &Recording, incoming: &Incoming) -> Result<Accepted, Bytes> {
    if recording.name.ends_with("token-bad") {
        return Err(refuse(StatusCode::NOT_FOUND, ContentType::Text, "404 page not found\n"));
    }
    incoming.accept(&SUPPORTED[1..]).map_err(|response| respond(*response))
}

/// As the recorded one: who asks comes first, then what for, then how.
fn answer_api(recording: &Recording, incoming: &Incoming) -> Result<Accepted, Bytes> {
    let user = match incoming.bearer() {
        // One recording authenticates by a certificate, which no head shows.
        Ok(None) if recording.name.ends_with("client-cert") => Some(ADMIN),
        Ok(None) => Some("system:anonymous"),
        Ok(Some(token)) => USERS.iter().find(|user| user.0 == token.secret()).map(|user| user.1),
        Err(_) => None,
    };
    let user = user.ok_or_else(|| refuse_with(&Status::refusal(401, "Unauthorized", "Unauthorized")))?;
    let pod = match incoming.pod_request() {
        Ok(pod) => pod.unwrap(),
        Err(error @ RequestError::NoStreams) => {
            return Err(refuse(StatusCode::BAD_REQUEST, ContentType::Text, error.to_string()));
        }
        Err(error) => panic!("{error}"),
    };
    let refusal = |code, reason: &str, message: String, details| {
        refuse_with(&Status { details, ..Status::refusal(code, reason, message) })
    };
    let name = &pod.pod;
    let details = Some(Details { name: name.clone(), kind: "pods".into(), causes: Vec::new() });
    if user != ADMIN {
        let message = format!(
            "pods {name:?} is forbidden: User {user:?} cannot get resource \"pods/exec\" in API group \"\" \
             in the namespace {:?}",
            pod.namespace
        );
        return Err(refusal(403, "Forbidden", message, details));
    }
    let known = PODS.iter().find(|known| known.0 == name && pod.namespace == "default");
    let (_, containers) =
        known.ok_or_else(|| refusal(404, "NotFound", format!("pods {name:?} not found"), details))?;
    let bad = |message| refusal(400, "BadRequest", message, None);
    match &pod.container {
        Some(container) if !containers.contains(&container.as_str()) => {
            return Err(bad(format!("container {container} is not valid for pod {name}")));
        }
        None if containers.len() > 1 => {
            let choice = containers.join(" ");
            let message =
                format!("a container name must be specified for pod {name}, choose one of: [{choice}]");
            return Err(bad(message));
        }
        _ => {}
    }
    incoming.accept(&SUPPORTED).map_err(|response| respond(*response))
}

/// A session of ours with the recorded client.
pub(crate) struct Served {
    pub(crate) received: Received,
    pub(crate) sent: Vec<Frame>,
    pub(crate) error: Option<Error>,
    /// The code of the client's close frame, as our application was told.
    pub(crate) ended: Option<Option<u16>>,
}

/// Plays the session: the client's frames go in, and the outputs and the status of the recorded process come from our
/// application, in the order of the recording.
pub(crate) fn serve(recording: &Recording, strictness: Strictness, cut: Cut) -> Served {
    let mut config = SessionConfig::server();
    config.strictness = strictness;
    let streams = recording.pod().unwrap().streams;
    let mut run = Run {
        now: Instant::now(),
        session: ServerSession::server(streams, recording.subprotocol(), &config, Instant::now()),
        served: Served { received: Received::default(), sent: Vec::new(), error: None, ended: None },
    };
    for event in &recording.events {
        match event.by {
            Sender::Client => run.hear(&event.frame.encode(), cut),
            Sender::Server => run.act(recording, &event.frame),
        }
        run.collect();
    }
    run.session.handle_eof();
    run.take_events();
    run.served
}

struct Run {
    now: Instant,
    session: ServerSession,
    served: Served,
}

impl Run {
    fn hear(&mut self, frame: &[u8], cut: Cut) {
        let mut input = BytesMut::new();
        for piece in cut.pieces(frame) {
            input.extend_from_slice(piece);
            loop {
                if let Err(error) = self.session.handle_input(self.now, &mut input) {
                    self.served.error = Some(error);
                    return;
                }
                if !self.take_events() {
                    break;
                }
            }
        }
    }

    /// Whether there were any.
    fn take_events(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.session.poll_event() {
            any = true;
            assert!(self.served.ended.is_none(), "an event after the last");
            match event {
                ServerEvent::Stdin(data) => self.served.received.push_stdin(&data),
                ServerEvent::StdinClosed => self.served.received.stdin_closed = true,
                ServerEvent::Resize(size) => self.served.received.sizes.push((size.width, size.height)),
                ServerEvent::Ended(close) => self.served.ended = Some(close.and_then(|close| close.code)),
                other => panic!("unexpected {other:?}"),
            }
        }
        any
    }

    /// Does what made the recorded server send this frame, unless it came by itself.
    fn act(&mut self, recording: &Recording, frame: &Frame) {
        match recording.split(frame) {
            Some((3, status)) if !status.is_empty() => self.session.finish(self.now, &outcome(recording)),
            Some((channel, data)) if !data.is_empty() => {
                let output = if channel == 1 { Output::Stdout } else { Output::Stderr };
                let written = self.session.write_output_bytes(output, &data.into());
                assert!(written.is_ok() || self.session.is_closing(), "{}", recording.name);
            }
            // Before v4 success is said by closing.
            None if frame.opcode == frames::CLOSE && !self.session.is_closing() => {
                self.session.finish(self.now, &Outcome::Exited(0));
            }
            _ => {}
        }
    }

    fn collect(&mut self) {
        let transmit = self.session.transmit().unwrap();
        let sent = transmit.copy_to_bytes(transmit.remaining());
        self.served.sent.extend(decode(&sent));
    }
}

/// How the recorded process ended, as its server was told.
fn outcome(recording: &Recording) -> Outcome {
    let told = recording.outcome();
    if let Some(code) = told["exited"].as_i64() {
        return Outcome::Exited(i32::try_from(code).unwrap());
    }
    let message = told["failed"][0].as_str().unwrap();
    if let Some(error) = message.strip_prefix("Internal error occurred: ") {
        return Outcome::Failed(Box::new(Status::internal_error(error)));
    }
    // The text of the v1 forms names the code in its last word.
    Outcome::Exited(message.rsplit(' ').next().unwrap().parse().unwrap())
}

/// What of an answer to a request means something.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    status: u16,
    /// Subprotocol, accepted key and version.
    lines: [String; 3],
    body: Result<Value, String>,
}

impl Answer {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let line = |name: &str| {
            let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let found = lines.find(|line| line.0.eq_ignore_ascii_case(name));
            found.map_or("", |line| line.1).trim().to_owned()
        };
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            lines: ["Protocol", "Accept", "Version"].map(|end| line(&format!("Sec-WebSocket-{end}"))),
            body: serde_json::from_str(body).map_err(|_| body.to_owned()),
        }
    }
}
