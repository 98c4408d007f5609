//! cp: files and directories to a pod and from one, as a tar archive through exec. What did not come whole is an error.

mod directories;
mod download;
mod location;
mod pack;
mod part;
mod pipe;
mod progress;
mod refused;
mod remote;
mod safe_path;
mod unpack;
mod upload;

use channel_proto::Service;

use self::{location::Location, remote::Remote};
use crate::{
    cli::CpFlags,
    exit::{Exit, Failure},
    plan::Plan,
    resource::Name,
    signals::Signals,
    target::Target,
};

/// Copies, in the direction that the locations say.
pub(crate) async fn cp(flags: CpFlags) -> Result<Exit, Failure> {
    let location = |text: &str| Location::parse(text, flags.embedded).map_err(Failure::usage);
    let (source, destination) = (location(&flags.source)?, location(&flags.destination)?);
    let signals = Signals::listen()?;
    let verbosity = flags.connection.verbosity();
    match (source, destination) {
        (Location::Pod { namespace, pod, path }, Location::Local(to)) => {
            let remote = remote(&flags, namespace, &pod).await?;
            download::download(&remote, &path, &to, verbosity, signals).await
        }
        (Location::Local(from), Location::Pod { namespace, pod, path }) => {
            let remote = remote(&flags, namespace, &pod).await?;
            upload::upload(&remote, &from, &path, verbosity, signals).await
        }
        (Location::Local(_), Location::Local(_)) => Err(Failure::usage(if flags.embedded {
            "neither path is in the pod: those begin with `:`, as in cp --embedded :/etc/hosts hosts"
        } else {
            "neither path is in a pod: those are POD:PATH, as in cp web-0:/etc/hosts hosts"
        })),
        (Location::Pod { .. }, Location::Pod { .. }) => {
            Err(Failure::usage("one of the paths must be local; from pod to pod goes in two steps"))
        }
    }
}

async fn remote(flags: &CpFlags, namespace: Option<String>, pod: &str) -> Result<Remote, Failure> {
    let target = match flags.embedded {
        true => Target::embedded(&flags.connection).await?,
        false => {
            let (server, connection, name) = (&flags.server, &flags.connection, Name::pod(pod));
            Target::with_ports(server, connection, namespace, &name, &[], None).await?.0
        }
    };
    let plan = Plan::of(&flags.connection.upgrade, Service::RemoteCommand)?;
    Ok(Remote::new(target, flags.container.clone(), plan))
}
