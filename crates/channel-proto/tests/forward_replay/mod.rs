//! Recorded port-forwards, and both of our ends in the place of the recorded ones.

pub(crate) mod channels;
pub(crate) mod deviations;
pub(crate) mod streams;

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BytesMut};
use channel_proto::{
    CloseReason, Error,
    forward::{ConnectionId, Forward, ForwardEvent},
};
use serde_json::Value;

use crate::{
    recording::{
        Sender,
        cut::Cut,
        frames::{self, Frame},
    },
    spdy_support::recorded,
};

/// What carries a recorded forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Raw,
    Tunnel,
    Channels,
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) carrier: Carrier,
    pub(crate) subprotocol: String,
    pub(crate) query: String,
    pub(crate) messages: Vec<Message>,
}

/// Something that one end wrote.
pub(crate) struct Message {
    pub(crate) by: Sender,
    pub(crate) at: Duration,
    /// Of a raw connection the payload is all there is.
    pub(crate) frame: Frame,
}

/// Every recorded forward that was not refused.
pub(crate) fn all() -> Vec<Case> {
    let mut paths = Vec::new();
    for folder in ["cri", "kubectl", "kubelet", "portforward", "spdy"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(folder);
        paths.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.sort();
    let is_forward = |path: &std::path::PathBuf| path.to_str().unwrap().contains("portforward-");
    paths.retain(is_forward);
    let jsons = paths.into_iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap());
    jsons.filter(|json: &Value| json["response"]["status"] == 101).map(|json| Case::read(&json)).collect()
}

impl Case {
    fn read(json: &Value) -> Self {
        let name = json["name"].as_str().unwrap().to_owned();
        let subprotocol = json["response"]["subprotocol"].as_str().unwrap_or_default().to_owned();
        let query = json["request"]["path_and_query"].as_str().unwrap().to_owned();
        let carrier = match &*subprotocol {
            "SPDY/3.1+portforward.k8s.io" => Carrier::Tunnel,
            _ if json["request"]["method"] == "POST" => Carrier::Raw,
            _ => Carrier::Channels,
        };
        let list = json["messages"].as_array().cloned().unwrap_or_default();
        let mut messages: Vec<_> = list.iter().map(Message::read).collect();
        if carrier != Carrier::Channels
            && let Some(known) = recorded::all().into_iter().find(|recording| recording.name == name)
        {
            // Long messages were not kept whole; there it was worked out how they go on.
            for (by, mut bytes) in
                [(Sender::Client, &known.to_server.bytes[..]), (Sender::Server, &known.to_client.bytes[..])]
            {
                for message in messages.iter_mut().filter(|message| message.by == by && message.is_data()) {
                    message.frame.payload =
                        bytes.split_off(..message.frame.payload.len()).unwrap().to_vec().into();
                }
                assert!(bytes.is_empty(), "{name}");
            }
        }
        Self { name, carrier, subprotocol, query, messages }
    }

    /// The bytes that one end wrote.
    pub(crate) fn stream(&self, by: Sender) -> Vec<u8> {
        let of = self.messages.iter().filter(|message| message.by == by);
        of.flat_map(|message| message.bytes(self.carrier)).collect()
    }

    /// The ports in the query, if it names any: a runtime's token needs none.
    pub(crate) fn ports_asked_for(&self) -> Vec<u16> {
        let query = self.query.split_once('?').map_or("", |(_, query)| query).split('&');
        let values = query.filter_map(|pair| pair.strip_prefix("ports=").or(pair.strip_prefix("port=")));
        values.flat_map(|list| list.split(',')).map(|port| port.parse().unwrap()).collect()
    }

    /// Whether one end closed its socket where ours answers a close frame.
    pub(crate) fn leaves_unanswered(&self, by: Sender) -> bool {
        let other = if by == Sender::Client { Sender::Server } else { Sender::Client };
        self.closed(by).is_none() && self.closed(other).is_some()
    }

    /// Where the first close frame of one end is.
    pub(crate) fn closed(&self, by: Sender) -> Option<usize> {
        self.messages.iter().position(|message| message.by == by && message.frame.opcode == frames::CLOSE)
    }
}

impl Message {
    fn read(json: &Value) -> Self {
        let by = if json["dir"] == "c2s" { Sender::Client } else { Sender::Server };
        let text = json["hex"].as_str().or(json["hex_head"].as_str()).unwrap();
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
        let mut payload: Vec<u8> =
            text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        if let (Value::Null, Some(len)) = (&json["hex"], json["len"].as_u64()) {
            lengthen(&mut payload, usize::try_from(len).unwrap(), json["opcode"] == "text");
        }
        let opcode = json["opcode"].as_str().unwrap();
        let frame = Frame {
            opcode: if opcode == "spdy" { frames::BINARY } else { frames::opcode(opcode) },
            fin: json["fin"].as_bool().unwrap_or(true),
            rsv: u8::try_from(json["rsv"].as_u64().unwrap_or(0)).unwrap(),
            masked: json["masked"].as_bool().unwrap_or(by == Sender::Client),
            payload: payload.into(),
        };
        Self { by, at: Duration::from_millis(json["t_ms"].as_u64().unwrap()), frame }
    }

    pub(crate) fn is_data(&self) -> bool {
        self.frame.opcode < frames::CLOSE
    }

