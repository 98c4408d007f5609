//! What else has the pod: deployments and services, as those see them who look for a pod behind them.

use serde_json::{Value, json};

use super::{PodFacts, Refusal};

/// What has the pod, besides its namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    /// The names of deployments.
    pub(crate) deployments: Vec<String>,
    pub(crate) services: Vec<ServiceFacts>,
}

/// A service with one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceFacts {
    pub(crate) name: String,
    pub(crate) port: u16,
    /// A number, or the name of a container's port.
    pub(crate) target: String,
}

/// The labels of the pod, which everything that has it selects.
pub(super) fn labels(pod: &PodFacts) -> Value {
    json!({ "app": pod.name })
}

/// Whether the pod has the labels that a selector asks for, as far as it is one of equalities.
pub(super) fn selects(pod: &PodFacts, selector: &str) -> Result<bool, Refusal> {
    let labels = labels(pod);
    selector.split(',').try_fold(true, |so_far, requirement| {
        let (key, value) = requirement.split_once('=').ok_or_else(Refusal::no_selector)?;
        let (key, value) = (key.trim(), value.trim_start_matches('=').trim());
        if key.ends_with('!') || key.contains(' ') {
            return Err(Refusal::no_selector());
        }
        Ok(so_far && labels[key] == value)
    })
}

/// The groups of the API besides the core, and what is in `apps/v1`: nothing, without deployments.
pub(super) fn groups(pod: &PodFacts) -> Value {
    let version = json!({ "groupVersion": "apps/v1", "version": "v1" });
    let apps = json!({ "name": "apps", "versions": [version.clone()], "preferredVersion": version });
    let groups = if pod.objects.deployments.is_empty() { Vec::new() } else { vec![apps] };
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

pub(super) fn apps(pod: &PodFacts) -> Result<Value, Refusal> {
    if pod.objects.deployments.is_empty() {
        return Err(Refusal::no_resource());
    }
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "apps/v1",
        "resources": [{
            "name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment",
            "verbs": ["get"], "shortNames": ["deploy"], "categories": ["all"],
        }],
    }))
}

/// What the core has of them: services, if there are any.
pub(super) fn in_core(pod: &PodFacts) -> Option<Value> {
    (!pod.objects.services.is_empty()).then(|| {
        json!({
            "name": "services", "singularName": "service", "namespaced": true, "kind": "Service",
            "verbs": ["get"], "shortNames": ["svc"], "categories": ["all"],
        })
    })
}

pub(super) fn deployment(pod: &PodFacts, namespace: &str, name: &str) -> Result<Value, Refusal> {
    let is_there = namespace == pod.namespace && pod.objects.deployments.iter().any(|known| known == name);
    if !is_there {
        return Err(Refusal::not_found("apps", "deployments", name));
    }
    let labels = labels(pod);
    Ok(json!({
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": metadata(pod, name),
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [] } },
        },
        "status": { "replicas": 1, "readyReplicas": 1, "availableReplicas": 1 },
    }))
}

pub(super) fn service(pod: &PodFacts, namespace: &str, name: &str) -> Result<Value, Refusal> {
    let known = pod.objects.services.iter().find(|known| known.name == name && namespace == pod.namespace);
    let ServiceFacts { port, target, .. } = known.ok_or_else(|| Refusal::not_found("", "services", name))?;
    let target: Value = match target.parse::<u16>() {
        Ok(number) => number.into(),
        Err(_) => target.as_str().into(),
    };
    Ok(json!({
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": metadata(pod, name),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "127.0.0.1",
            "selector": labels(pod),
            "ports": [{ "name": "port", "protocol": "TCP", "port": port, "targetPort": target }],
        },
        "status": { "loadBalancer": {} },
    }))
}

fn metadata(pod: &PodFacts, name: &str) -> Value {
    json!({ "name": name, "namespace": pod.namespace, "resourceVersion": "1" })
}
