//! Selectors of pods, as the API writes them in objects and as it takes them in a query.

use serde_json::Value;

/// A service's: labels and their values.
pub(super) fn of_labels(labels: &Value) -> Option<String> {
    let requirements: Option<Vec<_>> =
        labels.as_object()?.iter().map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    Some(requirements?.join(",")).filter(|selector| !selector.is_empty())
}

/// That of everything else; a replication controller's is like a service's. `None` if it selects nothing, or is not understood: a wrong pod is worse than
/// none.
pub(super) fn of_object(selector: &Value) -> Option<String> {
    if selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none() {
        return of_labels(selector);
    }
    let mut requirements: Vec<String> = of_labels(&selector["matchLabels"]).into_iter().collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str()?;
        let values = expression["values"].as_array().into_iter().flatten();
        let values = values.map(|value| value.as_str()).collect::<Option<Vec<_>>>()?.join(",");
        requirements.push(match expression["operator"].as_str()? {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    Some(requirements.join(",")).filter(|selector| !selector.is_empty())
}
