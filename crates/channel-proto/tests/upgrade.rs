//! The client's side of an upgrade, up to a 101.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

#[path = "upgrade_support/mod.rs"]
mod support;

use bytes::{Buf, BytesMut};
use channel_proto::{
    BearerToken, Error, ErrorKind, Fault, HeadViolation, Limits, Subprotocol,
    request::PodRequest,
    upgrade::{BearerIn, ClientUpgrade, UpgradeError, UpgradeRequest},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use support::{NONCE, Outcome, describe, feed, outcome_of, pod, request};

/// What answers [`NONCE`].
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn head_of(request: &UpgradeRequest) -> Result<String, Error> {
    let mut client = ClientUpgrade::new(request, NONCE, &Limits::default())?;
    let transmit = client.transmit();
    let head = String::from_utf8(transmit.to_vec()).unwrap();
    transmit.advance(head.len());
    assert!(!client.transmit().has_remaining());
    Ok(head)
}

fn switching(lines: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{lines}\r\n")
}

fn good_101(protocol: &str) -> String {
    switching(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n{protocol}"))
}

fn answered(answer: &str) -> Outcome {
    outcome_of(&request(), &Limits::default(), answer)
}

fn failure(answer: &str) -> Error {
    match answered(answer) {
        Err(UpgradeError::Failed(error)) => error,
        other => panic!("no failure: {other:?}"),
    }
}

// Holds UPG-1, UPG-2.
#[test]
fn the_request_is_a_handshake_with_all_offers_in_one_line() {
    assert_eq!(
        head_of(&request()).unwrap(),
        "GET /api/v1/namespaces/default/pods/bb/exec?command=sh&stdout=true HTTP/1.1\r\n\
         Host: 127.0.0.1:6443\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\n\r\n"
    );
}

// Holds UPG-9.
#[test]
fn nothing_offered_is_no_header_line() {
    for offers in [vec![], vec![Subprotocol::Unnamed]] {
        assert!(!head_of(&request().offers(offers)).unwrap().contains("Sec-WebSocket-Protocol"));
    }
}

// Holds UPG-11.
#[test]
fn the_token_travels_as_a_header_or_beside_the_offers() {
    let token = BearerToken::new("lab-admin-token-0123456789");
    let head = head_of(&request().bearer(token.clone(), BearerIn::Header)).unwrap();
    assert!(head.contains("\r\nAuthorization: Bearer lab-admin-token-0123456789\r\n"), "{head}");
    let head = head_of(&request().bearer(token.clone(), BearerIn::Subprotocol)).unwrap();
    let line =
        "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.bGFiLWFkbWluLXRva2VuLTAxMjM0NTY3ODk\r\n";
    assert!(head.contains(line) && !head.contains("Authorization:"), "{head}");
    let alone = request().offers([]).bearer(token, BearerIn::Subprotocol);
    assert_eq!(head_of(&alone).unwrap_err().fault(), Fault::Caller);
}

#[test]
fn prefix_and_extra_headers() {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static("t/1"));
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic c2VjcmV0"));
    let request =
        UpgradeRequest::new("h", "/exec/t0?x=%20").path_prefix("/k8s/clusters/c-1/").headers(headers);
    let head = head_of(&request).unwrap();
    assert!(head.starts_with("GET /k8s/clusters/c-1/exec/t0?x=%20 HTTP/1.1\r\nHost: h\r\n"), "{head}");
    assert!(
        head.contains("\r\nuser-agent: t/1\r\n") && head.contains("\r\nauthorization: Basic c2VjcmV0\r\n")
    );
    assert!(!format!("{request:?}").contains("c2VjcmV0"), "credentials do not show");
}

#[test]
fn nothing_of_the_callers_can_break_out_of_the_head() {
    let evil = "x\r\nEvil: 1";
    let with = |name: header::HeaderName| HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]);
    let pod = |namespace: &str| PodRequest { namespace: namespace.into(), ..pod() };
    let token = |token: &str| request().bearer(BearerToken::new(token), BearerIn::Header);
    let requests = [
        UpgradeRequest::new(evil, "/"),
        UpgradeRequest::new("", "/"),
        UpgradeRequest::new("user@host", "/"),
        UpgradeRequest::new("a b", "/"),
        UpgradeRequest::new("h", "/x y"),
        UpgradeRequest::new("h", "/x\r\n"),
        UpgradeRequest::new("h", "/x#y"),
        UpgradeRequest::new("h", "/ü"),
        UpgradeRequest::new("h", "x"),
        UpgradeRequest::new("h", ""),
        request().path_prefix("/a\r\nb"),
        request().path_prefix("/a b"),
        request().path_prefix("/a?b"),
        request().path_prefix("a"),
        UpgradeRequest::for_pod("h", pod("")),
        UpgradeRequest::for_pod("h", pod("..")),
        UpgradeRequest::for_pod("h", pod("a/b")),
        token(evil),
        token(""),
        token("a b"),
        request().headers(with(header::HOST)),
        request().headers(with(header::UPGRADE)),
        request().headers(with(header::CONTENT_LENGTH)),
        request().headers(with(header::SEC_WEBSOCKET_EXTENSIONS)),
        token("t").headers(with(header::AUTHORIZATION)),
    ];
    for request in requests {
        let error = head_of(&request).unwrap_err();
        assert_eq!(error.fault(), Fault::Caller, "{request:?}: {error}");
    }
}

