//! The command line.

mod kubeconfig;
mod objects;
mod tls;
mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use channel_tokio::{BearerToken, HeartbeatConfig, Subprotocol};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use self::values::{
    address, duration, heartbeat, name, seconds, served_subprotocol, subprotocol, token, url,
};
pub(crate) use self::{kubeconfig::KubeconfigFlags, objects::ObjectFlags, tls::TlsFlags};
use crate::{
    endpoint::StreamingUrl,
    exit::{self, Verbosity},
};

/// exec, attach, port-forward and cp with Kubernetes pods: all of it whole, and no success that the server did not report.
#[derive(Debug, Parser)]
#[command(name = "kubectl-channel", version, after_long_help = exit::HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Tell on stderr when connections are lost and come back; twice, also how each is upgraded and ends. Nothing that is sent, no
    /// argument and no token is told. The environment's RUST_LOG, if it is set, says instead what is told.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a container.
    #[command(after_long_help = exit::HELP, override_usage = "\
        kubectl-channel exec POD [OPTIONS] -- COMMAND [ARGS]...\n       \
        kubectl-channel exec --embedded [OPTIONS] -- COMMAND [ARGS]...\n       \
        kubectl-channel exec --url URL [OPTIONS]")]
    Exec(ExecFlags),
    /// Attach to the main process of a container.
    #[command(after_long_help = exit::HELP, override_usage = "\
        kubectl-channel attach POD [OPTIONS]\n       \
        kubectl-channel attach --url URL [OPTIONS]")]
    Attach(AttachFlags),
    /// Forward local ports to ports of a pod.
    #[command(name = "port-forward", after_long_help = exit::HELP, override_usage = "\
        kubectl-channel port-forward POD [OPTIONS] [LOCAL:]REMOTE...\n       \
        kubectl-channel port-forward --embedded [OPTIONS] [LOCAL:]REMOTE...\n       \
        kubectl-channel port-forward --url URL [OPTIONS] [LOCAL:]REMOTE...")]
    PortForward(PortForwardFlags),
    /// Copy a file or a directory to a pod, or from one.
    ///
    /// It needs tar in the container; to copy there, also test, mv, cp and rm. A file gets its name only when it is whole, and takes it
    /// from what was there before. If tar fails, for a file that changes while it reads it, too, or the connection is lost, that is an error: a
    /// single file is not there then, nor is anything of what goes to a pod under a new name. Of a directory from a pod, the files that came
    /// before the last one are in their places, and the error says how many.
    #[command(after_long_help = exit::HELP)]
    Cp(CpFlags),
    /// Be a pod: serve exec, attach and port-forward on this machine, to kubectl and to others.
    #[command(after_long_help = "Whoever reaches it and knows its token runs commands as you.")]
    Serve(ServeFlags),
}

