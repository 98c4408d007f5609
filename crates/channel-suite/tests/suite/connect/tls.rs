//! How TLS behaves, on any runtime: who is believed, what is said when somebody is not, and that the bytes arrive.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use channel_driver::{
    Client, EndOfStdin, Endpoint, Error, Identity, Session,
    runtime::{Accept, Runtime, Transport},
    tls::{ClientAuth, ClientCertificate, ServerTls, Tls, TlsProblem},
};

use crate::connect::{
    certificates::{Authority, Certificate, Validity},
    server::{listen, serve},
};

/// Hands the names of all cases to a macro, which makes a test of each.
macro_rules! all {
    ($each:ident) => {
        $each! {
            tls::the_right_name_is_believed
            tls::a_wrong_name_is_not
            tls::ipv4_and_ipv6_addresses_are_names
            tls::an_expired_certificate_tells_when
            tls::a_certificate_for_later_tells_when
            tls::an_unknown_authority_is_not_believed
            tls::anybody_is_believed_when_asked_for
            tls::a_client_certificate_opens_the_door
            tls::without_the_right_client_certificate_it_stays_shut
            tls::a_server_that_stops_half_way_is_a_timeout
            tls::what_is_not_tls_says_so
            tls::nothing_secret_is_shown
        }
    };
}
pub(crate) use all;

pub(crate) const NAME: &str = "k8s.test";

pub(crate) fn server_tls(certificate: &Certificate) -> ServerTls {
    ServerTls::from_pem(certificate.chain.as_bytes(), certificate.key.as_bytes()).unwrap()
}

/// Believes the authority, and expects that name whatever the URL says.
pub(crate) fn client_tls(authority: &Authority, name: &str) -> Tls {
    Tls::new().authorities(authority.pem.as_bytes()).unwrap().server_name(name).unwrap()
}

fn client_certificate(certificate: &Certificate) -> ClientCertificate {
    ClientCertificate::from_pem(certificate.chain.as_bytes(), certificate.key.as_bytes()).unwrap()
}

pub(crate) fn endpoint(address: SocketAddr, tls: Tls) -> Endpoint {
    Endpoint::new(&format!("https://{address}")).unwrap().tls(tls)
}

/// Starts a session at the endpoint, sends `data` to and fro, and gives back what came.
pub(crate) async fn ask<R: Runtime<Timer: Unpin>>(endpoint: Endpoint, data: Bytes) -> Result<Vec<u8>, Error> {
    let client = Client::<R>::new(endpoint);
    let exec = client.exec("default", "web-0").command(["cat"]).stdin().stdout();
    there_and_back::<R>(exec.start().await?, data).await
}

/// Both directions at once, in two tasks.
pub(crate) async fn there_and_back<R: Runtime<Timer: Unpin>>(
    mut session: Session,
    data: Bytes,
) -> Result<Vec<u8>, Error> {
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    R::spawn(async move {
        if stdin.write_bytes(data).await.is_ok() {
            let _ = poll_fn(|cx| stdin.poll_close(cx, EndOfStdin::HalfCloseOnly)).await;
        }
    });
    let mut back = Vec::new();
    while let Some(chunk) = stdout.chunk().await? {
        back.extend_from_slice(&chunk);
    }
    assert!(session.wait().await?.success());
    Ok(back)
}

pub(crate) const HELLO: Bytes = Bytes::from_static(b"hello");

/// A server with a certificate for `names`, and what a client that expects `name` and believes the server's authority says of it.
async fn judge<R: Runtime<Timer: Unpin>>(
    names: &[&str],
    validity: Validity,
    name: &str,
) -> Result<Vec<u8>, Error> {
    let authority = Authority::new();
    let address = serve::<R>(server_tls(&authority.issue(names, validity))).await;
    ask::<R>(endpoint(address, client_tls(&authority, name)), HELLO).await
}

/// That it failed for this reason, with all of `words` in what it says.
fn assert_problem(result: Result<Vec<u8>, Error>, problem: TlsProblem, words: &[&str]) {
    let error = result.unwrap_err();
    let Error::Tls(tls) = &error else { panic!("{error:?}") };
    let text = error.to_string();
    assert_eq!(tls.problem(), problem, "{text}");
    assert_eq!(tls.host(), "127.0.0.1");
    for word in words.iter().chain(&["127.0.0.1"]) {
        assert!(text.contains(word), "{word} in {text}");
    }
}

