//! The upgrade to SPDY, and the upgrades of a port-forward over both columns, for both roles.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

#[path = "upgrade_support/heads.rs"]
mod heads;
#[path = "upgrade_support/mod.rs"]
mod support;

use bytes::{Bytes, BytesMut};
use channel_proto::{
    Action, BearerToken, Encoding, Error, ErrorKind, Fault, HeadViolation, Limits, PodRequest, Service,
    StatusForm, Subprotocol, Transport,
    upgrade::{BearerIn, ClientUpgrade, UpgradeError, UpgradeRequest, respond},
};
use heads::incoming;
use http::{HeaderMap, HeaderValue, Response};
use support::{NONCE, outcome_of, pod};

use Subprotocol::{PortForward, Tunnel, Unnamed, V1, V1Base64, V2, V3, V4, V4Base64, V5};

const SERVICES: [Service; 2] = [Service::RemoteCommand, Service::PortForward];
const TRANSPORTS: [Transport; 2] = [Transport::WebSocket, Transport::Spdy];
const EVERY: [Subprotocol; 10] = [V5, V4, V3, V2, V1, V4Base64, V1Base64, Unnamed, Tunnel, PortForward];

fn forward(ports: &[u16]) -> PodRequest {
    PodRequest { action: Action::PortForward { ports: ports.to_vec() }, ..pod() }
}

fn request(service: Service, transport: Transport) -> UpgradeRequest {
    let pod = if service == Service::PortForward { forward(&[8080]) } else { pod() };
    UpgradeRequest::for_pod("127.0.0.1:6443", pod).over(transport)
}

fn head_of(request: &UpgradeRequest) -> Result<String, Error> {
    let mut client = ClientUpgrade::new(request, NONCE, &Limits::default())?;
    Ok(String::from_utf8(client.transmit().to_vec()).unwrap())
}

fn spdy_101(lines: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n{lines}\r\n")
}

// Holds UPG-20.
#[test]
fn an_upgrade_to_spdy_is_a_post_with_a_line_for_each_version() {
    let token = BearerToken::new("t");
    let request = request(Service::RemoteCommand, Transport::Spdy).bearer(token.clone(), BearerIn::Header);
    assert_eq!(
        head_of(&request).unwrap(),
        "POST /api/v1/namespaces/default/pods/bb/exec?command=sh&stdout=true HTTP/1.1\r\n\
         Host: 127.0.0.1:6443\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: v5.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\
         X-Stream-Protocol-Version: v3.channel.k8s.io\r\nX-Stream-Protocol-Version: v2.channel.k8s.io\r\n\
         X-Stream-Protocol-Version: channel.k8s.io\r\nContent-Length: 0\r\nAuthorization: Bearer t\r\n\r\n"
    );
    let version =
        HeaderMap::from_iter([("x-stream-protocol-version".parse().unwrap(), HeaderValue::from_static("x"))]);
    for wrong in [
        request.clone().bearer(token, BearerIn::Subprotocol),
        request.clone().offers([]),
        request.clone().headers(version),
    ] {
        assert_eq!(head_of(&wrong).unwrap_err().fault(), Fault::Caller);
    }
}

// Holds UPG-24, PFW-1, PFW-2.
#[test]
fn a_port_forward_names_its_ports_for_channels_only() {
    let path = "/api/v1/namespaces/default/pods/bb/portforward";
    let request = |ports: &[u16]| UpgradeRequest::for_pod("h", forward(ports));
    let first =
        |request: UpgradeRequest| head_of(&request).map(|head| head.lines().next().unwrap().to_owned());
    for (asked, line) in [
        (request(&[80, 81]), format!("GET {path} HTTP/1.1")),
        (request(&[]), format!("GET {path} HTTP/1.1")),
        (request(&[80, 81]).over(Transport::Spdy), format!("POST {path} HTTP/1.1")),
        (request(&[80, 81]).offers([V4]), format!("GET {path}?ports=80&ports=81 HTTP/1.1")),
        (request(&[80]).offers([Tunnel, V4]), format!("GET {path}?ports=80 HTTP/1.1")),
        (request(&[80]).offers([]), format!("GET {path}?ports=80 HTTP/1.1")),
    ] {
        assert_eq!(first(asked).unwrap(), line);
    }
    let head = head_of(&request(&[])).unwrap();
    assert!(head.contains("\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"), "{head}");
    let head = head_of(&request(&[]).over(Transport::Spdy)).unwrap();
    assert!(head.contains("\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n"), "{head}");
    for ports in [&[][..], &[0], &[80, 0]] {
        for offers in [&[V4][..], &[V4Base64], &[Unnamed], &[], &[Tunnel, V4]] {
            let wrong = request(ports).offers(offers.iter().copied());
            assert_eq!(first(wrong).unwrap_err().fault(), Fault::Caller, "{ports:?} {offers:?}");
        }
    }
}

