//! Whether a pod runs.

use std::time::Duration;

use serde_json::Value;

/// Between two looks at whether it does.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// That it does not.
pub(super) struct NotRunning {
    pub(super) why: String,
    /// It never will again.
    pub(super) has_ended: bool,
}

/// A pod that tells nothing of it may run.
pub(super) fn is_not(pod: &Value) -> Option<NotRunning> {
    let phase = pod["status"]["phase"].as_str().filter(|phase| *phase != "Running")?;
    let called = pod["metadata"]["name"].as_str().unwrap_or_default();
    let has_ended = matches!(phase, "Succeeded" | "Failed");
    Some(NotRunning { why: format!("the pod {called} is not running, but {phase}"), has_ended })
}
