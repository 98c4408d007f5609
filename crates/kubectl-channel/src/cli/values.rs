//! What stands behind flags, from text.

use std::{
    convert::Infallible,
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use channel_proto::Service;
use channel_tokio::{BearerToken, HeartbeatConfig, Subprotocol, Transport};

use crate::endpoint::StreamingUrl;

pub(super) fn token(value: &str) -> Result<BearerToken, Infallible> {
    Ok(BearerToken::new(value))
}

pub(super) fn url(value: &str) -> Result<StreamingUrl, Infallible> {
    Ok(StreamingUrl::new(value))
}

/// Any that a client can offer.
pub(super) fn subprotocol(value: &str) -> Result<Subprotocol, String> {
    subprotocol_of(&[Service::RemoteCommand, Service::PortForward], value)
}

/// One of exec and attach.
pub(super) fn served_subprotocol(value: &str) -> Result<Subprotocol, String> {
    subprotocol_of(&[Service::RemoteCommand], value)
}

fn subprotocol_of(services: &[Service], value: &str) -> Result<Subprotocol, String> {
    let mut known: Vec<Subprotocol> = Vec::new();
    for service in services {
        for transport in [Transport::WebSocket, Transport::Spdy] {
            let spoken = Subprotocol::spoken(*service, transport).iter();
            known.extend(spoken.filter(|subprotocol| **subprotocol != Subprotocol::Unnamed));
        }
    }
    let long = match value {
        "none" => return Ok(Subprotocol::Unnamed),
        "tunnel" => Subprotocol::Tunnel.name(),
        value => value,
    };
    let is_meant = |name: &str| name == long || name.strip_suffix(".channel.k8s.io") == Some(long);
    known.iter().copied().find(|subprotocol| is_meant(subprotocol.name())).ok_or_else(|| {
        let mut names: Vec<_> = known.iter().map(|subprotocol| subprotocol.name()).collect();
        names.sort_unstable();
        names.dedup();
        format!("it is none of {}, none", names.join(", "))
    })
}

pub(super) fn heartbeat(value: &str) -> Result<HeartbeatConfig, String> {
    if value == "off" {
        return Ok(HeartbeatConfig::OFF);
    }
    let every = seconds(value).map_err(|error| format!("{error}, or `off`"))?;
    let dead = every * 12 + Duration::from_secs(1);
    Ok(HeartbeatConfig { ping_every: Some(every), dead_after: Some(dead) })
}

/// So that sums of a few stay in range.
const YEAR: Duration = Duration::from_secs(31_536_000);

/// As Go writes it, and so kubectl: numbers, each with its unit. Within a year.
pub(super) fn duration(value: &str) -> Result<Duration, String> {
    let is_of_number = |character: char| character.is_ascii_digit() || character == '.';
    let (mut sum, mut rest) = (Duration::ZERO, value);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|one| !is_of_number(one)).unwrap_or(rest.len()));
        let (unit, behind) = behind.split_at(behind.find(is_of_number).unwrap_or(behind.len()));
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(NO_DURATION.into()),
        };
        let part =
            number.parse::<f64>().ok().and_then(|number| Duration::try_from_secs_f64(number * seconds).ok());
        let total = part.and_then(|part| sum.checked_add(part)).filter(|total| *total <= YEAR);
        (sum, rest) = (total.ok_or(NO_DURATION)?, behind);
    }
    if sum.is_zero() { Err(NO_DURATION.into()) } else { Ok(sum) }
}

const NO_DURATION: &str = "it must be a time above 0 and within a year, with its unit: 5s, 2m or 1h30m";

/// Within a year.
pub(super) fn seconds(value: &str) -> Result<Duration, String> {
    let number = value.strip_suffix('s').unwrap_or(value).parse::<f64>().ok();
    let number = number.filter(|number| (0.001..=YEAR.as_secs_f64()).contains(number));
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
        assert_eq!(subprotocol("v3"), Ok(Subprotocol::V3));
        assert_eq!(subprotocol("tunnel"), Ok(Subprotocol::Tunnel));
        assert_eq!(subprotocol("SPDY/3.1+portforward.k8s.io"), Ok(Subprotocol::Tunnel));
        assert_eq!(subprotocol("portforward.k8s.io"), Ok(Subprotocol::PortForward));
        assert!(subprotocol("V5").is_err() && subprotocol("").is_err());
        assert_eq!(served_subprotocol("v3"), Ok(Subprotocol::V3));
        assert!(served_subprotocol("tunnel").is_err());
    }

    #[test]
    fn durations_as_go_writes_them() {
        for (text, milliseconds) in [
            ("5s", 5000),
            ("1m0s", 60_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("300ms", 300),
            ("1000us", 1),
            ("1000\u{b5}s", 1),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in
            ["", "0", "0s", "60", "s", "5 s", "-5s", "1.2.3s", ".s", "5x", "5s6", "9000h", "1e3s", "infs"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
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
