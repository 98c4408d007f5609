//! Refusals as the API server words them: a `metav1.Status` in JSON.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Value>,
}

impl Refusal {
    /// 401: no token, or a wrong one.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 404 `pods "x" not found`
    pub(crate) fn no_pod(name: &str) -> Self {
        Self::not_found("", "pods", name)
    }

    /// 404 `deployments.apps "x" not found`; the core's group has no name.
    pub(crate) fn not_found(group: &str, kind: &str, name: &str) -> Self {
        let (dot, mut details) =
            (if group.is_empty() { "" } else { "." }, json!({ "name": name, "kind": kind }));
        if !group.is_empty() {
            details["group"] = group.into();
        }
        let message = format!("{kind}{dot}{group} {name:?} not found");
        Self { details: Some(details), ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// 404: nothing of the API is at this path.
    pub(crate) fn no_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: Some(json!({})), ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// 405: this pod can only be read.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let code = StatusCode::METHOD_NOT_ALLOWED;
        Self { details: Some(json!({})), ..Self::new(code, "MethodNotAllowed", message) }
    }

    /// 400: exec, attach or port-forward without `Upgrade`.
    pub(crate) fn upgrade_required() -> Self {
        Self::bad_request("Upgrade request required")
    }

    /// 400: the pod has no such container.
    pub(crate) fn no_container(pod: &str, container: &str) -> Self {
        Self::bad_request(format!("container {container} is not valid for pod {pod}"))
    }

    /// 400: the pod has several containers, and none was named.
    pub(crate) fn container_required<'a>(pod: &str, containers: impl Iterator<Item = &'a str>) -> Self {
        let choices = containers.collect::<Vec<_>>().join(" ");
        Self::bad_request(format!(
            "a container name must be specified for pod {pod}, choose one of: [{choices}]"
        ))
    }

    /// 400: a list is asked for by more than a name.
    pub(crate) fn no_selector() -> Self {
        Self::bad_request("the only selectors supported are the field metadata.name and labels by equality")
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    /// The response, body and all.
    pub(crate) fn into_response(self) -> Response<Bytes> {
        let Self { code, reason, message, details } = self;
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code.as_u16(),
        });
        if let Some(details) = details {
            status["details"] = details;
        }
        super::json_response(code, &status)
    }
}
