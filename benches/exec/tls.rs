//! The same over TLS: bytes and nothing else through tokio-rustls, our session, and kube's.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use channel_tokio::{
    Endpoint, Io, Tokio,
    tls::{ServerTls, Tls},
};
use kube::Config;
use rcgen::CertifiedKey;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, ServerName},
    version::TLS13,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    kube_rs, ours, pod, raw,
    work::{Contender, Work},
};

/// Both ends' settings, the same for all: TLS 1.3 with ring.
static SETTINGS: LazyLock<(Arc<ClientConfig>, Arc<ServerConfig>)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let CertifiedKey { cert, signing_key } = made.expect("an address is a name");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("it was made as a certificate");
    let provider = Arc::new(ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider.clone());
    let client = client.with_protocol_versions(&[&TLS13]).expect("ring can do it");
    let server = ServerConfig::builder_with_provider(provider);
    let server = server.with_protocol_versions(&[&TLS13]).expect("ring can do it");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("it was made as a key");
    let server = server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key);
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Arc::new(client), Arc::new(server.expect("the key is that of the certificate")))
});

#[derive(Clone, Copy)]
pub(crate) struct RawTls;

impl Contender for RawTls {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        raw::serve(TlsAcceptor::from(SETTINGS.1.clone()).accept(stream).await?).await
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(server.ip());
        raw::perform(TlsConnector::from(SETTINGS.0.clone()).connect(name, stream).await?, work).await
    }
}

#[derive(Clone, Copy)]
pub(crate) struct OursTls;

impl Contender for OursTls {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        pod::serve(ServerTls::from(SETTINGS.1.clone()).accept(Io(stream)).await?).await
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        let endpoint = Endpoint::new(&format!("https://{server}"))?;
        ours::perform::<Tokio>(endpoint.tls(Tls::from(SETTINGS.0.clone())), work).await
    }
}

#[derive(Clone, Copy)]
pub(crate) struct KubeTls;

impl Contender for KubeTls {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        OursTls.serve(stream).await
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        let mut config = Config::new(format!("https://{server}").parse().map_err(io::Error::other)?);
        // It would take the certificate for that of an authority, which it is not.
        config.accept_invalid_certs = true;
        kube_rs::exec(config, work).await
    }
}
