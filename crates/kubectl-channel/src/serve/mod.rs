//! `serve`: a pod of this machine, until somebody ends it.

mod files;

use std::{env, fs, io::Write, process};

use channel_pod::{Container, Pod};
use serde_json::json;
use signal_hook::consts::SIGPIPE;

use self::files::Files;
use crate::{
    cli::{Output, ServeFlags},
    endpoint,
    exit::{Exit, Failure, warn},
    signals::Signals,
};

/// Serves until SIGINT, SIGTERM or SIGHUP.
pub(crate) async fn serve(flags: ServeFlags) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    if !flags.listen.ip().is_loopback() {
        let clear = if flags.plain { "the token and all data travel in the clear, and " } else { "" };
        warn(format_args!(
            "{} can be reached from other machines: {clear}whoever has the token runs commands as you",
            flags.listen
        ));
    }
    let pod = start(&flags).await?;
    let files = Files::write(&pod, flags.write_kubeconfig.as_deref());
    let files = files.map_err(|error| Failure::local(format!("cannot write a kubeconfig: {error}")))?;
    let facts = match flags.output {
        Output::Text => text(&pod, &flags, &files),
        Output::Json => json(&pod, &flags, &files),
    };
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{facts}").and_then(|()| stdout.flush()).is_err() {
        return Ok(Exit::Signal(SIGPIPE));
    }
    drop(stdout);
    signals.next().await;
    Ok(Exit::SUCCESS)
}

async fn start(flags: &ServeFlags) -> Result<Pod, Failure> {
    let mut container = Container::new(&flags.container).command(&flags.command);
    if flags.stdin {
        container = container.stdin();
    }
    if flags.tty {
        container = container.tty();
    }
    for port in &flags.objects.container_ports {
        container = container.port(&port.name, port.port);
    }
    let mut pod = Pod::builder()
        .listen(flags.listen)
        .name(&flags.name)
        .namespace(&flags.namespace)
        .container(container);
    for name in &flags.objects.deployments {
        pod = pod.deployment(name);
    }
    for service in &flags.objects.services {
        pod = pod.service(&service.name, service.port, &service.target);
    }
    if !flags.plain {
        pod = pod.tls();
    }
    if let Some(file) = &flags.client_ca {
        let read = fs::read(file);
        let read =
            read.map_err(|error| Failure::local(format!("cannot read {}: {error}", file.display())))?;
        pod = pod.client_authorities(read);
    }
    if let Some(token) = endpoint::token(&flags.token)? {
        if !token.secret().bytes().all(is_plain) {
            return Err(Failure::usage(
                "the token must be made of letters, digits and - . _ ~ for kubectl's URL",
            ));
        }
        pod = pod.token(token.secret());
    }
    if !flags.subprotocols.is_empty() {
        pod = pod.subprotocols(flags.subprotocols.iter().copied());
    }
    pod.start().await.map_err(|error| Failure::local(format!("cannot serve on {}: {error}", flags.listen)))
}

/// What stands for itself in a URL.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn json(pod: &Pod, flags: &ServeFlags, files: &Files) -> String {
    let facts = json!({
        "pid": process::id(),
        "url": pod.url(),
        "kubectlServer": pod.kubectl_url(),
        "token": pod.token(),
        "certificateAuthority": files.authority,
        "kubeconfig": files.kubeconfig,
        "namespace": pod.namespace(),
        "pod": pod.name(),
        "container": flags.container,
    });
    facts.to_string()
}

fn text(pod: &Pod, flags: &ServeFlags, files: &Files) -> String {
    let (name, namespace) = (pod.name(), pod.namespace());
    // The name by which we were called is one that the caller can call.
    let program = env::args().next().unwrap_or_else(|| "kubectl-channel".into());
    let kubectl = |what: &str| format!("kubectl --kubeconfig {} {what}", files.kubeconfig.display());
    let mut access = format!("--server {} --token-file {}", pod.url(), files.token.display());
    if let Some(authority) = &files.authority {
        access.push_str(&format!(" --certificate-authority {}", authority.display()));
    }
    let channel = |action: &str, what: &str| format!("{program} {action} {access} -n {namespace} {what}");
    let mut lines = vec![
        format!(
            "The pod {name} (namespace {namespace}) is at {}. With its token, which is in these files,",
            pod.url()
        ),
        "one can run any command as you:".into(),
        String::new(),
        kubectl(&format!("exec {name} -- date")),
        channel("exec", &format!("{name} -- date")),
        kubectl(&format!("port-forward {name} :80")),
        channel("port-forward", &format!("{name} :80")),
    ];
    if !flags.command.is_empty() {
        let streams = match (flags.stdin, flags.tty) {
            (true, true) => " -it",
            (true, false) => " -i",
            (false, _) => "",
        };
        lines.push(kubectl(&format!("attach{streams} {name}")));
        lines.push(channel("attach", &format!("{name}{streams}")));
    }
    lines.push(String::new());
    lines.push("^C ends it.".into());
    lines.join("\n")
}
