//! What stands behind flags, from text.

use std::{
    convert::Infallible,
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use channel_tokio::{BearerToken, HeartbeatConfig, Subprotocol};

pub(super) fn token(value: &str) -> Result<BearerToken, Infallible> {
    Ok(BearerToken::new(value))
}

pub(super) fn subprotocol(value: &str) -> Result<Subprotocol, String> {
    let short = || Subprotocol::from_name(&format!("{value}.channel.k8s.io"));
    match value {
        "none" => Ok(Subprotocol::Unnamed),
        _ => Subprotocol::from_name(value).or_else(short).ok_or_else(|| {
            let known = Subprotocol::NAMED.map(Subprotocol::name).join(", ");
            format!("it is none of {known}, none")
        }),
    }
}

pub(super) fn heartbeat(value: &str) -> Result<HeartbeatConfig, String> {
    if value == "off" {
        return Ok(HeartbeatConfig::OFF);
    }
    let every = seconds(value).map_err(|error| format!("{error}, or `off`"))?;
    let dead = every * 12 + Duration::from_secs(1);
    Ok(HeartbeatConfig { ping_every: Some(every), dead_after: Some(dead) })
}

/// Within a year, so that sums of a few stay in range.
pub(super) fn seconds(value: &str) -> Result<Duration, String> {
    let number = value.strip_suffix('s').unwrap_or(value).parse::<f64>().ok();
    let number = number.filter(|number| (0.001..=31_536_000.0).contains(number));
    number.map(Duration::from_secs_f64).ok_or_else(|| "it must be a number of seconds above 0".into())
}

pub(super) fn address(value: &str) -> Result<SocketAddr, String> {
    let found = value.to_socket_addrs().map_err(|error| format!("{error}; say ADDRESS:PORT"))?;
    found.into_iter().next().ok_or_else(|| "it has no address".into())
}

/// A DNS label, as names in Kubernetes are; dots are taken as well.
pub(super) fn name(value: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let edges = [value.bytes().next(), value.bytes().last()];
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| inner(byte) && !matches!(byte, b'-' | b'.'));
    if value.bytes().all(inner) && edges.into_iter().all(is_edge) {
        Ok(value.to_owned())
    } else {
        Err("names are made of a-z, 0-9, - and .".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subprotocols_by_name_and_short() {
        assert_eq!(subprotocol("v5"), Ok(Subprotocol::V5));
        assert_eq!(subprotocol("v4.base64.channel.k8s.io"), Ok(Subprotocol::V4Base64));
        assert_eq!(subprotocol("channel.k8s.io"), Ok(Subprotocol::V1));
        assert_eq!(subprotocol("none"), Ok(Subprotocol::Unnamed));
        assert!(subprotocol("V5").is_err() && subprotocol("").is_err());
    }

    #[test]
    fn five_seconds_are_kubectls_heartbeat() {
        assert_eq!(heartbeat("5"), Ok(HeartbeatConfig::default()));
        assert_eq!(heartbeat("off"), Ok(HeartbeatConfig::OFF));
        for wrong in ["0", "-1", "x", "", "inf", "NaN", "1e300"] {
            assert!(heartbeat(wrong).is_err(), "{wrong}");
        }
    }
}
