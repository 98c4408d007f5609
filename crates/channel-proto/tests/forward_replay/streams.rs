//! Forwards over SPDY, raw and tunnelled. A connection is called by the number of its data stream.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use channel_proto::{
    Limits, Role, SessionConfig,
    forward::Forward,
    spdy::{ControlFrame, Decoder, Headers, Item},
};

use super::{Carrier, Case, End, Told};
use crate::recording::{
    Sender,
    cut::Cut,
    frames::{self, Frame},
};

/// What a recorded message holds.
pub(crate) enum Step {
    Spdy(Item),
    Control(Frame),
}

/// What one end sent, by stream; 0 is the connection, and what carries it.
pub(crate) type Sent = BTreeMap<u32, Vec<String>>;

/// A connection as its client asked for it.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) error: u32,
    pub(crate) data: u32,
    pub(crate) port: u16,
}

/// The connections of a recording, in the order in which their second streams came.
pub(crate) fn pairs(case: &Case) -> Vec<Pair> {
    let mut lone: Vec<(u32, Headers)> = Vec::new();
    let mut pairs = Vec::new();
    for (_, _, step) in steps(case) {
        let Step::Spdy(Item::Control(ControlFrame::SynStream { id, headers, .. })) = step else { continue };
        let fits = |other: &(u32, Headers)| {
            let same = |name| other.1.get(name) == headers.get(name);
            let kinds = [other.1.get("streamtype"), headers.get("streamtype")];
            same("requestid") && same("port") && kinds == [Some("error"), Some("data")]
        };
        match lone.iter().position(fits) {
            Some(at) => pairs.push(Pair {
                error: lone.remove(at).0,
                data: id.get(),
                port: headers.get("port").unwrap().parse().unwrap(),
            }),
            None => lone.push((id.get(), headers)),
        }
    }
    pairs
}

/// What was recorded, in order; SPDY frames where they end.
fn steps(case: &Case) -> Vec<(Sender, Duration, Step)> {
    let mut decoders = [Decoder::new(&Limits::default()), Decoder::new(&Limits::default())];
    let mut steps = Vec::new();
    for message in &case.messages {
        if !message.is_data() {
            steps.push((message.by, message.at, Step::Control(message.frame.clone())));
            continue;
        }
        let decoder = &mut decoders[usize::from(message.by == Sender::Server)];
        let mut bytes = message.frame.payload.clone();
        // One recording has bytes that are no SPDY.
        while let Ok(Some(item)) = decoder.decode(&mut bytes) {
            steps.push((message.by, message.at, Step::Spdy(item)));
        }
    }
    steps
}

/// What one end sent in the recording.
pub(crate) fn sent_by(case: &Case, by: Sender) -> Sent {
    let mut sent = Sent::new();
    for (_, _, step) in steps(case).into_iter().filter(|step| step.0 == by) {
        note(&mut sent, &step);
    }
    in_order(sent)
}

/// What carries the connection goes beside its frames: of both together the order means nothing.
fn in_order(mut sent: Sent) -> Sent {
    sent.entry(0).or_default().sort();
    sent.retain(|_, words| !words.is_empty());
    sent
}

/// What one of our ends sent.
pub(crate) fn sent(bytes: &[u8], carrier: Carrier) -> Sent {
    let mut sent = Sent::new();
    let mut spdy = bytes.to_vec();
    if carrier == Carrier::Tunnel {
        let frames = frames::decode(bytes);
        let is_data = |frame: &&Frame| frame.opcode < frames::CLOSE;
        spdy = frames.iter().filter(is_data).flat_map(|frame| frame.payload.to_vec()).collect();
        frames
            .iter()
            .filter(|frame| !is_data(frame))
            .for_each(|frame| note(&mut sent, &Step::Control(frame.clone())));
    }
    let (mut decoder, mut spdy) = (Decoder::new(&Limits::default()), Bytes::from(spdy));
    while let Some(item) = decoder.decode(&mut spdy).unwrap() {
        note(&mut sent, &Step::Spdy(item));
    }
    assert!(!decoder.is_inside_frame());
    in_order(sent)
}

