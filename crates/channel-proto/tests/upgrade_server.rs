//! The server's side of an upgrade. Every request is fed whole, in pieces of every size, and with trailing data.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use bytes::{Bytes, BytesMut};
use channel_proto::{
    Error, Fault, HeadViolation, Limits, Status, Subprotocol,
    upgrade::{
        BearerIn, ClientUpgrade, ContentType, Incoming, InvalidBearer, ServerUpgrade, UpgradeError,
        UpgradeRequest, refuse, refuse_with, respond,
    },
};
use http::{HeaderValue, Method, Response, StatusCode};

const SUPPORTED: [Subprotocol; 6] = [
    Subprotocol::V5,
    Subprotocol::V4,
    Subprotocol::V1,
    Subprotocol::V4Base64,
    Subprotocol::V1Base64,
    Subprotocol::Unnamed,
];
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
const REST: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn feed(limits: &Limits, request: &[u8], size: usize) -> (Result<Option<Incoming>, Error>, Vec<u8>) {
    let mut server = ServerUpgrade::new(limits);
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
    match &result {
        Err(error) => {
            assert_eq!(server.handle_input(&mut input).unwrap_err(), *error, "errors stick");
            assert_eq!(server.handle_eof().unwrap_err(), *error, "errors stick");
        }
        Ok(Some(_)) => assert_eq!(server.handle_input(&mut input).unwrap_err().fault(), Fault::Caller),
        Ok(None) => {}
    }
    pieces.for_each(|piece| input.extend_from_slice(piece));
    (result, input.to_vec())
}

/// What comes of `request`, however it is cut and whatever follows it.
fn read(limits: &Limits, request: &str) -> Result<Option<Incoming>, Error> {
    let (whole, left) = feed(limits, request.as_bytes(), usize::MAX);
    for size in (1..request.len().min(40)).chain([request.len().max(1)]) {
        let (pieces, same_left) = feed(limits, request.as_bytes(), size);
        assert_eq!((format!("{whole:?}"), &left), (format!("{pieces:?}"), &same_left), "pieces of {size}");
    }
    if let Ok(Some(_)) = whole {
        let longer = [request.as_bytes(), b"\x82\x80frames"].concat();
        for size in [1, 7, longer.len()] {
            let (trailed, rest) = feed(limits, &longer, size);
            assert_eq!((format!("{trailed:?}"), &rest[..]), (format!("{whole:?}"), &b"\x82\x80frames"[..]));
        }
    }
    whole
}

fn incoming(method: &str, lines: &str) -> Incoming {
    let target = "/api/v1/namespaces/default/pods/bb/exec?command=sh&stdout=true";
    let request = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n");
    read(&Limits::default(), &request).unwrap().unwrap()
}

fn offering(lines: &str) -> Incoming {
    incoming("GET", &format!("{UPGRADE}{REST}{lines}"))
}

fn protocols(names: &str) -> Incoming {
    offering(&format!("Sec-WebSocket-Protocol: {names}\r\n"))
}

