//! Every recorded upgrade of both columns, replayed through both roles: the answers to a client of ours, the requests to a
//! server of ours.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

#[path = "upgrade_support/heads.rs"]
mod heads;
#[path = "upgrade_support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use channel_proto::{
    Action, BearerToken, Limits, PodRequest, Service, Subprotocol, Transport,
    upgrade::{BearerIn, BodyEnd, ClientUpgrade, Fallback, Refusal, UpgradeError, UpgradeRequest, respond},
};
use heads::{Recording, incoming, lines_of, recordings, values};

const FOLDERS: [&str; 5] = ["cri", "kubectl", "kubelet", "portforward", "spdy"];
const COUNT: usize = 189;

/// Where our server does not answer as the recorded one, and why. Nothing else may differ, and nothing here may be stale.
const DEVIATIONS: [(&str, &str); 11] = [
    ("portforward-none-*", "no empty Sec-WebSocket-Protocol line: RFC 6455 has no empty value (UPG-9)"),
    ("kubelet-exec-none", "no empty Sec-WebSocket-Protocol line: RFC 6455 has no empty value (UPG-9)"),
    ("portforward-*-ports-70000", "the text of a bad port is ours, not that of Go's parser (PFW-3)"),
    ("portforward-*-ports-abc", "the text of a bad port is ours, not that of Go's parser (PFW-3)"),
    ("portforward-*-ports-empty", "the text of a bad port is ours, not that of Go's parser (PFW-3)"),
    ("portforward-*-ports-minus", "the text of a bad port is ours, not that of Go's parser (PFW-3)"),
    ("portforward-*-ports-good-and-bad", "the text of a bad port is ours, not that of Go's parser (PFW-3)"),
    ("spdy-exec-negotiate-unknown", "the text comes once: two servers in a row wrote it (UPG-23)"),
    ("spdy-exec-v5-*", "the text comes once: two servers in a row wrote it (UPG-23)"),
    (
        "spdy-portforward-negotiate-none",
        "400 and what is missing, as for an exec; the recorded 500 is the API server, which takes the kubelet's answer for broken (UPG-22)",
    ),
    (
        "cri-portforward-no-port",
        "a forward that can forward nothing is refused, not accepted and closed (PFW-2)",
    ),
];

/// What is worth trying after the refusals that were recorded (UPG-19, UPG-27); of all others nothing is.
const FALLBACKS: [(&str, Fallback); 16] = [
    ("cri-exec-unknown", Fallback::Spdy),
    ("cri-exec-v5", Fallback::OlderSubprotocol),
    ("cri-portforward-tunnel", Fallback::Spdy),
    ("kubelet-exec-no-streams", Fallback::OlderSubprotocol),
    ("portforward-negotiate-base64", Fallback::Spdy),
    ("portforward-negotiate-portforward.k8s.io", Fallback::Spdy),
    ("portforward-negotiate-tunnel-lower", Fallback::Spdy),
    ("portforward-negotiate-unknown", Fallback::Spdy),
    ("portforward-negotiate-v5", Fallback::Spdy),
    ("portforward-no-upgrade-post", Fallback::Channels),
    ("spdy-exec-v5-echo", Fallback::OlderSubprotocol),
    ("spdy-exec-v5-exit7", Fallback::OlderSubprotocol),
    ("spdy-exec-v5-not-found", Fallback::OlderSubprotocol),
    ("spdy-exec-v5-stdin-fin", Fallback::OlderSubprotocol),
    ("spdy-exec-v5-tty-resize", Fallback::OlderSubprotocol),
    ("spdy-portforward-negotiate-unknown", Fallback::Channels),
];

fn all() -> Vec<Recording> {
    let all = recordings(&FOLDERS);
    assert_eq!(all.len(), COUNT);
    all
}

/// What a client of ours asks to get this answer. Names that it cannot offer, and upgrades that were none, become its default.
fn request_of(recording: &Recording) -> UpgradeRequest {
    let service = recording.service();
    let transport = recording.transport().unwrap_or(Transport::Spdy);
    let spoken = Subprotocol::spoken(service, transport);
    let known = recording.offers().into_iter().map(|name| spoken.iter().find(|offer| offer.name() == name));
    let known: Option<Vec<Subprotocol>> = known.map(Option::<&_>::copied).collect();
    let request =
        UpgradeRequest::new("127.0.0.1:6443", &recording.path_and_query).service(service).over(transport);
    match known {
        Some(offers) if !offers.is_empty() || transport == Transport::WebSocket => request.offers(offers),
        _ => request,
    }
}

