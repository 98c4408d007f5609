//! A certificate for the pod, and an authority for it, made at start and kept by nobody.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime},
};

use channel_tokio::tls::{ClientAuth, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Clocks differ.
const VALID_BEFORE: Duration = Duration::from_secs(24 * 60 * 60);
/// A pod does not live that long.
const VALID_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A pod's side of TLS, and the authority, as PEM, that clients have to believe.
pub(crate) struct Made {
    pub(crate) tls: ServerTls,
    pub(crate) authority: String,
}

/// A certificate for the names of this machine to itself, for `address` and for `names`. Clients with a certificate of one of `client_authorities` are
/// known by it.
pub(crate) fn make(address: IpAddr, names: &[String], client_authorities: Option<&[u8]>) -> io::Result<Made> {
    let authority_key = KeyPair::generate().map_err(io::Error::other)?;
    let mut authority = params(Vec::new(), "channel-pod")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority_pem = authority.self_signed(&authority_key).map_err(io::Error::other)?.pem();

    let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), address];
    let mut own: Vec<_> = own.iter().filter(|ip| !ip.is_unspecified()).map(IpAddr::to_string).collect();
    own.push("localhost".to_owned());
    own.extend_from_slice(names);
    own.sort();
    own.dedup();
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let issuer = Issuer::new(authority, authority_key);
    let certificate = params(own, "embedded pod")?.signed_by(&key, &issuer).map_err(io::Error::other)?;

    let (chain, key) = (certificate.pem(), key.serialize_pem());
    let tls = match client_authorities {
        None => ServerTls::from_pem(chain.as_bytes(), key.as_bytes())?,
        Some(authorities) => ServerTls::with_client_authorities(
            chain.as_bytes(),
            key.as_bytes(),
            authorities,
            ClientAuth::Optional,
        )?,
    };
    Ok(Made { tls, authority: authority_pem })
}

fn params(names: Vec<String>, common_name: &str) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = SystemTime::now();
    params.not_before = (now - VALID_BEFORE).into();
    params.not_after = (now + VALID_FOR).into();
    Ok(params)
}
