//! Recorded exec and attach sessions over SPDY, and what follows from their frames, worked out by plain means.

#![allow(dead_code)] // Not every test file uses all of it.

pub(crate) mod deviations;
pub(crate) mod play;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use bytes::{Buf, Bytes};
use channel_proto::{
    Limits, Outcome, PodRequest, StatusForm, Streams, Subprotocol,
    session::{Session, Side},
    spdy::{ControlFrame, Decoder, Item},
};
use serde_json::{Value, json};

pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) version: Subprotocol,
    pub(crate) streams: Streams,
    pub(crate) events: Vec<Recorded>,
    /// What the client's streams are for, by id.
    pub(crate) types: BTreeMap<u32, String>,
}

/// A frame that somebody sent.
pub(crate) struct Recorded {
    pub(crate) by: Sender,
    pub(crate) at: Duration,
    pub(crate) frame: Frame,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Open(u32, String),
    Reply(u32),
    Reset(u32, u32),
    Ping(u32),
    GoAway(u32, u32),
    Data(u32, Vec<u8>, bool),
}

/// The sessions, in the order of their names, and how many requests for one were refused.
pub(crate) fn all() -> (Vec<Recording>, usize) {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let paths = ["spdy", "cri", "kubectl"].into_iter().flat_map(|folder| {
        let mut paths: Vec<_> =
            fs::read_dir(vectors.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    });
    let is_ours = |name: &str| {
        let over_spdy =
            name.starts_with("spdy-") || name.starts_with("cri-exec-spdy-") || name.ends_with("-spdy");
        over_spdy && !name.contains("portforward")
    };
    let (mut sessions, mut refusals) = (Vec::new(), 0);
    for path in paths.filter(|path| is_ours(path.file_stem().unwrap().to_str().unwrap())) {
        match read(&serde_json::from_slice(&fs::read(path).unwrap()).unwrap()) {
            Some(session) => sessions.push(session),
            None => refusals += 1,
        }
    }
    (sessions, refusals)
}

pub(crate) fn named(name: &str) -> Recording {
    all().0.into_iter().find(|recording| recording.name == name).unwrap()
}

fn read(json: &Value) -> Option<Recording> {
    if json["response"]["status"] != 101 {
        return None;
    }
    let lines = json["response"]["header_lines"].as_array().unwrap();
    let mut versions = lines.iter().filter_map(|line| {
        line.as_str()
            .unwrap()
            .to_ascii_lowercase()
            .strip_prefix("x-stream-protocol-version: ")
            .map(str::to_owned)
    });
    let version = versions.next().unwrap();
    let events: Vec<Recorded> = json["messages"].as_array().unwrap().iter().map(recorded).collect();
    let types: BTreeMap<u32, String> = events
        .iter()
        .filter_map(|event| match &event.frame {
            Frame::Open(id, kind) => Some((*id, kind.clone())),
            _ => None,
        })
        .collect();
    let target = json["request"]["path_and_query"].as_str().unwrap();
    let opened = |kind: &str| types.values().any(|opened| opened == kind);
    let streams = match PodRequest::parse(&target.parse().unwrap()) {
        Ok(Some(pod)) => pod.streams,
        // A container runtime's token says what was asked for, to those who made it.
        _ => {
            Streams { stdin: opened("stdin"), stdout: opened("stdout"), stderr: opened("stderr"), tty: false }
        }
    };
    let known = [Subprotocol::V4, Subprotocol::V3, Subprotocol::V2, Subprotocol::V1];
    Some(Recording {
        name: json["name"].as_str().unwrap().into(),
        version: known.into_iter().find(|known| known.name() == version).unwrap(),
        streams,
        events,
        types,
    })
}

fn recorded(message: &Value) -> Recorded {
    let number = |key: &str| u32::try_from(message[key].as_u64().unwrap()).unwrap();
    let bytes = bytes(message);
    let frame = match message["frame"].as_str().unwrap() {
        "SYN_STREAM" => {
            let headers = message["headers"].as_str().unwrap();
            Frame::Open(number("stream"), headers.strip_prefix("streamtype=").unwrap().into())
        }
        "SYN_REPLY" => Frame::Reply(number("stream")),
        "RST_STREAM" => Frame::Reset(number("stream"), number("status")),
        "PING" => Frame::Ping(number("id")),
        "GOAWAY" => Frame::GoAway(number("last_stream"), number("status")),
        "DATA" => Frame::Data(number("stream"), bytes[8..].to_vec(), number("flags") == 1),
        other => panic!("{other}"),
    };
    Recorded {
        by: if message["dir"] == "c2s" { Sender::Client } else { Sender::Server },
        at: Duration::from_millis(message["t_ms"].as_u64().unwrap()),
        frame,
        bytes,
    }
}

/// Of a long frame only the beginning was kept, and it goes on as that ends.
fn bytes(message: &Value) -> Vec<u8> {
    let text = message["hex"].as_str().or(message["hex_head"].as_str()).unwrap();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    let mut bytes: Vec<u8> =
        text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    if message["hex"].is_null() {
        let len = usize::try_from(message["len"].as_u64().unwrap()).unwrap();
        bytes.resize(len, *bytes.last().unwrap());
    }
    bytes
}

impl Recording {
    pub(crate) fn sent_by(&self, by: Sender) -> impl Iterator<Item = &Recorded> {
        self.events.iter().filter(move |event| event.by == by)
    }

    /// What one side sent, as it was on the wire.
    pub(crate) fn stream(&self, by: Sender) -> Vec<u8> {
        self.sent_by(by).flat_map(|event| event.bytes.iter().copied()).collect()
    }

    pub(crate) fn frames(&self, by: Sender) -> Vec<Frame> {
        self.sent_by(by).map(|event| event.frame.clone()).collect()
    }

    /// What a stream is for; empty if nobody opened it.
    pub(crate) fn kind(&self, id: u32) -> &str {
        self.types.get(&id).map_or("", String::as_str)
    }
}

/// All that was sent on the streams of this type, and whether its end came.
pub(crate) fn sent_on(recording: &Recording, frames: &[Frame], kind: &str) -> (Vec<u8>, bool) {
    let (mut sent, mut ended) = (Vec::new(), false);
    for frame in frames {
        if let Frame::Data(id, payload, fin) = frame
            && recording.kind(*id) == kind
        {
            sent.extend_from_slice(payload);
            ended |= fin;
        }
    }
    (sent, ended)
}

/// How a session ends after these frames of the server's, in the words of [`told`].
pub(crate) fn outcome(recording: &Recording, frames: &[Frame]) -> Value {
    let (status, _) = sent_on(recording, frames, "error");
    let parsed = serde_json::from_slice::<Value>(&status).ok();
    match (recording.version.status_form(), parsed) {
        (StatusForm::Json, Some(status)) => of_status(&status),
        (StatusForm::TextOnFailure, _) if !status.is_empty() => {
            json!({ "failed": [String::from_utf8(status).unwrap(), "", null] })
        }
        _ if frames.iter().any(|frame| matches!(frame, Frame::GoAway(_, 0))) => json!({ "close": 1000 }),
        _ => json!({ "close": null }),
    }
}

fn of_status(status: &Value) -> Value {
    let mut causes = status["details"]["causes"].as_array().into_iter().flatten();
    let code =
        causes.find(|cause| cause["reason"] == "ExitCode").map(|cause| cause["message"].as_str().unwrap());
    match (status["status"].as_str().unwrap(), status["reason"].as_str(), code) {
        ("Success", _, _) => json!({ "exited": 0 }),
        (_, Some("NonZeroExitCode"), Some(code)) => json!({ "exited": code.parse::<i32>().unwrap() }),
        _ => json!({ "failed": [status["message"], status["reason"], status["code"]] }),
    }
}

/// An outcome in the words of [`outcome`].
pub(crate) fn told(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Exited(code) => json!({ "exited": code }),
        Outcome::Failed(status) => json!({ "failed": [status.message, status.reason, status.code] }),
        Outcome::EndedWithoutStatus(close) => json!({ "close": close.as_ref().and_then(|close| close.code) }),
        other => panic!("unknown outcome {other:?}"),
    }
}

