//! Refusals: their bodies in every framing, what is made of them, and what to try next.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

#[path = "upgrade_support/mod.rs"]
mod support;

use channel_proto::{
    Action, HeadViolation, Limits, PodRequest, Service, Subprotocol, Transport,
    upgrade::{BodyEnd, Fallback, Refusal, UpgradeError, UpgradeRequest},
};
use http::StatusCode;
use support::{outcome_of, pod, request};

fn refusal(answer: &str) -> Refusal {
    refusal_of(&request(), &Limits::default(), answer)
}

fn refusal_of(request: &UpgradeRequest, limits: &Limits, answer: &str) -> Refusal {
    match outcome_of(request, limits, answer) {
        Err(UpgradeError::Refused(refusal)) => *refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

/// `metav1.Status` bodies as recorded.
const FORBIDDEN: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"bb\" is forbidden: User \"lab-nobody\" cannot get resource \"pods/exec\" in API group \"\" in the namespace \"default\"","reason":"Forbidden","details":{"name":"bb","kind":"pods"},"code":403}
"#;

fn with_length(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nDate: x\r\n\r\n{body}", body.len())
}

// Holds UPG-17, UPG-18.
#[test]
fn a_refusal_with_a_length_carries_the_servers_status() {
    let refused = refusal(&with_length("403 Forbidden", FORBIDDEN));
    assert_eq!((refused.status, refused.body_end), (StatusCode::FORBIDDEN, BodyEnd::Complete));
    assert_eq!(
        (&refused.body[..], &refused.offered[..]),
        (FORBIDDEN.as_bytes(), &Subprotocol::DEFAULT_OFFER[..])
    );
    let status = refused.status_object().unwrap();
    assert_eq!((status.reason.as_str(), status.code), ("Forbidden", Some(403)));
    assert_eq!(
        refused.to_string(),
        "403 Forbidden: pods \"bb\" is forbidden: User \"lab-nobody\" cannot get resource \"pods/exec\" in API \
         group \"\" in the namespace \"default\" (exec and attach over WebSocket need the verb \"get\" and, from \
         Kubernetes 1.35 on, also \"create\" on pods/exec and pods/attach)"
    );
    let empty = refusal(&with_length("404 Not Found", ""));
    assert_eq!(
        empty.to_string(),
        "404 Not Found, and no reason given; offered: v5.channel.k8s.io, v4.channel.k8s.io"
    );
    assert_eq!(refusal("HTTP/1.1 204 No Content\r\n\r\n").body_end, BodyEnd::Complete);
    assert_eq!(refusal(&with_length("200 OK", "hello")).to_string(), "200 OK: hello");
    assert_eq!(refusal(&with_length("599 x", "hello")).to_string(), "599: hello");
}

// Holds UPG-17, UPG-18.
#[test]
fn a_refusal_without_a_length_ends_with_the_connection() {
    for version in ["1.0", "1.1"] {
        let refused = refusal(&format!("HTTP/{version} 405 x\r\nConnection: close\r\n\r\nbad method\n"));
        assert_eq!((&refused.body[..], refused.body_end), (&b"bad method\n"[..], BodyEnd::Complete));
        assert_eq!(refused.to_string(), "405 Method Not Allowed: bad method");
        assert!(refused.status_object().is_none());
    }
    assert_eq!(refusal("HTTP/1.1 403 Forbidden\r\n\r\n").body_end, BodyEnd::Complete);
}

fn chunked(body: &str) -> Refusal {
    refusal(&format!("HTTP/1.1 400 x\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 3\r\n\r\n{body}"))
}

// Holds UPG-17.
#[test]
fn a_refusal_may_come_in_chunks() {
    for body in [
        "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n000006 ; c\r\n world\r\n0;x\r\nTrailer: y\r\nB: z\r\n\r\n",
        "B\nhello world\n0\n\n",
    ] {
        let refused = chunked(body);
        assert_eq!(
            (&refused.body[..], refused.body_end),
            (&b"hello world"[..], BodyEnd::Complete),
            "{body:?}"
        );
    }
    for (body, kept) in [
        ("x\r\n", ""),
        ("\r\n", ""),
        ("5x\r\n", ""),
        ("5\r\nhelloX", "hello"),
        ("5\r\nhello\rX", "hello"),
        ("5\r\nhello\r\n-1\r\n", "hello"),
        ("00000000000000005\r\nhello", ""),
    ] {
        let refused = chunked(body);
        let end = BodyEnd::Broken(HeadViolation::Chunk);
        assert_eq!((&refused.body[..], refused.body_end), (kept.as_bytes(), end), "{body:?}");
    }
    for cut in ["", "5", "5\r", "5\r\n", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n0\r\n", "0\r\nTrailer: x"] {
        assert_eq!(chunked(cut).body_end, BodyEnd::Cut, "{cut:?}");
    }
    assert_eq!(chunked("FFFFFFFFFFFFFFFF\r\nhello").body_end, BodyEnd::Cut);
}

// Holds UPG-17.
#[test]
fn a_length_that_is_wrong_does_not_hide_the_refusal() {
    for length in ["", "-1", "+1", "1x", "99999999999999999999", "5, 6", "5\r\nContent-Length: 6"] {
        let refused = refusal(&format!("HTTP/1.1 403 x\r\nContent-Length: {length}\r\n\r\nhello"));
        assert_eq!(refused.body_end, BodyEnd::Broken(HeadViolation::ContentLength), "{length}");
        assert_eq!((refused.status, refused.body.len()), (StatusCode::FORBIDDEN, 0));
    }
    let same = refusal("HTTP/1.1 403 x\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((&same.body[..], same.body_end), (&b"hello"[..], BodyEnd::Complete));
    let cut = refusal("HTTP/1.1 403 x\r\nContent-Length: 50\r\n\r\nhello");
    assert_eq!((&cut.body[..], cut.body_end), (&b"hello"[..], BodyEnd::Cut));
    assert!(cut.to_string().ends_with("hello (the connection ended inside the body)"));
}

// Holds UPG-17.
#[test]
fn a_body_is_kept_up_to_its_limit_and_no_further() {
    let mut limits = Limits::default();
    limits.refusal_body = 8;
    for (head, body) in [
        ("Content-Length: 9", "123456789"),
        ("Connection: close", "123456789"),
        ("Transfer-Encoding: chunked", "5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n"),
    ] {
        let answer = format!("HTTP/1.1 400 x\r\n{head}\r\n\r\n{body}");
        let refused = refusal_of(&request(), &limits, &answer);
        assert_eq!((&refused.body[..], refused.body_end), (&b"12345678"[..], BodyEnd::OverLimit), "{head}");
        assert!(refused.to_string().ends_with("(the rest of the body was dropped)"));
    }
    for (head, body) in [
        ("Content-Length: 8", "12345678"),
        ("Connection: close", "12345678"),
        ("Transfer-Encoding: chunked", "8\r\n12345678\r\n0\r\n\r\n"),
    ] {
        let answer = format!("HTTP/1.1 400 x\r\n{head}\r\n\r\n{body}");
        assert_eq!(refusal_of(&request(), &limits, &answer).body_end, BodyEnd::Complete, "{head}");
    }
    limits.head = 64;
    let idle = format!("HTTP/1.1 400 x\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(100));
    assert_eq!(refusal_of(&request(), &limits, &idle).body_end, BodyEnd::OverLimit);
}

// Holds UPG-19.
#[test]
fn another_attempt_makes_sense_only_where_the_server_did_not_understand() {
    use Fallback::{OlderSubprotocol, Spdy};
    let status = |code: u16| FORBIDDEN.replace("403", &code.to_string());
    let streams = "you must specify at least 1 of stdin, stdout, stderr";
    for (line, body, only_v5, with_v4) in [
        ("403 Forbidden", "", Some(OlderSubprotocol), Some(Spdy)),
        ("403 Forbidden", "go away", Some(OlderSubprotocol), None),
        ("400 Bad Request", "", Some(OlderSubprotocol), None),
        ("400 Bad Request", streams, Some(OlderSubprotocol), None),
        ("400 Bad Request", &status(400), None, None),
        ("403 Forbidden", FORBIDDEN, None, None),
        ("401 Unauthorized", &status(401), None, None),
        ("401 Unauthorized", "Unauthorized", None, None),
        ("404 Not Found", &status(404), None, None),
        ("404 Not Found", "", None, None),
        ("500 x", "", None, None),
        ("200 OK", "", None, None),
    ] {
        let answer = with_length(line, body);
        let fallback = |offers: &[Subprotocol]| {
            refusal_of(&request().offers(offers.iter().copied()), &Limits::default(), &answer).fallback()
        };
        assert_eq!(fallback(&[Subprotocol::V5]), only_v5, "{line} {body}");
        assert_eq!(fallback(&Subprotocol::DEFAULT_OFFER), with_v4, "{line} {body}");
        assert_eq!(fallback(&[]), with_v4, "{line} {body}");
    }
}

fn ask(service: Service, transport: Transport) -> UpgradeRequest {
    let ports = || Action::PortForward { ports: vec![8080] };
    let action = if service == Service::PortForward { ports() } else { pod().action };
    UpgradeRequest::for_pod("127.0.0.1:6443", PodRequest { action, ..pod() }).over(transport)
}

const STATUS: &str = r#"{"kind":"Status","message":"no","reason":"x"}"#;
const NOT_THERE: &str = r#"{"kind":"Status","message":"Upgrade request required","reason":"BadRequest"}"#;

// Holds UPG-19, UPG-27.
#[test]
fn each_way_falls_back_to_the_next() {
    let exec = |transport| ask(Service::RemoteCommand, transport);
    let tunnel = ask(Service::PortForward, Transport::WebSocket);
    let raw = ask(Service::PortForward, Transport::Spdy);
    let channels = tunnel.clone().offers([Subprotocol::V4]);
    let answers = [
        ("400 x", ""),
        ("400 x", "query parameter \"port\" is required"),
        ("403 x", ""),
        ("403 x", "no"),
        ("405 x", "bad method"),
        ("400 x", STATUS),
        ("403 x", STATUS),
        ("400 x", NOT_THERE),
        ("401 x", ""),
        ("404 x", ""),
        ("500 x", ""),
        ("200 x", ""),
    ];
    let next = |request: &UpgradeRequest| {
        answers.map(|(line, body)| {
            let length = body.len();
            refusal_of(
                request,
                &Limits::default(),
                &format!("HTTP/1.1 {line}\r\nContent-Length: {length}\r\n\r\n{body}"),
            )
            .fallback()
        })
    };
    let table = |some: &[usize], fallback| {
        let mut table = [None; 12];
        some.iter().for_each(|index| table[*index] = Some(fallback));
        table
    };
    assert_eq!(
        next(&exec(Transport::WebSocket).offers([Subprotocol::V5])),
        table(&[0, 1, 2, 3], Fallback::OlderSubprotocol)
    );
    assert_eq!(next(&exec(Transport::WebSocket)), table(&[2], Fallback::Spdy));
    assert_eq!(next(&exec(Transport::Spdy)), table(&[], Fallback::Spdy));
    assert_eq!(next(&tunnel), table(&[0, 1, 2, 3], Fallback::Spdy));
    assert_eq!(
        next(&tunnel.clone().offers([Subprotocol::Tunnel, Subprotocol::V4])),
        table(&[0, 1, 2, 3], Fallback::Spdy)
    );
    assert_eq!(next(&raw), table(&[0, 1, 2, 3, 4, 7], Fallback::Channels));
    assert_eq!(next(&channels), table(&[], Fallback::Spdy));
}

// Holds UPG-23, UPG-27.
#[test]
fn the_versions_of_the_server_are_handed_on() {
    let lines = "X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\nX-Accepted-Stream-Protocol-Versions: x, channel.k8s.io\r\n";
    let answer = format!("HTTP/1.1 403 Forbidden\r\n{lines}Content-Length: 0\r\n\r\n");
    let v5_only = ask(Service::RemoteCommand, Transport::Spdy).offers([Subprotocol::V5]);
    let refused = refusal_of(&v5_only, &Limits::default(), &answer);
    assert_eq!(refused.accepted_versions().collect::<Vec<_>>(), ["v4.channel.k8s.io", "x", "channel.k8s.io"]);
    assert_eq!((refused.service, refused.transport), (Service::RemoteCommand, Transport::Spdy));
    assert_eq!(
        (&refused.offered[..], refused.fallback()),
        (&[Subprotocol::V5][..], Some(Fallback::OlderSubprotocol))
    );
    let all = refusal_of(&ask(Service::RemoteCommand, Transport::Spdy), &Limits::default(), &answer);
    assert_eq!(all.fallback(), None, "v4 was offered already");
}

// Holds UPG-18.
#[test]
fn a_refusal_is_one_harmless_line_whatever_the_server_sent() {
    let shown =
        refusal("HTTP/1.1 400 x\r\n\r\n<html>\r\n\x1b[2J\x07 <b>no</b>\u{9b}31m\r\n</html>").to_string();
    assert_eq!(shown, "400 Bad Request: <html> [2J <b>no</b> 31m </html>");
    let long = refusal(&format!("HTTP/1.1 400 x\r\n\r\n{}", "ü ".repeat(2000))).to_string();
    assert!(long.ends_with("ü…") || long.ends_with(" …"), "{long}");
    assert!(long.chars().count() < 530);
    let other = refusal(&with_length("403 x", r#"{"type":"error","status":"403","message":"m"}"#));
    assert!(other.status_object().is_none(), "not a metav1.Status");
    let reason = refusal(&with_length("403 x", r#"{"kind":"Status","reason":"Expired","details":null}"#));
    assert_eq!(reason.to_string(), "403 Forbidden: Expired");
}
