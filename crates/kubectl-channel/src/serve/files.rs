//! What a client of the served pod needs, in files that only this user can read.

use std::{
    fs::{OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use channel_pod::Pod;
use serde_json::json;
use tempfile::TempDir;

/// They are gone when this is dropped, but for a kubeconfig whose place was given.
pub(super) struct Files {
    pub(super) kubeconfig: PathBuf,
    pub(super) token: PathBuf,
    /// The authority to believe, with TLS.
    pub(super) authority: Option<PathBuf>,
    _directory: TempDir,
}

impl Files {
    pub(super) fn write(pod: &Pod, kubeconfig: Option<&Path>) -> io::Result<Self> {
        let mine = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("kubectl-channel-").permissions(mine).tempdir()?;
        let place = |name: &str| directory.path().join(name);
        let kubeconfig = kubeconfig.map_or_else(|| place("kubeconfig"), Path::to_path_buf);
        let token = place("token");
        write(&kubeconfig, &kubeconfig_of(pod))?;
        write(&token, pod.token())?;
        let authority = match pod.certificate_authority() {
            Some(pem) => {
                let file = place("ca.crt");
                write(&file, pem)?;
                Some(file)
            }
            None => None,
        };
        Ok(Self { kubeconfig, token, authority, _directory: directory })
    }
}

fn write(file: &Path, content: &str) -> io::Result<()> {
    // One that is there already and that others can read would stay so.
    let _ = std::fs::remove_file(file);
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(open, "{}", content.trim_end())
}

/// As JSON, which is YAML too.
fn kubeconfig_of(pod: &Pod) -> String {
    let name = pod.name();
    let cluster = match pod.certificate_authority() {
        Some(pem) => json!({
            "server": pod.url(),
            "certificate-authority-data": BASE64_STANDARD.encode(pem),
        }),
        // kubectl sends no token over plain http.
        None => json!({ "server": pod.kubectl_url() }),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": name, "user": { "token": pod.token() } }],
        "contexts": [{
            "name": name,
            "context": { "cluster": name, "user": name, "namespace": pod.namespace() },
        }],
        "current-context": name,
    });
    format!("{config:#}")
}
