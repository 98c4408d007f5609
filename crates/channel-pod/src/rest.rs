//! The part of the Kubernetes API that clients ask before they stream: the pod itself, and what the server
//! knows.
//!
//! It is made for kubectl, which reads the pod before every exec, attach, port-forward and cp (to choose a
//! container, and to see that it runs), and asks for `/version` and the discovery documents with some of its
//! commands. Whatever a client accepts (tables, protobuf, aggregated discovery), the answer is plain JSON,
//! which they all take.

mod objects;
mod refusal;
#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use channel_proto::rfc3339;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

pub(crate) use self::{
    objects::{Objects, ServiceFacts},
    refusal::Refusal,
};

/// What is to be known about the pod. There is one pod, and it is always running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodFacts {
    /// Its namespace; there is no other.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its containers, at least one.
    pub(crate) containers: Vec<ContainerFacts>,
    /// Since when it runs.
    pub(crate) started: SystemTime,
    /// What else has it.
    pub(crate) objects: Objects,
}

/// What is to be known about a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ContainerFacts {
    /// Its name.
    pub(crate) name: String,
    /// The command of its main process; empty if it has none.
    pub(crate) command: Vec<String>,
    /// Its main process reads standard input.
    pub(crate) stdin: bool,
    /// Its main process runs on a terminal.
    pub(crate) tty: bool,
    /// Its ports that have names.
    pub(crate) ports: Vec<(String, u16)>,
}

impl PodFacts {
    /// Checks that a request is for this pod.
    ///
    /// # Errors
    /// 404 `pods "x" not found`: another name or, as on a real server, another namespace.
    pub(crate) fn check(&self, namespace: &str, name: &str) -> Result<(), Refusal> {
        if namespace == self.namespace && name == self.name { Ok(()) } else { Err(Refusal::no_pod(name)) }
    }

    /// The container that an exec or attach is for: the one it names, or the only one.
    ///
    /// # Errors
    /// 400: there is none of that name, or none was named and there are several.
    pub(crate) fn container(&self, name: Option<&str>) -> Result<&ContainerFacts, Refusal> {
        match (name, self.containers.as_slice()) {
            (None | Some(""), [only]) => Ok(only),
            (None | Some(""), several) => {
                Err(Refusal::container_required(&self.name, several.iter().map(|container| &*container.name)))
            }
            (Some(name), containers) => containers
                .iter()
                .find(|container| container.name == name)
                .ok_or_else(|| Refusal::no_container(&self.name, name)),
        }
    }
}

/// Answers every request that is not an upgrade.
///
/// Of the subresources that stream, only their refusals are here: 404 for another pod, else 400 `Upgrade
/// request required`.
pub(crate) fn answer(pod: &PodFacts, request: &Request<()>) -> Response<Bytes> {
    let found = resource(pod, request.uri().path()).and_then(|resource| match resource {
        Resource::Streams => Err(Refusal::upgrade_required()),
        _ if request.method() != Method::GET => Err(Refusal::method_not_allowed()),
        Resource::Text(text) => Ok(response(StatusCode::OK, "text/plain; charset=utf-8", text.into())),
        Resource::Document(document) => Ok(json_response(StatusCode::OK, &document)),
        Resource::Pods(pods) => {
            let selected = select(pods, request.uri().query().unwrap_or_default())?;
            Ok(json_response(StatusCode::OK, &list(selected)))
        }
    });
    found.unwrap_or_else(Refusal::into_response)
}

/// The token in a path that begins with `/token/TOKEN/`. Whatever it is, [`answer`] takes the rest for the path.
pub(crate) fn token_in_path(path: &str) -> Option<&str> {
    let (token, _) = path.strip_prefix("/token/")?.split_once('/')?;
    Some(token)
}

/// What is at a path.
enum Resource<'a> {
    Text(&'static str),
    Document(Value),
    Pods(Option<&'a PodFacts>),
    Streams,
}

fn resource<'a>(pod: &'a PodFacts, path: &str) -> Result<Resource<'a>, Refusal> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let segments = match &segments[..] {
        ["token", _, rest @ ..] => rest,
        all => all,
    };
    Ok(match *segments {
        ["version"] => Resource::Document(version()),
        ["healthz" | "livez" | "readyz"] => Resource::Text("ok"),
        ["api"] => Resource::Document(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        ["apis"] => Resource::Document(objects::groups(pod)),
        ["apis", "apps", "v1"] => Resource::Document(objects::apps(pod)?),
        ["apis", "apps", "v1", "namespaces", namespace, "deployments", name] => {
            Resource::Document(objects::deployment(pod, namespace, name)?)
        }
        ["api", "v1"] => Resource::Document(resources(pod)),
        ["api", "v1", "namespaces", namespace, "services", name] => {
            Resource::Document(objects::service(pod, namespace, name)?)
        }
        ["api", "v1", "pods"] => Resource::Pods(Some(pod)),
        ["api", "v1", "namespaces", namespace, "pods"] => {
            Resource::Pods((namespace == pod.namespace).then_some(pod))
        }
        ["api", "v1", "namespaces", namespace, "pods", name] => {
            pod.check(namespace, name)?;
            Resource::Document(with_kind(pod_document(pod)))
        }
        ["api", "v1", "namespaces", namespace, "pods", name, "exec" | "attach" | "portforward"] => {
            pod.check(namespace, name)?;
            Resource::Streams
        }
        _ => return Err(Refusal::no_resource()),
    })
}

