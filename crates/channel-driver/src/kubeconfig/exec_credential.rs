//! What is said between a client and a credential plugin: `ExecCredential` of `client.authentication.k8s.io`, v1 and v1beta1.

use std::time::SystemTime;

use kube_client::config::ExecAuthCluster;
use serde::{Deserialize, Serialize};

use super::{plugin::PluginProblem, user::is_token};
use crate::{Identity, tls::ClientCertificate};

/// The versions that are spoken.
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// The version that a kubeconfig asks for, if it is spoken here.
pub(super) fn version(asked: Option<&str>) -> Option<&'static str> {
    VERSIONS.into_iter().find(|version| Some(*version) == asked)
}

/// What a plugin is told, in the environment's `KUBERNETES_EXEC_INFO`.
#[derive(Serialize)]
pub(super) struct Info<'a> {
    pub(super) kind: &'static str,
    #[serde(rename = "apiVersion")]
    pub(super) api_version: &'static str,
    pub(super) spec: Spec<'a>,
}

#[derive(Serialize)]
pub(super) struct Spec<'a> {
    pub(super) interactive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<&'a ExecAuthCluster>,
}

impl<'a> Info<'a> {
    pub(super) fn new(
        api_version: &'static str,
        interactive: bool,
        cluster: Option<&'a ExecAuthCluster>,
    ) -> Self {
        Self { kind: "ExecCredential", api_version, spec: Spec { interactive, cluster } }
    }
}

/// What a plugin prints. It is full of secrets: it has no `Debug`.
#[derive(Deserialize)]
struct Answer {
    kind: Option<String>,
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// What a plugin gave, and until when it is good, if that is known.
#[derive(Clone)]
pub(super) struct Credential {
    pub(super) identity: Identity,
    pub(super) expires: Option<SystemTime>,
}

impl Credential {
    /// Reads what a plugin printed. Nothing of it goes into an error.
    pub(super) fn read(printed: &[u8], version: &'static str) -> Result<Self, PluginProblem> {
        // kubectl's decoder takes YAML, too, and some plugins print it.
        let answer: Answer = serde_saphyr::from_slice(printed)
            .map_err(|_| PluginProblem::Answer("it is no ExecCredential"))?;
        if answer.kind.as_deref() != Some("ExecCredential") {
            return Err(PluginProblem::Answer("it is no ExecCredential"));
        }
        if answer.api_version.as_deref() != Some(version) {
            return Err(PluginProblem::Answer("it is of another version than it was asked for"));
        }
        let status = answer.status.ok_or(PluginProblem::Answer("it has no status"))?;
        let given = |value: Option<String>| value.filter(|value| !value.trim().is_empty());
        let token = given(status.token).map(|token| token.trim().to_owned());
        let mut identity = Identity::anonymous();
        match (given(status.client_certificate_data), given(status.client_key_data)) {
            (Some(chain), Some(key)) => {
                let certificate = ClientCertificate::from_pem(chain.as_bytes(), key.as_bytes());
                identity = identity.certificate(
                    certificate
                        .map_err(|_| PluginProblem::Answer("its certificate or key cannot be used"))?,
                );
            }
            (None, None) if token.is_none() => {
                return Err(PluginProblem::Answer("it has neither a token nor a certificate with its key"));
            }
            (None, None) => {}
            _ => {
                return Err(PluginProblem::Answer(
                    "it has a certificate without a key, or the other way round",
                ));
            }
        }
        if let Some(token) = token {
            if !is_token(&token) {
                return Err(PluginProblem::Answer("its token has characters in it that no token has"));
            }
            identity = identity.token(token);
        }
        let expires = given(status.expiration_timestamp).map(|expires| {
            let parsed: Result<jiff::Timestamp, _> = expires.trim().parse();
            parsed
                .map(SystemTime::from)
                .map_err(|_| PluginProblem::Answer("its expirationTimestamp is no time"))
        });
        Ok(Self { identity, expires: expires.transpose()? })
    }
}
