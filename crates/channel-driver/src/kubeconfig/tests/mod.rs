//! Kubeconfigs in files, as they are found, and what is made of them.

mod files;
mod plugins;
mod selection;

use std::{fs, path::PathBuf};

use channel_proto::BearerToken;
use futures_lite::future::block_on;
use tempfile::TempDir;

use super::*;
use crate::{Identity, credentials::Authorization};

/// A directory with files that belong to a kubeconfig.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, content).unwrap();
        file
    }

    /// A kubeconfig with one context, `c`, of the cluster at `https://k8s.test:6443` and this user, each field as JSON.
    fn kubeconfig(&self, user: &str) -> Kubeconfig {
        self.with_cluster(r#""server": "https://k8s.test:6443""#, user)
    }

    fn with_cluster(&self, cluster: &str, user: &str) -> Kubeconfig {
        let file = self.write("config", one(cluster, user));
        Kubeconfig::from_files([file]).unwrap()
    }
}

fn one(cluster: &str, user: &str) -> String {
    format!(
        r#"{{"clusters": [{{"name": "k", "cluster": {{{cluster}}}}}],
            "users": [{{"name": "me", "user": {{{user}}}}}],
            "contexts": [{{"name": "c", "context": {{"cluster": "k", "user": "me", "namespace": "prod"}}}}],
            "current-context": "c"}}"#
    )
}

fn identity(endpoint: &Endpoint) -> Result<Identity, String> {
    block_on(endpoint.credentials.identity()).map_err(|error| error.to_string())
}

fn token(identity: &Identity) -> Option<&str> {
    match &identity.authorization {
        Some(Authorization::Bearer(token)) => Some(BearerToken::secret(token)),
        _ => None,
    }
}

fn token_of(endpoint: &Endpoint) -> String {
    token(&identity(endpoint).unwrap()).unwrap().to_owned()
}

/// A certificate and its key, as PEM.
fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["k8s.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn base64(text: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(text)
}

fn refusal(kubeconfig: &Kubeconfig) -> String {
    kubeconfig.endpoint().unwrap_err().to_string()
}
