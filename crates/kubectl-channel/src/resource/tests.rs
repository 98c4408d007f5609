use serde_json::json;

use super::*;

fn name(text: &str) -> String {
    let name: Name = text.parse().unwrap();
    format!("{} {}", name.kind.plural, name.name)
}

#[test]
fn names() {
    for (text, expected) in [
        ("web-0", "pods web-0"),
        ("pod/web-0", "pods web-0"),
        ("po/web-0", "pods web-0"),
        ("deploy/web", "deployments web"),
        ("Deployment/web", "deployments web"),
        ("deployments.apps/web", "deployments web"),
        ("rs/web", "replicasets web"),
        ("sts/web", "statefulsets web"),
        ("ds/web", "daemonsets web"),
        ("rc/web", "replicationcontrollers web"),
        ("job.batch/web", "jobs web"),
        ("svc/web", "services web"),
    ] {
        assert_eq!(name(text), expected, "{text}");
    }
    for text in ["node/n", "pod/", "a/b/c", "deployment.batch/web", "/web"] {
        assert!(text.parse::<Name>().is_err(), "{text}");
    }
}

#[test]
fn selectors() {
    let of_object = |selector| selector::of_object(&selector);
    assert_eq!(selector::of_labels(&json!({ "app": "web", "tier": "1" })).unwrap(), "app=web,tier=1");
    assert_eq!(of_object(json!({ "app": "web" })).unwrap(), "app=web");
    let whole = json!({
        "matchLabels": { "app": "web" },
        "matchExpressions": [
            { "key": "a", "operator": "In", "values": ["x", "y"] },
            { "key": "b", "operator": "NotIn", "values": ["z"] },
            { "key": "c", "operator": "Exists" },
            { "key": "d", "operator": "DoesNotExist" },
        ],
    });
    assert_eq!(of_object(whole).unwrap(), "app=web,a in (x,y),b notin (z),c,!d");
    // What selects everything or is not understood selects nothing here.
    for nothing in [json!(null), json!({}), json!({ "matchLabels": {} }), json!({ "app": 1 })] {
        assert_eq!(of_object(nothing.clone()), None, "{nothing}");
    }
    let unknown = json!({ "matchExpressions": [{ "key": "a", "operator": "Gt", "values": ["1"] }] });
    assert_eq!(of_object(unknown), None);
}

/// A pod that runs and is ready, with these changes.
fn pod(name: &str, changes: Value) -> Value {
    let mut pod = json!({
        "metadata": { "name": name, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "nodeName": "n" },
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T00:00:00Z" }],
            "containerStatuses": [{ "restartCount": 1 }],
        },
    });
    for (key, value) in changes.as_object().unwrap() {
        *pod.pointer_mut(key).unwrap() = value.clone();
    }
    pod
}

#[test]
fn the_best_pod() {
    let worse = [
        json!({ "/spec/nodeName": "" }),
        json!({ "/status/phase": "Unknown" }),
        json!({ "/status/phase": "Pending" }),
        json!({ "/status/phase": "Failed" }),
        json!({ "/status/conditions/0/status": "False" }),
        json!({ "/status/conditions/0/lastTransitionTime": null }),
        json!({ "/status/conditions/0/lastTransitionTime": "2026-01-03T00:00:00Z" }),
        json!({ "/status/containerStatuses/0/restartCount": 2 }),
        json!({ "/metadata/creationTimestamp": null }),
        json!({ "/metadata/creationTimestamp": "2026-01-01T00:00:01Z" }),
    ];
    for changes in worse {
        for pods in [
            vec![pod("good", json!({})), pod("worse", changes.clone())],
            vec![pod("worse", changes.clone()), pod("good", json!({}))],
        ] {
            assert_eq!(choose::best(pods).unwrap()["metadata"]["name"], "good", "{changes}");
        }
    }
    assert_eq!(choose::best(Vec::new()), None);
}

#[test]
fn ports() {
    let pod = json!({
        "metadata": { "name": "web-0" },
        "spec": { "containers": [{}, { "ports": [{ "containerPort": 9 }, { "name": "http", "containerPort": 8080 }] }] },
    });
    let service = |cluster_ip: &str, target: Value| {
        json!({
            "metadata": { "name": "web" },
            "spec": { "clusterIP": cluster_ip, "ports": [
                { "name": "other", "port": 1, "targetPort": 2 },
                { "name": "www", "port": 80, "targetPort": target },
            ]},
        })
    };
    let (eighty, named) = (RemotePort::Number(80), RemotePort::Name("www".into()));
    for (cluster_ip, target, expected) in [
        ("10.0.0.1", json!(8081), 8081),
        ("10.0.0.1", json!("http"), 8080),
        ("10.0.0.1", json!(0), 80),
        ("10.0.0.1", json!(null), 80),
        ("None", json!(8081), 80),
    ] {
        for port in [&eighty, &named] {
            let resolved = port.of_service(&service(cluster_ip, target.clone()), &pod).unwrap();
            assert_eq!(resolved, ResolvedPort { remote: expected, asked: 80 }, "{target}");
        }
    }
    for (port, target) in [
        (RemotePort::Number(81), json!(1)),
        (RemotePort::Name("http".into()), json!(1)),
        (eighty, json!("gone")),
        (named, json!(65536)),
    ] {
        assert!(port.of_service(&service("10.0.0.1", target), &pod).is_err());
    }
    assert_eq!(RemotePort::Name("http".into()).of_pod(&pod).unwrap(), ResolvedPort::same(8080));
    assert!(RemotePort::Name("www".into()).of_pod(&pod).is_err());
}