/// The nonce of the recorded request, so that its answer is the right one.
fn nonce_of(recording: &Recording) -> [u8; 16] {
    use base64::{Engine, engine::general_purpose::STANDARD};
    match values(&recording.request_lines, "sec-websocket-key")[..] {
        [key] => STANDARD.decode(key).unwrap().try_into().unwrap(),
        _ => support::NONCE,
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    }
}

// Holds UPG-14, UPG-15, UPG-16, UPG-17, UPG-18, UPG-19, UPG-21, UPG-23, UPG-27.
#[test]
fn a_client_takes_every_recorded_answer() {
    let mut fallbacks = Vec::new();
    for recording in all() {
        let name = &recording.name;
        let limits = Limits::default();
        let request = request_of(&recording);
        match support::outcome_with(&request, nonce_of(&recording), &limits, &recording.response()) {
            Ok(Some(upgraded)) => {
                assert_eq!(recording.status, 101, "{name}");
                assert_eq!(upgraded.subprotocol.name(), recording.chosen(), "{name}");
                assert_eq!(Some(upgraded.transport), recording.transport(), "{name}");
            }
            Err(UpgradeError::Refused(refusal)) => {
                check_refusal(&refusal, &recording);
                fallbacks.extend(refusal.fallback().map(|fallback| (recording.name, fallback)));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let fallbacks: Vec<_> = fallbacks.iter().map(|(name, fallback)| (name.as_str(), *fallback)).collect();
    assert_eq!(fallbacks, FALLBACKS);
}

fn check_refusal(refusal: &Refusal, recording: &Recording) {
    let name = &recording.name;
    assert_eq!(refusal.status.as_u16(), recording.status, "{name}");
    assert_eq!(
        (&refusal.body[..], refusal.body_end),
        (recording.body.as_bytes(), BodyEnd::Complete),
        "{name}"
    );
    assert_eq!(
        refusal.status_object().is_some(),
        recording.body.starts_with("{\"kind\":\"Status\""),
        "{name}"
    );
    let listed = values(&recording.response_lines, "X-Accepted-Stream-Protocol-Versions");
    assert_eq!(refusal.accepted_versions().collect::<Vec<_>>(), listed, "{name}");
}

/// A client of ours writes what kubectl wrote, but for the lines that say who it is.
// Holds UPG-1, UPG-2, UPG-20, UPG-24, PFW-1.
#[test]
fn a_client_asks_as_kubectl_does() {
    let theirs = ["User-Agent", "Kubectl-Command", "Kubectl-Session"];
    for recording in recordings(&["kubectl"]) {
        let name = &recording.name;
        let pod = PodRequest::parse(&recording.path_and_query.parse().unwrap()).unwrap().unwrap();
        let transport = recording.transport().unwrap();
        let mut request = UpgradeRequest::for_pod("127.0.0.1:7443", pod.clone())
            .over(transport)
            .bearer(BearerToken::new("lab-admin-token-0123456789"), BearerIn::Header);
        if (pod.action.service(), transport) == (Service::RemoteCommand, Transport::WebSocket) {
            request = request.offers([Subprotocol::V5]);
        }
        let mut client = ClientUpgrade::new(&request, nonce_of(&recording), &Limits::default()).unwrap();
        let head = String::from_utf8(client.transmit().to_vec()).unwrap();

        let words: Vec<&str> = head.lines().next().unwrap().split(' ').collect();
        assert_eq!((words[0], words[2]), (recording.method.as_str(), "HTTP/1.1"), "{name}");
        assert_eq!(PodRequest::parse(&words[1].parse().unwrap()), Ok(Some(pod)), "{name}");
        let sorted = |mut lines: Vec<(String, String)>| {
            lines.retain(|line| !theirs.contains(&line.0.as_str()));
            lines.sort_by(|a, b| a.0.cmp(&b.0)); // Stable: the order of offers stays.
            lines
        };
        assert_eq!(sorted(lines_of(&head)), sorted(recording.request_lines.clone()), "{name}");
    }
}

/// An answer of our server, in the form of a recorded one.
type Answer = (u16, Vec<(String, String)>, String);

/// What our server answers. `None` where the answer is about the caller's rights or about what there is in the cluster.
fn our_answer(recording: &Recording) -> Option<Answer> {
    let incoming = incoming(&recording.request());
    assert_eq!(incoming.transport(), recording.transport(), "{}", recording.name);
    let api = recording.path_and_query.starts_with("/api/v1/");
    let uri = recording.path_and_query.parse::<http::Uri>().unwrap();
    if api {
        let token = incoming.bearer().unwrap();
        if token.is_none_or(|token| token.secret() != "lab-admin-token-0123456789") {
            return None;
        }
    }
    if ["no-pod", "no-container", "no-auth", "token-bad", "kubelet-exec-no-streams"]
        .iter()
        .any(|end| recording.name.ends_with(end))
    {
        return None;
    }
    let ports = match incoming.pod_request() {
        Err(error) => return Some((400, Vec::new(), error.to_string())),
        Ok(Some(PodRequest { action: Action::PortForward { ports }, .. })) => ports,
        Ok(Some(_)) => Vec::new(),
        // A kubelet's path, or a token that stands for these ports.
        Ok(None) if recording.name == "cri-portforward-two" => vec![8081, 8082],
        Ok(None) if recording.name.starts_with("cri-") && !recording.name.ends_with("no-port") => vec![8080],
        Ok(None) => {
            let query = uri.query().unwrap_or_default().split('&');
            query.filter_map(|pair| pair.strip_prefix("port=")).map(|port| port.parse().unwrap()).collect()
        }
    };
    // A container runtime knows neither v5 nor the tunnel.
    let known = |these: &[Subprotocol]| -> Vec<Subprotocol> {
        let newer = [Subprotocol::V5, Subprotocol::Tunnel];
        these.iter().copied().filter(|one| recording.folder != "cri" || !newer.contains(one)).collect()
    };
    let supported = |transport| known(Subprotocol::spoken(recording.service(), transport));
    let judged = match (recording.service(), recording.transport()) {
        (Service::PortForward, _) => {
            let all = [supported(Transport::WebSocket), supported(Transport::Spdy)].concat();
            incoming.accept_port_forward(&ports, &all)
        }
        (Service::RemoteCommand, Some(Transport::Spdy)) => incoming.accept_spdy(&supported(Transport::Spdy)),
        (Service::RemoteCommand, _) => incoming.accept(&supported(Transport::WebSocket)),
    };
    Some(match judged {
        Ok(accepted) => {
            assert_eq!(Some(accepted.transport), recording.transport());
            (101, lines_of(std::str::from_utf8(&accepted.head).unwrap()), String::new())
        }
        Err(refusal) => {
            let answer = String::from_utf8(respond(*refusal.clone()).to_vec()).unwrap();
            let body = String::from_utf8(refusal.body().to_vec()).unwrap();
            (refusal.status().as_u16(), lines_of(&answer), body)
        }
    })
}

/// What counts of an answer: the status, the lines that belong to upgrading (all of them for a 101), and the body.
fn shown((status, lines, body): &Answer) -> (u16, BTreeSet<String>, String) {
    let counts = |name: &str| *status == 101 || name.contains("protocol") || name == "allow";
    let lines = lines.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let lines = lines.filter(|(name, _)| counts(name)).map(|(name, value)| format!("{name}: {value}"));
    (*status, lines.collect(), body.clone())
}

// Holds UPG-6, UPG-8, UPG-9, UPG-13, UPG-16, UPG-20, UPG-22, UPG-23, UPG-24, UPG-25, PFW-2, PFW-3.
#[test]
fn a_server_answers_every_recorded_request() {
    let mut used = BTreeSet::new();
    let mut judged = 0;
    for recording in all() {
        let Some(ours) = our_answer(&recording) else {
            assert!(recording.status >= 400, "{}", recording.name);
            continue;
        };
        judged += 1;
        let theirs = (recording.status, recording.response_lines.clone(), recording.body.clone());
        let deviation = DEVIATIONS.iter().find(|deviation| matches(deviation.0, &recording.name));
        let (ours, theirs) = (shown(&ours), shown(&theirs));
        match deviation {
            None => assert_eq!(ours, theirs, "{}", recording.name),
            Some((pattern, _)) => {
                assert_ne!(ours, theirs, "{} does not deviate", recording.name);
                used.insert(pattern);
            }
        }
        // However it deviates, it accepts what was accepted, but for one.
        assert!((ours.0 == 101) == (theirs.0 == 101) || recording.name == "cri-portforward-no-port");
    }
    assert_eq!(used.len(), DEVIATIONS.len(), "a stale deviation");
    assert_eq!(judged, 173, "a recording that nobody judged");
}
