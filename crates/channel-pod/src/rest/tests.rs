use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::*;

fn container(name: &str) -> ContainerFacts {
    ContainerFacts { name: name.into(), ..ContainerFacts::default() }
}

fn pod(name: &str, containers: Vec<ContainerFacts>) -> PodFacts {
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_335_148);
    PodFacts {
        namespace: "default".into(),
        name: name.into(),
        containers,
        started,
        objects: Objects::default(),
    }
}

fn bb() -> PodFacts {
    pod("bb", vec![container("bb")])
}

fn ask(pod: &PodFacts, method: Method, uri: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(uri).body(()).unwrap();
    let response = answer(pod, &request);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    (response.status(), serde_json::from_slice(response.body()).unwrap())
}

fn get(pod: &PodFacts, uri: &str) -> (StatusCode, Value) {
    ask(pod, Method::GET, uri)
}

fn refused(refusal: Refusal) -> Value {
    serde_json::from_slice(refusal.into_response().body()).unwrap()
}

#[test]
fn the_pod() {
    let tty =
        ContainerFacts { command: vec!["sh".into(), "-i".into()], stdin: true, tty: true, ..container("c1") };
    let (code, document) =
        get(&pod("bb-tty", vec![tty, container("c2")]), "/api/v1/namespaces/default/pods/bb-tty");
    assert_eq!(code, 200);
    assert_eq!((&document["kind"], &document["apiVersion"]), (&json!("Pod"), &json!("v1")));
    assert_eq!(document["metadata"]["name"], "bb-tty");
    assert_eq!(document["metadata"]["namespace"], "default");
    assert_eq!(document["metadata"]["creationTimestamp"], "2026-11-22T08:12:28Z");
    assert_eq!(document["status"]["phase"], "Running");
    assert_eq!(
        document["spec"]["containers"],
        json!([
            {
                "name": "c1", "image": "localhost", "resources": {}, "command": ["sh", "-i"],
                "stdin": true, "tty": true,
            },
            { "name": "c2", "image": "localhost", "resources": {} },
        ])
    );
    let ready: Vec<_> =
        document["status"]["containerStatuses"].as_array().unwrap().iter().map(|c| &c["ready"]).collect();
    assert_eq!(ready, [true, true]);
}

#[test]
fn lists() {
    for (uri, count) in [
        ("/api/v1/pods?limit=500", 1),
        ("/api/v1/namespaces/default/pods", 1),
        ("/api/v1/namespaces/other/pods", 0),
        ("/api/v1/namespaces/default/pods?fieldSelector=metadata.name%3Dbb&watch=false", 1),
        ("/api/v1/namespaces/default/pods?fieldSelector=metadata.name%3Db&labelSelector=", 0),
        ("/api/v1/namespaces/default/pods?labelSelector=app%3Dbb", 1),
        ("/api/v1/namespaces/default/pods?labelSelector=app%3D%3Dbb", 1),
        ("/api/v1/namespaces/default/pods?labelSelector=app%3Dx", 0),
        ("/api/v1/namespaces/default/pods?labelSelector=app%3Dbb%2Ctier%3Dx", 0),
    ] {
        let (code, list) = get(&bb(), uri);
        assert_eq!((code, &list["kind"]), (StatusCode::OK, &json!("PodList")), "{uri}");
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{uri}");
    }
    let (code, _) = get(&bb(), "/api/v1/namespaces/default/pods?limit=500&watch=true");
    assert_eq!(code, 405);
    for selector in [
        "labelSelector=app%20in%20%28x%29",
        "labelSelector=app%21%3Dbb",
        "labelSelector=app",
        "fieldSelector=status.phase%3DRunning",
        "fieldSelector=metadata.name%21%3Dbb",
    ] {
        assert_eq!(get(&bb(), &format!("/api/v1/pods?{selector}")).0, 400, "{selector}");
    }
}

#[test]
fn discovery() {
    assert_eq!(get(&bb(), "/api?timeout=32s").1["versions"], json!(["v1"]));
    assert_eq!(get(&bb(), "/apis").1["kind"], "APIGroupList");
    let names: Vec<Value> = get(&bb(), "/api/v1").1["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| resource["name"].clone())
        .collect();
    assert_eq!(names, ["pods", "pods/attach", "pods/exec", "pods/portforward"]);
    assert_eq!(get(&bb(), "/version").1["minor"], "36");
}

#[test]
fn health() {
    let response = answer(&bb(), &Request::get("/healthz").body(()).unwrap());
    assert_eq!((response.status(), &**response.body()), (StatusCode::OK, &b"ok"[..]));
}

/// Recordings `exec-v5-no-pod`, `exec-v5-no-namespace`.
#[test]
fn another_pod() {
    for (uri, name) in [
        ("/api/v1/namespaces/default/pods/nopod", "nopod"),
        ("/api/v1/namespaces/default/pods/nopod/exec?command=sh", "nopod"),
        ("/api/v1/namespaces/nons/pods/bb/portforward", "bb"),
    ] {
        let expected = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("pods \"{name}\" not found"), "reason": "NotFound",
            "details": { "name": name, "kind": "pods" }, "code": 404,
        });
        assert_eq!(get(&bb(), uri), (StatusCode::NOT_FOUND, expected), "{uri}");
    }
}