fn refused(incoming: &Incoming) -> (u16, String) {
    let response = incoming.accept(&SUPPORTED).unwrap_err();
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

fn chosen(incoming: &Incoming, supported: &[Subprotocol]) -> Option<Subprotocol> {
    match incoming.accept(supported) {
        Ok(accepted) => Some(accepted.subprotocol),
        Err(refusal) => {
            assert_eq!((refusal.status(), refusal.body().len()), (StatusCode::FORBIDDEN, 0));
            None
        }
    }
}

// Holds UPG-6, UPG-16.
#[test]
fn an_upgrade_is_accepted_with_the_recorded_head() {
    let incoming = protocols("foo.example.com, v4.channel.k8s.io");
    assert!(incoming.is_websocket_upgrade());
    assert_eq!(incoming.request().method(), Method::GET);
    assert_eq!(incoming.pod_request().unwrap().unwrap().pod, "bb");
    let accepted = incoming.accept(&SUPPORTED).unwrap();
    assert_eq!(accepted.subprotocol, Subprotocol::V4);
    assert_eq!(
        accepted.head,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
    );
}

// Holds UPG-6, UPG-7, UPG-8.
#[test]
fn v5_wins_wherever_it_stands_and_else_the_first_that_is_known() {
    use Subprotocol::{V1, V1Base64, V4, V4Base64, V5};
    for (names, expected) in [
        ("v5.channel.k8s.io", Some(V5)),
        ("v4.channel.k8s.io,v5.channel.k8s.io", Some(V5)),
        ("v4.base64.channel.k8s.io, base64.channel.k8s.io", Some(V4Base64)),
        ("base64.channel.k8s.io , v4.channel.k8s.io", Some(V1Base64)),
        ("v3.channel.k8s.io, channel.k8s.io", Some(V1)),
        ("v2.channel.k8s.io", None),
        ("V5.CHANNEL.K8S.IO", None),
        ("v5.base64.channel.k8s.io", None),
    ] {
        assert_eq!(chosen(&protocols(names), &SUPPORTED), expected, "{names}");
    }
    let both = protocols("v5.channel.k8s.io, v4.channel.k8s.io");
    assert_eq!(chosen(&both, &[V4]), Some(V4), "a server that does not know v5");
    assert_eq!(chosen(&both, &[V1]), None);
    assert_eq!(chosen(&protocols("v5.channel.k8s.io"), &[V4, Subprotocol::Unnamed]), None);
}

// Holds UPG-9.
#[test]
fn nothing_offered_is_answered_without_a_header() {
    for lines in ["", "Sec-WebSocket-Protocol: \r\n", "Sec-WebSocket-Protocol: ,\r\n"] {
        let accepted = offering(lines).accept(&SUPPORTED).unwrap();
        assert_eq!(accepted.subprotocol, Subprotocol::Unnamed);
        assert!(!String::from_utf8_lossy(&accepted.head).contains("Protocol:"));
        assert_eq!(chosen(&offering(lines), &[Subprotocol::V5]), None);
    }
}

// Holds UPG-10.
#[test]
fn several_lines_are_one_list() {
    let lines = "Sec-WebSocket-Protocol: foo\r\nX: y\r\nSec-WebSocket-Protocol: v4.channel.k8s.io, v5.channel.k8s.io\r\n";
    let incoming = offering(lines);
    let offers: Vec<_> = incoming.offers().collect();
    assert_eq!(offers, ["foo", "v4.channel.k8s.io", "v5.channel.k8s.io"]);
    assert_eq!(chosen(&incoming, &SUPPORTED), Some(Subprotocol::V5));
}

// Holds UPG-3, UPG-4, UPG-5.
#[test]
fn handshakes_are_refused_in_the_words_of_the_real_server() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let bad_key = || (400, "mismatch challenge/response".into());
    let bad_version = || (400, "missing or bad WebSocket Version".into());
    let get = |lines: &str| refused(&incoming("GET", &format!("{UPGRADE}{lines}")));

    assert_eq!(refused(&incoming("POST", &format!("{UPGRADE}{REST}"))), (405, "bad method".into()));
    assert_eq!(get(version), bad_key());
    assert_eq!(get(&format!("{version}Sec-WebSocket-Key: c2hvcnQ=\r\n")), bad_key());
    assert_eq!(get(&format!("{version}Sec-WebSocket-Key: ????????????????????????\r\n")), bad_key());
    assert_eq!(get(&format!("{version}{key}{key}")), bad_key());
    assert_eq!(get(key), bad_version());
    assert_eq!(get(&format!("{key}Sec-WebSocket-Version: 8\r\n")), bad_version());
    let response = incoming("GET", &format!("{UPGRADE}{key}")).accept(&SUPPORTED).unwrap_err();
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    assert_eq!(get(&format!("{REST}Content-Length: 3\r\n")).0, 400);
    assert_eq!(get(&format!("{REST}Transfer-Encoding: chunked\r\n")).0, 400);
    let empty_body = offering("Content-Length: 0\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n");
    assert_eq!(chosen(&empty_body, &SUPPORTED), Some(Subprotocol::V5));
}

#[test]
fn what_is_no_websocket_upgrade_is_told_so_in_a_status() {
    let expected = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\
                    \"Upgrade request required\",\"reason\":\"BadRequest\",\"code\":400}\n";
    let spdy = "Upgrade: SPDY/3.1\r\nConnection: Upgrade\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
    for incoming in [
        incoming("GET", ""),
        incoming("POST", "Content-Length: 0\r\n"),
        incoming("POST", spdy),
        incoming("GET", &format!("Upgrade: websocket\r\n{REST}")),
        incoming("GET", &format!("Upgrade: websocket\r\nConnection: upgrades\r\n{REST}")),
    ] {
        assert!(!incoming.is_websocket_upgrade());
        assert_eq!(refused(&incoming), (400, expected.into()));
    }
    let old = read(&Limits::default(), &format!("GET / HTTP/1.0\r\n{UPGRADE}{REST}\r\n")).unwrap().unwrap();
    assert!(!old.is_websocket_upgrade());
    let listed =
        incoming("GET", &format!("upgrade: WebSocket\r\nconnection: keep-alive,\tUpgrade\r\n{REST}"));
    assert!(listed.is_websocket_upgrade());
}

