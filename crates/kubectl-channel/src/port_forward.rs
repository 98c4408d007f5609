//! port-forward: local ports that lead to ports of a pod, until somebody ends it.

mod news;
mod ports;

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use channel_proto::Service;
use channel_tokio::{Error, Forward, Listener, Subprotocol};
use signal_hook::consts::SIGPIPE;

use self::{
    news::follow,
    ports::{Address, Port},
};
use crate::{
    cli::PortForwardFlags,
    exit::{self, Exit, Failure},
    plan::{Plan, planned},
    signals::Signals,
    target::{Target, pod_name},
};

/// Forwards until a signal comes or the last local port is gone. The connection to the pod may come and go.
pub(crate) async fn port_forward(flags: PortForwardFlags) -> Result<Exit, Failure> {
    let (pod, ports) = pod_and_ports(&flags)?;
    let addresses = Address::parse_all(&flags.address)?;
    let mut signals = Signals::listen()?;
    let plan = Plan::of(&flags.connection.upgrade, Service::PortForward)?;
    let target = match &flags.url.url {
        Some(url) => Target::at(url, &flags.server, &flags.connection)?,
        None if flags.embedded => Target::embedded(&flags.connection).await?,
        None => Target::in_cluster(&flags.server, &flags.connection, pod)?,
    };
    let request = target.port_forward().connections(flags.connections.into());
    let request = planned!(request.ports(ports.iter().map(|port| port.remote)), &plan);
    let forward = tokio::select! {
        forward = request.start() => forward?,
        signal = signals.next() => return Ok(Exit::Signal(signal)),
    };
    if !matches!(forward.subprotocol(), Subprotocol::Tunnel | Subprotocol::PortForward) {
        exit::warn(format_args!(
            "over {} a connection ends as soon as either side ends its half",
            forward.subprotocol()
        ));
    }
    let locals = listen(&forward, &ports, &addresses).await?;
    if locals.iter().try_for_each(Local::announce).is_err() {
        return Ok(Exit::Signal(SIGPIPE));
    }
    tokio::select! {
        failure = follow(locals, flags.connection.verbosity()) => Err(failure),
        signal = signals.next() => Ok(Exit::Signal(signal)),
    }
}

/// The name of the pod, if there is one to name, and the ports.
fn pod_and_ports(flags: &PortForwardFlags) -> Result<(&str, Vec<Port>), Failure> {
    let has_no_pod = flags.embedded || flags.url.url.is_some();
    let (pod, ports) = match flags.pod_and_ports.split_first() {
        _ if has_no_pod => ("", &flags.pod_and_ports[..]),
        Some((pod, ports)) => (pod_name(pod)?, ports),
        None => ("", &[][..]),
    };
    match ports.iter().map(|port| port.parse()).collect::<Result<Vec<_>, String>>() {
        Err(error) if has_no_pod => {
            let flag = if flags.embedded { "--embedded" } else { "--url" };
            Err(Failure::usage(format!("{error} ({flag} has no POD)")))
        }
        Err(error) => Err(Failure::usage(error)),
        Ok(ports) if ports.is_empty() => {
            Err(Failure::usage("no port given: port-forward POD [LOCAL:]REMOTE..., as in `web-0 8080:80`"))
        }
        Ok(ports) => Ok((pod, ports)),
    }
}

/// A local port that leads to one of the pod.
struct Local {
    listener: Listener,
    /// The port of the pod.
    remote: u16,
}

impl Local {
    /// In the words of kubectl, which programs look for.
    fn announce(&self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "Forwarding from {} -> {}", self.listener.address(), self.remote)?;
        stdout.flush()
    }
}

/// Listens on every address for every port. What cannot be listened on is told; all is well as long as something can.
async fn listen(forward: &Forward, ports: &[Port], addresses: &[Address]) -> Result<Vec<Local>, Failure> {
    let mut locals = Vec::new();
    for port in ports {
        for address in addresses {
            // The free port that was found is the same on every address.
            let mut local = port.local;
            let before = locals.len();
            for (place, ip) in address.ips.iter().enumerate() {
                match forward.listen(SocketAddr::new(*ip, local), port.remote).await {
                    Ok(listener) => {
                        local = listener.address().port();
                        locals.push(Local { listener, remote: port.remote });
                    }
                    // Many machines have no ::1.
                    Err(error) if place > 0 && locals.len() > before && !is_in_use(&error) => {}
                    Err(error) => exit::error(format_args!(
                        "cannot listen on {}: {}",
                        SocketAddr::new(*ip, local),
                        reason(&error)
                    )),
                }
            }
        }
    }
    if locals.is_empty() {
        return Err(Failure::local("none of the local ports can be listened on"));
    }
    Ok(locals)
}

fn is_in_use(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::AddrInUse)
}

fn reason(error: &Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}
