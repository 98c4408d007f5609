//! The command line.

use std::{
    convert::Infallible,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use channel_tokio::{BearerToken, HeartbeatConfig, Subprotocol};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::{self, Verbosity};

/// exec and attach in Kubernetes pods: the output whole, and no success that the server did not report.
#[derive(Debug, Parser)]
#[command(name = "kubectl-channel", version, after_long_help = exit::HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a container.
    #[command(after_long_help = exit::HELP, override_usage = "\
        kubectl-channel exec POD [OPTIONS] -- COMMAND [ARGS]...\n       \
        kubectl-channel exec --embedded [OPTIONS] -- COMMAND [ARGS]...")]
    Exec(ExecFlags),
    /// Attach to the main process of a container.
    #[command(after_long_help = exit::HELP)]
    Attach(AttachFlags),
    /// Be a pod: serve exec and attach on this machine, to kubectl and to others.
    #[command(after_long_help = "Whoever reaches it and knows its token runs commands as you.")]
    Serve(ServeFlags),
}

#[derive(Debug, Args)]
pub(crate) struct ExecFlags {
    /// The pod.
    pub(crate) pod: Option<String>,
    /// What stands between the pod and `--`: it is here so that its error can say what to do.
    #[arg(hide = true)]
    pub(crate) stray: Vec<String>,
    /// Start a pod in this process, on a free port of 127.0.0.1, and run the command in there.
    #[arg(long, conflicts_with_all = ["server", "token", "token_file", "namespace", "container"])]
    pub(crate) embedded: bool,
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
    /// The pod.
    pub(crate) pod: String,
    #[command(flatten)]
    pub(crate) session: SessionFlags,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

/// What exec and attach have in common.
#[derive(Debug, Args)]
pub(crate) struct SessionFlags {
    /// The container; may be left out when the pod has but one.
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// The namespace of the pod.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Pass stdin on.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Run on a terminal; needs `-i`, and a terminal on stdin.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Say nothing on stderr but errors and loss.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Where the end of stdin cannot be sent (before v5), close the connection instead: the output that would come
    /// after it is lost, and so is the exit code.
    #[arg(long)]
    pub(crate) lossy_stdin_end: bool,
    /// Offer this WebSocket subprotocol; may be repeated, best first. v5.channel.k8s.io (or v5), v4.channel.k8s.io,
    /// channel.k8s.io, v4.base64.channel.k8s.io, base64.channel.k8s.io, or none [default: v5, v4]
    #[arg(long = "subprotocol", value_name = "NAME", value_parser = subprotocol)]
    pub(crate) subprotocols: Vec<Subprotocol>,
    /// Ping the server this often, and give up after the silence of twelve pings and a second; or `off`.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = heartbeat)]
    pub(crate) heartbeat: HeartbeatConfig,
    /// How long connecting may take.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
}

impl SessionFlags {
    pub(crate) fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ServerFlags {
    /// The API server, or a proxy before it: http://127.0.0.1:8001 for `kubectl proxy`. Or the environment's
    /// KUBECTL_CHANNEL_SERVER.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
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
    /// The main process has a stdin.
    #[arg(short = 'i', long, requires = "command")]
    pub(crate) stdin: bool,
    /// The main process runs on a terminal.
    #[arg(short, long, requires = "command")]
    pub(crate) tty: bool,
    /// Speak only this subprotocol, to be like an older server; may be repeated.
    #[arg(long = "subprotocol", value_name = "NAME", value_parser = subprotocol)]
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

fn token(value: &str) -> Result<BearerToken, Infallible> {
    Ok(BearerToken::new(value))
}

fn subprotocol(value: &str) -> Result<Subprotocol, String> {
    let short = || Subprotocol::from_name(&format!("{value}.channel.k8s.io"));
    match value {
        "none" => Ok(Subprotocol::Unnamed),
        _ => Subprotocol::from_name(value).or_else(short).ok_or_else(|| {
            let known = Subprotocol::NAMED.map(Subprotocol::name).join(", ");
            format!("it is none of {known}, none")
        }),
    }
}

fn heartbeat(value: &str) -> Result<HeartbeatConfig, String> {
    if value == "off" {
        return Ok(HeartbeatConfig::OFF);
    }
    let every = seconds(value).map_err(|error| format!("{error}, or `off`"))?;
    let dead = every * 12 + Duration::from_secs(1);
    Ok(HeartbeatConfig { ping_every: Some(every), dead_after: Some(dead) })
}

/// Within a year, so that sums of a few stay in range.
fn seconds(value: &str) -> Result<Duration, String> {
    let number = value.strip_suffix('s').unwrap_or(value).parse::<f64>().ok();
    let number = number.filter(|number| (0.001..=31_536_000.0).contains(number));
    number.map(Duration::from_secs_f64).ok_or_else(|| "it must be a number of seconds above 0".into())
}

fn address(value: &str) -> Result<SocketAddr, String> {
    let found = value.to_socket_addrs().map_err(|error| format!("{error}; say ADDRESS:PORT"))?;
    found.into_iter().next().ok_or_else(|| "it has no address".into())
}

/// A DNS label, as names in Kubernetes are; dots are taken as well.
fn name(value: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let edges = [value.bytes().next(), value.bytes().last()];
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| inner(byte) && !matches!(byte, b'-' | b'.'));
    if value.bytes().all(inner) && edges.into_iter().all(is_edge) {
        Ok(value.to_owned())
    } else {
        Err("names are made of a-z, 0-9, - and .".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn subprotocols_by_name_and_short() {
        assert_eq!(subprotocol("v5"), Ok(Subprotocol::V5));
        assert_eq!(subprotocol("v4.base64.channel.k8s.io"), Ok(Subprotocol::V4Base64));
        assert_eq!(subprotocol("channel.k8s.io"), Ok(Subprotocol::V1));
        assert_eq!(subprotocol("none"), Ok(Subprotocol::Unnamed));
        assert!(subprotocol("V5").is_err() && subprotocol("").is_err());
    }

    #[test]
    fn five_seconds_are_kubectls_heartbeat() {
        assert_eq!(heartbeat("5"), Ok(HeartbeatConfig::default()));
        assert_eq!(heartbeat("off"), Ok(HeartbeatConfig::OFF));
        for wrong in ["0", "-1", "x", "", "inf", "NaN", "1e300"] {
            assert!(heartbeat(wrong).is_err(), "{wrong}");
        }
    }
}