#[derive(Debug, Args)]
pub(crate) struct ExecFlags {
    /// The pod: POD, pod/POD, or deployment/NAME, service/NAME and the like for one of theirs.
    pub(crate) pod: Option<String>,
    /// What stands between the pod and `--`: it is here so that its error can say what to do.
    #[arg(hide = true)]
    pub(crate) stray: Vec<String>,
    /// Start a pod in this process, on a free port of 127.0.0.1, and run the command in there.
    #[arg(long, conflicts_with_all = ["server", "KubeconfigFlags", "TlsFlags", "token", "token_file", "namespace", "container", "url"])]
    pub(crate) embedded: bool,
    #[command(flatten)]
    pub(crate) url: UrlFlags,
    #[command(flatten)]
    pub(crate) session: SessionFlags,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
    /// The command and its arguments, after `--`. No shell is involved.
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AttachFlags {
    /// The pod: POD, pod/POD, or deployment/NAME, service/NAME and the like for one of theirs.
    #[arg(required_unless_present = "url", conflicts_with = "url")]
    pub(crate) pod: Option<String>,
    #[command(flatten)]
    pub(crate) url: UrlFlags,
    #[command(flatten)]
    pub(crate) session: SessionFlags,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

/// What exec and attach have in common.
#[derive(Debug, Args)]
pub(crate) struct SessionFlags {
    /// The container; may be left out when the pod has but one.
    #[arg(short, long, conflicts_with = "url")]
    pub(crate) container: Option<String>,
    /// Pass stdin on.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Run on a terminal; needs `-i`, and a terminal on stdin.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Where the end of stdin cannot be sent (before v5), close the connection instead: the output that would come
    /// after it is lost, and so is the exit code.
    #[arg(long)]
    pub(crate) lossy_stdin_end: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
}

#[derive(Debug, Args)]
pub(crate) struct PortForwardFlags {
    /// The pod, and the ports: LOCAL:REMOTE, :REMOTE for a free local port, or PORT for the same on both sides. The pod may be that of a
    /// deployment/NAME, service/NAME and the like; REMOTE is a port of the service then. REMOTE may be a name.
    #[arg(value_name = "POD [LOCAL:]REMOTE", required = true)]
    pub(crate) pod_and_ports: Vec<String>,
    /// The local addresses to listen on, separated by commas, or the flag repeated; localhost is 127.0.0.1 and, where there is one, ::1,
    /// and where a port of either is in use, neither is listened on.
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    pub(crate) address: Vec<String>,
    /// How long to wait for a pod that does not run yet, like 5s, 2m or 1h30m. A POD that is said with the numbers of its ports is not looked
    /// at: the server says what is wrong with it.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub(crate) pod_running_timeout: Duration,
    /// Spread what is forwarded over this many connections to the server, so that a slow reader holds up fewer others.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) connections: u8,
    /// Start a pod in this process, and forward to ports of this machine. There is no POD then.
    #[arg(long, conflicts_with_all = ["server", "KubeconfigFlags", "TlsFlags", "token", "token_file", "namespace", "url"])]
    pub(crate) embedded: bool,
    #[command(flatten)]
    pub(crate) url: UrlFlags,
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

#[derive(Debug, Args)]
pub(crate) struct CpFlags {
    /// What to copy: POD:PATH, NAMESPACE/POD:PATH, or a local path; with --embedded, :PATH is in the pod.
    pub(crate) source: String,
    /// Where to. What is copied goes into a directory that exists; anything else is the name of the copy.
    pub(crate) destination: String,
    /// The container; may be left out when the pod has but one.
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// Start a pod in this process: its files are those of this machine.
    #[arg(long, conflicts_with_all = ["server", "KubeconfigFlags", "TlsFlags", "token", "token_file", "namespace", "container"])]
    pub(crate) embedded: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

/// What every client has.
#[derive(Debug, Args)]
pub(crate) struct ConnectionFlags {
    /// The namespace of the pod [default: that of the context].
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Say nothing on stderr but errors and loss.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Ping the server this often, and give up after the silence of twelve pings and a second; or `off`.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = heartbeat)]
    pub(crate) heartbeat: HeartbeatConfig,
    /// How long connecting may take.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
    #[command(flatten)]
    pub(crate) upgrade: UpgradeFlags,
}

impl ConnectionFlags {
    pub(crate) fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }
}

/// What to ask the server for. What is said here is asked for, and nothing else.
#[derive(Debug, Args)]
pub(crate) struct UpgradeFlags {
    /// Ask for this, and for nothing else when it is refused [default: websocket, and then what the refusal leaves to try]
    #[arg(long, value_name = "TRANSPORT")]
    pub(crate) transport: Option<TransportName>,
    /// Offer this subprotocol, and nothing else when it is refused; may be repeated, best first. For exec, attach and cp:
    /// v5.channel.k8s.io (or v5), v4.channel.k8s.io, channel.k8s.io, v4.base64.channel.k8s.io, base64.channel.k8s.io, or none; over
    /// SPDY also v3.channel.k8s.io and v2.channel.k8s.io [default: v5, v4]. For port-forward: SPDY/3.1+portforward.k8s.io (or tunnel),
    /// v4.channel.k8s.io, v4.base64.channel.k8s.io, or none; over SPDY portforward.k8s.io [default: tunnel]
    #[arg(long = "subprotocol", value_name = "NAME", value_parser = subprotocol)]
    pub(crate) subprotocols: Vec<Subprotocol>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportName {
    Websocket,
    Spdy,
}

#[derive(Debug, Args)]
pub(crate) struct UrlFlags {
    /// Ask at this URL, http://HOST:PORT/exec/TOKEN for one, which a container runtime or a kubelet handed out. It stands for the pod
    /// and all that was asked for there, so say the same of stdin, terminal and ports here. No token is sent there but that of --token and
    /// --token-file.
    #[arg(long, value_parser = url, conflicts_with_all = ["server", "KubeconfigFlags", "namespace"])]
    pub(crate) url: Option<StreamingUrl>,
}

#[derive(Debug, Args)]
pub(crate) struct ServerFlags {
    /// The API server, https://10.0.0.1:6443, or a proxy before it: http://127.0.0.1:8001 for `kubectl proxy`. Or the environment's
    /// KUBECTL_CHANNEL_SERVER [default: that of the kubeconfig]. HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are heeded.
    #[arg(short, long, value_name = "URL")]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) kubeconfig: KubeconfigFlags,
    #[command(flatten)]
    pub(crate) tls: TlsFlags,
    #[command(flatten)]
    pub(crate) token: TokenFlags,
}

#[derive(Debug, Args)]
pub(crate) struct TokenFlags {
    /// The bearer token. Others on this machine can see it in the list of processes: better the environment's
    /// KUBECTL_CHANNEL_TOKEN, or a file.
    #[arg(long, value_parser = token)]
    pub(crate) token: Option<BearerToken>,
    /// A file that holds the bearer token.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeFlags {
    /// The address and port to listen on; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Speak plain http, without TLS.
    #[arg(long)]
    pub(crate) plain: bool,
    /// A file with the certificates of authorities, as PEM: a client with a certificate of theirs needs no token.
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Write a kubeconfig for it there, in the place of a temporary file.
    #[arg(long, value_name = "FILE")]
    pub(crate) write_kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) token: TokenFlags,
    /// The name of the pod.
    #[arg(long, value_name = "POD", default_value = "embedded", value_parser = name)]
    pub(crate) name: String,
    /// The namespace of the pod.
    #[arg(short, long, default_value = "default", value_parser = name)]
    pub(crate) namespace: String,
    /// The name of its container.
    #[arg(short, long, default_value = "main", value_parser = name)]
    pub(crate) container: String,
    #[command(flatten)]
    pub(crate) objects: ObjectFlags,
    /// The main process has a stdin.
    #[arg(short = 'i', long, requires = "command")]
    pub(crate) stdin: bool,
    /// The main process runs on a terminal.
    #[arg(short, long, requires = "command")]
    pub(crate) tty: bool,
    /// Speak only this subprotocol in exec and attach, to be like an older server; may be repeated.
    #[arg(long = "subprotocol", value_name = "NAME", value_parser = served_subprotocol)]
    pub(crate) subprotocols: Vec<Subprotocol>,
    /// How to tell where it is.
    #[arg(short, long, default_value = "text")]
    pub(crate) output: Output,
    /// The main process, which attach attaches to.
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Lines to paste into a shell.
    Text,
    /// One line of JSON.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
