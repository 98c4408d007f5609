//! What a pod finds in itself: the API server in its environment, a service account in its files.

use std::{env, fs, net::Ipv6Addr, path::PathBuf};

use super::{Found, user::Source};
use crate::{Endpoint, Error, tls::Tls};

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where the API server is, and where the service account's files are.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: String,
    pub(super) files: PathBuf,
}

impl Place {
    pub(super) fn of_this_process() -> Result<Self, Error> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        match (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")) {
            (Some(host), Some(port)) => Ok(Self { host, port, files: SERVICE_ACCOUNT.into() }),
            _ => Err(Error::Usage(
                "this is no pod of a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn endpoint(self) -> Result<Found, Error> {
        let Self { host, port, files } = self;
        let host = match host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => host,
        };
        let namespace = files.join("namespace");
        let namespace = fs::read_to_string(&namespace)
            .map_err(|error| Error::Usage(format!("cannot read {}: {error}", namespace.display())))?;
        let endpoint = Endpoint::new(&format!("https://{host}:{port}"))?
            .tls(Tls::new().authorities_file(&files.join("ca.crt"))?)
            .credentials(Source::service_account(files.join("token")));
        Ok(Found { endpoint, namespace: namespace.trim().to_owned() })
    }
}