// Holds UPG-26.
#[test]
fn what_cannot_be_spoken_is_not_offered() {
    for (service, transport) in SERVICES.into_iter().flat_map(|one| TRANSPORTS.map(|other| (one, other))) {
        let spoken = Subprotocol::spoken(service, transport);
        let by_path = UpgradeRequest::new("h", "/any").service(service).over(transport);
        for offer in EVERY {
            for request in [request(service, transport), by_path.clone()] {
                let result = head_of(&request.offers([offer]));
                assert_eq!(result.is_ok(), spoken.contains(&offer), "{offer} {service:?} {transport}");
            }
        }
        for offers in [spoken, Subprotocol::default_offer(service, transport)] {
            assert!(head_of(&request(service, transport).offers(offers.iter().copied())).is_ok());
        }
    }
}

#[test]
fn each_subprotocol_knows_what_it_can() {
    let over = |can: fn(Subprotocol, Transport) -> bool, transport| {
        EVERY.into_iter().filter(|one| can(*one, transport)).collect::<Vec<_>>()
    };
    let half_close: fn(Subprotocol, Transport) -> bool = Subprotocol::can_half_close_over;
    assert_eq!(over(half_close, Transport::WebSocket), [V5, Tunnel]);
    assert_eq!(over(half_close, Transport::Spdy), EVERY);
    assert_eq!(over(Subprotocol::can_resize_over, Transport::Spdy), [V5, V4, V3]);
    assert_eq!(over(Subprotocol::can_resize_over, Transport::WebSocket), EVERY[..8]);
    let exit_code: Vec<_> = EVERY.into_iter().filter(|one| one.has_exit_code()).collect();
    assert_eq!(exit_code, [V5, V4, V4Base64]);
    assert!(
        [V2, V3].iter().all(|one| one.status_form() == StatusForm::TextOnFailure && !one.can_half_close())
    );
    assert!([V2, V3, Tunnel, PortForward].iter().all(|one| one.encoding() == Encoding::Binary));
    assert!([V2, V3, Tunnel, PortForward].iter().all(|one| Subprotocol::from_name(one.name()).is_none()));
    assert_eq!(Subprotocol::choose(["v3.channel.k8s.io", Tunnel.name()]), None, "not over WebSocket");
}

