//! Which entry of which file counts.

use http::HeaderMap;

use super::*;
use crate::endpoint::Scheme;

const SECOND: &str = "
current-context: two
clusters:
- {name: k, cluster: {server: 'https://never:1'}}
- {name: k2, cluster: {server: 'https://second:2/prefix/'}}
users:
- {name: me, user: {token: never}}
- {name: you, user: {token: yours}}
contexts:
- {name: two, context: {cluster: k2, user: you}}
- {name: mixed, context: {cluster: k, user: you, namespace: there}}
";

fn both(directory: &Directory) -> Kubeconfig {
    let first = directory.write("first", one(r#""server": "https://first:1""#, r#""token": "mine""#));
    let second = directory.write("second", SECOND);
    Kubeconfig::from_files([first, second]).unwrap()
}

#[test]
fn what_the_first_file_says_counts() {
    let directory = Directory::new();
    let found = both(&directory).endpoint().unwrap();
    assert_eq!((found.endpoint.authority().as_str(), found.namespace.as_str()), ("first:1", "prod"));
    assert_eq!(token_of(&found.endpoint), "mine");
}

#[test]
fn contexts_clusters_and_users_are_chosen() {
    let directory = Directory::new();
    for (kubeconfig, authority, token, namespace) in [
        (both(&directory).context("two"), "second:2", "yours", "default"),
        (both(&directory).context("mixed"), "first:1", "yours", "there"),
        (both(&directory).cluster("k2"), "second:2", "mine", "prod"),
        (both(&directory).user("you"), "first:1", "yours", "prod"),
        (both(&directory).server("https://other:3"), "other:3", "mine", "prod"),
        (both(&directory).token("given"), "first:1", "given", "prod"),
    ] {
        let found = kubeconfig.endpoint().unwrap();
        assert_eq!(found.endpoint.authority(), authority);
        assert_eq!(token_of(&found.endpoint), token);
        assert_eq!(found.namespace, namespace);
    }
    assert_eq!(both(&directory).context("two").endpoint().unwrap().endpoint.prefix, "/prefix");
}

#[test]
fn what_is_missing_is_named() {
    let directory = Directory::new();
    for (kubeconfig, words) in [
        (both(&directory).context("gone"), &["second", "context \"gone\""][..]),
        (both(&directory).cluster("gone"), &["context \"c\"", "cluster \"gone\""]),
        (both(&directory).user("gone"), &["context \"c\"", "user \"gone\""]),
        (both(&directory).server("ftp://x"), &["ftp://x"]),
        (Kubeconfig::default(), &["no kubeconfig"]),
    ] {
        let error = refusal(&kubeconfig);
        for word in words {
            assert!(error.contains(word), "{word} in {error}");
        }
    }
    // A user whom only a context names is nobody, as for kubectl.
    let lonely =
        directory.write("lonely", one(r#""server": "https://k:1""#, "").replace("\"me\"}", "\"gone\"}"));
    let lonely = Kubeconfig::from_files([lonely]).unwrap().endpoint().unwrap();
    assert!(identity(&lonely.endpoint).unwrap().authorization.is_none());
}

#[test]
fn absent_files() {
    let directory = Directory::new();
    let here = directory.write("here", SECOND);
    let absent = here.with_file_name("absent");
    let error = Kubeconfig::from_files([&absent]).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
    let passed_over = Kubeconfig::read([absent.clone(), here], Absent::PassedOver).unwrap();
    assert_eq!(passed_over.endpoint().unwrap().endpoint.authority(), "second:2");
    assert!(Kubeconfig::read([absent], Absent::PassedOver).unwrap().is_empty());
}

#[test]
fn clusters() {
    let directory = Directory::new();
    let (ca, _) = certificate();
    let file = directory.write("ca.crt", &ca);
    let server = r#""server": "https://k8s.test:6443""#;
    for cluster in [
        format!(r#"{server}, "certificate-authority-data": "{}""#, base64(&ca)),
        // A relative path begins where the kubeconfig is.
        format!(r#"{server}, "certificate-authority": "ca.crt""#),
        format!(r#"{server}, "insecure-skip-tls-verify": true"#),
        format!(r#"{server}, "tls-server-name": "other.test""#),
        format!(r#"{server}, "proxy-url": "socks5://127.0.0.1:1""#),
    ] {
        let found = directory.with_cluster(&cluster, "").endpoint().unwrap();
        assert_eq!(found.endpoint.proxy.is_some(), cluster.contains("proxy-url"));
        let tls = format!("{:?}", found.endpoint.tls);
        assert_eq!(tls.contains("other.test"), cluster.contains("tls-server-name"), "{tls}");
        assert_eq!(tls.contains("given"), cluster.contains("authority"), "{tls}");
        assert_eq!(tls.contains("anybody"), cluster.contains("insecure"), "{tls}");
    }
    for (cluster, word) in [
        (format!(r#"{server}, "certificate-authority-data": "?""#), "certificate-authority-data"),
        (format!(r#"{server}, "certificate-authority": "absent""#), "absent"),
        (format!(r#"{server}, "proxy-url": "ftp://x""#), "proxy"),
        (
            format!(r#"{server}, "certificate-authority": "ca.crt", "insecure-skip-tls-verify": true"#),
            "which",
        ),
        (r#""server": """#.to_owned(), "no server"),
    ] {
        let error = refusal(&directory.with_cluster(&cluster, ""));
        assert!(error.contains(word) && error.contains("context \"c\""), "{word} in {error}");
    }
    let given = directory.with_cluster(&format!(r#"{server}, "insecure-skip-tls-verify": true"#), "");
    let given = given.certificate_authority(file).tls_server_name("x.test").endpoint().unwrap();
    assert!(format!("{:?}", given.endpoint.tls).contains("given"));
}

#[test]
fn nothing_of_the_user_goes_out_in_the_clear() {
    let directory = Directory::new();
    let plain = || directory.with_cluster(r#""server": "http://127.0.0.1:8001""#, r#""token": "secret""#);
    let found = plain().endpoint().unwrap();
    assert_eq!(found.endpoint.scheme, Scheme::Http);
    assert!(identity(&found.endpoint).unwrap().authorization.is_none());
    // Unless it is said on purpose.
    assert_eq!(token_of(&plain().token("given").endpoint().unwrap().endpoint), "given");
}

fn lines(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[test]
fn impersonation() {
    let directory = Directory::new();
    let user = r#""as": "jane", "as-groups": ["dev", "ops"], "as-uid": "7", "as-user-extra": {"Scopes/x": ["a", "b"]}"#;
    let found = directory.kubeconfig(user).endpoint().unwrap();
    let headers = &found.endpoint.headers;
    assert_eq!(lines(headers, "impersonate-user"), ["jane"]);
    assert_eq!(lines(headers, "impersonate-group"), ["dev", "ops"]);
    assert_eq!(lines(headers, "impersonate-uid"), ["7"]);
    assert_eq!(lines(headers, "impersonate-extra-scopes%2fx"), ["a", "b"]);

    let groups = Impersonation { groups: vec!["g".into()], ..Impersonation::default() };
    let found = directory.kubeconfig(user).impersonate(groups.clone()).endpoint().unwrap();
    assert_eq!(lines(&found.endpoint.headers, "impersonate-group"), ["g"]);
    assert_eq!(lines(&found.endpoint.headers, "impersonate-user"), ["jane"]);
    let nobody = refusal(&directory.kubeconfig("").impersonate(groups));
    assert!(nobody.contains("no user"), "{nobody}");
    let split = refusal(&directory.kubeconfig(r#""as": "a\r\nb""#));
    assert!(split.contains("cannot be sent"), "{split}");
}

#[test]
fn a_pod_of_a_cluster() {
    let directory = Directory::new();
    let (ca, _) = certificate();
    directory.write("ca.crt", ca);
    directory.write("namespace", "prod\n");
    directory.write("token", "first\n");
    let place = |host: &str| in_cluster::Place {
        host: host.to_owned(),
        port: "443".to_owned(),
        files: directory.0.path().to_owned(),
    };
    let found = place("10.0.0.1").endpoint().unwrap();
    assert_eq!((found.endpoint.authority().as_str(), found.namespace.as_str()), ("10.0.0.1:443", "prod"));
    assert_eq!(token_of(&found.endpoint), "first");
    directory.write("token", "second\n");
    assert_eq!(token_of(&found.endpoint), "second");
    assert_eq!(place("fd00::1").endpoint().unwrap().endpoint.authority(), "[fd00::1]:443");
}