/// A step in words, every field of a frame among them. DATA on one stream is joined; headers are sorted, since Go writes a map in no order.
fn note(sent: &mut Sent, step: &Step) {
    let (stream, words) = match step {
        Step::Control(frame) if frame.opcode == frames::CLOSE => (0, format!("close {}", frame.close().0)),
        Step::Control(frame) => (0, format!("opcode {} {:?}", frame.opcode, frame.payload)),
        Step::Spdy(Item::Data(piece)) => {
            let (stream, fin) = (piece.id.get(), if piece.fin { " fin" } else { "" });
            let words = sent.entry(stream).or_default();
            let text = piece.payload.escape_ascii().to_string();
            match words.last_mut() {
                Some(last) if last.starts_with("data") && !last.ends_with(" fin") => {
                    last.push_str(&text);
                    last.push_str(fin);
                }
                _ if text.is_empty() && fin.is_empty() => {}
                _ => words.push(format!("data {text}{fin}")),
            }
            return;
        }
        Step::Spdy(Item::Control(ControlFrame::SynStream {
            id,
            associated,
            priority,
            fin,
            unidirectional,
            headers,
        })) => {
            let rest = format!("to {associated}, priority {}, {fin} {unidirectional}", priority.get());
            (id.get(), format!("open {:?} {rest}", sorted(headers)))
        }
        Step::Spdy(Item::Control(ControlFrame::SynReply { id, fin, headers })) => {
            (id.get(), format!("reply {:?} {fin}", sorted(headers)))
        }
        Step::Spdy(Item::Control(ControlFrame::RstStream { id, status })) => {
            (id.get(), format!("reset {}", status.code()))
        }
        Step::Spdy(Item::Control(ControlFrame::Ping { id })) => (0, format!("ping {id}")),
        Step::Spdy(Item::Control(ControlFrame::GoAway { last, status })) => {
            (0, format!("goaway {last} {}", status.code()))
        }
        Step::Spdy(other) => panic!("{other:?}"),
    };
    sent.entry(stream).or_default().push(words);
}

fn sorted(headers: &Headers) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = headers.iter().collect();
    headers.sort_unstable();
    headers
}

/// What the frames of one end tell the other, worked out by plain means.
pub(crate) fn told_by(case: &Case, by: Sender) -> Told {
    let mut told = Told::default();
    let pairs = pairs(case);
    let sent = sent_by(case, by);
    for pair in &pairs {
        let (mut ended, mut reset, mut data) = (false, false, String::new());
        for words in sent.get(&pair.data).into_iter().flatten() {
            reset |= words.starts_with("reset");
            let Some(words) = words.strip_prefix("data ") else { continue };
            ended |= words.ends_with(" fin") || words == "fin";
            data.push_str(words.strip_suffix(" fin").unwrap_or(words));
        }
        told.add(pair.data, data.as_bytes());
        let error = sent.get(&pair.error).into_iter().flatten();
        let error: String = error.filter_map(|words| words.strip_prefix("data ")).collect();
        match (by, error.strip_suffix(" fin")) {
            (Sender::Server, Some(why)) if !why.is_empty() => {
                told.end(pair.data, format!("failed: {}", unescape(why)));
            }
            (Sender::Server, None) => assert!(!ended || reset, "{}: an end without a verdict", case.name),
            _ => {
                if ended {
                    told.end(pair.data, "end");
                }
                if reset {
                    told.end(pair.data, "reset");
                }
            }
        }
    }
    for data in told.data.values_mut() {
        *data = unescape(std::str::from_utf8(data).unwrap()).into_bytes();
    }
    told.ended = Some(case.closed(by).map(|at| case.messages[at].frame.close().0));
    told
}

fn unescape(text: &str) -> String {
    let text = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t");
    text.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\")
}

fn end(case: &Case, role: Role) -> End {
    let (config, begin) = (SessionConfig::client([9; 32]), Instant::now());
    let forward = match case.carrier {
        Carrier::Raw => Forward::over_spdy(role, &config, begin),
        _ => Forward::over_tunnel(role, &config, begin),
    };
    End::new(forward, begin)
}

/// Our client in the place of the recorded one.
pub(crate) fn play_client(case: &Case, cut: Cut) -> (Told, Sent) {
    let mut client = end(case, Role::Client);
    let mut pairs: VecDeque<Pair> = pairs(case).into();
    let mut steps = VecDeque::from(steps(case));
    for message in &case.messages {
        client.at(message.at);
        if message.by == Sender::Server {
            client.hear(&message.bytes(case.carrier), cut);
        }
        // The steps of this message are those up to the next one's.
        while steps.front().is_some_and(|step| (step.0, step.1) == (message.by, message.at)) {
            let (_, _, step) = steps.pop_front().unwrap();
            if message.by == Sender::Client {
                act(&mut client, &mut pairs, step);
            }
        }
        client.pump();
    }
    client.eof();
    (client.told, sent(&client.sent, case.carrier))
}