// Holds UPG-14, UPG-15, UPG-16.
#[test]
fn a_101_upgrades_and_leaves_what_follows() {
    for (line, subprotocol) in [
        ("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n", Subprotocol::V5),
        ("sec-websocket-protocol:v4.channel.k8s.io \r\nServer: x\r\n", Subprotocol::V4),
    ] {
        let upgraded = answered(&good_101(line)).unwrap().unwrap();
        assert_eq!(upgraded.subprotocol, subprotocol);
        assert_eq!(upgraded.response.status(), StatusCode::SWITCHING_PROTOCOLS);
    }
    let odd = format!(
        "\r\nHTTP/1.1 101 \nupgrade: WebSocket\nconnection: keep-alive, UPGRADE\nsec-websocket-accept: {ACCEPT}\n\
         sec-websocket-protocol: v5.channel.k8s.io\n\n"
    );
    assert_eq!(answered(&odd).unwrap().unwrap().subprotocol, Subprotocol::V5);
}

// Holds UPG-9, UPG-15.
#[test]
fn a_server_may_choose_none_only_if_none_was_offered() {
    for line in ["", "Sec-WebSocket-Protocol: \r\n"] {
        for offers in [vec![], vec![Subprotocol::Unnamed], vec![Subprotocol::V4, Subprotocol::Unnamed]] {
            let upgraded = outcome_of(&request().offers(offers), &Limits::default(), &good_101(line));
            assert_eq!(upgraded.unwrap().unwrap().subprotocol, Subprotocol::Unnamed);
        }
        assert_eq!(failure(&good_101(line)).kind(), &HeadViolation::Subprotocol.into());
    }
}