/// Recordings `exec-no-upgrade-get`, `exec-no-upgrade-post`.
#[test]
fn streams_without_upgrade() {
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Upgrade request required", "reason": "BadRequest", "code": 400,
    });
    for method in [Method::GET, Method::POST] {
        for subresource in ["exec", "attach", "portforward"] {
            let uri = format!("/api/v1/namespaces/default/pods/bb/{subresource}?stdout=true");
            assert_eq!(ask(&bb(), method.clone(), &uri), (StatusCode::BAD_REQUEST, expected.clone()));
        }
    }
}

#[test]
fn what_is_not_there() {
    for uri in [
        "/",
        "/openapi/v2",
        "/openapi/v3",
        "/api/v2",
        "/apis/apps/v1",
        "/api/v1/nodes",
        "/api/v1/namespaces/default/pods/bb/log",
        "/api/v1/namespaces/default/pods/bb/exec/more",
    ] {
        let (code, status) = get(&bb(), uri);
        assert_eq!(
            (code, &status["kind"], &status["reason"]),
            (StatusCode::NOT_FOUND, &json!("Status"), &json!("NotFound"))
        );
    }
}

#[test]
fn other_methods() {
    for method in [Method::POST, Method::DELETE, Method::PATCH, Method::PUT] {
        for uri in ["/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/bb", "/version"] {
            let (code, status) = ask(&bb(), method.clone(), uri);
            assert_eq!(
                (code, &status["reason"]),
                (StatusCode::METHOD_NOT_ALLOWED, &json!("MethodNotAllowed"))
            );
        }
    }
    assert_eq!(ask(&bb(), Method::DELETE, "/api/v1/namespaces/default/pods/nopod").0, 404);
}

/// Recordings `exec-v5-no-container`, `exec-v4-container-unset-two`.
#[test]
fn containers() {
    assert_eq!(bb().container(None).unwrap().name, "bb");
    assert_eq!(bb().container(Some("")).unwrap().name, "bb");
    assert_eq!(bb().container(Some("bb")).unwrap().name, "bb");
    assert_eq!(
        refused(bb().container(Some("nope")).unwrap_err()),
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "container nope is not valid for pod bb", "reason": "BadRequest", "code": 400,
        })
    );

    let two = pod("bb-tty", vec![container("c1"), container("c2")]);
    assert_eq!(two.container(Some("c2")).unwrap().name, "c2");
    assert_eq!(
        refused(two.container(None).unwrap_err())["message"],
        "a container name must be specified for pod bb-tty, choose one of: [c1 c2]"
    );
}

#[test]
fn what_has_the_pod() {
    let facts = ServiceFacts { name: "web".into(), port: 80, target: "http".into() };
    let numbered = ServiceFacts { name: "numbered".into(), port: 81, target: "8081".into() };
    let main = ContainerFacts { ports: vec![("http".into(), 8080)], ..container("main") };
    let pod = PodFacts {
        objects: Objects { deployments: vec!["web".into()], services: vec![facts, numbered] },
        ..pod("web-0", vec![main])
    };
    assert_eq!(get(&pod, "/apis").1["groups"][0]["name"], "apps");
    assert_eq!(get(&pod, "/apis/apps/v1").1["resources"][0]["shortNames"], json!(["deploy"]));
    assert_eq!(get(&pod, "/api/v1").1["resources"][4]["name"], "services");

    let document = get(&pod, "/api/v1/namespaces/default/pods/web-0").1;
    let labels = &document["metadata"]["labels"];
    assert_eq!(document["spec"]["containers"][0]["ports"][0]["containerPort"], 8080);
    let deployment = get(&pod, "/apis/apps/v1/namespaces/default/deployments/web").1;
    assert_eq!(
        (&deployment["kind"], &deployment["spec"]["selector"]["matchLabels"]),
        (&json!("Deployment"), labels)
    );
    let service = get(&pod, "/api/v1/namespaces/default/services/web").1;
    assert_eq!((&service["kind"], &service["spec"]["selector"]), (&json!("Service"), labels));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "http");
    let service = get(&pod, "/api/v1/namespaces/default/services/numbered").1;
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8081);

    for (uri, message) in [
        ("/apis/apps/v1/namespaces/default/deployments/x", "deployments.apps \"x\" not found"),
        ("/apis/apps/v1/namespaces/other/deployments/web", "deployments.apps \"web\" not found"),
        ("/api/v1/namespaces/default/services/x", "services \"x\" not found"),
    ] {
        let (code, status) = get(&pod, uri);
        assert_eq!((code, &status["message"]), (StatusCode::NOT_FOUND, &json!(message)));
    }
}
