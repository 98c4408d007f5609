//! Ports and addresses from text, as kubectl reads them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::{
    exit::Failure,
    resource::{RemotePort, ResolvedPort},
};

/// A local port and the port of the pod that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port {
    /// 0 is any free one.
    pub(super) local: u16,
    pub(super) remote: u16,
}

/// The same as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    local: LocalPort,
    pub(super) remote: RemotePort,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LocalPort {
    /// 0 is any free one.
    Number(u16),
    /// That of the pod, or of the service before it.
    Same,
}

impl Wanted {
    /// Once it is known which port of the pod it is.
    pub(super) fn resolved(&self, port: ResolvedPort) -> Port {
        let local = match self.local {
            LocalPort::Number(local) => local,
            LocalPort::Same => port.asked,
        };
        Port { local, remote: port.remote }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (local, remote) = match text.split_once(':') {
            None => (LocalPort::Same, text),
            Some(("", remote)) => (LocalPort::Number(0), remote),
            Some((local, remote)) => (LocalPort::Number(number(local, text)?), remote),
        };
        if is_name(remote) {
            return Ok(Self { local, remote: RemotePort::Name(remote.to_owned()) });
        }
        match number(remote, text)? {
            0 => Err(format!("{text:?}: the port of the pod must be above 0")),
            number => Ok(Self { local, remote: RemotePort::Number(number) }),
        }
    }
}

fn number(port: &str, of: &str) -> Result<u16, String> {
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if is_number => Ok(number),
        _ if is_number => Err(format!("{of:?}: ports go up to 65535")),
        _ => Err(format!(
            "{of:?} is no port; say LOCAL:REMOTE, :REMOTE or PORT, each a number, and REMOTE also by its name"
        )),
    }
}

/// The name that a port can have in a pod or a service (RFC 6335 §5.1).
fn is_name(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 15
        && text.bytes().all(is_known)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

/// A local address, as it was named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The first is one that every machine has.
    pub(super) ips: Vec<IpAddr>,
}

impl Address {
    pub(super) fn parse_all(names: &[String]) -> Result<Vec<Self>, Failure> {
        names.iter().map(|name| name.parse().map_err(Failure::usage)).collect()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "localhost" {
            return Ok(Self { ips: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] });
        }
        let ip = name.parse().map_err(|_| format!("{name:?} is no IP address, nor localhost"))?;
        Ok(Self { ips: vec![ip] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Result<Wanted, String> {
        text.parse()
    }

    /// As if the pod has 80 where its service has 8080, under the name of `http`.
    fn port(text: &str) -> Result<(u16, u16), String> {
        let wanted = wanted(text)?;
        let resolved = match wanted.remote {
            RemotePort::Number(number) => ResolvedPort::same(number),
            RemotePort::Name(_) => ResolvedPort { remote: 80, asked: 8080 },
        };
        let Port { local, remote } = wanted.resolved(resolved);
        Ok((local, remote))
    }

    #[test]
    fn ports_as_kubectl_reads_them() {
        assert_eq!(port("80"), Ok((80, 80)));
        assert_eq!(port("8080:80"), Ok((8080, 80)));
        assert_eq!(port(":80"), Ok((0, 80)));
        assert_eq!(port("0:80"), Ok((0, 80)));
        assert_eq!(port("65535:65535"), Ok((65535, 65535)));
        assert_eq!(port("http"), Ok((8080, 80)));
        assert_eq!(port("1:http"), Ok((1, 80)));
        assert_eq!(port(":http"), Ok((0, 80)));
    }

    #[test]
    fn no_ports() {
        for (text, why) in [
            ("0", "above 0"),
            ("80:0", "above 0"),
            ("65536", "up to 65535"),
            ("99999:80", "up to 65535"),
            ("", "no port"),
            (":", "no port"),
            ("80:", "no port"),
            ("-1", "no port"),
            ("+80", "no port"),
            ("http:80", "no port"),
            ("Http", "no port"),
            ("no--name", "no port"),
            ("sixteen-letters-", "no port"),
            ("1:2:3", "no port"),
        ] {
            let error = port(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn localhost_is_two() {
        assert_eq!("localhost".parse::<Address>().unwrap().ips.len(), 2);
        assert_eq!("::1".parse::<Address>().unwrap().ips.len(), 1);
        assert!("example.com".parse::<Address>().is_err());
    }
}
