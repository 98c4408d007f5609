//! Recorded sessions of a real cluster: what was asked, what was answered, and every WebSocket frame in order.
//!
//! What is worked out of a recording here is worked out from whole messages, by plain means, so that it can judge the crate.

#![allow(dead_code)] // Not every test file uses all of it.

pub(crate) mod cut;
pub(crate) mod deviations;
pub(crate) mod frames;
pub(crate) mod node;
pub(crate) mod process;
pub(crate) mod server;

use std::{fs, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use channel_proto::{Encoding, Outcome, PodRequest, StatusForm, Subprotocol};
use frames::Frame;
use node::Server;
use serde_json::{Value, json};

/// The exec and attach sessions over WebSocket in `tests/vectors`.
pub(crate) const COUNT: usize = 299;

const FOLDERS: [&str; 5] = ["exec", "attach", "kubectl", "cri", "kubelet"];

pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path_and_query: String,
    pub(crate) request_lines: Vec<(String, String)>,
    /// Every name offered, real or not.
    pub(crate) offers: Vec<String>,
    pub(crate) status: u16,
    /// The response as it came, its body included.
    pub(crate) response: Vec<u8>,
    pub(crate) response_lines: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// What the server chose; empty if nothing.
    pub(crate) chosen: String,
    pub(crate) events: Vec<Recorded>,
}

/// A frame that somebody sent.
pub(crate) struct Recorded {
    pub(crate) by: Sender,
    pub(crate) at: Duration,
    pub(crate) frame: Frame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// Every recording of an exec or an attach over WebSocket, one at a time.
pub(crate) fn all() -> impl Iterator<Item = Recording> {
    let mut paths: Vec<PathBuf> = FOLDERS.into_iter().flat_map(files).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let ours = !name.starts_with("kubectl-") || name.ends_with("-ws");
        let others = name.contains("portforward") || name.contains("-spdy-");
        (ours && !others).then(|| Recording::read(&path))
    })
}

fn files(folder: &str) -> impl Iterator<Item = PathBuf> {
    let folder = vectors().join(folder);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())
}

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The recording of this name.
pub(crate) fn named(name: &str) -> Recording {
    let folder = name.split('-').next().unwrap();
    Recording::read(&vectors().join(folder).join(format!("{name}.json")))
}

impl Recording {
    fn read(path: &PathBuf) -> Self {
        let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let (request, response) = (&json["request"], &json["response"]);
        let pair = |line: &Value| (text(&line[0]), text(&line[1]));
        let mut recording = Self {
            name: text(&json["name"]),
            method: text(&request["method"]),
            path_and_query: text(&request["path_and_query"]),
            request_lines: list(&request["headers"]).map(pair).collect(),
            offers: list(&request["subprotocols_offered"])
                .map(text)
                .filter(|name| !name.is_empty())
                .collect(),
            status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
            response: Vec::new(),
            response_lines: list(&response["header_lines"]).map(text).collect(),
            body: response["body"].as_str().unwrap_or_default().into(),
            chosen: response["subprotocol"].as_str().unwrap_or_default().into(),
            events: Vec::new(),
        };
        let head = [vec![text(&response["status_line"])], recording.response_lines.clone()].concat();
        recording.response = format!("{}\r\n\r\n", head.join("\r\n")).into_bytes();
        recording.response.extend_from_slice(&recording.body);
        let base64 = recording.subprotocol().encoding() == Encoding::Base64;
        recording.events = list(&json["messages"]).map(|message| Recorded::read(message, base64)).collect();
        recording
    }

    /// The request as it was sent.
    pub(crate) fn request(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path_and_query);
        for (name, value) in &self.request_lines {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        (head + "\r\n").into_bytes()
    }

    /// The value of the request's first line of this name.
    pub(crate) fn request_line(&self, name: &str) -> Option<&str> {
        let mut lines = self.request_lines.iter().filter(|line| line.0.eq_ignore_ascii_case(name));
        lines.next().map(|line| line.1.as_str())
    }

    /// The value of the response's first line of this name.
    pub(crate) fn response_line(&self, name: &str) -> Option<&str> {
        let mut lines = self.response_lines.iter().filter_map(|line| line.split_once(": "));
        lines.find(|line| line.0.eq_ignore_ascii_case(name)).map(|line| line.1)
    }

    pub(crate) fn subprotocol(&self) -> Subprotocol {
        Subprotocol::from_name(&self.chosen).unwrap_or(Subprotocol::Unnamed)
    }

    /// Whose server answered.
    pub(crate) fn server(&self) -> Server {
        Server::of(&self.name)
    }

    /// Container, command and streams, if the request has any stream.
    pub(crate) fn pod(&self) -> Option<PodRequest> {
        match self.server() {
            Server::Api => PodRequest::parse(&self.path_and_query.parse().unwrap()).ok().map(Option::unwrap),
            Server::Kubelet => node::of_kubelet(&self.path_and_query),
            Server::Runtime => Some(node::of_token()),
        }
    }

    /// The frames of one side.
    pub(crate) fn sent_by(&self, sender: Sender) -> impl Iterator<Item = &Frame> {
        self.events.iter().filter(move |event| event.by == sender).map(|event| &event.frame)
    }

