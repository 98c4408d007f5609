//! Upgrades whose heads somebody else's HTTP client and server carry: `http`'s types in the place of bytes, by the same rules.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

#[path = "upgrade_support/mod.rs"]
mod support;

use bytes::{Bytes, BytesMut};
use channel_proto::{
    BearerToken, ErrorKind, HeadViolation, Limits, Subprotocol, Transport,
    upgrade::{BearerIn, BodyEnd, ClientUpgrade, Incoming, Refusal, ServerUpgrade, UpgradeError},
};
use http::{HeaderValue, Request, Response, StatusCode, header};
use support::{NONCE, request};

fn client(transport: Transport) -> ClientUpgrade {
    let request = request().over(transport).offers([Subprotocol::V4]);
    ClientUpgrade::new(&request, NONCE, &Limits::default()).unwrap()
}

fn answer(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response
}

fn refused(client: &mut ClientUpgrade, response: Response<Bytes>, end: BodyEnd) -> Refusal {
    match client.handle_response(response, end) {
        Err(UpgradeError::Refused(refusal)) => *refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

// Holds UPG-1, UPG-14, UPG-20, UPG-21.
#[test]
fn both_ends_agree_over_either_transport() {
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let mut client = client(transport);
        let request = client.http_request().unwrap();
        assert_eq!(
            request.uri().to_string(),
            "/api/v1/namespaces/default/pods/bb/exec?command=sh&stdout=true"
        );
        assert!(!request.headers().contains_key(header::HOST), "whoever knows the server writes that");
        let incoming = Incoming::of(&request.map(|()| "a body of any type"));
        let accepted = incoming.accept_command(&[Subprotocol::V4]).unwrap();
        let response = accepted.response().map(|()| Bytes::new());
        let upgraded = client.handle_response(response, BodyEnd::Complete).unwrap();
        assert_eq!((upgraded.transport, upgraded.subprotocol), (transport, Subprotocol::V4));
    }
}

#[test]
fn the_request_and_the_101_are_those_in_bytes() {
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let mut client = client(transport);
        let request = client.http_request().unwrap();
        let mut bytes = BytesMut::from(&client.transmit()[..]);
        let sent = ServerUpgrade::new(&Limits::default()).handle_input(&mut bytes).unwrap().unwrap();
        let mut lines = sent.request().headers().clone();
        lines.remove(header::HOST);
        assert_eq!((request.method(), request.headers()), (sent.request().method(), &lines));

        let accepted = sent.accept_command(&[Subprotocol::V4]).unwrap();
        let mut head = BytesMut::from(&accepted.head[..]);
        let read = client.handle_input(&mut head).unwrap().unwrap().response;
        assert_eq!(accepted.response().headers(), read.headers());
        assert_eq!(accepted.response().status(), read.status());
    }
}

// Holds UPG-14.
#[test]
fn a_101_that_proves_nothing_fails_and_stays_failed() {
    let mut client = client(Transport::WebSocket);
    let accepted = Incoming::of(&client.http_request().unwrap()).accept(&[Subprotocol::V4]).unwrap();
    let mut response = accepted.response().map(|()| Bytes::new());
    let good = response.clone();
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("another"));
    for response in [response, good] {
        match client.handle_response(response, BodyEnd::Complete) {
            Err(UpgradeError::Failed(error)) => {
                assert!(matches!(error.kind(), ErrorKind::Head(HeadViolation::AcceptKey)), "{error}");
            }
            other => panic!("no failure: {other:?}"),
        }
    }
}

// Holds UPG-18.
#[test]
fn a_refusal_has_its_body_up_to_the_limit() {
    let whole = "{\"kind\":\"Status\",\"message\":\"pods \\\"bb\\\" not found\",\"code\":404}";
    let refusal =
        refused(&mut client(Transport::WebSocket), answer(StatusCode::NOT_FOUND, whole), BodyEnd::Complete);
    assert_eq!(refusal.message(), "pods \"bb\" not found");
    assert_eq!(refusal.body_end, BodyEnd::Complete);

    let mut limits = Limits::default();
    limits.refusal_body = 5;
    let mut short = ClientUpgrade::new(&request(), NONCE, &limits).unwrap();
    let refusal = refused(&mut short, answer(StatusCode::BAD_GATEWAY, "123456"), BodyEnd::Complete);
    assert_eq!((&refusal.body[..], refusal.body_end), (&b"12345"[..], BodyEnd::OverLimit));
}

#[test]
fn an_http_client_takes_a_request_that_was_not_written_and_one_answer() {
    let mut client = client(Transport::WebSocket);
    let accepted = Incoming::of(&client.http_request().unwrap()).accept(&[Subprotocol::V4]).unwrap();
    let response = || accepted.response().map(|()| Bytes::new());
    client.handle_response(response(), BodyEnd::Complete).unwrap();
    assert!(client.handle_response(response(), BodyEnd::Complete).is_err());
    client.transmit().clear();
    assert!(client.http_request().is_err());
}

// Holds UPG-11.
#[test]
fn a_token_shows_in_no_debug_of_either_end() {
    let token = "do-not-show-me";
    let asked = request().bearer(BearerToken::new(token), BearerIn::Header);
    let client = ClientUpgrade::new(&asked, NONCE, &Limits::default()).unwrap();
    let carried = client.http_request().unwrap();
    assert!(!format!("{carried:?}").contains(token));
    // An HTTP server marks nothing as secret.
    let mut plain = Request::new(());
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    plain.headers_mut().insert(header::AUTHORIZATION, value);
    let incoming = Incoming::of(&plain);
    assert!(!format!("{incoming:?}").contains(token));
    assert_eq!(incoming.bearer().unwrap().unwrap().secret(), token);
}
