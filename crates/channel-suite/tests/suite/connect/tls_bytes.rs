//! That the bytes of a session arrive over TLS, on any runtime, whatever happens to them on the way.

use std::{
    future::poll_fn,
    io::{self, IoSlice, Write},
    sync::Arc,
};

use bytes::BytesMut;
use channel_driver::{
    Error, ServerSession, Session,
    runtime::{Runtime, Transport},
    tls::{Tls, TlsProblem},
};
use channel_proto::{Outcome, SessionConfig, Streams, Subprotocol};
use rustls::pki_types::pem::PemObject;

use crate::connect::{
    certificates::{Authority, Certificate, Validity},
    chopped,
    direct::Direct,
    server::{echo, serve},
    tls::{NAME, ask, client_tls, endpoint, pattern, server_tls, there_and_back},
};

/// Hands the names of all cases to a macro, which makes a test of each.
macro_rules! all {
    ($each:ident) => {
        $each! {
            tls_bytes::both_versions_are_spoken
            tls_bytes::much_data_goes_both_ways
            tls_bytes::pieces_of_a_few_bytes_change_nothing
            tls_bytes::a_cut_is_no_end
            tls_bytes::a_byte_changed_on_the_way_is_an_error
            tls_bytes::a_key_update_is_answered_with_the_next_data
        }
    };
}
pub(crate) use all;

pub(crate) async fn both_versions_are_spoken<R: Runtime<Timer: Unpin>>() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let pem = authority.pem.as_bytes();
        let certificate = PemObject::from_pem_slice(pem).unwrap();
        roots.add(certificate).unwrap();
        let only = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = serve::<R>(server_tls(&authority.issue(&[NAME], Validity::Now))).await;
        let tls = Tls::from(Arc::new(only)).server_name(NAME).unwrap();
        let data = pattern(300_000);
        let back = ask::<R>(endpoint(address, tls), data.clone()).await.unwrap();
        assert!(back == data, "{version:?}: {} of {} bytes came back", back.len(), data.len());
    }
}

pub(crate) async fn much_data_goes_both_ways<R: Runtime<Timer: Unpin>>() {
    let authority = Authority::new();
    let address = serve::<R>(server_tls(&authority.issue(&[NAME], Validity::Now))).await;
    let data = pattern(32 << 20);
    let back = ask::<R>(endpoint(address, client_tls(&authority, NAME)), data.clone()).await.unwrap();
    assert!(back == data, "{} of {} bytes came back", back.len(), data.len());
}

pub(crate) async fn pieces_of_a_few_bytes_change_nothing<R: Runtime<Timer: Unpin>>() {
    let authority = Authority::new();
    let tls = server_tls(&authority.issue(&[NAME], Validity::Now));
    let (near, far) = chopped::pipe();
    let streams = Streams { stdin: true, stdout: true, ..Streams::default() };
    R::spawn(async move {
        let stream = tls.accept(far).await.unwrap();
        let config = SessionConfig::server();
        let session = ServerSession::over::<R>(stream, BytesMut::new(), Subprotocol::V5, streams, &config);
        echo(session).await.unwrap();
    });
    let stream = client_tls(&authority, NAME).connect(near, "127.0.0.1", None).await.unwrap();
    let config = SessionConfig::client([7; 32]);
    let session = Session::over::<R>(stream, BytesMut::new(), Subprotocol::V5, streams, &config);
    let data = pattern(1 << 20);
    let back = there_and_back::<R>(session, data.clone()).await.unwrap();
    assert!(back == data, "{} of {} bytes came back", back.len(), data.len());
}