/// The pods of a list that its query selects. What is not understood is refused: a wrong list would be
/// believed.
fn select<'a>(pods: Option<&'a PodFacts>, query: &str) -> Result<Option<&'a PodFacts>, Refusal> {
    let parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.filter(|(_, value)| !value.is_empty()).try_fold(pods, |pods, (key, value)| match key {
        // A list where a stream of events is expected would be taken for a broken one.
        "watch" if matches!(value, "true" | "1") => Err(Refusal::method_not_allowed()),
        "fieldSelector" => {
            let name = value.strip_prefix("metadata.name").ok_or_else(Refusal::no_selector)?;
            let name = name
                .strip_prefix("%3D")
                .or_else(|| name.strip_prefix('='))
                .ok_or_else(Refusal::no_selector)?;
            Ok(pods.filter(|pod| pod.name == name))
        }
        "labelSelector" => {
            let selector = percent_decode_str(value).decode_utf8().map_err(|_| Refusal::no_selector())?;
            match pods {
                Some(pod) => Ok(objects::selects(pod, &selector)?.then_some(pod)),
                None => Ok(None),
            }
        }
        _ => Ok(pods),
    })
}

/// The version of the API spoken here, which is what clients compare with theirs; the rest says who speaks.
fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "gitVersion": concat!("v1.36.0+channel-pod-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn resources(pod: &PodFacts) -> Value {
    let mut document = json!({
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {
                "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod",
                "verbs": ["get", "list"], "shortNames": ["po"], "categories": ["all"],
            },
            streaming("pods/attach", "PodAttachOptions"),
            streaming("pods/exec", "PodExecOptions"),
            streaming("pods/portforward", "PodPortForwardOptions"),
        ],
    });
    if let Some(resources) = document["resources"].as_array_mut() {
        resources.extend(objects::in_core(pod));
    }
    document
}

fn streaming(name: &str, kind: &str) -> Value {
    json!({ "name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["create", "get"] })
}

fn list<'a>(pods: impl IntoIterator<Item = &'a PodFacts>) -> Value {
    let items: Vec<Value> = pods.into_iter().map(pod_document).collect();
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items })
}

/// Items of a list go without these two.
fn with_kind(mut document: Value) -> Value {
    document["kind"] = "Pod".into();
    document["apiVersion"] = "v1".into();
    document
}

fn pod_document(pod: &PodFacts) -> Value {
    // A time before 1970 counts as 1970.
    let started = pod.started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let started = rfc3339(started);
    let conditions: Vec<Value> = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|condition| json!({ "type": condition, "status": "True", "lastTransitionTime": started }))
        .into();
    let statuses = pod.containers.iter().map(|container| {
        json!({
            "name": container.name, "image": IMAGE, "imageID": "",
            "ready": true, "started": true, "restartCount": 0,
            "state": { "running": { "startedAt": started } },
        })
    });
    json!({
        "metadata": {
            "name": pod.name, "namespace": pod.namespace, "uid": UID, "resourceVersion": "1",
            "creationTimestamp": started, "labels": objects::labels(pod),
        },
        "spec": {
            "containers": pod.containers.iter().map(container_document).collect::<Vec<_>>(),
            "restartPolicy": "Never",
            "nodeName": "localhost",
        },
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "hostIP": "127.0.0.1",
            "podIP": "127.0.0.1",
            "startTime": started,
            "containerStatuses": statuses.collect::<Vec<_>>(),
        },
    })
}

/// The containers have the files of this machine, not an image's; but the field is not optional.
const IMAGE: &str = "localhost";

/// Clients tell pods of one name apart by it; here there is one.
const UID: &str = "00000000-0000-4000-8000-000000000001";

fn container_document(container: &ContainerFacts) -> Value {
    let ContainerFacts { name, command, stdin, tty, ports } = container;
    let mut document = json!({ "name": name, "image": IMAGE, "resources": {} });
    if !command.is_empty() {
        document["command"] = command.as_slice().into();
    }
    if !ports.is_empty() {
        let port =
            |(name, port): &(String, u16)| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
        document["ports"] = ports.iter().map(port).collect::<Vec<_>>().into();
    }
    // As Go writes them: what is false is left out.
    for (key, _) in [("stdin", stdin), ("tty", tty)].into_iter().filter(|(_, on)| **on) {
        document[key] = true.into();
    }
    document
}

fn json_response(code: StatusCode, document: &Value) -> Response<Bytes> {
    response(code, "application/json", format!("{document}\n").into())
}

fn response(code: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