/// Does what made the recorded client send this.
fn act(client: &mut End, pairs: &mut VecDeque<Pair>, step: Step) {
    match step {
        Step::Spdy(Item::Control(ControlFrame::SynStream { id, .. })) => {
            if let Some(at) = pairs.iter().position(|pair| pair.error == id.get()) {
                let pair = pairs.remove(at).unwrap();
                let id = client.forward.connect(pair.port).unwrap();
                client.names.insert(id, pair.data);
            }
        }
        Step::Spdy(Item::Data(piece)) => {
            let Some(id) = client.id(piece.id.get()) else { return };
            client.write(id, &piece.payload);
            if piece.fin {
                client.forward.finish(id).unwrap();
            }
        }
        Step::Spdy(Item::Control(ControlFrame::RstStream { id, .. })) => {
            let Some(id) = client.id(id.get()) else { return };
            client.forward.forget(id);
            client.names.remove(&id);
        }
        Step::Spdy(Item::Control(ControlFrame::Ping { .. })) => {
            if let Some(due) = client.forward.poll_timeout() {
                let _ = client.forward.handle_timeout(due);
            }
        }
        Step::Spdy(Item::Control(ControlFrame::GoAway { .. })) => client.forward.abort(),
        Step::Control(frame) if frame.opcode == frames::CLOSE => client.forward.abort(),
        Step::Spdy(_) | Step::Control(_) => {}
    }
}

/// Our server in the place of the recorded one, with what listened on its ports.
pub(crate) fn play_server(case: &Case, cut: Cut) -> (Told, Sent, Vec<(u32, u16)>) {
    let mut server = end(case, Role::Server);
    let pairs = pairs(case);
    server.expected = pairs.iter().map(|pair| pair.data).collect();
    let said = told_by(case, Sender::Server);
    let mut echoed: BTreeMap<u32, usize> = BTreeMap::new();
    let mut steps = VecDeque::from(steps(case));
    for message in &case.messages {
        server.at(message.at);
        if message.by == Sender::Client {
            server.hear(&message.bytes(case.carrier), cut);
        }
        while steps.front().is_some_and(|step| (step.0, step.1) == (message.by, message.at)) {
            let (by, _, step) = steps.pop_front().unwrap();
            let Step::Spdy(Item::Data(piece)) = step else { continue };
            let name = piece.id.get();
            let Some(id) = server.id(name).filter(|_| by == Sender::Server) else { continue };
            let port = server.connects.iter().find(|connect| connect.0 == name).unwrap().1;
            match port {
                8081 => {
                    let from = echoed.entry(name).or_default();
                    let received = server.told.data.get(&name).cloned().unwrap_or_default();
                    let back = received[*from..].len().min(piece.payload.len());
                    let back = &received[*from..][..back];
                    *from += back.len();
                    server.write(id, back);
                }
                _ => server.write(id, &piece.payload),
            }
            if piece.fin {
                let ends = said.ends.get(&name).cloned().unwrap_or_default();
                match ends.iter().find_map(|end| end.strip_prefix("failed: ")) {
                    Some(why) => server.forward.fail_connection(id, why),
                    None => drop(server.forward.finish(id)),
                }
            }
        }
        server.pump();
    }
    server.eof();
    (server.told, sent(&server.sent, case.carrier), server.connects)
}

/// What our client is told by the beginning of what the recorded server sent.
pub(crate) fn prefix_to_client(case: &Case, bytes: &[u8]) -> Told {
    let mut client = end(case, Role::Client);
    for pair in pairs(case) {
        let id = client.forward.connect(pair.port).unwrap();
        client.names.insert(id, pair.data);
    }
    client.hear(bytes, Cut::Whole);
    client.eof();
    client.told
}

/// What our server is told by the beginning of what the recorded client sent.
pub(crate) fn prefix_to_server(case: &Case, bytes: &[u8]) -> Told {
    let mut server = end(case, Role::Server);
    server.expected = pairs(case).iter().map(|pair| pair.data).collect();
    server.hear(bytes, Cut::Whole);
    server.eof();
    server.told
}