pub(crate) async fn the_right_name_is_believed<R: Runtime<Timer: Unpin>>() {
    assert_eq!(judge::<R>(&["other.test", NAME], Validity::Now, NAME).await.unwrap(), b"hello");
}

pub(crate) async fn a_wrong_name_is_not<R: Runtime<Timer: Unpin>>() {
    let result = judge::<R>(&["other.test"], Validity::Now, NAME).await;
    assert_problem(result, TlsProblem::WrongName, &["other.test", NAME]);
    // The URL's host is the name unless another is given.
    let authority = Authority::new();
    let address = serve::<R>(server_tls(&authority.issue(&[NAME], Validity::Now))).await;
    let tls = Tls::new().authorities(authority.pem.as_bytes()).unwrap();
    let result = ask::<R>(endpoint(address, tls), HELLO).await;
    assert_problem(result, TlsProblem::WrongName, &[NAME]);
}

pub(crate) async fn ipv4_and_ipv6_addresses_are_names<R: Runtime<Timer: Unpin>>() {
    let both = ["127.0.0.1", "fd00::17"];
    for right in both.into_iter().chain(["[fd00::17]"]) {
        assert_eq!(judge::<R>(&both, Validity::Now, right).await.unwrap(), b"hello");
    }
    for wrong in ["127.0.0.2", "fd00::18", NAME] {
        assert_problem(judge::<R>(&both, Validity::Now, wrong).await, TlsProblem::WrongName, &[wrong]);
    }
    // A name that looks like an address is none.
    assert_problem(
        judge::<R>(&[NAME], Validity::Now, "10.0.0.1").await,
        TlsProblem::WrongName,
        &["10.0.0.1"],
    );
}

pub(crate) async fn an_expired_certificate_tells_when<R: Runtime<Timer: Unpin>>() {
    let result = judge::<R>(&[NAME], Validity::Past, NAME).await;
    assert_problem(result, TlsProblem::Expired, &["expired at 2021-01-01T00:00:00Z"]);
}

pub(crate) async fn a_certificate_for_later_tells_when<R: Runtime<Timer: Unpin>>() {
    let result = judge::<R>(&[NAME], Validity::Future, NAME).await;
    assert_problem(result, TlsProblem::NotYetValid, &["not valid before 4000-01-01T00:00:00Z"]);
}

pub(crate) async fn an_unknown_authority_is_not_believed<R: Runtime<Timer: Unpin>>() {
    let authority = Authority::new();
    let address = serve::<R>(server_tls(&authority.issue(&[NAME], Validity::Now))).await;
    for other in [Authority::named("other"), Authority::new()] {
        let result = ask::<R>(endpoint(address, client_tls(&other, NAME)), HELLO).await;
        assert_problem(result, TlsProblem::UnknownAuthority, &["authority"]);
    }
}

pub(crate) async fn anybody_is_believed_when_asked_for<R: Runtime<Timer: Unpin>>() {
    let certificate = Authority::new().issue(&["other.test"], Validity::Past);
    let address = serve::<R>(server_tls(&certificate)).await;
    let tls = Tls::new().danger_accept_any_certificate();
    assert_eq!(ask::<R>(endpoint(address, tls), HELLO).await.unwrap(), b"hello");
}

/// A server that wants certificates of `clients`.
async fn strict<R: Runtime<Timer: Unpin>>(authority: &Authority, clients: &Authority) -> SocketAddr {
    let Certificate { chain, key } = authority.issue(&[NAME], Validity::Now);
    let clients = clients.pem.as_bytes();
    let tls =
        ServerTls::with_client_authorities(chain.as_bytes(), key.as_bytes(), clients, ClientAuth::Required);
    serve::<R>(tls.unwrap()).await
}

pub(crate) async fn a_client_certificate_opens_the_door<R: Runtime<Timer: Unpin>>() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let address = strict::<R>(&authority, &clients).await;
    let tls = client_tls(&authority, NAME);
    let right = client_certificate(&clients.issue(&["me"], Validity::Now));
    let fixed = endpoint(address, tls.clone().client_certificate(right.clone()));
    assert_eq!(ask::<R>(fixed, HELLO).await.unwrap(), b"hello");
    // That of the identity comes before the one in the settings.
    let wrong = client_certificate(&authority.issue(&["me"], Validity::Now));
    let identity = Identity::anonymous().certificate(right);
    let of_identity = endpoint(address, tls.client_certificate(wrong)).credentials(identity);
    assert_eq!(ask::<R>(of_identity, HELLO).await.unwrap(), b"hello");
}

