//! What stands for a pod on the command line: its own name, or that of something that has pods. Resolved as kubectl does.

mod choose;
mod ports;
mod rest;
mod running;
mod selector;

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use channel_tokio::Client;
use serde_json::Value;
use tokio::time::sleep;

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
    /// What is asked for is asked for until the pod runs, if there is a time within which it has to.
    pub(crate) async fn resolve(
        &self,
        client: &Client,
        namespace: &str,
        ports: &[RemotePort],
        running_within: Option<Duration>,
    ) -> Result<(String, Vec<ResolvedPort>), Failure> {
        let numbers: Option<Vec<_>> = ports.iter().map(RemotePort::of_pod_by_number).collect();
        if let (true, Some(numbers)) = (*self.kind == POD, numbers) {
            return Ok((self.name.clone(), numbers));
        }
        let (object, pod) = self.read(client, namespace, running_within).await?;
        let of_object = |port: &RemotePort| match *self.kind == SERVICE {
            true => port.of_service(&object, &pod),
            false => port.of_pod(&pod),
        };
        let ports = ports.iter().map(of_object).collect::<Result<_, _>>()?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        Ok((name.to_owned(), ports))
    }

    /// It, and its pod.
    async fn read(
        &self,
        client: &Client,
        namespace: &str,
        running_within: Option<Duration>,
    ) -> Result<(Value, Value), Failure> {
        let start = Instant::now();
        loop {
            let object = get(client, &self.path(namespace)).await?;
            let chosen = match *self.kind == POD {
                true => Ok(object.clone()),
                false => self.choose(client, namespace, &object).await?,
            };
            let not = chosen.as_ref().ok().and_then(running::is_not);
            // A workload may get another pod.
            let is_final = *self.kind == POD && not.as_ref().is_some_and(|not| not.has_ended);
            let why = match (chosen, not) {
                (Ok(pod), None) => return Ok((object, pod)),
                (Ok(pod), Some(_)) if running_within.is_none() => return Ok((object, pod)),
                (Ok(_), Some(not)) => not.why,
                (Err(none), _) => none,
            };
            match running_within {
                Some(within) if !is_final => match within.saturating_sub(start.elapsed()) {
                    Duration::ZERO => {
                        return Err(Failure::refused(format!("{why}, after {} s", within.as_secs_f64())));
                    }
                    left => sleep(left.min(running::PAUSE)).await,
                },
                _ => return Err(Failure::refused(why)),
            }
        }
    }

    fn path(&self, namespace: &str) -> Path {
        Path::new(self.kind.api, namespace, self.kind.plural).object(&self.name)
    }

    /// The best of its pods, or why there is none.
    async fn choose(
        &self,
        client: &Client,
        namespace: &str,
        object: &Value,
    ) -> Result<Result<Value, String>, Failure> {
        let selector = match *self.kind == SERVICE {
            true => selector::of_labels(&object["spec"]["selector"]),
            false => selector::of_object(&object["spec"]["selector"]),
        };
        let selector = selector.ok_or_else(|| Failure::refused(format!("{self} selects no pods")))?;
        let path = Path::new(POD.api, namespace, POD.plural).selected(&selector);
        let mut list = get(client, &path).await?;
        let pods = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let none = || format!("{self} has no pods ({selector} in the namespace {namespace})");
        Ok(choose::best(pods).ok_or_else(none))
    }
}

#[cfg(test)]
mod tests;
