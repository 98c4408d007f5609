//! What proxies say, whole and in pieces; and which one the environment names.

use std::collections::HashMap;

use super::{connect::Connect, socks5::Socks5, *};
use crate::endpoint::Scheme;

/// What is sent, given what the proxy says, and how it ends; the same whatever the pieces.
fn talk<S: Steps>(new: impl Fn() -> S, said: &[u8]) -> (Vec<Vec<u8>>, Result<(), ProxyProblem>) {
    let by = |size: usize| {
        let (mut steps, mut input, mut sent) = (new(), BytesMut::new(), Vec::new());
        let mut pieces = said.chunks(size);
        loop {
            match steps.next(&mut input) {
                Err(problem) => return (sent, Err(problem)),
                Ok(Next::Send(data)) => sent.push(data.to_vec()),
                Ok(Next::Connected) => {
                    assert!(input.is_empty() && pieces.next().is_none());
                    return (sent, Ok(()));
                }
                Ok(Next::Read) => match pieces.next() {
                    Some(piece) => input.extend_from_slice(piece),
                    None => return (sent, Err(ProxyProblem::Protocol("unfinished"))),
                },
            }
        }
    };
    let whole = by(said.len().max(1));
    for size in 1..5 {
        assert_eq!(by(size), whole, "in pieces of {size}");
    }
    whole
}

fn login() -> Login {
    Login { user: "me".into(), password: "se:cret".into() }
}

#[test]
fn connect_with_and_without_a_login() {
    let (sent, end) =
        talk(|| Connect::new(None, "[::1]", 6443), b"HTTP/1.1 200 Connection established\r\n\r\n");
    assert_eq!(sent, [b"CONNECT [::1]:6443 HTTP/1.1\r\nHost: [::1]:6443\r\n\r\n"]);
    assert_eq!(end, Ok(()));
    let said = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 OK\r\nVia: x\r\n\r\n";
    let (sent, end) = talk(|| Connect::new(Some(&login()), "k8s.test", 443), said);
    let request = String::from_utf8(sent[0].clone()).unwrap();
    assert!(request.contains("\r\nProxy-Authorization: Basic bWU6c2U6Y3JldA==\r\n\r\n"), "{request}");
    assert_eq!(end, Ok(()));
}