// Holds UPG-16, UPG-21.
#[test]
fn a_101_to_spdy_must_choose_one_of_the_offers() {
    let exec = request(Service::RemoteCommand, Transport::Spdy);
    let answered = |request: &UpgradeRequest, answer: &str| outcome_of(request, &Limits::default(), answer);
    for (line, chosen) in [
        ("X-Stream-Protocol-Version: v4.channel.k8s.io\r\n", V4),
        ("x-stream-protocol-version:  channel.k8s.io \r\nServer: x\r\n", V1),
    ] {
        let upgraded = answered(&exec, &spdy_101(line)).unwrap().unwrap();
        assert_eq!((upgraded.subprotocol, upgraded.transport), (chosen, Transport::Spdy));
    }
    let odd = "HTTP/1.1 101 \nupgrade: spdy/3.1\nconnection: keep-alive, UPGRADE\nx-stream-protocol-version: portforward.k8s.io\n\n";
    let upgraded = answered(&request(Service::PortForward, Transport::Spdy), odd).unwrap().unwrap();
    assert_eq!(upgraded.subprotocol, PortForward);

    let v4 = "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
    let websocket = "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    for (answer, violation) in [
        (spdy_101(""), HeadViolation::Subprotocol),
        (spdy_101("X-Stream-Protocol-Version: \r\n"), HeadViolation::Subprotocol),
        (
            spdy_101("X-Stream-Protocol-Version: v4.channel.k8s.io, channel.k8s.io\r\n"),
            HeadViolation::Subprotocol,
        ),
        (spdy_101("X-Stream-Protocol-Version: V4.channel.k8s.io\r\n"), HeadViolation::Subprotocol),
        (spdy_101("X-Stream-Protocol-Version: portforward.k8s.io\r\n"), HeadViolation::Subprotocol),
        (spdy_101(&format!("{v4}{v4}")), HeadViolation::Subprotocol),
        (spdy_101("Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n"), HeadViolation::Subprotocol),
        (format!("{websocket}{v4}\r\n"), HeadViolation::NotUpgrade),
        (format!("HTTP/1.1 101 S\r\nUpgrade: SPDY/3.1\r\n{v4}\r\n"), HeadViolation::NotUpgrade),
        (
            format!("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: SPDY/3\r\n{v4}\r\n"),
            HeadViolation::NotUpgrade,
        ),
        (spdy_101(v4).replace("HTTP/1.1", "HTTP/1.0"), HeadViolation::Version),
    ] {
        match answered(&exec, &answer) {
            Err(UpgradeError::Failed(error)) => {
                assert_eq!(
                    (error.kind(), error.offset()),
                    (&ErrorKind::Head(violation), Some(0)),
                    "{answer}"
                );
            }
            other => panic!("{answer}: {other:?}"),
        }
    }
}

