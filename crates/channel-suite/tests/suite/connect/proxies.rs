//! How proxies are used, on any runtime.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    time::Duration,
};

use bytes::BytesMut;
use channel_driver::{
    Client, Endpoint, Error, Proxy, ProxyProblem,
    runtime::{Accept, Runtime, Transport},
    tls::TlsProblem,
};

use crate::connect::{
    certificates::{Authority, Validity},
    proxy::{Manner, Proxied, Speaks},
    server::{listen, serve},
    tls::{HELLO, NAME, ask, client_tls, pattern, server_tls},
};

/// Hands the names of all cases to a macro, which makes a test of each.
macro_rules! all {
    ($each:ident) => {
        $each! {
            proxies::each_kind_of_proxy_leads_to_the_server
            proxies::each_kind_wants_its_login
            proxies::a_tls_proxy_has_to_be_believed
            proxies::what_a_proxy_refuses_is_told
            proxies::a_proxy_that_says_nothing_or_too_much_ends_in_time
        }
    };
}
pub(crate) use all;

/// A server with TLS for [`NAME`], and an endpoint that believes it.
async fn server<R: Runtime<Timer: Unpin>>() -> (SocketAddr, Endpoint) {
    let authority = Authority::new();
    let address = serve::<R>(server_tls(&authority.issue(&[NAME], Validity::Now))).await;
    // The name is nobody's, and no port of this machine: only the proxy knows the way.
    let endpoint = Endpoint::new(&format!("https://{NAME}:6443")).unwrap().tls(client_tls(&authority, NAME));
    (address, endpoint)
}

fn proxy(scheme: &str, login: &str, proxied: &Proxied) -> Proxy {
    Proxy::new(&format!("{scheme}://{login}{}", proxied.address)).unwrap()
}

fn plain(speaks: Speaks) -> Manner {
    Manner { speaks, login: None, tls: None }
}

const KINDS: [(Speaks, &str); 2] = [(Speaks::Connect, "http"), (Speaks::Socks5, "socks5")];

pub(crate) async fn each_kind_of_proxy_leads_to_the_server<R: Runtime<Timer: Unpin>>() {
    let (address, endpoint) = server::<R>().await;
    for (speaks, scheme) in KINDS {
        let proxied = Proxied::start::<R>(plain(speaks), address).await;
        let endpoint = endpoint.clone().proxy(proxy(scheme, "", &proxied));
        let data = pattern(1 << 20);
        assert!(ask::<R>(endpoint, data.clone()).await.unwrap() == data);
        assert_eq!(*proxied.asked.lock().unwrap(), [format!("{NAME}:6443")]);
    }
}

pub(crate) async fn each_kind_wants_its_login<R: Runtime<Timer: Unpin>>() {
    let (address, endpoint) = server::<R>().await;
    let logins = [&b"bWU6c0BjcmV0"[..], b"\x01\x02me\x06s@cret"];
    for ((speaks, scheme), login) in KINDS.into_iter().zip(logins) {
        let proxied = Proxied::start::<R>(Manner { login: Some(login), ..plain(speaks) }, address).await;
        let with = |login: &str| ask::<R>(endpoint.clone().proxy(proxy(scheme, login, &proxied)), HELLO);
        assert_eq!(with("me:s%40cret@").await.unwrap(), b"hello");
        for wrong in ["", "me:s%40cre7@"] {
            let error = with(wrong).await.unwrap_err();
            let Error::Proxy { problem: ProxyProblem::Login, authority } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(*authority, proxied.address.to_string());
            assert!(!format!("{error} {error:?}").contains("cre7"), "{error}");
        }
    }
}

pub(crate) async fn a_tls_proxy_has_to_be_believed<R: Runtime<Timer: Unpin>>() {
    let (address, endpoint) = server::<R>().await;
    let authority = Authority::named("of the proxy");
    let tls = server_tls(&authority.issue(&["127.0.0.1"], Validity::Now));
    let proxied = Proxied::start::<R>(Manner { tls: Some(tls), ..plain(Speaks::Connect) }, address).await;
    let known = proxy("https", "", &proxied);
    let believed = known.clone().tls(client_tls(&authority, "127.0.0.1"));
    assert_eq!(ask::<R>(endpoint.clone().proxy(believed), HELLO).await.unwrap(), b"hello");
    let other = known.tls(client_tls(&Authority::new(), "127.0.0.1"));
    let error = ask::<R>(endpoint.proxy(other), HELLO).await.unwrap_err();
    let Error::Tls(error) = &error else { panic!("{error:?}") };
    assert_eq!((error.problem(), error.host()), (TlsProblem::UnknownAuthority, "127.0.0.1"));
}

pub(crate) async fn what_a_proxy_refuses_is_told<R: Runtime<Timer: Unpin>>() {
    let (address, _) = server::<R>().await;
    for ((speaks, scheme), words) in KINDS.into_iter().zip(["403 Filtered", "rules forbid"]) {
        let proxied = Proxied::start::<R>(plain(speaks), address).await;
        let endpoint = Endpoint::new("http://forbidden.test").unwrap().proxy(proxy(scheme, "", &proxied));
        let error = ask::<R>(endpoint, HELLO).await.unwrap_err();
        let Error::Proxy { problem: ProxyProblem::Refused(_), .. } = &error else { panic!("{error:?}") };
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// A proxy that is asked something, says this as often as it can, and then nothing.
async fn saying<R: Runtime>(what: &'static [u8], times: usize) -> SocketAddr {
    let (mut listener, address) = listen::<R>().await;
    R::spawn(async move {
        let mut stream = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        let mut read = BytesMut::with_capacity(4096);
        let _ = poll_fn(|cx| stream.poll_read(cx, &mut read)).await;
        for _ in 0..times {
            if poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(what)])).await.is_err() {
                return;
            }
        }
        // Until the client is gone.
        let mut rest = BytesMut::with_capacity(4096);
        while let Ok(1..) = poll_fn(|cx| stream.poll_read(cx, &mut rest)).await {}
    });
    address
}

pub(crate) async fn a_proxy_that_says_nothing_or_too_much_ends_in_time<R: Runtime<Timer: Unpin>>() {
    let through = async |scheme: &str, proxy: SocketAddr| {
        let proxy = Proxy::new(&format!("{scheme}://{proxy}")).unwrap();
        let client = Client::<R>::new(Endpoint::new("http://k8s.test").unwrap().proxy(proxy));
        let client = client.connect_timeout(Duration::from_millis(500));
        client.exec("default", "web-0").command(["true"]).output().await.unwrap_err()
    };
    for (scheme, what, times) in [
        ("http", &b"HTTP/1.1 200 OK\r\n"[..], 1),
        ("socks5", b"\x05", 1),
        ("socks5", b"\x05\x00\x05\x00\x00\x03", 1),
    ] {
        let error = through(scheme, saying::<R>(what, times).await).await;
        let Error::Connect { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.kind(), io::ErrorKind::TimedOut);
    }
    for (scheme, what) in [
        ("http", &b"x-header: and another\r\n"[..]),
        ("http", b"HTTP/1.1 200 OK\r\nx: y"),
        ("socks5", b"HTTP/1.1"),
    ] {
        let error = through(scheme, saying::<R>(what, 10_000).await).await;
        let Error::Proxy { problem: ProxyProblem::Protocol(_), .. } = &error else { panic!("{error:?}") };
    }
    // What a server would say before it was asked is not taken for an answer to us.
    let error = through("http", saying::<R>(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101", 1).await).await;
    let Error::Proxy { problem: ProxyProblem::Protocol(_), .. } = &error else { panic!("{error:?}") };
}
