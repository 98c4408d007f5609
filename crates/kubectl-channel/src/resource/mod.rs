//! What stands for a pod on the command line: its own name, or that of something that has pods. Resolved as kubectl does.

mod choose;
mod ports;
mod rest;
mod selector;

use std::{fmt, str::FromStr};

use channel_tokio::Client;
use serde_json::Value;

pub(crate) use self::ports::{RemotePort, ResolvedPort};
use self::rest::{Path, get};
use crate::exit::Failure;

/// A pod, or something that has pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    kind: &'static Kind,
    name: String,
}

/// A kind of the API's objects.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    /// Where it is in the API: `/api/v1` or `/apis/GROUP/VERSION`.
    api: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static str,
}

const POD: Kind = Kind { api: "/api/v1", plural: "pods", singular: "pod", short: "po" };
const SERVICE: Kind = Kind { api: "/api/v1", plural: "services", singular: "service", short: "svc" };

/// What kubectl takes for exec, attach and port-forward.
const KINDS: [Kind; 8] = [
    POD,
    SERVICE,
    Kind { api: "/api/v1", plural: "replicationcontrollers", singular: "replicationcontroller", short: "rc" },
    Kind { api: "/apis/apps/v1", plural: "deployments", singular: "deployment", short: "deploy" },
    Kind { api: "/apis/apps/v1", plural: "replicasets", singular: "replicaset", short: "rs" },
    Kind { api: "/apis/apps/v1", plural: "statefulsets", singular: "statefulset", short: "sts" },
    Kind { api: "/apis/apps/v1", plural: "daemonsets", singular: "daemonset", short: "ds" },
    Kind { api: "/apis/batch/v1", plural: "jobs", singular: "job", short: "job" },
];

impl Kind {
    fn is_called(&self, kind: &str) -> bool {
        let kind = kind.to_ascii_lowercase();
        // `deployment.apps`, `jobs.batch`: with its group.
        let group = self.api.strip_prefix("/apis/").and_then(|api| api.split('/').next());
        let bare = match (kind.split_once('.'), group) {
            (Some((bare, behind)), Some(group)) if behind == group => bare,
            _ => &kind,
        };
        [self.plural, self.singular, self.short].contains(&bare)
    }
}

impl FromStr for Name {
    type Err = Failure;

    /// `web-0`, `pod/web-0`, `deployment/web`, `svc/web`.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let (kind, name) = text.split_once('/').unwrap_or(("pod", text));
        let kind = KINDS.iter().find(|known| known.is_called(kind));
        match kind {
            Some(kind) if !name.is_empty() && !name.contains('/') => Ok(Self { kind, name: name.to_owned() }),
            _ => Err(Failure::usage(format!(
                "{text:?} names no pod; say POD, pod/POD, or KIND/NAME with deployment, service, replicaset, statefulset, \
                 daemonset, job or replicationcontroller"
            ))),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.singular, self.name)
    }
}

impl Name {
    /// The pod of this name.
    pub(crate) fn pod(name: impl Into<String>) -> Self {
        Self { kind: &POD, name: name.into() }
    }

    /// The pod that it stands for, and the numbers of the pod's ports that `ports` stand for. Nothing is asked for a pod and its numbers.
    pub(crate) async fn resolve(
        &self,
        client: &Client,
        namespace: &str,
        ports: &[RemotePort],
    ) -> Result<(String, Vec<ResolvedPort>), Failure> {
        if *self.kind == POD {
            let numbers: Option<Vec<_>> = ports.iter().map(RemotePort::of_pod_by_number).collect();
            let ports = match numbers {
                Some(numbers) => numbers,
                None => {
                    let pod = get(client, &self.path(namespace)).await?;
                    ports.iter().map(|port| port.of_pod(&pod)).collect::<Result<_, _>>()?
                }
            };
            return Ok((self.name.clone(), ports));
        }
        let object = get(client, &self.path(namespace)).await?;
        let pod = self.choose(client, namespace, &object).await?;
        let of_object = |port: &RemotePort| match *self.kind == SERVICE {
            true => port.of_service(&object, &pod),
            false => port.of_pod(&pod),
        };
        let ports = ports.iter().map(of_object).collect::<Result<_, _>>()?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        Ok((name.to_owned(), ports))
    }

    fn path(&self, namespace: &str) -> Path {
        Path::new(self.kind.api, namespace, self.kind.plural).object(&self.name)
    }

    /// The best of its pods.
    async fn choose(&self, client: &Client, namespace: &str, object: &Value) -> Result<Value, Failure> {
        let selector = match *self.kind == SERVICE {
            true => selector::of_labels(&object["spec"]["selector"]),
            false => selector::of_object(&object["spec"]["selector"]),
        };
        let selector = selector.ok_or_else(|| Failure::refused(format!("{self} selects no pods")))?;
        let path = Path::new(POD.api, namespace, POD.plural).selected(&selector);
        let mut list = get(client, &path).await?;
        let pods = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let none =
            || Failure::refused(format!("{self} has no pods ({selector} in the namespace {namespace})"));
        choose::best(pods).ok_or_else(none)
    }
}

#[cfg(test)]
mod tests;
