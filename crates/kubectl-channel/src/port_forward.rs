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
    ports::{Address, Port, Wanted},
};
use crate::{
    cli::PortForwardFlags,
    exit::{self, Exit, Failure},
    plan::{Plan, planned},
    resource::{Name, RemotePort},
    signals::Signals,
    target::Target,
};

/// How many free ports are tried, until one is free on all addresses.
const FREE_PORTS: u32 = 8;

/// Forwards until a signal comes or the last local port is gone. The connection to the pod may come and go.
pub(crate) async fn port_forward(flags: PortForwardFlags) -> Result<Exit, Failure> {
    let (name, wanted) = name_and_ports(&flags)?;
    let addresses = Address::parse_all(&flags.address)?;
    let mut signals = Signals::listen()?;
    let plan = Plan::of(&flags.connection.upgrade, Service::PortForward)?;
    let (target, ports) = tokio::select! {
        found = find(&flags, name.as_ref(), &wanted) => found?,
        signal = signals.next() => return Ok(Exit::Signal(signal)),
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

/// The pod, and which of its ports are meant.
async fn find(
    flags: &PortForwardFlags,
    name: Option<&Name>,
    wanted: &[Wanted],
) -> Result<(Target, Vec<Port>), Failure> {
    let (server, connection) = (&flags.server, &flags.connection);
    let remote: Vec<_> = wanted.iter().map(|port| port.remote.clone()).collect();
    let (target, resolved) = match (&flags.url.url, name) {
        (None, Some(name)) => {
            let within = Some(flags.pod_running_timeout);
            Target::with_ports(server, connection, None, name, &remote, within).await?
        }
        (url, _) => {
            let numbers: Option<Vec<_>> = remote.iter().map(RemotePort::of_pod_by_number).collect();
            let flag = podless_flag(flags);
            let nameless =
                || Failure::usage(format!("a port can only be said by its number here: {flag} has no POD"));
            let numbers = numbers.ok_or_else(nameless)?;
            let target = match url {
                Some(url) => Target::at(url, server, connection)?,
                None => Target::embedded(connection).await?,
            };
            (target, numbers)
        }
    };
    let ports = wanted.iter().zip(resolved).map(|(wanted, port)| wanted.resolved(port)).collect();
    Ok((target, ports))
}

/// The flag because of which there is no pod to name.
fn podless_flag(flags: &PortForwardFlags) -> &'static str {
    if flags.embedded { "--embedded" } else { "--url" }
}

/// What stands for the pod, if there is something to name, and the ports.
fn name_and_ports(flags: &PortForwardFlags) -> Result<(Option<Name>, Vec<Wanted>), Failure> {
    let has_no_pod = flags.embedded || flags.url.url.is_some();
    let (name, ports) = match flags.pod_and_ports.split_first() {
        Some((name, ports)) if !has_no_pod => (Some(name.parse()?), ports),
        _ => (None, &flags.pod_and_ports[..]),
    };
    match ports.iter().map(|port| port.parse()).collect::<Result<Vec<_>, String>>() {
        Err(error) if has_no_pod => {
            Err(Failure::usage(format!("{error} ({} has no POD)", podless_flag(flags))))
        }
        Err(error) => Err(Failure::usage(error)),
        Ok(ports) if ports.is_empty() => {
            Err(Failure::usage("no port given: port-forward POD [LOCAL:]REMOTE..., as in `web-0 8080:80`"))
        }
        Ok(ports) => Ok((name, ports)),
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
            match listen_on(forward, *port, address).await {
                Ok(listening) => locals.extend(listening),
                Err((place, error)) => {
                    exit::error(format_args!("cannot listen on {place}: {}", reason(&error)));
                }
            }
        }
    }
    if locals.is_empty() {
        return Err(Failure::local("none of the local ports can be listened on"));
    }
    Ok(locals)
}

/// Listens on all that an address is, with the same port, or on nothing of it: who then says localhost may come to somebody else.
async fn listen_on(
    forward: &Forward,
    port: Port,
    address: &Address,
) -> Result<Vec<Local>, (SocketAddr, Error)> {
    let mut attempts = if port.local == 0 { FREE_PORTS } else { 1 };
    'attempts: loop {
        attempts -= 1;
        let (mut local, mut locals) = (port.local, Vec::new());
        for ip in &address.ips {
            let place = SocketAddr::new(*ip, local);
            match forward.listen(place, port.remote).await {
                Ok(listener) => {
                    local = listener.address().port();
                    locals.push(Local { listener, remote: port.remote });
                }
                // Free on the first is not free on all.
                Err(error) if is_in_use(&error) && attempts > 0 => continue 'attempts,
                // Many machines have no ::1.
                Err(error) if !locals.is_empty() && !is_in_use(&error) => {}
                Err(error) => return Err((place, error)),
            }
        }
        return Ok(locals);
    }
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