const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
const SOCKET: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn asking(method: &str, lines: &str) -> channel_proto::upgrade::Incoming {
    incoming(&format!("{method} /x HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
}

fn told(refused: &Response<Bytes>) -> (u16, &str) {
    (refused.status().as_u16(), std::str::from_utf8(refused.body()).unwrap())
}

// Holds UPG-20, UPG-22, UPG-23.
#[test]
fn a_server_chooses_the_clients_first_version_that_it_knows() {
    let all = Subprotocol::spoken(Service::RemoteCommand, Transport::Spdy);
    let line = |names: &str| format!("{SPDY}X-Stream-Protocol-Version: {names}\r\n");
    let chosen = |method, names: &str, supported: &[Subprotocol]| {
        asking(method, &line(names)).accept_spdy(supported).map(|accepted| accepted.subprotocol)
    };
    for method in ["POST", "GET"] {
        assert_eq!(chosen(method, "v5.channel.k8s.io, v4.channel.k8s.io", all).unwrap(), V4);
        assert_eq!(chosen(method, "x, channel.k8s.io, v4.channel.k8s.io", all).unwrap(), V1);
        assert_eq!(chosen(method, "v4.channel.k8s.io,v2.channel.k8s.io", &[V2]).unwrap(), V2);
        assert_eq!(chosen(method, "portforward.k8s.io", &[PortForward]).unwrap(), PortForward);
    }
    for (names, supported) in
        [("v5.channel.k8s.io", all), ("V4.channel.k8s.io", all), (Tunnel.name(), &EVERY[..])]
    {
        assert_eq!(chosen("POST", names, supported).unwrap_err().status(), 403, "{names}");
    }
    let refused = chosen("POST", "portforward.k8s.io, x", &[V5, V4, V4Base64, V1, Unnamed]).unwrap_err();
    let text = "unable to upgrade: unable to negotiate protocol: client supports [portforward.k8s.io x], \
                server accepts [v4.channel.k8s.io channel.k8s.io]\n";
    assert_eq!(told(&refused), (403, text));
    let listed = refused.headers().get_all("x-accepted-stream-protocol-versions");
    assert_eq!(listed.iter().collect::<Vec<_>>(), ["v4.channel.k8s.io", "channel.k8s.io"]);
    for nothing in ["", "X-Stream-Protocol-Version: \r\n"] {
        let refused = asking("POST", &format!("{SPDY}{nothing}")).accept_spdy(all).unwrap_err();
        assert_eq!(told(&refused), (400, "unable to upgrade: X-Stream-Protocol-Version is required\n"));
    }
    let put = asking("PUT", &line("v4.channel.k8s.io")).accept_spdy(all).unwrap_err();
    assert_eq!(
        (put.status().as_u16(), &put.headers()["allow"]),
        (405, &HeaderValue::from_static("POST, GET"))
    );
    let body = format!("{}Content-Length: 3\r\n", line("v4.channel.k8s.io"));
    let refused = asking("POST", &body).accept_spdy(all).unwrap_err();
    assert_eq!(told(&refused), (400, "an upgrade request cannot have a body"));
}

// Holds UPG-20.
#[test]
fn an_upgrade_is_to_one_of_two_or_to_nothing() {
    for (lines, transport) in [
        (SPDY.to_owned(), Some(Transport::Spdy)),
        ("connection: x, upgrade\r\nupgrade: spdy/3.1\r\n".to_owned(), Some(Transport::Spdy)),
        (SOCKET.to_owned(), Some(Transport::WebSocket)),
        (format!("{SPDY}{SOCKET}"), None),
        ("Connection: Upgrade\r\nUpgrade: SPDY/3\r\n".to_owned(), None),
        ("Upgrade: SPDY/3.1\r\n".to_owned(), None),
        (String::new(), None),
    ] {
        let incoming = asking("POST", &lines);
        assert_eq!(incoming.transport(), transport, "{lines}");
        assert_eq!(incoming.is_websocket_upgrade(), transport == Some(Transport::WebSocket));
        let not_there = |refused: &Response<Bytes>| told(refused).1.contains("\"Upgrade request required\"");
        assert_eq!(not_there(&incoming.accept(&[V4]).unwrap_err()), transport != Some(Transport::WebSocket));
        assert_eq!(not_there(&incoming.accept_spdy(&[V4]).unwrap_err()), transport != Some(Transport::Spdy));
        assert_eq!(not_there(&incoming.accept_port_forward(&[], &EVERY).unwrap_err()), transport.is_none());
    }
    let old = incoming(&format!("POST /x HTTP/1.0\r\n{SPDY}\r\n"));
    assert_eq!(old.transport(), None);
}

// Holds PFW-2, PFW-11.
#[cfg(feature = "spdy")]
#[test]
fn whatever_ports_a_server_accepts_it_can_forward() {
    use channel_proto::{Role, SessionConfig, forward::Forward};

    for form in [V4, V4Base64, Unnamed] {
        let asks = asking("GET", &format!("{SOCKET}Sec-WebSocket-Protocol: {}\r\n", form.name()));
        for count in 1..=256 {
            let ports = vec![80; count];
            let accepted = asks.accept_port_forward(&ports, &EVERY).map(|accepted| accepted.subprotocol);
            let config = SessionConfig::server();
            let forward =
                Forward::over_channels(Role::Server, &ports, form, &config, std::time::Instant::now());
            assert_eq!(accepted.ok(), forward.ok().map(|_| form), "{count} ports in {form}");
        }
    }
}

// Holds UPG-24, UPG-25, PFW-2.
#[test]
fn a_port_forward_over_websocket_is_a_tunnel_or_channels_with_ports() {
    let offering = |names: &str| asking("GET", &format!("{SOCKET}Sec-WebSocket-Protocol: {names}\r\n"));
    let (tunnel, v4, base64) = (Tunnel.name(), V4.name(), V4Base64.name());
    let judged = |names: &str, ports: &[u16], supported: &[Subprotocol]| {
        let judged = offering(names).accept_port_forward(ports, supported);
        judged.map(|accepted| accepted.subprotocol).map_err(|refused| {
            let (status, text) = told(&refused);
            (status, text.to_owned())
        })
    };
    let required = || Err((400, "query parameter \"port\" is required".to_owned()));
    let nothing = || Err((403, String::new()));
    for (names, ports, expected) in [
        (tunnel, &[][..], Ok(Tunnel)),
        (&*format!("{v4}, {tunnel}"), &[0], Ok(Tunnel)),
        (v4, &[80], Ok(V4)),
        (&*format!("x, {base64}, {v4}"), &[80, 80], Ok(V4Base64)),
        ("", &[80], Ok(Unnamed)),
        ("", &[], required()),
        (v4, &[], required()),
        ("spdy/3.1+portforward.k8s.io", &[], required()),
        (v4, &[80, 0], Err((400, "port \"0\" must be > 0".to_owned()))),
        (v4, &[80; 128], Ok(V4)),
        (v4, &[80; 129], Err((400, "more than 128 ports".to_owned()))),
        ("", &[80; 128], Ok(Unnamed)),
        ("", &[80; 129], Err((400, "more than 128 ports".to_owned()))),
        (base64, &[80; 40], Ok(V4Base64)),
        (base64, &[80; 41], Err((400, "more than 40 ports".to_owned()))),
        (&*format!("{base64}, {v4}"), &[80; 41], Err((400, "more than 40 ports".to_owned()))),
        (&*format!("{v4}, {base64}"), &[80; 41], Ok(V4)),
        (&*format!("{base64}, {tunnel}"), &[80; 41], Ok(Tunnel)),
        ("x", &[80; 129], Err((400, "more than 128 ports".to_owned()))),
        ("portforward.k8s.io", &[80], nothing()),
        ("v5.channel.k8s.io", &[80], nothing()),
        ("channel.k8s.io, base64.channel.k8s.io", &[80], nothing()),
    ] {
        assert_eq!(judged(names, ports, &EVERY), expected, "{names} {ports:?}");
    }
    assert_eq!(judged(&format!("{tunnel}, {v4}"), &[80], &[V4]), Ok(V4), "a container runtime has no tunnel");
    assert_eq!(judged(tunnel, &[80], &[V4, Unnamed]), nothing());
    assert_eq!(judged("", &[80], &[V4]), nothing());
    let post = asking("POST", &format!("{SOCKET}Sec-WebSocket-Protocol: {tunnel}\r\n"));
    assert_eq!(told(&post.accept_port_forward(&[], &EVERY).unwrap_err()), (405, "bad method"));
    for names in [tunnel, "v2.channel.k8s.io", "v3.channel.k8s.io", "portforward.k8s.io"] {
        assert_eq!(offering(names).accept(&EVERY).unwrap_err().status(), 403, "{names} is no exec");
    }
}

// Holds UPG-20, UPG-21, UPG-23, UPG-24, UPG-25.
#[test]
fn our_client_and_our_server_understand_each_other() {
    for (service, transport) in SERVICES.into_iter().flat_map(|one| TRANSPORTS.map(|other| (one, other))) {
        for supported in EVERY {
            let request = request(service, transport);
            let mut client = ClientUpgrade::new(&request, [7; 16], &Limits::default()).unwrap();
            let incoming = incoming(&head_of(&request).unwrap());
            assert_eq!(incoming.pod_request().unwrap().unwrap().action.service(), service);
            let judged = match (service, transport) {
                (Service::PortForward, _) => incoming.accept_port_forward(&[80], &[supported]),
                (_, Transport::Spdy) => incoming.accept_spdy(&[supported]),
                _ => incoming.accept(&[supported]),
            };
            let common = Subprotocol::default_offer(service, transport).contains(&supported)
                && (supported, transport) != (V5, Transport::Spdy);
            assert_eq!(judged.is_ok(), common, "{service:?} {transport} {supported}");
            let answer = judged.map(|accepted| accepted.head).unwrap_or_else(|refusal| respond(*refusal));
            // Another nonce: SPDY has none, and WebSocket notices.
            let result = client.handle_input(&mut BytesMut::from(&answer[..]));
            match (result, common, transport) {
                (Ok(Some(upgraded)), true, Transport::Spdy) => {
                    assert_eq!((upgraded.subprotocol, upgraded.transport), (supported, transport));
                }
                (Err(UpgradeError::Failed(error)), true, Transport::WebSocket) => {
                    assert_eq!(error.kind(), &HeadViolation::AcceptKey.into());
                }
                (Err(UpgradeError::Refused(refusal)), false, _) => assert_eq!(refusal.status, 403),
                other => panic!("{other:?}"),
            }
        }
    }
}
