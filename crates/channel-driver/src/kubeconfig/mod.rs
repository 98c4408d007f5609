//! Servers as a kubeconfig describes them, or the files that a pod finds in itself.
//!
//! The files are read, merged and understood by `kube-client`'s config module, which needs no runtime. What is made of them follows `kubectl`: which
//! file, context, cluster and user count, and what of a user is shown to a server.

mod exec_credential;
mod impersonation;
mod in_cluster;
mod plugin;
mod select;
mod user;

use std::{env, fmt, io, path::PathBuf};

use kube_client::config::{self, KubeconfigError};

pub use impersonation::Impersonation;
pub use plugin::{PluginError, PluginProblem};
pub use user::UnreadableFile;

use crate::{Endpoint, Error};

/// A server that was found, and the namespace to work in unless another is said.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The server, and who we are to it.
    pub endpoint: Endpoint,
    /// The context's namespace, or the pod's own; `default` where there is none.
    pub namespace: String,
}

/// Kubeconfig files, merged, and what of them to use.
///
/// [`Endpoint::from_kubeconfig`] is all that most programs need; this is for those with options like those of `kubectl`.
#[derive(Clone, Default)]
#[must_use = "it is only read: ask it for an endpoint"]
pub struct Kubeconfig {
    merged: config::Kubeconfig,
    files: Vec<PathBuf>,
    choice: Choice,
    overrides: Overrides,
}

/// Which entries count, in the place of what the current context says.
#[derive(Debug, Clone, Default)]
struct Choice {
    context: Option<String>,
    cluster: Option<String>,
    user: Option<String>,
}

/// What counts in the place of what the entries say.
#[derive(Clone, Default)]
struct Overrides {
    server: Option<String>,
    token: Option<String>,
    certificate_authority: Option<PathBuf>,
    any_certificate: bool,
    server_name: Option<String>,
    client_certificate: Option<(PathBuf, PathBuf)>,
    impersonation: Impersonation,
}

impl Kubeconfig {
    /// The files that `kubectl` would read: those in the environment's `KUBECONFIG`, or else `~/.kube/config`. The ones that do not exist are passed
    /// over; if none does, this is empty.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn load() -> Result<Self, Error> {
        let named = env::var_os("KUBECONFIG").unwrap_or_default();
        let named = env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
        let mut files: Vec<_> = named.collect();
        if files.is_empty() {
            files.extend(env::home_dir().map(|home| home.join(".kube").join("config")));
        }
        Self::read(files, Absent::PassedOver)
    }

    /// These files, merged: what an earlier one says counts.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn from_files(files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Result<Self, Error> {
        Self::read(files.into_iter().map(Into::into), Absent::Refused)
    }

    fn read(files: impl IntoIterator<Item = PathBuf>, absent: Absent) -> Result<Self, Error> {
        let mut whole = Self::default();
        for file in files {
            let mut next = match config::Kubeconfig::read_from(&file) {
                Ok(next) => next,
                Err(KubeconfigError::ReadConfig(error, _))
                    if absent == Absent::PassedOver && error.kind() == io::ErrorKind::NotFound =>
                {
                    continue;
                }
                Err(error) => {
                    let why = explain(&error);
                    return Err(Error::Usage(format!("the kubeconfig {}: {why}", file.display())));
                }
            };
            // An empty name is none, as in the files that kubectl makes.
            next.current_context = next.current_context.filter(|name| !name.is_empty());
            let merged = whole.merged.merge(next);
            whole.merged = merged.map_err(|error| {
                Error::Usage(format!(
                    "the kubeconfig {} does not go with the others: {error}",
                    file.display()
                ))
            })?;
            whole.files.push(file);
        }
        Ok(whole)
    }

    /// Uses this context, in the place of the current one.
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.choice.context = Some(name.into());
        self
    }

    /// Uses this cluster, in the place of the context's.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.choice.cluster = Some(name.into());
        self
    }

    /// Uses this user, in the place of the context's.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.choice.user = Some(name.into());
        self
    }

    /// Connects to this URL, in the place of the cluster's.
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.overrides.server = Some(url.into());
        self
    }

    /// Shows this token, in the place of the user's token or plugin. Over plain `http` too, where what the kubeconfig says of the user is kept back.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.overrides.token = Some(token.into());
        self
    }

    /// Believes the authorities in this file, as PEM, in the place of the cluster's.
    pub fn certificate_authority(mut self, file: impl Into<PathBuf>) -> Self {
        self.overrides.certificate_authority = Some(file.into());
        self
    }

    /// Takes any certificate, as [`Tls::danger_accept_any_certificate`](crate::tls::Tls::danger_accept_any_certificate).
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.overrides.any_certificate = true;
        self
    }

    /// Expects the server's certificate to be for this name.
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.overrides.server_name = Some(name.into());
        self
    }

    /// Shows the certificate in these files, chain and key as PEM, in the place of the user's.
    pub fn client_certificate(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.overrides.client_certificate = Some((chain.into(), key.into()));
        self
    }

    /// Acts as somebody else; what is set here counts before what the user's entry says.
    pub fn impersonate(mut self, impersonation: Impersonation) -> Self {
        self.overrides.impersonation = impersonation;
        self
    }

    /// Whether it names no server: no file had anything of use in it, and nothing was put in its place.
    pub fn is_empty(&self) -> bool {
        let config::Kubeconfig { clusters, contexts, .. } = &self.merged;
        clusters.is_empty() && contexts.is_empty() && self.overrides.server.is_none()
    }

    /// The server, as the files and the choices say. Nothing is connected and no plugin is run yet.
    ///
    /// # Errors
    /// Something is missing or cannot be used. The error names the files, the context and the user, and holds no secret.
    pub fn endpoint(&self) -> Result<Found, Error> {
        select::endpoint(self)
    }
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfig")
            .field("files", &self.files)
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

