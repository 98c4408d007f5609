//! The heads of recorded upgrades, and requests fed to a server: whole, in pieces of every size, and with trailing data.

#![allow(dead_code)] // Not every test file uses all of it.

use std::{fs, path::PathBuf};

use bytes::BytesMut;
use channel_proto::{
    Error, Limits, Service, Transport,
    upgrade::{Incoming, ServerUpgrade},
};
use serde_json::Value;

pub(crate) struct Recording {
    pub(crate) folder: &'static str,
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path_and_query: String,
    pub(crate) request_lines: Vec<(String, String)>,
    pub(crate) status: u16,
    pub(crate) status_line: String,
    pub(crate) response_lines: Vec<(String, String)>,
    pub(crate) body: String,
}

/// The recordings in these folders of `tests/vectors`, by name.
pub(crate) fn recordings(folders: &[&'static str]) -> Vec<Recording> {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut all = Vec::new();
    for folder in folders {
        let files = fs::read_dir(vectors.join(folder)).unwrap();
        all.extend(files.map(|file| Recording::read(folder, &file.unwrap().path())));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

impl Recording {
    fn read(folder: &'static str, path: &PathBuf) -> Self {
        let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let (request, response) = (&json["request"], &json["response"]);
        let pair = |line: &Value| (text(&line[0]), text(&line[1]));
        let split = |line: &Value| {
            let line = text(line);
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        };
        Self {
            folder,
            name: text(&json["name"]),
            method: text(&request["method"]),
            path_and_query: text(&request["path_and_query"]),
            request_lines: request["headers"].as_array().unwrap().iter().map(pair).collect(),
            status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
            status_line: text(&response["status_line"]),
            response_lines: response["header_lines"].as_array().unwrap().iter().map(split).collect(),
            body: response["body"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// The request as it was sent.
    pub(crate) fn request(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path_and_query);
        self.request_lines.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head + "\r\n"
    }

    /// The response as it came.
    pub(crate) fn response(&self) -> String {
        let mut head = format!("{}\r\n", self.status_line);
        self.response_lines.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        format!("{head}\r\n{}", self.body)
    }

    /// What the path serves, for the API server, a kubelet and a container runtime alike.
    pub(crate) fn service(&self) -> Service {
        let path = self.path_and_query.to_ascii_lowercase();
        if path.contains("/portforward") { Service::PortForward } else { Service::RemoteCommand }
    }

    pub(crate) fn transport(&self) -> Option<Transport> {
        match values(&self.request_lines, "upgrade")[..] {
            ["websocket"] => Some(Transport::WebSocket),
            ["SPDY/3.1"] => Some(Transport::Spdy),
            _ => None,
        }
    }

    /// The names offered, in order, without a token.
    pub(crate) fn offers(&self) -> Vec<&str> {
        let lines = match self.transport() {
            Some(Transport::Spdy) => values(&self.request_lines, "x-stream-protocol-version"),
            _ => values(&self.request_lines, "sec-websocket-protocol"),
        };
        let names = lines.into_iter().flat_map(|line| line.split(", "));
        names.filter(|name| !name.is_empty() && !name.starts_with("base64url.bearer")).collect()
    }

    /// The name chosen by a 101; empty if none.
    pub(crate) fn chosen(&self) -> &str {
        let line = match self.transport() {
            Some(Transport::Spdy) => "x-stream-protocol-version",
            _ => "sec-websocket-protocol",
        };
        values(&self.response_lines, line).first().copied().unwrap_or_default()
    }
}

/// The values of all lines of this name.
pub(crate) fn values<'a>(lines: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    lines.iter().filter(|line| line.0.eq_ignore_ascii_case(name)).map(|line| line.1.as_str()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The lines of a head, without the first.
pub(crate) fn lines_of(head: &str) -> Vec<(String, String)> {
    let lines = head.split_once("\r\n\r\n").unwrap().0.split("\r\n").skip(1);
    lines.map(|line| line.split_once(": ").unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// What a server reads of `request`, however it is cut and whatever follows it.
pub(crate) fn incoming(request: &str) -> Incoming {
    let (whole, left) = feed_server(request.as_bytes(), usize::MAX);
    assert_eq!(left, b"");
    let longer = [request.as_bytes(), b"\x80\x03\0\x01 and more"].concat();
    for size in (1..request.len().min(40)).chain([request.len()]) {
        let (pieces, left) = feed_server(request.as_bytes(), size);
        assert_eq!((format!("{pieces:?}"), &left[..]), (format!("{whole:?}"), &b""[..]), "pieces of {size}");
        let (trailed, rest) = feed_server(&longer, size);
        assert_eq!(format!("{trailed:?}"), format!("{whole:?}"));
        assert_eq!(rest, b"\x80\x03\0\x01 and more");
    }
    whole.unwrap().unwrap()
}

fn feed_server(request: &[u8], size: usize) -> (Result<Option<Incoming>, Error>, Vec<u8>) {
    let mut server = ServerUpgrade::new(&Limits::default());
    let mut input = BytesMut::new();
    let mut pieces = request.chunks(size);
    let result = loop {
        let Some(piece) = pieces.next() else {
            break server.handle_eof().map(|()| None);
        };
        input.extend_from_slice(piece);
        match server.handle_input(&mut input) {
            Ok(None) => {}
            done => break done,
        }
    };
    pieces.for_each(|piece| input.extend_from_slice(piece));
    (result, input.to_vec())
}