const TOKEN: &str = "base64url.bearer.authorization.k8s.io.bGFiLWFkbWluLXRva2VuLTAxMjM0NTY3ODk";

fn token(incoming: &Incoming) -> Result<Option<String>, InvalidBearer> {
    Ok(incoming.bearer()?.map(|token| token.secret().to_owned()))
}

// Holds UPG-11.
#[test]
fn the_token_is_found_in_its_header_or_among_the_offers_and_never_echoed() {
    let found = Ok(Some("lab-admin-token-0123456789".to_owned()));
    for lines in [
        "Authorization: Bearer lab-admin-token-0123456789\r\n".to_owned(),
        "authorization: BEARER lab-admin-token-0123456789\r\n".to_owned(),
        format!("Sec-WebSocket-Protocol: {TOKEN}, v5.channel.k8s.io\r\n"),
        format!("Sec-WebSocket-Protocol: v5.channel.k8s.io,{TOKEN}\r\n"),
        format!("Sec-WebSocket-Protocol: {TOKEN}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"),
        format!("Authorization: Basic eDp5\r\nSec-WebSocket-Protocol: {TOKEN}, v5.channel.k8s.io\r\n"),
    ] {
        let incoming = offering(&lines);
        assert_eq!(token(&incoming), found, "{lines}");
        assert!(incoming.offers().all(|offer| offer == "v5.channel.k8s.io"));
        let shown = format!("{incoming:?}");
        assert!(!shown.contains("lab-admin") && !shown.contains("bGFiL"), "{shown}");
        if let Ok(accepted) = incoming.accept(&[Subprotocol::V5]) {
            assert!(!String::from_utf8_lossy(&accepted.head).contains("bearer"));
        }
    }
    let both = format!("Authorization: Bearer a\r\nSec-WebSocket-Protocol: {TOKEN}, v5.channel.k8s.io\r\n");
    assert_eq!(token(&offering(&both)), Ok(Some("a".into())), "the header counts first");
    assert_eq!(token(&protocols("v5.channel.k8s.io")), Ok(None));
    assert_eq!(token(&offering("Authorization: Basic eDp5\r\n")), Ok(None));
    assert_eq!(token(&offering("Authorization: Bearer\r\n")), Ok(None));
    assert_eq!(token(&incoming("GET", &format!("Sec-WebSocket-Protocol: {TOKEN}, x\r\n"))), Ok(None));
}

// Holds UPG-12.
#[test]
fn a_token_that_cannot_be_one_is_an_error() {
    let prefix = "base64url.bearer.authorization.k8s.io.";
    for names in [
        TOKEN.to_owned(),
        format!("{TOKEN}=, v5.channel.k8s.io"),
        format!("{TOKEN}, {TOKEN}, v5.channel.k8s.io"),
        format!("{prefix}, v5.channel.k8s.io"),
        format!("{prefix}_w, v5.channel.k8s.io"),
        format!("{prefix}a+b/, v5.channel.k8s.io"),
    ] {
        assert_eq!(token(&protocols(&names)), Err(InvalidBearer), "{names}");
    }
    assert_eq!(
        token(&offering("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")),
        Err(InvalidBearer)
    );
    assert_eq!(chosen(&protocols(TOKEN), &SUPPORTED), None, "a token is no lack of offers");
}