#[test]
fn interim_answers_are_skipped_but_not_forever() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let answer = format!("{interim}{}", good_101("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
    assert!(answered(&answer).unwrap().is_some());
    let forever = "HTTP/1.1 100 Continue\r\n\r\n".repeat(3000);
    let (outcome, _) = feed(&request(), &Limits::default(), forever.as_bytes(), 1000);
    let Err(UpgradeError::Failed(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((error.fault(), error.offset()), (Fault::Limit, Some(65_536)));
}

// Holds UPG-14, UPG-15.
#[test]
fn a_101_that_does_not_prove_itself_fails() {
    let v5 = "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n";
    let head =
        |first: &str, lines: &str| format!("{first}\r\n{lines}Sec-WebSocket-Accept: {ACCEPT}\r\n{v5}\r\n");
    let (ok, up, conn) = ("HTTP/1.1 101 S", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n");
    for (answer, violation) in [
        (head("HTTP/1.0 101 S", &format!("{up}{conn}")), HeadViolation::Version),
        (head(ok, up), HeadViolation::NotUpgrade),
        (head(ok, conn), HeadViolation::NotUpgrade),
        (head(ok, &format!("Upgrade: h2c\r\n{conn}")), HeadViolation::NotUpgrade),
        (head(ok, &format!("{up}{up}{conn}")), HeadViolation::NotUpgrade),
        (head(ok, &format!("{up}Connection: upgraded\r\n")), HeadViolation::NotUpgrade),
        (switching(v5), HeadViolation::AcceptKey),
        (
            switching(&format!("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n{v5}")),
            HeadViolation::AcceptKey,
        ),
        (good_101(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n{v5}")), HeadViolation::AcceptKey),
        (
            good_101(&format!("Sec-WebSocket-Extensions: permessage-deflate\r\n{v5}")),
            HeadViolation::Extension,
        ),
        (good_101("Sec-WebSocket-Protocol: channel.k8s.io\r\n"), HeadViolation::Subprotocol),
        (good_101("Sec-WebSocket-Protocol: V5.channel.k8s.io\r\n"), HeadViolation::Subprotocol),
        (
            good_101("Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\n"),
            HeadViolation::Subprotocol,
        ),
        (good_101(&format!("{v5}{v5}")), HeadViolation::Subprotocol),
        (good_101("Sec-WebSocket-Protocol: \r\nSec-WebSocket-Protocol: \r\n"), HeadViolation::Subprotocol),
    ] {
        let error = failure(&answer);
        assert_eq!((error.kind(), error.fault()), (&violation.into(), Fault::Peer), "{answer}");
        assert_eq!(error.offset(), Some(0));
    }
}

#[test]
fn what_is_no_head_fails_as_soon_as_it_can() {
    for (answer, violation, at) in [
        ("\x15\x03\x01\0\x02\x02\x46", HeadViolation::Syntax, 0),
        ("SSH-2.0-OpenSSH", HeadViolation::Syntax, 0),
        ("HTTQ", HeadViolation::Syntax, 3),
        ("\r\n\r\nHTTX", HeadViolation::Syntax, 7),
        ("HTTP/2.0 200 OK\r\n\r\n", HeadViolation::Version, 0),
        ("HTTP/1.1 1x1 S\r\n\r\n", HeadViolation::Syntax, 0),
        ("HTTP/1.1 000 S\r\n\r\n", HeadViolation::Syntax, 0),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", HeadViolation::Syntax, 0),
        ("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", HeadViolation::Syntax, 0),
        ("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", HeadViolation::Syntax, 0),
        ("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 x\r\n\r\n", HeadViolation::Syntax, 18),
        ("", HeadViolation::Truncated, 0),
        ("HTTP/1.1 101 S\r\nUpgrade: web", HeadViolation::Truncated, 28),
    ] {
        let error = failure(answer);
        assert_eq!((error.kind(), error.offset()), (&violation.into(), Some(at)), "{answer:?}");
    }
}

#[test]
fn heads_are_capped_in_bytes_and_lines() {
    let mut limits = Limits::default();
    let head = good_101("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n");
    (limits.head, limits.header_lines) = (head.len(), 4);
    assert!(outcome_of(&request(), &limits, &head).is_ok(), "at the limit");
    for (bytes, lines) in [(head.len() - 1, 4), (head.len(), 3), (0, 4), (head.len(), 0)] {
        (limits.head, limits.header_lines) = (bytes, lines);
        let (whole, _) = feed(&request(), &limits, head.as_bytes(), usize::MAX);
        let (pieces, _) = feed(&request(), &limits, head.as_bytes(), 1);
        let Err(UpgradeError::Failed(error)) = whole else { panic!("{bytes} {lines}: {whole:?}") };
        assert!(matches!(error.kind(), ErrorKind::Limit { .. }), "{error}");
        assert_eq!(describe(&error.into()), describe(&pieces.unwrap_err()));
    }
}

#[test]
fn an_upgrade_that_is_done_takes_no_more() {
    let mut client = ClientUpgrade::new(&request(), NONCE, &Limits::default()).unwrap();
    let mut input = BytesMut::from(&*good_101("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
    assert!(client.handle_input(&mut input).unwrap().is_some());
    let Err(UpgradeError::Failed(error)) = client.handle_input(&mut input) else { panic!() };
    assert_eq!(error.fault(), Fault::Caller);
}
