//! Ports of a pod, by number or by name, its own or those of a service before it.

use serde_json::Value;

use crate::exit::Failure;

/// A port as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RemotePort {
    Number(u16),
    Name(String),
}

/// A port of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResolvedPort {
    pub(crate) remote: u16,
    /// The number that it has for who asked: a service's port has another one in the pod.
    pub(crate) asked: u16,
}

impl ResolvedPort {
    pub(crate) fn same(port: u16) -> Self {
        Self { remote: port, asked: port }
    }
}

impl RemotePort {
    /// Of the pod itself, if nobody needs to be asked for it.
    pub(crate) fn of_pod_by_number(&self) -> Option<ResolvedPort> {
        match self {
            Self::Number(port) => Some(ResolvedPort::same(*port)),
            Self::Name(_) => None,
        }
    }

    /// Of the pod itself.
    pub(super) fn of_pod(&self, pod: &Value) -> Result<ResolvedPort, Failure> {
        match self {
            Self::Number(port) => Ok(ResolvedPort::same(*port)),
            Self::Name(name) => container_port(pod, name).map(ResolvedPort::same),
        }
    }

    /// Of the service, and through it.
    pub(super) fn of_service(&self, service: &Value, pod: &Value) -> Result<ResolvedPort, Failure> {
        let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
        let is_it = |port: &&Value| match self {
            Self::Number(number) => port["port"].as_u64() == Some((*number).into()),
            Self::Name(name) => port["name"] == **name,
        };
        let called = service["metadata"]["name"].as_str().unwrap_or_default();
        let port = ports.find(is_it).ok_or_else(|| {
            Failure::refused(format!(
                "the service {called} has no port {}",
                match self {
                    Self::Number(number) => number.to_string(),
                    Self::Name(name) => name.clone(),
                }
            ))
        })?;
        let strange = || Failure::refused(format!("the service {called} has a port that is none"));
        let asked = number(&port["port"]).ok_or_else(strange)?;
        let remote = match &port["targetPort"] {
            // Nobody stands between a headless service and its pods.
            _ if service["spec"]["clusterIP"] == "None" => asked,
            Value::Null => asked,
            Value::Number(zero) if zero.as_u64() == Some(0) => asked,
            Value::String(name) => container_port(pod, name)?,
            target => number(target).ok_or_else(strange)?,
        };
        Ok(ResolvedPort { remote, asked })
    }
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0)
}

/// The port of this name of any container.
fn container_port(pod: &Value, name: &str) -> Result<u16, Failure> {
    let list = |of: &Value, what: &str| of[what].as_array().cloned().unwrap_or_default();
    let containers = list(&pod["spec"], "initContainers").into_iter().chain(list(&pod["spec"], "containers"));
    let mut ports = containers.flat_map(|container| list(&container, "ports"));
    let found = ports.find(|port| port["name"] == *name).and_then(|port| number(&port["containerPort"]));
    let called = pod["metadata"]["name"].as_str().unwrap_or_default();
    found.ok_or_else(|| Failure::refused(format!("the pod {called} has no port {name}")))
}