    /// What the server sent up to its first close frame, and that frame's payload.
    pub(crate) fn server_frames(&self) -> (Vec<&Frame>, Option<&Bytes>) {
        let frames: Vec<&Frame> = self.sent_by(Sender::Server).collect();
        let close = frames.iter().position(|frame| frame.opcode == frames::CLOSE);
        (frames[..close.unwrap_or(frames.len())].to_vec(), close.map(|at| &frames[at].payload))
    }

    /// All that the server sent on a channel, joined.
    pub(crate) fn output(&self, channel: u8) -> Vec<u8> {
        let messages = self.server_frames().0.into_iter().filter_map(|frame| self.split(frame));
        messages.filter(|message| message.0 == channel).flat_map(|message| message.1).collect()
    }

    /// The channel and the payload of a message; `None` for a control frame, an empty message and one that is not base64.
    pub(crate) fn split(&self, frame: &Frame) -> Option<(u8, Vec<u8>)> {
        if frame.opcode >= frames::CLOSE {
            return None;
        }
        let (&first, rest) = frame.payload.split_first()?;
        match self.subprotocol().encoding() {
            Encoding::Base64 => {
                let symbols: Vec<u8> = rest.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
                Some((first.wrapping_sub(b'0'), STANDARD.decode(symbols).ok()?))
            }
            _ => Some((first, rest.to_vec())),
        }
    }

    /// How the session ended, in the words of [`told`].
    pub(crate) fn outcome(&self) -> Value {
        let status = self.output(3);
        match self.subprotocol().status_form() {
            _ if status.is_empty() => match self.server_frames().1 {
                Some(close) => json!({ "close": u16::from_be_bytes([close[0], close[1]]), "reason": "" }),
                None => json!({ "close": null }),
            },
            StatusForm::Json => of_status(&serde_json::from_slice(&status).unwrap()),
            _ => json!({ "failed": [String::from_utf8(status).unwrap(), "", null] }),
        }
    }
}

/// What a `metav1.Status` comes to.
fn of_status(status: &Value) -> Value {
    let mut causes = list(&status["details"]["causes"]);
    let code = causes.find(|cause| cause["reason"] == "ExitCode").map(|cause| text(&cause["message"]));
    match (status["status"].as_str().unwrap(), status["reason"].as_str(), code) {
        ("Success", _, _) => json!({ "exited": 0 }),
        (_, Some("NonZeroExitCode"), Some(code)) => json!({ "exited": code.parse::<i32>().unwrap() }),
        _ => json!({ "failed": [status["message"], status["reason"], status["code"]] }),
    }
}

/// An outcome in the words of [`Recording::outcome`].
pub(crate) fn told(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Exited(code) => json!({ "exited": code }),
        Outcome::Failed(status) => json!({ "failed": [status.message, status.reason, status.code] }),
        Outcome::EndedWithoutStatus(None) => json!({ "close": null }),
        Outcome::EndedWithoutStatus(Some(close)) => json!({ "close": close.code, "reason": close.reason }),
        other => panic!("unknown outcome {other:?}"),
    }
}

impl Recorded {
    fn read(message: &Value, base64: bool) -> Self {
        let by = if message["dir"] == "c2s" { Sender::Client } else { Sender::Server };
        let payload = match (&message["hex"], &message["len"]) {
            (Value::String(hex), _) => decode_hex(hex),
            (_, len) => {
                let len = usize::try_from(len.as_u64().unwrap()).unwrap();
                lengthen(decode_hex(message["hex_head"].as_str().unwrap()), len, base64)
            }
        };
        let flag = |key: &str, unless_said| message[key].as_bool().unwrap_or(unless_said);
        let frame = Frame {
            opcode: frames::opcode(message["opcode"].as_str().unwrap()),
            fin: flag("fin", true),
            rsv: u8::try_from(message["rsv"].as_u64().unwrap_or(0)).unwrap(),
            masked: flag("masked", by == Sender::Client),
            payload: payload.into(),
        };
        Self { by, at: Duration::from_millis(message["t_ms"].as_u64().unwrap()), frame }
    }
}

/// Of a long payload only the beginning was kept, and it repeats itself: one byte, or in base64 one group. Such a text was padded
/// to the whole number of KiB that was written.
fn lengthen(mut head: Vec<u8>, len: usize, base64: bool) -> Vec<u8> {
    if !base64 {
        let last = *head.last().unwrap();
        head.resize(len, last);
        return head;
    }
    assert_eq!(len % 4, 1, "a channel and whole groups");
    let group: [u8; 4] = head[1..5].try_into().unwrap();
    head.truncate(1);
    head.extend(group.iter().cycle().take(len - 1));
    let padding = (len - 1) / 4 * 3 % 1024;
    assert!(padding <= 2, "whole KiB");
    head[len - padding..].fill(b'=');
    // The bits that the padding leaves over have to be zero.
    STANDARD.decode(&head[1..]).map(|_| head.clone()).unwrap_or_else(|_| {
        head[len - padding - 1] = if padding == 1 { b'E' } else { b'Q' };
        head
    })
}

fn decode_hex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
