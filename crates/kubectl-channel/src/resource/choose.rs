//! The pod that kubectl would take, of several.

use std::cmp::Reverse;

use serde_json::Value;

/// The pod that is furthest on its way and has been there longest, in kubectl's order (`podutils.ActivePods`, the other way round).
pub(super) fn best(pods: Vec<Value>) -> Option<Value> {
    pods.into_iter().reduce(|best, pod| if rank(&pod) > rank(&best) { pod } else { best })
}

/// More is better. Times are all written alike, in UTC, so that their text has their order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    is_assigned: bool,
    phase: u8,
    is_ready: bool,
    ready_since: Option<Reverse<&'a str>>,
    restarts: Reverse<u64>,
    created: Option<Reverse<&'a str>>,
}

fn rank(pod: &Value) -> Rank<'_> {
    let status = &pod["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions
        .into_iter()
        .find(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let containers = status["containerStatuses"].as_array().into_iter().flatten();
    Rank {
        is_assigned: pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty()),
        phase: match status["phase"].as_str() {
            Some("Running") => 2,
            Some("Unknown") => 1,
            _ => 0,
        },
        is_ready: ready.is_some(),
        ready_since: ready.and_then(|ready| ready["lastTransitionTime"].as_str()).map(Reverse),
        restarts: Reverse(containers.filter_map(|one| one["restartCount"].as_u64()).max().unwrap_or(0)),
        created: pod["metadata"]["creationTimestamp"].as_str().map(Reverse),
    }
}
