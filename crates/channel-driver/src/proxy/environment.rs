//! The proxy that the environment's variables name, as Go's `golang.org/x/net/http/httpproxy` reads them and so kubectl; and `ALL_PROXY`,
//! which curl and others read.

use std::net::IpAddr;

use super::Proxy;
use crate::{
    Error,
    endpoint::{Scheme, dial_host},
};

/// Where variables are looked up; the process's own, or those of a test.
pub(crate) struct Environment<F>(pub(crate) F);

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    /// The proxy for a server. Names in capitals come first; what is empty counts as absent.
    ///
    /// # Errors
    /// The variable that counts holds no URL of a proxy.
    pub(crate) fn proxy(&self, scheme: Scheme, host: &str, port: u16) -> Result<Option<Proxy>, Error> {
        let name = match scheme {
            // A request to a CGI program sets HTTP_PROXY, by a header `Proxy`: httpoxy, CVE-2016-5385.
            Scheme::Http if self.get("REQUEST_METHOD").is_some() => None,
            Scheme::Http => Some("HTTP_PROXY"),
            #[cfg(feature = "tls")]
            Scheme::Https => Some("HTTPS_PROXY"),
        };
        let found = name.and_then(|name| self.either(name)).or_else(|| self.either("ALL_PROXY"));
        let Some((name, url)) = found else { return Ok(None) };
        if !self.is_proxied(dial_host(host), port) {
            return Ok(None);
        }
        match Proxy::new(&url) {
            Ok(proxy) => Ok(Some(proxy)),
            Err(error) => Err(Error::Usage(format!("{name} of the environment: {error}"))),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn either(&self, name: &str) -> Option<(String, String)> {
        let names = [name.to_owned(), name.to_lowercase()];
        names.into_iter().find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    /// This machine itself never is, nor what `NO_PROXY` names.
    fn is_proxied(&self, host: &str, port: u16) -> bool {
        let host = host.to_lowercase();
        let address = host.parse::<IpAddr>().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return false;
        }
        let Some((_, rules)) = self.either("NO_PROXY") else { return true };
        let mut rules = rules.split(',').map(|rule| rule.trim().to_lowercase());
        !rules.any(|rule| matches(&rule, &host, address, port))
    }
}

/// Whether one rule of `NO_PROXY` speaks of a server: `*`, a network, an address or a name with or without a port. A name speaks
/// of what is below it too, and with a `.` or `*.` before it of nothing else.
fn matches(rule: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let Some((network, bits)) = rule.split_once('/') {
        let network = network.parse().ok().zip(bits.parse().ok());
        return network
            .zip(address)
            .is_some_and(|((network, bits), address)| is_within(address, network, bits));
    }
    let (name, only_port) = split_port(rule);
    if only_port.is_some_and(|only| only != port.to_string()) {
        return false;
    }
    if let Ok(known) = dial_host(name).parse::<IpAddr>() {
        return address == Some(known);
    }
    let (below, exact) = match name.strip_prefix('*').unwrap_or(name).strip_prefix('.') {
        Some(below) => (below, None),
        None => (name, Some(name)),
    };
    let is_below = || host.strip_suffix(below).is_some_and(|front| front.ends_with('.'));
    !below.is_empty() && (exact == Some(host) || is_below())
}

/// `host`, `host:port`, `[::1]:port`; an IPv6 address without brackets has no port.
fn split_port(rule: &str) -> (&str, Option<&str>) {
    match rule.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (rule, None),
    }
}

/// Whether an address is in a network of so many leading bits.
fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let same = |address: u128, network: u128, width: u32| {
        bits <= width && (bits == 0 || (address ^ network) >> (width - bits) == 0)
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            same(address.to_bits().into(), network.to_bits().into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => same(address.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}
