//! Ports and addresses from text, as kubectl reads them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::exit::Failure;

/// A local port and the port of the pod that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port {
    /// 0 is any free one.
    pub(super) local: u16,
    pub(super) remote: u16,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        let local = if local.is_empty() { 0 } else { number(local, text)? };
        match number(remote, text)? {
            0 => Err(format!("{text:?}: the port of the pod must be above 0")),
            remote => Ok(Self { local, remote }),
        }
    }
}

fn number(port: &str, of: &str) -> Result<u16, String> {
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if is_number => Ok(number),
        _ if is_number => Err(format!("{of:?}: ports go up to 65535")),
        _ => Err(format!("{of:?} is no port; say LOCAL:REMOTE, :REMOTE or PORT, each a number")),
    }
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

    fn port(text: &str) -> Result<(u16, u16), String> {
        text.parse().map(|Port { local, remote }| (local, remote))
    }

    #[test]
    fn ports_as_kubectl_reads_them() {
        assert_eq!(port("80"), Ok((80, 80)));
        assert_eq!(port("8080:80"), Ok((8080, 80)));
        assert_eq!(port(":80"), Ok((0, 80)));
        assert_eq!(port("0:80"), Ok((0, 80)));
        assert_eq!(port("65535:65535"), Ok((65535, 65535)));
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
            ("http", "no port"),
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
