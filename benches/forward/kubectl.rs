//! The commands: kubectl, and ours.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    contender::{Contender, Who},
    process::Process,
    server::Access,
};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The embedded pod's name.
pub(crate) const POD: &str = "embedded";

/// kubectl of the version that `interop/` uses, which is installed if it is not there.
pub(crate) fn install() -> io::Result<PathBuf> {
    let script =
        "from kubectl import VERSION; from peers import install_kubectl; print(install_kubectl(VERSION))";
    let interop = Path::new(HERE).join("../interop");
    let path = output(Command::new("python3").args(["-c", script]).current_dir(interop))?;
    Ok(path.trim().into())
}

pub(crate) fn start(kubectl: &Path, access: &Access) -> io::Result<Contender> {
    let mut command = Command::new(kubectl);
    command.arg(format!("--server={}", access.url_with_token())).arg("--namespace=default");
    command.env("KUBECONFIG", "/dev/null");
    port_forward(Who::Kubectl, &mut command, access)
}

/// `kubectl-channel`, as it is released.
pub(crate) fn start_ours(access: &Access) -> io::Result<Contender> {
    let build = ["build", "--release", "--locked", "-p", "kubectl-channel", "--message-format=json"];
    let built = output(Command::new(env!("CARGO")).args(build).current_dir(HERE))?;
    let messages = built.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut paths = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    let mut command = Command::new(paths.next_back().ok_or(io::ErrorKind::NotFound)?);
    // The token is that of a pod that ends with this program.
    port_forward(Who::KubectlChannel, command.env_clear(), access)
}

fn port_forward(who: Who, command: &mut Command, access: &Access) -> io::Result<Contender> {
    command.arg("port-forward");
    if who == Who::KubectlChannel {
        command.args(["--server", &access.url, "--token", &access.token]);
    }
    command.args([POD, &format!(":{}", access.port)]);
    Contender::new(who, Process::start(command)?)
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{command:?}: {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