/// The server goes away behind some output, with and without saying so in TLS.
pub(crate) async fn a_cut_is_no_end<R: Runtime<Timer: Unpin>>() {
    let authority = Authority::new();
    for how in [Cut::CloseNotify, Cut::Bare] {
        let tls = server_tls(&authority.issue(&[NAME], Validity::Now));
        let (near, far) = chopped::pipe();
        R::spawn(async move {
            let mut stream = tls.accept(far).await.unwrap();
            // An empty message of channel 1, and one with a byte in it.
            let mut frames = &b"\x82\x01\x01\x82\x02\x01x"[..];
            while !frames.is_empty() {
                let written = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(frames)])).await.unwrap();
                frames = &frames[written..];
            }
            poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
            if how == Cut::CloseNotify {
                poll_fn(|cx| stream.poll_shutdown(cx)).await.unwrap();
            }
        });
        let stream = client_tls(&authority, NAME).connect(near, "127.0.0.1", None).await.unwrap();
        let streams = Streams { stdout: true, ..Streams::default() };
        let config = SessionConfig::client([7; 32]);
        let mut session = Session::over::<R>(stream, BytesMut::new(), Subprotocol::V5, streams, &config);
        let mut stdout = session.stdout.take().unwrap();
        assert_eq!(stdout.chunk().await.unwrap().as_deref(), Some(&b"x"[..]));
        assert_eq!(stdout.chunk().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(!session.wait().await.unwrap().success());
    }
}

pub(crate) async fn a_byte_changed_on_the_way_is_an_error<R: Runtime<Timer: Unpin>>() {
    let authority = Authority::new();
    let mut told = 0;
    // In the head of a record, in its data and at its end, or near it.
    for at in [100_000, 100_003, 111_111, 120_000] {
        let tls = server_tls(&authority.issue(&[NAME], Validity::Now));
        let (near, far) = chopped::changing_pipe(at);
        let streams = Streams { stdout: true, ..Streams::default() };
        R::spawn(async move {
            let stream = tls.accept(far).await.unwrap();
            let config = SessionConfig::server();
            let mut session =
                ServerSession::over::<R>(stream, BytesMut::new(), Subprotocol::V5, streams, &config);
            let _ = session.stdout.take().unwrap().write_bytes(pattern(1 << 20)).await;
            let _ = session.finish(&Outcome::Exited(0)).await;
        });
        let stream = client_tls(&authority, NAME).connect(near, "127.0.0.1", None).await.unwrap();
        let config = SessionConfig::client([7; 32]);
        let mut session = Session::over::<R>(stream, BytesMut::new(), Subprotocol::V5, streams, &config);
        let (mut stdout, mut came) = (session.stdout.take().unwrap(), Vec::new());
        while let Ok(chunk) = stdout.chunk().await {
            came.extend_from_slice(&chunk.expect("an error in the place of an end"));
        }
        assert!(pattern(1 << 20).starts_with(&came) && came.len() < at, "{} bytes", came.len());
        match session.wait().await {
            Err(Error::Tls(error)) => {
                assert_eq!(error.problem(), TlsProblem::Protocol);
                told += 1;
            }
            // A length that was changed, so that the record never ends.
            ended => assert_eq!(ended.unwrap(), Outcome::EndedWithoutStatus(None)),
        }
    }
    assert!(told > 0);
}

/// The server changes its keys and wants the client to. Reading must not write, lest it wait for the wrong direction.
#[expect(clippy::extra_unused_type_parameters, reason = "all are called alike")]
pub(crate) async fn a_key_update_is_answered_with_the_next_data<R: Runtime<Timer: Unpin>>() {
    let authority = Authority::new();
    let Certificate { chain, key } = authority.issue(&[NAME], Validity::Now);
    let chain = rustls::pki_types::CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
    let direct = Direct::new(config);
    let mut stream = client_tls(&authority, NAME).connect(direct.clone(), NAME, None).await.unwrap();
    let mut write = async |data: &'static [u8]| {
        let count = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(data)])).await.unwrap();
        assert_eq!((count, direct.peer().received()), (data.len(), data.to_vec()));
        // Twice, since the answer to the first must not be in the way of the second.
        for word in [&b"one"[..], b"two"] {
            direct.peer().connection.refresh_traffic_keys().unwrap();
            direct.peer().connection.writer().write_all(word).unwrap();
            let mut read = BytesMut::with_capacity(100);
            poll_fn(|cx| stream.poll_read(cx, &mut read)).await.unwrap();
            assert_eq!(read, word);
        }
    };
    write(b"with the first keys").await;
    write(b"with the next").await;
    write(b"and the next").await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    CloseNotify,
    Bare,
}
