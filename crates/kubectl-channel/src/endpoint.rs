//! From flags and environment to a server: kubectl's own ways, and two variables more.

use std::{env, fmt, fs, io::Read, path::Path};

use channel_tokio::{
    BearerToken, Endpoint,
    kubeconfig::{Found, Impersonation, Kubeconfig},
};

use crate::{
    cli::{KubeconfigFlags, ServerFlags, TokenFlags},
    exit::Failure,
    tls,
};

const SERVER: &str = "KUBECTL_CHANNEL_SERVER";
const TOKEN: &str = "KUBECTL_CHANNEL_TOKEN";

/// No token is longer than this; what is, is another file.
const LONGEST_TOKEN: u64 = 64 << 10;

/// The server that the flags name, or the kubeconfig, or this pod's own cluster; and the namespace to work in unless another is said.
///
/// # Errors
/// There is none, or it or what belongs to it cannot be used.
pub(crate) fn resolve(flags: &ServerFlags) -> Result<Found, Failure> {
    let kubeconfig = match &flags.kubeconfig.kubeconfig {
        Some(file) => Kubeconfig::from_files([file])?,
        None => Kubeconfig::load()?,
    };
    let kubeconfig = overridden(kubeconfig, flags, token(&flags.token)?);
    match kubeconfig.is_empty() {
        true if env::var_os("KUBERNETES_SERVICE_HOST").is_none() => Err(Failure::usage(NO_SERVER)),
        true => Ok(Endpoint::in_cluster()?),
        false => Ok(kubeconfig.endpoint()?),
    }
}

/// What the flags say in the place of the kubeconfig.
fn overridden(mut kubeconfig: Kubeconfig, flags: &ServerFlags, token: Option<BearerToken>) -> Kubeconfig {
    let KubeconfigFlags { context, cluster, user, impersonate, impersonate_groups, impersonate_uid, .. } =
        &flags.kubeconfig;
    if let Some(name) = context {
        kubeconfig = kubeconfig.context(name);
    }
    if let Some(name) = cluster {
        kubeconfig = kubeconfig.cluster(name);
    }
    if let Some(name) = user {
        kubeconfig = kubeconfig.user(name);
    }
    if let Some(server) = flags.server.clone().or_else(|| variable(SERVER)) {
        kubeconfig = kubeconfig.server(server);
    }
    if let Some(token) = token {
        kubeconfig = kubeconfig.token(token.secret());
    }
    let mut impersonation = Impersonation::none();
    impersonation.user.clone_from(impersonate);
    impersonation.groups.clone_from(impersonate_groups);
    impersonation.uid.clone_from(impersonate_uid);
    tls::overridden(kubeconfig.impersonate(impersonation), &flags.tls)
}

/// A URL that a container runtime or a kubelet hands out. Whoever knows it has the session, so it is shown to nobody.
#[derive(Clone)]
pub(crate) struct StreamingUrl(String);

impl StreamingUrl {
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// Its server, and its path and query.
    ///
    /// # Errors
    /// It is no such URL, or the token cannot be used.
    pub(crate) fn resolve(&self, flags: &TokenFlags) -> Result<(Endpoint, String), Failure> {
        let (endpoint, path_and_query) = Endpoint::split_url(&self.0)?;
        // The environment's token is that of the API server.
        let token = checked(given(flags)?)?;
        Ok((authenticated(endpoint, token), path_and_query))
    }
}

impl fmt::Debug for StreamingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamingUrl(…)")
    }
}

fn authenticated(endpoint: Endpoint, token: Option<BearerToken>) -> Endpoint {
    match token {
        Some(token) => endpoint.token(token.secret()),
        None => endpoint,
    }
}

const NO_SERVER: &str = "no server given, and there is no kubeconfig: say --kubeconfig FILE, or --server URL, for one that of \
    `kubectl proxy`; to try without a cluster, --embedded";

/// The token, from the flag, the file, or the environment.
///
/// # Errors
/// The file cannot be read, or what it holds is no token.
pub(crate) fn token(flags: &TokenFlags) -> Result<Option<BearerToken>, Failure> {
    checked(given(flags)?.or_else(|| variable(TOKEN).map(BearerToken::new)))
}

/// The token that the flags give.
fn given(flags: &TokenFlags) -> Result<Option<BearerToken>, Failure> {
    match (&flags.token, &flags.token_file) {
        (Some(token), _) => Ok(Some(token.clone())),
        (None, Some(file)) => read_token(file).map(Some),
        (None, None) => Ok(None),
    }
}

fn checked(token: Option<BearerToken>) -> Result<Option<BearerToken>, Failure> {
    match &token {
        Some(token) if !is_sendable(token) => {
            Err(Failure::usage("the token is empty, or has characters in it that no token has"))
        }
        _ => Ok(token),
    }
}

fn is_sendable(token: &BearerToken) -> bool {
    !token.secret().is_empty() && token.secret().bytes().all(|byte| byte.is_ascii_graphic())
}

fn read_token(file: &Path) -> Result<BearerToken, Failure> {
    let mut token = String::new();
    let read = fs::File::open(file).and_then(|open| open.take(LONGEST_TOKEN).read_to_string(&mut token));
    read.map_err(|error| Failure::local(format!("cannot read the token file {}: {error}", file.display())))?;
    Ok(BearerToken::new(token.trim()))
}

/// An environment variable, unless it is empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