/// The frames that one end of ours wrote, each DATA frame whole.
pub(crate) fn decode(decoder: &mut Decoder, written: &[u8]) -> Vec<Frame> {
    let mut input = Bytes::copy_from_slice(written);
    let mut frames = Vec::new();
    while let Some(item) = decoder.decode(&mut input).unwrap() {
        frames.push(match item {
            Item::Control(ControlFrame::SynStream { id, headers, .. }) => {
                let headers: Vec<_> = headers.iter().collect();
                let [("streamtype", kind)] = headers[..] else { panic!("{headers:?}") };
                Frame::Open(id.get(), kind.into())
            }
            Item::Control(ControlFrame::SynReply { id, .. }) => Frame::Reply(id.get()),
            Item::Control(ControlFrame::RstStream { id, status }) => Frame::Reset(id.get(), status.code()),
            Item::Control(ControlFrame::Ping { id }) => Frame::Ping(id),
            Item::Control(ControlFrame::GoAway { last, status }) => Frame::GoAway(last, status.code()),
            Item::Data(piece) => {
                assert!(piece.start && piece.end);
                Frame::Data(piece.id.get(), piece.payload.to_vec(), piece.fin)
            }
            other => panic!("{other:?}"),
        });
    }
    assert!(!decoder.is_inside_frame());
    frames
}

pub(crate) fn decoder() -> Decoder {
    Decoder::new(&Limits::default())
}

/// The frames that a session has to write, all of them.
pub(crate) fn written<S: Side>(session: &mut Session<S>, decoder: &mut Decoder) -> Vec<Frame> {
    let mut bytes = Vec::new();
    while let Some(transmit) = session.transmit().filter(|transmit| !transmit.is_empty()) {
        bytes.extend_from_slice(transmit.chunk());
        transmit.advance(transmit.chunk().len());
    }
    decode(decoder, &bytes)
}