#[test]
fn heads_that_cannot_be_read_are_answered() {
    let limits = Limits::default();
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(limits.head));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(limits.header_lines + 1));
    for (request, fault, offset, answer) in [
        ("\x16\x03\x01\x02\0\x01", Fault::Peer, 0, "400"),
        ("GET / HTTP/3.0\r\n\r\n", Fault::Peer, 0, "505"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::Peer, 0, "505"),
        ("GET /\r\n\r\n", Fault::Peer, 0, "400"),
        ("GET / HTTP/1.1\r\nA b\r\n\r\n", Fault::Peer, 0, "400"),
        ("GET / HTTP/1.1\r\nA : b\r\n\r\n", Fault::Peer, 0, "400"),
        ("GET / HTTP/1.1\r\nA: b", Fault::Peer, 20, "400"),
        (&long, Fault::Limit, 65_536, "431"),
        (&many, Fault::Limit, 16 + 6 * 128 + 5, "431"),
    ] {
        let error = read(&limits, request).unwrap_err();
        assert_eq!((error.fault(), error.offset()), (fault, Some(offset)), "{error}");
        let head = format!("HTTP/1.1 {answer} ");
        assert!(ServerUpgrade::answer_to(&error).starts_with(head.as_bytes()), "{error}");
    }
    assert!(read(&limits, "").unwrap().is_none(), "a connection without a request");
    let lines = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(limits.header_lines));
    assert!(read(&limits, &lines).unwrap().is_some(), "at the limit");
}

#[test]
fn a_long_head_byte_by_byte_is_searched_once() {
    let mut limits = Limits::default();
    limits.head = 4 << 20;
    let request = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let (incoming, _) = feed(&limits, request.as_bytes(), 1);
    assert_eq!(incoming.unwrap().unwrap().request().headers()["x"].len(), 1 << 20);
}

#[test]
fn answers_are_whole_and_say_that_they_close() {
    assert_eq!(
        refuse(StatusCode::BAD_REQUEST, ContentType::Text, "no"),
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 2\r\n\
         connection: close\r\n\r\nno"
    );
    assert_eq!(
        refuse(StatusCode::FORBIDDEN, ContentType::Text, ""),
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(
        refuse_with(&Status::refusal(401, "Unauthorized", "Unauthorized")),
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncache-control: no-cache, private\r\n\
         content-length: 129\r\nconnection: close\r\n\r\n{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\
         \"status\":\"Failure\",\"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}\n"
    );
    for code in [0, 200, 101, 1000] {
        assert!(refuse_with(&Status::refusal(code, "x", "y")).starts_with(b"HTTP/1.1 500 "), "{code}");
    }
    let mut response = Response::new(Bytes::from_static(b"{}"));
    response.headers_mut().insert("content-length", HeaderValue::from_static("99"));
    response.headers_mut().insert("x-a", HeaderValue::from_static("b"));
    assert_eq!(
        respond(response),
        "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
    );
    let mut none = Response::new(Bytes::from_static(b"dropped"));
    *none.status_mut() = StatusCode::NO_CONTENT;
    assert_eq!(respond(none), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
}

// Holds UPG-1, UPG-6, UPG-11, UPG-14, UPG-15, UPG-18.
#[test]
fn our_client_and_our_server_understand_each_other() {
    let request = UpgradeRequest::new("h:1", "/api/v1/namespaces/n/pods/p/attach?stdout=true")
        .bearer(channel_proto::BearerToken::new("t"), BearerIn::Subprotocol);
    for supported in [&SUPPORTED[..], &[Subprotocol::V4], &[Subprotocol::V1]] {
        let mut client = ClientUpgrade::new(&request, [7; 16], &Limits::default()).unwrap();
        let mut wire = BytesMut::from(&client.transmit()[..]);
        let incoming = ServerUpgrade::new(&Limits::default()).handle_input(&mut wire).unwrap().unwrap();
        assert_eq!(token(&incoming), Ok(Some("t".into())));
        assert!(wire.is_empty());
        match incoming.accept(supported) {
            Ok(accepted) => {
                wire.extend_from_slice(&accepted.head);
                let upgraded = client.handle_input(&mut wire).unwrap().unwrap();
                assert_eq!(
                    (upgraded.subprotocol, upgraded.subprotocol),
                    (accepted.subprotocol, supported[0])
                );
            }
            Err(refusal) => {
                wire.extend_from_slice(&respond(*refusal));
                let Err(UpgradeError::Refused(refusal)) = client.handle_input(&mut wire) else { panic!() };
                assert_eq!((refusal.status, supported), (StatusCode::FORBIDDEN, &[Subprotocol::V1][..]));
            }
        }
    }
}

#[test]
fn head_violations_name_what_is_wrong() {
    let error = read(&Limits::default(), "GET / HTTP/9.9\r\n\r\n").unwrap_err();
    assert_eq!(error.kind(), &HeadViolation::Version.into());
    assert_eq!(
        error.to_string(),
        "the peer's HTTP head is not usable: an HTTP version other than 1.1 (at byte 0 of the peer's stream)"
    );
}
