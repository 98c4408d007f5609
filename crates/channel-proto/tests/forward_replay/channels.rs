//! Forwards over channels. A connection is called by its place among the ports.

use std::{collections::BTreeMap, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use channel_proto::{Role, SessionConfig, Subprotocol, forward::Forward};

use super::{Case, End, Message, Told};
use crate::recording::{
    Sender,
    cut::Cut,
    frames::{self, Frame},
};

/// What one end sent: opcodes and payloads.
pub(crate) type Sent = Vec<(u8, Bytes)>;

/// The channel and the payload of a message, if it is one.
fn split(case: &Case, message: &Message) -> Option<(usize, Vec<u8>)> {
    if !message.is_data() {
        return None;
    }
    let (&first, rest) = message.frame.payload.split_first()?;
    match &*case.subprotocol {
        "v4.base64.channel.k8s.io" => Some((usize::from(first - b'0'), STANDARD.decode(rest).ok()?)),
        _ => Some((usize::from(first), rest.to_vec())),
    }
}

/// The ports, as the first messages name them.
pub(crate) fn ports(case: &Case) -> Vec<u16> {
    let mut ports = Vec::new();
    for message in case.messages.iter().filter(|message| message.by == Sender::Server) {
        match split(case, message) {
            Some((channel, payload)) if channel == 2 * ports.len() => {
                ports.push(u16::from_le_bytes(payload.try_into().unwrap()));
            }
            _ => {}
        }
    }
    ports
}

fn end(case: &Case, role: Role) -> End {
    let (config, begin) = (SessionConfig::client([9; 32]), Instant::now());
    let subprotocol = match &*case.subprotocol {
        "v4.channel.k8s.io" => Subprotocol::V4,
        "v4.base64.channel.k8s.io" => Subprotocol::V4Base64,
        _ => Subprotocol::Unnamed,
    };
    let mut end =
        End::new(Forward::over_channels(role, &ports(case), subprotocol, &config, begin).unwrap(), begin);
    let names = 0..u32::try_from(ports(case).len()).unwrap();
    match role {
        Role::Client => {
            for (name, port) in names.zip(ports(case)) {
                let id = end.forward.connect(port).unwrap();
                end.names.insert(id, name);
            }
        }
        _ => end.expected = names.collect(),
    }
    end.pump();
    end
}

/// What the messages of one end tell the other, worked out by plain means.
pub(crate) fn told_by(case: &Case, by: Sender) -> Told {
    let mut told = Told::default();
    let mut firsts = BTreeMap::new();
    let (client, server) = (case.closed(Sender::Client), case.closed(Sender::Server));
    let closed = if by == Sender::Client { client } else { server };
    for message in case.messages.iter().filter(|message| message.by == by) {
        let Some((channel, payload)) = split(case, message) else { continue };
        let name = u32::try_from(channel / 2).unwrap();
        let first = by == Sender::Server && firsts.insert(channel, ()).is_none();
        match channel % 2 {
            _ if first || channel / 2 >= ports(case).len() => {}
            0 => told.add(name, &payload),
            _ if by == Sender::Client => {}
            _ => told.end(name, format!("failed: {}", String::from_utf8(payload).unwrap())),
        }
    }
    let other = if by == Sender::Client { server } else { client };
    if let Some(at) = closed.filter(|at| other.is_none_or(|other| *at < other)) {
        assert_eq!(case.messages[at].frame.close().0, 1000);
        for name in 0..u32::try_from(ports(case).len()).unwrap() {
            if !told.ends.contains_key(&name) {
                told.end(name, "end");
            }
        }
    }
    told.ended = Some(closed.map(|at| case.messages[at].frame.close().0));
    told
}

pub(crate) fn sent_by(case: &Case, by: Sender) -> Sent {
    let of = case.messages.iter().filter(|message| message.by == by);
    of.map(|message| (message.frame.opcode, message.frame.payload.clone())).collect()
}

fn sent(bytes: &[u8]) -> Sent {
    frames::decode(bytes).into_iter().map(|Frame { opcode, payload, .. }| (opcode, payload)).collect()
}

/// Our client in the place of the recorded one.
pub(crate) fn play_client(case: &Case, cut: Cut) -> (Told, Sent) {
    let mut client = end(case, Role::Client);
    for message in &case.messages {
        client.at(message.at);
        match (message.by, split(case, message)) {
            (Sender::Server, _) => client.hear(&message.frame.encode(), cut),
            (Sender::Client, Some((channel, payload))) if channel % 2 == 0 => {
                let name = u32::try_from(channel / 2).unwrap();
                if let Some(id) = client.id(name) {
                    client.write(id, &payload);
                }
            }
            (Sender::Client, _) if message.frame.opcode == frames::CLOSE => client.forward.abort(),
            (Sender::Client, _) => {}
        }
        client.pump();
    }
    client.eof();
    (client.told, sent(&client.sent))
}

/// Our server in the place of the recorded one, with what listened on its ports.
pub(crate) fn play_server(case: &Case, cut: Cut) -> (Told, Sent, Vec<(u32, u16)>) {
    let mut server = end(case, Role::Server);
    let ports = ports(case);
    let mut firsts = BTreeMap::new();
    let mut echoed: BTreeMap<usize, usize> = BTreeMap::new();
    for message in &case.messages {
        server.at(message.at);
        match (message.by, split(case, message)) {
            (Sender::Client, _) => server.hear(&message.frame.encode(), cut),
            (_, Some((channel, _))) if firsts.insert(channel, ()).is_none() => {}
            (_, Some((channel, payload))) => {
                let at = channel / 2;
                let id = server.id(u32::try_from(at).unwrap()).unwrap();
                if channel % 2 == 1 {
                    server.forward.fail_connection(id, std::str::from_utf8(&payload).unwrap());
                } else if ports[at] == 8081 {
                    let from = echoed.entry(at).or_default();
                    let received = server.told.data.get(&u32::try_from(at).unwrap()).cloned();
                    let received = received.unwrap_or_default();
                    let back = &received[*from..][..payload.len().min(received.len() - *from)];
                    *from += back.len();
                    server.write(id, back);
                } else {
                    server.write(id, &payload);
                }
            }
            // What listens ended, and with it all.
            (_, None) if message.frame.opcode == frames::CLOSE => {
                for id in server.names.keys().copied().collect::<Vec<_>>() {
                    let _ = server.forward.finish(id);
                }
            }
            (_, None) => {}
        }
        server.pump();
    }
    server.eof();
    (server.told, sent(&server.sent), server.connects)
}

pub(crate) fn prefix(case: &Case, role: Role, bytes: &[u8]) -> Told {
    let mut end = end(case, role);
    end.hear(bytes, Cut::Whole);
    end.eof();
    end.told
}
