//! Recordings of SPDY, on a connection of its own and tunnelled.

use std::{fs, path::Path};

use channel_proto::spdy::{ControlFrame, Headers, Item};
use serde_json::Value;

pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) to_server: Direction,
    pub(crate) to_client: Direction,
}

/// What one end sent.
#[derive(Default)]
pub(crate) struct Direction {
    pub(crate) bytes: Vec<u8>,
    /// Each frame in the words of [`told`], where the recording has them decoded.
    pub(crate) frames: Vec<String>,
}

pub(crate) fn all() -> Vec<Recording> {
    let mut recordings = Vec::new();
    for folder in ["spdy", "portforward", "kubectl", "cri"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(folder);
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let jsons = paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "json"));
        recordings.extend(jsons.filter_map(|path| read(&fs::read_to_string(path).unwrap())));
    }
    recordings
}

pub(crate) fn named(name: &str) -> Recording {
    all().into_iter().find(|recording| recording.name == name).unwrap()
}

fn read(text: &str) -> Option<Recording> {
    let json: Value = serde_json::from_str(text).unwrap();
    let list = |key: &str| json[key].as_array().cloned().unwrap_or_default();
    let (messages, decoded) = (list("messages"), list("spdy_frames"));
    let raw = messages.iter().any(|message| message["opcode"] == "spdy");
    if !raw && decoded.is_empty() {
        return None;
    }
    let direction = |dir: &str| {
        let of = |values: &[Value]| -> Vec<Value> {
            values.iter().filter(|value| value["dir"] == dir).cloned().collect()
        };
        let is_spdy =
            |message: &&Value| !matches!(message["opcode"].as_str(), Some("close" | "ping" | "pong"));
        let bytes: Vec<u8> = of(&messages).iter().filter(is_spdy).flat_map(bytes).collect();
        let frames = of(if raw { &messages } else { &decoded });
        if json["name"] == "portforward-tunnel-remote-1MiB" && dir == "s2c" {
            return rebuilt(bytes, &frames);
        }
        Direction { bytes, frames: frames.iter().map(expected).collect() }
    };
    let name = json["name"].as_str().unwrap().to_owned();
    Some(Recording { name, to_server: direction("c2s"), to_client: direction("s2c") })
}

/// Here the headers of DATA frames stand in the parts of messages that were not kept: they are written anew, behind the two
/// SYN_REPLYs, which were.
fn rebuilt(kept: Vec<u8>, frames: &[Value]) -> Direction {
    let mut bytes = kept[..28 + 20].to_vec();
    for frame in &frames[2..] {
        let number = |key: &str| usize::try_from(frame[key].as_u64().unwrap()).unwrap();
        let flags = u8::try_from(number("flags")).unwrap();
        let id = u32::try_from(number("stream")).unwrap();
        bytes.extend(super::data(id, flags, &vec![b'z'; number("len")]));
    }
    assert_eq!(bytes.len(), kept.len());
    Direction { bytes, frames: frames.iter().map(expected).collect() }
}

/// Of a long message only the beginning was kept, and it goes on as that ends.
fn bytes(message: &Value) -> Vec<u8> {
    let text = message["hex"].as_str().or(message["hex_head"].as_str()).unwrap_or_default();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    let mut bytes: Vec<u8> =
        text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    if let (Value::Null, Some(len)) = (&message["hex"], message["len"].as_u64()) {
        bytes.resize(usize::try_from(len).unwrap(), *bytes.last().unwrap());
    }
    bytes
}

/// A frame as the recording tells it.
fn expected(frame: &Value) -> String {
    let number = |key: &str| frame[key].as_u64().unwrap();
    let kind = frame["frame"].as_str().unwrap();
    let headers = frame["headers"].as_str().unwrap_or_default();
    match kind {
        "SYN_STREAM" => format!(
            "SYN_STREAM {} {} {} {} [{headers}]",
            number("stream"),
            number("flags"),
            number("assoc"),
            number("pri")
        ),
        "SYN_REPLY" => format!("SYN_REPLY {} {} [{headers}]", number("stream"), number("flags")),
        "RST_STREAM" => format!("RST_STREAM {} {}", number("stream"), number("status")),
        "PING" => format!("PING {}", number("id")),
        "GOAWAY" => format!("GOAWAY {} {}", number("last_stream"), number("status")),
        "DATA" => {
            // Where only the beginning of the frame was kept, its length counts the header.
            let len = number("len") - if frame["hex_head"].is_null() { 0 } else { 8 };
            format!("DATA {} {} {len}", number("stream"), number("flags"))
        }
        other => panic!("{other}"),
    }
}

/// A frame that was decoded, in the same words; its payload's length for that of a DATA frame, of which a piece tells the last.
pub(crate) fn told(item: &Item, payload: usize, fin: bool) -> String {
    let listed = |headers: &Headers| {
        headers.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    };
    match item {
        Item::Data(piece) => format!("DATA {} {} {payload}", piece.id, u8::from(fin)),
        Item::Control(ControlFrame::SynStream { id, associated, priority, fin, unidirectional, headers }) => {
            let flags = u8::from(*fin) | u8::from(*unidirectional) << 1;
            format!("SYN_STREAM {id} {flags} {associated} {} [{}]", priority.get(), listed(headers))
        }
        Item::Control(ControlFrame::SynReply { id, fin, headers }) => {
            format!("SYN_REPLY {id} {} [{}]", u8::from(*fin), listed(headers))
        }
        Item::Control(ControlFrame::RstStream { id, status }) => format!("RST_STREAM {id} {}", status.code()),
        Item::Control(ControlFrame::Ping { id }) => format!("PING {id}"),
        Item::Control(ControlFrame::GoAway { last, status }) => format!("GOAWAY {last} {}", status.code()),
        other => panic!("{other:?}"),
    }
}