    pub(crate) fn bytes(&self, carrier: Carrier) -> Vec<u8> {
        if carrier == Carrier::Raw { self.frame.payload.to_vec() } else { self.frame.encode() }
    }
}

/// Of a long payload only the beginning was kept, and it goes on as that ends. In base64 it is `z`, so many that they are whole half KiB.
fn lengthen(payload: &mut Vec<u8>, len: usize, base64: bool) {
    payload.resize(len, *payload.last().unwrap());
    if base64 {
        let bytes = (len - 1) / 4 * 3;
        payload.truncate(1);
        payload.extend(STANDARD.encode(vec![b'z'; bytes - bytes % 512]).into_bytes());
        assert_eq!(payload.len(), len);
    }
}

/// What an application of ours was told, by connection: a number that the recording has for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) data: BTreeMap<u32, Vec<u8>>,
    pub(crate) ends: BTreeMap<u32, Vec<String>>,
    /// The code of the close frame with which it ended, if it was one.
    pub(crate) ended: Option<Option<u16>>,
    pub(crate) error: Option<String>,
}

impl Told {
    pub(crate) fn add(&mut self, connection: u32, data: &[u8]) {
        if !data.is_empty() {
            self.data.entry(connection).or_default().extend_from_slice(data);
        }
    }

    pub(crate) fn end(&mut self, connection: u32, how: impl Into<String>) {
        self.ends.entry(connection).or_default().push(how.into());
    }
}

/// One of our ends.
pub(crate) struct End {
    pub(crate) forward: Forward,
    pub(crate) told: Told,
    pub(crate) sent: Vec<u8>,
    /// What the recording calls the connections there are.
    pub(crate) names: BTreeMap<ConnectionId, u32>,
    /// Server: what it calls those that are still to be asked for.
    pub(crate) expected: VecDeque<u32>,
    /// Server: the ports that were asked for.
    pub(crate) connects: Vec<(u32, u16)>,
    begin: Instant,
    pub(crate) now: Instant,
    input: BytesMut,
}

impl End {
    pub(crate) fn new(forward: Forward, begin: Instant) -> Self {
        Self {
            forward,
            told: Told::default(),
            sent: Vec::new(),
            names: BTreeMap::new(),
            expected: VecDeque::new(),
            connects: Vec::new(),
            begin,
            now: begin,
            input: BytesMut::new(),
        }
    }

    pub(crate) fn id(&self, name: u32) -> Option<ConnectionId> {
        self.names.iter().find_map(|(id, known)| (*known == name).then_some(*id))
    }

    pub(crate) fn at(&mut self, at: Duration) {
        self.now = self.begin + at;
    }

    pub(crate) fn hear(&mut self, bytes: &[u8], cut: Cut) {
        for piece in cut.pieces(bytes) {
            self.input.extend_from_slice(piece);
            self.pump();
        }
    }

    pub(crate) fn pump(&mut self) {
        loop {
            if let Err(error) = self.forward.handle_input(self.now, &mut self.input) {
                self.fail(&error);
                return self.collect();
            }
            let Some(event) = self.forward.poll_event() else { break };
            self.note(event);
        }
        self.collect();
    }

    fn fail(&mut self, error: &Error) {
        let told = error.to_string();
        assert_eq!(*self.told.error.get_or_insert_with(|| told.clone()), told, "it sticks");
    }

    /// The stream ends here.
    pub(crate) fn eof(&mut self) {
        if self.told.error.is_none() {
            self.forward.handle_eof();
            while let Some(event) = self.forward.poll_event() {
                self.note(event);
            }
            assert!(self.told.ended.is_some(), "the end is told");
        }
    }

    fn note(&mut self, event: ForwardEvent) {
        assert!(self.told.ended.is_none(), "{event:?} after the last");
        let names = self.names.clone();
        let name = |id: ConnectionId| names[&id];
        match event {
            ForwardEvent::Connect(id, port) => {
                let name = self.expected.pop_front().expect("a connection that was recorded");
                self.names.insert(id, name);
                self.connects.push((name, port));
            }
            ForwardEvent::Data(id, data) => {
                assert!(!data.is_empty());
                self.told.add(name(id), &data);
            }
            ForwardEvent::End(id) => self.told.end(name(id), "end"),
            ForwardEvent::Failed(id, why) => self.told.end(name(id), format!("failed: {why}")),
            ForwardEvent::Reset(id) => self.told.end(name(id), "reset"),
            ForwardEvent::Ended(close) => {
                self.told.ended = Some(close.and_then(|CloseReason { code, .. }| code));
            }
            ForwardEvent::Writable(_) | ForwardEvent::GoingAway => {}
            other => panic!("unexpected {other:?}"),
        }
    }

    pub(crate) fn collect(&mut self) {
        loop {
            let transmit = self.forward.transmit();
            if transmit.is_empty() {
                return;
            }
            let bytes = transmit.copy_to_bytes(transmit.remaining());
            self.sent.extend_from_slice(&bytes);
        }
    }

    /// Writes all of it.
    pub(crate) fn write(&mut self, id: ConnectionId, mut data: &[u8]) {
        while !data.is_empty() {
            let Ok(count) = self.forward.write(id, data) else { return };
            data = &data[count..];
            self.collect();
        }
    }
}