pub(crate) async fn without_the_right_client_certificate_it_stays_shut<R: Runtime<Timer: Unpin>>() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let address = strict::<R>(&authority, &clients).await;
    let tls = client_tls(&authority, NAME);
    let missing = ask::<R>(endpoint(address, tls.clone()), HELLO).await;
    assert_problem(missing, TlsProblem::OurCertificate, &["certificate"]);
    let other = Authority::named("other");
    for (by, validity) in [(&authority, Validity::Now), (&other, Validity::Now), (&clients, Validity::Past)] {
        let wrong = client_certificate(&by.issue(&["me"], validity));
        let result = ask::<R>(endpoint(address, tls.clone().client_certificate(wrong)), HELLO).await;
        assert_problem(result, TlsProblem::OurCertificate, &["certificate"]);
    }
}

pub(crate) async fn a_server_that_stops_half_way_is_a_timeout<R: Runtime<Timer: Unpin>>() {
    let (mut listener, address) = listen::<R>().await;
    R::spawn(async move {
        let mut stream = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        // Takes the hello, says the beginning of a record, and nothing more.
        let mut hello = BytesMut::with_capacity(4096);
        poll_fn(|cx| stream.poll_read(cx, &mut hello)).await.unwrap();
        poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(&[22, 3, 3, 0])])).await.unwrap();
        let mut rest = BytesMut::with_capacity(4096);
        let _ = poll_fn(|cx| stream.poll_read(cx, &mut rest)).await;
    });
    let endpoint = endpoint(address, Tls::new().danger_accept_any_certificate());
    let client = Client::<R>::new(endpoint).connect_timeout(Duration::from_millis(300));
    let error = client.exec("default", "web-0").command(["true"]).output().await.unwrap_err();
    let Error::Connect { source, authority } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), io::ErrorKind::TimedOut);
    assert_eq!(*authority, address.to_string());
}

pub(crate) async fn what_is_not_tls_says_so<R: Runtime<Timer: Unpin>>() {
    let (mut listener, address) = listen::<R>().await;
    R::spawn(async move {
        while let Ok(mut stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(answer)])).await.unwrap();
            let mut rest = BytesMut::with_capacity(4096);
            let _ = poll_fn(|cx| stream.poll_read(cx, &mut rest)).await;
        }
    });
    let result = ask::<R>(endpoint(address, Tls::new().danger_accept_any_certificate()), HELLO).await;
    assert_problem(result, TlsProblem::Protocol, &["not TLS"]);
}

pub(crate) fn pattern(len: u32) -> Bytes {
    (0..len).map(|at| (at / 7).to_le_bytes()[0]).collect()
}

pub(crate) async fn nothing_secret_is_shown<R: Runtime<Timer: Unpin>>() {
    let certificate = Authority::new().issue(&["me"], Validity::Now);
    let secret = certificate.key.lines().nth(1).unwrap();
    let known = client_certificate(&certificate);
    let identity = Identity::anonymous().token("t0ken").certificate(known.clone());
    let tls = Tls::new().client_certificate(known);
    let endpoint = Endpoint::new("https://k8s.test").unwrap().tls(tls).credentials(identity.clone());
    let client = Client::<R>::new(endpoint.clone());
    let shown = format!("{endpoint:?} {client:?} {identity:?} {:?}", server_tls(&certificate));
    assert!(!shown.contains("t0ken") && !shown.contains(secret), "{shown}");
    // Nor when it cannot be read.
    let broken = certificate.key.replace("-----END", "----END");
    let error = ClientCertificate::from_pem(certificate.chain.as_bytes(), broken.as_bytes()).unwrap_err();
    let other = Authority::new().issue(&["me"], Validity::Now);
    let mixed = ClientCertificate::from_pem(other.chain.as_bytes(), certificate.key.as_bytes()).unwrap_err();
    assert!(!format!("{error:?} {mixed:?}").contains(secret), "{error} {mixed}");
}
