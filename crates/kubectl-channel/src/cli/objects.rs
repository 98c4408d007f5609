//! What a served pod has around it.

use std::str::FromStr;

use clap::Args;

use super::values::name;

#[derive(Debug, Args)]
pub(crate) struct ObjectFlags {
    /// There is a deployment of this name, and the pod is its only one; may be repeated.
    #[arg(long = "deployment", value_name = "NAME", value_parser = name)]
    pub(crate) deployments: Vec<String>,
    /// There is a service of this name before the pod, with a port that leads to TARGET, a number or the name of a container's port; may be
    /// repeated.
    #[arg(long = "service", value_name = "NAME=PORT:TARGET")]
    pub(crate) services: Vec<ServedService>,
    /// A port of the container has this name; may be repeated.
    #[arg(long = "container-port", value_name = "NAME=PORT")]
    pub(crate) container_ports: Vec<NamedPort>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedService {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) target: String,
}

impl FromStr for ServedService {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, ports)| Some((name, ports.split_once(':')?)));
        match parts {
            Some((named, (port, target))) if !target.is_empty() => Ok(Self {
                name: name(named)?,
                port: port.parse().map_err(|error| format!("{port:?}: {error}"))?,
                target: target.to_owned(),
            }),
            _ => Err("say NAME=PORT:TARGET, as in web=80:8080".to_owned()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPort {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl FromStr for NamedPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (named, port) = text.split_once('=').ok_or("say NAME=PORT, as in http=8080")?;
        Ok(Self { name: name(named)?, port: port.parse().map_err(|error| format!("{port:?}: {error}"))? })
    }
}