/// What becomes of a file that does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    PassedOver,
    Refused,
}

/// Why a file cannot be read, without a word of what is in it: a YAML error shows the line, and a type error the value.
fn explain(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => format!("it cannot be read: {error}"),
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("it is no kubeconfig, at line {} and column {}", at.line(), at.column()),
            None => "it is no kubeconfig".to_owned(),
        },
        _ => "it is no kubeconfig".to_owned(),
    }
}

impl Endpoint {
    /// The server of a context, or of the current one, of the kubeconfig that `kubectl` would read: the files in the environment's `KUBECONFIG`, or
    /// `~/.kube/config`. With client certificates, tokens and token files, plugins, basic authentication, impersonation and a proxy, as they stand
    /// there. For more options see [`Kubeconfig`].
    ///
    /// # Errors
    /// There is no such server, or it cannot be used as it stands there.
    pub fn from_kubeconfig(context: Option<&str>) -> Result<Found, Error> {
        let mut kubeconfig = Kubeconfig::load()?;
        kubeconfig.choice.context = context.map(str::to_owned);
        kubeconfig.endpoint()
    }

    /// The API server of the cluster whose pod this process runs in, with the pod's service account. The token is read again whenever it is needed.
    ///
    /// # Errors
    /// This is no pod, or one without a service account.
    pub fn in_cluster() -> Result<Found, Error> {
        in_cluster::Place::of_this_process()?.endpoint()
    }

    /// The server that `kubectl` would ask: [of the kubeconfig](Self::from_kubeconfig), or where there is none [that of the cluster](Self::in_cluster)
    /// that this is a pod of.
    ///
    /// # Errors
    /// There is neither, or what is there cannot be used.
    pub fn infer() -> Result<Found, Error> {
        let kubeconfig = Kubeconfig::load()?;
        match kubeconfig.is_empty() {
            true => Self::in_cluster(),
            false => kubeconfig.endpoint(),
        }
    }
}

#[cfg(test)]
mod tests;