#[test]
fn connect_refused() {
    let end = |said: &[u8]| talk(|| Connect::new(None, "a", 1), said).1.unwrap_err();
    assert_eq!(
        end(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
        ProxyProblem::Login
    );
    assert_eq!(end(b"HTTP/1.0 401 Unauthorized\r\n\r\n"), ProxyProblem::Login);
    assert_eq!(end(b"HTTP/1.1 403 Filtered\r\n\r\n"), ProxyProblem::Refused("403 Filtered".into()));
    assert_eq!(end(b"HTTP/1.1 502\r\n\r\n"), ProxyProblem::Refused("502".into()));
    assert!(matches!(end(b"SSH-2.0-OpenSSH\r\n"), ProxyProblem::Protocol(_)));
    assert!(matches!(end(b"HTTP/1.1 200 OK\r\n"), ProxyProblem::Protocol("unfinished")));
}

#[test]
fn socks5_by_name_and_by_address() {
    let granted = |address: &[u8]| [&[5, 0, 5, 0, 0][..], address, &[0, 80]].concat();
    let by_name = || Socks5::new(None, "k8s.test", 443).unwrap();
    let (sent, end) = talk(by_name, &granted(&[1, 10, 0, 0, 1]));
    assert_eq!(sent, [&[5, 1, 0][..], b"\x05\x01\x00\x03\x08k8s.test\x01\xbb"]);
    assert_eq!(end, Ok(()));
    let by_address = || Socks5::new(None, "[::1]", 443).unwrap();
    let (sent, end) = talk(by_address, &granted(b"\x03\x03abc"));
    assert_eq!(sent[1], [&[5, 1, 0, 4][..], &[0; 15], &[1, 1, 187]].concat());
    assert_eq!(end, Ok(()));
    let (sent, end) = talk(|| Socks5::new(None, "127.0.0.1", 80).unwrap(), &granted(&[[4; 17]].concat()));
    assert_eq!(sent[1], [5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
    assert_eq!(end, Ok(()));
    assert!(Socks5::new(None, &"a".repeat(256), 80).is_err());
}

#[test]
fn socks5_with_a_login() {
    let new = || Socks5::new(Some(&login()), "a", 80).unwrap();
    let (sent, end) = talk(new, &[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sent[..2], [&[5, 2, 0, 2][..], b"\x01\x02me\x07se:cret"]);
    assert_eq!(end, Ok(()));
    assert_eq!(talk(new, &[5, 2, 1, 1]).1, Err(ProxyProblem::Login));
    assert_eq!(talk(new, &[5, 255]).1, Err(ProxyProblem::Login));
    // One that wants none gets none.
    let (sent, end) = talk(new, &[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!((sent.len(), end), (2, Ok(())));
}

#[test]
fn socks5_refused() {
    let end = |said: &[u8]| talk(|| Socks5::new(None, "a", 80).unwrap(), said).1.unwrap_err();
    assert_eq!(end(&[5, 2]), ProxyProblem::Login);
    assert_eq!(
        end(&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]),
        ProxyProblem::Refused("connection refused".into())
    );
    assert!(matches!(end(b"HTTP/1.1 400"), ProxyProblem::Protocol(_)));
    assert!(matches!(end(&[5, 0, 5, 0, 0, 9]), ProxyProblem::Protocol(_)));
}

#[test]
fn urls() {
    let proxy = |url: &str| Proxy::new(url).map(|proxy| (proxy.kind, proxy.authority()));
    assert_eq!(proxy("http://squid:3128").unwrap(), (ProxyKind::Http, "squid:3128".into()));
    assert_eq!(proxy("squid:3128").unwrap(), (ProxyKind::Http, "squid:3128".into()));
    assert_eq!(proxy("socks5h://[::1]").unwrap(), (ProxyKind::Socks5, "[::1]:1080".into()));
    let with_login = Proxy::new("socks5://m%40e:p%3Aq@h").unwrap();
    let login = with_login.login.as_ref().unwrap();
    assert_eq!((login.user.as_str(), login.password.as_str()), ("m@e", "p:q"));
    assert!(!format!("{with_login:?}").contains("p:q"));
    for wrong in ["ftp://a", "http://", "", "socks5://user@h", "http://%ff:x@h"] {
        assert!(proxy(wrong).is_err(), "{wrong}");
    }
    let error = proxy("socks4://user:hunter2@h").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

/// The proxy that these variables name for a server.
fn named(variables: &[(&str, &str)], host: &str, port: u16) -> Option<String> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let environment = Environment(|name: &str| variables.get(name).map(|value| (*value).to_owned()));
    environment.proxy(Scheme::Http, host, port).unwrap().map(|proxy| proxy.host)
}

#[test]
fn the_environment_names_a_proxy() {
    assert_eq!(named(&[("HTTP_PROXY", "http://p")], "k8s.test", 80), Some("p".into()));
    assert_eq!(named(&[("http_proxy", "p:1")], "k8s.test", 80), Some("p".into()));
    assert_eq!(
        named(&[("HTTP_PROXY", "a"), ("http_proxy", "b"), ("ALL_PROXY", "c")], "x", 80),
        Some("a".into())
    );
    assert_eq!(named(&[("HTTP_PROXY", ""), ("all_proxy", "socks5://c")], "x", 80), Some("c".into()));
    assert_eq!(named(&[("HTTPS_PROXY", "a")], "x", 80), None);
    assert_eq!(named(&[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")], "x", 80), None);
    for local in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"] {
        assert_eq!(named(&[("HTTP_PROXY", "p")], local, 80), None, "{local}");
    }
    let environment =
        Environment(|name: &str| (name == "HTTP_PROXY").then(|| "ftp://u:hunter2@h".to_owned()));
    let error = environment.proxy(Scheme::Http, "x", 80).unwrap_err().to_string();
    assert!(error.contains("HTTP_PROXY") && !error.contains("hunter2"), "{error}");
}

#[test]
fn the_environment_names_exceptions() {
    let through = |no_proxy: &str, host: &str, port| {
        named(&[("HTTP_PROXY", "p"), ("NO_PROXY", no_proxy)], host, port).is_some()
    };
    for (no_proxy, host) in [
        ("*", "k8s.test"),
        ("a, k8s.test", "k8s.test"),
        ("K8S.test", "api.k8s.TEST"),
        (".k8s.test", "api.k8s.test"),
        ("*.k8s.test", "a.b.k8s.test"),
        ("k8s.test:6443", "k8s.test"),
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3:6443", "10.1.2.3"),
        ("fd00::/8", "[fd12::1]"),
        ("[fd12::1]:6443", "[fd12::1]"),
        ("fd12::1", "[fd12::1]"),
        ("0.0.0.0/0", "8.8.8.8"),
    ] {
        assert!(!through(no_proxy, host, 6443), "{no_proxy} {host}");
    }
    for (no_proxy, host) in [
        ("", "k8s.test"),
        (",,", "k8s.test"),
        (".", "k8s.test"),
        ("*.", "k8s.test"),
        ("8s.test", "k8s.test"),
        (".k8s.test", "k8s.test"),
        ("*.k8s.test", "k8s.test"),
        ("k8s.test:443", "k8s.test"),
        ("10.0.0.0/8", "11.1.2.3"),
        ("10.0.0.0/33", "10.0.0.0"),
        ("10.0.0.0/8", "k8s.test"),
        ("fd00::/8", "10.0.0.1"),
        ("10.1.2.3:443", "10.1.2.3"),
    ] {
        assert!(through(no_proxy, host, 6443), "{no_proxy} {host}");
    }
}

#[test]
fn answers_without_end_before_the_last_one_are_none() {
    let said = b"HTTP/1.1 100\n\n".repeat(10_000);
    let (_, ended) = talk(|| Connect::new(None, "host", 443), &said);
    assert!(matches!(ended, Err(ProxyProblem::Protocol(_))), "{ended:?}");
}
